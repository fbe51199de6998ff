package console

import (
	"compress/gzip"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

const script = "console.log('a script that is long enough to be worth compressing');"

// page is a Handler of a small page, whose nodes are at sources.
func page(t *testing.T, sources ...string) *Handler {
	t.Helper()
	h, err := New(Options{
		Assets: fstest.MapFS{
			"index.html":               {Data: []byte("<!doctype html><title>Meridian</title>")},
			"theme.js":                 {Data: []byte("1")},
			"assets/index-BAA1TX3c.js": {Data: []byte(strings.Repeat(script, 20))},
			"assets/inter-x.woff2":     {Data: []byte("\x00\x01")},
		},
		Sources: func(context.Context) []string { return sources },
	})
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func ask(h http.Handler, path string, headers ...string) *http.Response {
	r := httptest.NewRequest(http.MethodGet, path, nil)
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Result()
}

func body(t *testing.T, r *http.Response) string {
	t.Helper()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestIndexAnswersThePagesItRoutes(t *testing.T) {
	t.Parallel()
	h := page(t)
	for _, path := range []string{"/", "/gallery", "/gallery/", "/gallery/01JZ8", "/upload", "/cache", "/objects/photos/2026/a.jpg", "/sign-in"} {
		if !h.Owns(path) {
			t.Errorf("%s is not owned", path)
		}
		a := ask(h, path)
		if a.StatusCode != http.StatusOK || a.Header.Get("Content-Type") != "text/html; charset=utf-8" || !strings.Contains(body(t, a), "<title>Meridian") {
			t.Errorf("%s = %d %v", path, a.StatusCode, a.Header)
		}
		if c := a.Header.Get("Cache-Control"); c != "no-cache" {
			t.Errorf("%s: Cache-Control %q", path, c)
		}
	}
	for _, path := range []string{"/v1/media", "/v1", "/healthz", "/readyz", "/metrics", "/openapi.json", "/galleries", "/assets/gone-x.js", "/index.html", "/gallery/../v1/keys", "//gallery"} {
		if h.Owns(path) {
			t.Errorf("%s is owned", path)
		}
		if a := ask(h, path); a.StatusCode != http.StatusNotFound {
			t.Errorf("%s = %d", path, a.StatusCode)
		}
	}
}

func TestPolicyAllowsTheNodesAndNothingInline(t *testing.T) {
	t.Parallel()
	h := page(t, "https://edge.example.com/base", "http://127.0.0.1:9021", "http://127.0.0.1:9021", "javascript:alert(1)", "http://evil;script-src *", "")
	a := ask(h, "/gallery")
	directives := map[string]string{}
	for d := range strings.SplitSeq(a.Header.Get("Content-Security-Policy"), "; ") {
		name, value, _ := strings.Cut(d, " ")
		directives[name] = value
	}
	for name, want := range map[string]string{
		"default-src": "'none'", "script-src": "'self'", "style-src": "'self'", "frame-ancestors": "'none'", "base-uri": "'none'",
		"img-src":     "'self' blob: http://127.0.0.1:9021 https://edge.example.com",
		"media-src":   "'self' blob: http://127.0.0.1:9021 https://edge.example.com",
		"connect-src": "'self' http://127.0.0.1:9021 https://edge.example.com",
	} {
		if directives[name] != want {
			t.Errorf("%s is %q, want %q", name, directives[name], want)
		}
	}
	for name, want := range map[string]string{"X-Content-Type-Options": "nosniff", "Referrer-Policy": "same-origin"} {
		if got := a.Header.Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}

func TestAssetsAreKeptForeverAndCompressed(t *testing.T) {
	t.Parallel()
	h := page(t)
	const path = "/assets/index-BAA1TX3c.js"
	plain := ask(h, path)
	if got := body(t, plain); got != strings.Repeat(script, 20) || plain.Header.Get("Content-Encoding") != "" {
		t.Errorf("%d bytes, %v", len(got), plain.Header)
	}
	for name, want := range map[string]string{
		"Cache-Control": "public, max-age=31536000, immutable", "Content-Type": "text/javascript; charset=utf-8",
		"X-Content-Type-Options": "nosniff", "Vary": "Accept-Encoding",
	} {
		if got := plain.Header.Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	packed := ask(h, path, "Accept-Encoding", "br, gzip")
	if packed.Header.Get("Content-Encoding") != "gzip" || packed.Header.Get("ETag") == plain.Header.Get("ETag") {
		t.Errorf("compressed: %v", packed.Header)
	}
	z, err := gzip.NewReader(packed.Body)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(z); err != nil || string(got) != strings.Repeat(script, 20) {
		t.Errorf("decompressed: %d bytes, %v", len(got), err)
	}
	if a := ask(h, path, "Accept-Encoding", "gzip;q=0, identity"); a.Header.Get("Content-Encoding") != "" {
		t.Errorf("gzip was refused: %v", a.Header)
	}
	if a := ask(h, path, "If-None-Match", plain.Header.Get("ETag")); a.StatusCode != http.StatusNotModified {
		t.Errorf("with its own ETag: %d", a.StatusCode)
	}
	if a := ask(h, "/theme.js"); a.Header.Get("Cache-Control") != "no-cache" {
		t.Errorf("a file without a hash in its name: %v", a.Header)
	}
	if a := ask(h, "/assets/inter-x.woff2"); a.Header.Get("Content-Type") != "font/woff2" {
		t.Errorf("a font: %v", a.Header)
	}
}

func TestWithoutAPageItSaysSo(t *testing.T) {
	t.Parallel()
	if _, err := New(Options{Assets: fstest.MapFS{"README.md": {Data: []byte("x")}}}); !errors.Is(err, ErrNotBuilt) {
		t.Errorf("New = %v", err)
	}
}

// What is embedded keeps the policy: no script and no style within the page.
func TestBuiltPageHasNothingInline(t *testing.T) {
	t.Parallel()
	h, err := New(Options{})
	if errors.Is(err, ErrNotBuilt) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	text := body(t, ask(h, "/"))
	if regexp.MustCompile(`<script[^>]*>[^<]|<style|\sstyle=|\son\w+=|data:`).MatchString(text) {
		t.Errorf("the page has something inline: %s", text)
	}
	links := regexp.MustCompile(`(?:src|href)="(/[^"]+)"`).FindAllStringSubmatch(text, -1)
	if len(links) < 2 {
		t.Errorf("the page loads nothing: %s", text)
	}
	for _, m := range links {
		if a := ask(h, m[1]); a.StatusCode != http.StatusOK {
			t.Errorf("%s = %d", m[1], a.StatusCode)
		}
	}
}

// The server knows every page that the navigation leads to.
func TestEveryPageIsServed(t *testing.T) {
	t.Parallel()
	source, err := os.ReadFile("src/routes.tsx")
	if err != nil {
		t.Fatal(err)
	}
	found := regexp.MustCompile(`path: '/([\w-]+)`).FindAllStringSubmatch(string(source), -1)
	if len(found) == 0 {
		t.Fatal("no path in src/routes.tsx")
	}
	for _, m := range found {
		if !slices.Contains(pages(), m[1]) {
			t.Errorf("src/routes.tsx routes /%s, which console.go does not serve", m[1])
		}
	}
}
