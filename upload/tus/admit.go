package tus

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"path"
	"strconv"
	"strings"

	"meridian/metadata"
	"meridian/metadata/media/probe"
	"meridian/upload/relay"
)

// admit checks what a client wants to upload, before anything changes, and makes
// the template of the object. elsewhere says that the bucket's blobs do not
// belong in this region.
func (h *Handler) admit(r *http.Request, req *request) (elsewhere bool, err error) {
	if r.Header.Get("Upload-Concat") != "" {
		return false, invalid("Upload-Concat: uploads in parallel pieces are not supported; send the file as one upload")
	}
	if req.meta, err = relay.ParseMetadata(r.Header.Get("Upload-Metadata")); err != nil {
		return false, err
	}
	name := req.meta["bucket"]
	if name == "" {
		return false, invalid("Upload-Metadata must name the bucket")
	}
	bucket, err := h.Catalog.Bucket(r.Context(), name)
	if errors.Is(err, metadata.ErrNoSuchBucket) || metadata.IsSystemBucket(name) {
		return false, refuse(http.StatusNotFound, "no-such-bucket", "there is no bucket %.80q", name)
	}
	if err != nil {
		return false, err
	}
	key := req.meta["key"]
	if key == "" {
		key = metadata.FileName(req.meta["filename"])
	}
	if key == "" {
		return false, invalid("Upload-Metadata must have a key or a filename")
	}
	if err := metadata.CheckKey(key); err != nil {
		return false, err
	}
	if err := h.mayCross(&bucket); err != nil {
		return false, err
	}
	req.template = metadata.Version{Bucket: name, Key: key, Owner: req.who.User}
	if filetype := req.meta["filetype"]; filetype != "" {
		if req.template.ContentType, err = contentType(filetype); err != nil {
			return false, err
		}
	}
	if length, err := strconv.ParseInt(r.Header.Get("Upload-Length"), 10, 64); err == nil && length > relay.MaxSize {
		return false, refuse(http.StatusRequestEntityTooLarge, "too-large", "%d bytes are more than the %d of the greatest object", length, int64(relay.MaxSize))
	}
	return !bucket.Takes(h.Region), nil
}

// mayCross refuses bytes of a bucket whose residency forbids this region, even if
// they were only to be handed on: they would have been here.
func (h *Handler) mayCross(b *metadata.Bucket) error {
	if b.MayHold(h.Region) {
		return nil
	}
	return fmt.Errorf("%w, %s; upload through a region that it allows: %s", metadata.ErrResidency, h.Region, strings.Join(b.Residency, ", "))
}

// mayPass is mayCross for an upload that another region holds.
func (h *Handler) mayPass(ctx context.Context, bucket string) error {
	b, err := h.Catalog.Bucket(ctx, bucket)
	if errors.Is(err, metadata.ErrNoSuchBucket) {
		return nil // who holds the upload says so
	}
	if err != nil {
		return err
	}
	return h.mayCross(&b)
}

// bringsBytes says whether a request to an upload is one to append to it.
func bringsBytes(r *http.Request) bool {
	method := r.Method
	if method == http.MethodPost {
		method = cmp.Or(r.Header.Get("X-HTTP-Method-Override"), method)
	}
	return method == http.MethodPatch
}

// contentType refuses what is no media type.
func contentType(text string) (string, error) {
	kind, params, err := mime.ParseMediaType(text)
	if err != nil || !strings.Contains(kind, "/") {
		return "", invalid("Upload-Metadata: filetype %.60q is not a media type", text)
	}
	if formatted := mime.FormatMediaType(kind, params); formatted != "" {
		return formatted, nil
	}
	return kind, nil
}

// typeOf is the content type of an object whose client named none: that of the
// extension of its key, else what its first bytes look like.
func typeOf(key string, head []byte) string {
	if t := mime.TypeByExtension(strings.ToLower(path.Ext(key))); t != "" {
		return t
	}
	return probe.Sniff(head)
}

// objectPath is the path of an object at an edge or an S3 endpoint.
func objectPath(bucket, key string) string {
	return fmt.Sprintf("/%s/%s", bucket, escapeKey(key))
}
