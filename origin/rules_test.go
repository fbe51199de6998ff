package origin_test

import (
	"errors"
	"io"
	"strings"
	"testing"

	"meridian/metadata"
)

const png = "\x89PNG\r\n\x1a\n and more"

func (w *world) rules(r metadata.UploadRules) {
	w.t.Helper()
	_, err := w.catalog.UpdateBucket(w.t.Context(), "photos", func(b *metadata.Bucket) error {
		b.UploadRules = r
		return nil
	})
	if err != nil {
		w.t.Fatal(err)
	}
}

// untouched fails the test when it is read.
type untouched struct{ t *testing.T }

func (u untouched) Read([]byte) (int, error) {
	u.t.Error("the body was read")
	return 0, io.EOF
}

func TestRulesRefuseBeforeTheBody(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.rules(metadata.UploadRules{MaxSize: 100, Types: []string{"image/*"}, QuotaBytes: 50})
	for name, c := range map[string]struct {
		size  int64
		claim string
		want  error
	}{
		"size":  {101, "image/png", metadata.ErrTooLarge},
		"type":  {10, "text/html; charset=utf-8", metadata.ErrTypeRefused},
		"quota": {51, "image/png", metadata.ErrQuota},
	} {
		in := input("k", "")
		in.Body, in.Size, in.Template.ContentType = untouched{t}, c.size, c.claim
		if _, err := w.objects.Put(t.Context(), in); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
	w.wantNothing("k")
}

// What were put into a pull zone would never be seen.
func TestPullZonesTakeNoObjects(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	if _, err := w.catalog.UpdateBucket(t.Context(), "photos", func(b *metadata.Bucket) error {
		b.Pull.Origins = []string{"http://www.example.com"}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	in := input("k", "")
	in.Body = untouched{t}
	if _, err := w.objects.Put(t.Context(), in); !errors.Is(err, metadata.ErrPullZone) || !strings.Contains(err.Error(), "http://www.example.com") {
		t.Errorf("put: %v", err)
	}
	w.wantNothing("k")
}

func TestRulesLookAtTheBytes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.rules(metadata.UploadRules{MaxSize: 1000, Types: []string{"image/*", "video/webm"}})
	for name, c := range map[string]struct {
		claim, body string
		size        int64
		want        error
	}{
		"a page that calls itself a picture": {"image/png", "<html><script>", 14, metadata.ErrTypeRefused},
		"a script in a picture's clothes":    {"text/html", png, int64(len(png)), metadata.ErrTypeRefused},
		"nothing":                            {"image/png", "", 0, metadata.ErrTypeRefused},
		"svg":                                {"image/svg+xml", `<svg xmlns="http://www.w3.org/2000/svg"/>`, -1, metadata.ErrTypeRefused},
		"matroska that is no webm":           {"", "\x1a\x45\xdf\xa3\x8b\x42\x82\x88matroska", -1, metadata.ErrTypeRefused},
		"more than announced by nobody":      {"image/png", png + strings.Repeat("x", 1000), -1, metadata.ErrTooLarge},
	} {
		in := input("k", c.body)
		in.Size, in.Template.ContentType = c.size, c.claim
		if _, err := w.objects.Put(t.Context(), in); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
		w.wantNothing("k")
	}
	for name, c := range map[string]struct{ claim, body string }{
		"png":                    {"image/png", png},
		"without a claim":        {"", png},
		"with one that is vague": {"application/octet-stream", png},
		"webm":                   {"video/webm", "\x1a\x45\xdf\xa3\x87\x42\x82\x84webm"},
		"avif":                   {"image/avif", "\x00\x00\x00\x14ftypavif\x00\x00\x00\x00avif"},
	} {
		in := input(name, c.body)
		in.Template.ContentType = c.claim
		v, err := w.objects.Put(t.Context(), in)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if got, _, err := readAll(t, w.objects, v, 0, -1); err != nil || got != c.body {
			t.Errorf("%s: read %q, %v", name, got, err)
		}
	}
}

// A copy is another way in.
func TestRulesHoldForCopies(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	src, err := w.objects.Put(t.Context(), input("page", "<html>"))
	if err != nil {
		t.Fatal(err)
	}
	w.rules(metadata.UploadRules{Types: []string{"image/*"}})
	if _, err := w.objects.Copy(t.Context(), src, input("copy", "")); !errors.Is(err, metadata.ErrTypeRefused) {
		t.Errorf("Copy = %v, want ErrTypeRefused", err)
	}
}
