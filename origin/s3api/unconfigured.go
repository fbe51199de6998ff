package s3api

import (
	"maps"
	"slices"
)

// unconfigured says of an existing bucket that it has no such configuration.
func (c *call) unconfigured(k code) error {
	if _, err := c.opts.Catalog.Bucket(c.r.Context(), c.bucket); err != nil {
		return err
	}
	return k
}

// emptyConfiguration answers with what S3 says of a bucket on which nothing was
// ever set.
func (c *call) emptyConfiguration(root, inner string) error {
	if _, err := c.opts.Catalog.Bucket(c.r.Context(), c.bucket); err != nil {
		return err
	}
	d := newDocument(root)
	d.buf.WriteString(inner)
	return c.w.sendXML(d)
}

// noObjectLock answers the reads of an object's lock.
func (c *call) noObjectLock() error {
	if _, err := c.find(); err != nil {
		return err
	}
	return refuse(errInvalidRequest, "Bucket is missing Object Lock Configuration")
}

func (c *call) getObjectTagging() error {
	v, err := c.find()
	if err != nil {
		return err
	}
	if id := c.tellVersion(&v); id != "" {
		c.w.Header().Set("X-Amz-Version-Id", id)
	}
	d := newDocument("Tagging")
	d.start("TagSet")
	for _, k := range slices.Sorted(maps.Keys(v.Tags)) {
		d.start("Tag")
		d.elem("Key", k)
		d.elem("Value", v.Tags[k])
		d.end("Tag")
	}
	d.end("TagSet")
	return c.w.sendXML(d)
}
