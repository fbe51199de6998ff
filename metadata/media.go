package metadata

import (
	"context"
	"time"
)

// Kinds of a media record.
const (
	KindPhoto = "photo"
	KindVideo = "video"
)

// States of a media record.
const (
	MediaPending    = "pending"    // announced by POST /v1/media; no object yet
	MediaProcessing = "processing" // the object is there and is being looked at
	MediaReady      = "ready"
	MediaFailed     = "failed" // the object could not be read as what it says it is
)

// Media is the record of a photo or video. There is at most one for a bucket
// and key; it follows the current version.
type Media struct {
	ID          string `json:"id"` // ULID
	Kind        string `json:"kind"`
	Bucket      string `json:"bucket"`
	Key         string `json:"key"`
	VersionID   string `json:"version_id,omitempty"`
	Size        int64  `json:"size"`
	ETag        string `json:"etag,omitempty"`
	ContentType string `json:"content_type,omitempty"`
	// Blob and Regions name the bytes; the API turns them into BlobURLs.
	Blob     string            `json:"-"`
	Regions  []string          `json:"regions"`
	BlobURLs map[string]string `json:"blob_urls"` // by region, set by the API
	EdgeURLs map[string]string `json:"edge_urls"` // by region, set by the API

	Title       string     `json:"title"`
	Description string     `json:"description"`
	Tags        []string   `json:"tags"`
	Width       int        `json:"width,omitempty"`    // as displayed, rotation applied
	Height      int        `json:"height,omitempty"`   // likewise
	Duration    float64    `json:"duration,omitempty"` // seconds
	Codecs      []string   `json:"codecs,omitempty"`   // RFC 6381: "avc1.64001f", "mp4a.40.2"
	TakenAt     *time.Time `json:"taken_at,omitempty"`
	State       string     `json:"state"`
	Error       string     `json:"error,omitempty"` // why State is failed
	Views       int64      `json:"views"`
	Created     time.Time  `json:"created"`
	Updated     time.Time  `json:"updated"`
}

// MediaQuery asks for a page of records, newest first.
type MediaQuery struct {
	Kind   string
	Q      string // full text over title, description, tags and key
	Tag    string
	Bucket string
	Cursor string // opaque, from MediaPage.Next
	Limit  int    // 1 to 200
}

// MediaPage is a page of records; Next is empty on the last one.
type MediaPage struct {
	Media []Media
	Next  string
}

// MediaRecords keeps the media records.
type MediaRecords interface {
	// UpsertMedia creates the record of m.Bucket and m.Key or changes the one
	// there is. change gets the record as it is (ID empty if new) and sets what
	// it wants; its error is returned and changes nothing.
	UpsertMedia(ctx context.Context, bucket, key string, change func(*Media) error) (Media, error)
	Media(ctx context.Context, id string) (Media, error)
	// UpdateMedia changes the record with that ID under a row lock.
	UpdateMedia(ctx context.Context, id string, change func(*Media) error) (Media, error)
	ListMedia(ctx context.Context, q MediaQuery) (MediaPage, error)
	DeleteMedia(ctx context.Context, id string) error
	// DropMedia deletes the record of an object that is gone; none is no error.
	// A record that a newer version has taken over is left alone.
	DropMedia(ctx context.Context, bucket, key, versionID string) error
}
