package metadata

import (
	"context"
	"errors"
	"time"
)

// ErrCopyLost says that a copy is no longer the asker's to make: its lease ran
// out and somebody else took it, or nobody wants it any more.
var ErrCopyLost = errors.New("the copy is no longer ours to make")

// Copy is a copy of a blob that a region has yet to make, as it was handed out
// by TakeCopies.
type Copy struct {
	Ref    // the version: bucket, key, ULID
	Blob   string
	Region string // that makes it
	Size   int64
	Queued time.Time
	Tries  int    // how often it was handed out, this time included
	Holder string // who it was handed to
	// Upload is the upload in the region's store where a copy before broke off;
	// CopyParts has what is in it.
	Upload string
}

// CopyPart is a part of a copy that the region's store holds already.
type CopyPart struct {
	Number    int
	Size      int64
	CRC64     uint64
	StorePart string // the store's handle
}

// Backlog is what a region has yet to copy.
type Backlog struct {
	Region  string
	Objects int64
	Bytes   int64
	Oldest  time.Time // when the oldest of them was written, or asked for; zero where there is none
	// Failing counts those whose last try failed; Error and Failed are of the
	// latest failure among them.
	Failing int64
	Error   string
	Failed  time.Time
}

// Copies is the queue of the copies that buckets want by their placement. What a
// new version lacks is queued by the transaction that makes it, what a changed
// placement lacks by and by (ReviewPlacements). A copy leaves the queue by
// Blobs.Placed, with its version, or when the placement ceases to want it.
type Copies interface {
	// AddRegion makes a region one of those that "all" means, from now on; one
	// that is known is no error. An origin calls it when it starts.
	AddRegion(ctx context.Context, region string) error
	// KnownRegions are those regions, by name.
	KnownRegions(ctx context.Context) ([]string, error)
	// TakeCopies hands out up to limit copies that are due in region, longest due
	// first. They are holder's for the time of the lease, and due again then.
	TakeCopies(ctx context.Context, region, holder string, limit int, lease time.Duration) ([]Copy, error)
	// KeepCopy lengthens the lease to end after that time from now. This and the
	// following fail with ErrCopyLost where the copy is not c.Holder's any more.
	KeepCopy(ctx context.Context, c Copy, lease time.Duration) error
	// CopyUpload records the store's upload by which the copy is made, and
	// forgets the parts of the one before. Empty: the copy begins anew.
	CopyUpload(ctx context.Context, c Copy, upload string) error
	// AddCopyPart records a part, in place of the one of the same number.
	AddCopyPart(ctx context.Context, c Copy, p CopyPart) error
	// CopyParts are the recorded parts, by number.
	CopyParts(ctx context.Context, c Copy) ([]CopyPart, error)
	// CopyFailed gives the copy back, to be due after a while; without a reason
	// it was interrupted, and did not fail.
	CopyFailed(ctx context.Context, c Copy, reason string, after time.Duration) error
	// DropCopy takes a copy whose version is gone out of the queue.
	DropCopy(ctx context.Context, c Copy) error
	// CopyTries is the greatest number of times that a copy of the blob was tried
	// in vain; zero where all are fresh, or none is waiting.
	CopyTries(ctx context.Context, blob string) (int, error)
	// ReviewPlacements compares up to limit versions of a bucket whose placement
	// has changed with it, queues the copies that are missing, and gives up those
	// that are not wanted, once all that are wanted exist; their bytes are then
	// Dropped. more is false when there is nothing to do at present.
	ReviewPlacements(ctx context.Context, limit int) (more bool, err error)
	// Backlogs are what every region has waiting, by region; those without are
	// left out.
	Backlogs(ctx context.Context) ([]Backlog, error)
	// NamedUploads says for each upload of a store whether an upload in progress
	// or a copy still goes by it.
	NamedUploads(ctx context.Context, uploads []string) ([]bool, error)
}
