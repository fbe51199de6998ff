package catalogtest

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"meridian/metadata"
)

// third is a region beside home and abroad.
const third = "us-west"

// Copies checks metadata.Copies, and that what placement and residency promise
// holds.
func Copies(t *testing.T, open func(t *testing.T) metadata.Store) {
	for name, test := range map[string]func(*testing.T, metadata.Store){
		"QueuedByPlacement":   testCopiesQueued,
		"HandedOutOnce":       testCopiesHandedOut,
		"Parts":               testCopyParts,
		"Gone":                testCopiesOfWhatIsGone,
		"PlacementChanges":    testPlacementChanges,
		"PlacementAndCommits": testPlacementChangesWhileCommitting,
		"LastCopyStays":       testLastCopyStays,
		"WantedAgain":         testCopyWantedAgain,
		"NewRegion":           testNewRegion,
		"Residency":           testResidency,
		"WantedAlike":         testWantedAlike,
		"NamedUploads":        testNamedUploads,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, open(t))
		})
	}
}

func addRegions(t *testing.T, s metadata.Store, regions ...string) {
	t.Helper()
	for _, r := range regions {
		if err := s.AddRegion(t.Context(), r); err != nil {
			t.Fatalf("AddRegion: %v", err)
		}
	}
}

func setPlacement(t *testing.T, s metadata.Store, bucket string, placement ...string) {
	t.Helper()
	_, err := s.UpdateBucket(t.Context(), bucket, func(b *metadata.Bucket) error {
		b.Placement = placement
		return nil
	})
	if err != nil {
		t.Fatalf("set placement %v: %v", placement, err)
	}
}

// review compares until there is nothing left to compare.
func review(t *testing.T, s metadata.Store) {
	t.Helper()
	for {
		more, err := s.ReviewPlacements(t.Context(), 3)
		if err != nil {
			t.Fatalf("ReviewPlacements: %v", err)
		}
		if !more {
			return
		}
	}
}

func take(t *testing.T, s metadata.Store, region, holder string, lease time.Duration) []metadata.Copy {
	t.Helper()
	list, err := s.TakeCopies(t.Context(), region, holder, 1000, lease)
	if err != nil {
		t.Fatalf("TakeCopies: %v", err)
	}
	return list
}

// waiting are the blobs that regions have to copy, without taking them.
func waiting(t *testing.T, s metadata.Store, region string) int64 {
	t.Helper()
	list, err := s.Backlogs(t.Context())
	if err != nil {
		t.Fatalf("Backlogs: %v", err)
	}
	for _, b := range list {
		if b.Region == region {
			return b.Objects
		}
	}
	return 0
}

func regionsOf(t *testing.T, s metadata.Store, v metadata.Version) []string {
	t.Helper()
	got, err := s.Lookup(t.Context(), metadata.Ref{Bucket: v.Bucket, Key: v.Key, VersionID: v.ID})
	if err != nil {
		t.Fatalf("Lookup: %v", err)
	}
	return got.Regions
}

func testCopiesQueued(t *testing.T, s metadata.Store) {
	addRegions(t, s, home, abroad, third, home)
	known, err := s.KnownRegions(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	wantEqual(t, "known regions", known, []string{abroad, home, third})
	wantError(t, "a region without a name", s.AddRegion(t.Context(), ""), metadata.ErrInvalid)

	b := newBucket(t, s, "")
	put(t, s, b.Name, "at-home")
	setPlacement(t, s, b.Name, home, abroad)
	before := time.Now().Add(-time.Minute)
	v := put(t, s, b.Name, "abroad")
	setPlacement(t, s, b.Name, "all")
	w := put(t, s, b.Name, "everywhere")
	if n := waiting(t, s, home); n != 0 {
		t.Errorf("%d copies wait for the region that took the writes", n)
	}
	got := take(t, s, abroad, "x", time.Minute)
	if len(got) != 2 || got[0].Blob != v.Blob || got[1].Blob != w.Blob {
		t.Fatalf("abroad has to copy %+v, want %s and %s", got, v.Blob, w.Blob)
	}
	c := got[0]
	if c.Ref != (metadata.Ref{Bucket: b.Name, Key: "abroad", VersionID: v.ID}) || c.Region != abroad || c.Size != v.Size ||
		c.Tries != 1 || c.Holder != "x" || c.Queued.Before(before) || c.Upload != "" {
		t.Errorf("a copy: %+v", c)
	}
	backlogs, err := s.Backlogs(t.Context())
	if err != nil || len(backlogs) != 2 || backlogs[0].Region != abroad || backlogs[0].Objects != 2 || backlogs[0].Bytes != 2*v.Size ||
		!backlogs[0].Oldest.Equal(c.Queued) || backlogs[0].Failing != 0 || backlogs[1].Region != third || backlogs[1].Objects != 1 {
		t.Errorf("backlogs: %+v, %v", backlogs, err)
	}
	place(t, s, v.Blob, abroad)
	if n := waiting(t, s, abroad); n != 1 {
		t.Errorf("%d copies wait abroad after one of two is there", n)
	}
	wantError(t, "a copy that is done", s.KeepCopy(t.Context(), c, time.Minute), metadata.ErrCopyLost)
}

func testCopiesHandedOut(t *testing.T, s metadata.Store) {
	ctx := t.Context()
	b := newBucket(t, s, "")
	setPlacement(t, s, b.Name, home, abroad)
	const n = 60
	for i := range n {
		put(t, s, b.Name, fmt.Sprint("key-", i))
	}
	var mu sync.Mutex
	holders := map[string]string{}
	together(t, 4, func(i int) error {
		for {
			list, err := s.TakeCopies(ctx, abroad, fmt.Sprint("holder-", i), 7, time.Hour)
			if err != nil || len(list) == 0 {
				return err
			}
			mu.Lock()
			for _, c := range list {
				if other := holders[c.Blob]; other != "" {
					t.Errorf("%s went to %s and %s", c.Blob, other, c.Holder)
				}
				holders[c.Blob] = c.Holder
			}
			mu.Unlock()
		}
	})
	if len(holders) != n {
		t.Errorf("%d of %d copies were handed out", len(holders), n)
	}
	wantError(t, "a holder without a name", second(s.TakeCopies(ctx, abroad, "", 1, time.Hour)), metadata.ErrInvalid)

	// One that is given back is due later, and one whose lease ends is taken over.
	v := put(t, s, b.Name, "again")
	c := take(t, s, abroad, "x", time.Hour)[0]
	if err := s.CopyFailed(ctx, c, "no\x00 \xffroute", 0); err != nil {
		t.Fatal(err)
	}
	if tries, err := s.CopyTries(ctx, v.Blob); err != nil || tries != 1 {
		t.Errorf("tries of a copy that failed: %d, %v", tries, err)
	}
	backlogs, err := s.Backlogs(ctx)
	if err != nil || len(backlogs) != 1 || backlogs[0].Failing != 1 || backlogs[0].Error != "no route" || time.Since(backlogs[0].Failed) > time.Minute {
		t.Errorf("backlog of a region where a copy failed: %+v, %v", backlogs, err)
	}
	again := take(t, s, abroad, "y", 0)
	if len(again) != 1 || again[0].Blob != v.Blob || again[0].Tries != 2 {
		t.Fatalf("taken again: %+v", again)
	}
	if err := s.KeepCopy(ctx, again[0], 0); err != nil {
		t.Errorf("keep a copy: %v", err)
	}
	if taken := take(t, s, abroad, "z", time.Hour); len(taken) != 1 || taken[0].Tries != 3 {
		t.Fatalf("taken over: %+v", taken)
	}
	wantError(t, "keep a copy that was taken over", s.KeepCopy(ctx, again[0], time.Hour), metadata.ErrCopyLost)
	wantError(t, "give back a copy that was taken over", s.CopyFailed(ctx, again[0], "x", 0), metadata.ErrCopyLost)
	wantError(t, "drop a copy that was taken over", s.DropCopy(ctx, again[0]), metadata.ErrCopyLost)
	if list := take(t, s, abroad, "w", time.Hour); len(list) != 0 {
		t.Errorf("held copies were handed out: %+v", list)
	}
}

func second[T any](_ T, err error) error { return err }

func testCopyParts(t *testing.T, s metadata.Store) {
	ctx := t.Context()
	b := newBucket(t, s, "")
	setPlacement(t, s, b.Name, home, abroad, third)
	put(t, s, b.Name, "large")
	c, other := take(t, s, abroad, "x", 0)[0], take(t, s, third, "x", 0)[0]
	if err := s.CopyUpload(ctx, c, "upload-1"); err != nil {
		t.Fatal(err)
	}
	want := []metadata.CopyPart{{Number: 1, Size: 8, CRC64: 1<<63 + 1, StorePart: "a"}, {Number: 2, Size: 4, CRC64: 2, StorePart: "b"}}
	for _, p := range append([]metadata.CopyPart{{Number: 2, Size: 4, CRC64: 2, StorePart: "lost"}}, want...) {
		if err := s.AddCopyPart(ctx, c, p); err != nil {
			t.Fatal(err)
		}
	}
	again := take(t, s, abroad, "y", time.Hour)[0]
	got, err := s.CopyParts(ctx, again)
	if err != nil || again.Upload != "upload-1" {
		t.Fatalf("taken again: %+v, %v", again, err)
	}
	wantEqual(t, "parts of a copy that goes on", got, want)
	if none, err := s.CopyParts(ctx, other); err != nil || len(none) != 0 {
		t.Errorf("parts of the copy elsewhere: %v, %v", none, err)
	}
	wantError(t, "a part from who lost the copy", s.AddCopyPart(ctx, c, want[0]), metadata.ErrCopyLost)
	wantError(t, "an upload from who lost the copy", s.CopyUpload(ctx, c, "upload-2"), metadata.ErrCopyLost)
	if err := s.CopyUpload(ctx, again, ""); err != nil {
		t.Fatal(err)
	}
	if none, err := s.CopyParts(ctx, again); err != nil || len(none) != 0 {
		t.Errorf("parts of a copy that begins anew: %v, %v", none, err)
	}
	if err := s.DropCopy(ctx, again); err != nil {
		t.Error(err)
	}
}

func testCopiesOfWhatIsGone(t *testing.T, s metadata.Store) {
	b := newBucket(t, s, "")
	setPlacement(t, s, b.Name, home, abroad)
	put(t, s, b.Name, "overwritten")
	kept := put(t, s, b.Name, "overwritten")
	put(t, s, b.Name, "deleted")
	if _, err := s.Delete(t.Context(), metadata.Ref{Bucket: b.Name, Key: "deleted"}, metadata.Cond{}); err != nil {
		t.Fatal(err)
	}
	if list := take(t, s, abroad, "x", time.Hour); len(list) != 1 || list[0].Blob != kept.Blob {
		t.Errorf("copies to make: %+v, want one of %s", list, kept.Blob)
	}

	// With versioning what is overwritten is still there, and comes back.
	b = newBucket(t, s, metadata.VersioningEnabled)
	setPlacement(t, s, b.Name, home, abroad)
	old := put(t, s, b.Name, "key")
	cur := put(t, s, b.Name, "key")
	place(t, s, old.Blob, abroad)
	if _, err := s.Delete(t.Context(), metadata.Ref{Bucket: b.Name, Key: "key", VersionID: cur.ID}, metadata.Cond{}); err != nil {
		t.Fatal(err)
	}
	if list := take(t, s, abroad, "x", time.Hour); len(list) != 0 {
		t.Errorf("copies to make: %+v, want none", list)
	}
	wantEqual(t, "regions of the version that came back", regionsOf(t, s, old), []string{home, abroad})
}

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
