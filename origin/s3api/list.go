package s3api

import (
	"encoding/base64"
	"strings"

	"meridian/metadata"
)

// maxKeys is the greatest page of a listing, and the default one.
const maxKeys = 1000

// listing is what the three listings of objects have in common.
type listing struct {
	prefix, delimiter string
	limit             int
	encode            func(string) string
	encoding          string
}

func (c *call) readListing() (listing, error) {
	l := listing{
		prefix: c.query.Get("prefix"), delimiter: c.query.Get("delimiter"),
		encoding: c.query.Get("encoding-type"), encode: func(s string) string { return s },
	}
	switch l.encoding {
	case "":
	case "url":
		l.encode = urlEncode
	default:
		return l, badArgument("encoding-type", l.encoding, "Invalid Encoding Method specified in Request")
	}
	for _, name := range []string{"prefix", "delimiter", "marker", "start-after", "key-marker", "version-id-marker", "upload-id-marker"} {
		if err := checkListText(name, c.query.Get(name)); err != nil {
			return l, err
		}
	}
	var err error
	l.limit, err = c.limit("max-keys", maxKeys)
	return l, err
}

// checkListText refuses what can be no part of a key.
func checkListText(name, value string) error {
	if value == "" || metadata.CheckKey(value) == nil {
		return nil
	}
	if len(value) > metadata.MaxKeyLength {
		return refuse(errKeyTooLong, "").with("ArgumentName", name)
	}
	return badArgument(name, asUTF8(value), "%s is not valid UTF-8 text", name)
}

const upperHex = "0123456789ABCDEF"

// urlEncode encodes a name for encoding-type=url, leaving slashes as they are.
// Spaces become %20, which every client decodes alike.
func urlEncode(s string) string {
	var b strings.Builder
	for i := range len(s) {
		switch c := s[i]; {
		case isAlnum(c), c == '-', c == '_', c == '.', c == '~', c == '/', c == '*':
			b.WriteByte(c)
		default:
			b.WriteByte('%')
			b.WriteByte(upperHex[c>>4])
			b.WriteByte(upperHex[c&15])
		}
	}
	return b.String()
}

// encodeToken makes an opaque continuation token of the last key of a page: the
// listing goes on behind it, whatever was written meanwhile.
func encodeToken(after string) string {
	return base64.RawURLEncoding.EncodeToString([]byte("1" + after))
}

// token is the key behind which a listing goes on, or "".
func (c *call) token(name string) (string, error) {
	if !c.query.Has(name) {
		return "", nil
	}
	s := c.query.Get(name)
	if s == "" {
		return "", nil
	}
	b, err := base64.RawURLEncoding.DecodeString(s)
	if err != nil || len(b) < 2 || b[0] != '1' || checkListText(name, string(b[1:])) != nil {
		return "", badArgument(name, s, "The continuation token provided is incorrect")
	}
	return string(b[1:]), nil
}

// page reads a page; one of no entries says nothing of what there is.
func (c *call) page(l listing, q metadata.ListQuery) (metadata.ListPage, error) {
	q.Bucket, q.Prefix, q.Delimiter, q.Limit = c.bucket, l.prefix, l.delimiter, l.limit
	if l.limit == 0 {
		_, err := c.opts.Catalog.Bucket(c.r.Context(), c.bucket)
		return metadata.ListPage{}, err
	}
	return c.opts.Catalog.List(c.r.Context(), q)
}

// listObjects is the first version of the listing: it goes on behind a marker.
func (c *call) listObjects() error {
	l, err := c.readListing()
	if err != nil {
		return err
	}
	marker := c.query.Get("marker")
	page, err := c.page(l, metadata.ListQuery{After: marker})
	if err != nil {
		return err
	}
	d := newDocument("ListBucketResult")
	d.elem("Name", c.bucket)
	d.elem("Prefix", l.encode(l.prefix))
	d.elem("Marker", l.encode(marker))
	if page.Truncated { // S3 says it with a delimiter only: without, it is the last key
		d.elem("NextMarker", l.encode(page.Next))
	}
	d.number("MaxKeys", int64(l.limit))
	d.optional("Delimiter", l.encode(l.delimiter))
	d.optional("EncodingType", l.encoding)
	d.boolean("IsTruncated", page.Truncated)
	for i := range page.Versions {
		c.writeEntry(d, l, &page.Versions[i], true)
	}
	writePrefixes(d, l, page.Prefixes)
	return c.w.sendXML(d)
}

func (c *call) listObjectsV2() error {
	if t := c.query.Get("list-type"); t != "2" {
		return badArgument("list-type", t, "Invalid List Type specified in Request")
	}
	l, err := c.readListing()
	if err != nil {
		return err
	}
	startAfter := c.query.Get("start-after")
	after := startAfter
	if t, err := c.token("continuation-token"); err != nil {
		return err
	} else if t != "" {
		after = t
	}
	page, err := c.page(l, metadata.ListQuery{After: after})
	if err != nil {
		return err
	}
	fetchOwner := c.query.Get("fetch-owner") == "true"
	d := newDocument("ListBucketResult")
	d.elem("Name", c.bucket)
	d.elem("Prefix", l.encode(l.prefix))
	d.optional("StartAfter", l.encode(startAfter))
	if c.query.Has("continuation-token") {
		d.elem("ContinuationToken", c.query.Get("continuation-token"))
	}
	if page.Truncated {
		d.elem("NextContinuationToken", encodeToken(page.Next))
	}
	d.number("KeyCount", int64(len(page.Versions)+len(page.Prefixes)))
	d.number("MaxKeys", int64(l.limit))
	d.optional("Delimiter", l.encode(l.delimiter))
	d.optional("EncodingType", l.encoding)
	d.boolean("IsTruncated", page.Truncated)
	for i := range page.Versions {
		c.writeEntry(d, l, &page.Versions[i], fetchOwner)
	}
	writePrefixes(d, l, page.Prefixes)
	return c.w.sendXML(d)
}

// listVersions lists versions and delete markers, newest first within a key.
func (c *call) listVersions() error {
	l, err := c.readListing()
	if err != nil {
		return err
	}
	keyMarker, versionMarker := c.query.Get("key-marker"), c.query.Get("version-id-marker")
	switch {
	case versionMarker != "" && keyMarker == "":
		return badArgument("version-id-marker", versionMarker, "A version-id marker cannot be specified without a key marker.")
	case c.query.Has("version-id-marker") && versionMarker == "":
		return badArgument("version-id-marker", "", "A version-id marker cannot be empty.")
	}
	page, err := c.page(l, metadata.ListQuery{After: keyMarker, AfterVersion: versionMarker, Versions: true})
	if err != nil {
		return err
	}
	d := newDocument("ListVersionsResult")
	d.elem("Name", c.bucket)
	d.elem("Prefix", l.encode(l.prefix))
	d.elem("KeyMarker", l.encode(keyMarker))
	d.elem("VersionIdMarker", versionMarker)
	if page.Truncated {
		d.elem("NextKeyMarker", l.encode(page.Next))
		d.optional("NextVersionIdMarker", page.NextVersion)
	}
	d.number("MaxKeys", int64(l.limit))
	d.optional("Delimiter", l.encode(l.delimiter))
	d.optional("EncodingType", l.encoding)
	d.boolean("IsTruncated", page.Truncated)
	for i := range page.Versions {
		c.writeVersion(d, l, &page.Versions[i])
	}
	writePrefixes(d, l, page.Prefixes)
	return c.w.sendXML(d)
}

func (c *call) writeVersion(d *document, l listing, v *metadata.Version) {
	element := "Version"
	if v.DeleteMarker {
		element = "DeleteMarker"
	}
	d.start(element)
	d.elem("Key", l.encode(v.Key))
	d.elem("VersionId", v.VersionID())
	d.boolean("IsLatest", v.Latest)
	d.time("LastModified", v.Modified)
	if !v.DeleteMarker {
		writeContent(d, v)
	}
	if v.Owner != "" { // of a delete marker nobody is known
		c.writeOwner(d, "Owner", v.Owner)
	}
	d.end(element)
}

func (c *call) writeEntry(d *document, l listing, v *metadata.Version, owner bool) {
	d.start("Contents")
	d.elem("Key", l.encode(v.Key))
	d.time("LastModified", v.Modified)
	writeContent(d, v)
	if owner {
		c.writeOwner(d, "Owner", v.Owner)
	}
	d.end("Contents")
}

func writeContent(d *document, v *metadata.Version) {
	d.etag(v.ETag)
	for alg := range v.Checksums {
		d.elem("ChecksumAlgorithm", strings.ToUpper(alg))
	}
	if len(v.Checksums) > 0 {
		d.optional("ChecksumType", v.ChecksumType)
	}
	d.number("Size", v.Size)
	d.elem("StorageClass", storageClassOf(v.StorageClass))
}

func storageClassOf(s string) string {
	if s == "" {
		return "STANDARD"
	}
	return s
}

func writePrefixes(d *document, l listing, prefixes []string) {
	for _, p := range prefixes {
		d.start("CommonPrefixes")
		d.elem("Prefix", l.encode(p))
		d.end("CommonPrefixes")
	}
}
