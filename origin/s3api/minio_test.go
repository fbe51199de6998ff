package s3api_test

import (
	"strings"
	"testing"

	"github.com/minio/minio-go/v7/pkg/lifecycle"
)

// What MinIO's clients set beside S3 is honoured, or refused in words that say
// what to do.
func TestHabitsOfMinIO(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.must("PUT", "/bkt", nil)
	c := w.minio(root)
	config := lifecycle.NewConfiguration()
	config.Rules = []lifecycle.Rule{
		{ID: "all", Status: "Enabled", Expiration: lifecycle.Expiration{Days: 3, DeleteAll: true}},
		{ID: "hidden", Status: "Enabled", DelMarkerExpiration: lifecycle.DelMarkerExpiration{Days: 4}},
		{ID: "newest", Status: "Enabled", NoncurrentVersionExpiration: lifecycle.NoncurrentVersionExpiration{NewerNoncurrentVersions: 5}},
	}
	if err := c.SetBucketLifecycle(t.Context(), "bkt", config); err != nil {
		t.Fatal(err)
	}
	got, err := c.GetBucketLifecycle(t.Context(), "bkt")
	if err != nil || len(got.Rules) != 3 || !bool(got.Rules[0].Expiration.DeleteAll) || got.Rules[1].DelMarkerExpiration.Days != 4 ||
		got.Rules[2].NoncurrentVersionExpiration.NewerNoncurrentVersions != 5 {
		t.Errorf("%+v, %v", got, err)
	}
	for _, r := range []struct{ method, path, body, word string }{
		{"PUT", "/bkt?versioning", "<VersioningConfiguration><Status>Enabled</Status><ExcludedPrefixes><Prefix>tmp/*</Prefix></ExcludedPrefixes></VersioningConfiguration>", "ExcludedPrefixes"},
		{"PUT", "/bkt?versioning", "<VersioningConfiguration><Status>Enabled</Status><ExcludeFolders>true</ExcludeFolders></VersioningConfiguration>", "ExcludeFolders"},
		{"PUT", "/bkt?replication", "<ReplicationConfiguration/>", "placement"},
		{"GET", "/bkt?events=s3:ObjectCreated:*&ping=10", "", "webhook"},
		{"GET", "/minio/admin/v3/info", "", "metadata API"},
		{"PUT", "/minio/admin/v3/add-user?accessKey=x", "", "metadata API"},
		{"POST", "/bkt/key?select&select-type=2", "", "filter"},
		{"POST", "/bkt/key?restore", "", "storage class"},
	} {
		reply := w.refused(root, 501, "NotImplemented", r.method, r.path, []byte(r.body))
		if e := reply.error(t); !strings.Contains(e.Message, r.word) {
			t.Errorf("%s %s: %q does not tell of %q", r.method, r.path, e.Message, r.word)
		}
	}
	if versioning := w.must("GET", "/bkt?versioning", nil).body; strings.Contains(string(versioning), "Enabled") {
		t.Errorf("versioning: %s", versioning)
	}
	w.must("PUT", "/bkt?versioning", []byte("<VersioningConfiguration><Status>Enabled</Status><ExcludeFolders>false</ExcludeFolders></VersioningConfiguration>"))
}

// The health checks of deployments of MinIO work, unless there is a bucket that is
// called so.
func TestHealthAsMinIOTellsIt(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, path := range []string{"live", "ready", "cluster", "cluster/read"} {
		for _, method := range []string{"GET", "HEAD"} {
			if r := w.do(user{}, method, "/minio/health/"+path, nil); r.status != 200 || len(r.body) > 0 {
				t.Errorf("%s %s: %d %s", method, path, r.status, r.body)
			}
		}
	}
	w.refused(user{}, 404, "NoSuchBucket", "GET", "/minio/health/other", nil)
	w.refused(user{root.key, "wrong"}, 501, "NotImplemented", "GET", "/minio/admin/v3/info", nil)
	w.refused(user{}, 404, "NoSuchBucket", "GET", "/minio2/health/live", nil)
	w.must("PUT", "/minio", nil)
	etag := w.must("PUT", "/minio/admin/v3/info", []byte("mine")).header.Get("ETag")
	if r := w.do(root, "GET", "/minio/admin/v3/info", nil, "If-None-Match: "+etag); r.status != 304 {
		t.Errorf("what has not changed is answered with %d %s", r.status, r.body)
	}
	w.refused(root, 412, "PreconditionFailed", "GET", "/minio/admin/v3/info", nil, `If-Match: "aa"`)
	w.refused(user{root.key, "wrong"}, 403, "SignatureDoesNotMatch", "GET", "/minio/admin/v3/info", nil)
	w.cannot(user{}, "GET", "/minio/health/live", nil)
	w.refused(root, 404, "NoSuchKey", "GET", "/minio/health/live", nil)
	w.must("GET", "/minio/admin/v3/info", nil)
	w.cannot(user{}, "GET", "/minio/admin/v3/info", nil)
}
