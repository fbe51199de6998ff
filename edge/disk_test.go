package edge_test

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"meridian/edge"
	"meridian/edge/cache"
	"meridian/edge/cache/disk"
	"meridian/internal/hop"
	"meridian/metadata"
)

// startOnDisk runs a regional node with a disk cache in dir; stop ends it and
// closes the cache.
func (w *world) startOnDisk(dir string) (n *node, stop func()) {
	w.t.Helper()
	d, err := disk.Open(disk.Config{Dir: dir, HeadBytes: 8 << 20, SliceBytes: 64 << 20, Headroom: -1})
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { d.Close() })
	n = w.start(metadata.TierRegional, "regional-europe-1", func(c *edge.Config) {
		c.Media = []edge.Medium{{Name: edge.MediumMemory, Tier: c.Cache}, {Name: edge.MediumDisk, Tier: d}}
		c.Cache = cache.NewChain(c.Cache, d)
	}, w.origin.url)
	return n, func() {
		w.t.Helper()
		n.stop()
		if err := d.Close(); err != nil {
			w.t.Fatal(err)
		}
	}
}

// A node that comes back serves slices from disk, and heads only after it has
// asked: it does not know what happened while it was away.
func TestRestartWithADisk(t *testing.T) {
	t.Parallel()
	w := newWorld(t, metadata.PublicRead)
	bucket := media(metadata.PublicRead)
	bucket.Cache.StaleIfError = metadata.Duration(time.Hour)
	w.control.putBucket(bucket)
	film, photo := random(3*mib+17, 1), random(1000, 2)
	version := w.origin.put("media/film", film).version
	for _, name := range []string{"media/photo", "media/gone", "media/unsure"} {
		w.origin.put(name, photo)
	}
	dir := t.TempDir()
	n, stop := w.startOnDisk(dir)
	for path, body := range map[string][]byte{"/media/film": film, "/media/photo": photo, "/media/gone": photo, "/media/unsure": photo} {
		wantBody(t, "cold", n.get(path), 200, "miss", body)
		wantBody(t, "warm", n.get(path), 200, "hit", body)
	}
	stop()

	newer := random(2000, 3)
	w.origin.put("media/photo", newer)
	w.origin.remove("media/gone")
	w.control.emit(metadata.Event{Type: metadata.ObjectCreated, Bucket: "media", Key: "photo"})
	w.control.emit(metadata.Event{Type: metadata.ObjectDeleted, Bucket: "media", Key: "gone"})

	n, stop = w.startOnDisk(dir)
	asked := w.origin.asked()
	wantBody(t, "a version, whose bytes are on disk", n.request(http.MethodGet, "/media/film", asNode(hop.RequestVersion, version)), 200, "hit", film)
	if now := w.origin.asked(); now != asked {
		t.Errorf("the origin was asked %d times for what is on disk:\n%s", now-asked, w.origin.log())
	}
	wantBody(t, "what it is now", n.get("/media/film"), 200, "revalidated", film)
	if now := w.origin.asked(); now != asked+1 {
		t.Errorf("the origin was asked %d times to confirm a head:\n%s", now-asked, w.origin.log())
	}
	wantBody(t, "confirmed", n.get("/media/film"), 200, "hit", film)
	wantBody(t, "overwritten meanwhile", n.get("/media/photo"), 200, "miss", newer)
	if a := n.get("/media/gone"); a.status != 404 {
		t.Errorf("deleted meanwhile: status %d", a.status)
	}
	w.origin.set(func() { w.origin.down = true })
	if a := n.get("/media/unsure"); a.status < 500 {
		t.Errorf("nobody can say whether it was deleted meanwhile, and it is served: %d", a.status)
	}
	wantBody(t, "confirmed since the restart", n.get("/media/film"), 200, "hit", film)

	// What was confirmed is found by purges again, and not left on disk.
	w.origin.set(func() { w.origin.down = false })
	changed := random(3000, 4)
	w.origin.put("media/film", changed)
	w.written("media/film", n)
	wantBody(t, "overwritten afterwards", n.get("/media/film"), 200, "miss", changed)
	stop()

	n, stop = w.startOnDisk(dir)
	defer stop()
	wantBody(t, "after another restart", n.get("/media/film"), 200, "revalidated", changed)
}

// A purge drops what an earlier run left on disk, too: an origin may confirm what it
// has not changed, though the bytes are wrong.
func TestPurgeAfterARestart(t *testing.T) {
	t.Parallel()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Etag", `"same"`)
		if r.Header.Get("If-None-Match") != "" {
			w.WriteHeader(http.StatusNotModified)
			return
		}
		say("page", "Cache-Control: max-age=600", "Vary: Accept-Language", "Surrogate-Key: all key"+strings.ReplaceAll(r.URL.Path, "/", "-"))(w, r)
	}))
	t.Cleanup(srv.Close)
	for what, c := range map[string]struct {
		purge metadata.Purge
		other string // result of another page
	}{
		"url":        {metadata.Purge{URLs: []string{"/site/a"}}, "revalidated"},
		"key":        {metadata.Purge{SurrogateKeys: []string{"none", "key-a"}}, "revalidated"},
		"prefix":     {metadata.Purge{Prefixes: []string{"/site/a"}}, "revalidated"},
		"bucket":     {metadata.Purge{Bucket: "site"}, "miss"},
		"everything": {metadata.Purge{Everything: true}, "miss"},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, metadata.PublicRead)
			w.control.putBucket(metadata.Bucket{Name: "site", Region: "europe", Visibility: metadata.PublicRead, Pull: metadata.Pull{Origins: []string{srv.URL}}})
			dir := t.TempDir()
			n, stop := w.startOnDisk(dir)
			for _, page := range []string{"/site/a", "/site/b"} {
				wantBody(t, "cold", n.get(page, "Accept-Language", "de"), 200, "miss", nil)
			}
			stop()
			n, stop = w.startOnDisk(dir)
			defer stop()
			c.purge.ID, c.purge.Soft = "soft", true
			w.applied(w.purge(c.purge), n)
			wantBody(t, "purged softly", n.get("/site/a", "Accept-Language", "de"), 200, "revalidated", nil)
			stop()
			n, stop = w.startOnDisk(dir)
			defer stop()
			c.purge.ID, c.purge.Soft = "hard", false
			w.applied(w.purge(c.purge), n)
			for i := range 3 { // the same again, however often, is of no other page
				again := metadata.Purge{ID: "again " + strconv.Itoa(i), URLs: slices.Repeat([]string{"/site/a"}, 8000)}
				w.applied(w.purge(again), n)
			}
			wantBody(t, "purged", n.get("/site/a", "Accept-Language", "de"), 200, "miss", nil)
			wantBody(t, "another page", n.get("/site/b", "Accept-Language", "de"), 200, c.other, nil)
		})
	}
}

func TestMetricsTellMediaApart(t *testing.T) {
	t.Parallel()
	w := newWorld(t, metadata.PublicRead)
	w.origin.put("media/film", random(2*mib, 1))
	n, stop := w.startOnDisk(t.TempDir())
	defer stop()
	n.get("/media/film")
	n.get("/media/film")
	families, err := n.reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	values := map[string]float64{}
	for _, f := range families {
		for _, m := range f.Metric {
			for _, l := range m.Label {
				if l.GetName() == "medium" {
					values[strings.TrimPrefix(f.GetName(), "meridian_cache_")+" "+l.GetValue()] = m.GetGauge().GetValue() + m.GetCounter().GetValue()
				}
			}
		}
	}
	for _, name := range []string{"held_bytes memory", "held_bytes disk", "entries memory", "entries disk", "medium_hits_total memory"} {
		if values[name] <= 0 {
			t.Errorf("%s is %v: %v", name, values[name], values)
		}
	}
	if values["capacity_bytes disk"] != 72<<20 || values["medium_hits_total disk"] != 0 {
		t.Errorf("%v", values)
	}
}
