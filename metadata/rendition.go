package metadata

import (
	"context"
	"strings"
	"time"
)

// RenditionFaststart is the kind of a rendition that is the same video with its
// index in front, so that it plays while it comes.
const RenditionFaststart = "faststart"

// States of a rendition.
const (
	RenditionPending = "pending" // to be made; Error tells why the last try failed
	RenditionReady   = "ready"
	RenditionFailed  = "failed" // cannot be made of this file; Error tells why
)

// Rendition is what the system makes of a photo or video to serve it better. It
// is an object of its own in RenditionBucket; the original is never touched.
type Rendition struct {
	Kind        string `json:"kind"`
	State       string `json:"state"`
	Key         string `json:"key"` // in RenditionBucket
	Size        int64  `json:"size,omitempty"`
	ETag        string `json:"etag,omitempty"`
	ContentType string `json:"content_type,omitempty"`
	Error       string `json:"error,omitempty"`
}

// RenditionKey is where in RenditionBucket a rendition of a version is kept. ext
// is that of its name, with the dot.
func RenditionKey(bucket, versionID, kind, ext string) string {
	return bucket + "/" + versionID + "/" + kind + ext
}

// RenditionSource is the bucket and the version of which a rendition was made;
// empty if key is not one of RenditionKey.
func RenditionSource(key string) (bucket, versionID string) {
	parts := strings.Split(key, "/")
	if len(parts) != 3 {
		return "", ""
	}
	return parts[0], parts[1]
}

// Check refuses a rendition that cannot be kept with ErrInvalid.
func (r *Rendition) check() error {
	switch r.State {
	case RenditionPending, RenditionReady, RenditionFailed:
	default:
		return Invalidf("rendition state %q is unknown", r.State)
	}
	if r.Kind == "" || r.Size < 0 {
		return Invalidf("rendition %q of %d bytes has no kind or no size", r.Kind, r.Size)
	}
	return CheckKey(r.Key)
}

// Renditions tells which renditions nobody needs any more. A key is dropped in
// the transaction that takes it out of a media record, in whatever way: the
// source was overwritten or deleted, or its bucket was.
type Renditions interface {
	// DroppedRenditions returns up to limit keys in RenditionBucket that were
	// dropped, no record has since, and are due to be removed.
	DroppedRenditions(ctx context.Context, limit int) ([]string, error)
	// RenditionsRemoved says that there is nothing under these keys now. Who was
	// making one meanwhile may yet put it there: a key that was dropped less
	// than keep ago is due once more after a while, others are forgotten.
	RenditionsRemoved(ctx context.Context, keys []string, keep time.Duration) error
}
