package metadata

import (
	"context"
	"encoding/json"
	"strings"
	"time"
	"unicode/utf8"
)

// Types of events.
const (
	ObjectCreated = "object.created"
	ObjectUpdated = "object.updated" // what is said of a version changed, not its bytes
	ObjectDeleted = "object.deleted" // removed, or hidden by a delete marker
	BucketCreated = "bucket.created"
	BucketUpdated = "bucket.updated"
	BucketDeleted = "bucket.deleted"
	BlobPlaced    = "blob.placed"
	BlobRemoved   = "blob.removed" // a copy that the placement no longer wants
	KeyChanged    = "key.changed"  // an access key was made, changed or revoked
	PurgeAsked    = "purge"        // Data is a Purge
	MediaDone     = "media.ready"  // a record became MediaReady; Data is a MediaData
	MediaBroken   = "media.failed" // or MediaFailed
	WarmAsked     = "warm"         // Data is a WarmData
	ZoneChanged   = "zone.changed" // through a pull zone something was changed at its origin; Data is a ZoneData
)

// Event is one entry of the feed: a change, written in the transaction that
// made it.
type Event struct {
	Seq       Seq             `json:"seq"`
	Time      time.Time       `json:"time"`
	Type      string          `json:"type"`
	Bucket    string          `json:"bucket,omitempty"`
	Key       string          `json:"key,omitempty"`
	VersionID string          `json:"version_id,omitempty"` // the ULID
	Region    string          `json:"region,omitempty"`     // that took the change, or of the copy
	Data      json.RawMessage `json:"data,omitempty"`       // by Type: ObjectData, KeyData, Purge, WarmData, ZoneData
	// Cause is who made the change, of object events; it stays inside, since it
	// tells of people.
	Cause Cause `json:"-"`
}

// Cause is by what a change came about, for those who are told of it later.
// Fields are empty where they are not known. The names are stored: they never
// change.
type Cause struct {
	Operation string `json:"op,omitempty"`   // ByPut, ...
	User      string `json:"user,omitempty"` // who asked for it
	Address   string `json:"addr,omitempty"` // the IP that they asked from
	Request   string `json:"req,omitempty"`  // the ID of their request
}

// Operations of a Cause.
const (
	ByPut       = "Put"
	ByPost      = "Post" // a form
	ByCopy      = "Copy"
	ByMultipart = "CompleteMultipartUpload"
	ByDelete    = "Delete"
	ByLifecycle = "LifecycleExpiration"
)

// ObjectData is the Data of object events.
type ObjectData struct {
	Size        int64  `json:"size"`
	ETag        string `json:"etag,omitempty"`
	ContentType string `json:"content_type,omitempty"` // or Version.Sniffed
	Marker      bool   `json:"delete_marker,omitempty"`
	// Permanent says of object.deleted that the version is gone, and not only
	// hidden by a marker, which is what the event is about otherwise.
	Permanent bool `json:"permanent,omitempty"`
	// Current says whether the change touched the current version of the key.
	Current bool `json:"current"`
	// Changed names what an object.updated is about.
	Changed []string `json:"changed,omitempty"`
}

// Values of ObjectData.Changed.
const (
	ChangedTags = "tags"
	ClearedTags = "tags-cleared" // changed to none
	ChangedLock = "lock"         // retention or legal hold
	ChangedACL  = "acl"
)

// ZoneData is the Data of zone.changed: what caches have to forget. The node that says
// so has done it.
type ZoneData struct {
	Node    string       `json:"node"`
	Targets []ZoneTarget `json:"targets"`
}

// ZoneTarget is a target of a pull zone: path and query as a request had them, the
// bucket left out.
type ZoneTarget struct {
	Bucket string `json:"bucket"`
	Target string `json:"target"`
	// Again: the node that says so has to forget it once more, since a cache behind it
	// was not told, of which it may have got it again.
	Again bool `json:"again,omitempty"`
}

// Limits of what one Push may say of pull zones. It becomes one event, and whoever
// follows the feed takes no longer ones than a few MiB.
const (
	MaxZoneTargets     = 1000
	MaxZoneTargetBytes = 8 << 10   // of each
	MaxZoneBytes       = 256 << 10 // of all together
)

// Check refuses what no event can carry, with ErrInvalid.
func (z ZoneTarget) Check() error {
	if err := CheckBucketName(z.Bucket); err != nil {
		return err
	}
	if len(z.Target) > MaxZoneTargetBytes || !utf8.ValidString(z.Target) || strings.ContainsRune(z.Target, 0) {
		return Invalidf("target %.80q of pull zone %s is too long or not text", z.Target, z.Bucket)
	}
	return nil
}

// MediaData is the Data of media events.
type MediaData struct {
	ID    string `json:"id"` // of the record
	Kind  string `json:"kind"`
	Error string `json:"error,omitempty"` // why it failed
}

// Feed is the ordered stream of events. Nothing appears later below a Seq that
// was already delivered, also when transactions commit out of order.
type Feed interface {
	// Head is the greatest Seq of any committed event. Whoever has applied
	// everything up to it has seen every change acknowledged before the call.
	Head(ctx context.Context) (Seq, error)
	// Poll returns up to limit events after the given Seq that may be
	// delivered now; none is not an error. ErrFeedGone if some of those after
	// it were already removed, or if this feed has not come as far: the
	// catalogue was restored from a backup.
	Poll(ctx context.Context, after Seq, limit int) ([]Event, error)
	// Wait returns when there may be more to Poll: at a doorbell, or after
	// 200 ms, since doorbells may get lost. It returns ctx's error when ctx
	// ends.
	Wait(ctx context.Context) error
}

// Follower delivers events as they come.
type Follower interface {
	// Follow calls fn for every event after the given Seq, in order, until ctx
	// ends, fn fails or the stream breaks, and returns why it ended.
	Follow(ctx context.Context, after Seq, fn func(Event) error) error
}

// FollowFeed is Follower.Follow over a Feed.
func FollowFeed(ctx context.Context, f Feed, after Seq, fn func(Event) error) error {
	const batch = 1000
	for {
		events, err := f.Poll(ctx, after, batch)
		if err != nil {
			return err
		}
		for _, e := range events {
			if err := fn(e); err != nil {
				return err
			}
			after = e.Seq
		}
		if len(events) == batch {
			continue
		}
		if err := f.Wait(ctx); err != nil {
			return err
		}
	}
}

// Cursors keeps how far a named durable follower (media jobs, replication) has
// come, so that it goes on there after a restart.
type Cursors interface {
	Cursor(ctx context.Context, name string) (Seq, error) // zero if never saved
	SaveCursor(ctx context.Context, name string, s Seq) error
}
