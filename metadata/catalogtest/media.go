package catalogtest

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"meridian/metadata"
)

// Media checks metadata.MediaRecords.
func Media(t *testing.T, open func(t *testing.T) metadata.Store) {
	for name, test := range map[string]func(*testing.T, metadata.Store){
		"UpsertUpdateDelete":     testMediaRecord,
		"ConcurrentUpserts":      testConcurrentMedia,
		"ConcurrentUpdates":      testConcurrentMediaUpdates,
		"DropFollowsTheVersion":  testDropMedia,
		"Traces":                 testMediaTraces,
		"PagesNewestFirst":       testMediaPages,
		"Filters":                testMediaFilters,
		"FullText":               testMediaSearch,
		"Refused":                testRefusedMedia,
		"GoneWithTheBucket":      testMediaOfDeletedBucket,
		"ViewsAreCountedByPush":  testMediaViews,
		"UnknownBucketAndRecord": testMediaUnknown,
		"Renditions":             testRenditions,
		"RenditionsAreDropped":   testDroppedRenditions,
		"ViewsOfRenditions":      testRenditionViews,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := open(t)
			for _, bucket := range []string{"photos", "videos"} {
				_, err := s.CreateBucket(t.Context(), metadata.Bucket{
					Name: bucket, Region: "europe", Visibility: metadata.Private, Owner: "ann",
				})
				if err != nil {
					t.Fatal(err)
				}
			}
			test(t, s)
		})
	}
}

// photo makes a ready photo of m.
func photo(m *metadata.Media) error {
	m.Kind, m.State = metadata.KindPhoto, metadata.MediaReady
	return nil
}

func putMedia(t *testing.T, s metadata.Store, bucket, key string, change func(*metadata.Media)) metadata.Media {
	t.Helper()
	m, err := s.UpsertMedia(t.Context(), bucket, key, func(m *metadata.Media) error {
		_ = photo(m)
		if change != nil {
			change(m)
		}
		return nil
	})
	if err != nil {
		t.Fatalf("UpsertMedia %s/%s: %v", bucket, key, err)
	}
	return m
}

func testMediaRecord(t *testing.T, s metadata.Store) {
	ctx := t.Context()
	made := putMedia(t, s, "photos", "2026/beach.jpg", func(m *metadata.Media) {
		if m.ID != "" || m.Bucket != "photos" || m.Key != "2026/beach.jpg" {
			t.Errorf("a new record is given as %+v", m)
		}
		m.VersionID, m.Size, m.ETag, m.ContentType = "V1", 5_000_000_000, "abc", "image/jpeg"
		m.Blob, m.Regions = "photos/V1.jpg", []string{"europe", "asia"}
		m.Width, m.Height, m.Duration, m.Codecs = 4000, 3000, 1.5, []string{"avc1.64001f"}
		m.Title, m.Tags = "Beach", []string{"sea", "sand"}
		m.Views = 99 // not theirs to set
	})
	if made.ID == "" || made.Created.IsZero() || made.Updated.IsZero() || made.Views != 0 {
		t.Errorf("new record = %+v, want an ID, times and no views", made)
	}
	got, err := s.Media(ctx, made.ID)
	if err != nil || got.Size != 5_000_000_000 || got.Blob != "photos/V1.jpg" || got.Width != 4000 || got.Duration != 1.5 ||
		!slices.Equal(got.Regions, []string{"europe", "asia"}) || !slices.Equal(got.Tags, []string{"sea", "sand"}) ||
		!slices.Equal(got.Codecs, []string{"avc1.64001f"}) || got.TakenAt != nil {
		t.Errorf("Media = %+v, %v", got, err)
	}

	again := putMedia(t, s, "photos", "2026/beach.jpg", func(m *metadata.Media) {
		if m.ID != made.ID || m.Title != "Beach" {
			t.Errorf("a known record is given as %+v", m)
		}
		m.ID, m.Key, m.Bucket = "mine", "other", "videos" // nor are these
		m.VersionID = "V2"
	})
	if again.ID != made.ID || again.Key != made.Key || again.Bucket != "photos" || again.VersionID != "V2" || again.Title != "Beach" {
		t.Errorf("changed record = %+v", again)
	}
	if !again.Created.Equal(made.Created) || again.Updated.Before(made.Updated) {
		t.Errorf("times %s, %s became %s, %s", made.Created, made.Updated, again.Created, again.Updated)
	}

	patched, err := s.UpdateMedia(ctx, made.ID, func(m *metadata.Media) error { m.Title = "Strand"; return nil })
	if err != nil || patched.Title != "Strand" || patched.VersionID != "V2" {
		t.Errorf("UpdateMedia = %+v, %v", patched, err)
	}
	refused := errors.New("refused")
	spoil := func(m *metadata.Media) error { m.Title = "spoiled"; return refused }
	_, err = s.UpdateMedia(ctx, made.ID, spoil)
	wantError(t, "UpdateMedia whose change fails", err, refused)
	_, err = s.UpsertMedia(ctx, "photos", "2026/beach.jpg", spoil)
	wantError(t, "UpsertMedia whose change fails", err, refused)
	_, err = s.UpsertMedia(ctx, "photos", "new.jpg", spoil)
	wantError(t, "UpsertMedia of a new record whose change fails", err, refused)
	if page := listMedia(t, s, metadata.MediaQuery{Limit: 10}); len(page.Media) != 1 || page.Media[0].Title != "Strand" {
		t.Errorf("after refused changes the records are %+v", page.Media)
	}

	if err := s.DeleteMedia(ctx, made.ID); err != nil {
		t.Fatal(err)
	}
	_, err = s.Media(ctx, made.ID)
	wantError(t, "a deleted record", err, metadata.ErrNoSuchMedia)
	wantError(t, "deleting it again", s.DeleteMedia(ctx, made.ID), metadata.ErrNoSuchMedia)
}

func testConcurrentMedia(t *testing.T, s metadata.Store) {
	// Many keys, one after the other: by the second all have their connections
	// and meet.
	const writers, rounds = 8, 20
	for round := range rounds {
		key := fmt.Sprintf("%d.jpg", round)
		var made atomic.Int32
		var wg sync.WaitGroup
		start := make(chan struct{})
		ids := make([]string, writers)
		for i := range writers {
			wg.Go(func() {
				<-start
				m, err := s.UpsertMedia(t.Context(), "photos", key, func(m *metadata.Media) error {
					if m.ID == "" {
						made.Add(1)
					}
					m.Tags = append(m.Tags, strconv.Itoa(i))
					return photo(m)
				})
				if err != nil {
					t.Error(err)
				}
				ids[i] = m.ID
			})
		}
		close(start)
		wg.Wait()
		slices.Sort(ids)
		if ids = slices.Compact(ids); len(ids) != 1 || made.Load() != 1 {
			t.Fatalf("%d upserts of one key gave the records %q and %d times a new one, want one", writers, ids, made.Load())
		}
		if m, err := s.Media(t.Context(), ids[0]); err != nil || len(m.Tags) != writers {
			t.Fatalf("record = %+v, %v; want it with the changes of all %d", m, err, writers)
		}
	}
}

func testConcurrentMediaUpdates(t *testing.T, s metadata.Store) {
	m := putMedia(t, s, "photos", "a.jpg", nil)
	var wg sync.WaitGroup
	for i := range 12 {
		wg.Go(func() {
			add := func(m *metadata.Media) error { m.Tags = append(m.Tags, strconv.Itoa(i)); return photo(m) }
			var err error
			if i%2 == 0 {
				_, err = s.UpdateMedia(t.Context(), m.ID, add)
			} else {
				_, err = s.UpsertMedia(t.Context(), "photos", "a.jpg", add)
			}
			if err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if got, err := s.Media(t.Context(), m.ID); err != nil || len(got.Tags) != 12 {
		t.Errorf("after 12 concurrent changes the tags are %q, %v", got.Tags, err)
	}
}

func testDropMedia(t *testing.T, s metadata.Store) {
	ctx := t.Context()
	m := putMedia(t, s, "photos", "a.jpg", func(m *metadata.Media) { m.VersionID = "01B" })
	announced := putMedia(t, s, "photos", "b.jpg", func(m *metadata.Media) { m.State = metadata.MediaPending })
	for _, drop := range [][3]string{
		{"photos", "a.jpg", "01A"}, // an older version is gone
		{"photos", "b.jpg", "01Z"}, // no version has come yet
		{"videos", "a.jpg", "01B"},
		{"photos", "none.jpg", "01B"},
		{"nothing", "a.jpg", "01B"},
	} {
		if err := s.DropMedia(ctx, drop[0], drop[1], drop[2]); err != nil {
			t.Errorf("DropMedia %v: %v", drop, err)
		}
	}
	for _, id := range []string{m.ID, announced.ID} {
		if _, err := s.Media(ctx, id); err != nil {
			t.Errorf("a record was dropped with another's version: %v", err)
		}
	}
	if err := s.DropMedia(ctx, "photos", "a.jpg", "01B"); err != nil {
		t.Fatal(err)
	}
	_, err := s.Media(ctx, m.ID)
	wantError(t, "the record of a version that is gone", err, metadata.ErrNoSuchMedia)

	// A delete marker is younger than the version it hides.
	m = putMedia(t, s, "photos", "a.jpg", func(m *metadata.Media) { m.VersionID = "01B" })
	if err := s.DropMedia(ctx, "photos", "a.jpg", "01C"); err != nil {
		t.Fatal(err)
	}
	_, err = s.Media(ctx, m.ID)
	wantError(t, "the record of a version that is hidden", err, metadata.ErrNoSuchMedia)
}

func testMediaTraces(t *testing.T, s metadata.Store) {
	putMedia(t, s, "photos", "announced.jpg", nil)
	putMedia(t, s, "photos", "both.jpg", nil)
	put(t, s, "photos", "both.jpg")
	put(t, s, "videos", "object")
	objects := []metadata.Ref{
		{Bucket: "videos", Key: "object"}, {Bucket: "photos", Key: "object"}, {Bucket: "photos", Key: "both.jpg"},
		{Bucket: "none", Key: "object"}, {Bucket: "photos", Key: "announced.jpg"}, {Bucket: "photos", Key: "\x00"}, {Bucket: "\xff", Key: "object"},
	}
	want := []metadata.MediaTrace{{Current: true}, {}, {Record: true, Current: true}, {}, {Record: true}, {}, {}}
	for range 2 {
		got, err := s.MediaTraces(t.Context(), objects)
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("of %v there is %v, want %v; %v", objects, got, want, err)
		}
		slices.Reverse(objects)
		slices.Reverse(want)
	}
	if got, err := s.MediaTraces(t.Context(), nil); len(got) != 0 || err != nil {
		t.Errorf("of no objects there is %v, %v", got, err)
	}
}

func listMedia(t *testing.T, s metadata.Store, q metadata.MediaQuery) metadata.MediaPage {
	t.Helper()
	page, err := s.ListMedia(t.Context(), q)
	if err != nil {
		t.Fatalf("ListMedia %+v: %v", q, err)
	}
	return page
}

// mediaKeys reads all pages of a query and returns the keys.
func mediaKeys(t *testing.T, s metadata.Store, q metadata.MediaQuery) []string {
	t.Helper()
	keys := []string{}
	for {
		page := listMedia(t, s, q)
		if len(page.Media) > q.Limit {
			t.Fatalf("a page of %d records exceeds the limit %d", len(page.Media), q.Limit)
		}
		for _, m := range page.Media {
			keys = append(keys, m.Key)
		}
		if page.Next == "" {
			return keys
		}
		if len(page.Media) < q.Limit {
			t.Fatalf("a page of %d records, less than the limit %d, has a next one", len(page.Media), q.Limit)
		}
		q.Cursor = page.Next
	}
}

func testMediaPages(t *testing.T, s metadata.Store) {
	var want []string
	for i := range 7 {
		key := fmt.Sprintf("%d.jpg", i)
		putMedia(t, s, "photos", key, nil)
		want = append([]string{key}, want...)
	}
	for _, limit := range []int{1, 2, 3, 6, 7, 8, 200} {
		if got := mediaKeys(t, s, metadata.MediaQuery{Limit: limit}); !slices.Equal(got, want) {
			t.Errorf("pages of %d gave %q, want %q", limit, got, want)
		}
	}
	// What comes between two pages shifts nothing.
	first := listMedia(t, s, metadata.MediaQuery{Limit: 3})
	putMedia(t, s, "photos", "late.jpg", nil)
	second := mediaKeys(t, s, metadata.MediaQuery{Limit: 3, Cursor: first.Next})
	if !slices.Equal(second, want[3:]) {
		t.Errorf("after a new record the next pages are %q, want %q", second, want[3:])
	}
	if empty := listMedia(t, s, metadata.MediaQuery{Limit: 3, Bucket: "videos"}); empty.Media == nil || len(empty.Media) != 0 {
		t.Errorf("a page without records is %#v, want an empty list", empty.Media)
	}
}

func testMediaFilters(t *testing.T, s metadata.Store) {
	tagged := func(kind string, tags ...string) func(*metadata.Media) {
		return func(m *metadata.Media) { m.Kind, m.Tags = kind, tags }
	}
	putMedia(t, s, "photos", "1", tagged(metadata.KindPhoto, "sea"))
	putMedia(t, s, "photos", "2", tagged(metadata.KindVideo, "sea", "dogs"))
	putMedia(t, s, "videos", "3", tagged(metadata.KindVideo, "Sea"))
	putMedia(t, s, "videos", "4", tagged(metadata.KindVideo))
	for _, c := range []struct {
		q    metadata.MediaQuery
		want string
	}{
		{metadata.MediaQuery{}, "4 3 2 1"},
		{metadata.MediaQuery{Kind: metadata.KindPhoto}, "1"},
		{metadata.MediaQuery{Kind: metadata.KindVideo}, "4 3 2"},
		{metadata.MediaQuery{Bucket: "photos"}, "2 1"},
		{metadata.MediaQuery{Bucket: "nothing"}, ""},
		{metadata.MediaQuery{Tag: "sea"}, "2 1"},
		{metadata.MediaQuery{Tag: "se"}, ""},
		{metadata.MediaQuery{Tag: "sea", Kind: metadata.KindVideo, Bucket: "photos", Q: "dogs"}, "2"},
	} {
		c.q.Limit = 1 // every page has its cursor
		if got := strings.Join(mediaKeys(t, s, c.q), " "); got != c.want {
			t.Errorf("%+v gave %q, want %q", c.q, got, c.want)
		}
	}
}

func testMediaSearch(t *testing.T, s metadata.Store) {
	add := func(key, title, description string, tags ...string) {
		putMedia(t, s, "photos", key, func(m *metadata.Media) { m.Title, m.Description, m.Tags = title, description, tags })
	}
	add("1/IMG_1234.jpg", "Sunset at the beach", "", "sea")
	add("2/été-2026.png", "Île d'Oléron", "Un château de sable", "vacances")
	add("3/x.mp4", "", "The dog isn't at the beach house", "dog-walk")
	for q, want := range map[string]string{
		"beach":             "3 1",
		"BEACH":             "3 1",
		"bea":               "3 1", // the last word may be begun
		"bea sunset":        "",    // others may not
		"sunset bea":        "1",
		"beach -sunset":     "3",
		"beach -sun":        "3 1", // what is excluded is a whole word
		`"beach house"`:     "3",
		`"house beach"`:     "",
		`"the bea"`:         "",    // nor is one in quotes begun
		`"the bea`:          "3 1", // unless the quote is still open
		"sunset or house":   "3 1",
		"IMG_1234":          "1",
		"1234":              "1",
		"img_1234.jpg":      "1",
		"été":               "2",
		"chât":              "2",
		"2026":              "2",
		"d'oléron":          "2",
		"isn't":             "3",
		"dog-walk":          "3",
		"walk-dog":          "", // its parts are a phrase
		"vacances":          "2",
		"sea & beach":       "1",
		"mp4":               "3",
		"nothing":           "",
		"!!!":               "",
		`" ' ( ) : * & | <`: "",
		"  ":                "3 2 1", // asks for nothing
	} {
		var got []string
		for _, key := range mediaKeys(t, s, metadata.MediaQuery{Q: q, Limit: 2}) {
			got = append(got, key[:1])
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%q found %q, want %q", q, got, want)
		}
	}
	// A changed title is found, the old one no more.
	putMedia(t, s, "photos", "3/x.mp4", func(m *metadata.Media) { m.Description = "A cat" })
	if got := mediaKeys(t, s, metadata.MediaQuery{Q: "house", Limit: 5}); len(got) != 0 {
		t.Errorf("a word that was removed still finds %q", got)
	}
}

func testRefusedMedia(t *testing.T, s metadata.Store) {
	ctx := t.Context()
	for name, spoil := range map[string]func(*metadata.Media){
		"kind":         func(m *metadata.Media) { m.Kind = "song" },
		"state":        func(m *metadata.Media) { m.State = "" },
		"NUL in title": func(m *metadata.Media) { m.Title = "a\x00b" },
		"not UTF-8":    func(m *metadata.Media) { m.Description = "\xff" },
		"long title":   func(m *metadata.Media) { m.Title = strings.Repeat("x", metadata.MaxTitle+1) },
		"empty tag":    func(m *metadata.Media) { m.Tags = []string{""} },
		"tags":         func(m *metadata.Media) { m.Tags = slices.Repeat([]string{"t"}, metadata.MaxTags+1) },
		"width":        func(m *metadata.Media) { m.Width = -1 },
	} {
		_, err := s.UpsertMedia(ctx, "photos", "a.jpg", func(m *metadata.Media) error {
			_ = photo(m)
			spoil(m)
			return nil
		})
		wantError(t, name, err, metadata.ErrInvalid)
	}
	_, err := s.UpsertMedia(ctx, "photos", "", photo)
	wantError(t, "an empty key", err, metadata.ErrInvalid)
	for _, q := range []metadata.MediaQuery{
		{Limit: 0},
		{Limit: 201},
		{Limit: -1},
		{Limit: 1, Kind: "song"},
		{Limit: 1, Cursor: "!"},
		{Limit: 1, Cursor: "MSB6"},
		{Limit: 1, Q: "a\x00"},
		{Limit: 1, Q: strings.Repeat("x", 10_000)},
	} {
		_, err := s.ListMedia(ctx, q)
		wantError(t, fmt.Sprintf("query %.60v", q), err, metadata.ErrInvalid)
	}
	// The longest record that is allowed can also be searched.
	long := strings.Repeat("lorem ipsum ", metadata.MaxDescription)[:metadata.MaxDescription]
	putMedia(t, s, "photos", strings.Repeat("k", metadata.MaxKeyLength), func(m *metadata.Media) { m.Description = long })
	if got := mediaKeys(t, s, metadata.MediaQuery{Q: "ipsum", Limit: 5}); len(got) != 1 {
		t.Errorf("a long description was found %d times", len(got))
	}
}

func testMediaOfDeletedBucket(t *testing.T, s metadata.Store) {
	ctx := t.Context()
	gone := putMedia(t, s, "photos", "a.jpg", nil)
	kept := putMedia(t, s, "videos", "a.jpg", nil)
	if err := s.DeleteBucket(ctx, "photos"); err != nil {
		t.Fatal(err)
	}
	_, err := s.Media(ctx, gone.ID)
	wantError(t, "a record of a deleted bucket", err, metadata.ErrNoSuchMedia)
	if _, err := s.Media(ctx, kept.ID); err != nil {
		t.Errorf("a record of another bucket: %v", err)
	}
}

func testMediaViews(t *testing.T, s metadata.Store) {
	a, b := putMedia(t, s, "photos", "a.jpg", nil), putMedia(t, s, "photos", "b.jpg", nil)
	const nodes, pushes = 4, 10
	var wg sync.WaitGroup
	for i := range nodes {
		wg.Go(func() {
			n := node(fmt.Sprintf("edge-%d", i), metadata.TierEdge, "europe")
			for number := range uint64(pushes) {
				views := []metadata.View{
					{Bucket: "photos", Key: "a.jpg", Count: 2},
					{Bucket: "photos", Key: "b.jpg", Count: 1},
					{Bucket: "photos", Key: "b.jpg", Count: 1},
					{Bucket: "photos", Key: "none.jpg", Count: 1},
					{Bucket: "nothing", Key: "a.jpg", Count: 1},
				}
				if i%2 == 0 {
					slices.Reverse(views) // the order must not matter, to locks least of all
				}
				if _, err := s.Push(t.Context(), metadata.Push{Node: n, Number: number + 1, Views: views}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	for _, id := range []string{a.ID, b.ID} {
		if m, err := s.Media(t.Context(), id); err != nil || m.Views != 2*nodes*pushes {
			t.Errorf("views of %s = %d, %v; want %d", m.Key, m.Views, err, 2*nodes*pushes)
		}
	}
	// A change of the record keeps them.
	if m := putMedia(t, s, "photos", "a.jpg", func(m *metadata.Media) { m.Views = 0 }); m.Views != 2*nodes*pushes {
		t.Errorf("a change of the record left %d views", m.Views)
	}
}

func testMediaUnknown(t *testing.T, s metadata.Store) {
	ctx := t.Context()
	_, err := s.UpsertMedia(ctx, "nothing", "a.jpg", photo)
	wantError(t, "UpsertMedia in no bucket", err, metadata.ErrNoSuchBucket)
	for _, id := range []string{"", "01ARZ3NDEKTSV4RRFFQ69G5FAV", "a\x00b", "\xff"} {
		_, err = s.Media(ctx, id)
		wantError(t, "Media", err, metadata.ErrNoSuchMedia)
		_, err = s.UpdateMedia(ctx, id, photo)
		wantError(t, "UpdateMedia", err, metadata.ErrNoSuchMedia)
		wantError(t, "DeleteMedia", s.DeleteMedia(ctx, id), metadata.ErrNoSuchMedia)
	}
}
