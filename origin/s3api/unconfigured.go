package s3api

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
