package api

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"slices"
	"time"

	"meridian/internal/hop"
	"meridian/metadata"
)

const (
	defaultObjects = 100
	maxObjects     = 1000
)

// objectPage is a page of a listing: keys in the byte order of UTF-8, versions
// of a key newest first. Next is the cursor of the page after it.
type objectPage struct {
	Objects []objectEntry `json:"objects"`
	// Prefixes stand for all keys that begin with them and go on.
	Prefixes []string `json:"prefixes"`
	Next     string   `json:"next,omitempty"`
}

// objectEntry is an object version as a listing tells of it.
type objectEntry struct {
	Bucket       string    `json:"bucket"`
	Key          string    `json:"key"`
	VersionID    string    `json:"version_id"` // a ULID, also where S3 says "null"
	Latest       bool      `json:"latest"`
	DeleteMarker bool      `json:"delete_marker,omitempty"`
	Size         int64     `json:"size"`
	ETag         string    `json:"etag,omitempty"` // without quotes
	ContentType  string    `json:"content_type,omitempty"`
	Modified     time.Time `json:"modified"`
	Owner        string    `json:"owner,omitempty"`
	// Regions hold the bytes durably.
	Regions []string `json:"regions"`
}

// object is all that is known of an object version.
type object struct {
	objectEntry
	// Headers are answered with it, by lower-case name, content-type among them.
	Headers map[string]string `json:"headers"`
	// Metadata came as x-amz-meta-*, by lower-case name without that.
	Metadata     map[string]string `json:"metadata"`
	Tags         map[string]string `json:"tags"`
	Checksums    map[string]string `json:"checksums"` // by algorithm, base64
	ChecksumType string            `json:"checksum_type,omitempty"`
	Parts        int               `json:"parts,omitempty"` // of a multipart object
	// Awaited are the regions that the bucket's placement wants a copy in and
	// that have none yet.
	Awaited  []string          `json:"awaited"`
	BlobURLs map[string]string `json:"blob_urls"` // by region
	EdgeURLs map[string]string `json:"edge_urls"` // by region; of the current version, unsigned
}

func entryOf(v metadata.Version) objectEntry {
	regions := v.Regions
	if regions == nil {
		regions = []string{}
	}
	return objectEntry{
		Bucket: v.Bucket, Key: v.Key, VersionID: v.ID, Latest: v.Latest, DeleteMarker: v.DeleteMarker, Size: v.Size, ETag: v.ETag,
		ContentType: v.ContentType, Modified: v.Modified, Owner: v.Owner, Regions: regions,
	}
}

// mayRead refuses the system's own buckets to all but administrators.
func (c *call) mayRead(bucket string) error {
	if metadata.IsSystemBucket(bucket) && c.who.caller() != admin {
		return errSystemBucket
	}
	return nil
}

func (c *call) listObjects() error {
	if err := c.mayRead(c.param("name")); err != nil {
		return err
	}
	limit, err := c.number("limit", defaultObjects, 1, maxObjects)
	if err != nil {
		return err
	}
	q := metadata.ListQuery{Bucket: c.param("name"), Prefix: c.query("prefix"), Delimiter: c.query("delimiter"), Limit: limit}
	if q.Versions, err = c.boolean("versions"); err != nil {
		return err
	}
	if q.After, q.AfterVersion, err = parseCursor(c.query("cursor")); err != nil {
		return err
	}
	list, err := c.store.List(c.ctx(), q)
	if err != nil {
		return err
	}
	page := objectPage{Objects: make([]objectEntry, len(list.Versions)), Prefixes: list.Prefixes}
	for i, v := range list.Versions {
		page.Objects[i] = entryOf(v)
	}
	if page.Prefixes == nil {
		page.Prefixes = []string{}
	}
	if list.Truncated {
		page.Next = formatCursor(list.Next, list.NextVersion)
		next := c.r.URL.Query()
		next.Set("cursor", page.Next)
		c.setHeader("Link", "<"+c.r.URL.EscapedPath()+"?"+next.Encode()+`>; rel="next"`)
	}
	return c.json(http.StatusOK, page)
}

// formatCursor hides where a listing goes on, so that it is ours to change.
func formatCursor(key, version string) string {
	text, err := json.Marshal([2]string{key, version})
	if err != nil {
		text = []byte("[]") // strings cannot fail
	}
	return base64.RawURLEncoding.EncodeToString(text)
}

func parseCursor(cursor string) (key, version string, err error) {
	if cursor == "" {
		return "", "", nil
	}
	var at []string
	text, err := base64.RawURLEncoding.DecodeString(cursor)
	if err != nil || json.Unmarshal(text, &at) != nil || len(at) != 2 || at[0] == "" {
		return "", "", badField("cursor", "is not the next of a page")
	}
	return at[0], at[1], nil
}

// objectRef is the object that the parameters name.
func (c *call) objectRef() (metadata.Ref, error) {
	r := metadata.Ref{Bucket: c.param("name"), Key: c.query("key"), VersionID: c.query("version_id")}
	if wrong := checkRef(r); len(wrong) > 0 {
		return r, wrong
	}
	return r, nil
}

// checkRef says what could be of no object.
func checkRef(r metadata.Ref) (wrong fieldErrors) {
	if r.Key == "" {
		wrong = append(wrong, FieldError{"key", "is missing"})
	} else if err := metadata.CheckKey(r.Key); err != nil {
		wrong = append(wrong, FieldError{"key", reason(err)})
	}
	if len(r.VersionID) > 100 || !isText(r.VersionID) {
		wrong = append(wrong, FieldError{"version_id", "is not the ID of a version"})
	}
	return wrong
}

func (c *call) getObject() error {
	if err := c.mayRead(c.param("name")); err != nil {
		return err
	}
	ref, err := c.objectRef()
	if err != nil {
		return err
	}
	v, err := c.store.Lookup(c.ctx(), ref)
	if err != nil {
		return err
	}
	o := object{
		objectEntry: entryOf(v), Headers: headersOf(v), Metadata: orEmpty(v.UserMetadata), Tags: orEmpty(v.Tags),
		Checksums: orEmpty(v.Checksums), ChecksumType: v.ChecksumType, Parts: len(v.Parts),
		BlobURLs: map[string]string{}, EdgeURLs: map[string]string{},
	}
	if o.Awaited, err = c.awaited(v); err != nil {
		return err
	}
	nodes, err := c.store.ListNodes(c.ctx())
	if err != nil {
		return err
	}
	bases := blobBases(nodes)
	for _, region := range v.Regions {
		if base, ok := bases[region]; ok && v.Blob != "" {
			o.BlobURLs[region] = base + v.Blob
		}
	}
	if v.Latest {
		for _, n := range edgesFor(nodes, v.Bucket, v.Key) {
			if o.EdgeURLs[n.Region] == "" {
				o.EdgeURLs[n.Region] = objectURL(n.PublicURL, v.Bucket, v.Key)
			}
		}
	}
	return c.json(http.StatusOK, o)
}

// awaited are the regions where a copy of v is wanted and missing.
func (c *call) awaited(v metadata.Version) ([]string, error) {
	b, err := c.store.Bucket(c.ctx(), v.Bucket)
	if err != nil {
		return nil, err
	}
	wanted := []string(b.Placement)
	switch {
	case len(wanted) == 0, len(wanted) == 1 && wanted[0] == "home":
		return []string{}, nil // where it was written is all there is to it
	case len(wanted) == 1 && wanted[0] == "all":
		if wanted, err = c.knownRegions(); err != nil {
			return nil, err
		}
	}
	list := []string{}
	for _, region := range wanted {
		if !slices.Contains(v.Regions, region) {
			list = append(list, region)
		}
	}
	return list, nil
}

func headersOf(v metadata.Version) map[string]string {
	h := map[string]string{}
	for name, value := range map[string]string{
		"content-type": v.ContentType, "content-encoding": v.ContentEncoding, "content-disposition": v.ContentDisposition,
		"content-language": v.ContentLanguage, "cache-control": v.CacheControl, "expires": v.Expires,
	} {
		if value != "" {
			h[name] = value
		}
	}
	for name, value := range v.Headers {
		h[name] = value
	}
	return h
}

func orEmpty(m map[string]string) map[string]string {
	if m == nil {
		return map[string]string{}
	}
	return m
}

// deleteObject removes an object, or puts a delete marker over it, or removes
// the version that is named, as S3 does; but what is not there is 404.
func (c *call) deleteObject() error {
	if metadata.IsSystemBucket(c.param("name")) {
		return errSystemBucket
	}
	ref, err := c.objectRef()
	if err != nil {
		return err
	}
	if ref.VersionID == "" {
		// S3 marks what never was as deleted. Here somebody has mistyped.
		if _, err := c.store.Lookup(c.ctx(), ref); err != nil {
			return err
		}
	}
	v, err := c.store.Delete(c.ctx(), ref, metadata.Cond{By: c.cause()})
	if err != nil {
		return err
	}
	c.setHeader(hop.Seq, v.Seq.String())
	return c.noContent()
}
