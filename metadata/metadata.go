// Package metadata holds the nouns of Meridian's catalogue (buckets, versions,
// uploads, events, nodes, media) and the interfaces through which the rest of
// the program reads and changes them. It imports nothing else of Meridian, so
// that every role may import it; package metadata/postgres implements the
// interfaces on Postgres and package metadata/client the few of them that a
// cache node needs over HTTP.
package metadata

import (
	"errors"
	"fmt"
	"time"
)

// The errors of the catalogue. They are wrapped with the operation and the
// name; test with errors.Is.
var (
	ErrNoSuchBucket   = errors.New("no such bucket")
	ErrBucketExists   = errors.New("bucket already exists")
	ErrBucketNotEmpty = errors.New("bucket is not empty")
	ErrNoSuchKey      = errors.New("no such key")
	ErrNoSuchVersion  = errors.New("no such version")
	ErrDeleteMarker   = errors.New("version is a delete marker")
	ErrNoSuchUpload   = errors.New("no such upload")
	ErrInvalidPart    = errors.New("part is missing or its ETag differs")
	ErrPrecondition   = errors.New("precondition failed")
	// ErrInDoubt comes with what refuses a Commit where the answer to an attempt
	// before it was lost: that one may still come through.
	ErrInDoubt = errors.New("an attempt before is in doubt")
	// ErrLocked refuses to remove a version that is under a retention or a legal
	// hold, or to weaken its retention.
	ErrLocked = errors.New("version is locked")
	// ErrResidency refuses a write in a region where the bucket may not be.
	ErrResidency    = errors.New("the bucket's residency forbids this region")
	ErrNoSuchMedia  = errors.New("no such media record")
	ErrNoSuchAccess = errors.New("no such access key")
	ErrNoSuchPurge  = errors.New("no such purge")
	ErrNoSuchWarm   = errors.New("no such warm-up")
	// ErrNodeReplaced says that another process with the same node ID has
	// started since: the one that is told so must stop, or get its own ID.
	ErrNodeReplaced = errors.New("another process with this node ID has started")
	// ErrFeedGone says that the events after the given Seq are no longer
	// retained: the follower must forget what it derived and start at Head.
	ErrFeedGone = errors.New("feed position is no longer retained")
	// ErrInvalid says that an argument was refused before anything changed;
	// the message names the argument.
	ErrInvalid = errors.New("invalid argument")
)

// Invalidf is an ErrInvalid with a reason for the caller to read.
func Invalidf(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrInvalid, fmt.Sprintf(format, args...))
}

// Duration is a time.Duration that reads and writes itself as text ("24h0m0s")
// in JSON and YAML.
type Duration time.Duration

// MarshalText writes d as time.Duration.String does.
func (d Duration) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }

// UnmarshalText reads what time.ParseDuration accepts.
func (d *Duration) UnmarshalText(text []byte) error {
	v, err := time.ParseDuration(string(text))
	if err != nil {
		return err
	}
	*d = Duration(v)
	return nil
}
