package tus

import (
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
		key = req.meta["filename"]
	}
	if key == "" {
		return false, invalid("Upload-Metadata must have a key or a filename")
	}
	if err := metadata.CheckKey(key); err != nil {
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
	return !relay.MayHold(bucket.Placement, h.Region), nil
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
