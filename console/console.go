// Package console is the web page of Meridian: sign in, upload, look, purge,
// and see how well the caches do. Its source is TypeScript in src/; vite builds
// it into dist/app, which is embedded. Where it was not built, because there
// was no Node, New says so and the rest of Meridian works without it.
package console

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"path"
	"slices"
	"strings"
)

// dist holds at least a README, so that it can be embedded before it is built.
//
//go:embed all:dist
var dist embed.FS

// ErrNotBuilt says that the program was built without the console.
var ErrNotBuilt = errors.New("the console was left out of this build: it needs Node 20.19 or newer and npm; install them and run make build")

// Options describe a Handler.
type Options struct {
	// Assets is what vite has built, with index.html at its top; what is
	// embedded where it is nil.
	Assets fs.FS
	// Sources are the URLs of the nodes from which a browser reads photos,
	// videos and objects. The page may load from there and from nowhere else.
	Sources func(context.Context) []string
}

// Handler serves the page and its assets.
type Handler struct {
	index   []byte
	assets  map[string]asset // by path
	sources func(context.Context) []string
}

// New reads the assets. It returns ErrNotBuilt where there are none.
func New(o Options) (*Handler, error) {
	if o.Assets == nil {
		sub, err := fs.Sub(dist, "dist/app")
		if err != nil {
			return nil, err
		}
		o.Assets = sub
	}
	if o.Sources == nil {
		o.Sources = func(context.Context) []string { return nil }
	}
	index, err := fs.ReadFile(o.Assets, "index.html")
	if errors.Is(err, fs.ErrNotExist) {
		return nil, ErrNotBuilt
	}
	if err != nil {
		return nil, fmt.Errorf("console: %w", err)
	}
	h := &Handler{index: index, sources: o.Sources, assets: map[string]asset{}}
	err = fs.WalkDir(o.Assets, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || name == "index.html" {
			return err
		}
		h.assets["/"+name], err = readAsset(o.Assets, name)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("console: %w", err)
	}
	return h, nil
}

// pages are the first segments of the paths that the page routes by itself, as
// src/routes.tsx has them.
func pages() []string {
	return []string{"gallery", "upload", "objects", "cache", "purge", "keys", "nodes", "sign-in"}
}

// Owns says whether the console answers a path: its front page, the pages it
// routes by itself, and its assets.
func (h *Handler) Owns(urlPath string) bool {
	if urlPath == "/" {
		return true
	}
	if _, ok := h.assets[urlPath]; ok {
		return true
	}
	first, _, _ := strings.Cut(strings.TrimPrefix(urlPath, "/"), "/")
	return slices.Contains(pages(), first) && path.Clean(urlPath) == strings.TrimSuffix(urlPath, "/")
}

// ServeHTTP answers GET and HEAD of what the console owns.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	header := w.Header()
	header.Set("X-Content-Type-Options", "nosniff")
	if a, ok := h.assets[r.URL.Path]; ok {
		a.serve(w, r)
		return
	}
	if !h.Owns(r.URL.Path) {
		http.NotFound(w, r)
		return
	}
	header.Set("Content-Security-Policy", policy(h.sources(r.Context())))
	header.Set("Referrer-Policy", "same-origin")
	header.Set("Cross-Origin-Opener-Policy", "same-origin")
	header.Set("Permissions-Policy", "camera=(), geolocation=(), microphone=(), payment=(), usb=()")
	asset{body: h.index, contentType: "text/html; charset=utf-8", cacheControl: "no-cache"}.serve(w, r)
}
