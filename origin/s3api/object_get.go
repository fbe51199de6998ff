package s3api

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"strconv"
	"strings"
	"time"

	"meridian/internal/hop"
	"meridian/internal/httpserve"
	"meridian/metadata"
	"meridian/metadata/access"
)

// versionID is the version that the request names; empty for the current one.
func (c *call) versionID() (string, error) {
	id := c.query.Get("versionId")
	switch {
	case !c.query.Has("versionId"):
		return "", nil
	case id == "":
		return "", badArgument("versionId", "", "Version id cannot be the empty string")
	case !isVersionID(id):
		return "", badArgument("versionId", id, "Invalid version id specified")
	}
	return id, nil
}

// isVersionID says whether s could be a version ID: one of ours or, of a version
// that there is not, one as MinIO (UUIDs) or Amazon, Ceph and SeaweedFS (32 letters
// and digits) make them. Who comes from there may have such in their books.
func isVersionID(s string) bool {
	if metadata.IsVersionID(s) {
		return true
	}
	if len(s) != 32 && len(s) != 36 {
		return false
	}
	for i, c := range []byte(s) {
		switch dash := i == 8 || i == 13 || i == 18 || i == 23; {
		case len(s) == 36 && dash != (c == '-'):
			return false
		case c >= '0' && c <= '9', c >= 'a' && c <= 'f', c >= 'A' && c <= 'F':
		case len(s) == 36 && dash:
		case len(s) == 32 && (c >= 'g' && c <= 'z' || c >= 'G' && c <= 'Z' || c == '.' || c == '_' || c == '-'):
		default:
			return false
		}
	}
	return true
}

// find is the version that the request is about.
func (c *call) find() (metadata.Version, error) {
	id, err := c.versionID()
	if err != nil {
		return metadata.Version{}, err
	}
	ref := metadata.Ref{Bucket: c.bucket, Key: c.key, VersionID: id}
	ctx := c.r.Context()
	if want := c.r.Header.Get(hop.RequestVersion); want != "" && c.who.node {
		// A cache asks for the version it has already told clients of, which
		// may have been overwritten since.
		ref.VersionID = want
		v, err := c.opts.Objects.Stat(ctx, ref)
		if errors.Is(err, metadata.ErrNoSuchVersion) || errors.Is(err, metadata.ErrNoSuchKey) {
			v, err = c.opts.Catalog.LookupDropped(ctx, ref)
		}
		return v, err
	}
	v, err := c.opts.Objects.Stat(ctx, ref)
	c.tellMarker(&v, err)
	return v, err
}

// tellMarker sets the headers of an answer that finds a delete marker.
func (c *call) tellMarker(v *metadata.Version, err error) {
	if v.DeleteMarker && (errors.Is(err, metadata.ErrNoSuchKey) || errors.Is(err, metadata.ErrDeleteMarker)) {
		h := c.w.Header()
		h.Set("X-Amz-Delete-Marker", "true")
		h.Set("X-Amz-Version-Id", v.VersionID())
		if errors.Is(err, metadata.ErrDeleteMarker) {
			h.Set("Allow", http.MethodDelete)
			h.Set("Last-Modified", v.Modified.UTC().Format(http.TimeFormat))
		}
	}
}

// getObject answers GET and HEAD of an object.
func (c *call) getObject() error {
	c.sample.Local = true // unless the bytes come from elsewhere
	if c.query.Has("partNumber") {
		if _, err := partNumber(c.query.Get("partNumber")); err != nil {
			return err
		}
	}
	v, err := c.find()
	if err != nil {
		return err
	}
	if c.forPeer() {
		asStored(&v)
	} else if err := c.unlockRead(&v); err != nil {
		return err
	}
	c.sample.Class = metadata.ClassOf(v.MediaType())
	h := c.w.Header()
	if c.who.node {
		h.Set(hop.Version, v.ID)
		if err := c.tellAccess(&v); err != nil {
			return err
		}
		h.Set(hop.Crc64, strconv.FormatUint(v.CRC64, 10))
	}
	if id := c.tellVersion(&v); id != "" {
		h.Set("X-Amz-Version-Id", id)
	}
	c.writeValidators(&v)
	if err := readPreconditions(c.r.Header).check(&v); err != nil {
		return err
	}
	s, err := c.span(&v)
	if err != nil {
		return err
	}
	if err := c.writeObjectHeaders(&v); err != nil {
		return err
	}
	c.writeReplication(&v)
	if v.Latest {
		c.writeExpiration(&v)
	}
	c.writeSpan(&v, &s)
	if c.r.Method == http.MethodHead || s.n == 0 {
		c.w.WriteHeader(s.status)
		return nil
	}
	return c.sendBody(&v, s)
}

// tellAccess tells a cache who else may read v.
func (c *call) tellAccess(v *metadata.Version) error {
	text, err := access.ObjectOf(v).Encode()
	if err == nil && text != "" {
		c.w.Header().Set(hop.Access, text)
	}
	return err
}

// tellVersion is the version ID to answer with: none in a bucket that never had
// versioning, unless the request named it.
func (c *call) tellVersion(v *metadata.Version) string {
	if !v.Null || c.query.Has("versionId") {
		return v.VersionID()
	}
	if c.r.Header.Get(hop.RequestVersion) != "" && c.who.node {
		return ""
	}
	// A bucket's versioning never goes back to "never", so an answer that is a
	// second old at most leaves out a "null".
	if b, err := c.buckets.get(c.r.Context(), c.bucket); err != nil || b.Versioning == "" {
		return ""
	}
	return v.VersionID()
}

// writeSpan sets the headers that depend on what part of the body is answered.
func (c *call) writeSpan(v *metadata.Version, s *span) {
	h := c.w.Header()
	if s.n == 0 {
		s.status = http.StatusOK // no byte has a place that Content-Range could tell
	}
	h.Set("Content-Length", strconv.FormatInt(s.n, 10))
	if s.status == http.StatusPartialContent {
		h.Set("Content-Range", s.contentRange(v.Size))
	}
	withChecksums := strings.EqualFold(c.header("X-Amz-Checksum-Mode"), "ENABLED")
	switch {
	case s.part > 0:
		if len(v.Parts) > 0 {
			h.Set("X-Amz-Mp-Parts-Count", strconv.Itoa(len(v.Parts)))
		}
		switch {
		case !withChecksums:
		case len(v.Parts) > 0:
			// Of a part only what the upload was begun with is told.
			for alg := range v.Checksums {
				if sum := v.Parts[s.part-1].Checksums[alg]; sum != "" {
					writeChecksums(h, map[string]string{alg: sum}, v.ChecksumType)
				}
			}
		default:
			writeChecksums(h, v.Checksums, v.ChecksumType)
		}
	case withChecksums && s.n == v.Size:
		writeChecksums(h, v.Checksums, v.ChecksumType)
	}
}

// heldBody is the greatest body that is held back to leave with its header by one
// write.
const heldBody = 32 << 10

// sendBody streams the bytes. Once the status is out, all that can be said of a
// failure is to cut the connection: a clean end would pass for the whole body.
func (c *call) sendBody(v *metadata.Version, s span) error {
	body, region, err := c.open(v, s.off, s.n)
	if err != nil {
		return fmt.Errorf("open %s: %w", v.Blob, err)
	}
	defer body.Close()
	c.sample.Local = region == c.opts.Region
	c.w.Header().Set(hop.Region, region)
	if c.forCache() && s.n <= hop.SumLimit {
		return c.sendSummed(body, s)
	}
	c.w.held = httpserve.Hold(c.r.Context())
	c.w.WriteHeader(s.status)
	if s.n > heldBody && c.w.held != nil {
		// The header waits for the body in the connection, and net/http has no reason
		// left to read the beginning of a file by itself.
		_ = c.w.ctl.Flush() // an error is the client's, and comes up again
	}
	n, err := io.Copy(c.w, body)
	if err == nil && n != s.n {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		c.logCut(v, s, n, err)
		panic(http.ErrAbortHandler)
	}
	return nil
}

// sendSummed answers a cache node with a slice and its sum, for which all of it is
// read first.
func (c *call) sendSummed(body io.Reader, s span) error {
	b := make([]byte, s.n)
	if _, err := io.ReadFull(body, b); err != nil {
		return fmt.Errorf("read %d bytes from %d: %w", s.n, s.off, err)
	}
	c.w.Header().Set(hop.Sum, hop.SumOf(b))
	c.w.WriteHeader(s.status)
	if _, err := c.w.Write(b); err != nil {
		panic(http.ErrAbortHandler) // the cache left, or its link broke: it knows
	}
	return nil
}

// forCache says whether a cache node asks.
func (c *call) forCache() bool { return c.who.node && c.r.Header.Get(hop.RequestApplied) != "" }

// open reads from wherever the bytes are. To another origin, which asks for what
// it does not have itself, only the own store counts: two origins must not send
// each other in circles.
func (c *call) open(v *metadata.Version, off, n int64) (body io.ReadCloser, region string, err error) {
	if !c.forPeer() {
		return c.opts.Objects.Open(c.r.Context(), *v, off, n)
	}
	body, err = c.opts.Objects.Store.Open(c.r.Context(), v.Blob, off, n)
	if errors.Is(err, fs.ErrNotExist) {
		err = because(errNoSuchKey, err)
	}
	return body, c.opts.Region, err
}

// forPeer says whether another origin asks.
func (c *call) forPeer() bool { return c.who.node && c.r.Header.Get(hop.RequestLocal) == "1" }

// logCut tells of a body that was not sent whole. That the client left, or was
// cut for stalling, is its own affair.
func (c *call) logCut(v *metadata.Version, s span, n int64, err error) {
	level := c.opts.Log.Error
	if c.r.Context().Err() != nil || errors.Is(err, context.Canceled) || stalled(err) || isConnError(err) {
		level = c.opts.Log.Debug
	}
	level("object cut short", "request_id", c.requestID, "bucket", v.Bucket, "key", v.Key,
		"version", v.ID, "blob", v.Blob, "offset", s.off, "sent", n, "of", s.n, "err", err)
}

// ReadSample tells of one read of an object by a cache node, for the origin tier
// of the hit report. What one origin reads of another is part of such a read, and
// not told by itself.
type ReadSample struct {
	Bucket string
	Class  string // metadata.ClassPhoto, ...
	// Local says that the answer came from this region alone: its blob store,
	// or no bytes at all.
	Local     bool
	Bytes     int64 // of the body, as sent
	FirstByte time.Duration
	Status    int
}
