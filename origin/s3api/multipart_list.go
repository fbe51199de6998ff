package s3api

import (
	"strings"

	"meridian/metadata"
)

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
	c.writeOwner(d, "Initiator", u.Initiator)
	c.writeOwner(d, "Owner", u.Template.Owner)
	d.elem("StorageClass", storageClassOf(u.Template.StorageClass))
	return c.w.sendXML(d)
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
	if l.limit, err = c.limit("max-uploads", maxKeys); err != nil {
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
		c.writeOwner(d, "Initiator", u.Initiator)
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
	return c.w.sendXML(d)
}
