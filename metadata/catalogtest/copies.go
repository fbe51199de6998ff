package catalogtest

import (
	"fmt"
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
