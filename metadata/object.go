package metadata

import (
	"context"
	"strings"
	"time"
	"unicode/utf8"
)

// MaxKeyLength is the longest key in bytes of UTF-8.
const MaxKeyLength = 1024

// Version is one object version: what S3 calls an object in a bucket without
// versioning, and an object version or delete marker elsewhere. It names one
// blob, whose bytes never change.
type Version struct {
	Bucket string
	Key    string
	// ID is a ULID, also in a bucket without versioning.
	ID string
	// Null marks a version written while versioning was off or suspended: S3
	// clients know it by the version ID "null".
	Null         bool
	DeleteMarker bool
	Latest       bool // set by the catalogue on what it returns

	Size     int64
	ETag     string // without quotes
	Modified time.Time
	Owner    string

	ContentType string
	// Sniffed is the type of a photo or video by its first bytes, where neither
	// ContentType nor Key tell what the object is: S3 tools often say nothing.
	Sniffed            string
	ContentEncoding    string
	ContentDisposition string
	ContentLanguage    string
	CacheControl       string
	Expires            string
	StorageClass       string
	// Headers are further headers to give back as they came, by lower-case
	// name: surrogate-key, cdn-cache-control and the like.
	Headers map[string]string
	// UserMetadata is what came as x-amz-meta-*, by lower-case name without
	// that prefix.
	UserMetadata map[string]string
	Tags         map[string]string
	Lock         Lock
	// ACL says who may do what with the object beside the bucket's owner; nil is
	// nobody.
	ACL *ACL

	// Checksums are the S3 checksums of the object, by lower-case algorithm
	// (crc32, crc32c, crc64nvme, sha1, sha256), base64 as on the wire.
	// Composite ones end in "-<parts>".
	Checksums    map[string]string
	ChecksumType string // FULL_OBJECT or COMPOSITE, where Checksums are kept

	// Blob is the key of the bytes in a blob store; empty for delete markers.
	Blob string
	// CRC64 is the CRC-64/NVME of the whole blob, kept for every blob, which
	// copies and the scrubber verify.
	CRC64 uint64
	// Encryption says how the blob is encrypted; nil where it is not.
	Encryption *Encryption
	// Regions hold the blob durably.
	Regions []string
	// Parts are the parts of a multipart object, for part-number reads.
	Parts []ObjectPart

	Seq Seq // the event of the write; set by Commit and Delete only
}

// VersionID is the version ID that S3 clients see: ID, or "null".
func (v *Version) VersionID() string {
	if v.Null {
		return "null"
	}
	return v.ID
}

// ObjectPart is a part of a completed multipart object.
type ObjectPart struct {
	Number    int               `json:"n"`
	Size      int64             `json:"s"`
	Checksums map[string]string `json:"c,omitempty"`
	// Salt is that of the part's bytes, where they are encrypted.
	Salt []byte `json:"k,omitempty"`
}

// Ref names a version: the current one where VersionID is empty, else by ULID
// or "null".
type Ref struct {
	Bucket, Key, VersionID string
}

// Cond is a precondition on the current version, evaluated in the transaction
// that writes. Lists hold ETags without quotes; "*" stands for any version.
type Cond struct {
	// IfMatch holds where the current version has one of these ETags. With no
	// current version the write fails with ErrNoSuchKey.
	IfMatch []string
	// IfNoneMatch holds where the current version has none of these ETags;
	// {"*"} makes a write create-only.
	IfNoneMatch []string
	// IfVersion holds where the current version's ID is this ULID: for jobs
	// that must not touch what somebody else has written meanwhile. In a Delete
	// it may be that of the delete marker which hides the key.
	IfVersion string
	// By is no condition: it is the cause of the write, for its event.
	By Cause
	// BypassGovernance lets a Delete remove a version under governance retention.
	// It is for those who may.
	BypassGovernance bool
}

// ListQuery asks for a page of a listing.
type ListQuery struct {
	Bucket    string
	Prefix    string
	Delimiter string
	// After excludes keys up to and including this one, and, where it ends
	// with Delimiter below Prefix, everything under that common prefix.
	After string
	// AfterVersion continues a listing of versions inside key After, behind
	// this version ID.
	AfterVersion string
	Versions     bool // all versions and delete markers, newest first in a key
	Limit        int  // 0 to 1000 entries, objects and common prefixes together
}

// ListPage is a page, in the byte order of UTF-8. Its versions come without
// their Parts.
type ListPage struct {
	Versions []Version
	Prefixes []string
	// Truncated says that there is more after Next (and NextVersion).
	Truncated         bool
	Next, NextVersion string
}

// Objects keeps the versions of objects. Every change writes its event
// (object.created, object.updated, object.deleted) in the same transaction, and
// hands the blobs it makes unreachable to the sweeper.
type Objects interface {
	// Commit makes v the current version of its key: in one transaction v
	// becomes visible, the version it replaces goes to history (versioning
	// enabled) or is dropped, and the event is written. v.ID, v.Blob and
	// v.Regions are given; Null, Latest and Seq are set on the result. A Commit
	// repeated with the same v.ID succeeds without another event; its Seq is the
	// Head of the feed then. A version without a retention gets the default one of
	// the bucket, which Lookup tells. What would take the bucket over its quota is
	// refused with ErrQuota, a region where the bucket may not be
	// with ErrResidency.
	Commit(ctx context.Context, v Version, c Cond) (Version, error)
	// Lookup finds a version. Current version missing or a delete marker:
	// ErrNoSuchKey (with the marker returned, so that callers can name it).
	// A delete marker asked for by ID: ErrDeleteMarker, likewise. Unknown ID:
	// ErrNoSuchVersion. No bucket: ErrNoSuchBucket.
	Lookup(ctx context.Context, r Ref) (Version, error)
	// LookupDropped finds a version that was removed a short while ago and
	// whose blob the sweeper has not freed, so that readers in mid-body can
	// finish. r.VersionID is a ULID.
	LookupDropped(ctx context.Context, r Ref) (Version, error)
	// List returns a page whose cost grows with the page, not with the keys
	// that hide under common prefixes.
	List(ctx context.Context, q ListQuery) (ListPage, error)
	// Delete without a version ID removes the current version (versioning off),
	// or puts a delete marker over it (on, suspended). With one it removes just
	// that version. It returns the removed version, or the new marker. Removing
	// what does not exist: ErrNoSuchKey or ErrNoSuchVersion, which S3 calls
	// success. A version under a retention or a legal hold stays: ErrLocked.
	Delete(ctx context.Context, r Ref, c Cond) (Version, error)
	// UpdateVersion changes under the lock of the key what change changes of a
	// version's Tags, Lock and ACL; all else stays as it is. by is told in the event.
	// Errors are those of Lookup, and change's own.
	UpdateVersion(ctx context.Context, r Ref, by Cause, change func(*Version) error) (Version, error)
}

// FileName is the name of a file without the folders that clients of whatever
// system put before it; empty where nothing is left that could be one.
func FileName(path string) string {
	name := path[strings.LastIndexAny(path, `/\`)+1:]
	if name == "." || name == ".." {
		return ""
	}
	return name
}

// CheckKey refuses an empty key, one over MaxKeyLength, one that is not UTF-8,
// and one that Postgres cannot keep (NUL).
func CheckKey(key string) error {
	switch {
	case key == "":
		return Invalidf("object key is empty")
	case len(key) > MaxKeyLength:
		return Invalidf("object key has %d bytes, more than %d", len(key), MaxKeyLength)
	case !utf8.ValidString(key):
		return Invalidf("object key is not valid UTF-8")
	case strings.ContainsRune(key, 0):
		return Invalidf("object key holds a NUL character")
	}
	return nil
}
