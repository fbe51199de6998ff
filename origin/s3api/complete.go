package s3api

import (
	"cmp"
	"errors"
	"maps"
	"strconv"
	"strings"

	"meridian/internal/checksum"
	"meridian/metadata"
	"meridian/upload"
)

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
		return nil, errMalformedXML
	}
	parts := make([]upload.CompletePart, len(r.Parts))
	for i, p := range r.Parts {
		switch {
		case p.PartNumber < 1 || p.PartNumber > MaxParts:
			return nil, badArgument("PartNumber", strconv.Itoa(p.PartNumber), "Part number must be an integer between 1 and 10000, inclusive")
		case p.ETag == "":
			return nil, errMalformedXML
		case i > 0 && p.PartNumber <= r.Parts[i-1].PartNumber:
			return nil, errInvalidPartOrder
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
	ended := errors.Is(err, metadata.ErrNoSuchUpload)
	if err != nil && !ended {
		return err
	}
	if customer, err := c.customerKey(customerPrefix); err != nil {
		return err
	} else if customer != nil && !ended { // it may be left out, but not be wrong
		if err := c.unlockUpload(&u); err != nil {
			return err
		}
	}
	if kind := c.header("X-Amz-Checksum-Type"); kind != "" && u.ChecksumType != "" && kind != u.ChecksumType {
		return refuse(errInvalidRequest, "The upload was created using the %s checksum mode. The complete request must use the same checksum mode.", u.ChecksumType)
	}
	var req completeRequest
	if readErr := c.readXML(greatXML, digestOfObject, "CompleteMultipartUpload", &req); readErr != nil {
		if codeIs(readErr, errMissingRequestBody) {
			readErr = because(errMalformedXML, readErr)
		}
		return cmp.Or(err, readErr)
	}
	parts, partsErr := req.parts()
	if partsErr != nil {
		return cmp.Or(err, partsErr)
	}
	var v metadata.Version
	if ended {
		// The answer to a Complete that succeeded may have got lost on its way.
		v, err = c.opts.Uploads.Completed(c.r.Context(), c.bucket, c.key, c.query.Get("uploadId"), parts)
	} else {
		v, err = c.opts.Uploads.Complete(c.r.Context(), u, parts, opts)
	}
	if err != nil {
		return err
	}
	c.writeWritten(&v)
	c.writeExpiration(&v)
	c.writeEncryption(v.Encryption)
	if !v.Null {
		c.w.Header().Set("X-Amz-Version-Id", v.VersionID())
	}
	d := newDocument("CompleteMultipartUploadResult")
	d.elem("Location", c.location())
	d.elem("Bucket", c.bucket)
	d.elem("Key", c.key)
	d.etag(v.ETag)
	writeChecksumElements(d, v.Checksums, v.ChecksumType)
	return c.w.sendXML(d)
}

// location is the URL of the object at this endpoint.
func (c *call) location() string {
	scheme := "http"
	if c.r.TLS != nil {
		scheme = "https"
	}
	return scheme + "://" + c.r.Host + c.r.URL.EscapedPath()
}

// completeOptions reads what the client says of the whole object.
func (c *call) completeOptions() (upload.CompleteOptions, error) {
	opts := upload.CompleteOptions{Size: -1}
	if s := c.header("X-Amz-Mp-Object-Size"); s != "" {
		n, err := strconv.ParseInt(s, 10, 64)
		if err != nil || n < 0 {
			return opts, refuse(errInvalidRequest, "Value for x-amz-mp-object-size header is invalid.")
		}
		opts.Size = n
	}
	for _, alg := range checksum.Algorithms {
		value := c.header(checksumPrefix + string(alg))
		if value == "" {
			continue
		}
		if len(opts.Checksums) > 0 {
			return opts, refuse(errInvalidRequest, "Expecting a single x-amz-checksum- header. Multiple checksum Types are not allowed.")
		}
		opts.Checksums = map[string]string{string(alg): value}
	}
	return opts, nil
}
