package api

import (
	"net/http"
	"strings"
	"testing"
	"testing/fstest"

	"meridian/console"
	"meridian/metadata"
)

// The console answers its own pages and none of the endpoints; what neither
// knows is a problem document.
func TestConsoleShadowsNoEndpoint(t *testing.T) {
	t.Parallel()
	page, err := console.New(console.Options{Assets: fstest.MapFS{
		"index.html": {Data: []byte("<title>the console</title>")}, "assets/a-1.js": {Data: []byte("1")},
	}})
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(t, func(o *Options) { o.Console = page })
	for _, path := range []string{"/", "/gallery", "/gallery/01JZ8?q=sea", "/upload", "/cache"} {
		a := w.do(http.StatusOK, nobody, http.MethodGet, path, "")
		if !strings.Contains(string(a.body), "the console") || !strings.Contains(a.header.Get("Content-Security-Policy"), "script-src 'self'") || a.header.Get("Cache-Control") != "no-cache" {
			t.Errorf("%s: %v %s", path, a.header, a.body)
		}
	}
	if a := w.do(http.StatusOK, nobody, http.MethodGet, "/assets/a-1.js", ""); !strings.Contains(a.header.Get("Cache-Control"), "immutable") {
		t.Errorf("asset: %v", a.header)
	}
	for path, want := range map[string]int{
		"/healthz": 200, "/readyz": 200, "/metrics": 200, "/openapi.json": 200, "/v1/media": 401, "/v1/gallery": 404, "/v1": 404, "/elsewhere": 404, "/assets/gone.js": 404,
	} {
		a := w.do(want, nobody, http.MethodGet, path, "")
		if strings.Contains(string(a.body), "the console") || a.header.Get("Content-Type") == "text/html; charset=utf-8" {
			t.Errorf("%s is answered by the console: %s", path, a.body)
		}
		if want >= 400 {
			w.problem(a)
		}
	}
	w.problem(w.do(http.StatusMethodNotAllowed, metadata.RoleAdmin, http.MethodPost, "/gallery", "{}"))
	if a := w.do(http.StatusOK, nobody, http.MethodHead, "/gallery", ""); len(a.body) != 0 {
		t.Errorf("HEAD has a body of %d bytes", len(a.body))
	}
}
