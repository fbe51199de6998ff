package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"meridian/internal/signedurl"
	"meridian/metadata"
)

func (w *world) list(query string) mediaPage {
	w.Helper()
	return as[mediaPage](w.T, w.do(http.StatusOK, metadata.RoleReadOnly, http.MethodGet, "/v1/media?"+query, ""))
}

func TestMediaRecord(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.bucket("photos", metadata.Private)
	m := w.record(w.object("photos", "2026/beach.jpg", "image/jpeg"))
	path := "/v1/media/" + m.ID
	got := as[metadata.Media](t, w.do(http.StatusOK, metadata.RoleReadOnly, http.MethodGet, path, ""))
	if got.Key != m.Key || got.VersionID != m.VersionID || got.Tags == nil || got.EdgeURLs == nil || got.BlobURLs == nil {
		t.Errorf("record %+v", got)
	}

	const patch, writer = http.MethodPatch, metadata.RoleReadWrite
	merge := []string{"Content-Type", "application/merge-patch+json"}
	w.do(http.StatusOK, writer, patch, path, `{"title":"Evening at the sea","tags":["holiday","sea"]}`, merge...)
	w.do(http.StatusOK, writer, patch, path, `{"description":"with friends"}`)
	got = as[metadata.Media](t, w.do(http.StatusOK, writer, patch, path, `{}`))
	if got.Title != "Evening at the sea" || got.Description != "with friends" || len(got.Tags) != 2 {
		t.Errorf("patched record %+v", got)
	}
	for query, want := range map[string]int{"q=evening+sea": 1, "q=evening+mountain": 0, "tag=holiday": 1, "tag=holi": 0, "kind=photo": 1, "kind=video": 0, "bucket=photos": 1, "bucket=none": 0, "state=ready": 1, "state=failed": 0} {
		if page := w.list(query); len(page.Media) != want || page.Media == nil {
			t.Errorf("%s finds %d records", query, len(page.Media))
		}
	}
	got = as[metadata.Media](t, w.do(http.StatusOK, writer, patch, path, `{"title":null,"tags":null}`))
	if got.Title != "" || got.Description != "with friends" || len(got.Tags) != 0 || got.Tags == nil {
		t.Errorf("record with title and tags taken away: %+v", got)
	}
	a := w.do(http.StatusBadRequest, writer, patch, path, `{"kind":"video","views":9,"titel":"x","tags":"x"}`)
	w.refused(a, "kind", "tags", "titel", "views")
	if !strings.Contains(string(a.body), "cannot be changed") || !strings.Contains(string(a.body), `did you mean \"title\"`) {
		t.Errorf("refusal: %s", a.body)
	}
	w.refused(w.do(http.StatusBadRequest, writer, patch, path, `{"title":"`+strings.Repeat("x", metadata.MaxTitle+1)+`"}`), "title")
	w.refused(w.do(http.StatusBadRequest, writer, patch, path, `{"tags":["a","","\u0000"]}`), "tags[1]", "tags[2]")
	w.do(http.StatusNotFound, writer, patch, "/v1/media/none", `{}`)
	w.do(http.StatusNotFound, writer, http.MethodGet, "/v1/media/none", "")
}

func TestDeleteMediaDeletesTheObject(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, versioning := range []string{"", metadata.VersioningEnabled} {
		bucket := "photos" + strings.ToLower(versioning)
		w.do(http.StatusCreated, metadata.RoleAdmin, http.MethodPost, "/v1/buckets", `{"name":"`+bucket+`","versioning":"`+versioning+`"}`)
		v := w.object(bucket, "a.jpg", "image/jpeg")
		m := w.record(v)
		a := w.do(http.StatusNoContent, metadata.RoleReadWrite, http.MethodDelete, "/v1/media/"+m.ID, "")
		if seq, err := metadata.ParseSeq(a.header.Get("X-Meridian-Seq")); err != nil || seq.IsZero() {
			t.Errorf("the event of the delete is %q", a.header.Get("X-Meridian-Seq"))
		}
		if _, err := w.store.Lookup(t.Context(), metadata.Ref{Bucket: bucket, Key: "a.jpg"}); !errors.Is(err, metadata.ErrNoSuchKey) {
			t.Errorf("the object is still there: %v", err)
		}
		w.do(http.StatusNotFound, metadata.RoleReadWrite, http.MethodDelete, "/v1/media/"+m.ID, "")

		// Overwritten since the record was made: somebody else's.
		m = w.record(w.object(bucket, "b.jpg", "image/jpeg"))
		newer := w.object(bucket, "b.jpg", "image/jpeg")
		w.do(http.StatusPreconditionFailed, metadata.RoleReadWrite, http.MethodDelete, "/v1/media/"+m.ID, "")
		if got, err := w.store.Lookup(t.Context(), metadata.Ref{Bucket: bucket, Key: "b.jpg"}); err != nil || got.ID != newer.ID {
			t.Errorf("the newer object is gone: %v", err)
		}
		w.do(http.StatusOK, metadata.RoleReadWrite, http.MethodGet, "/v1/media/"+m.ID, "")
		// The object is gone by another way, the record not yet.
		if _, err := w.store.Delete(t.Context(), metadata.Ref{Bucket: bucket, Key: "b.jpg"}, metadata.Cond{}); err != nil {
			t.Fatal(err)
		}
		w.do(http.StatusNoContent, metadata.RoleReadWrite, http.MethodDelete, "/v1/media/"+m.ID, "")
		w.do(http.StatusNotFound, metadata.RoleReadWrite, http.MethodGet, "/v1/media/"+m.ID, "")
	}
}

func TestAnnounceMedia(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.bucket("photos", metadata.Private)
	const post, path, writer = http.MethodPost, "/v1/media", metadata.RoleReadWrite
	a := w.do(http.StatusCreated, writer, post, path, `{"bucket":"photos","key":"later.mp4","title":"Later","tags":["x"]}`)
	m := as[metadata.Media](t, a)
	if m.State != metadata.MediaPending || m.Kind != metadata.KindVideo || m.Title != "Later" || a.header.Get("Location") != "/v1/media/"+m.ID {
		t.Errorf("announced: %+v at %s", m, a.header.Get("Location"))
	}
	w.do(http.StatusConflict, metadata.RoleReadOnly, http.MethodGet, "/v1/media/"+m.ID+"/playback", "")
	again := as[metadata.Media](t, w.do(http.StatusOK, writer, post, path, `{"bucket":"photos","key":"later.mp4","description":"d"}`))
	if again.ID != m.ID || again.Title != "Later" || again.Description != "d" || len(again.Tags) != 1 {
		t.Errorf("announced again: %+v", again)
	}
	// One that is there is enriched.
	m = w.record(w.object("photos", "here.jpg", "image/jpeg"))
	got := as[metadata.Media](t, w.do(http.StatusOK, writer, post, path, `{"bucket":"photos","key":"here.jpg","title":"Here"}`))
	if got.ID != m.ID || got.State != metadata.MediaReady || got.VersionID != m.VersionID || got.Title != "Here" {
		t.Errorf("enriched: %+v", got)
	}
	// The object is there, its record not yet: the type of the object counts.
	w.object("photos", "raw", "image/png")
	got = as[metadata.Media](t, w.do(http.StatusCreated, writer, post, path, `{"bucket":"photos","key":"raw"}`))
	if got.Kind != metadata.KindPhoto {
		t.Errorf("record of an object by its type: %+v", got)
	}
	w.object("photos", "text.jpg", "text/plain")
	w.do(http.StatusUnprocessableEntity, writer, post, path, `{"bucket":"photos","key":"text.jpg","kind":"photo"}`)
	w.do(http.StatusUnprocessableEntity, writer, post, path, `{"bucket":"photos","key":"untold"}`)
	w.do(http.StatusCreated, writer, post, path, `{"bucket":"photos","key":"untold","kind":"photo"}`)
	w.do(http.StatusNotFound, writer, post, path, `{"bucket":"none","key":"a.jpg"}`)
	w.refused(w.do(http.StatusBadRequest, writer, post, path, `{"kind":"song","title":"`+strings.Repeat("x", 2000)+`"}`), "bucket", "key", "kind", "title")
	w.refused(w.do(http.StatusBadRequest, writer, post, path, `{"bucket":"photos","key":"`+strings.Repeat("x", 2000)+`.jpg"}`), "key")

	// An announced one can be taken back, with the object if it came meanwhile.
	for _, arrived := range []bool{false, true} {
		key := fmt.Sprintf("back-%v.jpg", arrived)
		m := as[metadata.Media](t, w.do(http.StatusCreated, writer, post, path, `{"bucket":"photos","key":"`+key+`"}`))
		if arrived {
			w.object("photos", key, "image/jpeg")
		}
		w.do(http.StatusNoContent, writer, http.MethodDelete, "/v1/media/"+m.ID, "")
		w.do(http.StatusNotFound, writer, http.MethodGet, "/v1/media/"+m.ID, "")
		if _, err := w.store.Lookup(t.Context(), metadata.Ref{Bucket: "photos", Key: key}); !errors.Is(err, metadata.ErrNoSuchKey) {
			t.Errorf("arrived %v: the object is there: %v", arrived, err)
		}
	}
}

// Pages hold every record that was there at the first of them exactly once,
// however many are added meanwhile.
func TestPagesWhileRecordsAreAdded(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.bucket("photos", metadata.Private)
	want := map[string]bool{}
	for i := range 60 {
		want[w.record(w.object("photos", fmt.Sprintf("old-%02d.jpg", i), "image/jpeg")).ID] = true
	}
	var adding sync.WaitGroup
	stop := make(chan struct{})
	adding.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			body := fmt.Sprintf(`{"bucket":"photos","key":"new-%d.jpg"}`, i)
			if a := w.send(w.request(metadata.RoleReadWrite, http.MethodPost, "/v1/media", body)); a.status != http.StatusCreated {
				t.Errorf("add: %d %s", a.status, a.body)
				return
			}
		}
	})
	defer func() { close(stop); adding.Wait() }()
	seen := map[string]int{}
	next := "/v1/media?limit=7&bucket=photos"
	for pages := 0; next != ""; pages++ {
		if pages > 1000 {
			t.Fatal("pages have no end")
		}
		a := w.do(http.StatusOK, metadata.RoleReadOnly, http.MethodGet, next, "")
		page := as[mediaPage](t, a)
		for _, m := range page.Media {
			seen[m.ID]++
		}
		next = strings.TrimSuffix(strings.TrimPrefix(a.header.Get("Link"), "<"), `>; rel="next"`)
		if (next == "") != (page.Next == "") {
			t.Errorf("Link %q beside next %q", next, page.Next)
		}
	}
	for id := range want {
		if seen[id] != 1 {
			t.Errorf("record %s was on %d pages", id, seen[id])
		}
	}
	for id, n := range seen {
		if n > 1 {
			t.Errorf("record %s was on %d pages", id, n)
		}
	}
}

// silent makes the nodes of a world fall silent.
type silent struct {
	metadata.Store
	ids map[string]bool
}

func (s silent) ListNodes(ctx context.Context) ([]metadata.Node, error) {
	nodes, err := s.Store.ListNodes(ctx)
	for i := range nodes {
		nodes[i].Live = nodes[i].Live && !s.ids[nodes[i].ID]
	}
	return nodes, err
}

func TestURLsOfMedia(t *testing.T) {
	t.Parallel()
	dead := map[string]bool{"edge-europe-dead": true, "origin-europe": true}
	w := newWorld(t, func(o *Options) { o.Store = silent{o.Store, dead} })
	w.nodes(someNode("origin-europe", metadata.TierOrigin, "europe"), someNode("origin-asia", metadata.TierOrigin, "asia"),
		someNode("edge-europe-1", metadata.TierEdge, "europe"), someNode("edge-europe-2", metadata.TierEdge, "europe"),
		someNode("edge-europe-dead", metadata.TierEdge, "europe"), someNode("edge-asia", metadata.TierEdge, "asia"),
		someNode("regional-asia", metadata.TierRegional, "asia"))
	w.bucket("photos", metadata.Private)
	w.bucket("open", metadata.PublicRead)
	v := w.object("photos", "a b+c/é?#%.jpg", "image/jpeg")
	m := w.record(v)
	if err := w.store.Placed(t.Context(), v.Blob, "asia"); err != nil {
		t.Fatal(err)
	}
	m.Regions = []string{"europe", "asia"}
	if _, err := w.store.UpdateMedia(t.Context(), m.ID, func(r *metadata.Media) error { r.Regions = m.Regions; return nil }); err != nil {
		t.Fatal(err)
	}
	m = as[metadata.Media](t, w.do(http.StatusOK, metadata.RoleReadOnly, http.MethodGet, "/v1/media/"+m.ID, ""))
	// The bytes are where they are, though the origin of one region is silent.
	if m.BlobURLs["europe"] != "s3://meridian-europe/"+v.Blob || m.BlobURLs["asia"] != "s3://meridian-asia/"+v.Blob || len(m.BlobURLs) != 2 {
		t.Errorf("blob URLs %v", m.BlobURLs)
	}
	const path = "/photos/a%20b%2Bc/%C3%A9%3F%23%25.jpg"
	if m.EdgeURLs["asia"] != "https://edge-asia.example.com"+path || len(m.EdgeURLs) != 2 || !strings.HasSuffix(m.EdgeURLs["europe"], path) {
		t.Errorf("edge URLs %v", m.EdgeURLs)
	}
	// Objects spread over the edges of a region, each staying with its own.
	edges := map[string]int{}
	for i := range 40 {
		w.record(w.object("open", fmt.Sprintf("%d.jpg", i), "image/jpeg"))
	}
	first, second := w.list("bucket=open"), w.list("bucket=open")
	for i := range first.Media {
		if first.Media[i].EdgeURLs["europe"] != second.Media[i].EdgeURLs["europe"] {
			t.Error("an object is sent to another edge at the next request")
		}
		u, _ := url.Parse(first.Media[i].EdgeURLs["europe"])
		edges[u.Host]++
	}
	if len(edges) != 2 || edges["edge-europe-1.example.com"] < 5 || edges["edge-europe-2.example.com"] < 5 {
		t.Errorf("40 objects were sent to %v", edges)
	}

	get := func(m metadata.Media, query string, headers ...string) playback {
		return as[playback](t, w.do(http.StatusOK, metadata.RoleReadOnly, http.MethodGet, "/v1/media/"+m.ID+"/playback"+query, "", headers...))
	}
	order := func(p playback) string {
		var list []string
		for _, s := range p.Sources {
			list = append(list, s.Region)
		}
		return strings.Join(list, " ")
	}
	p := get(m, "?region=asia")
	if order(p) != "asia europe europe" || slices.ContainsFunc(p.Sources, func(s playbackSource) bool { return dead[s.Node] }) {
		t.Errorf("sources for asia: %+v", p.Sources)
	}
	if got := order(get(m, "", clientRegion, "asia")); got != "asia europe europe" {
		t.Errorf("by header: %s", got)
	}
	if got := order(get(m, "")); got != "europe europe asia" {
		t.Errorf("where nobody says: %s", got)
	}
	// Signed as an edge verifies it, until then and no longer.
	p = get(m, "?region=asia&expires=90s")
	u, err := url.Parse(p.Sources[0].URL)
	if err != nil || p.Expires == nil || u.Host != "edge-asia.example.com" || u.EscapedPath() != path {
		t.Fatalf("signed URL %s until %v: %v", p.Sources[0].URL, p.Expires, err)
	}
	signer := signedurl.New(clusterSecret)
	if err := signer.Verify(u.Path, u.Query(), p.Expires.Add(-time.Second)); err != nil {
		t.Errorf("signed URL %s: %v", u, err)
	}
	if err := signer.Verify(u.Path, u.Query(), *p.Expires); !errors.Is(err, signedurl.ErrExpired) {
		t.Errorf("signed URL after its end: %v", err)
	}
	if left := time.Until(*p.Expires); left > 90*time.Second || left < 30*time.Second {
		t.Errorf("signed for %s", left)
	}
	if p := get(first.Media[0], ""); p.Expires != nil || strings.Contains(p.Sources[0].URL, "?") {
		t.Errorf("URLs of a public bucket: %+v", p)
	}
	for _, expires := range []string{"0s", "200h", "-1s", "x"} {
		w.refused(w.do(http.StatusBadRequest, metadata.RoleReadOnly, http.MethodGet, "/v1/media/"+m.ID+"/playback?expires="+expires, ""), "expires")
	}
}

func TestFallBacksAlternateBetweenRegions(t *testing.T) {
	t.Parallel()
	var nodes []metadata.Node
	for _, id := range []string{"a1", "a2", "b1", "b2", "c1"} {
		n := someNode(id, metadata.TierEdge, id[:1])
		n.Live = true
		nodes = append(nodes, n)
	}
	var regions strings.Builder
	for _, n := range nearestFirst(edgesFor(nodes, "b", "k"), "b", nil) {
		regions.WriteString(n.Region)
	}
	if regions.String() != "bbaca" {
		t.Errorf("order of regions %s", regions.String())
	}
}
