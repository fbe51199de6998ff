package s3api_test

import (
	"strings"
	"testing"

	"meridian/metadata"
)

func TestUploadRulesAsS3SaysIt(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	_, err := w.catalog.CreateBucket(t.Context(), metadata.Bucket{
		Name: "photos", Region: region, Owner: "root",
		UploadRules: metadata.UploadRules{MaxSize: 100, Types: []string{"image/*"}, QuotaBytes: 150},
	})
	if err != nil {
		t.Fatal(err)
	}
	png := append([]byte("\x89PNG\r\n\x1a\n"), make([]byte, 92)...)
	for _, c := range []struct {
		status     int
		code, rule string
		body       []byte
	}{
		{400, "EntityTooLarge", "max_size", append(png, 0)},
		{400, "InvalidRequest", "types", []byte("<html>")},
	} {
		r := w.refused(writer, c.status, c.code, "PUT", "/photos/k", c.body, "Content-Type: image/png")
		if e := r.error(t); !strings.Contains(e.Message, c.rule) {
			t.Errorf("%s: %q does not name the rule %s", c.code, e.Message, c.rule)
		}
	}
	w.must("PUT", "/photos/a", png)
	r := w.refused(writer, 403, "QuotaExceeded", "PUT", "/photos/b", png)
	if e := r.error(t); !strings.Contains(e.Message, "quota_bytes") {
		t.Errorf("%q does not name the rule", e.Message)
	}
	w.must("PUT", "/photos/a", png)
	if n := w.blobCount(); n != 2 { // the one that was replaced waits for the sweeper
		t.Errorf("%d blobs, want 2", n)
	}
}
