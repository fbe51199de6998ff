// Package catalogtest holds the conformance suites of the catalogue: what every
// implementation of the interfaces in package metadata must do, seen from
// outside. Each suite takes a function that opens an empty store for one test
// and closes it when the test ends.
package catalogtest

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/oklog/ulid/v2"

	"meridian/metadata"
)

// Catalog checks all that concerns buckets, objects, uploads, data keys, blobs and their
// copies.
func Catalog(t *testing.T, open func(t *testing.T) metadata.Store) {
	t.Run("Buckets", func(t *testing.T) { Buckets(t, open) })
	t.Run("Quotas", func(t *testing.T) { Quotas(t, open) })
	t.Run("Objects", func(t *testing.T) { Objects(t, open) })
	t.Run("Versions", func(t *testing.T) { Versions(t, open) })
	t.Run("Locks", func(t *testing.T) { Locks(t, open) })
	t.Run("List", func(t *testing.T) { List(t, open) })
	t.Run("Uploads", func(t *testing.T) { Uploads(t, open) })
	t.Run("WrappedKeys", func(t *testing.T) { WrappedKeys(t, open) })
	t.Run("Blobs", func(t *testing.T) { Blobs(t, open) })
	t.Run("Copies", func(t *testing.T) { Copies(t, open) })
}

// home is the region of the buckets here, and abroad another one.
const (
	home   = "europe"
	abroad = "asia"
)

// newBucket makes a bucket with a name of its own.
func newBucket(t *testing.T, s metadata.Store, versioning string) metadata.Bucket {
	t.Helper()
	b, err := s.CreateBucket(t.Context(), metadata.Bucket{
		Name: "b" + strings.ToLower(ulid.Make().String()), Region: home, Owner: "ada", Versioning: versioning,
	})
	if err != nil {
		t.Fatalf("CreateBucket: %v", err)
	}
	return b
}

// newVersion is a version that nobody has committed yet.
func newVersion(bucket, key string) metadata.Version {
	id := ulid.Make().String()
	return metadata.Version{
		Bucket: bucket, Key: key, ID: id, Size: 3, ETag: "etag-" + id, Owner: "ada", ContentType: "text/plain",
		Modified: time.Now().UTC().Truncate(time.Microsecond), Blob: bucket + "/" + id, CRC64: 1<<63 + 5,
		Regions: []string{home},
	}
}

// put commits a new version.
func put(t *testing.T, s metadata.Store, bucket, key string) metadata.Version {
	t.Helper()
	v, err := s.Commit(t.Context(), newVersion(bucket, key), metadata.Cond{})
	if err != nil {
		t.Fatalf("Commit %q: %v", key, err)
	}
	return v
}

func lookup(t *testing.T, s metadata.Store, bucket, key string) metadata.Version {
	t.Helper()
	v, err := s.Lookup(t.Context(), metadata.Ref{Bucket: bucket, Key: key})
	if err != nil {
		t.Fatalf("Lookup %q: %v", key, err)
	}
	return v
}

func setVersioning(t *testing.T, s metadata.Store, bucket, state string) {
	t.Helper()
	_, err := s.UpdateBucket(t.Context(), bucket, func(b *metadata.Bucket) error {
		b.Versioning = state
		return nil
	})
	if err != nil {
		t.Fatalf("set versioning %q: %v", state, err)
	}
}

// dropped returns the blobs that region has to free, sorted.
func dropped(t *testing.T, s metadata.Store, region string) []string {
	t.Helper()
	list, err := s.Dropped(t.Context(), region, time.Now().Add(time.Hour), 1_000_000)
	if err != nil {
		t.Fatalf("Dropped: %v", err)
	}
	var blobs []string
	for _, d := range list {
		blobs = append(blobs, d.Blob)
	}
	slices.Sort(blobs)
	return blobs
}

// allVersions lists every version of a bucket in one go.
func allVersions(t *testing.T, s metadata.Store, bucket string) []metadata.Version {
	t.Helper()
	var all []metadata.Version
	q := metadata.ListQuery{Bucket: bucket, Versions: true, Limit: 1000}
	for {
		page, err := s.List(t.Context(), q)
		if err != nil {
			t.Fatalf("List versions: %v", err)
		}
		all = append(all, page.Versions...)
		if !page.Truncated {
			return all
		}
		q.After, q.AfterVersion = page.Next, page.NextVersion
	}
}

// kinds returns type, key and version of the events after a position, of one
// bucket.
func kinds(t *testing.T, s metadata.Store, after metadata.Seq, bucket string) []string {
	t.Helper()
	var all []string
	for _, e := range events(t, s, after) {
		if e.Bucket == bucket {
			all = append(all, strings.TrimSpace(fmt.Sprintf("%s %s %s", e.Type, e.Key, e.VersionID)))
		}
	}
	return all
}

func head(t *testing.T, s metadata.Store) metadata.Seq {
	t.Helper()
	seq, err := s.Head(t.Context())
	if err != nil {
		t.Fatalf("Head: %v", err)
	}
	return seq
}

func wantEqual[T comparable](t *testing.T, what string, got, want []T) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s:\n got %v\nwant %v", what, got, want)
	}
}
