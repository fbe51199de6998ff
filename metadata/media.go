package metadata

import (
	"context"
	"math"
	"strings"
	"time"
	"unicode/utf8"
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
	// Renditions are what the system makes of this version to serve it better.
	Renditions []Rendition `json:"renditions"`
	State      string      `json:"state"`
	Error      string      `json:"error,omitempty"` // why State is failed
	Views      int64       `json:"views"`
	Created    time.Time   `json:"created"`
	Updated    time.Time   `json:"updated"`
}

// Limits of what people write into a media record.
const (
	MaxTitle       = 1_000  // bytes
	MaxDescription = 50_000 // bytes
	MaxTags        = 100
	MaxTag         = 256 // bytes
)

// Check refuses a record that cannot be kept with ErrInvalid.
func (m *Media) Check() error {
	switch m.Kind {
	case KindPhoto, KindVideo:
	default:
		return Invalidf("media kind %q is neither photo nor video", m.Kind)
	}
	switch m.State {
	case MediaPending, MediaProcessing, MediaReady, MediaFailed:
	default:
		return Invalidf("media state %q is unknown", m.State)
	}
	if err := CheckKey(m.Key); err != nil {
		return err
	}
	switch {
	case len(m.Title) > MaxTitle:
		return Invalidf("title has %d bytes, more than %d", len(m.Title), MaxTitle)
	case len(m.Description) > MaxDescription:
		return Invalidf("description has %d bytes, more than %d", len(m.Description), MaxDescription)
	case len(m.Tags) > MaxTags:
		return Invalidf("%d tags are more than %d", len(m.Tags), MaxTags)
	case m.Width < 0, m.Height < 0, m.Width > math.MaxInt32, m.Height > math.MaxInt32:
		return Invalidf("dimensions %d x %d are out of range", m.Width, m.Height)
	case !(m.Duration >= 0) || math.IsInf(m.Duration, 0):
		return Invalidf("duration %v is out of range", m.Duration)
	case m.Size < 0:
		return Invalidf("size %d is negative", m.Size)
	}
	for _, tag := range m.Tags {
		if tag == "" || len(tag) > MaxTag {
			return Invalidf("tag %q is empty or has more than %d bytes", tag, MaxTag)
		}
	}
	text := [][]string{
		{m.VersionID, m.ETag, m.ContentType, m.Blob, m.Title, m.Description, m.Error},
		m.Tags, m.Codecs, m.Regions,
	}
	for _, r := range m.Renditions {
		if err := r.check(); err != nil {
			return err
		}
		text = append(text, []string{r.Kind, r.ETag, r.ContentType, r.Error})
	}
	for _, list := range text {
		for _, s := range list {
			if !utf8.ValidString(s) || strings.ContainsRune(s, 0) {
				return Invalidf("media record holds text that is not UTF-8 or has a NUL character: %q", s)
			}
		}
	}
	return nil
}

// MediaQuery asks for a page of records, newest first.
type MediaQuery struct {
	Kind string
	// Q is full text over title, description, tags and key: words that must
	// all be there, the last one as a prefix, "phrases", or, -not.
	Q      string
	Tag    string
	Bucket string
	State  string // MediaPending, MediaProcessing, ...
	// Rendition selects records that have a rendition in this state.
	Rendition string
	Cursor    string // opaque, from MediaPage.Next
	Limit     int    // 1 to 200
}

// MediaPage is a page of records; Next is empty on the last one.
type MediaPage struct {
	Media []Media
	Next  string
}

// MediaRecords keeps the media records. One that becomes MediaReady or
// MediaFailed writes the event MediaDone or MediaBroken, in the same transaction.
type MediaRecords interface {
	// UpsertMedia creates the record of m.Bucket and m.Key or changes the one
	// there is. change gets the record as it is (ID empty if new) and sets what
	// it wants; its error is returned and changes nothing. Bucket, Key, Views and
	// Created are the catalogue's; a new record gets an ID where change sets
	// none. What Check refuses is refused. No bucket: ErrNoSuchBucket.
	UpsertMedia(ctx context.Context, bucket, key string, change func(*Media) error) (Media, error)
	// Media finds a record; ErrNoSuchMedia if there is none.
	Media(ctx context.Context, id string) (Media, error)
	// UpdateMedia changes the record with that ID under a row lock.
	UpdateMedia(ctx context.Context, id string, change func(*Media) error) (Media, error)
	// ListMedia returns a page, newest first. ErrInvalid for a limit out of
	// range or a cursor that no page gave.
	ListMedia(ctx context.Context, q MediaQuery) (MediaPage, error)
	DeleteMedia(ctx context.Context, id string) error
	// DropMedia deletes the record of an object that is gone; none is no error.
	// A record that a newer version has taken over is left alone: versionID is
	// the version that was removed, or the delete marker that hides it, and
	// records of versions up to it, in the order of ULIDs, are deleted.
	DropMedia(ctx context.Context, bucket, key, versionID string) error
	// MediaTraces says of each of these objects what there is of it, all as of
	// one moment. Version IDs do not count; of what cannot exist there is nothing.
	MediaTraces(ctx context.Context, objects []Ref) ([]MediaTrace, error)
}

// MediaTrace is what there is of an object.
type MediaTrace struct {
	Record  bool // a media record
	Current bool // a current version
}
