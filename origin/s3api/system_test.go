package s3api_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"meridian/internal/hop"
	"meridian/internal/sigv4"
	"meridian/metadata"
)

// Nodes alone use the system's bucket, and it alone do they write to.
func TestSystemBucket(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const bucket = "/" + metadata.RenditionBucket
	const path = bucket + "/photos/01A/faststart.mp4"
	w.must(http.MethodPut, "/photos", nil)
	w.refused(root, 403, "AccessDenied", http.MethodPut, bucket, nil)
	w.refused(node, 403, "AccessDenied", http.MethodPut, bucket, nil)
	if _, err := w.catalog.CreateBucket(t.Context(), metadata.Bucket{
		Name: metadata.RenditionBucket, Region: region, Visibility: metadata.PublicRead, Owner: metadata.SystemOwner,
	}); err != nil {
		t.Fatal(err)
	}
	if r := w.do(node, http.MethodPut, path, []byte("film")); r.status != 200 {
		t.Fatalf("a node's write: %d %s", r.status, r.body)
	}
	if r := w.do(node, http.MethodGet, path, nil); r.status != 200 || string(r.body) != "film" {
		t.Errorf("a node's read: %d %q", r.status, r.body)
	}
	// What a node says is in its signature: nobody adds to it, nor hands it on.
	added := w.request(http.MethodGet, path, nil)
	sigv4.Signer{AccessKey: node.key, Secret: node.secret, Region: region}.Sign(added, sigv4.UnsignedPayload, time.Now())
	added.Header.Set(hop.RequestLocal, "1")
	presigned := w.request(http.MethodGet, path, nil)
	sigv4.Signer{AccessKey: node.key, Secret: node.secret, Region: region}.Presign(presigned, time.Hour, time.Now())
	for what, r := range map[string]*http.Request{"with a header added": added, "presigned": presigned} {
		if got := w.send(r); got.status != 403 {
			t.Errorf("a node's request %s: %d", what, got.status)
		}
	}
	for _, u := range []user{{}, root, writer, reader} {
		for method, path := range map[string]string{
			"GET": path, "HEAD": path, "PUT": path, "DELETE": path, "POST": path + "?uploads",
		} {
			w.refused(u, 403, "AccessDenied", method, path, []byte("mine"))
		}
		for _, query := range []string{"", "?list-type=2", "?versions", "?uploads", "?location", "?acl"} {
			w.refused(u, 403, "AccessDenied", http.MethodGet, bucket+query, nil)
		}
		w.refused(u, 403, "AccessDenied", http.MethodDelete, bucket, nil)
		w.refused(u, 403, "AccessDenied", http.MethodPost, bucket+"?delete", []byte("<Delete/>"))
	}
	w.refused(root, 403, "AccessDenied", http.MethodPut, "/photos/copy.mp4", nil, "X-Amz-Copy-Source: "+path)
	begun := w.must(http.MethodPost, "/photos/copy.mp4?uploads", nil)
	_, id, _ := strings.Cut(string(begun.body), "<UploadId>")
	id, _, _ = strings.Cut(id, "<")
	w.refused(root, 403, "AccessDenied", http.MethodPut, "/photos/copy.mp4?partNumber=1&uploadId="+id, nil, "X-Amz-Copy-Source: "+path)
	w.refused(node, 403, "AccessDenied", http.MethodPut, "/photos/a.mp4", []byte("film"))
	w.refused(node, 403, "AccessDenied", http.MethodPost, bucket+"?delete", []byte("<Delete/>"))
	if list := w.must(http.MethodGet, "/", nil).body; strings.Contains(string(list), metadata.RenditionBucket) || !strings.Contains(string(list), "photos") {
		t.Errorf("buckets: %s", list)
	}
}
