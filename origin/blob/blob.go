// Package blob defines the store of immutable bytes that every region has. Its
// children implement it (disk; S3 and MinIO clients) and pass the conformance
// suite in blobtest.
package blob

import (
	"context"
	"errors"
	"io"
	"iter"
	"time"
)

// The errors of a store. A missing blob is fs.ErrNotExist.
var (
	// ErrExists refuses a second write of a key.
	ErrExists = errors.New("blob already exists")
	// ErrSize says that a reader ended before, or went on after, the size that
	// was announced.
	ErrSize = errors.New("body size differs from the announced size")
	// ErrNoUpload and ErrNoPart refuse handles that the store does not know.
	ErrNoUpload = errors.New("no such blob upload")
	ErrNoPart   = errors.New("no such blob part")
	// ErrNoSpace refuses a write for which there is no room.
	ErrNoSpace = errors.New("no space left for blobs")
	// ErrUnavailable says that the store cannot be reached, or fails for
	// everybody, and still did when it was asked again. It may pass.
	ErrUnavailable = errors.New("the store cannot be reached")
	// ErrCorrupt says that a blob's bytes are not those that were written.
	ErrCorrupt = errors.New("blob is corrupt")
)

// Info tells of a stored blob.
type Info struct {
	Key      string
	Size     int64
	CRC64    uint64 // CRC-64/NVME of all bytes; zero where only listed
	Modified time.Time
	Meta     Meta // what Put or Begin was given; told by Stat only
}

// Store keeps immutable bytes under keys of the form <bucket>/<version-id><ext>.
// A key is written once and never reused. All methods may run at once.
type Store interface {
	// Put stores all of r, or nothing: after a nil error the bytes are synced
	// to stable storage; after an error, a crash, or a reader that fails, no
	// blob exists under key. size is -1 where it is not known. Put does not
	// close r. m is kept with the blob and may be nil.
	Put(ctx context.Context, key string, size int64, r io.Reader, m Meta) (Info, error)
	// Open reads n bytes from offset off, or to the end where n is -1. A range
	// beyond the end is cut. The caller closes. Missing: fs.ErrNotExist.
	Open(ctx context.Context, key string, off, n int64) (io.ReadCloser, error)
	Stat(ctx context.Context, key string) (Info, error)
	// Delete removes blobs; missing ones are no error.
	Delete(ctx context.Context, keys ...string) error
	// List yields the blobs whose keys come after the given one, in byte order
	// of keys.
	List(ctx context.Context, after string) iter.Seq2[Info, error]

	Multipart
}

// Part is an uploaded part of a blob. ID is the store's handle of exactly these
// bytes: the same number uploaded again gets another.
type Part struct {
	Number int
	ID     string
	Size   int64
	CRC64  uint64
}

// Multipart builds a blob from parts, which may arrive in any order and at once.
type Multipart interface {
	// Begin starts an upload whose blob will have the metadata m.
	Begin(ctx context.Context, key string, m Meta) (upload string, err error)
	// PutPart stores one part under the promises of Put.
	PutPart(ctx context.Context, upload string, n int, size int64, r io.Reader) (Part, error)
	// Complete makes the blob of exactly these parts in this order and copies
	// no bytes; other parts of the upload are removed. Repeating a Complete
	// that succeeded succeeds.
	Complete(ctx context.Context, upload string, parts []Part) (Info, error)
	// Abort frees an upload and its parts; an unknown upload is no error.
	Abort(ctx context.Context, upload string) error
	// DropPart frees a part that was replaced.
	DropPart(ctx context.Context, upload string, p Part) error
	// Uploads yields the uploads in progress begun before t, for the sweeper.
	Uploads(ctx context.Context, before time.Time) iter.Seq2[Upload, error]
}

// Upload is an upload in progress in a store.
type Upload struct {
	ID    string
	Key   string
	Begun time.Time
}

// Watched is a Store on a server of its own, which may fail while we go on.
type Watched interface {
	// Reachable reports whether the store answered when it was last asked.
	Reachable() bool
	// Watch asks a store that nobody uses, or that did not answer, every few
	// seconds until ctx ends, so that Reachable is true to the moment.
	Watch(ctx context.Context) error
}

// Verifier is a Store that can compare a blob with a checksum of its own.
type Verifier interface {
	// Verify reads the whole blob and fails with ErrCorrupt if its bytes are
	// not those that were written.
	Verify(ctx context.Context, key string) error
}
