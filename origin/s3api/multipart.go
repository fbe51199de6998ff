package s3api

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"time"

	"meridian/internal/checksum"
	"meridian/metadata"
)

// createUpload begins a multipart upload with the headers that the finished
// object will have.
func (c *call) createUpload() error {
	v, err := c.template()
	if err != nil {
		return err
	}
	alg, kind, err := c.uploadChecksum()
	if err != nil {
		return err
	}
	bucket, err := c.opts.Catalog.Bucket(c.r.Context(), c.bucket)
	if err != nil {
		return err
	}
	if err := c.mayWrite(&bucket, &v); err != nil {
		return err
	}
	if err := c.mayLock(&bucket, v.Lock); err != nil {
		return err
	}
	u, err := c.opts.Uploads.BeginBy(c.r.Context(), c.who.User, v, alg, kind)
	if err != nil {
		return err
	}
	c.writeEncryption(u.Template.Encryption)
	if alg != "" {
		c.w.Header().Set("X-Amz-Checksum-Algorithm", strings.ToUpper(string(alg)))
		c.w.Header().Set("X-Amz-Checksum-Type", kind)
	}
	d := newDocument("InitiateMultipartUploadResult")
	d.elem("Bucket", c.bucket)
	d.elem("Key", c.key)
	d.elem("UploadId", u.ID)
	return c.w.sendXML(d)
}

// uploadChecksum reads what checksums the parts and the whole will have. An
// algorithm without a type gets the type that S3 gives it.
func (c *call) uploadChecksum() (alg checksum.Algorithm, kind string, err error) {
	kind = strings.ToUpper(c.header("X-Amz-Checksum-Type"))
	if name := c.header("X-Amz-Checksum-Algorithm"); name != "" {
		if alg, err = parseAlgorithm(name); err != nil {
			return "", "", err
		}
	}
	switch {
	case kind != "" && kind != fullObject && kind != composite:
		return "", "", refuse(errInvalidRequest, "Value for x-amz-checksum-type header is invalid.")
	case alg == "" && kind != "":
		return "", "", refuse(errInvalidRequest, "The x-amz-checksum-type header can only be used with the x-amz-checksum-algorithm header.")
	case alg == "":
		return "", "", nil
	}
	crc := alg == checksum.CRC32 || alg == checksum.CRC32C || alg == checksum.CRC64NVME
	switch {
	case kind == "" && alg == checksum.CRC64NVME:
		kind = fullObject
	case kind == "":
		kind = composite
	case kind == fullObject && !crc, kind == composite && alg == checksum.CRC64NVME:
		return "", "", refuse(errInvalidRequest, "The %s checksum type cannot be used with the %s checksum algorithm.", kind, strings.ToLower(string(alg)))
	}
	return alg, kind, nil
}

// upload finds the upload that the request names.
func (c *call) upload() (metadata.Upload, error) {
	u, err := c.opts.Catalog.Upload(c.r.Context(), c.bucket, c.key, c.query.Get("uploadId"))
	if errors.Is(err, metadata.ErrNoSuchUpload) {
		if _, missing := c.opts.Catalog.Bucket(c.r.Context(), c.bucket); missing != nil {
			return u, missing
		}
	}
	return u, err
}

func (c *call) putOrCopyPart() error {
	if c.header("X-Amz-Copy-Source") != "" {
		return c.copyPart()
	}
	return c.putPart()
}

// putPart stores the body as a part.
func (c *call) putPart() error {
	n, err := partNumber(c.query.Get("partNumber"))
	if err != nil {
		return err
	}
	d, err := c.readDigest()
	if err != nil {
		return err
	}
	b, err := c.openBody(c.opts.MaxObjectSize)
	if err != nil {
		return err
	}
	u, err := c.upload()
	if err != nil {
		return err
	}
	if err := c.unlockUpload(&u); err != nil {
		return err
	}
	alg, err := partAlgorithm(&u, d)
	if err != nil {
		return err
	}
	part, err := c.opts.Uploads.PutPart(c.r.Context(), u, n, b.size, b, d.algorithms(alg), d.verify)
	if err != nil {
		return b.blame(err)
	}
	h := c.w.Header()
	h["ETag"] = []string{quote(part.ETag)}
	c.writeEncryption(u.Template.Encryption)
	writeChecksums(h, part.Checksums, "")
	h.Set("Content-Length", "0")
	c.w.WriteHeader(http.StatusOK)
	return nil
}

// partAlgorithm is what is computed of a part whose client sent no checksum. An
// upload that was begun with an algorithm takes no other.
func partAlgorithm(u *metadata.Upload, d *digest) (checksum.Algorithm, error) {
	if u.ChecksumAlgorithm == "" {
		return checksum.CRC64NVME, nil
	}
	mismatch := func(actual string) error {
		return refuse(errInvalidRequest, "Checksum Type mismatch occurred, expected checksum Type: %s, actual checksum Type: %s",
			strings.ToUpper(u.ChecksumAlgorithm), actual)
	}
	switch {
	case d == nil:
	case d.algorithm != "" && string(d.algorithm) != u.ChecksumAlgorithm:
		return "", mismatch(strings.ToUpper(string(d.algorithm)))
	case d.algorithm == "" && u.ChecksumType == composite:
		return "", mismatch("null") // as S3 calls none: such a checksum is made of the client's own
	}
	return checksum.Algorithm(u.ChecksumAlgorithm), nil
}

// copyPart stores a piece of another object as a part.
func (c *call) copyPart() error {
	n, err := partNumber(c.query.Get("partNumber"))
	if err != nil {
		return err
	}
	ref, err := parseCopySource(c.header("X-Amz-Copy-Source"))
	if err != nil {
		return err
	}
	u, err := c.upload()
	if err != nil {
		return err
	}
	if err := c.unlockUpload(&u); err != nil {
		return err
	}
	src, err := c.copySource(ref)
	if err != nil {
		return err
	}
	off, size, err := copyRange(c.header("X-Amz-Copy-Source-Range"), src.Size)
	if err != nil {
		return err
	}
	if size > MaxPutSize {
		return refuse(errInvalidRequest, "The specified copy source is larger than the maximum allowable size for a copy source: 5368709120")
	}
	alg, err := partAlgorithm(&u, nil)
	if err != nil {
		return err
	}
	var body io.ReadCloser = http.NoBody
	if size > 0 {
		if body, _, err = c.open(&src, off, size); err != nil {
			return err
		}
	}
	defer body.Close()
	part, err := c.opts.Uploads.PutPart(c.r.Context(), u, n, size, body, []checksum.Algorithm{checksum.ETag, alg}, nil)
	if err != nil {
		return err
	}
	c.writeEncryption(u.Template.Encryption)
	d := newDocument("CopyPartResult")
	d.time("LastModified", part.Modified)
	d.etag(part.ETag)
	if u.ChecksumAlgorithm != "" {
		writeChecksumElements(d, part.Checksums, "")
	}
	return c.w.sendXML(d)
}

// copyRange reads x-amz-copy-source-range, which is stricter than Range: both
// ends, and both within the source.
func copyRange(header string, size int64) (off, n int64, err error) {
	if header == "" {
		return 0, size, nil
	}
	spec, ok := strings.CutPrefix(header, "bytes=")
	first, last, dash := strings.Cut(spec, "-")
	if !ok || !dash || !digits(first) || !digits(last) || clamp(first) > clamp(last) {
		return 0, 0, badArgument("x-amz-copy-source-range", asUTF8(header), "The x-amz-copy-source-range value must be of the form bytes=first-last where first and last are the zero-based offsets of the first and last bytes to copy")
	}
	off = clamp(first)
	end := clamp(last)
	if end >= size {
		return 0, 0, badArgument("x-amz-copy-source-range", header, "Range specified is not valid for source object of size: %d", size)
	}
	return off, end - off + 1, nil
}

func (c *call) abortUpload() error {
	u, err := c.upload()
	if err != nil {
		return err
	}
	// If it was begun then; a time to come says nothing.
	if t, err := http.ParseTime(c.header("X-Amz-If-Match-Initiated-Time")); err == nil &&
		!t.Equal(u.Created.UTC().Truncate(time.Second)) && !t.After(c.opts.Now()) {
		return refuse(errPreconditionFailed, "").with("Condition", "x-amz-if-match-initiated-time")
	}
	if err := c.opts.Uploads.Abort(c.r.Context(), u); err != nil {
		return err
	}
	c.w.WriteHeader(http.StatusNoContent)
	return nil
}
