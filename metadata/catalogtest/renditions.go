package catalogtest

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"meridian/metadata"
)

func faststart(key, state string) []metadata.Rendition {
	return []metadata.Rendition{{Kind: metadata.RenditionFaststart, State: state, Key: key, Size: 7, ContentType: "video/mp4", Error: "why"}}
}

func testRenditions(t *testing.T, s metadata.Store) {
	want := faststart("photos/V1/faststart.mp4", metadata.RenditionPending)
	m := putMedia(t, s, "photos", "a.mp4", func(m *metadata.Media) { m.VersionID, m.Renditions = "V1", want })
	putMedia(t, s, "photos", "b.mp4", func(m *metadata.Media) { m.Renditions = faststart("photos/V2/faststart.mp4", metadata.RenditionReady) })
	putMedia(t, s, "photos", "c.mp4", nil)
	got, err := s.Media(t.Context(), m.ID)
	if err != nil || !slices.Equal(got.Renditions, want) {
		t.Errorf("renditions %+v, %v", got.Renditions, err)
	}
	for state, key := range map[string]string{metadata.RenditionPending: "a.mp4", metadata.RenditionReady: "b.mp4"} {
		if keys := mediaKeys(t, s, metadata.MediaQuery{Rendition: state, Limit: 10}); !slices.Equal(keys, []string{key}) {
			t.Errorf("with a rendition that is %s: %v", state, keys)
		}
	}
	_, err = s.ListMedia(t.Context(), metadata.MediaQuery{Rendition: "done", Limit: 10})
	wantError(t, "a state that there is not", err, metadata.ErrInvalid)
	for _, wrong := range []metadata.Rendition{{Kind: "x", State: "done", Key: "k"}, {State: "ready", Key: "k"}, {Kind: "x", State: "ready"}, {Kind: "x\x00", State: "ready", Key: "k"}} {
		_, err := s.UpdateMedia(t.Context(), m.ID, func(m *metadata.Media) error { m.Renditions = []metadata.Rendition{wrong}; return nil })
		wantError(t, fmt.Sprintf("rendition %+v", wrong), err, metadata.ErrInvalid)
	}
}

func droppedRenditions(t *testing.T, s metadata.Store) []string {
	t.Helper()
	keys, err := s.DroppedRenditions(t.Context(), 100)
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(keys)
	return keys
}

// However a record loses its renditions, they are remembered until they were
// removed.
func testDroppedRenditions(t *testing.T, s metadata.Store) {
	ctx := t.Context()
	with := func(bucket, key string) metadata.Media {
		return putMedia(t, s, bucket, key, func(m *metadata.Media) {
			m.VersionID, m.Renditions = "01A", faststart(bucket+"/"+key, metadata.RenditionReady)
		})
	}
	with("photos", "dropped")
	with("photos", "deleted")
	with("photos", "other")
	with("photos", "same")
	with("videos", "bucket")
	if keys := droppedRenditions(t, s); len(keys) != 0 {
		t.Fatalf("dropped from the start: %v", keys)
	}
	if err := s.DropMedia(ctx, "photos", "dropped", "01A"); err != nil {
		t.Fatal(err)
	}
	if err := s.DeleteMedia(ctx, putMedia(t, s, "photos", "deleted", nil).ID); err != nil {
		t.Fatal(err)
	}
	putMedia(t, s, "photos", "other", func(m *metadata.Media) { m.Renditions = faststart("photos/another", metadata.RenditionPending) })
	putMedia(t, s, "photos", "same", func(m *metadata.Media) { m.Renditions[0].State, m.Title = metadata.RenditionFailed, "t" })
	if err := s.DeleteBucket(ctx, "videos"); err != nil {
		t.Fatal(err)
	}
	all := []string{"photos/deleted", "photos/dropped", "photos/other", "videos/bucket"}
	if keys := droppedRenditions(t, s); !slices.Equal(keys, all) {
		t.Errorf("dropped %v, want %v", keys, all)
	}
	// One that a record has again is not to be removed.
	again := with("photos", "other")
	if keys := droppedRenditions(t, s); slices.Contains(keys, "photos/other") || !slices.Contains(keys, "photos/another") {
		t.Errorf("dropped %v while %+v", keys, again.Renditions)
	}
	// Removed: somebody may still be putting it, unless that was long ago.
	if err := s.RenditionsRemoved(ctx, []string{"photos/deleted", "photos/another"}, time.Hour); err != nil {
		t.Fatal(err)
	}
	if keys := droppedRenditions(t, s); !slices.Equal(keys, []string{"photos/dropped", "videos/bucket"}) {
		t.Errorf("dropped %v after two were removed", keys)
	}
	if err := s.RenditionsRemoved(ctx, append(all, "photos/another", "none"), 0); err != nil {
		t.Fatal(err)
	}
	if keys := droppedRenditions(t, s); len(keys) != 0 {
		t.Errorf("dropped %v after all were removed", keys)
	}
}

// Whoever plays a rendition has seen the video that it was made of.
func testRenditionViews(t *testing.T, s metadata.Store) {
	m := putMedia(t, s, "photos", "a.mp4", func(m *metadata.Media) {
		m.VersionID, m.Renditions = "01A", faststart("photos/01A/faststart.mp4", metadata.RenditionReady)
	})
	other := putMedia(t, s, "videos", "b.mp4", func(m *metadata.Media) { m.VersionID = "01A" })
	_, err := s.Push(t.Context(), metadata.Push{Node: node("edge-1", metadata.TierEdge, "europe"), Number: 1, Views: []metadata.View{
		{Bucket: metadata.RenditionBucket, Key: "photos/01A/faststart.mp4", Count: 2},
		{Bucket: "photos", Key: "a.mp4", Count: 3},
		{Bucket: metadata.RenditionBucket, Key: "photos/01B/faststart.mp4", Count: 1},
		{Bucket: metadata.RenditionBucket, Key: "photos", Count: 1},
	}})
	if err != nil {
		t.Fatal(err)
	}
	for id, want := range map[string]int64{m.ID: 5, other.ID: 0} {
		if got, err := s.Media(t.Context(), id); err != nil || got.Views != want {
			t.Errorf("%s has %d views, want %d: %v", got.Key, got.Views, want, err)
		}
	}
}
