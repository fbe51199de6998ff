package edge_test

import (
	"net/http"
	"net/url"
	"testing"
	"time"

	"meridian/internal/signedurl"
	"meridian/metadata"
)

// linked signs a request as the API does, with overrides in its query.
func linked(overrides string) func(*http.Request) {
	return func(r *http.Request) {
		r.URL.RawQuery = overrides
		r.URL = signedurl.New(clusterSecret).Sign(r.URL, time.Now().Add(time.Hour))
	}
}

// A signed URL decides under which headers its object is answered, in public
// buckets too; nobody else does.
func TestLinksOverrideHeaders(t *testing.T) {
	t.Parallel()
	for _, visibility := range []string{metadata.Private, metadata.PublicRead} {
		w := newWorld(t, visibility)
		e := w.edge(w.origin.url)
		w.origin.put("media/film", random(100, 1), "Content-Type", "binary/octet-stream")
		overrides := url.Values{"response-content-type": {"video/mp4"}, "response-content-disposition": {`attachment; filename="f.mp4"`}}.Encode()
		for _, method := range []string{http.MethodGet, http.MethodHead} {
			a := e.request(method, "/media/film", linked(overrides))
			if a.status != 200 || a.header.Get("Content-Type") != "video/mp4" || a.header.Get("Content-Disposition") != `attachment; filename="f.mp4"` ||
				a.header.Get("Content-Length") != "100" {
				t.Errorf("%s of a %s object: %d %v", method, visibility, a.status, a.header)
			}
		}
		a := e.request(http.MethodGet, "/media/film", func(r *http.Request) {
			linked(overrides)(r)
			q := r.URL.Query()
			q.Set("response-content-type", "text/html")
			r.URL.RawQuery = q.Encode()
		})
		if want := map[string]int{metadata.Private: 403, metadata.PublicRead: 200}[visibility]; a.status != want || a.header.Get("Content-Type") == "text/html" {
			t.Errorf("another type than the signed one, %s: %d %v", visibility, a.status, a.header)
		}
		e.stop()
		// Seen as a video where the link says so.
		if _, views := w.control.total(e.id); views != 1 {
			t.Errorf("%d views", views)
		}
	}
}

// What tools stored without a type is told by its name.
func TestViewsOfUntypedFiles(t *testing.T) {
	t.Parallel()
	w := newWorld(t, metadata.PublicRead)
	e := w.edge(w.origin.url)
	w.origin.put("media/a.mp4", random(100, 1), "Content-Type", "binary/octet-stream")
	w.origin.put("media/a.bin", random(100, 1), "Content-Type", "binary/octet-stream")
	e.get("/media/a.mp4")
	e.get("/media/a.bin")
	e.stop()
	if _, views := w.control.total(e.id); views != 1 {
		t.Errorf("%d views", views)
	}
}

// Pages of other origins may read what they have a link to.
func TestCrossOrigin(t *testing.T) {
	t.Parallel()
	w := newWorld(t, metadata.Private)
	e := w.edge(w.origin.url)
	w.origin.put("media/film", random(100, 1), "Content-Type", "video/mp4")
	page := with("Origin", "https://app.example.com")
	a := e.request(http.MethodGet, "/media/film", func(r *http.Request) { page(r); linked("")(r); r.Header.Set("Range", "bytes=0-9") })
	if a.status != 206 || a.header.Get("Access-Control-Allow-Origin") != "*" || a.header.Get("Access-Control-Expose-Headers") != "*, ETag" {
		t.Errorf("by a link: %d %v", a.status, a.header)
	}
	a = e.request(http.MethodGet, "/media/film", func(r *http.Request) { page(r); signed(userKey, userSecret)(r) })
	if a.status != 200 || a.header.Get("Access-Control-Allow-Origin") != "" {
		t.Errorf("by credentials: %d %v", a.status, a.header)
	}
	a = e.request(http.MethodOptions, "/media/film", func(r *http.Request) {
		page(r)
		r.Header.Set("Access-Control-Request-Method", "GET")
		r.Header.Set("Access-Control-Request-Headers", "if-none-match, range")
	})
	if a.status != 204 || a.header.Get("Access-Control-Allow-Methods") != "GET, HEAD" || a.header.Get("Access-Control-Allow-Headers") == "" {
		t.Errorf("preflight: %d %v", a.status, a.header)
	}
	if a := e.request(http.MethodOptions, "/media/film", nil); a.status != 405 {
		t.Errorf("OPTIONS that is no preflight: %d", a.status)
	}
}

// A node that is about to stop says so before it does.
func TestLeave(t *testing.T) {
	t.Parallel()
	w := newWorld(t, metadata.PublicRead)
	e := w.edge(w.origin.url)
	w.origin.put("media/a", []byte("a"))
	e.node.Leave(t.Context())
	if state := w.control.state(e.id); state != metadata.NodeDraining {
		t.Errorf("state %q", state)
	}
	wantBody(t, "while it drains", e.get("/media/a"), 200, "miss", []byte("a"))
}
