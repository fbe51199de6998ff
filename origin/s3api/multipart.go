package s3api

import (
	"io"
	"maps"
	"net/http"
	"strconv"
	"strings"

	"meridian/internal/checksum"
	"meridian/metadata"
	"meridian/upload"
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
	if err := c.checkObjectACL(&bucket); err != nil {
		return err
	}
	u, err := c.opts.Uploads.Begin(c.r.Context(), v, alg, kind)
	if err != nil {
		return err
	}
	if alg != "" {
		c.w.Header().Set("X-Amz-Checksum-Algorithm", strings.ToUpper(string(alg)))
		c.w.Header().Set("X-Amz-Checksum-Type", kind)
	}
	d := newDocument("InitiateMultipartUploadResult")
	d.elem("Bucket", c.bucket)
	d.elem("Key", c.key)
	d.elem("UploadId", u.ID)
	return c.w.sendXML(http.StatusOK, d)
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
		return "", "", refuse(invalidRequest, "Value for x-amz-checksum-type header is invalid.")
	case alg == "" && kind != "":
		return "", "", refuse(invalidRequest, "The x-amz-checksum-type header can only be used with the x-amz-checksum-algorithm header.")
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
		return "", "", refuse(invalidRequest, "The %s checksum type cannot be used with the %s checksum algorithm.", kind, strings.ToLower(string(alg)))
	}
	return alg, kind, nil
}

// upload finds the upload that the request names.
func (c *call) upload() (metadata.Upload, error) {
	return c.opts.Catalog.Upload(c.r.Context(), c.bucket, c.key, c.query.Get("uploadId"))
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
	if d != nil && d.algorithm != "" && string(d.algorithm) != u.ChecksumAlgorithm {
		return "", refuse(invalidRequest, "Checksum Type mismatch occurred, expected checksum Type: %s, actual checksum Type: %s",
			u.ChecksumAlgorithm, d.algorithm)
	}
	return checksum.Algorithm(u.ChecksumAlgorithm), nil
}

// copyPart stores a piece of another object as a part.
func (c *call) copyPart() error {
	n, err := partNumber(c.query.Get("partNumber"))
	if err != nil {
		return err
	}
	u, err := c.upload()
	if err != nil {
		return err
	}
	src, err := c.copySource()
	if err != nil {
		return err
	}
	off, size, err := copyRange(c.header("X-Amz-Copy-Source-Range"), src.Size)
	if err != nil {
		return err
	}
	if size > MaxPutSize {
		return refuse(invalidRequest, "The specified copy source is larger than the maximum allowable size for a copy source: 5368709120")
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
	part, err := c.opts.Uploads.PutPart(c.r.Context(), u, n, size, body, []checksum.Algorithm{checksum.MD5, alg}, nil)
	if err != nil {
		return err
	}
	d := newDocument("CopyPartResult")
	d.time("LastModified", part.Modified)
	d.etag(part.ETag)
	writeChecksumElements(d, part.Checksums, "")
	return c.w.sendXML(http.StatusOK, d)
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

// completeRequest is the body of CompleteMultipartUpload.
type completeRequest struct {
	Parts []struct {
		PartNumber        int    `xml:"PartNumber"`
		ETag              string `xml:"ETag"`
		ChecksumCRC32     string `xml:"ChecksumCRC32"`
		ChecksumCRC32C    string `xml:"ChecksumCRC32C"`
		ChecksumCRC64NVME string `xml:"ChecksumCRC64NVME"`
		ChecksumSHA1      string `xml:"ChecksumSHA1"`
		ChecksumSHA256    string `xml:"ChecksumSHA256"`
	} `xml:"Part"`
}

// parts checks the list and turns it into what package upload takes.
func (r *completeRequest) parts() ([]upload.CompletePart, error) {
	if len(r.Parts) == 0 || len(r.Parts) > MaxParts {
		return nil, malformedXML
	}
	parts := make([]upload.CompletePart, len(r.Parts))
	for i, p := range r.Parts {
		switch {
		case p.PartNumber < 1 || p.PartNumber > MaxParts:
			return nil, badArgument("PartNumber", strconv.Itoa(p.PartNumber), "Part number must be an integer between 1 and 10000, inclusive")
		case p.ETag == "":
			return nil, malformedXML
		case i > 0 && p.PartNumber <= r.Parts[i-1].PartNumber:
			return nil, invalidPartOrder
		}
		sums := map[string]string{
			"crc32": p.ChecksumCRC32, "crc32c": p.ChecksumCRC32C, "crc64nvme": p.ChecksumCRC64NVME,
			"sha1": p.ChecksumSHA1, "sha256": p.ChecksumSHA256,
		}
		maps.DeleteFunc(sums, func(_, v string) bool { return v == "" })
		parts[i] = upload.CompletePart{Number: p.PartNumber, ETag: strings.Trim(p.ETag, `"`), Checksums: sums}
	}
	return parts, nil
}

// completeUpload makes the object of its parts.
func (c *call) completeUpload() error {
	cond, err := c.writeCond()
	if err != nil {
		return err
	}
	opts, err := c.completeOptions()
	if err != nil {
		return err
	}
	opts.Cond = cond
	u, err := c.upload()
	if err != nil {
		return err
	}
	if kind := c.header("X-Amz-Checksum-Type"); kind != "" && u.ChecksumType != "" && kind != u.ChecksumType {
		return refuse(invalidRequest, "The upload was created using the %s checksum mode. The complete request must use the same checksum mode.", u.ChecksumType)
	}
	var req completeRequest
	if err := c.readXML(greatXML, digestOfObject, "CompleteMultipartUpload", &req); err != nil {
		return err
	}
	parts, err := req.parts()
	if err != nil {
		return err
	}
	v, err := c.opts.Uploads.Complete(c.r.Context(), u, parts, opts)
	if err != nil {
		return err
	}
	c.writeWritten(&v)
	if !v.Null {
		c.w.Header().Set("X-Amz-Version-Id", v.VersionID())
	}
	d := newDocument("CompleteMultipartUploadResult")
	d.elem("Location", c.location())
	d.elem("Bucket", c.bucket)
	d.elem("Key", c.key)
	d.etag(v.ETag)
	writeChecksumElements(d, v.Checksums, v.ChecksumType)
	return c.w.sendXML(http.StatusOK, d)
}

// location is the URL of the object at this endpoint.
func (c *call) location() string {
	scheme := "http"
	if c.r.TLS != nil {
		scheme = "https"
	}
	return scheme + "://" + c.r.Host + c.r.URL.EscapedPath()
}

func (c *call) abortUpload() error {
	u, err := c.upload()
	if err != nil {
		return err
	}
	if err := c.opts.Uploads.Abort(c.r.Context(), u); err != nil {
		return err
	}
	c.w.WriteHeader(http.StatusNoContent)
	return nil
}

func (c *call) listParts() error {
	limit, after, err := c.partPage(c.query.Get("max-parts"), c.query.Get("part-number-marker"))
	if err != nil {
		return err
	}
	l, err := c.readListing() // for encoding-type
	if err != nil {
		return err
	}
	u, err := c.upload()
	if err != nil {
		return err
	}
	parts, truncated, err := c.partsPage(u.ID, limit, after)
	if err != nil {
		return err
	}
	d := newDocument("ListPartsResult")
	d.elem("Bucket", c.bucket)
	d.elem("Key", l.encode(c.key))
	d.elem("UploadId", u.ID)
	d.number("PartNumberMarker", int64(after))
	next := 0
	if len(parts) > 0 {
		next = parts[len(parts)-1].Number
	}
	d.number("NextPartNumberMarker", int64(next))
	d.number("MaxParts", int64(limit))
	d.optional("EncodingType", l.encoding)
	d.boolean("IsTruncated", truncated)
	if u.ChecksumAlgorithm != "" {
		d.elem("ChecksumAlgorithm", strings.ToUpper(u.ChecksumAlgorithm))
		d.elem("ChecksumType", u.ChecksumType)
	}
	for i := range parts {
		p := &parts[i]
		d.start("Part")
		d.number("PartNumber", int64(p.Number))
		d.time("LastModified", p.Modified)
		d.etag(p.ETag)
		d.number("Size", p.Size)
		writeChecksumElements(d, p.Checksums, "")
		d.end("Part")
	}
	c.writeOwner(d, "Initiator", u.Template.Owner)
	c.writeOwner(d, "Owner", u.Template.Owner)
	d.elem("StorageClass", storageClassOf(u.Template.StorageClass))
	return c.w.sendXML(http.StatusOK, d)
}

func (c *call) partsPage(uploadID string, limit, after int) (parts []metadata.Part, truncated bool, err error) {
	for p, err := range c.opts.Catalog.Parts(c.r.Context(), uploadID, after) {
		if err != nil {
			return nil, false, err
		}
		if len(parts) == limit {
			return parts, limit > 0, nil
		}
		parts = append(parts, p)
	}
	return parts, false, nil
}

func (c *call) listUploads() error {
	l, err := c.readListing()
	if err != nil {
		return err
	}
	if l.limit, err = c.limit("max-uploads", maxKeys, 0); err != nil {
		return err
	}
	q := metadata.UploadQuery{
		Bucket: c.bucket, Prefix: l.prefix, Delimiter: l.delimiter, Limit: l.limit,
		KeyMarker: c.query.Get("key-marker"), UploadMarker: c.query.Get("upload-id-marker"),
	}
	if q.KeyMarker == "" {
		q.UploadMarker = "" // S3 ignores it by itself
	}
	if _, err := c.opts.Catalog.Bucket(c.r.Context(), c.bucket); err != nil {
		return err
	}
	var page metadata.UploadPage
	if l.limit > 0 {
		if page, err = c.opts.Catalog.ListUploads(c.r.Context(), q); err != nil {
			return err
		}
	}
	d := newDocument("ListMultipartUploadsResult")
	d.elem("Bucket", c.bucket)
	d.elem("KeyMarker", l.encode(q.KeyMarker))
	d.elem("UploadIdMarker", q.UploadMarker)
	if page.Truncated {
		d.elem("NextKeyMarker", l.encode(page.NextKey))
		d.elem("NextUploadIdMarker", page.NextUpload)
	}
	d.optional("Delimiter", l.encode(l.delimiter))
	d.elem("Prefix", l.encode(l.prefix))
	d.optional("EncodingType", l.encoding)
	d.number("MaxUploads", int64(l.limit))
	d.boolean("IsTruncated", page.Truncated)
	for i := range page.Uploads {
		u := &page.Uploads[i]
		d.start("Upload")
		d.elem("Key", l.encode(u.Template.Key))
		d.elem("UploadId", u.ID)
		c.writeOwner(d, "Initiator", u.Template.Owner)
		c.writeOwner(d, "Owner", u.Template.Owner)
		d.elem("StorageClass", storageClassOf(u.Template.StorageClass))
		d.time("Initiated", u.Created)
		if u.ChecksumAlgorithm != "" {
			d.elem("ChecksumAlgorithm", strings.ToUpper(u.ChecksumAlgorithm))
			d.elem("ChecksumType", u.ChecksumType)
		}
		d.end("Upload")
	}
	writePrefixes(d, l, page.Prefixes)
	return c.w.sendXML(http.StatusOK, d)
}

// completeOptions reads what the client says of the whole object.
func (c *call) completeOptions() (upload.CompleteOptions, error) {
	opts := upload.CompleteOptions{Size: -1}
	if s := c.header("X-Amz-Mp-Object-Size"); s != "" {
		n, err := strconv.ParseInt(s, 10, 64)
		if err != nil || n < 0 {
			return opts, refuse(invalidRequest, "Value for x-amz-mp-object-size header is invalid.")
		}
		opts.Size = n
	}
	for alg := range hashSizes {
		value := c.header(checksumPrefix + string(alg))
		if value == "" {
			continue
		}
		if len(opts.Checksums) > 0 {
			return opts, refuse(invalidRequest, "Expecting a single x-amz-checksum- header. Multiple checksum Types are not allowed.")
		}
		opts.Checksums = map[string]string{string(alg): value}
	}
	return opts, nil
}
