package s3api_test

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"meridian/internal/sigv4"
	"meridian/metadata"
	"meridian/origin/s3api"
)

// A write may say which ETag must not be there, as readers may.
func TestWriteUnlessETag(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.must("PUT", "/bkt", nil)
	etag := w.must("PUT", "/bkt/key", []byte("one"), `If-None-Match: "aa"`).header.Get("ETag")
	w.refused(root, 412, "PreconditionFailed", "PUT", "/bkt/key", []byte("two"), "If-None-Match: "+etag)
	w.must("PUT", "/bkt/key", []byte("two"), `If-None-Match: "aa"`)
	w.must("PUT", "/bkt/key", []byte("three"), "If-None-Match: "+etag)
	w.refused(root, 501, "NotImplemented", "PUT", "/bkt/key", nil, "If-None-Match: *", "If-Match: *")

	etag = w.must("HEAD", "/bkt/key", nil).header.Get("ETag")
	path := "/bkt/key?uploadId=" + w.begin("/bkt/key")
	part := w.must("PUT", path+"&partNumber=1", []byte("four")).header.Get("ETag")
	list := []byte("<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>" + part + "</ETag></Part></CompleteMultipartUpload>")
	w.refused(root, 412, "PreconditionFailed", "POST", path, list, "If-None-Match: "+etag)
	w.must("POST", path, list, `If-None-Match: "aa"`)

	// It tells what is there, so it takes what reading does.
	w.must("PUT", "/bkt?policy", policyOf(allow("alice", "s3:PutObject", "bkt/*")))
	w.cannot(alice, "PUT", "/bkt/key", []byte("x"), `If-None-Match: "aa"`)
	w.refused(alice, 412, "PreconditionFailed", "PUT", "/bkt/key", []byte("x"), "If-None-Match: *")
	twice := w.request("PUT", "/bkt/key", []byte("x"))
	twice.Header["If-None-Match"] = []string{"", `"aa"`}
	w.sign(twice, alice)
	if r := w.send(twice); r.status != 403 {
		t.Errorf("behind an empty header the ETag was compared: %d %s", r.status, r.body)
	}
}

// holds checks that an answer holds a text.
func (w *world) holds(r reply, text string) {
	w.t.Helper()
	if !bytes.Contains(r.body, []byte(text)) {
		w.t.Errorf("%q is not in %s", text, r.body)
	}
}

// A delete may say how large a version must be, and when it was written.
func TestDeleteOfWhatIsLike(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, versioned := range []bool{false, true} {
		bucket := fmt.Sprintf("/bkt-%t", versioned)
		w.must("PUT", bucket, nil)
		if versioned {
			w.must("PUT", bucket+"?versioning", []byte(`<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>`))
		}
		put := func(key string) (modified, version string) {
			version = w.must("PUT", bucket+"/"+key, []byte("12345")).header.Get("x-amz-version-id")
			return w.must("HEAD", bucket+"/"+key, nil).header.Get("Last-Modified"), version
		}
		modified, _ := put("key")
		other := time.Unix(0, 0).UTC().Format(http.TimeFormat)
		for _, h := range [][]string{
			{"x-amz-if-match-size: 4"},
			{"x-amz-if-match-last-modified-time: " + other},
			{"x-amz-if-match-size: 5", "x-amz-if-match-last-modified-time: " + other},
			{"x-amz-if-match-size: 5", `If-Match: "aa"`},
		} {
			w.refused(root, 412, "PreconditionFailed", "DELETE", bucket+"/key", nil, h...)
		}
		w.refused(root, 400, "InvalidArgument", "DELETE", bucket+"/key", nil, "x-amz-if-match-size: many")
		w.refused(root, 400, "InvalidArgument", "DELETE", bucket+"/key", nil, "x-amz-if-match-last-modified-time: yesterday")
		w.must("GET", bucket+"/key", nil)
		w.must("DELETE", bucket+"/key", nil, "x-amz-if-match-size: 5", "x-amz-if-match-last-modified-time: "+modified)
		w.refused(root, 404, "NoSuchKey", "GET", bucket+"/key", nil)

		// What is not there is gone, and gets no delete marker either.
		w.must("DELETE", bucket+"/none", nil, "x-amz-if-match-size: 4")
		w.refused(root, 404, "NoSuchKey", "DELETE", bucket+"/none", nil, "x-amz-if-match-size: 4", "If-Match: *")
		if list := w.must("GET", bucket+"?versions&prefix=none", nil).body; bytes.Contains(list, []byte("<Key>")) {
			t.Errorf("versions: %s", list)
		}

		modified, version := put("many")
		target := func(more string) reply {
			body := []byte("<Delete><Object><Key>many</Key>" + more + "</Object></Delete>")
			return w.must("POST", bucket+"?delete", body, "Content-MD5: "+md5Of(body))
		}
		for _, wrong := range []string{"<Size>6</Size>", "<LastModifiedTime>" + other + "</LastModifiedTime>"} {
			w.holds(target(wrong), "<Code>PreconditionFailed</Code>")
			if versioned {
				w.holds(target("<VersionId>"+version+"</VersionId>"+wrong), "<Code>PreconditionFailed</Code>")
			}
		}
		w.holds(target("<Size>x</Size>"), "<Code>InvalidArgument</Code>")
		w.must("GET", bucket+"/many", nil)
		at, err := http.ParseTime(modified)
		if err != nil {
			t.Fatal(err)
		}
		w.holds(target("<Size>5</Size><LastModifiedTime>"+at.Format(time.RFC3339)+"</LastModifiedTime>"), "<Deleted><Key>many</Key>")
		w.refused(root, 404, "NoSuchKey", "GET", bucket+"/many", nil)
		if versioned { // the marker is what there is now
			w.refused(root, 412, "PreconditionFailed", "DELETE", bucket+"/many", nil, "x-amz-if-match-size: 5")
			w.must("DELETE", bucket+"/many?versionId="+version, nil, "x-amz-if-match-size: 5")
			w.must("DELETE", bucket+"/many?versionId="+version, nil, "x-amz-if-match-size: 4")
		}
	}
	w.must("PUT", "/bkt-false?policy", policyOf(allow("alice", "s3:DeleteObject", "bkt-false/*")))
	w.cannot(alice, "DELETE", "/bkt-false/key", nil, "x-amz-if-match-size: 5")
	signed := w.request("DELETE", "/bkt-false/key?x-amz-if-match-size=5", nil)
	sigv4.Signer{AccessKey: alice.key, Secret: alice.secret, Region: region}.Presign(signed, time.Minute, time.Now())
	if r := w.send(signed); r.status != 403 {
		t.Errorf("by a signed URL the size was compared: %d %s", r.status, r.body)
	}
	w.can(alice, "DELETE", "/bkt-false/key", nil)

	// What is told of a version takes what reading that version does.
	version := w.must("PUT", "/bkt-true/old", []byte("12345")).header.Get("x-amz-version-id")
	w.must("PUT", "/bkt-true/old", []byte("new"))
	named, size := "/bkt-true/old?versionId="+version, "x-amz-if-match-size: 6"
	many := []byte("<Delete><Object><Key>old</Key><VersionId>" + version + "</VersionId><Size>6</Size></Object></Delete>")
	w.must("PUT", "/bkt-true?policy", policyOf(allow("alice", "s3:DeleteObjectVersion s3:GetObject", "bkt-true/*")))
	w.cannot(alice, "DELETE", named, nil, size)
	w.holds(w.can(alice, "POST", "/bkt-true?delete", many, "Content-MD5: "+md5Of(many)), "<Code>AccessDenied</Code>")
	w.must("PUT", "/bkt-true?policy", policyOf(allow("alice", "s3:DeleteObjectVersion s3:GetObjectVersion", "bkt-true/*")))
	w.refused(alice, 412, "PreconditionFailed", "DELETE", named, nil, size)
	w.holds(w.can(alice, "POST", "/bkt-true?delete", many, "Content-MD5: "+md5Of(many)), "<Code>PreconditionFailed</Code>")
}

// overtaken is a catalogue in which somebody is quicker than who has looked up the
// version called null.
type overtaken struct {
	s3api.Catalog

	first *func()
}

func (o overtaken) Lookup(ctx context.Context, r metadata.Ref) (metadata.Version, error) {
	v, err := o.Catalog.Lookup(ctx, r)
	if f := *o.first; f != nil && r.VersionID == "null" {
		*o.first = nil
		f()
	}
	return v, err
}

// The version called null may be another by the time that it is deleted, which the
// condition was not about.
func TestDeleteOfANullVersionThatIsLike(t *testing.T) {
	t.Parallel()
	var first func()
	w := newWorld(t, func(o *s3api.Options) { o.Catalog = overtaken{o.Catalog, &first} })
	w.must("PUT", "/bkt", nil)
	w.must("PUT", "/bkt?versioning", []byte(`<VersioningConfiguration><Status>Suspended</Status></VersioningConfiguration>`))
	w.must("PUT", "/bkt/key", []byte("12345"))
	first = func() { w.must("PUT", "/bkt/key", []byte("another")) }
	w.must("DELETE", "/bkt/key?versionId=null", nil, "x-amz-if-match-size: 5")
	if body := w.must("GET", "/bkt/key", nil).body; string(body) != "another" {
		t.Errorf("what was put meanwhile is %q", body)
	}
	if r := w.must("DELETE", "/bkt/key?versionId=null", nil, "x-amz-if-match-size: 7"); r.header.Get("x-amz-version-id") != "null" {
		t.Errorf("%q was deleted", r.header.Get("x-amz-version-id"))
	}
	w.refused(root, 404, "NoSuchKey", "GET", "/bkt/key", nil)
}

// One key of many whose version there cannot be fails, and the others go.
func TestDeleteManyWithMalformedVersion(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.must("PUT", "/bkt", nil)
	w.must("PUT", "/bkt/a", []byte("x"))
	body := []byte("<Delete><Object><Key>a</Key><VersionId>garbage</VersionId></Object><Object><Key>b</Key></Object>" +
		"<Object><Key>c</Key><VersionId>01ARZ3NDEKTSV4RRFFQ69G5FAV</VersionId></Object></Delete>")
	r := w.must("POST", "/bkt?delete", body, "Content-MD5: "+md5Of(body))
	w.holds(r, "<Error><Key>a</Key><VersionId>garbage</VersionId><Code>NoSuchVersion</Code>")
	w.holds(r, "<Deleted><Key>b</Key></Deleted>")
	w.holds(r, "<Deleted><Key>c</Key>")
	w.must("GET", "/bkt/a", nil)
}

// A version ID of another server names no version here, but is well formed.
func TestVersionIDsOfOtherServers(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.must("PUT", "/bkt", nil)
	w.must("PUT", "/bkt/a", []byte("x"))
	for _, id := range []string{"4dc2f16f-6b67-4307-9f91-550d1780ec3b", "zWzF8uUy1bvPjvIjOMofwFPXZoRcn8G9", "KC0WuaPTHv7At3olS.BPuH.weAJqMkKJ", "deadbeefdeadbeefdeadbeefdeadbeef"} {
		w.refused(root, 404, "NoSuchVersion", "GET", "/bkt/a?versionId="+id, nil)
		w.refused(root, 404, "NoSuchVersion", "GET", "/bkt/a?tagging&versionId="+id, nil)
		w.refused(root, 404, "NoSuchVersion", "PUT", "/bkt/b", nil, "x-amz-copy-source: bkt/a?versionId="+id)
		w.must("DELETE", "/bkt/a?versionId="+id, nil)
		body := []byte("<Delete><Object><Key>a</Key><VersionId>" + id + "</VersionId></Object></Delete>")
		w.holds(w.must("POST", "/bkt?delete", body, "Content-MD5: "+md5Of(body)), "<Deleted><Key>a</Key>")
	}
	for _, id := range []string{"4dc2f16f-6b67-4307-9f91-550d1780ec3", "4dc2f16f+6b67-4307-9f91-550d1780ec3b", "4dc2f16f-6b67-4307-9f91-550d1780ecxx", "deadbeef/deadbeefdeadbeefdeadbee"} {
		w.refused(root, 400, "InvalidArgument", "GET", "/bkt/a?versionId="+id, nil)
		w.refused(root, 400, "InvalidArgument", "DELETE", "/bkt/a?versionId="+id, nil)
	}
	w.must("GET", "/bkt/a", nil)
}

// A presigned URL may name the checksum to be kept of what will come, and one that
// is good for no time has expired.
func TestPresignedExtremes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.must("PUT", "/bkt", nil)
	sign := func(method, path string, expires time.Duration) *http.Request {
		r := w.request(method, path, []byte("hello"))
		sigv4.Signer{AccessKey: root.key, Secret: root.secret, Region: region}.Presign(r, expires, time.Now())
		return r
	}
	if r := w.send(sign("PUT", "/bkt/key?X-Amz-Sdk-Checksum-Algorithm=SHA256", time.Minute)); r.status != 200 {
		t.Fatalf("%d %s", r.status, r.body)
	}
	if sum := w.must("HEAD", "/bkt/key", nil, "x-amz-checksum-mode: ENABLED").header.Get("x-amz-checksum-sha256"); !strings.HasPrefix(sum, "LPJNul+wow4m6DsqxbninhsW") {
		t.Errorf("checksum %q", sum)
	}
	if r := w.send(sign("PUT", "/bkt/key?X-Amz-Sdk-Checksum-Algorithm=SUM", time.Minute)); r.status != 400 {
		t.Errorf("%d %s", r.status, r.body)
	}
	// Where a checksum must be given, an algorithm is none.
	w.must("PUT", "/locked", nil, "x-amz-bucket-object-lock-enabled: true")
	if r := w.send(sign("PUT", "/locked/key?X-Amz-Sdk-Checksum-Algorithm=SHA256&x-amz-object-lock-legal-hold=ON", time.Minute)); r.status != 400 || !bytes.Contains(r.body, []byte("Content-MD5 OR")) {
		t.Errorf("%d %s", r.status, r.body)
	}
	if r := w.send(sign("PUT", "/bkt/key?tagging&X-Amz-Sdk-Checksum-Algorithm=SHA256", time.Minute)); r.status != 400 || !bytes.Contains(r.body, []byte("Content-MD5 OR")) {
		t.Errorf("%d %s", r.status, r.body)
	}
	if r := w.send(sign("GET", "/bkt/key", 0)); r.status != 403 || !strings.Contains(string(r.body), "Request has expired.") {
		t.Errorf("%d %s", r.status, r.body)
	}
}
