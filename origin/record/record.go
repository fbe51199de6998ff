// Package record writes what the catalogue knows of a version into the metadata
// of its blob, and reads it back: whoever has nothing but the blobs of a region
// can rebuild the records of its objects.
//
// The metadata are names and values that may be HTTP headers:
//
//	bucket, key, version, owner           who it is; always there
//	null                                  "true" for the version that clients call null
//	encryption                            metadata.Encryption.Kind of a blob that is
//	                                      encrypted; its key is in the catalogue only
//	content-type, content-encoding,
//	content-disposition, content-language,
//	cache-control, expires, storage-class
//	tags, headers, user-metadata          name=value&name=value, as a URL's query
//	left-out                              names of fields that had no room, with
//	                                      commas; "all" but the first four
//
// In a value, bytes other than visible ASCII, and %, ? and blank, are percent
// escapes of UTF-8. Where base64 (the URL alphabet, unpadded) of the value is
// shorter it is that, behind "base64:". Size and time of a version are those of
// the blob; ETag and checksums follow from its bytes.
package record

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"meridian/metadata"
	"meridian/origin/blob"
)

// ErrMalformed says that metadata are not those of a version.
var ErrMalformed = errors.New("malformed metadata of blob")

// all stands for the names of all fields where even those have no room.
const (
	leftOut = "left-out"
	all     = "all"
)

// field is a value under its name. Exactly one of text and table is set.
type field struct {
	name  string
	text  *string
	table *map[string]string
}

// identity are the fields that always fit: a bucket of 63 bytes, a key of 1024,
// a version ID and an owner of 256 come to 1876 bytes.
func identity(v *metadata.Version) []field {
	return []field{
		{name: "bucket", text: &v.Bucket},
		{name: "key", text: &v.Key},
		{name: "version", text: &v.ID},
		{name: "owner", text: &v.Owner},
	}
}

// rest are the other fields, those that a record misses most first.
func rest(v *metadata.Version) []field {
	return []field{
		{name: blob.MetaContentType, text: &v.ContentType},
		{name: "content-encoding", text: &v.ContentEncoding},
		{name: "content-language", text: &v.ContentLanguage},
		{name: "storage-class", text: &v.StorageClass},
		{name: "cache-control", text: &v.CacheControl},
		{name: "expires", text: &v.Expires},
		{name: "content-disposition", text: &v.ContentDisposition},
		{name: "tags", table: &v.Tags},
		{name: "headers", table: &v.Headers},
		{name: "user-metadata", table: &v.UserMetadata},
	}
}

// Meta is what is kept with the blob of v.
func Meta(v metadata.Version) blob.Meta {
	m := blob.Meta{}
	for _, f := range identity(&v) {
		if s := f.encode(); s != "" {
			m[f.name] = s
		}
	}
	if v.Null {
		m["null"] = "true"
	}
	if v.Encryption != nil {
		m["encryption"] = v.Encryption.Kind
	}
	var names []string
	size := m.Size()
	values := map[string]string{}
	for _, f := range rest(&v) {
		if s := f.encode(); s != "" {
			values[f.name] = s
			names = append(names, f.name)
			size += blob.MetaSize(f.name, s)
		}
	}
	room := blob.MaxMeta - m.Size()
	if size > blob.MaxMeta { // so that the marker will have room, whatever it names
		room -= blob.MetaSize(leftOut, strings.Join(names, ","))
	}
	var left []string
	for _, name := range names {
		if n := blob.MetaSize(name, values[name]); n <= room {
			m[name] = values[name]
			room -= n
		} else {
			left = append(left, name)
		}
	}
	if len(left) > 0 {
		m[leftOut] = strings.Join(left, ",")
		if m.Size() > blob.MaxMeta {
			m[leftOut] = all
		}
	}
	return m
}

// Parse is the version that m was made of, without what comes from the blob
// itself. left names the fields that had no room. ErrMalformed if m is none of
// Meta's.
func Parse(m blob.Meta) (v metadata.Version, left []string, err error) {
	for _, f := range append(identity(&v), rest(&v)...) {
		if err := f.decode(m[f.name]); err != nil {
			return metadata.Version{}, nil, fmt.Errorf("%w: %s: %w", ErrMalformed, f.name, err)
		}
	}
	if v.Bucket == "" || v.Key == "" || v.ID == "" {
		return metadata.Version{}, nil, fmt.Errorf("%w: no bucket, key or version", ErrMalformed)
	}
	v.Null = m["null"] == "true"
	if kind := m["encryption"]; kind != "" {
		v.Encryption = &metadata.Encryption{Kind: kind}
	}
	switch names := m[leftOut]; names {
	case "":
	case all:
		for _, f := range rest(&v) {
			left = append(left, f.name)
		}
	default:
		left = strings.Split(names, ",")
	}
	return v, left, nil
}

func (f field) encode() string {
	if f.text != nil {
		return encode(*f.text)
	}
	q := make(url.Values, len(*f.table))
	for name, value := range *f.table {
		q.Set(name, value)
	}
	return q.Encode()
}

func (f field) decode(s string) (err error) {
	if f.text != nil {
		*f.text, err = decode(s)
		return err
	}
	q, err := url.ParseQuery(s)
	if err != nil || len(q) == 0 {
		return err
	}
	*f.table = make(map[string]string, len(q))
	for name := range q {
		(*f.table)[name] = q.Get(name)
	}
	return nil
}

const inBase64 = "base64:"

func encode(s string) string {
	const hex = "0123456789ABCDEF"
	var b strings.Builder
	for i := range len(s) {
		c := s[i]
		// A value that only looks like base64 has its first letter escaped.
		if c <= ' ' || c > '~' || c == '%' || c == '?' || i == 0 && strings.HasPrefix(s, inBase64) {
			b.Write([]byte{'%', hex[c>>4], hex[c&15]})
		} else {
			b.WriteByte(c)
		}
	}
	if n := len(inBase64) + base64.RawURLEncoding.EncodedLen(len(s)); n < b.Len() {
		return inBase64 + base64.RawURLEncoding.EncodeToString([]byte(s))
	}
	return b.String()
}

func decode(s string) (string, error) {
	if text, ok := strings.CutPrefix(s, inBase64); ok {
		b, err := base64.RawURLEncoding.DecodeString(text)
		return string(b), err
	}
	return url.PathUnescape(s)
}
