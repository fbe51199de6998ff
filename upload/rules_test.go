package upload_test

import (
	"bytes"
	"errors"
	"testing"

	"meridian/metadata"
	"meridian/upload"
)

func (w *world) rules(r metadata.UploadRules) {
	w.t.Helper()
	_, err := w.catalog.UpdateBucket(w.t.Context(), "films", func(b *metadata.Bucket) error {
		b.UploadRules = r
		return nil
	})
	if err != nil {
		w.t.Fatal(err)
	}
}

func webm(n int) []byte {
	return append([]byte("\x1a\x45\xdf\xa3\x87\x42\x82\x84webm"), content(1, n)...)
}

func (w *world) wantRefused(want error, err error) {
	w.t.Helper()
	if !errors.Is(err, want) {
		w.t.Errorf("%v, want %v", err, want)
	}
	if _, err := w.catalog.Lookup(w.t.Context(), metadata.Ref{Bucket: "films", Key: "film.mp4"}); !errors.Is(err, metadata.ErrNoSuchKey) {
		w.t.Errorf("Lookup = %v: something is visible", err)
	}
}

func TestRulesRefuseTheFirstPart(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.rules(metadata.UploadRules{MaxSize: 4000, Types: []string{"video/*"}})
	u := w.begin("", "")
	page := append([]byte("<html>"), bytes.Repeat([]byte("x"), 600)...)
	_, err := w.uploads.PutPart(t.Context(), u, 1, int64(len(page)), bytes.NewReader(page), nil, nil)
	w.wantRefused(metadata.ErrTypeRefused, err)
	_, err = w.uploads.PutPart(t.Context(), u, 2, 4001, bytes.NewReader(content(1, 4001)), nil, nil)
	w.wantRefused(metadata.ErrTooLarge, err)
	_, err = w.uploads.Begin(t.Context(), metadata.Version{Bucket: "films", Key: "x", Size: 4001}, "", "")
	w.wantRefused(metadata.ErrTooLarge, err)
	_, err = w.uploads.Begin(t.Context(), metadata.Version{Bucket: "films", Key: "x", ContentType: "text/html"}, "", "")
	w.wantRefused(metadata.ErrTypeRefused, err)

	v, err := w.uploads.Complete(t.Context(), u, named(w.put(u, 1, webm(1000)), w.put(u, 2, content(2, 10))), upload.CompleteOptions{Size: -1})
	if err != nil || v.Size != 1022 {
		t.Errorf("Complete = %d bytes, %v", v.Size, err)
	}
}

// Who leaves out the first part, or sends parts that are too many, is found out
// at the end.
func TestRulesRefuseTheWhole(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.rules(metadata.UploadRules{MaxSize: 4000, Types: []string{"video/*"}})
	u := w.begin("", "")
	_, err := w.uploads.Complete(t.Context(), u, named(w.put(u, 1, webm(2000)), w.put(u, 2, content(1, 2001))), upload.CompleteOptions{Size: -1})
	w.wantRefused(metadata.ErrTooLarge, err)

	_, err = w.uploads.Complete(t.Context(), u, named(w.put(u, 2, []byte("<html>"))), upload.CompleteOptions{Size: -1})
	w.wantRefused(metadata.ErrTypeRefused, err)
	if blobs, uploads := w.left(); blobs != 0 || uploads != 0 {
		t.Errorf("left: %d blobs, %d uploads", blobs, uploads)
	}

	w.rules(metadata.UploadRules{QuotaBytes: 5000})
	u = w.begin("", "")
	part := w.put(u, 1, content(1, 4000))
	w.rules(metadata.UploadRules{QuotaBytes: 3000})
	_, err = w.uploads.Complete(t.Context(), u, named(part), upload.CompleteOptions{Size: -1})
	w.wantRefused(metadata.ErrQuota, err)
}

// A film of which neither the key nor the type says that it is one.
func TestFilmsWithoutANameForItAreKnown(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for key, want := range map[string]string{"9f86d081": "video/webm", "film.webm": ""} {
		u, err := w.uploads.Begin(t.Context(), metadata.Version{Bucket: "films", Key: key, Owner: "ann", ContentType: "binary/octet-stream"}, "", "")
		if err != nil {
			t.Fatal(err)
		}
		v, err := w.uploads.Complete(t.Context(), u, named(w.put(u, 1, webm(1000))), upload.CompleteOptions{Size: -1})
		if err != nil || v.Sniffed != want {
			t.Errorf("%s is %q, want %q (%v)", key, v.Sniffed, want, err)
		}
	}
}
