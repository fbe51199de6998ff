package metadata

import (
	"context"
	"errors"
	"time"
)

// Resumable is an upload of which a client sends the bytes in order, over as
// many requests as it takes (tus). Its bytes become parts of a multipart upload
// with the same ID, except for the tail: what is too short for a part of its own
// waits in the catalogue until more comes. What Offset counts is durable.
type Resumable struct {
	ID          string // that of the Upload, and of the version to be
	Bucket, Key string
	Region      string // holds the parts
	Owner       string // user that created it
	// Meta is what the client said of the file, to be given back as it came.
	Meta map[string]string

	Length int64 // of the object; -1 while the client has not said
	Offset int64 // how many of the object's bytes are there
	Parts  int   // how many parts are recorded, numbered from 1
	Tail   int64 // how many bytes at the end are in no part
	// Head are the first bytes of the object, up to ResumableHead, by which its
	// type can be told.
	Head []byte

	Created, Expires time.Time
	// Done says that it became an object: the version with its ID, with this
	// ETag, written by the event Seq (zero where that was forgotten).
	Done bool
	ETag string
	Seq  Seq
}

// ResumableHead bounds Resumable.Head.
const ResumableHead = 512

// ErrNotHeld refuses a change of a resumable upload by who does not hold it, or
// no longer: another one has taken it over.
var ErrNotHeld = errors.New("the upload is held by another request")

// Advance is what a request adds to a resumable upload: parts, of which the
// first begins with the tail there was, and a new tail behind them.
type Advance struct {
	From, To int64 // offset before and after
	Parts    []Part
	// Tail is appended to the tail there was if there are no parts.
	Tail    []byte
	Head    []byte    // of the object, where it has grown
	Expires time.Time // the new one
}

// Resumables keeps resumable uploads. An upload is changed only by who holds it:
// holders are named <node>/<boot>/<anything>, and what an earlier boot of a node
// held is free.
type Resumables interface {
	CreateResumable(ctx context.Context, r Resumable) error
	// Resumable finds an upload; one that has expired is ErrNoSuchUpload.
	Resumable(ctx context.Context, id string) (Resumable, error)
	// HoldResumable takes the upload for holder, for as long as given or until
	// it is released, or prolongs that. Where somebody else holds it that one
	// learns that it is wanted, and the error is ErrNotHeld. wanted says that
	// somebody else asked for it.
	HoldResumable(ctx context.Context, id, holder string, d time.Duration) (wanted bool, err error)
	ReleaseResumable(ctx context.Context, id, holder string) error
	// AdvanceResumable records what was stored, all of it or nothing, and
	// returns the parts that were replaced. ErrNoSuchUpload if the multipart
	// upload has ended.
	AdvanceResumable(ctx context.Context, id, holder string, a Advance) (replaced []Part, err error)
	// ResumableTail reads the tail.
	ResumableTail(ctx context.Context, id string) ([]byte, error)
	SetResumableLength(ctx context.Context, id, holder string, length int64) error
	// FinishResumable records that the upload became the version v.
	FinishResumable(ctx context.Context, id string, v Version) error
	DeleteResumable(ctx context.Context, id string) error
	// ExpiredResumables lists uploads of a region that have expired and are
	// held by nobody, oldest first.
	ExpiredResumables(ctx context.Context, region string, limit int) ([]Resumable, error)
}
