package catalogtest

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"meridian/metadata"
)

// Blobs checks metadata.Blobs.
func Blobs(t *testing.T, open func(t *testing.T) metadata.Store) {
	for name, test := range map[string]func(*testing.T, metadata.Store){
		"Placed":              testPlaced,
		"PlacedAfterRemoval":  testPlacedAfterRemoval,
		"PlacedWhileReplaced": testPlacedWhileReplaced,
		"Referenced":          testReferenced,
		"Dropped":             testDropped,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, open(t))
		})
	}
}

func place(t *testing.T, s metadata.Store, blob, region string) {
	t.Helper()
	if err := s.Placed(t.Context(), blob, region); err != nil {
		t.Fatalf("Placed %s: %v", blob, err)
	}
}

func testPlaced(t *testing.T, s metadata.Store) {
	b := newBucket(t, s, metadata.VersioningEnabled)
	setPlacement(t, s, b.Name, home, abroad)
	old, cur := put(t, s, b.Name, "key"), put(t, s, b.Name, "key")
	from := head(t, s)
	for _, v := range []metadata.Version{old, cur} {
		for range 2 {
			place(t, s, v.Blob, abroad)
		}
		got, err := s.Lookup(t.Context(), metadata.Ref{Bucket: b.Name, Key: "key", VersionID: v.ID})
		if err != nil || !slices.Equal(got.Regions, []string{home, abroad}) || got.Latest != (v.ID == cur.ID) {
			t.Errorf("a version copied abroad = %+v, %v", got, err)
		}
	}
	wantEqual(t, "events", kinds(t, s, from, b.Name),
		[]string{metadata.BlobPlaced + " key " + old.ID, metadata.BlobPlaced + " key " + cur.ID})
	wantError(t, "a copy of nothing", s.Placed(t.Context(), "none/such", home), metadata.ErrNoSuchVersion)
	wantError(t, "a copy in no region", s.Placed(t.Context(), cur.Blob, ""), metadata.ErrInvalid)
	if all := allVersions(t, s, b.Name); len(all) != 2 {
		t.Errorf("Placed made %d versions of two", len(all))
	}
}

func testPlacedAfterRemoval(t *testing.T, s metadata.Store) {
	b := newBucket(t, s, "")
	setPlacement(t, s, b.Name, home, abroad)
	v := put(t, s, b.Name, "key")
	put(t, s, b.Name, "key")
	place(t, s, v.Blob, abroad)
	wantEqual(t, "blobs to free abroad", dropped(t, s, abroad), []string{v.Blob})
	wantEqual(t, "blobs to free at home", dropped(t, s, home), []string{v.Blob})
	got, err := s.LookupDropped(t.Context(), metadata.Ref{Bucket: b.Name, Key: "key", VersionID: v.ID})
	slices.Sort(got.Regions)
	if err != nil || !slices.Equal(got.Regions, []string{abroad, home}) {
		t.Errorf("LookupDropped = %v, %v", got.Regions, err)
	}
}

// testPlacedWhileReplaced: whichever comes first, both regions free the blob, or
// the version names both.
func testPlacedWhileReplaced(t *testing.T, s metadata.Store) {
	for _, versioning := range []string{"", metadata.VersioningEnabled} {
		b := newBucket(t, s, versioning)
		setPlacement(t, s, b.Name, home, abroad)
		for i := range 20 {
			key := fmt.Sprint("key-", i)
			v := put(t, s, b.Name, key)
			together(t, 2, func(i int) error {
				if i == 0 {
					return s.Placed(t.Context(), v.Blob, abroad)
				}
				_, err := s.Commit(t.Context(), newVersion(b.Name, key), metadata.Cond{})
				return err
			})
			ref := metadata.Ref{Bucket: b.Name, Key: key, VersionID: v.ID}
			find := s.LookupDropped
			if versioning != "" {
				find = s.Lookup
			}
			got, err := find(t.Context(), ref)
			slices.Sort(got.Regions)
			if err != nil || !slices.Equal(got.Regions, []string{abroad, home}) {
				t.Fatalf("versioning %q: a version that was copied and replaced at once = %v, %v", versioning, got.Regions, err)
			}
			if versioning == "" && (!slices.Contains(dropped(t, s, abroad), v.Blob) || !slices.Contains(dropped(t, s, home), v.Blob)) {
				t.Fatal("a region does not learn that the blob is to be freed")
			}
		}
	}
}

func testReferenced(t *testing.T, s metadata.Store) {
	b := newBucket(t, s, metadata.VersioningEnabled)
	old, cur := put(t, s, b.Name, "key"), put(t, s, b.Name, "key")
	u := createUpload(t, s, b.Name, "upload")
	gone := put(t, s, b.Name, "gone")
	if _, err := s.Delete(t.Context(), metadata.Ref{Bucket: b.Name, Key: "gone", VersionID: gone.ID}, metadata.Cond{}); err != nil {
		t.Fatalf("Delete: %v", err)
	}
	blobs := []string{"no/such", old.Blob, cur.Blob, u.Template.Blob, gone.Blob, "\xff", "", cur.Blob}
	check := func(when string, want ...bool) {
		t.Helper()
		got, err := s.Referenced(t.Context(), blobs)
		if err != nil {
			t.Fatalf("Referenced: %v", err)
		}
		wantEqual(t, "referenced "+when, got, want)
	}
	check("while a removed one is to be freed", false, true, true, true, true, false, false, true)
	if err := s.Freed(t.Context(), home, []string{gone.Blob}); err != nil {
		t.Fatalf("Freed: %v", err)
	}
	check("when it is", false, true, true, true, false, false, false, true)
	if none, err := s.Referenced(t.Context(), nil); err != nil || len(none) > 0 {
		t.Errorf("Referenced of nothing = %v, %v", none, err)
	}
}

func testDropped(t *testing.T, s metadata.Store) {
	ctx := t.Context()
	b := newBucket(t, s, "")
	setPlacement(t, s, b.Name, home, abroad)
	var blobs []string
	for range 5 {
		v := put(t, s, b.Name, "key")
		place(t, s, v.Blob, abroad)
		blobs = append(blobs, v.Blob)
	}
	blobs = blobs[:4] // the last one is there
	for _, region := range []string{home, abroad} {
		list, err := s.Dropped(ctx, region, time.Now().Add(time.Minute), 3)
		if err != nil || len(list) != 3 {
			t.Fatalf("Dropped = %+v, %v; want the 3 asked for", list, err)
		}
		for i, d := range list {
			if d.Blob != blobs[i] {
				t.Errorf("%d. dropped blob is %s, want the oldest first: %s", i, d.Blob, blobs[i])
			}
			if age := time.Since(d.Dropped); age < -time.Minute || age > time.Hour {
				t.Errorf("dropped at %v", d.Dropped)
			}
		}
	}
	if list, err := s.Dropped(ctx, home, time.Now().Add(-time.Hour), 10); err != nil || len(list) > 0 {
		t.Errorf("blobs dropped an hour ago: %v, %v", list, err)
	}
	if list, err := s.Dropped(ctx, "moon", time.Now().Add(time.Hour), 10); err != nil || len(list) > 0 {
		t.Errorf("blobs dropped in a region that held none: %v, %v", list, err)
	}
	// All regions free at once: the last one makes the catalogue forget.
	together(t, 2, func(i int) error { return s.Freed(ctx, []string{home, abroad}[i], blobs) })
	if left := slices.Concat(dropped(t, s, home), dropped(t, s, abroad)); len(left) > 0 {
		t.Errorf("after all was freed there remain %v", left)
	}
	found, err := s.Referenced(ctx, blobs)
	if err != nil || slices.Contains(found, true) {
		t.Errorf("freed blobs are still referenced: %v, %v", found, err)
	}
}
