package console

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"strings"
	"time"
)

// asset is a file, and it compressed where that makes it smaller.
type asset struct {
	body         []byte
	gzipped      []byte
	contentType  string
	cacheControl string
}

// readAsset reads a file. Files below assets/ have a hash of their content in
// their name and never change.
func readAsset(assets fs.FS, name string) (asset, error) {
	body, err := fs.ReadFile(assets, name)
	if err != nil {
		return asset{}, err
	}
	a := asset{body: body, contentType: contentType(name), cacheControl: "no-cache"}
	if strings.HasPrefix(name, "assets/") {
		a.cacheControl = "public, max-age=31536000, immutable"
	}
	var packed bytes.Buffer
	z, err := gzip.NewWriterLevel(&packed, gzip.BestCompression)
	if err != nil {
		return asset{}, err
	}
	if _, err := z.Write(body); err != nil {
		return asset{}, fmt.Errorf("compress %s: %w", name, err)
	}
	if err := z.Close(); err != nil {
		return asset{}, fmt.Errorf("compress %s: %w", name, err)
	}
	if packed.Len() < len(body)*9/10 {
		a.gzipped = packed.Bytes()
	}
	return a, nil
}

// contentType does not ask the machine's table of types, which may lack what
// browsers insist on.
func contentType(name string) string {
	switch path.Ext(name) {
	case ".js":
		return "text/javascript; charset=utf-8"
	case ".css":
		return "text/css; charset=utf-8"
	case ".svg":
		return "image/svg+xml"
	case ".woff2":
		return "font/woff2"
	case ".webmanifest":
		return "application/manifest+json"
	}
	if t := mime.TypeByExtension(path.Ext(name)); t != "" {
		return t
	}
	return "application/octet-stream"
}

// serve answers conditions by the ETag, a digest of the content.
func (a asset) serve(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	body, tag := a.body, etag(a.body)
	if a.gzipped != nil {
		h.Add("Vary", "Accept-Encoding")
		if acceptsGzip(r) {
			h.Set("Content-Encoding", "gzip")
			body, tag = a.gzipped, etag(a.gzipped)
		}
	}
	h.Set("Content-Type", a.contentType)
	h.Set("Cache-Control", a.cacheControl)
	h.Set("ETag", tag)
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(body))
}

func etag(body []byte) string {
	sum := sha256.Sum256(body)
	return `"` + hex.EncodeToString(sum[:12]) + `"`
}

// acceptsGzip reports whether gzip is named and not refused by q=0.
func acceptsGzip(r *http.Request) bool {
	for _, line := range r.Header.Values("Accept-Encoding") {
		for item := range strings.SplitSeq(line, ",") {
			name, weight, _ := strings.Cut(item, ";")
			if strings.EqualFold(strings.TrimSpace(name), "gzip") {
				weight = strings.ReplaceAll(weight, " ", "")
				return strings.TrimRight(weight, "0") != "q=" && strings.TrimRight(weight, "0") != "q=0."
			}
		}
	}
	return false
}
