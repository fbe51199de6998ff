package s3api_test

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sync/errgroup"

	"meridian/origin/s3api"
	"meridian/upload"
)

// begin starts an upload and returns its ID.
func (w *world) begin(path string, headers ...string) string {
	w.t.Helper()
	return between(string(w.must("POST", path+"?uploads", nil, headers...).body), "<UploadId>", "</UploadId>")
}

// What is wrong with a request is told in the order in which S3 looks at it.
func TestPartsRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.must("PUT", "/bkt", nil)
	w.must("PUT", "/bkt/src", []byte("source"))
	for _, tt := range []struct{ method, query string }{
		{"PUT", "?partNumber=1&uploadId=none"}, {"GET", "?uploadId=none"}, {"DELETE", "?uploadId=none"},
	} {
		w.refused(root, 404, "NoSuchBucket", tt.method, "/missing/k"+tt.query, nil)
		w.refused(root, 404, "NoSuchUpload", tt.method, "/bkt/k"+tt.query, nil)
	}
	at := "/bkt/k?partNumber=1&uploadId="
	w.refused(root, 400, "InvalidArgument", "PUT", at+"none", nil, "x-amz-copy-source: nonsense")
	w.refused(root, 404, "NoSuchBucket", "GET", "/missing/k?attributes", nil)

	id := w.begin("/bkt/k", "x-amz-checksum-algorithm: SHA256", "x-amz-checksum-type: COMPOSITE")
	r := w.refused(root, 400, "InvalidRequest", "PUT", at+id, []byte("x"))
	w.says(r, "Checksum Type mismatch occurred, expected checksum Type: SHA256, actual checksum Type: null")
	r = w.refused(root, 400, "InvalidRequest", "PUT", at+id, []byte("x"), "x-amz-checksum-crc32: jNxNgw==")
	if e := r.error(t); !strings.HasSuffix(e.Message, "actual checksum Type: CRC32") {
		t.Errorf("message %q", e.Message)
	}
	if got := string(w.must("PUT", at+id, nil, "x-amz-copy-source: bkt/src").body); !strings.Contains(got, "<ChecksumSHA256>") {
		t.Errorf("copied into an upload with checksums: %s", got)
	}
	id = w.begin("/bkt/k")
	if got := string(w.must("PUT", at+id, nil, "x-amz-copy-source: bkt/src").body); strings.Contains(got, "<Checksum") {
		t.Errorf("copied into an upload without checksums: %s", got)
	}
	for _, tt := range []struct{ path, code string }{{at + id, "AccessDenied"}, {"/bkt/copy", "AccessDenied"}} {
		w.refused(root, 403, tt.code, "PUT", tt.path, nil, "x-amz-copy-source: bkt/src", "x-amz-source-expected-bucket-owner: somebody")
		w.must("PUT", tt.path, nil, "x-amz-copy-source: bkt/src", "x-amz-source-expected-bucket-owner: root")
	}
	w.refused(root, 400, "MalformedXML", "POST", "/bkt/k?uploadId="+id, nil)
	w.refused(root, 400, "InvalidRequest", "PUT", "/bkt/copy", nil, "x-amz-copy-source: bkt/missing", "x-amz-checksum-algorithm: CRC99")
}

// As many parts as S3 takes. TEST_LONG=1 does it; else a few, as many as make
// three pages of a listing.
func TestManyParts(t *testing.T) {
	t.Parallel()
	n := 210
	if os.Getenv("TEST_LONG") != "" {
		n = s3api.MaxParts
	}
	w := newWorld(t, func(o *s3api.Options) {
		u := o.Uploads.Options
		u.MinPart = 1
		o.Uploads = upload.New(u)
	})
	w.must("PUT", "/bkt", nil)
	id := w.begin("/bkt/k")
	var body strings.Builder
	var group errgroup.Group
	group.SetLimit(16)
	etags := make([]string, n)
	for i := range n {
		part := strconv.Itoa(i) + ";"
		body.WriteString(part)
		group.Go(func() error {
			r := w.do(root, "PUT", fmt.Sprintf("/bkt/k?partNumber=%d&uploadId=%s", i+1, id), []byte(part))
			if r.status != 200 {
				return fmt.Errorf("part %d: %d %s", i+1, r.status, r.body)
			}
			etags[i] = r.header.Get("ETag")
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
	seen, after := 0, "0"
	for {
		page := string(w.must("GET", "/bkt/k?uploadId="+id+"&max-parts=100&part-number-marker="+after, nil).body)
		seen += strings.Count(page, "<Part>")
		if !strings.Contains(page, "<IsTruncated>true") {
			break
		}
		after = between(page, "<NextPartNumberMarker>", "<")
	}
	if seen != n {
		t.Errorf("%d parts listed, want %d", seen, n)
	}
	var request strings.Builder
	for i, etag := range etags {
		fmt.Fprintf(&request, "<Part><PartNumber>%d</PartNumber><ETag>%s</ETag></Part>", i+1, etag)
	}
	complete := []byte("<CompleteMultipartUpload>" + request.String() + "</CompleteMultipartUpload>")
	first := w.must("POST", "/bkt/k?uploadId="+id, complete)
	if again := w.must("POST", "/bkt/k?uploadId="+id, complete); between(string(again.body), "<ETag>", "<") != between(string(first.body), "<ETag>", "<") {
		t.Errorf("completed again: %s", again.body)
	}
	if got := w.must("GET", "/bkt/k", nil); string(got.body) != body.String() {
		t.Errorf("%d bytes came back, want %d", len(got.body), body.Len())
	}
	last := w.must("GET", fmt.Sprintf("/bkt/k?partNumber=%d", n), nil)
	if string(last.body) != strconv.Itoa(n-1)+";" || last.header.Get("X-Amz-Mp-Parts-Count") != strconv.Itoa(n) {
		t.Errorf("the last part: %q %v", last.body, last.header)
	}
	attrs := string(w.must("GET", "/bkt/k?attributes", nil, "x-amz-object-attributes: ObjectParts", "x-amz-max-parts: 2", "x-amz-part-number-marker: 3").body)
	if between(attrs, "<PartsCount>", "<") != strconv.Itoa(n) || strings.Count(attrs, "<Part>") != 2 || between(attrs, "<NextPartNumberMarker>", "<") != "5" {
		t.Errorf("attributes: %s", attrs)
	}
}
