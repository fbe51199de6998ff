package postgres

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype/zeronull"

	"meridian/metadata"
)

// attrs are the fields of a version that most versions leave empty, as the
// column of that name keeps them. The names are stored: they never change.
type attrs struct {
	Encoding     string            `json:"enc,omitempty"`
	Disposition  string            `json:"disp,omitempty"`
	Language     string            `json:"lang,omitempty"`
	CacheControl string            `json:"cc,omitempty"`
	Expires      string            `json:"exp,omitempty"`
	StorageClass string            `json:"class,omitempty"`
	Headers      map[string]string `json:"hdr,omitempty"`
	User         map[string]string `json:"meta,omitempty"`
	Tags         map[string]string `json:"tags,omitempty"`
	Checksums    map[string]string `json:"sums,omitempty"`
	ChecksumType string            `json:"sumtype,omitempty"`
	Sniffed      string            `json:"sniff,omitempty"`
	Lock         metadata.Lock     `json:"lock,omitzero"` // the schema reads it
	ACL          *metadata.ACL     `json:"acl,omitempty"`

	Encryption *metadata.Encryption `json:"sse,omitempty"`
}

// formatAttrs is nil where there is nothing to keep.
func formatAttrs(v *metadata.Version) ([]byte, error) {
	text, err := json.Marshal(attrs{
		Encoding: v.ContentEncoding, Disposition: v.ContentDisposition, Language: v.ContentLanguage,
		CacheControl: v.CacheControl, Expires: v.Expires, StorageClass: v.StorageClass,
		Headers: v.Headers, User: v.UserMetadata, Tags: v.Tags,
		Checksums: v.Checksums, ChecksumType: v.ChecksumType, Sniffed: v.Sniffed, Lock: v.Lock, ACL: v.ACL,
		Encryption: v.Encryption,
	})
	if err != nil || string(text) == "{}" {
		return nil, err
	}
	return text, nil
}

func parseAttrs(text []byte, v *metadata.Version) error {
	if len(text) == 0 {
		return nil
	}
	var a attrs
	if err := json.Unmarshal(text, &a); err != nil {
		return fmt.Errorf("attributes of version %s: %w", v.ID, err)
	}
	v.ContentEncoding, v.ContentDisposition, v.ContentLanguage = a.Encoding, a.Disposition, a.Language
	v.CacheControl, v.Expires, v.StorageClass = a.CacheControl, a.Expires, a.StorageClass
	v.Headers, v.UserMetadata, v.Tags = a.Headers, a.User, a.Tags
	v.Checksums, v.ChecksumType, v.Sniffed = a.Checksums, a.ChecksumType, a.Sniffed
	v.Lock, v.ACL = a.Lock, a.ACL
	v.Encryption = a.Encryption
	return nil
}

func formatParts(parts []metadata.ObjectPart) ([]byte, error) {
	if len(parts) == 0 {
		return nil, nil
	}
	return json.Marshal(parts)
}

// Columns of a version v, as versionScan reads them. objectColumns are of table
// object, historyColumns of object_history, of which the latest version of a key
// can only be a delete marker. Listings leave the parts out, which may be long.
const (
	columnsOfBoth = `v.seq, v.key, v.version_id, v.is_null, v.size, v.crc64, v.modified, v.etag, v.owner,
		v.content_type, v.blob, v.regions, v.attrs`
	objectColumns  = columnsOfBoth + `, false AS marker, true AS latest`
	historyColumns = columnsOfBoth + `, v.marker, v.marker AND NOT EXISTS (
		  SELECT FROM object x WHERE x.bucket_id = v.bucket_id AND x.key = v.key) AND NOT EXISTS (
		  SELECT FROM object_history x WHERE x.bucket_id = v.bucket_id AND x.key = v.key AND x.seq > v.seq) AS latest`
)

// versionScan reads one row of a version. Columns that are all null make an
// empty version.
type versionScan struct {
	v              metadata.Version
	seq            int64 // orders the versions of a key
	crc64          int64
	attrs, parts   []byte
	null           *bool
	marker, latest *bool
}

// targets are for columnsOfBoth, marker and latest.
func (s *versionScan) targets() []any {
	v := &s.v
	return []any{(*zeronull.Int8)(&s.seq), (*zeronull.Text)(&v.Key), (*zeronull.Text)(&v.ID), &s.null,
		(*zeronull.Int8)(&v.Size), (*zeronull.Int8)(&s.crc64), (*zeronull.Timestamptz)(&v.Modified),
		(*zeronull.Text)(&v.ETag), (*zeronull.Text)(&v.Owner), (*zeronull.Text)(&v.ContentType),
		(*zeronull.Text)(&v.Blob), &v.Regions, &s.attrs, &s.marker, &s.latest}
}

// version makes a version of what was scanned. The targets may be scanned into
// again.
func (s *versionScan) version(bucket string) (metadata.Version, error) {
	v := s.v
	v.Bucket = bucket
	v.CRC64 = uint64(s.crc64)
	v.Modified = v.Modified.UTC()
	v.Null = s.null != nil && *s.null
	v.DeleteMarker = s.marker != nil && *s.marker
	v.Latest = s.latest != nil && *s.latest
	if len(v.Regions) == 0 {
		v.Regions = nil
	}
	// Slices and maps are the version's own from here on.
	s.v.Regions = nil
	if err := parseAttrs(s.attrs, &v); err != nil {
		return v, err
	}
	if len(s.parts) > 0 {
		if err := json.Unmarshal(s.parts, &v.Parts); err != nil {
			return v, fmt.Errorf("parts of version %s: %w", v.ID, err)
		}
	}
	return v, nil
}

// scanVersion reads columnsOfBoth, marker, latest and parts.
func scanVersion(row pgx.Row, bucket string) (metadata.Version, error) {
	var s versionScan
	if err := row.Scan(append(s.targets(), &s.parts)...); err != nil {
		return metadata.Version{}, err
	}
	return s.version(bucket)
}

// checkVersion refuses what cannot be kept as it is.
func checkVersion(v *metadata.Version) error {
	if err := metadata.CheckKey(v.Key); err != nil {
		return err
	}
	if v.ID == "" || v.ID == "null" {
		return metadata.Invalidf("version has no ID")
	}
	if v.Size < 0 {
		return metadata.Invalidf("size %d is negative", v.Size)
	}
	for _, text := range append([]string{v.Bucket, v.ID, v.ETag, v.Owner, v.ContentType, v.ContentEncoding,
		v.ContentDisposition, v.ContentLanguage, v.CacheControl, v.Expires, v.StorageClass, v.ChecksumType, v.Blob},
		v.Regions...) {
		if !isText(text) {
			return metadata.Invalidf("version holds %q, which is not text", text)
		}
	}
	if v.ACL != nil {
		if err := v.ACL.Check(); err != nil {
			return err
		}
		for _, g := range append([]metadata.Grant{{User: v.ACL.Owner}}, v.ACL.Grants...) {
			if !isText(g.User) {
				return metadata.Invalidf("ACL names %q, which is not text", g.User)
			}
		}
	}
	for _, m := range []map[string]string{v.Headers, v.UserMetadata, v.Tags, v.Checksums} {
		for name, value := range m {
			if !isText(name) || !isText(value) {
				return metadata.Invalidf("version holds %q: %q, which is not text", name, value)
			}
		}
	}
	return v.Lock.Check()
}

// asKept is v as the catalogue gives it back: Postgres keeps microseconds.
func asKept(v metadata.Version) metadata.Version {
	if v.Modified.IsZero() {
		v.Modified = time.Now()
	}
	v.Modified = v.Modified.UTC().Truncate(time.Microsecond)
	v.Headers, v.UserMetadata = maps.Clone(v.Headers), maps.Clone(v.UserMetadata)
	v.Tags, v.Checksums = maps.Clone(v.Tags), maps.Clone(v.Checksums)
	v.Lock.Until = v.Lock.Until.UTC().Truncate(time.Microsecond)
	if v.ACL != nil {
		v.ACL = &metadata.ACL{Owner: v.ACL.Owner, Grants: slices.Clone(v.ACL.Grants)}
	}
	if e := v.Encryption; e != nil {
		v.Encryption = &metadata.Encryption{Kind: e.Kind, Key: bytes.Clone(e.Key), Stored: e.Stored}
	}
	return v
}
