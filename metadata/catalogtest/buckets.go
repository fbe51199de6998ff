package catalogtest

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"sync"
	"testing"
	"time"

	"meridian/metadata"
)

// Buckets checks metadata.Buckets.
func Buckets(t *testing.T, open func(t *testing.T) metadata.Store) {
	for name, test := range map[string]func(*testing.T, metadata.Store){
		"RoundTrip":            testBucketRoundTrip,
		"Refused":              testBucketRefused,
		"Update":               testBucketUpdate,
		"ConcurrentUpdates":    testConcurrentBucketUpdates,
		"OneOfManyCreates":     testOneOfManyCreates,
		"ByOwner":              testBucketsByOwner,
		"DeleteOnlyEmpty":      testDeleteOnlyEmpty,
		"DeleteAgainstCommits": testDeleteBucketRace,
		"Events":               testBucketEvents,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, open(t))
		})
	}
}

func testBucketRoundTrip(t *testing.T, s metadata.Store) {
	b := metadata.Bucket{
		Name: "photos", Region: home, Placement: metadata.Placement{home, abroad}, Visibility: metadata.PublicRead,
		Versioning: metadata.VersioningEnabled, Owner: "ada",
		Cache:   metadata.CacheRules{EdgeTTL: metadata.Duration(time.Minute)},
		Config:  map[string]json.RawMessage{"policy": json.RawMessage(`{"b":1,"a":[2,1]}`)},
		Pull:    metadata.Pull{Origins: []string{"http://127.0.0.1:8000"}, ResponseHeaders: metadata.HeaderRules{Remove: []string{"Server"}}},
		Created: time.Date(2025, 3, 4, 5, 6, 7, 8000, time.UTC),
	}
	made, err := s.CreateBucket(t.Context(), b)
	if err != nil {
		t.Fatalf("CreateBucket: %v", err)
	}
	found, err := s.Bucket(t.Context(), "photos")
	if err != nil {
		t.Fatalf("Bucket: %v", err)
	}
	b.ID = made.ID
	for what, got := range map[string]metadata.Bucket{"made": made, "found": found} {
		if !got.Created.Equal(b.Created) {
			t.Errorf("%s bucket was created %v, want %v", what, got.Created, b.Created)
		}
		got.Created = b.Created
		if !reflect.DeepEqual(got, b) {
			t.Errorf("%s bucket:\n got %+v\nwant %+v", what, got, b)
		}
	}
	_, err = s.CreateBucket(t.Context(), b)
	wantError(t, "the same name again", err, metadata.ErrBucketExists)
	_, err = s.Bucket(t.Context(), "others")
	wantError(t, "an unknown bucket", err, metadata.ErrNoSuchBucket)
	_, err = s.Bucket(t.Context(), "nul\x00")
	wantError(t, "a name that is no text", err, metadata.ErrNoSuchBucket)

	plain, err := s.CreateBucket(t.Context(), metadata.Bucket{Name: "plain", Region: home})
	if err != nil {
		t.Fatalf("CreateBucket: %v", err)
	}
	if plain.Visibility != metadata.Private || len(plain.Placement) != 1 || plain.Placement[0] != "home" || plain.Created.IsZero() {
		t.Errorf("defaults of a bucket: %+v", plain)
	}
}

func testBucketRefused(t *testing.T, s metadata.Store) {
	for _, b := range []metadata.Bucket{
		{Name: "No", Region: home},
		{Name: "fine", Region: ""},
		{Name: "fine", Region: home, Visibility: "secret"},
		{Name: "fine", Region: home, Versioning: "Off"},
		{Name: "fine", Region: home, Config: map[string]json.RawMessage{"cors": json.RawMessage("{")}},
	} {
		_, err := s.CreateBucket(t.Context(), b)
		wantError(t, fmt.Sprintf("bucket %+v", b), err, metadata.ErrInvalid)
	}
	if _, err := s.Bucket(t.Context(), "fine"); !errors.Is(err, metadata.ErrNoSuchBucket) {
		t.Errorf("a refused bucket is there: %v", err)
	}
}

func testBucketUpdate(t *testing.T, s metadata.Store) {
	b := newBucket(t, s, "")
	changed, err := s.UpdateBucket(t.Context(), b.Name, func(c *metadata.Bucket) error {
		c.Visibility, c.Versioning = metadata.PublicRead, metadata.VersioningEnabled
		c.Config = map[string]json.RawMessage{"cors": json.RawMessage(`[]`)}
		c.Cache.StaleIfError = metadata.Duration(time.Hour)
		c.Owner = "eve"
		c.Name, c.Region, c.ID, c.Created = "other", "moon", 7, time.Time{}
		return nil
	})
	if err != nil {
		t.Fatalf("UpdateBucket: %v", err)
	}
	if changed.Name != b.Name || changed.Owner != "eve" || changed.Region != b.Region || changed.ID != b.ID ||
		!changed.Created.Equal(b.Created) {
		t.Errorf("what cannot change did: %+v", changed)
	}
	found, err := s.Bucket(t.Context(), b.Name)
	if err != nil || !reflect.DeepEqual(found, changed) || found.Visibility != metadata.PublicRead {
		t.Errorf("after the update: %+v, %v; want %+v", found, err, changed)
	}
	stop := errors.New("changed my mind")
	for what, change := range map[string]func(*metadata.Bucket) error{
		"a change that fails": func(c *metadata.Bucket) error { c.Visibility = metadata.Private; return stop },
		"an unknown state":    func(c *metadata.Bucket) error { c.Versioning = "Off"; return nil },
		"versioning undone":   func(c *metadata.Bucket) error { c.Versioning = ""; return nil },
	} {
		if _, err := s.UpdateBucket(t.Context(), b.Name, change); !errors.Is(err, stop) && !errors.Is(err, metadata.ErrInvalid) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if again, err := s.Bucket(t.Context(), b.Name); err != nil || !reflect.DeepEqual(again, found) {
		t.Errorf("a failed update left %+v, %v", again, err)
	}
	_, err = s.UpdateBucket(t.Context(), "missing", func(*metadata.Bucket) error { return nil })
	wantError(t, "an update of nothing", err, metadata.ErrNoSuchBucket)
}

func testConcurrentBucketUpdates(t *testing.T, s metadata.Store) {
	b := newBucket(t, s, "")
	const writers = 16
	together(t, writers, func(int) error {
		_, err := s.UpdateBucket(t.Context(), b.Name, func(c *metadata.Bucket) error {
			c.Cache.EdgeTTL++
			return nil
		})
		return err
	})
	if found, err := s.Bucket(t.Context(), b.Name); err != nil || found.Cache.EdgeTTL != writers {
		t.Errorf("%d updates that add one made %d, %v", writers, found.Cache.EdgeTTL, err)
	}
}

func testOneOfManyCreates(t *testing.T, s metadata.Store) {
	won := countNil(t, 16, metadata.ErrBucketExists, func(int) error {
		_, err := s.CreateBucket(t.Context(), metadata.Bucket{Name: "wanted", Region: home})
		return err
	})
	if won != 1 {
		t.Errorf("%d creations of one bucket succeeded", won)
	}
}

func testBucketsByOwner(t *testing.T, s metadata.Store) {
	for i := range 7 {
		owner := []string{"ada", "eve"}[i%2]
		if _, err := s.CreateBucket(t.Context(), metadata.Bucket{Name: fmt.Sprintf("bucket-%d", 9-i), Region: home, Owner: owner}); err != nil {
			t.Fatalf("CreateBucket: %v", err)
		}
	}
	names := func(owner string) (names []string) {
		for b, err := range s.Buckets(t.Context(), owner) {
			if err != nil {
				t.Fatalf("Buckets: %v", err)
			}
			names = append(names, b.Name)
		}
		return names
	}
	wantEqual(t, "buckets of ada", names("ada"), []string{"bucket-3", "bucket-5", "bucket-7", "bucket-9"})
	wantEqual(t, "buckets of everybody", names(""), []string{"bucket-3", "bucket-4", "bucket-5", "bucket-6", "bucket-7", "bucket-8", "bucket-9"})
	wantEqual(t, "buckets of nobody", names("bob"), nil)
}

func testDeleteOnlyEmpty(t *testing.T, s metadata.Store) {
	ctx := t.Context()
	wantError(t, "delete of nothing", s.DeleteBucket(ctx, "missing"), metadata.ErrNoSuchBucket)

	b := newBucket(t, s, metadata.VersioningEnabled)
	v := put(t, s, b.Name, "key")
	wantError(t, "a bucket with an object", s.DeleteBucket(ctx, b.Name), metadata.ErrBucketNotEmpty)
	marker, err := s.Delete(ctx, metadata.Ref{Bucket: b.Name, Key: "key"}, metadata.Cond{})
	if err != nil {
		t.Fatalf("Delete: %v", err)
	}
	wantError(t, "a bucket with a hidden version", s.DeleteBucket(ctx, b.Name), metadata.ErrBucketNotEmpty)
	for _, id := range []string{v.ID, marker.ID} {
		if _, err := s.Delete(ctx, metadata.Ref{Bucket: b.Name, Key: "key", VersionID: id}, metadata.Cond{}); err != nil {
			t.Fatalf("Delete version: %v", err)
		}
	}
	u := newUpload(b.Name, "key")
	if err := s.CreateUpload(ctx, u); err != nil {
		t.Fatalf("CreateUpload: %v", err)
	}
	if _, err := s.PutPart(ctx, u.ID, metadata.Part{Number: 1, Size: 1, ETag: "x", StorePart: "1"}); err != nil {
		t.Fatalf("PutPart: %v", err)
	}
	if err := s.DeleteBucket(ctx, b.Name); err != nil {
		t.Fatalf("DeleteBucket: %v", err)
	}
	_, err = s.Bucket(ctx, b.Name)
	wantError(t, "a deleted bucket", err, metadata.ErrNoSuchBucket)
	_, err = s.Lookup(ctx, metadata.Ref{Bucket: b.Name, Key: "key"})
	wantError(t, "lookup in a deleted bucket", err, metadata.ErrNoSuchBucket)
	_, err = s.Commit(ctx, newVersion(b.Name, "key"), metadata.Cond{})
	wantError(t, "commit into a deleted bucket", err, metadata.ErrNoSuchBucket)
	_, err = s.List(ctx, metadata.ListQuery{Bucket: b.Name, Limit: 1})
	wantError(t, "list of a deleted bucket", err, metadata.ErrNoSuchBucket)
	_, err = s.List(ctx, metadata.ListQuery{Bucket: b.Name})
	wantError(t, "empty list of a deleted bucket", err, metadata.ErrNoSuchBucket)
	_, err = s.Delete(ctx, metadata.Ref{Bucket: b.Name, Key: "key"}, metadata.Cond{})
	wantError(t, "delete in a deleted bucket", err, metadata.ErrNoSuchBucket)
	wantError(t, "upload into a deleted bucket", s.CreateUpload(ctx, newUpload(b.Name, "key")), metadata.ErrNoSuchBucket)

	// A blob of it can still be read by who was reading, and is still freed.
	if _, err := s.LookupDropped(ctx, metadata.Ref{Bucket: b.Name, Key: "key", VersionID: v.ID}); err != nil {
		t.Errorf("a version of a deleted bucket: %v", err)
	}
	wantEqual(t, "blobs to free", dropped(t, s, home), []string{v.Blob})
}

// testDeleteBucketRace deletes a bucket while objects and uploads arrive: what
// was acknowledged must be there, and no upload outlives its bucket.
func testDeleteBucketRace(t *testing.T, s metadata.Store) {
	for range 20 {
		b := newBucket(t, s, "")
		u := newUpload(b.Name, "upload")
		var mu sync.Mutex
		var kept []string
		deleted := false
		together(t, 5, func(i int) error {
			switch i {
			case 0:
				err := s.DeleteBucket(t.Context(), b.Name)
				deleted = err == nil
				if errors.Is(err, metadata.ErrBucketNotEmpty) {
					return nil
				}
				return err
			case 1:
				return ignore(s.CreateUpload(t.Context(), u), metadata.ErrNoSuchBucket)
			}
			key := fmt.Sprint("key-", i)
			_, err := s.Commit(t.Context(), newVersion(b.Name, key), metadata.Cond{})
			if err == nil {
				mu.Lock()
				defer mu.Unlock()
				kept = append(kept, key)
			}
			return ignore(err, metadata.ErrNoSuchBucket)
		})
		if deleted && len(kept) > 0 {
			t.Fatalf("the bucket was deleted, and %v were acknowledged", kept)
		}
		if named, err := s.Referenced(t.Context(), []string{u.Template.Blob}); err != nil || deleted && named[0] {
			t.Fatalf("the parts of an upload are named after its bucket was deleted (%v)", err)
		}
		if !deleted && len(kept) == 0 {
			t.Fatal("the bucket was kept, as not empty, and holds nothing")
		}
	}
}

func testBucketEvents(t *testing.T, s metadata.Store) {
	from := head(t, s)
	b := newBucket(t, s, "")
	setVersioning(t, s, b.Name, metadata.VersioningEnabled)
	_, _ = s.CreateBucket(t.Context(), b)
	if err := s.DeleteBucket(t.Context(), b.Name); err != nil {
		t.Fatalf("DeleteBucket: %v", err)
	}
	wantEqual(t, "events", kinds(t, s, from, b.Name),
		[]string{metadata.BucketCreated, metadata.BucketUpdated, metadata.BucketDeleted})
}

// together runs n calls at once and fails on any error.
func together(t *testing.T, n int, do func(i int) error) {
	t.Helper()
	if failed := n - countNil(t, n, nil, do); failed > 0 {
		t.Fatalf("%d of %d calls failed", failed, n)
	}
}

// countNil runs n calls at once and returns how many succeeded. Other errors
// than the expected one are reported.
func countNil(t *testing.T, n int, expected error, do func(i int) error) int {
	t.Helper()
	errs := make([]error, n)
	var group sync.WaitGroup
	start := make(chan struct{})
	for i := range n {
		group.Go(func() {
			<-start
			errs[i] = do(i)
		})
	}
	close(start)
	group.Wait()
	won := 0
	for _, err := range errs {
		switch {
		case err == nil:
			won++
		case expected == nil || !errors.Is(err, expected):
			t.Errorf("call at once with others: %v", err)
		}
	}
	return won
}

// ignore makes one error none.
func ignore(err, harmless error) error {
	if errors.Is(err, harmless) {
		return nil
	}
	return err
}
