package catalogtest

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/oklog/ulid/v2"

	"meridian/metadata"
)

// Versions checks what becomes of versions that are overwritten or deleted.
func Versions(t *testing.T, open func(t *testing.T) metadata.Store) {
	for name, test := range map[string]func(*testing.T, metadata.Store){
		"AgainstModel":                 testVersionsAgainstModel,
		"ConcurrentOverwrites":         testConcurrentOverwrites,
		"ConcurrentWritesAndDeletes":   testConcurrentWritesAndDeletes,
		"VersioningWhileOthersWrite":   testVersioningWhileOthersWrite,
		"RemovalUncoversTheOneBefore":  testRemovalUncovers,
		"DroppedVersionsCanBeFinished": testLookupDropped,
		"DeleteOfAMarkerIsBound":       testDeleteOfAMarkerIsBound,
		"EventsTellOfCauses":           testEventsTellOfCauses,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, open(t))
		})
	}
}

// testVersionsAgainstModel does at random what S3 clients may do, and compares
// all that can be seen with the model.
func testVersionsAgainstModel(t *testing.T, s metadata.Store) {
	keys := []string{"a", "b/c", "ä"}
	for seed := range uint64(8) {
		random := rand.New(rand.NewPCG(seed, 1))
		b := newBucket(t, s, "")
		m := newModel("")
		from := len(dropped(t, s, home))
		for step := range 60 {
			key := keys[random.IntN(len(keys))]
			what := fmt.Sprintf("seed %d, step %d, versioning %q, key %q", seed, step, m.versioning, key)
			switch n := random.IntN(20); {
			case n < 8:
				v := newVersion(b.Name, key)
				done, err := s.Commit(t.Context(), v, metadata.Cond{})
				if err != nil {
					t.Fatalf("%s: Commit: %v", what, err)
				}
				m.add(v)
				if want, _ := m.current(key); done.Null != want.Null {
					t.Fatalf("%s: committed null %v", what, done.Null)
				}
			case n < 13:
				modelDelete(t, s, m, b.Name, key, what)
			case n < 18:
				modelDeleteVersion(t, s, m, b.Name, key, random, what)
			default:
				m.versioning = []string{metadata.VersioningEnabled, metadata.VersioningSuspended}[random.IntN(2)]
				setVersioning(t, s, b.Name, m.versioning)
			}
			compareWithModel(t, s, m, b.Name, keys, what)
			if t.Failed() {
				return
			}
		}
		got := dropped(t, s, home)
		want := slices.Clone(m.dropped)
		if len(got)-from != len(want) {
			t.Errorf("seed %d: %d blobs are to be freed, want %d", seed, len(got)-from, len(want))
		}
		for _, blob := range want {
			if !slices.Contains(got, blob) {
				t.Errorf("seed %d: blob %s is not to be freed", seed, blob)
			}
		}
	}
}

func modelDelete(t *testing.T, s metadata.Store, m *model, bucket, key, what string) {
	t.Helper()
	v, err := s.Delete(t.Context(), metadata.Ref{Bucket: bucket, Key: key}, metadata.Cond{})
	if m.versioning != "" {
		if err != nil || !v.DeleteMarker || v.Null != (m.versioning == metadata.VersioningSuspended) {
			t.Fatalf("%s: Delete = %+v, %v; want a marker", what, v, err)
		}
		m.add(v)
		return
	}
	cur, ok := m.current(key)
	if !ok {
		wantError(t, what, err, metadata.ErrNoSuchKey)
		return
	}
	if err != nil || v.ID != cur.ID || v.Blob != cur.Blob {
		t.Fatalf("%s: Delete = %+v, %v; want %s", what, v, err, cur.ID)
	}
	m.remove(key, cur.ID)
}

func modelDeleteVersion(t *testing.T, s metadata.Store, m *model, bucket, key string, random *rand.Rand, what string) {
	t.Helper()
	id := []string{"null", ulid.Make().String()}[random.IntN(2)]
	if list := m.keys[key]; len(list) > 0 && random.IntN(4) > 0 {
		id = list[random.IntN(len(list))].ID
	}
	v, err := s.Delete(t.Context(), metadata.Ref{Bucket: bucket, Key: key, VersionID: id}, metadata.Cond{})
	if !m.remove(key, id) {
		wantError(t, what+", version "+id, err, metadata.ErrNoSuchVersion)
	} else if err != nil || v.ID != id && id != "null" {
		t.Fatalf("%s: Delete version %s = %+v, %v", what, id, v, err)
	}
}

func compareWithModel(t *testing.T, s metadata.Store, m *model, bucket string, keys []string, what string) {
	t.Helper()
	var items []item
	for _, v := range allVersions(t, s, bucket) {
		items = append(items, itemOf(v))
	}
	wantEqual(t, what+": versions", items, m.list(metadata.ListQuery{Versions: true}))
	page, err := s.List(t.Context(), metadata.ListQuery{Bucket: bucket, Limit: 1000})
	if err != nil {
		t.Fatalf("%s: List: %v", what, err)
	}
	wantEqual(t, what+": objects", itemsOf(page), m.list(metadata.ListQuery{}))
	for _, key := range keys {
		v, err := s.Lookup(t.Context(), metadata.Ref{Bucket: bucket, Key: key})
		if want, ok := m.current(key); ok {
			if err != nil || v.ID != want.ID || !v.Latest {
				t.Errorf("%s: current = %+v, %v; want %s", what, v, err, want.ID)
			}
		} else if !errors.Is(err, metadata.ErrNoSuchKey) {
			t.Errorf("%s: current = %+v, %v; want none", what, v, err)
		}
		for _, want := range m.keys[key] {
			ref := metadata.Ref{Bucket: bucket, Key: key, VersionID: want.VersionID()}
			v, err := s.Lookup(t.Context(), ref)
			if v.ID != want.ID || want.DeleteMarker != errors.Is(err, metadata.ErrDeleteMarker) {
				t.Errorf("%s: version %s = %+v, %v", what, ref.VersionID, v, err)
			}
		}
	}
}

// testConcurrentOverwrites: every acknowledged version is still there, or was
// handed to the sweeper, exactly once.
func testConcurrentOverwrites(t *testing.T, s metadata.Store) {
	const writers, each = 8, 25
	for _, versioning := range []string{"", metadata.VersioningEnabled, metadata.VersioningSuspended} {
		b := newBucket(t, s, versioning)
		before := dropped(t, s, home)
		blobs := make([][]string, writers)
		together(t, writers, func(i int) error {
			for range each {
				v, err := s.Commit(t.Context(), newVersion(b.Name, "key"), metadata.Cond{})
				if err != nil {
					return err
				}
				blobs[i] = append(blobs[i], v.Blob)
			}
			return nil
		})
		var after []string
		for _, v := range allVersions(t, s, b.Name) {
			after = append(after, v.Blob)
		}
		if versioning != metadata.VersioningEnabled && len(after) != 1 {
			t.Errorf("versioning %q: %d versions remain", versioning, len(after))
		}
		after = append(after, without(dropped(t, s, home), before)...)
		slices.Sort(after)
		want := slices.Concat(blobs...)
		slices.Sort(want)
		wantEqual(t, fmt.Sprintf("versioning %q: blobs that are kept or to be freed", versioning), after, want)
	}
}

// testConcurrentWritesAndDeletes mixes everything that moves versions about.
func testConcurrentWritesAndDeletes(t *testing.T, s metadata.Store) {
	for _, versioning := range []string{"", metadata.VersioningEnabled, metadata.VersioningSuspended} {
		b := newBucket(t, s, versioning)
		before := dropped(t, s, home)
		const workers, each = 8, 30
		blobs := make([][]string, workers)
		together(t, workers, func(i int) error {
			random := rand.New(rand.NewPCG(uint64(i), 7))
			var mine []string
			for range each {
				key := []string{"x", "y"}[random.IntN(2)]
				ref := metadata.Ref{Bucket: b.Name, Key: key}
				switch n := random.IntN(10); {
				case n < 6:
					v, err := s.Commit(t.Context(), newVersion(b.Name, key), metadata.Cond{})
					if err != nil {
						return err
					}
					blobs[i], mine = append(blobs[i], v.Blob), append(mine, v.ID)
					continue
				case n < 8 && len(mine) > 0:
					ref.VersionID = mine[random.IntN(len(mine))]
				}
				_, err := s.Delete(t.Context(), ref, metadata.Cond{})
				if err = ignore(err, metadata.ErrNoSuchKey); ignore(err, metadata.ErrNoSuchVersion) != nil {
					return err
				}
			}
			return nil
		})
		var after []string
		latest := map[string]int{}
		for _, v := range allVersions(t, s, b.Name) {
			if !v.DeleteMarker {
				after = append(after, v.Blob)
			}
			if v.Latest {
				latest[v.Key]++
			}
		}
		for key, n := range latest {
			if n != 1 {
				t.Errorf("versioning %q: key %s has %d latest versions", versioning, key, n)
			}
		}
		after = append(after, without(dropped(t, s, home), before)...)
		slices.Sort(after)
		want := slices.Concat(blobs...)
		slices.Sort(want)
		wantEqual(t, fmt.Sprintf("versioning %q: blobs that are kept or to be freed", versioning), after, want)
	}
}

func without(list, taken []string) []string {
	return slices.DeleteFunc(slices.Clone(list), func(s string) bool { return slices.Contains(taken, s) })
}

// testVersioningWhileOthersWrite: once enabling versioning is acknowledged, no
// version is lost any more.
func testVersioningWhileOthersWrite(t *testing.T, s metadata.Store) {
	b := newBucket(t, s, "")
	const writers, each = 6, 20
	var nonNull [writers]int
	together(t, writers+1, func(i int) error {
		if i == writers {
			_, err := s.UpdateBucket(t.Context(), b.Name, func(c *metadata.Bucket) error {
				c.Versioning = metadata.VersioningEnabled
				return nil
			})
			return err
		}
		for range each {
			v, err := s.Commit(t.Context(), newVersion(b.Name, "key"), metadata.Cond{})
			if err != nil {
				return err
			}
			if !v.Null {
				nonNull[i]++
			} else if nonNull[i] > 0 {
				return errors.New("a null version after versioning was enabled")
			}
		}
		return nil
	})
	want := 0
	for _, n := range nonNull {
		want += n
	}
	nulls, others := 0, 0
	for _, v := range allVersions(t, s, b.Name) {
		if v.Null {
			nulls++
		} else {
			others++
		}
	}
	if others != want || nulls > 1 {
		t.Errorf("%d versions and %d null ones remain, want %d and at most one", others, nulls, want)
	}
}

func testRemovalUncovers(t *testing.T, s metadata.Store) {
	b := newBucket(t, s, metadata.VersioningEnabled)
	one, two := put(t, s, b.Name, "key"), put(t, s, b.Name, "key")
	gone, err := s.Delete(t.Context(), metadata.Ref{Bucket: b.Name, Key: "key", VersionID: two.ID}, metadata.Cond{})
	if err != nil || gone.ID != two.ID || gone.Blob != two.Blob || gone.DeleteMarker {
		t.Fatalf("Delete = %+v, %v; want %s", gone, err, two.ID)
	}
	if got := lookup(t, s, b.Name, "key"); got.ID != one.ID || got.Blob != one.Blob {
		t.Errorf("current is %s, want the one before, %s", got.ID, one.ID)
	}
	// A condition sees the version that came to light.
	if _, err := s.Commit(t.Context(), newVersion(b.Name, "key"), metadata.Cond{IfMatch: []string{one.ETag}}); err != nil {
		t.Errorf("Commit on the version that came to light: %v", err)
	}
}

// testDeleteOfAMarkerIsBound: who removes a delete marker because nothing is
// below it does not uncover what was written meanwhile, nor hide it.
func testDeleteOfAMarkerIsBound(t *testing.T, s metadata.Store) {
	ctx := t.Context()
	b := newBucket(t, s, metadata.VersioningEnabled)
	put(t, s, b.Name, "key")
	first, err := s.Delete(ctx, metadata.Ref{Bucket: b.Name, Key: "key"}, metadata.Cond{})
	if err != nil {
		t.Fatalf("Delete: %v", err)
	}
	second, err := s.Delete(ctx, metadata.Ref{Bucket: b.Name, Key: "key"}, metadata.Cond{IfVersion: first.ID})
	if err != nil {
		t.Fatalf("Delete bound to the marker: %v", err)
	}
	_, err = s.Delete(ctx, metadata.Ref{Bucket: b.Name, Key: "key", VersionID: first.ID}, metadata.Cond{IfVersion: first.ID})
	wantError(t, "bound to a marker that is hidden", err, metadata.ErrPrecondition)
	v := put(t, s, b.Name, "key")
	_, err = s.Delete(ctx, metadata.Ref{Bucket: b.Name, Key: "key", VersionID: second.ID}, metadata.Cond{IfVersion: second.ID})
	wantError(t, "bound to a marker that hides nothing", err, metadata.ErrPrecondition)
	if _, err := s.Delete(ctx, metadata.Ref{Bucket: b.Name, Key: "key", VersionID: second.ID}, metadata.Cond{IfVersion: v.ID}); err != nil {
		t.Errorf("Delete bound to the version above: %v", err)
	}
	if got := lookup(t, s, b.Name, "key"); got.ID != v.ID {
		t.Errorf("current is %s, want %s", got.ID, v.ID)
	}
}

// testEventsTellOfCauses: an event says by what and by whom, and whether the
// version is gone or only hidden.
func testEventsTellOfCauses(t *testing.T, s metadata.Store) {
	ctx := t.Context()
	b := newBucket(t, s, metadata.VersioningEnabled)
	from := head(t, s)
	by := metadata.Cause{User: "ada\x00", Address: "192.0.2.1", Request: "r1"}
	copied := by
	copied.Operation = metadata.ByCopy
	v, err := s.Commit(ctx, newVersion(b.Name, "key"), metadata.Cond{By: copied})
	if err != nil {
		t.Fatalf("Commit: %v", err)
	}
	put(t, s, b.Name, "key")
	marker, err := s.Delete(ctx, metadata.Ref{Bucket: b.Name, Key: "key"}, metadata.Cond{By: by})
	if err != nil {
		t.Fatalf("Delete: %v", err)
	}
	expired := by
	expired.Operation = metadata.ByLifecycle
	for _, id := range []string{v.ID, marker.ID} {
		if _, err := s.Delete(ctx, metadata.Ref{Bucket: b.Name, Key: "key", VersionID: id}, metadata.Cond{By: expired}); err != nil {
			t.Fatalf("Delete: %v", err)
		}
	}
	var got []string
	for _, e := range events(t, s, from) {
		if e.Bucket != b.Name {
			continue
		}
		var d metadata.ObjectData
		if err := json.Unmarshal(e.Data, &d); err != nil {
			t.Fatalf("data of %+v: %v", e, err)
		}
		if strings.Contains(string(e.Data), "192.0.2.1") {
			t.Errorf("the data of an event tells from where somebody came: %s", e.Data)
		}
		got = append(got, fmt.Sprintf("%s marker=%t permanent=%t %v", e.Type, d.Marker, d.Permanent, e.Cause))
	}
	wantEqual(t, "events", got, []string{
		"object.created marker=false permanent=false {Copy ada 192.0.2.1 r1}",
		"object.created marker=false permanent=false {Put   }",
		"object.deleted marker=true permanent=false {Delete ada 192.0.2.1 r1}",
		"object.deleted marker=false permanent=true {LifecycleExpiration ada 192.0.2.1 r1}",
		"object.deleted marker=true permanent=true {LifecycleExpiration ada 192.0.2.1 r1}",
	})
}

func testLookupDropped(t *testing.T, s metadata.Store) {
	ctx := t.Context()
	b := newBucket(t, s, "")
	v := fullVersion(b.Name, "key")
	if _, err := s.Commit(ctx, v, metadata.Cond{}); err != nil {
		t.Fatalf("Commit: %v", err)
	}
	ref := metadata.Ref{Bucket: b.Name, Key: "key", VersionID: v.ID}
	_, err := s.LookupDropped(ctx, ref)
	wantError(t, "a version that is there", err, metadata.ErrNoSuchVersion)
	put(t, s, b.Name, "key")

	_, err = s.Lookup(ctx, ref)
	wantError(t, "a version that was replaced", err, metadata.ErrNoSuchVersion)
	got, err := s.LookupDropped(ctx, ref)
	if err != nil {
		t.Fatalf("LookupDropped: %v", err)
	}
	slices.Sort(got.Regions)
	wantEqual(t, "regions", got.Regions, []string{abroad, home})
	if got.Blob != v.Blob || got.Size != v.Size || got.CRC64 != v.CRC64 || got.ETag != v.ETag || got.Latest ||
		len(got.Parts) != len(v.Parts) || got.UserMetadata["mtime"] != "1.5" {
		t.Errorf("LookupDropped:\n got %+v\nwant %+v", got, v)
	}
	if err := s.Freed(ctx, home, []string{v.Blob}); err != nil {
		t.Fatalf("Freed: %v", err)
	}
	if got, err = s.LookupDropped(ctx, ref); err != nil || !slices.Equal(got.Regions, []string{abroad}) {
		t.Errorf("LookupDropped after one region has freed = %v, %v", got.Regions, err)
	}
	if err := s.Freed(ctx, abroad, []string{v.Blob}); err != nil {
		t.Fatalf("Freed: %v", err)
	}
	_, err = s.LookupDropped(ctx, ref)
	wantError(t, "a version all regions have freed", err, metadata.ErrNoSuchVersion)
}
