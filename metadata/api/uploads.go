package api

import (
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"meridian/metadata"
	"meridian/metadata/admit"
	"meridian/metadata/media/probe"
	"meridian/upload/presign"
)

// Limits of uploads by presigned requests.
const (
	defaultUploadTime = 24 * time.Hour
	maxUploadTime     = 7 * 24 * time.Hour // of signatures
	defaultPartSize   = 16 << 20           // up to which an object is one PUT
	minPartSize       = 5 << 20            // of S3, as are the next
	maxPartSize       = 5 << 30
	maxParts          = 10_000
	maxUploadSize     = 50 << 40
	// maxRequests is how many requests one answer holds: some 700 KiB.
	maxRequests = 1000
	// uploadMark is the metadata by which a single PUT is known as that of its
	// upload.
	uploadMark    = "meridian-upload"
	maxTexts      = 4000 // bytes of title, description and tags, which make the ID longer
	uploadContext = "upload"
)

// Methods of an upload.
const (
	methodPut       = "put"
	methodMultipart = "multipart"
)

// States of an upload.
const (
	uploadPending  = "pending"
	uploadComplete = "complete"
)

// newUpload is the body of POST /v1/uploads. Bucket, Size and one of Key and
// Filename must be given.
type newUpload struct {
	Bucket      string             `json:"bucket"`
	Key         string             `json:"key"` // Filename if empty
	Filename    string             `json:"filename"`
	ContentType string             `json:"content_type"`
	Size        *int64             `json:"size"`
	Checksum    *uploadChecksum    `json:"checksum"`
	PartSize    int64              `json:"part_size"`
	Region      string             `json:"region"`  // where the client is
	Expires     *metadata.Duration `json:"expires"` // how long the requests are good for
	Title       *string            `json:"title"`
	Description *string            `json:"description"`
	Tags        *[]string          `json:"tags"`
}

// uploadChecksum is of the whole object. That of a multipart upload must be a
// CRC: others cannot be computed of parts.
type uploadChecksum struct {
	Algorithm string `json:"algorithm"`
	Value     string `json:"value"` // base64
}

// uploadInfo is an upload, and what is to be sent for it.
type uploadInfo struct {
	ID        string          `json:"id"`
	State     string          `json:"state"`
	Bucket    string          `json:"bucket"`
	Key       string          `json:"key"`
	Size      int64           `json:"size"`
	Region    string          `json:"region"` // that takes the bytes
	Method    string          `json:"method"`
	Expires   time.Time       `json:"expires"`
	PartSize  int64           `json:"part_size,omitempty"`
	PartCount int             `json:"part_count,omitempty"`
	Requests  []uploadRequest `json:"requests"`
	// Next is the parameter "after" of GET for more requests; absent at the end.
	Next      int             `json:"next,omitempty"`
	Parts     []uploadPart    `json:"parts,omitempty"` // that have arrived
	VersionID string          `json:"version_id,omitempty"`
	ETag      string          `json:"etag,omitempty"`
	Media     *metadata.Media `json:"media,omitempty"`
}

// uploadRequest is one request to be sent: the whole object, or a part of Size
// bytes.
type uploadRequest struct {
	Part    int               `json:"part,omitempty"`
	Size    int64             `json:"size"`
	Method  string            `json:"method"`
	URL     string            `json:"url"`
	Headers map[string]string `json:"headers"`
}

type uploadPart struct {
	Number int    `json:"number"`
	ETag   string `json:"etag"`
	Size   int64  `json:"size,omitempty"`
}

// uploadDone is the body of a completion; without parts, those that arrived
// count.
type uploadDone struct {
	Parts []uploadPart `json:"parts"`
}

// createUpload says where an object is to be sent, in one request or in parts.
func (c *call) createUpload() error {
	var in newUpload
	if err := c.decode(&in); err != nil {
		return err
	}
	t, err := c.plan(&in)
	if err != nil {
		return err
	}
	region, err := c.whereClientIs("region", in.Region)
	if err != nil {
		return err
	}
	bucket, err := c.store.Bucket(c.ctx(), in.Bucket)
	if err != nil {
		return err
	}
	if err := admit.Early(c.ctx(), c.store, &bucket, &metadata.Version{Key: t.Key, ContentType: t.ContentType}, t.Size); err != nil {
		return err
	}
	if err := c.beginUpload(&t, &bucket, region); err != nil {
		return err
	}
	id, err := c.sealTicket(t)
	if err != nil {
		return err
	}
	info, err := c.describeUpload(id, &t, nil, 0)
	if err != nil {
		return err
	}
	return c.created("/v1/uploads/"+id, info)
}

// beginUpload chooses the nearest origin that answers.
func (c *call) beginUpload(t *ticket, b *metadata.Bucket, region string) error {
	lock, err := b.ObjectLock()
	if err != nil {
		return err
	}
	// A single PUT of an object that will be locked must say what its bytes are.
	unsummed := lock != nil && lock.Mode != "" && t.Checksum == ""
	if t.Size <= t.PartSize && !unsummed {
		t.PartSize, t.Mark = 0, rand.Text()
	}
	if t.Mark != "" {
		switch v, err := c.store.Lookup(c.ctx(), metadata.Ref{Bucket: t.Bucket, Key: t.Key}); {
		case err == nil:
			t.Replaces = v.ETag
		case !isGone(err):
			return err
		}
	}
	origins, err := c.originsNear(b, region)
	if err != nil {
		return err
	}
	err = tell(presign.ErrUnavailable, "no origin is up")
	for _, n := range origins {
		t.Region = n.Region
		if t.Mark != "" {
			return nil
		}
		var target presign.Target
		if target, err = c.target(n); err != nil {
			return err
		}
		if t.Upload, err = c.presigner.Begin(c.ctx(), target, t.object()); !errors.Is(err, presign.ErrUnavailable) {
			return err
		}
		c.log.WarnContext(c.ctx(), "origin does not take an upload", "node", n.ID, "err", err)
	}
	return err
}

// originsNear are the live origins in regions that take uploads to the bucket, the
// given region first, and those last whose store cannot be reached.
func (c *call) originsNear(b *metadata.Bucket, region string) ([]metadata.Node, error) {
	nodes, err := c.store.ListNodes(c.ctx())
	if err != nil {
		return nil, err
	}
	nodes = slices.DeleteFunc(nodes, func(n metadata.Node) bool {
		return n.Tier != metadata.TierOrigin || !n.Live || n.PublicURL == "" || !b.Takes(n.Region)
	})
	return nearestFirst(nodes, region, c.opts.Distances), nil
}

// target is an origin, asked in the name of the caller.
func (c *call) target(n metadata.Node) (presign.Target, error) {
	k, err := c.liveKey(c.ctx(), c.who.accessKey)
	if err != nil {
		return presign.Target{}, err
	}
	return presign.Target{URL: n.URL, PublicURL: n.PublicURL, Region: n.Region, AccessKey: k.ID, SecretKey: k.Secret}, nil
}

// targetOf is the origin that took the upload.
func (c *call) targetOf(t *ticket) (presign.Target, error) {
	nodes, err := c.store.ListNodes(c.ctx())
	if err != nil {
		return presign.Target{}, err
	}
	for _, n := range nodes {
		if n.Tier == metadata.TierOrigin && n.Region == t.Region && n.Live && n.PublicURL != "" {
			return c.target(n)
		}
	}
	return presign.Target{}, tell(presign.ErrUnavailable, "the origin of %s, which has the upload, is not up", t.Region)
}

// describeUpload is a pending upload with the requests that are still to be sent,
// from the part behind after on.
func (c *call) describeUpload(id string, t *ticket, arrived []uploadPart, after int) (uploadInfo, error) {
	info := uploadInfo{
		ID: id, State: uploadPending, Bucket: t.Bucket, Key: t.Key, Size: t.Size, Region: t.Region, Method: methodPut, Expires: t.Expires,
		Requests: []uploadRequest{}, Parts: arrived,
	}
	target, err := c.targetOf(t)
	if err != nil {
		return info, err
	}
	left := t.Expires.Sub(c.now())
	if t.Upload == "" {
		r, err := c.presigner.Put(c.ctx(), target, t.object(), left)
		info.Requests = append(info.Requests, uploadRequest{Size: t.Size, Method: r.Method, URL: r.URL, Headers: r.Headers})
		return info, err
	}
	info.Method, info.PartSize, info.PartCount = methodMultipart, t.PartSize, t.partCount()
	for n := after + 1; n <= info.PartCount; n++ {
		if slices.ContainsFunc(arrived, func(p uploadPart) bool { return p.Number == n && p.Size == t.partBytes(n) }) {
			continue
		}
		if len(info.Requests) == maxRequests {
			info.Next = n - 1
			break
		}
		r, err := c.presigner.Part(c.ctx(), target, t.object(), t.Upload, n, t.partBytes(n), left)
		if err != nil {
			return info, err
		}
		info.Requests = append(info.Requests, uploadRequest{Part: n, Size: t.partBytes(n), Method: r.Method, URL: r.URL, Headers: r.Headers})
	}
	return info, nil
}

// getUpload tells what has arrived and what is still to be sent.
func (c *call) getUpload() error {
	t, err := c.ticket()
	if err != nil {
		return err
	}
	after, err := c.number("after", 0, 0, maxParts)
	if err != nil {
		return err
	}
	v, err := c.arrived(&t)
	if err == nil {
		return c.uploaded(&t, v, &newMedia{})
	}
	if !errors.Is(err, errNoObject) {
		return err
	}
	parts, err := c.partsOf(&t)
	if err != nil {
		return err
	}
	info, err := c.describeUpload(c.param("id"), &t, parts, after)
	if err != nil {
		return err
	}
	return c.json(http.StatusOK, info)
}

// partsOf are the parts that have arrived.
func (c *call) partsOf(t *ticket) ([]uploadPart, error) {
	if t.Upload == "" {
		return nil, nil
	}
	if _, err := c.store.Upload(c.ctx(), t.Bucket, t.Key, t.Upload); err != nil {
		return nil, err
	}
	var parts []uploadPart
	for p, err := range c.store.Parts(c.ctx(), t.Upload, 0) {
		if err != nil {
			return nil, err
		}
		parts = append(parts, uploadPart{Number: p.Number, ETag: p.ETag, Size: p.Size})
	}
	return parts, nil
}

// arrived finds the object of an upload; errNoObject if there is none.
func (c *call) arrived(t *ticket) (metadata.Version, error) {
	ref := metadata.Ref{Bucket: t.Bucket, Key: t.Key, VersionID: t.Upload} // the ID of an upload becomes its version's
	v, err := c.store.Lookup(c.ctx(), ref)
	switch {
	case isGone(err), errors.Is(err, metadata.ErrNoSuchVersion), err == nil && t.Mark != v.UserMetadata[uploadMark] && t.Upload == "":
		return v, tell(errNoObject, "%s/%s has not arrived, or was overwritten since", t.Bucket, t.Key)
	}
	return v, err
}

// completeUpload makes the object visible, if it is not, and verifies it.
func (c *call) completeUpload() error {
	t, err := c.ticket()
	if err != nil {
		return err
	}
	var in uploadDone
	if c.r.ContentLength != 0 {
		if err := c.decode(&in); err != nil {
			return err
		}
	}
	v, err := c.arrived(&t)
	if errors.Is(err, errNoObject) && t.Upload != "" {
		if err = c.join(&t, in.Parts); err == nil || errors.Is(err, metadata.ErrNoSuchUpload) {
			// Somebody else may have completed it meanwhile.
			if found, e := c.arrived(&t); e == nil {
				v, err = found, nil
			}
		}
	}
	if err != nil {
		return err
	}
	if err := c.verify(&t, v); err != nil {
		return err
	}
	return c.uploaded(&t, v, t.texts())
}

// join has the origin make the object of its parts, after it is known that they
// are all there.
func (c *call) join(t *ticket, named []uploadPart) error {
	arrived, err := c.partsOf(t)
	if err != nil {
		return err
	}
	var missing []string
	total := int64(0)
	for n := 1; n <= t.partCount(); n++ {
		at := slices.IndexFunc(arrived, func(p uploadPart) bool { return p.Number == n })
		switch {
		case at < 0:
			missing = append(missing, strconv.Itoa(n))
		case arrived[at].Size != t.partBytes(n):
			return tell(errIncomplete, "part %d has %d bytes, not %d; send it again", n, arrived[at].Size, t.partBytes(n))
		default:
			total += arrived[at].Size
		}
	}
	if len(missing) > 0 {
		return tell(errIncomplete, "%d of %d parts have not arrived, the first of them %s", len(missing), t.partCount(), missing[0])
	}
	if total != t.Size || len(arrived) > t.partCount() {
		return tell(errIncomplete, "%d parts have arrived, %d were announced", len(arrived), t.partCount())
	}
	if named == nil {
		named = arrived
	}
	if len(named) != t.partCount() {
		return tell(errIncomplete, "%d parts are named, %d were announced", len(named), t.partCount())
	}
	parts := make([]presign.Part, len(named))
	for i, p := range named {
		parts[i] = presign.Part{Number: p.Number, ETag: strings.Trim(p.ETag, `"`)}
	}
	target, err := c.targetOf(t)
	if err != nil {
		return err
	}
	return c.presigner.Complete(c.ctx(), target, t.object(), t.Upload, parts)
}

// verify compares what arrived with what was announced. The origin has held a
// multipart upload to it before it became visible, and a single one to its
// signature; an object that differs all the same is removed.
func (c *call) verify(t *ticket, v metadata.Version) error {
	wrong := ""
	switch {
	case v.Size != t.Size:
		wrong = fmt.Sprintf("it has %d bytes, not %d", v.Size, t.Size)
	case t.ContentType != "" && v.ContentType != t.ContentType:
		wrong = fmt.Sprintf("it is of the type %q, not %q", v.ContentType, t.ContentType)
	case t.Algorithm != "" && v.Checksums[t.Algorithm] != t.Checksum:
		wrong = fmt.Sprintf("its %s is %s, not %s", t.Algorithm, v.Checksums[t.Algorithm], t.Checksum)
	}
	if wrong == "" {
		return nil
	}
	_, err := c.store.Delete(c.ctx(), metadata.Ref{Bucket: v.Bucket, Key: v.Key, VersionID: v.VersionID()}, metadata.Cond{IfVersion: v.ID, By: c.cause()})
	if err != nil && !isGone(err) && !errors.Is(err, metadata.ErrPrecondition) && !errors.Is(err, metadata.ErrNoSuchVersion) {
		return err
	}
	return tell(errDiffers, "what arrived is not what was announced, and was removed: %s", wrong)
}

// uploaded answers a complete upload, with the record of a photo or video, into
// which it writes texts.
func (c *call) uploaded(t *ticket, v metadata.Version, texts *newMedia) error {
	info := uploadInfo{
		ID: c.param("id"), State: uploadComplete, Bucket: t.Bucket, Key: t.Key, Size: v.Size, Region: t.Region, Method: methodPut, Expires: t.Expires,
		Requests: []uploadRequest{}, VersionID: v.VersionID(), ETag: v.ETag,
	}
	if t.Upload != "" {
		info.Method, info.PartSize, info.PartCount = methodMultipart, t.PartSize, t.partCount()
	}
	m, err := c.store.UpsertMedia(c.ctx(), t.Bucket, t.Key, func(m *metadata.Media) error {
		if m.ID == "" {
			// What follows the feed completes it from the object.
			if m.Kind = probe.KindOf(probe.TypeOf(v.ContentType, v.Key)); m.Kind == "" {
				return errNotMedia
			}
			m.State = metadata.MediaPending
		}
		texts.apply(m)
		return nil
	})
	switch {
	case errors.Is(err, errNotMedia):
		return c.json(http.StatusOK, info)
	case err != nil:
		return err
	}
	list := []metadata.Media{m}
	if err := c.addURLs(list); err != nil {
		return err
	}
	info.Media = &list[0]
	return c.json(http.StatusOK, info)
}

// abortUpload gives an upload up. An object that is complete stays. There is
// nothing to give up of a single PUT, whose URL lives on until it is used or
// expires.
func (c *call) abortUpload() error {
	t, err := c.ticket()
	if err != nil {
		return err
	}
	if _, err := c.arrived(&t); err == nil {
		return tell(errComplete, "%s/%s has arrived; delete the object instead", t.Bucket, t.Key)
	} else if !errors.Is(err, errNoObject) {
		return err
	}
	if t.Upload != "" {
		target, err := c.targetOf(&t)
		if err != nil {
			return err
		}
		if err := c.presigner.Abort(c.ctx(), target, t.object(), t.Upload); err != nil && !errors.Is(err, metadata.ErrNoSuchUpload) {
			return err
		}
	}
	return c.noContent()
}
