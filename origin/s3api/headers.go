package s3api

import (
	"mime"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"meridian/metadata"
)

// metaPrefix begins the names of user metadata.
const metaPrefix = "x-amz-meta-"

// defaultContentType is what S3 says of an object stored without one.
const defaultContentType = "binary/octet-stream"

// kept are the headers for caches that an object keeps and gives back as they
// came (RFC 9213, and the dialects of surrogate keys).
var kept = []string{"cache-tag", "cdn-cache-control", "surrogate-control", "surrogate-key"}

// unsupported are request headers that ask for something which an object here
// cannot have. They are refused: to take them silently would leave the client
// in a wrong belief about its data.
var unsupported = []string{
	"X-Amz-Website-Redirect-Location", "X-Amz-Write-Offset-Bytes",
}

// storageClasses are accepted and given back; all are the same storage here.
var storageClasses = []string{
	"STANDARD", "REDUCED_REDUNDANCY", "STANDARD_IA", "ONEZONE_IA", "INTELLIGENT_TIERING", "GLACIER_IR",
}

// template is the version that the request's headers describe.
func (c *call) template() (metadata.Version, error) {
	if err := c.refuseUnsupported(); err != nil {
		return metadata.Version{}, err
	}
	v := metadata.Version{
		Bucket: c.bucket, Key: c.key, Owner: c.who.User,
		ContentType:        c.text("Content-Type"),
		ContentEncoding:    withoutChunked(c.text("Content-Encoding")),
		ContentDisposition: c.text("Content-Disposition"),
		ContentLanguage:    c.text("Content-Language"),
		CacheControl:       c.text("Cache-Control"),
		Expires:            c.text("Expires"),
	}
	if v.ContentType == "" {
		v.ContentType = defaultContentType
	}
	for _, name := range kept {
		if s := c.text(name); s != "" {
			if v.Headers == nil {
				v.Headers = map[string]string{}
			}
			v.Headers[name] = s
		}
	}
	var err error
	if v.Encryption, err = c.requestedEncryption(); err != nil {
		return v, err
	}
	if v.StorageClass, err = c.storageClass(); err != nil {
		return v, err
	}
	if v.UserMetadata, err = c.userMetadata(); err != nil {
		return v, err
	}
	if v.Lock, err = c.lock(); err != nil {
		return v, err
	}
	v.Tags, err = parseTagging(c.header("X-Amz-Tagging"))
	return v, err
}

// text is a header's value as UTF-8, which is what the catalogue keeps; bytes
// that are not are taken for ISO 8859-1, as RFC 9110 has it.
func (c *call) text(name string) string {
	return asUTF8(strings.Join(c.r.Header.Values(name), ","))
}

func asUTF8(s string) string {
	if utf8.ValidString(s) {
		return s
	}
	r := make([]rune, len(s))
	for i := range len(s) {
		r[i] = rune(s[i])
	}
	return string(r)
}

// withoutChunked removes aws-chunked, which is about the request only.
func withoutChunked(encoding string) string {
	var keep []string
	for e := range strings.SplitSeq(encoding, ",") {
		if trimmed := strings.TrimSpace(e); trimmed != "" && !strings.EqualFold(trimmed, "aws-chunked") {
			keep = append(keep, e)
		}
	}
	return strings.TrimSpace(strings.Join(keep, ","))
}

func (c *call) refuseUnsupported() error {
	for _, name := range unsupported {
		if c.header(name) != "" {
			return refuse(errNotImplemented, "").with("Header", strings.ToLower(name))
		}
	}
	return nil
}

func (c *call) storageClass() (string, error) {
	s := c.header("X-Amz-Storage-Class")
	switch {
	case s == "":
		return "STANDARD", nil
	case !slices.Contains(storageClasses, s):
		return "", refuse(errInvalidStorageClass, "").with("StorageClassRequested", asUTF8(s))
	}
	return s, nil
}

// userMetadata reads x-amz-meta-*: names in lower case, since HTTP does not
// keep their case and S3 gives them back so.
func (c *call) userMetadata() (map[string]string, error) {
	var m map[string]string
	size := 0
	add := func(name string, values []string) {
		if name = strings.ToLower(name); !strings.HasPrefix(name, metaPrefix) || len(name) == len(metaPrefix) {
			return
		}
		if m == nil {
			m = map[string]string{}
		}
		name = asUTF8(name[len(metaPrefix):])
		if _, twice := m[name]; twice {
			return
		}
		m[name] = asUTF8(strings.Join(values, ","))
		size += len(name) + len(m[name])
	}
	for name, values := range c.r.Header {
		add(name, values)
	}
	if c.auth != nil && c.auth.Presigned {
		for name, values := range c.query {
			add(name, values[:1])
		}
	}
	if size > MaxMetadata {
		return nil, refuse(errMetadataTooLarge, "").
			with("Size", strconv.Itoa(size)).with("MaxSizeAllowed", strconv.Itoa(MaxMetadata))
	}
	for name, value := range m {
		if strings.ContainsFunc(name+value, isControl) {
			return nil, badArgument(metaPrefix+name, value, "Metadata may not hold control characters")
		}
	}
	return m, nil
}

func isControl(r rune) bool { return r < 0x20 && r != '\t' || r == 0x7f }

// overrides are the query parameters by which a signed request changes headers
// of the answer.
var overrides = map[string]string{
	"response-cache-control":       "Cache-Control",
	"response-content-disposition": "Content-Disposition",
	"response-content-encoding":    "Content-Encoding",
	"response-content-language":    "Content-Language",
	"response-content-type":        "Content-Type",
	"response-expires":             "Expires",
}

// writeObjectHeaders sets what is told of v with every answer that shows it.
func (c *call) writeObjectHeaders(v *metadata.Version) error {
	h := c.w.Header()
	for _, x := range []struct{ name, value string }{
		{"Content-Type", v.ContentType},
		{"Content-Encoding", v.ContentEncoding},
		{"Content-Disposition", v.ContentDisposition},
		{"Content-Language", v.ContentLanguage},
	} {
		setHeader(h, x.name, x.value)
	}
	c.writeValidators(v)
	c.writeEncryption(v.Encryption)
	h.Set("Accept-Ranges", "bytes")
	for name, value := range v.UserMetadata {
		if !safeHeader(name, value) {
			value = mime.BEncoding.Encode("UTF-8", value)
		}
		h[metaPrefix+name] = []string{value} // not re-cased: clients compare the names
	}
	if len(v.Tags) > 0 {
		h.Set("X-Amz-Tagging-Count", strconv.Itoa(len(v.Tags)))
	}
	c.writeLock(v.Lock)
	if v.StorageClass != "" && v.StorageClass != "STANDARD" {
		h.Set("X-Amz-Storage-Class", v.StorageClass)
	}
	for param, name := range overrides {
		if !c.query.Has(param) {
			continue
		}
		if c.who.anonymous() {
			return refuse(errInvalidRequest, "Request specific response headers cannot be used for anonymous GET requests.")
		}
		value := c.query.Get(param)
		if strings.ContainsFunc(value, isControl) {
			return badArgument(param, value, "Header values may not hold control characters")
		}
		h.Set(name, value)
	}
	return nil
}

// writeValidators sets what a 304 tells as well (RFC 9110, section 15.4.5).
func (c *call) writeValidators(v *metadata.Version) {
	h := c.w.Header()
	h["ETag"] = []string{quote(v.ETag)}
	h.Set("Last-Modified", v.Modified.UTC().Format(http.TimeFormat))
	setHeader(h, "Cache-Control", v.CacheControl)
	setHeader(h, "Expires", v.Expires)
	for name, value := range v.Headers {
		setHeader(h, name, value)
	}
}

func setHeader(h http.Header, name, value string) {
	if value != "" {
		h.Set(name, value)
	}
}

func safeHeader(name, value string) bool {
	return !strings.ContainsFunc(name+value, isControl)
}

func quote(etag string) string { return `"` + etag + `"` }

// writeWritten tells of a version that was just written or removed.
func (c *call) writeWritten(v *metadata.Version) {
	if !v.Seq.IsZero() {
		c.w.Header().Set("X-Meridian-Seq", v.Seq.String())
	}
}
