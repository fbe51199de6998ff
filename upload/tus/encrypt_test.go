package tus_test

import (
	"bytes"
	"io"
	"net/http"
	"strings"
	"testing"

	"meridian/internal/sse"
	"meridian/metadata"
	"meridian/origin/crypt"
	"meridian/upload/tus"
)

// TestEncryptedUploads: what waits for the rest of a part is as unreadable as what
// is in one, and the object is what was sent.
func TestEncryptedUploads(t *testing.T) {
	t.Parallel()
	ring, err := sse.NewRing([32]byte{1})
	if err != nil {
		t.Fatal(err)
	}
	keys := &crypt.Keys{Ring: ring, All: true}
	w := newWorld(t)
	with := func(o *tus.Options) { o.Uploads.Crypt = keys }
	one, two := w.start("europe", "origin-europe-1", with), w.start("europe", "origin-europe-2", with)
	body := []byte(strings.Repeat("nobody may read this; ", 700))
	url := one.create(len(body), "key", "letter")
	id := url[strings.LastIndexByte(url, '/')+1:]
	for off := 0; off < len(body); {
		n := one
		if off%2 == 1 { // any node goes on
			n, url = two, strings.Replace(url, one.url, two.url, 1)
		} else {
			url = strings.Replace(url, two.url, one.url, 1)
		}
		piece := min(501+off%1300, len(body)-off)
		if a := n.patch(url, int64(off), body[off:off+piece]); a.StatusCode != http.StatusNoContent {
			t.Fatalf("PATCH at %d: %s %s", off, a.Status, a.body)
		}
		if off += piece; off == len(body) {
			break
		}
		r, err := w.catalog.Resumable(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		tail, err := w.catalog.ResumableTail(t.Context(), id)
		if err != nil || int64(len(tail)) != r.Tail {
			t.Fatalf("tail of %d bytes, not %d, %v", len(tail), r.Tail, err)
		}
		if bytes.Contains(tail, []byte("may read")) || bytes.Contains(r.Head, []byte("may read")) || len(r.Head) == 0 {
			t.Errorf("after %d bytes Postgres holds plain text: %q, %q", off, r.Head, tail)
		}
	}
	v, err := w.catalog.Lookup(t.Context(), metadata.Ref{Bucket: "films", Key: "letter"})
	if err != nil {
		t.Fatal(err)
	}
	if err := keys.Unlock(&v); err != nil {
		t.Fatal(err)
	}
	r, err := crypt.Open(&v, 0, v.Size, func(off, n int64) (io.ReadCloser, error) { return w.store("europe").Open(t.Context(), v.Blob, off, n) })
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, body) {
		t.Errorf("%d bytes of %d, %v", len(got), len(body), err)
	}
}
