package s3api

import (
	"cmp"
	"net/http"
	"strconv"
	"strings"
	"unicode/utf8"

	"meridian/internal/checksum"
	"meridian/metadata"
	"meridian/origin"
)

// fullObject and composite are the checksum types of S3.
const (
	fullObject = "FULL_OBJECT"
	composite  = "COMPOSITE"
)

// checkKey refuses what cannot be a key.
func checkKey(key string) error {
	err := metadata.CheckKey(key)
	switch {
	case err == nil:
		return nil
	case len(key) > metadata.MaxKeyLength:
		return refuse(errKeyTooLong, "").with("Size", strconv.Itoa(len(key))).
			with("MaxSizeAllowed", strconv.Itoa(metadata.MaxKeyLength))
	case !utf8.ValidString(key):
		return because(errInvalidURI, err)
	}
	return &failure{code: errInvalidArgument, message: err.Error(), cause: err}
}

// putOrCopyObject tells PutObject from CopyObject, which only a header does.
func (c *call) putOrCopyObject() error {
	if c.header("X-Amz-Copy-Source") != "" {
		return c.copyObject()
	}
	return c.putObject()
}

// putObject stores the body as a new version. All that can be refused is
// refused before the body is read.
func (c *call) putObject() error {
	v, err := c.template()
	if err != nil {
		return err
	}
	cond, err := c.writeCond()
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
	bucket, err := c.opts.Catalog.Bucket(c.r.Context(), c.bucket)
	if err != nil {
		return err
	}
	if err := c.mayWrite(&bucket, &v); err != nil {
		return err
	}
	if err := cmp.Or(c.mayLock(&bucket, v.Lock), c.mustSum(&bucket, v.Lock, d)); err != nil {
		return err
	}
	v.ChecksumType = fullObject
	put, err := c.opts.Objects.Put(c.r.Context(), origin.PutInput{
		Template: v, Body: b, Size: b.size, Cond: cond, Bucket: &bucket,
		Algorithms: d.algorithms(checksum.CRC64NVME), Verify: d.verify,
	})
	if err != nil {
		return b.blame(err)
	}
	h := c.w.Header()
	h["ETag"] = []string{quote(put.ETag)}
	c.writeNewVersion(&put)
	writeChecksums(h, put.Checksums, put.ChecksumType)
	h.Set("X-Amz-Object-Size", strconv.FormatInt(put.Size, 10))
	h.Set("Content-Length", "0")
	c.w.WriteHeader(http.StatusOK)
	return nil
}

// writeNewVersion tells of a version that was just made.
func (c *call) writeNewVersion(v *metadata.Version) {
	c.writeWritten(v)
	c.writeExpiration(v)
	c.writeEncryption(v.Encryption)
	if !v.Null {
		c.w.Header().Set("X-Amz-Version-Id", v.VersionID())
	}
}

// mayWrite refuses what b would not take here, before the bytes come, and says
// whose v will be.
func (c *call) mayWrite(b *metadata.Bucket, v *metadata.Version) error {
	if !b.MayHold(c.opts.Region) {
		return refuse(errIllegalLocationConstraint, "The bucket may be kept in %s only: write to the S3 endpoint of such a region.",
			strings.Join(b.Residency, ", ")).with("Region", c.opts.Region)
	}
	return c.setACL(b, v)
}

// deleteObject removes the current version, or hides it, or removes the version
// that is named. What was not there is gone as well.
func (c *call) deleteObject() error {
	cond, err := c.writeCond()
	if err != nil {
		return err
	}
	like, err := readLikeness(c.header(ifMatchSize), c.header(ifMatchTime), [2]string{strings.ToLower(ifMatchSize), strings.ToLower(ifMatchTime)})
	if err != nil {
		return err
	}
	id, err := c.versionID()
	if err != nil {
		return err
	}
	if cond.BypassGovernance, err = c.mayBypassGovernance(c.key); err != nil {
		return err
	}
	v, err := c.remove(metadata.Ref{Bucket: c.bucket, Key: c.key, VersionID: id}, like, cond)
	if err != nil {
		return err
	}
	h := c.w.Header()
	if v.DeleteMarker {
		h.Set("X-Amz-Delete-Marker", "true")
		h.Set("X-Amz-Version-Id", v.VersionID())
	} else if id != "" {
		h.Set("X-Amz-Version-Id", id)
	}
	c.writeWritten(&v)
	c.w.WriteHeader(http.StatusNoContent)
	return nil
}
