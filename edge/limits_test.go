package edge_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"

	"meridian/edge"
	"meridian/edge/limit"
	"meridian/metadata"
)

// An upstream that has all it may have is spared: the next one is asked, and where
// there is none the client is told to come back.
func TestUpstreamsHaveLimits(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	var slow atomic.Int64
	site := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		slow.Add(1)
		<-release
		_, _ = io.WriteString(w, "ok")
	}))
	t.Cleanup(site.Close)
	w := newWorld(t, metadata.PublicRead)
	w.control.putBucket(metadata.Bucket{Name: "site", Region: "europe", Visibility: metadata.PublicRead, Pull: metadata.Pull{Origins: []string{site.URL}}})
	second := newOrigin(t)
	for _, o := range []*origin{w.origin, second} {
		for _, key := range []string{"a", "b", "c", "d", "e", "f", "g", "h"} {
			o.put("media/"+key, []byte(key))
		}
	}
	var held atomic.Int64
	w.origin.set(func() {
		w.origin.hold = func(*http.Request, *object) {
			held.Add(1)
			<-release
		}
	})
	one := func(c *edge.Config) { c.Limits = limit.Config{Max: 1, Queue: -1} }
	alone := w.start(metadata.TierEdge, "edge-1", one, w.origin.url)
	pair := w.start(metadata.TierEdge, "edge-2", one, w.origin.url, second.url)
	done := make(chan answer, 3)
	ask := func(n *node, path string) {
		a, err := n.do(t.Context(), http.MethodGet, path, nil)
		if err != nil {
			t.Error(err)
		}
		done <- a
	}
	go ask(alone, "/media/a")
	w.control.eventually(t, "the upstream is busy", func() bool { return held.Load() == 1 })
	go ask(alone, "/site/a")
	w.control.eventually(t, "the origin is busy", func() bool { return slow.Load() == 1 })
	for _, path := range []string{"/media/b", "/site/b"} {
		if a := alone.get(path); a.status != 503 || a.header.Get("Retry-After") == "" {
			t.Errorf("%s: %d, Retry-After %q: %s", path, a.status, a.header.Get("Retry-After"), a.body)
		}
	}
	// Of eight keys some belong to the upstream that hangs. The first of them takes
	// its only place, and the others go to the second.
	stuck := 0
	for _, key := range []string{"a", "b", "c", "d", "e", "f", "g", "h"} {
		if stuck > 0 {
			wantBody(t, "beside an upstream that is busy", pair.get("/media/"+key), 200, "miss", []byte(key))
			continue
		}
		go ask(pair, "/media/"+key)
		w.control.eventually(t, "the request is over or hangs", func() bool { return held.Load() == 2 || len(done) == 1 })
		if stuck = int(held.Load()) - 1; stuck == 0 {
			wantBody(t, "by the second upstream", <-done, 200, "miss", []byte(key))
		}
	}
	close(release)
	for range 2 + stuck {
		wantBody(t, "who came first", <-done, 200, "", nil)
	}
	wantBody(t, "later", alone.get("/media/b"), 200, "", []byte("b"))
}
