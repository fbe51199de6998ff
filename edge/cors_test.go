package edge_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"meridian/metadata"
)

func TestEdgesApplyTheRulesOfABucketForPages(t *testing.T) {
	t.Parallel()
	w := newWorld(t, metadata.PublicRead)
	strict := media(metadata.PublicRead)
	strict.Name = "strict"
	strict.Config = map[string]json.RawMessage{"cors": json.RawMessage(
		`{"rules":[{"allowed_origins":["https://*.example.com"],"allowed_methods":["GET"],"expose_headers":["ETag"]}]}`)}
	w.control.putBucket(strict)
	n := w.edge(w.origin.url)
	ask := func(method, path, origin string) (int, http.Header) {
		a := n.request(method, path, func(r *http.Request) {
			r.Header.Set("Origin", origin)
			if method == http.MethodOptions {
				r.Header.Set("Access-Control-Request-Method", "GET")
			}
		})
		return a.status, a.header
	}
	for _, c := range []struct {
		method, path, origin string
		status               int
		allowed              string
	}{
		{"OPTIONS", "/media/k", "https://any.test", 204, "*"},
		{"GET", "/media/none", "https://any.test", 404, "*"},
		{"OPTIONS", "/strict/k", "https://a.example.com", 204, "https://a.example.com"},
		{"OPTIONS", "/strict/k", "https://any.test", 403, ""},
		{"GET", "/strict/none", "https://a.example.com", 404, "https://a.example.com"},
		{"GET", "/strict/none", "https://any.test", 404, ""},
		{"OPTIONS", "/nowhere/k", "https://any.test", 403, "*"},
		{"OPTIONS", "/strict/k", "https://a.example.com.evil.test", 403, ""},
	} {
		status, h := ask(c.method, c.path, c.origin)
		if status != c.status || h.Get("Access-Control-Allow-Origin") != c.allowed {
			t.Errorf("%s %s of %s: %d, origin %q; want %d, %q", c.method, c.path, c.origin, status, h.Get("Access-Control-Allow-Origin"), c.status, c.allowed)
		}
		if strings.HasPrefix(c.path, "/strict") && c.allowed != "" && !strings.Contains(h.Get("Vary"), "Origin") {
			t.Errorf("%s %s: Vary %q", c.method, c.path, h.Get("Vary"))
		}
	}
}
