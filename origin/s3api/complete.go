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
		PartNumber        *int   `xml:"PartNumber"`
		ETag              string `xml:"ETag"`
		ChecksumCRC32     string `xml:"ChecksumCRC32"`
		ChecksumCRC32C    string `xml:"ChecksumCRC32C"`
		ChecksumCRC64NVME string `xml:"ChecksumCRC64NVME"`
		ChecksumSHA1      string `xml:"ChecksumSHA1"`
		ChecksumSHA256    string `xml:"ChecksumSHA256"`
		ChecksumSHA512    string `xml:"ChecksumSHA512"`
		ChecksumMD5       string `xml:"ChecksumMD5"`
		ChecksumXXHASH64  string `xml:"ChecksumXXHASH64"`
		ChecksumXXHASH3   string `xml:"ChecksumXXHASH3"`
		ChecksumXXHASH128 string `xml:"ChecksumXXHASH128"`
		// Other is what ListParts tells of a part, which some tools give back.
		Other []struct{} `xml:",any"`
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
		case p.PartNumber == nil || p.ETag == "":
			return nil, errMalformedXML
		case *p.PartNumber < 1:
			return nil, badArgument("PartNumber", strconv.Itoa(*p.PartNumber), "PartNumber must be >= 1")
		case *p.PartNumber > MaxParts:
			return nil, badArgument("PartNumber", strconv.Itoa(*p.PartNumber), "Part number must be an integer between 1 and 10000, inclusive.")
		case i > 0 && *p.PartNumber <= parts[i-1].Number:
			return nil, errInvalidPartOrder
		}
		sums := map[string]string{
			"crc32": p.ChecksumCRC32, "crc32c": p.ChecksumCRC32C, "crc64nvme": p.ChecksumCRC64NVME,
			"sha1": p.ChecksumSHA1, "sha256": p.ChecksumSHA256, "sha512": p.ChecksumSHA512, "md5": p.ChecksumMD5,
			"xxhash64": p.ChecksumXXHASH64, "xxhash3": p.ChecksumXXHASH3, "xxhash128": p.ChecksumXXHASH128,
		}
		maps.DeleteFunc(sums, func(_, v string) bool { return v == "" })
		for alg, sum := range sums {
			if len(sums) > 1 || !checksum.Algorithm(alg).Valid(sum) {
				return nil, badArgument("Checksum", asUTF8(sum), "Invalid Base64 or multiple checksums present in request")
			}
		}
		parts[i] = upload.CompletePart{Number: *p.PartNumber, ETag: strings.Trim(p.ETag, `"`), Checksums: sums}
	}
	return parts, nil
}

// checkSums holds the checksums of the parts against what the upload was begun
// with: they are of its algorithm, and none is missing where that of the whole is
// made of them.
func checkSums(u *metadata.Upload, parts []upload.CompletePart) error {
	if u.ChecksumAlgorithm == "" {
		return nil
	}
	for _, p := range parts {
		for alg := range p.Checksums {
			if alg != u.ChecksumAlgorithm {
				return refuse(errBadDigest, "The %s you specified for part %d did not match what we received.", alg, p.Number)
			}
		}
		if len(p.Checksums) == 0 && u.ChecksumType == composite {
			return refuse(errInvalidRequest, "The upload was created using a %s checksum. The complete request must include the checksum for each part. It was missing for part %d in the request.",
				u.ChecksumAlgorithm, p.Number)
		}
	}
	return nil
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
	} else if !ended && (customer != nil || u.ChecksumAlgorithm != "") { // without checksums it may be left out, but not be wrong
		if err := c.unlockUpload(&u); err != nil {
			return err
		}
	}
	kind := c.header("X-Amz-Checksum-Type")
	if kind != "" && kind != fullObject && kind != composite {
		return refuse(errInvalidRequest, "Value for x-amz-checksum-type header is invalid.")
	}
	if kind != "" && u.ChecksumType != "" && kind != u.ChecksumType {
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
	if sumsErr := checkSums(&u, parts); sumsErr != nil && !ended {
		return sumsErr
	}
	var v metadata.Version
	if ended {
		// The answer to a Complete that succeeded may have got lost on its way.
		v, err = c.opts.Uploads.Completed(c.r.Context(), c.bucket, c.key, c.query.Get("uploadId"), parts)
	} else {
		v, err = c.opts.Uploads.Complete(c.r.Context(), u, parts, opts)
	}
	if errors.Is(err, upload.ErrChecksum) {
		for alg := range opts.Checksums {
			return &failure{code: errBadDigest, message: "The " + strings.ToUpper(alg) + " you specified did not match the calculated checksum.", cause: err}
		}
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
		switch {
		case err != nil:
			return opts, refuse(errInvalidRequest, "Value for x-amz-mp-object-size header is invalid: '%s'", asUTF8(s))
		case n < 0:
			return opts, refuse(errInvalidRequest, "Value for x-amz-mp-object-size header is less than zero: '%d'", n)
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
		sum, count, several := strings.Cut(value, "-")
		if !alg.Valid(sum) || several && !digits(count) {
			return opts, invalidSum(alg)
		}
		opts.Checksums = map[string]string{string(alg): value}
	}
	return opts, nil
}
