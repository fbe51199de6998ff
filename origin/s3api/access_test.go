package s3api_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"meridian/internal/sigv4"
)

// policyOf is a bucket policy of statements without their braces.
func policyOf(statements ...string) []byte {
	return []byte(`{"Version":"2012-10-17","Statement":[{` + strings.Join(statements, "},{") + `}]}`)
}

// allow is a statement that allows users (of which there may be none: everybody)
// actions on resources below bucket.
func allow(user, actions string, resources ...string) string {
	principal := `"*"`
	if user != "" {
		principal = `{"AWS":"arn:aws:iam:::user/` + user + `"}`
	}
	for i, r := range resources {
		resources[i] = "arn:aws:s3:::" + r
	}
	list, _ := json.Marshal(resources)
	all, _ := json.Marshal(strings.Fields(actions))
	return fmt.Sprintf(`"Effect":"Allow","Principal":%s,"Action":%s,"Resource":%s`, principal, all, list)
}

func deny(user, actions string, resources ...string) string {
	return strings.Replace(allow(user, actions, resources...), "Allow", "Deny", 1)
}

// can does a request that must succeed.
func (w *world) can(u user, method, path string, body []byte, headers ...string) reply {
	w.t.Helper()
	r := w.do(u, method, path, body, headers...)
	if r.status/100 != 2 {
		w.t.Errorf("%s may not %s %s: %d %s", u.key, method, path, r.status, r.body)
	}
	return r
}

func (w *world) cannot(u user, method, path string, body []byte, headers ...string) {
	w.t.Helper()
	w.refused(u, 403, "AccessDenied", method, path, body, headers...)
}

// A user owns the buckets that they make, and has nothing to do with those of
// others.
func TestUsersOwnTheirBuckets(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.can(alice, "PUT", "/hers", nil)
	w.can(bob, "PUT", "/his", nil)
	w.can(alice, "PUT", "/hers/k", []byte("hello"), "x-amz-tagging: a=b")
	for _, op := range []struct{ method, path string }{
		{"GET", "/hers/k"}, {"GET", "/hers/none"}, {"HEAD", "/hers/k"}, {"PUT", "/hers/k"}, {"DELETE", "/hers/k"}, {"GET", "/hers"}, {"HEAD", "/hers"},
		{"GET", "/hers?versions"}, {"GET", "/hers?uploads"}, {"POST", "/hers/k?uploads"}, {"GET", "/hers?policy"}, {"GET", "/hers?acl"},
		{"GET", "/hers/k?acl"}, {"GET", "/hers/k?tagging"}, {"PUT", "/hers?versioning"}, {"DELETE", "/hers"},
	} {
		w.cannot(bob, op.method, op.path, nil)
		w.cannot(user{}, op.method, op.path, nil)
	}
	w.refused(bob, 409, "BucketAlreadyExists", "PUT", "/hers", nil)
	w.refused(alice, 409, "BucketAlreadyOwnedByYou", "PUT", "/hers", nil)
	if list := w.can(alice, "GET", "/", nil).body; !bytes.Contains(list, []byte("hers")) || bytes.Contains(list, []byte("his")) {
		t.Errorf("alice's buckets: %s", list)
	}
	if list := w.must("GET", "/", nil).body; !bytes.Contains(list, []byte("hers")) || !bytes.Contains(list, []byte("his")) {
		t.Errorf("root's buckets: %s", list)
	}
	for _, u := range []user{root, writer, reader} { // by their role
		w.can(u, "GET", "/hers/k", nil)
	}
	w.cannot(reader, "PUT", "/hers/k2", []byte("x"))
	w.can(alice, "GET", "/hers?list-type=2", nil)
	w.can(alice, "DELETE", "/hers/k", nil)
	w.refused(alice, 404, "NoSuchKey", "GET", "/hers/k", nil)
	w.can(alice, "DELETE", "/hers", nil)
	w.cannot(user{}, "PUT", "/anew", nil)
	w.cannot(user{}, "GET", "/", nil)
}

// TestAnonymousAlwaysRefused checks the operations that need a user, whatever the
// policy of the bucket lets everybody do.
func TestAnonymousAlwaysRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.can(alice, "PUT", "/bkt", nil)
	w.can(alice, "PUT", "/bkt/k", []byte("k"))
	w.can(alice, "PUT", "/bkt?policy", policyOf(allow("", "s3:*", "bkt"), allow("", "s3:*", "bkt/*")))
	w.can(user{}, "PUT", "/bkt/new", []byte("anonymous"))
	for _, c := range []struct{ method, path, text string }{
		{"PUT", "/mine", "Please authenticate."}, {"PUT", "/bkt?acl", "Please authenticate."}, {"PUT", "/bkt/k?acl", "Please authenticate."},
		{"POST", "/bkt/k?select&select-type=2", "Please authenticate."}, {"POST", "/bkt/k?uploads", "initiate multipart uploads"},
		{"GET", "/bkt?ownershipControls", "s3:GetBucketOwnershipControls does not support Anonymous requests!"},
		{"DELETE", "/bkt?ownershipControls", "s3:PutBucketOwnershipControls does not support Anonymous requests!"},
	} {
		if r := w.do(user{}, c.method, c.path, nil); r.status != 403 || !strings.Contains(string(r.body), c.text) {
			t.Errorf("%s %s: %d %s", c.method, c.path, r.status, r.body)
		}
	}
	if r := w.do(user{}, "PUT", "/bkt/copy", nil, "x-amz-copy-source: bkt/k"); r.status != 403 || !strings.Contains(string(r.body), "cannot copy objects") {
		t.Errorf("copy: %d %s", r.status, r.body)
	}
	w.refused(user{}, 405, "MethodNotAllowed", "GET", "/bkt?policy", nil)
	w.refused(user{}, 405, "MethodNotAllowed", "PUT", "/bkt?policy", policyOf(allow("", "s3:*", "bkt")))
	w.refused(user{}, 405, "MethodNotAllowed", "DELETE", "/bkt?policy", nil)
	w.refused(alice, 501, "NotImplemented", "POST", "/bkt/k?select&select-type=2", nil)
}

// Whatever an operation does must be allowed, and everything that it does.
func TestActionsOfOperations(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.can(alice, "PUT", "/bkt", nil)
	w.can(alice, "PUT", "/src", nil)
	w.can(alice, "PUT", "/src/k", []byte("hello"))
	set := func(bucket string, statements ...string) {
		t.Helper()
		w.can(alice, "PUT", "/"+bucket+"?policy", policyOf(statements...))
	}
	// Copies read one object and write another.
	set("bkt", allow("bob", "s3:PutObject", "bkt/*"))
	w.cannot(bob, "PUT", "/bkt/copy", nil, "x-amz-copy-source: /src/k")
	set("src", allow("bob", "s3:GetObject", "src/*"))
	w.can(bob, "PUT", "/bkt/copy", nil, "x-amz-copy-source: /src/k")
	w.cannot(bob, "PUT", "/bkt/copy", nil, "x-amz-copy-source: /src/k?versionId=null")
	w.cannot(bob, "PUT", "/src/copy", nil, "x-amz-copy-source: /src/k")
	// Uploads take PutObject, but for what is about uploads only.
	begun := w.can(bob, "POST", "/bkt/up?uploads", nil)
	_, id, _ := strings.Cut(string(begun.body), "<UploadId>")
	id, _, _ = strings.Cut(id, "<")
	part := w.can(bob, "PUT", "/bkt/up?partNumber=1&uploadId="+id, []byte("hello"))
	w.can(bob, "PUT", "/bkt/up?partNumber=2&uploadId="+id, nil, "x-amz-copy-source: /src/k")
	w.can(alice, "PUT", "/bkt/hers", []byte("x"))
	w.cannot(bob, "PUT", "/bkt/up?partNumber=2&uploadId="+id, nil, "x-amz-copy-source: /bkt/hers")
	w.cannot(bob, "GET", "/bkt?uploads", nil)
	// Who began one may see and abort it, also where the object will be another's.
	w.can(bob, "GET", "/bkt/up?uploadId="+id, nil)
	w.can(alice, "PUT", "/bkt?ownershipControls", []byte("<OwnershipControls><Rule><ObjectOwnership>BucketOwnerEnforced</ObjectOwnership></Rule></OwnershipControls>"))
	begin := func(by user) string {
		return "/bkt/more?uploadId=" + between(string(w.can(by, "POST", "/bkt/more?uploads", nil).body), "<UploadId>", "</UploadId>")
	}
	his, hers := begin(bob), begin(alice)
	if list := string(w.can(bob, "GET", his, nil).body); !strings.Contains(list, "<Initiator><ID>bob</ID>") || !strings.Contains(list, "<Owner><ID>alice</ID>") {
		t.Errorf("his upload: %s", list)
	}
	w.cannot(bob, "GET", hers, nil)
	w.cannot(bob, "DELETE", hers, nil)
	w.cannot(reader, "DELETE", his, nil)
	w.can(bob, "DELETE", his, nil)
	w.can(alice, "DELETE", hers, nil)
	w.can(alice, "DELETE", "/bkt?ownershipControls", nil)
	w.can(bob, "POST", "/bkt/up?uploadId="+id, []byte(`<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>`+part.header.Get("ETag")+`</ETag></Part></CompleteMultipartUpload>`))
	// Of many keys each is asked for.
	set("bkt", allow("bob", "s3:DeleteObject", "bkt/mine/*"))
	w.can(alice, "PUT", "/bkt/mine/k", []byte("x"))
	body := []byte(`<Delete><Object><Key>mine/k</Key></Object><Object><Key>up</Key></Object><Object><Key>mine/v</Key><VersionId>null</VersionId></Object></Delete>`)
	r := w.can(bob, "POST", "/bkt?delete", body, "Content-MD5: "+md5Of(body))
	if s := string(r.body); !strings.Contains(s, "<Deleted><Key>mine/k</Key>") || strings.Count(s, "<Code>AccessDenied</Code>") != 2 {
		t.Errorf("DeleteObjects: %s", s)
	}
	w.can(root, "GET", "/bkt/up", nil)
	// Forms put as well.
	w.can(alice, "PUT", "/photos", nil)
	p := signedForm(bob, []string{`["starts-with","$key",""]`}, [2]string{"key", "form"})
	if r := w.post(p); r.status != 403 {
		t.Errorf("a form: %d %s", r.status, r.body)
	}
	set("photos", allow("bob", "s3:PutObject", "photos/form"))
	if r := w.post(p); r.status != 204 {
		t.Errorf("a form: %d %s", r.status, r.body)
	}
	// Who may not do one of the things that headers ask for does none.
	set("bkt", allow("bob", "s3:PutObject", "bkt/*"))
	for action, header := range map[string]string{"s3:PutObjectTagging": "x-amz-tagging: a=b", "s3:PutObjectAcl": "x-amz-grant-read: id=writer"} {
		w.cannot(bob, "PUT", "/bkt/k", []byte("x"), header)
		set("bkt", allow("bob", "s3:PutObject "+action, "bkt/*"))
		w.can(bob, "PUT", "/bkt/k", []byte("x"), header)
		set("bkt", allow("bob", "s3:PutObject", "bkt/*"))
	}
}

// A copy takes the tags of its source along, for which one must be allowed to read
// them and to set them; attributes tell of an object what reading it does.
func TestTagsAndAttributesTakeTheirOwnPermissions(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.can(alice, "PUT", "/src", nil)
	w.can(bob, "PUT", "/dst", nil)
	w.can(alice, "PUT", "/src/k", []byte("hello"), "x-amz-tagging: secret=yes")
	set := func(bucket string, u user, statements ...string) {
		t.Helper()
		w.can(u, "PUT", "/"+bucket+"?policy", policyOf(statements...))
	}
	set("src", alice, allow("bob", "s3:GetObject", "src/*"))
	w.cannot(bob, "PUT", "/dst/k", nil, "x-amz-copy-source: /src/k")
	w.can(bob, "PUT", "/dst/k", nil, "x-amz-copy-source: /src/k", "x-amz-tagging-directive: REPLACE")
	set("src", alice, allow("bob", "s3:GetObject s3:GetObjectTagging", "src/*"))
	w.can(bob, "PUT", "/dst/k", nil, "x-amz-copy-source: /src/k")
	set("dst", bob, allow("alice", "s3:PutObject", "dst/*"))
	w.cannot(alice, "PUT", "/dst/a", nil, "x-amz-copy-source: /src/k")
	set("dst", bob, allow("alice", "s3:PutObject s3:PutObjectTagging", "dst/*"), deny("alice", "s3:PutObject", "dst/*")+`,"Condition":{"StringEquals":{"s3:RequestObjectTag/secret":"yes"}}`)
	w.cannot(alice, "PUT", "/dst/a", nil, "x-amz-copy-source: /src/k")
	set("dst", bob, allow("alice", "s3:PutObject s3:PutObjectTagging", "dst/*"))
	w.can(alice, "PUT", "/dst/a", nil, "x-amz-copy-source: /src/k")

	set("src", alice, allow("bob", "s3:GetObjectAttributes", "src/*"))
	w.cannot(bob, "GET", "/src/k?attributes", nil, "x-amz-object-attributes: ETag")
	set("src", alice, allow("bob", "s3:GetObjectAttributes s3:GetObject", "src/*"))
	w.can(bob, "GET", "/src/k?attributes", nil, "x-amz-object-attributes: ETag")
}

// Whoever writes if an ETag is there learns whether it is, as a reader would; what
// an ACL gives to the owner of the bucket it gives to nobody else.
func TestConditionsAndGrantsTakeTheirOwnPermissions(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.can(alice, "PUT", "/bkt", nil)
	etag := w.can(alice, "PUT", "/bkt/k", []byte("x")).header.Get("ETag")
	w.can(alice, "PUT", "/bkt?policy", policyOf(allow("bob", "s3:PutObject s3:DeleteObject", "bkt/*")))
	body := []byte("<Delete><Object><Key>k</Key><ETag>" + etag + "</ETag></Object></Delete>")
	deletes := func() string {
		return string(w.can(bob, "POST", "/bkt?delete", body, "Content-MD5: "+md5Of(body)).body)
	}
	w.cannot(bob, "PUT", "/bkt/k", []byte("y"), "If-Match: "+etag)
	w.cannot(bob, "PUT", "/bkt/k", []byte("y"), `If-Match: "00000000000000000000000000000000"`)
	w.cannot(bob, "DELETE", "/bkt/k", nil, "If-Match: "+etag)
	if s := deletes(); !strings.Contains(s, "<Code>AccessDenied</Code>") {
		t.Errorf("DeleteObjects: %s", s)
	}
	w.can(bob, "DELETE", "/bkt/k", nil, "If-Match: *")
	w.can(alice, "PUT", "/bkt?policy", policyOf(allow("bob", "s3:PutObject s3:DeleteObject s3:GetObject", "bkt/*")))
	w.can(alice, "PUT", "/bkt/k", []byte("x"))
	w.can(bob, "PUT", "/bkt/k", []byte("x"), "If-Match: "+etag)
	if s := deletes(); !strings.Contains(s, "<Deleted><Key>k</Key>") {
		t.Errorf("DeleteObjects: %s", s)
	}

	for _, header := range []string{"x-amz-acl: bucket-owner-full-control", "x-amz-acl: private", "x-amz-grant-full-control: id=alice", "x-amz-grant-read: id=bob, id=alice"} {
		w.can(bob, "PUT", "/bkt/acl", []byte("x"), header)
	}
	for _, header := range []string{"x-amz-acl: public-read", "x-amz-grant-read: id=writer", "x-amz-grant-read: id=alice, uri=http://acs.amazonaws.com/groups/global/AllUsers", "x-amz-acl: open"} {
		w.cannot(bob, "PUT", "/bkt/acl", []byte("x"), header)
	}
}

// A presigned URL that says a header twice, in two cases, means one of the two:
// that which the policy was asked about.
func TestPresignedHeaderInTwoCases(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.can(alice, "PUT", "/bkt", nil)
	w.can(alice, "PUT", "/bkt?policy", policyOf(allow("bob", "s3:PutObject", "bkt/*")+`,"Condition":{"StringEquals":{"s3:x-amz-storage-class":"STANDARD_IA"}}`))
	for range 16 {
		r := w.request("PUT", "/bkt/k?X-Amz-Storage-Class=STANDARD_IA&x-amz-storage-class=REDUCED_REDUNDANCY", []byte("x"))
		sigv4.Signer{AccessKey: bob.key, Secret: bob.secret, Region: region}.Presign(r, time.Hour, time.Now())
		if got := w.send(r); got.status != 200 {
			t.Fatalf("put: %d %s", got.status, got.body)
		}
		if class := w.can(root, "HEAD", "/bkt/k", nil).header.Get("X-Amz-Storage-Class"); class != "STANDARD_IA" {
			t.Fatalf("storage class %s", class)
		}
	}
}

// Who may delete nothing is not asked for a list of what.
func TestAnonymousDeleteOfMany(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.can(alice, "PUT", "/bkt", nil)
	w.can(alice, "PUT", "/bkt/k", []byte("x"))
	body, sum := summed("<Delete><Object><Key>k</Key></Object></Delete>")
	for _, b := range [][]byte{body, []byte("no XML")} {
		w.cannot(user{}, "POST", "/bkt?delete", b, "Content-MD5: "+md5Of(b))
	}
	w.can(alice, "PUT", "/bkt?policy", policyOf(allow("", "s3:DeleteObject", "bkt/k")))
	if r := w.can(user{}, "POST", "/bkt?delete", body, sum); !strings.Contains(string(r.body), "<Deleted><Key>k</Key>") {
		t.Errorf("with a policy: %s", r.body)
	}
}
