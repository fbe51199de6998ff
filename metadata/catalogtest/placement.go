package catalogtest

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"meridian/metadata"
)

func testPlacementChanges(t *testing.T, s metadata.Store) {
	b := newBucket(t, s, metadata.VersioningEnabled)
	var all []metadata.Version
	for i := range 10 { // several batches, also within a key
		all = append(all, put(t, s, b.Name, fmt.Sprint("key-", i/4)))
	}
	if _, err := s.Delete(t.Context(), metadata.Ref{Bucket: b.Name, Key: "key-1"}, metadata.Cond{}); err != nil {
		t.Fatal(err) // a delete marker has no blob
	}
	setPlacement(t, s, b.Name, abroad, third)
	review(t, s)
	if n, m := waiting(t, s, abroad), waiting(t, s, third); n != 10 || m != 10 {
		t.Fatalf("%d and %d copies are queued for ten versions", n, m)
	}
	for _, v := range all[1:] {
		place(t, s, v.Blob, abroad)
	}
	// Who no longer wants a copy does not get it, and who has it, in vain, frees it.
	setPlacement(t, s, b.Name, home, third)
	review(t, s)
	if n, m := waiting(t, s, abroad), waiting(t, s, third); n != 0 || m != 10 {
		t.Errorf("%d and %d copies are queued, want none and 10", n, m)
	}
	wantEqual(t, "regions while a wanted copy is missing", regionsOf(t, s, all[1]), []string{home, abroad})
	from := head(t, s)
	for _, v := range all {
		place(t, s, v.Blob, third)
	}
	want := []string{}
	for i, v := range all {
		wantEqual(t, "regions at the end", regionsOf(t, s, v), []string{home, third})
		if want = append(want, metadata.BlobPlaced+" "+v.Key+" "+v.ID); i > 0 {
			want = append(want, metadata.BlobRemoved+" "+v.Key+" "+v.ID)
		}
	}
	wantEqual(t, "events", kinds(t, s, from, b.Name), want)
	if got := dropped(t, s, abroad); len(got) != 9 {
		t.Errorf("%d blobs are to be freed abroad, want 9", len(got))
	}
	// A placement that wants less frees at once.
	setPlacement(t, s, b.Name, "home")
	review(t, s)
	wantEqual(t, "regions of a blob at home", regionsOf(t, s, all[0]), []string{home})
	if got := dropped(t, s, third); len(got) != 10 {
		t.Errorf("%d blobs are to be freed there, want 10", len(got))
	}
}

// testPlacementChangesWhileCommitting: no version is between the two, neither
// queued by its commit nor found by the review.
func testPlacementChangesWhileCommitting(t *testing.T, s metadata.Store) {
	for range 5 {
		b := newBucket(t, s, "")
		together(t, 5, func(i int) error {
			if i == 4 {
				_, err := s.UpdateBucket(t.Context(), b.Name, func(b *metadata.Bucket) error {
					b.Placement = metadata.Placement{home, abroad}
					return nil
				})
				return err
			}
			for n := range 10 {
				if _, err := s.Commit(t.Context(), newVersion(b.Name, fmt.Sprintf("key-%d-%d", i, n)), metadata.Cond{}); err != nil {
					return err
				}
				if _, err := s.ReviewPlacements(t.Context(), 4); err != nil {
					return err
				}
			}
			return nil
		})
		review(t, s)
		if got := take(t, s, abroad, "x", time.Hour); len(got) != 40 {
			t.Fatalf("%d copies are queued for 40 versions", len(got))
		}
	}
}

func testLastCopyStays(t *testing.T, s metadata.Store) {
	b := newBucket(t, s, "")
	v := put(t, s, b.Name, "key")
	setPlacement(t, s, b.Name, abroad)
	review(t, s)
	wantEqual(t, "regions before the move", regionsOf(t, s, v), []string{home})
	place(t, s, v.Blob, abroad)
	wantEqual(t, "regions after it", regionsOf(t, s, v), []string{abroad})
	wantEqual(t, "to be freed", dropped(t, s, home), []string{v.Blob})
	// A write that comes later in the wrong region moves as well.
	w := put(t, s, b.Name, "key-2")
	place(t, s, w.Blob, abroad)
	wantEqual(t, "regions of a later write", regionsOf(t, s, w), []string{abroad})
}

// testCopyWantedAgain: while a region frees a copy it does not make it again.
func testCopyWantedAgain(t *testing.T, s metadata.Store) {
	b := newBucket(t, s, "")
	setPlacement(t, s, b.Name, home, abroad)
	v := put(t, s, b.Name, "key")
	place(t, s, v.Blob, abroad)
	setPlacement(t, s, b.Name, "home")
	review(t, s)
	setPlacement(t, s, b.Name, home, abroad)
	review(t, s)
	if list := take(t, s, abroad, "x", time.Hour); len(list) != 0 {
		t.Errorf("handed out while the former copy is there: %+v", list)
	}
	if err := s.Placed(t.Context(), v.Blob, abroad); err == nil {
		t.Error("a copy that is about to be freed was placed")
	}
	if err := s.Freed(t.Context(), abroad, []string{v.Blob}); err != nil {
		t.Fatal(err)
	}
	if list := take(t, s, abroad, "x", time.Hour); len(list) != 1 {
		t.Errorf("handed out when it is freed: %+v", list)
	}
	place(t, s, v.Blob, abroad)
	wantEqual(t, "regions", regionsOf(t, s, v), []string{home, abroad})
}

func testNewRegion(t *testing.T, s metadata.Store) {
	addRegions(t, s, home)
	b, other := newBucket(t, s, ""), newBucket(t, s, "")
	setPlacement(t, s, b.Name, "all")
	setPlacement(t, s, other.Name, home)
	for i := range 7 {
		put(t, s, b.Name, fmt.Sprint("key-", i))
		put(t, s, other.Name, fmt.Sprint("key-", i))
	}
	review(t, s)
	addRegions(t, s, abroad)
	review(t, s)
	addRegions(t, s, abroad)
	review(t, s)
	if n := waiting(t, s, abroad); n != 7 {
		t.Errorf("a new region has to copy %d blobs, want 7", n)
	}
}

func testResidency(t *testing.T, s metadata.Store) {
	ctx := t.Context()
	addRegions(t, s, home, abroad, third)
	restrict := func(residency, placement []string) func(*metadata.Bucket) error {
		return func(b *metadata.Bucket) error {
			b.Residency, b.Placement = residency, placement
			return nil
		}
	}
	b := newBucket(t, s, "")
	v := put(t, s, b.Name, "early")
	setPlacement(t, s, b.Name, "all")
	review(t, s)
	place(t, s, v.Blob, abroad)
	for what, change := range map[string]func(*metadata.Bucket) error{
		"without the home":        restrict([]string{abroad}, nil),
		"a placement outside":     restrict([]string{home}, []string{home, abroad}),
		"a region twice":          restrict([]string{home, home}, nil),
		"a placement twice":       restrict(nil, []string{home, home}),
		"an empty placement name": restrict(nil, []string{home, ""}),
	} {
		_, err := s.UpdateBucket(ctx, b.Name, change)
		wantError(t, "residency "+what, err, metadata.ErrInvalid)
	}
	got, err := s.UpdateBucket(ctx, b.Name, restrict([]string{home, third}, []string{"all"}))
	if err != nil || !slices.Equal(got.Residency, []string{home, third}) {
		t.Fatalf("restrict: %+v, %v", got, err)
	}
	review(t, s)
	place(t, s, v.Blob, third)
	wantEqual(t, "regions under residency", regionsOf(t, s, v), []string{home, third})

	outside := newVersion(b.Name, "late")
	outside.Regions = []string{abroad}
	_, err = s.Commit(ctx, outside, metadata.Cond{})
	wantError(t, "a write where the bucket may not be", err, metadata.ErrResidency)
	if err != nil && !strings.Contains(err.Error(), home+", "+third) {
		t.Errorf("the refusal does not name the allowed regions: %v", err)
	}
	u := newUpload(b.Name, "late")
	u.Region, u.Template.Regions = abroad, []string{abroad}
	wantError(t, "an upload where the bucket may not be", s.CreateUpload(ctx, u), metadata.ErrResidency)
	put(t, s, b.Name, "late")
	if n := waiting(t, s, abroad); n != 0 {
		t.Errorf("%d copies are queued where the bucket may not be", n)
	}
	if _, err := s.CreateBucket(ctx, metadata.Bucket{Name: "nowhere", Region: home, Owner: "ada", Residency: []string{abroad}}); err == nil {
		t.Error("a bucket was made that may not be at home")
	}
}

// testWantedAlike: the catalogue and metadata.Bucket.Wanted, by which origins
// tell how far a version is, mean the same.
func testWantedAlike(t *testing.T, s metadata.Store) {
	all := []string{abroad, home, third}
	addRegions(t, s, all...)
	for _, residency := range [][]string{nil, {home}, {home, third}} {
		for _, placement := range []metadata.Placement{{"home"}, {"all"}, {home, third}, {third}, {home}} {
			for _, at := range []string{home, abroad} {
				b := newBucket(t, s, "")
				v := newVersion(b.Name, "key")
				v.Regions = []string{at}
				if _, err := s.Commit(t.Context(), v, metadata.Cond{}); err != nil {
					t.Fatal(err)
				}
				b.Placement, b.Residency = placement, residency
				if b.CheckPlacement() != nil {
					continue
				}
				if _, err := s.UpdateBucket(t.Context(), b.Name, func(to *metadata.Bucket) error {
					to.Placement, to.Residency = placement, residency
					return nil
				}); err != nil {
					t.Fatal(err)
				}
				review(t, s)
				var got []string
				for _, r := range all {
					for _, c := range take(t, s, r, "x", time.Hour) {
						if c.Bucket == b.Name {
							got = append(got, r)
						}
					}
				}
				var want []string
				for _, r := range b.Wanted(v.Regions, all) {
					if r != at {
						want = append(want, r)
					}
				}
				slices.Sort(want)
				wantEqual(t, fmt.Sprintf("placement %v, residency %v, written in %s: copies", placement, residency, at), got, want)
			}
		}
	}
}

func testNamedUploads(t *testing.T, s metadata.Store) {
	b := newBucket(t, s, "")
	setPlacement(t, s, b.Name, home, abroad)
	put(t, s, b.Name, "key")
	c := take(t, s, abroad, "x", time.Hour)[0]
	if err := s.CopyUpload(t.Context(), c, "of a copy"); err != nil {
		t.Fatal(err)
	}
	u := createUpload(t, s, b.Name, "upload")
	got, err := s.NamedUploads(t.Context(), []string{"none", "of a copy", u.StoreUpload, ""})
	if err != nil {
		t.Fatal(err)
	}
	wantEqual(t, "named uploads", got, []bool{false, true, true, false})
}
