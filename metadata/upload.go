package metadata

import (
	"context"
	"iter"
	"time"
)

// Upload is a multipart upload in progress. Template holds what the finished
// version will carry: bucket, key, ID, blob key, headers, metadata, tags, owner.
type Upload struct {
	ID       string // opaque to clients; a ULID
	Template Version
	// Initiator is the user who began the upload, empty for nobody known. The object
	// may become another's.
	Initiator string
	// Region took the upload and holds its parts.
	Region string
	// StoreUpload is the blob store's name of the upload.
	StoreUpload string
	// ChecksumAlgorithm (lower case) and ChecksumType as the client chose them
	// at creation; empty where it did not.
	ChecksumAlgorithm string
	ChecksumType      string
	Created           time.Time
}

// Part is an uploaded part.
type Part struct {
	Number    int
	Size      int64
	ETag      string // hex MD5 of the part
	Checksums map[string]string
	CRC64     uint64 // CRC-64/NVME of the part, as it is stored
	// Salt is that of the part's bytes, where they are encrypted.
	Salt []byte
	// StorePart is the blob store's handle of these bytes: a part uploaded
	// again gets another.
	StorePart string
	Modified  time.Time
}

// UploadQuery asks for a page of the uploads in progress, by key and then by
// age, as ListMultipartUploads orders them.
type UploadQuery struct {
	Bucket, Prefix, Delimiter string
	KeyMarker, UploadMarker   string
	Limit                     int
}

// UploadPage is a page of uploads.
type UploadPage struct {
	Uploads             []Upload
	Prefixes            []string
	Truncated           bool
	NextKey, NextUpload string
}

// Uploads keeps multipart uploads until they are completed or aborted.
type Uploads interface {
	// CreateUpload refuses a region where the bucket may not be with
	// ErrResidency.
	CreateUpload(ctx context.Context, u Upload) error
	// Upload finds an upload; bucket and key must be those it was made for.
	Upload(ctx context.Context, bucket, key, id string) (Upload, error)
	// PutPart records a part and returns the one of the same number that it
	// replaced, so that its bytes can be freed.
	PutPart(ctx context.Context, uploadID string, p Part) (replaced *Part, err error)
	// Parts yields the recorded parts with numbers above after, in order.
	Parts(ctx context.Context, uploadID string, after int) iter.Seq2[Part, error]
	// CompleteUpload commits v as Objects.Commit does and forgets the upload,
	// in one transaction. ErrNoSuchUpload if somebody else ended it first.
	CompleteUpload(ctx context.Context, uploadID string, v Version, c Cond) (Version, error)
	// AbortUpload forgets the upload; its parts are the store's to free.
	AbortUpload(ctx context.Context, uploadID string) (Upload, error)
	ListUploads(ctx context.Context, q UploadQuery) (UploadPage, error)
	// StaleUploads yields the uploads of a region created before t.
	StaleUploads(ctx context.Context, region string, t time.Time) iter.Seq2[Upload, error]
}

// DroppedBlob is a blob that no version names any more.
type DroppedBlob struct {
	Blob    string
	Dropped time.Time
}

// Blobs is the sweeper's and the replicator's view of the catalogue.
type Blobs interface {
	// Placed records that a durable copy of the blob exists in region, with the
	// event blob.placed unless that was known. The copy of a version that was
	// removed meanwhile is Dropped in that region too. ErrNoSuchVersion if
	// nothing names the blob: the copy is an orphan. Where the region has a former
	// copy to free it fails: what lies there is about to go.
	Placed(ctx context.Context, blob, region string) error
	// Referenced says for each blob whether a version or an upload in progress
	// names it, or whether it waits among those Dropped: whoever is in the middle
	// of reading such a one may finish.
	Referenced(ctx context.Context, blobs []string) ([]bool, error)
	// Dropped lists blobs held by region that became unreachable before t, or
	// unwanted there, oldest first.
	Dropped(ctx context.Context, region string, before time.Time, limit int) ([]DroppedBlob, error)
	// Freed forgets dropped blobs whose bytes are gone from region.
	Freed(ctx context.Context, region string, blobs []string) error
}
