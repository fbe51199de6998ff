package api

import (
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"mime"
	"strings"
	"time"

	"meridian/internal/seal"
	"meridian/metadata"
	"meridian/metadata/media/probe"
	"meridian/upload/presign"
)

// ticket is all that is kept of an upload beside what the catalogue knows: its
// ID is the ticket itself, sealed, so any process of the role knows the upload,
// also after a restart.
type ticket struct {
	Bucket      string    `json:"b"`
	Key         string    `json:"k"`
	Upload      string    `json:"u,omitempty"` // S3's ID, if it is multipart
	Mark        string    `json:"m,omitempty"` // else what its object carries
	Region      string    `json:"r"`           // of the origin
	User        string    `json:"w"`
	Size        int64     `json:"s"`
	PartSize    int64     `json:"p,omitempty"`
	ContentType string    `json:"t,omitempty"`
	Algorithm   string    `json:"a,omitempty"`
	Checksum    string    `json:"c,omitempty"`
	Replaces    string    `json:"o,omitempty"` // ETag of what a single PUT may overwrite
	Expires     time.Time `json:"e"`
	// What the media record will say when the upload is complete.
	Title       *string   `json:"i,omitempty"`
	Description *string   `json:"n,omitempty"`
	Tags        *[]string `json:"g,omitempty"`
}

// texts are what goes into the media record.
func (t *ticket) texts() *newMedia {
	return &newMedia{Title: t.Title, Description: t.Description, Tags: t.Tags}
}

func newTicketSealer(clusterSecret string) (*seal.Sealer, error) {
	key, err := hkdf.Key(sha256.New, []byte(clusterSecret), nil, "meridian upload 1", seal.KeySize)
	if err != nil {
		return nil, fmt.Errorf("derive upload key: %w", err)
	}
	return seal.New([seal.KeySize]byte(key))
}

func (a *API) sealTicket(t ticket) (string, error) {
	text, err := json.Marshal(t)
	if err != nil {
		return "", err
	}
	return base64.RawURLEncoding.EncodeToString(a.tickets.Seal(text, uploadContext)), nil
}

// ticket opens the ID in the path. An upload is its owner's, and administrators'.
func (c *call) ticket() (t ticket, err error) {
	unknown := tell(metadata.ErrNoSuchUpload, "there is no such upload, or its time is over")
	sealed, err := base64.RawURLEncoding.DecodeString(c.param("id"))
	if err != nil {
		return t, unknown
	}
	text, err := c.tickets.Open(sealed, uploadContext)
	if err != nil || json.Unmarshal(text, &t) != nil {
		return t, unknown
	}
	if !c.now().Before(t.Expires) || t.User != c.who.user && c.who.role != metadata.RoleAdmin {
		return t, unknown
	}
	return t, nil
}

func (t *ticket) object() presign.Object {
	o := presign.Object{
		Bucket: t.Bucket, Key: t.Key, Size: t.Size, ContentType: t.ContentType, Algorithm: t.Algorithm, Checksum: t.Checksum,
		Replaces: t.Replaces,
	}
	if t.Mark != "" {
		o.Metadata = map[string]string{uploadMark: t.Mark}
	}
	return o
}

func (t *ticket) partCount() int {
	if t.Upload == "" {
		return 0
	}
	return int((t.Size + t.PartSize - 1) / t.PartSize)
}

// partBytes is the size of part n.
func (t *ticket) partBytes(n int) int64 {
	return min(t.PartSize, t.Size-int64(n-1)*t.PartSize)
}

// plan checks what is asked for, and makes a ticket of it.
func (c *call) plan(in *newUpload) (ticket, error) {
	var wrong fieldErrors
	add := func(field, format string, args ...any) {
		wrong = append(wrong, FieldError{field, fmt.Sprintf(format, args...)})
	}
	t := ticket{Bucket: in.Bucket, Key: in.Key, User: c.who.user, ContentType: in.ContentType, PartSize: in.PartSize}
	if t.Key == "" {
		t.Key = metadata.FileName(in.Filename)
	}
	if in.Bucket == "" {
		add("bucket", "is missing")
	} else if metadata.IsSystemBucket(in.Bucket) {
		add("bucket", "%s", errSystemBucket)
	}
	if t.Key == "" {
		add("key", "is missing, and there is no filename to take it from")
	} else if err := metadata.CheckKey(t.Key); err != nil {
		add("key", "%s", reason(err))
	}
	if in.ContentType != "" && !isContentType(in.ContentType) {
		add("content_type", "%.60q is not a media type such as image/png", in.ContentType)
	}
	if t.ContentType == "" {
		t.ContentType = probe.TypeOf("", t.Key)
	}
	switch {
	case in.Size == nil:
		add("size", "is missing")
	case *in.Size < 0 || *in.Size > maxUploadSize:
		add("size", "%d is not between 0 and %d", *in.Size, int64(maxUploadSize))
	default:
		t.Size = *in.Size
	}
	if in.PartSize != 0 && (in.PartSize < minPartSize || in.PartSize > maxPartSize) {
		add("part_size", "%d is not between %d and %d", in.PartSize, minPartSize, int64(maxPartSize))
	} else if in.PartSize > 0 && t.Size > in.PartSize*maxParts {
		add("part_size", "%d bytes in parts of %d are more than %d parts", t.Size, in.PartSize, maxParts)
	}
	if t.PartSize == 0 {
		least := (t.Size + maxParts - 1) / maxParts
		t.PartSize = max(defaultPartSize, (least+1<<20-1)>>20<<20)
	}
	life := defaultUploadTime
	if in.Expires != nil {
		if life = time.Duration(*in.Expires); life < time.Minute || life > maxUploadTime {
			add("expires", "%s is not between %s and %s", life, time.Minute, maxUploadTime)
		}
	}
	t.Expires = c.now().Add(life).UTC().Truncate(time.Second)
	if in.Checksum != nil {
		t.Algorithm, t.Checksum = strings.ToLower(in.Checksum.Algorithm), in.Checksum.Value
		checkSum(&t, add)
	}
	t.Title, t.Description, t.Tags = in.Title, in.Description, in.Tags
	if wrong = append(wrong, t.checkTexts()...); len(wrong) > 0 {
		return t, wrong
	}
	if t.hasTexts() && probe.KindOf(probe.TypeOf(t.ContentType, t.Key)) == "" {
		return t, tell(errNotMedia, "title, description and tags are for photos and videos; %q is neither", t.Key)
	}
	return t, nil
}

func (t *ticket) hasTexts() bool { return t.Title != nil || t.Description != nil || t.Tags != nil }

// checkTexts says which texts a record, or the ticket until then, cannot keep.
func (t *ticket) checkTexts() fieldErrors {
	m := metadata.Media{}
	t.texts().apply(&m)
	if wrong := checkTexts(m); len(wrong) > 0 {
		return wrong
	}
	if n := len(m.Title) + len(m.Description) + len(strings.Join(m.Tags, "")); n > maxTexts {
		return fieldErrors{{"description", fmt.Sprintf(
			"with title and tags has %d bytes, more than the %d that an upload keeps; write longer ones by PATCH /v1/media/{id} when it is complete", n, maxTexts)}}
	}
	return nil
}

// isContentType says whether text is a media type that a header can carry.
func isContentType(text string) bool {
	if len(text) > 255 || strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r > '~' }) {
		return false
	}
	kind, _, err := mime.ParseMediaType(text)
	return err == nil && strings.Contains(kind, "/")
}

// sumSizes are the lengths of checksums in bytes.
func sumSizes() map[string]int {
	return map[string]int{"crc32": 4, "crc32c": 4, "crc64nvme": 8, "sha1": 20, "sha256": 32}
}

func checkSum(t *ticket, add func(field, format string, args ...any)) {
	size, known := sumSizes()[t.Algorithm]
	sum, err := base64.StdEncoding.DecodeString(t.Checksum)
	switch {
	case !known:
		add("checksum.algorithm", "%.40q is none of crc32, crc32c, crc64nvme, sha1 and sha256", t.Algorithm)
	case err != nil || len(sum) != size:
		add("checksum.value", "%.60q is not %d bytes in base64", t.Checksum, size)
	case t.Size > t.PartSize && strings.HasPrefix(t.Algorithm, "sha"):
		add("checksum.algorithm", "of %d bytes in parts must be crc32, crc32c or crc64nvme; %s cannot be computed of parts", t.Size, t.Algorithm)
	}
}
