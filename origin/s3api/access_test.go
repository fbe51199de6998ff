package s3api_test

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

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

func TestBucketPolicy(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.can(alice, "PUT", "/bkt", nil)
	w.can(alice, "PUT", "/bkt/in/k", []byte("in"))
	w.can(alice, "PUT", "/bkt/out/k", []byte("out"))
	w.refused(alice, 404, "NoSuchBucketPolicy", "GET", "/bkt?policy", nil)
	w.refused(alice, 404, "NoSuchBucketPolicy", "GET", "/bkt?policyStatus", nil)
	w.refused(alice, 404, "NoSuchBucket", "PUT", "/none?policy", policyOf(allow("", "s3:GetObject", "none/*")))

	text := policyOf(allow("bob", "s3:GetObject s3:PutObject", "bkt/in/*"), allow("bob", "s3:ListBucket", "bkt")+`,"Condition":{"StringLike":{"s3:prefix":"in/*"}}`,
		deny("", "s3:*", "bkt/in/secret*"))
	if r := w.can(alice, "PUT", "/bkt?policy", text); r.status != http.StatusNoContent {
		t.Errorf("PutBucketPolicy: %d", r.status)
	}
	if r := w.can(alice, "GET", "/bkt?policy", nil); !bytes.Equal(r.body, text) || r.header.Get("Content-Type") != "application/json" {
		t.Errorf("GetBucketPolicy: %s", r.body)
	}
	w.can(bob, "GET", "/bkt/in/k", nil)
	w.can(bob, "HEAD", "/bkt/in/k", nil)
	w.can(bob, "PUT", "/bkt/in/new", []byte("x"))
	w.can(bob, "GET", "/bkt?list-type=2&prefix=in/", nil)
	w.refused(bob, 404, "NoSuchKey", "GET", "/bkt/in/none", nil) // which he could list
	w.cannot(bob, "GET", "/bkt/out/none", nil)
	w.cannot(bob, "GET", "/bkt/out/k", nil)
	w.cannot(bob, "GET", "/bkt?list-type=2&prefix=out/", nil)
	w.cannot(bob, "GET", "/bkt?list-type=2", nil)
	w.cannot(bob, "DELETE", "/bkt/in/k", nil)
	w.cannot(user{}, "GET", "/bkt/in/k", nil)
	w.cannot(bob, "PUT", "/bkt/in/tagged", []byte("x"), "x-amz-tagging: a=b")
	w.cannot(bob, "PUT", "/bkt/in/open", []byte("x"), "x-amz-acl: public-read")
	w.cannot(bob, "GET", "/bkt?policy", nil)
	// What is denied is denied to whoever is not root, and said so.
	for _, u := range []user{alice, bob, writer, reader} {
		r := w.refused(u, 403, "AccessDenied", "GET", "/bkt/in/secret", nil)
		if m := r.error(t).Message; !strings.Contains(m, `is not authorized to perform: s3:GetObject on resource: "arn:aws:s3:::bkt/in/secret" with an explicit deny in a resource-based policy`) {
			t.Errorf("denied: %q", m)
		}
	}
	w.can(root, "PUT", "/bkt/in/secret", []byte("x"))

	w.can(alice, "PUT", "/bkt?policy", policyOf(allow("", "s3:GetObject", "bkt/*"), deny("", "s3:*", "bkt")))
	w.can(user{}, "GET", "/bkt/out/k", nil)
	w.cannot(user{}, "PUT", "/bkt/out/k", []byte("x"))
	w.cannot(alice, "GET", "/bkt", nil)
	if r := w.can(root, "GET", "/bkt?policyStatus", nil); !bytes.Contains(r.body, []byte("<IsPublic>true</IsPublic>")) {
		t.Errorf("status: %s", r.body)
	}
	w.can(alice, "DELETE", "/bkt?policy", nil) // the owner can always mend it
	w.cannot(user{}, "GET", "/bkt/out/k", nil)
	w.can(alice, "GET", "/bkt", nil)
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

func TestPoliciesThatAreRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.can(alice, "PUT", "/bkt", nil)
	for text, want := range map[string]string{
		"nonsense":         "Policies must be valid JSON and the first byte must be '{'",
		`{"Statement":[]}`: "Could not parse the policy: Statement is empty!",
		string(policyOf(allow("nobody", "s3:GetObject", "bkt/*"))):                         "Invalid principal in policy",
		string(policyOf(allow("bob", "s3:Fly", "bkt/*"))):                                  "Policy has invalid action",
		string(policyOf(allow("bob", "s3:GetObject", "other/*"))):                          "Policy has invalid resource",
		string(policyOf(allow("bob", "s3:GetObject", "bkt"))):                              "Action does not apply to any resource(s) in statement",
		string(policyOf(allow("bob", "s3:GetObject", "bkt/*") + `,"Odd":"x"`)):             "Unknown field Odd",
		string(policyOf(allow("bob", "s3:GetObject", "bkt/"+strings.Repeat("x", 20<<10)))): "Policy exceeds the maximum allowed document size.",
	} {
		if e := w.refused(alice, 400, "MalformedPolicy", "PUT", "/bkt?policy", []byte(text)).error(t); e.Message != want {
			t.Errorf("%.80s: %q, want %q", text, e.Message, want)
		}
	}
	w.refused(alice, 404, "NoSuchBucketPolicy", "GET", "/bkt?policy", nil)
}

// Conditions see what S3 says of the request.
func TestPolicyConditions(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.can(alice, "PUT", "/bkt", nil)
	w.can(alice, "PUT", "/bkt/k", []byte("hello"), "x-amz-tagging: class=open")
	w.can(alice, "PUT", "/bkt/closed", []byte("hello"), "x-amz-tagging: class=closed")
	version := func() string {
		w.t.Helper()
		return url.QueryEscape("null")
	}()
	for name, c := range map[string]struct {
		action, condition   string
		method, path        string
		can, cannot, common []string // headers
	}{
		"referer": {"s3:GetObject", `{"StringLike":{"aws:Referer":"http://app.test/*"}}`, "GET", "/bkt/k",
			[]string{"Referer: http://app.test/x"}, []string{"Referer: http://evil.test/"}, nil},
		"no referer": {"s3:GetObject", `{"StringLike":{"aws:Referer":"http://app.test/*"}}`, "GET", "/bkt/k",
			[]string{"Referer: http://app.test/x"}, nil, nil},
		"user agent":    {"s3:GetObject", `{"StringEquals":{"aws:UserAgent":"good"}}`, "GET", "/bkt/k", []string{"User-Agent: good"}, []string{"User-Agent: bad"}, nil},
		"storage class": {"s3:PutObject", `{"StringEquals":{"s3:x-amz-storage-class":"STANDARD_IA"}}`, "PUT", "/bkt/new", []string{"x-amz-storage-class: STANDARD_IA"}, []string{"x-amz-storage-class: STANDARD"}, nil},
		"request tags": {"s3:PutObject s3:PutObjectTagging", `{"StringEquals":{"s3:RequestObjectTag/a":"b"},"ForAllValues:StringEquals":{"s3:RequestObjectTagKeys":["a","c"]}}`, "PUT", "/bkt/new",
			[]string{"x-amz-tagging: a=b&c=d"}, []string{"x-amz-tagging: a=b&e=f"}, nil},
		"an ACL by name": {"s3:PutObject s3:PutObjectAcl", `{"StringEquals":{"s3:x-amz-acl":"bucket-owner-full-control"}}`, "PUT", "/bkt/new",
			[]string{"x-amz-acl: bucket-owner-full-control"}, []string{"x-amz-acl: public-read"}, nil},
		"copy source": {"s3:PutObject s3:GetObject", `{"StringLikeIfExists":{"s3:x-amz-copy-source":"bkt/k"}}`, "PUT", "/bkt/copy",
			[]string{"x-amz-copy-source: /bkt/k"}, []string{"x-amz-copy-source: /bkt/closed"}, nil},
	} {
		action := c.action
		statement := allow("bob", action, "bkt/*")
		if strings.Contains(action, "GetObject") && strings.Contains(action, "PutObject") {
			w.can(alice, "PUT", "/bkt?policy", policyOf(allow("bob", "s3:GetObject s3:GetObjectTagging s3:PutObjectTagging", "bkt/*"), allow("bob", "s3:PutObject", "bkt/*")+`,"Condition":`+c.condition))
		} else {
			w.can(alice, "PUT", "/bkt?policy", policyOf(statement+`,"Condition":`+c.condition))
		}
		var body []byte
		if c.method == "PUT" && !strings.Contains(name, "copy") {
			body = []byte("x")
		}
		if r := w.do(bob, c.method, c.path, body, c.can...); r.status != 200 {
			t.Errorf("%s: %d %s", name, r.status, r.body)
		}
		w.cannot(bob, c.method, c.path, body, c.cannot...)
	}
	set := func(condition, action string) {
		t.Helper()
		w.can(alice, "PUT", "/bkt?policy", policyOf(allow("bob", action, "bkt/*", "bkt")+`,"Condition":`+condition))
	}
	set(`{"StringEquals":{"s3:ExistingObjectTag/class":"open"}}`, "s3:GetObject")
	w.can(bob, "GET", "/bkt/k", nil)
	w.cannot(bob, "GET", "/bkt/closed", nil)
	w.cannot(bob, "GET", "/bkt/none", nil)
	set(`{"StringEquals":{"s3:VersionId":"`+version+`"}}`, "s3:GetObjectVersion")
	w.can(bob, "GET", "/bkt/k?versionId="+version, nil)
	w.cannot(bob, "GET", "/bkt/k", nil)
	set(`{"NumericLessThanEquals":{"s3:max-keys":"5"}}`, "s3:ListBucket")
	w.can(bob, "GET", "/bkt?max-keys=5", nil)
	w.cannot(bob, "GET", "/bkt?max-keys=6", nil)
	w.cannot(bob, "GET", "/bkt", nil)
	set(`{"IpAddress":{"aws:SourceIp":["127.0.0.0/8","::1"]}}`, "s3:GetObject")
	w.can(bob, "GET", "/bkt/k", nil)
	set(`{"NotIpAddress":{"aws:SourceIp":["127.0.0.0/8","::1"]}}`, "s3:GetObject")
	w.cannot(bob, "GET", "/bkt/k", nil)
	set(`{"Bool":{"aws:SecureTransport":"true"}}`, "s3:GetObject")
	w.cannot(bob, "GET", "/bkt/k", nil)
	if _, err := w.awsTLS(bob).GetObject(t.Context(), &s3.GetObjectInput{Bucket: aws.String("bkt"), Key: aws.String("k")}); err != nil {
		t.Errorf("over TLS: %v", err)
	}
	set(`{"DateGreaterThan":{"aws:CurrentTime":"2100-01-01T00:00:00Z"}}`, "s3:GetObject")
	w.cannot(bob, "GET", "/bkt/k", nil)
	set(`{"StringEquals":{"aws:username":"bob","aws:PrincipalType":"User","s3:authType":"REST-HEADER","s3:signatureversion":"AWS4-HMAC-SHA256"}}`, "s3:GetObject")
	w.can(bob, "GET", "/bkt/k", nil)
	set(`{"NumericLessThan":{"s3:signatureAge":"60000"}}`, "s3:GetObject")
	w.cannot(bob, "GET", "/bkt/k", nil)
	for age, want := range map[time.Duration]int{0: 200, 2 * time.Minute: 403} {
		r := w.request("GET", "/bkt/k", nil)
		sigv4.Signer{AccessKey: bob.key, Secret: bob.secret, Region: region}.Presign(r, time.Hour, time.Now().Add(-age))
		if got := w.send(r); got.status != want {
			t.Errorf("presigned %v ago: %d %s", age, got.status, got.body)
		}
	}
	w.can(alice, "PUT", "/bkt?policy", policyOf(allow("", "s3:GetObject s3:PutObject", "bkt/home/${aws:username}/*")))
	w.can(bob, "PUT", "/bkt/home/bob/k", []byte("x"))
	w.cannot(bob, "PUT", "/bkt/home/eve/k", []byte("x"))
	w.cannot(user{}, "GET", "/bkt/home/bob/k", nil)
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

func TestPublicAccessBlock(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.can(alice, "PUT", "/bkt", nil)
	w.can(alice, "PUT", "/bkt/open", []byte("x"), "x-amz-acl: public-read")
	w.can(alice, "PUT", "/bkt/k", []byte("x"))
	w.refused(alice, 404, "NoSuchPublicAccessBlockConfiguration", "GET", "/bkt?publicAccessBlock", nil)
	block := func(which ...string) {
		t.Helper()
		body := "<PublicAccessBlockConfiguration>"
		for _, name := range which {
			body += "<" + name + ">true</" + name + ">"
		}
		w.can(alice, "PUT", "/bkt?publicAccessBlock", []byte(body+"</PublicAccessBlockConfiguration>"))
	}
	open := policyOf(allow("", "s3:GetObject", "bkt/*"))

	block("BlockPublicPolicy")
	w.cannot(alice, "PUT", "/bkt?policy", open)
	w.can(alice, "PUT", "/bkt?policy", policyOf(allow("bob", "s3:GetObject", "bkt/*")))
	w.can(bob, "GET", "/bkt/k", nil)
	block("BlockPublicAcls")
	w.cannot(alice, "PUT", "/bkt/new", []byte("x"), "x-amz-acl: public-read")
	w.cannot(alice, "PUT", "/bkt/k?acl", nil, "x-amz-acl: authenticated-read")
	w.cannot(alice, "PUT", "/bkt?acl", nil, "x-amz-acl: public-read-write")
	w.can(alice, "PUT", "/bkt/new", []byte("x"), "x-amz-acl: private")
	w.can(user{}, "GET", "/bkt/open", nil) // what there is stays
	block("IgnorePublicAcls")
	w.cannot(user{}, "GET", "/bkt/open", nil)
	w.can(alice, "PUT", "/bkt?acl", nil, "x-amz-acl: public-read")
	w.cannot(user{}, "GET", "/bkt", nil)
	block("RestrictPublicBuckets")
	w.can(user{}, "GET", "/bkt", nil)
	w.can(alice, "PUT", "/bkt?policy", open)
	w.cannot(user{}, "GET", "/bkt/k", nil)
	w.can(alice, "GET", "/bkt/k", nil)
	w.can(writer, "GET", "/bkt/k", nil)
	got := w.can(alice, "GET", "/bkt?publicAccessBlock", nil).body
	if !bytes.Contains(got, []byte("<RestrictPublicBuckets>true</RestrictPublicBuckets>")) || !bytes.Contains(got, []byte("<BlockPublicAcls>false</BlockPublicAcls>")) {
		t.Errorf("GetPublicAccessBlock: %s", got)
	}
	if r := w.can(alice, "DELETE", "/bkt?publicAccessBlock", nil); r.status != http.StatusNoContent {
		t.Errorf("DeletePublicAccessBlock: %d", r.status)
	}
	w.can(user{}, "GET", "/bkt/k", nil)
	w.refused(alice, 400, "MalformedXML", "PUT", "/bkt?publicAccessBlock", []byte("<Other/>"))
	w.cannot(bob, "PUT", "/bkt?publicAccessBlock", []byte("<PublicAccessBlockConfiguration/>"))
}

func TestOwnershipControls(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.can(alice, "PUT", "/bkt", nil)
	w.refused(alice, 404, "OwnershipControlsNotFoundError", "GET", "/bkt?ownershipControls", nil)
	set := func(ownership string) []byte {
		return []byte("<OwnershipControls><Rule><ObjectOwnership>" + ownership + "</ObjectOwnership></Rule></OwnershipControls>")
	}
	w.refused(alice, 400, "MalformedXML", "PUT", "/bkt?ownershipControls", set("Mine"))
	w.refused(alice, 400, "MalformedXML", "PUT", "/bkt?ownershipControls", []byte("<OwnershipControls/>"))
	w.refused(alice, 404, "NoSuchBucket", "PUT", "/none?ownershipControls", set("ObjectWriter"))
	w.can(alice, "PUT", "/bkt?policy", policyOf(allow("", "*", "bkt", "bkt/*")))
	owner := func(key string) string {
		t.Helper()
		r := w.do(bob, "GET", "/bkt/"+key+"?acl", nil)
		_, id, _ := strings.Cut(string(r.body), "<Owner><ID>")
		id, _, _ = strings.Cut(id, "<")
		return id
	}
	for ownership, want := range map[string][3]string{ // without an ACL, with full control for the bucket's owner, private; "" is refused
		"BucketOwnerEnforced":  {"alice", "alice", ""},
		"BucketOwnerPreferred": {"bob", "alice", "bob"},
		"ObjectWriter":         {"bob", "bob", "bob"},
	} {
		w.can(alice, "PUT", "/bkt?ownershipControls", set(ownership))
		if r := w.can(alice, "GET", "/bkt?ownershipControls", nil); !bytes.Contains(r.body, []byte(ownership)) {
			t.Errorf("GetBucketOwnershipControls: %s", r.body)
		}
		w.can(bob, "PUT", "/bkt/plain", []byte("x"))
		w.can(bob, "PUT", "/bkt/full", []byte("x"), "x-amz-acl: bucket-owner-full-control")
		w.can(bob, "PUT", "/bkt/copy", nil, "x-amz-copy-source: /bkt/full")
		if want[2] == "" {
			w.refused(bob, 400, "AccessControlListNotSupported", "PUT", "/bkt/own", []byte("x"), "x-amz-acl: private")
			w.refused(bob, 400, "AccessControlListNotSupported", "POST", "/bkt/own?uploads", nil, "x-amz-acl: private")
			w.refused(alice, 400, "AccessControlListNotSupported", "PUT", "/bkt?acl", nil, "x-amz-acl: private")
			w.refused(alice, 400, "AccessControlListNotSupported", "PUT", "/bkt/plain?acl", nil, "x-amz-acl: private")
		} else {
			w.can(bob, "PUT", "/bkt/own", []byte("x"), "x-amz-acl: private")
			if got := owner("own"); got != want[2] {
				t.Errorf("%s: a private object is %q's", ownership, got)
			}
		}
		if got := [3]string{owner("plain"), owner("full"), owner("copy")}; got != [3]string{want[0], want[1], want[0]} {
			t.Errorf("%s: %q", ownership, got)
		}
	}
	w.can(alice, "PUT", "/bkt?ownershipControls", set("ObjectWriter"))
	w.can(alice, "PUT", "/bkt?acl", nil, "x-amz-acl: public-read")
	w.refused(alice, 400, "InvalidBucketAclWithObjectOwnership", "PUT", "/bkt?ownershipControls", set("BucketOwnerEnforced"))
	w.refused(alice, 400, "InvalidBucketAclWithObjectOwnership", "PUT", "/ccc", nil, "x-amz-acl: public-read", "x-amz-object-ownership: BucketOwnerEnforced")
	w.can(alice, "PUT", "/ccc", nil, "x-amz-object-ownership: BucketOwnerEnforced")
	w.refused(alice, 400, "AccessControlListNotSupported", "PUT", "/ccc?acl", nil, "x-amz-acl: public-read")
	w.can(alice, "DELETE", "/bkt?ownershipControls", nil)
	w.refused(alice, 404, "OwnershipControlsNotFoundError", "GET", "/bkt?ownershipControls", nil)
}

func TestBucketACL(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.can(alice, "PUT", "/bkt", nil, "x-amz-acl: public-read")
	w.can(alice, "PUT", "/bkt/k", []byte("x"))
	w.can(user{}, "GET", "/bkt", nil)
	w.can(bob, "HEAD", "/bkt", nil)
	w.cannot(user{}, "GET", "/bkt/k", nil) // which is the object's to say
	w.cannot(bob, "PUT", "/bkt/k", []byte("x"))
	w.can(alice, "PUT", "/bkt?acl", nil, "x-amz-acl: public-read-write")
	w.refused(user{}, 400, "XAmzContentSHA256Mismatch", "PUT", "/bkt/new", []byte("anonymous"), "x-amz-content-sha256: "+sha256Hex([]byte("other")))
	w.refused(user{}, 400, "XAmzContentSHA256Mismatch", "PUT", "/bkt/new", []byte("anonymous"), "x-amz-content-sha256: no hash")
	w.refused(user{}, 400, "InvalidRequest", "PUT", "/bkt/new", []byte("anonymous"), "x-amz-content-sha256: "+sigv4.StreamingPayload)
	w.can(user{}, "PUT", "/bkt/new", []byte("anonymous"), "x-amz-content-sha256: "+sha256Hex([]byte("anonymous")))
	if r := w.can(alice, "GET", "/bkt/new", nil); string(r.body) != "anonymous" {
		t.Errorf("%q", r.body)
	}
	w.can(alice, "PUT", "/photos", nil, "x-amz-acl: public-read-write")
	if r := w.post(formPost{fields: [][2]string{{"key", "form"}}, file: []byte("x")}); r.status != 204 {
		t.Errorf("an anonymous form: %d %s", r.status, r.body)
	}
	w.can(bob, "DELETE", "/bkt/new", nil)
	hers := "/bkt/hers?uploadId=" + between(string(w.can(alice, "POST", "/bkt/hers?uploads", nil).body), "<UploadId>", "</UploadId>")
	for _, u := range []user{bob, {}} {
		w.cannot(u, "GET", hers, nil)
		w.cannot(u, "DELETE", hers, nil)
	}
	w.can(alice, "PUT", "/bkt?acl", nil, "x-amz-acl: authenticated-read")
	w.can(bob, "GET", "/bkt", nil)
	w.cannot(user{}, "GET", "/bkt", nil)
	for header, can := range map[string][4]bool{ // list, put, read the ACL, set it
		"x-amz-grant-read: id=bob": {true, false, false, false}, `x-amz-grant-write: id="bob"`: {false, true, false, false},
		"x-amz-grant-read-acp: id=bob": {false, false, true, false}, "x-amz-grant-write-acp: id=bob": {false, false, false, true},
		"x-amz-grant-full-control: id=bob, id=alice": {true, true, true, true},
	} {
		for i, do := range []func() reply{
			func() reply { return w.do(bob, "GET", "/bkt", nil) },
			func() reply { return w.do(bob, "PUT", "/bkt/his", []byte("x")) },
			func() reply { return w.do(bob, "GET", "/bkt?acl", nil) },
			func() reply { return w.do(bob, "PUT", "/bkt?acl", nil, "x-amz-acl: private") },
		} {
			w.can(alice, "PUT", "/bkt?acl", nil, header)
			if r := do(); (r.status == 200) != can[i] {
				t.Errorf("%s: %d: %d %s", header, i, r.status, r.body)
			}
		}
	}
	c := w.aws(alice)
	put := func(owner string, grants ...types.Grant) error {
		_, err := c.PutBucketAcl(t.Context(), &s3.PutBucketAclInput{Bucket: aws.String("bkt"), AccessControlPolicy: &types.AccessControlPolicy{
			Owner: &types.Owner{ID: aws.String(owner)}, Grants: grants,
		}})
		return err
	}
	grant := func(g types.Grantee, p types.Permission) types.Grant { return types.Grant{Grantee: &g, Permission: p} }
	to := func(id string) types.Grantee { return types.Grantee{Type: types.TypeCanonicalUser, ID: aws.String(id)} }
	all := types.Grantee{Type: types.TypeGroup, URI: aws.String("http://acs.amazonaws.com/groups/global/AllUsers")}
	if err := put("alice", grant(to("bob"), types.PermissionReadAcp), grant(all, types.PermissionRead), grant(to("alice"), types.PermissionFullControl)); err != nil {
		t.Fatal(err)
	}
	got, err := w.aws(bob).GetBucketAcl(t.Context(), &s3.GetBucketAclInput{Bucket: aws.String("bkt")})
	if err != nil || aws.ToString(got.Owner.ID) != "alice" || len(got.Grants) != 3 || aws.ToString(got.Grants[0].Grantee.ID) != "alice" ||
		aws.ToString(got.Grants[1].Grantee.ID) != "bob" || got.Grants[1].Permission != types.PermissionReadAcp ||
		aws.ToString(got.Grants[2].Grantee.URI) != aws.ToString(all.URI) {
		t.Errorf("GetBucketAcl: %+v, %v", got, err)
	}
	for _, refused := range []struct {
		want string
		err  error
	}{
		{"InvalidArgument", put("alice", grant(to("_foo"), types.PermissionRead))},
		{"AccessDenied", put("bob", grant(to("alice"), types.PermissionRead))},
		{"UnresolvableGrantByEmailAddress", put("alice", grant(types.Grantee{Type: types.TypeAmazonCustomerByEmail, EmailAddress: aws.String("nobody@example.com")}, types.PermissionRead))},
		{"MalformedACLError", put("", grant(to("alice"), types.PermissionRead))},
		{"MalformedACLError", put("alice", grant(to("alice"), "ALL"))},
	} {
		if refused.err == nil || !strings.Contains(refused.err.Error(), refused.want) {
			t.Errorf("%v, want %s", refused.err, refused.want)
		}
	}
	w.refused(alice, 400, "MissingSecurityHeader", "PUT", "/bkt?acl", nil)
	w.refused(alice, 400, "InvalidArgument", "PUT", "/bkt?acl", nil, "x-amz-acl: open")
	w.refused(alice, 400, "UnexpectedContent", "PUT", "/bkt?acl", []byte("<AccessControlPolicy/>"), "x-amz-acl: private")
	// Without any grant, also of the owner's own.
	w.can(alice, "PUT", "/bkt?acl", []byte("<AccessControlPolicy><Owner><ID>alice</ID></Owner><AccessControlList/></AccessControlPolicy>"))
	w.can(alice, "GET", "/bkt", nil)
}

func TestObjectACL(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.can(alice, "PUT", "/bkt", nil)
	w.can(alice, "PUT", "/bkt?versioning", []byte("<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>"))
	w.can(alice, "PUT", "/bkt/k", []byte("hello"), "x-amz-acl: public-read")
	w.can(user{}, "GET", "/bkt/k", nil)
	w.can(user{}, "HEAD", "/bkt/k", nil)
	w.cannot(user{}, "GET", "/bkt/k?acl", nil)
	w.cannot(user{}, "GET", "/bkt", nil)
	open := w.can(alice, "HEAD", "/bkt/k", nil).header.Get("X-Amz-Version-Id")
	if open == "" {
		t.Fatal("no version")
	}
	w.can(alice, "PUT", "/bkt/k", []byte("closed")) // the ACL is the version's
	w.cannot(user{}, "GET", "/bkt/k", nil)
	w.can(user{}, "GET", "/bkt/k?versionId="+open, nil)
	w.can(alice, "PUT", "/bkt/k?acl&versionId="+open, nil, "x-amz-acl: private")
	w.cannot(user{}, "GET", "/bkt/k?versionId="+open, nil)
	w.can(alice, "PUT", "/bkt/k?acl", nil, "x-amz-grant-read: uri=http://acs.amazonaws.com/groups/global/AuthenticatedUsers")
	w.can(bob, "GET", "/bkt/k", nil)
	w.cannot(user{}, "GET", "/bkt/k", nil)
	same := w.can(alice, "GET", "/bkt/k?acl", nil).body
	if !bytes.Contains(same, []byte("AuthenticatedUsers")) || !bytes.Contains(same, []byte("<Owner><ID>alice</ID>")) {
		t.Errorf("ACL: %s", same)
	}
	w.can(alice, "PUT", "/bkt/k?acl", same)
	w.refused(alice, 404, "NoSuchKey", "PUT", "/bkt/none?acl", same)
	w.refused(alice, 404, "NoSuchKey", "GET", "/bkt/none?acl", nil)

	// Copies and uploads have their own.
	w.can(alice, "PUT", "/bkt/copy", nil, "x-amz-copy-source: /bkt/k")
	w.cannot(bob, "GET", "/bkt/copy", nil)
	w.can(alice, "PUT", "/bkt/copy", nil, "x-amz-copy-source: /bkt/k", "x-amz-acl: public-read")
	w.can(user{}, "GET", "/bkt/copy", nil)
	begun := w.can(alice, "POST", "/bkt/up?uploads", nil, "x-amz-acl: public-read")
	_, id, _ := strings.Cut(string(begun.body), "<UploadId>")
	id, _, _ = strings.Cut(id, "<")
	part := w.can(alice, "PUT", "/bkt/up?partNumber=1&uploadId="+id, []byte("hello"))
	w.can(alice, "POST", "/bkt/up?uploadId="+id, []byte(`<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>`+part.header.Get("ETag")+`</ETag></Part></CompleteMultipartUpload>`))
	w.can(user{}, "GET", "/bkt/up", nil)
	w.can(alice, "PUT", "/photos", nil)
	if r := w.post(signedForm(alice, []string{`{"acl":"public-read"}`, `["starts-with","$key",""]`}, [2]string{"key", "form"}, [2]string{"acl", "public-read"})); r.status != 204 {
		t.Errorf("form: %d %s", r.status, r.body)
	}
	w.can(user{}, "GET", "/photos/form", nil)

	// Who may list the bucket is told what it does not have; who may not, is not.
	w.cannot(user{}, "GET", "/bkt/none", nil)
	w.can(alice, "PUT", "/bkt?acl", nil, "x-amz-acl: public-read")
	w.refused(user{}, 404, "NoSuchKey", "GET", "/bkt/none", nil)
	w.refused(user{}, 404, "NoSuchVersion", "GET", "/bkt/k?versionId=01J00000000000000000000000", nil)
	w.cannot(user{}, "GET", "/bkt/k", nil)
	w.can(alice, "PUT", "/bkt?policy", policyOf(deny("", "s3:GetObject", "bkt/secret*"), allow("bob", "s3:ListBucket", "bkt")+`,"Condition":{"StringLike":{"s3:prefix":"pub/*"}}`))
	w.cannot(user{}, "GET", "/bkt/secret", nil)
	w.can(alice, "PUT", "/bkt?acl", nil, "x-amz-acl: private")
	w.refused(bob, 404, "NoSuchKey", "GET", "/bkt/pub/none", nil)
	w.cannot(bob, "GET", "/bkt/none", nil)
	w.can(alice, "DELETE", "/bkt?policy", nil)

	// What another writes into the bucket is theirs.
	w.can(alice, "PUT", "/bkt?acl", nil, "x-amz-acl: public-read-write")
	w.can(bob, "PUT", "/bkt/his", []byte("x"))
	w.can(bob, "GET", "/bkt/his", nil)
	w.can(bob, "GET", "/bkt/his?acl", nil)
	w.cannot(alice, "GET", "/bkt/his", nil)
	w.cannot(alice, "GET", "/bkt/his?acl", nil)
	w.can(writer, "GET", "/bkt/his", nil)
	w.can(bob, "PUT", "/bkt/shared", []byte("x"), "x-amz-acl: bucket-owner-read")
	w.can(alice, "GET", "/bkt/shared", nil)
	w.cannot(alice, "GET", "/bkt/shared?acl", nil)
	w.can(bob, "PUT", "/bkt/shared?acl", nil, "x-amz-acl: bucket-owner-full-control")
	w.can(alice, "GET", "/bkt/shared?acl", nil)
	w.can(alice, "DELETE", "/bkt/his", nil)
}

// A policy may refuse the old signature.
func TestPolicyOnSignatureVersion(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.can(alice, "PUT", "/bkt", nil)
	w.can(alice, "PUT", "/bkt/k", []byte("hello"))
	old := func() int {
		r := w.request("GET", "/bkt/k", nil)
		date := time.Now().UTC().Format(http.TimeFormat)
		r.Header.Set("Date", date)
		mac := hmac.New(sha1.New, []byte(alice.secret))
		mac.Write([]byte("GET\n\n\n" + date + "\n/bkt/k"))
		r.Header.Set("Authorization", "AWS "+alice.key+":"+base64.StdEncoding.EncodeToString(mac.Sum(nil)))
		return w.send(r).status
	}
	if got := old(); got != 200 {
		t.Fatalf("version 2: %d", got)
	}
	w.can(alice, "PUT", "/bkt?policy", policyOf(deny("", "s3:*", "bkt/*")+`,"Condition":{"StringEquals":{"s3:signatureversion":"AWS"}}`))
	if got := old(); got != 403 {
		t.Errorf("version 2, denied: %d", got)
	}
	w.can(alice, "GET", "/bkt/k", nil)
}

// What a body asks for has the condition keys that the headers of a new object
// have: else a policy would let through what it was written against.
func TestPolicyConditionsOnBodies(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.can(alice, "PUT", "/photos", nil, "x-amz-bucket-object-lock-enabled: true")
	object := []byte("x")
	w.can(alice, "PUT", "/photos/k", object, "Content-MD5: "+md5Of(object))
	set := func(statements ...string) {
		t.Helper()
		w.can(alice, "PUT", "/photos?policy", policyOf(statements...))
	}
	tags := func(key string) ([]byte, string) {
		return summed(`<Tagging><TagSet><Tag><Key>` + key + `</Key><Value>v</Value></Tag></TagSet></Tagging>`)
	}
	set(allow("bob", "s3:PutObjectTagging", "photos/*") + `,"Condition":{"ForAllValues:StringEquals":{"s3:RequestObjectTagKeys":["mine"]}}`)
	body, sum := tags("yours")
	w.cannot(bob, "PUT", "/photos/k?tagging", body, sum)
	body, sum = tags("mine")
	w.can(bob, "PUT", "/photos/k?tagging", body, sum)
	w.refused(bob, 400, "MalformedXML", "PUT", "/photos/k?tagging", []byte("<Tagging/>"), "Content-MD5: "+md5Of([]byte("<Tagging/>")))
	w.cannot(user{}, "PUT", "/photos/k?tagging", body, sum)
	set(allow("bob", "s3:PutObjectTagging", "photos/*") + `,"Condition":{"StringEquals":{"s3:RequestObjectTag/mine":"v"}}`)
	w.can(bob, "PUT", "/photos/k?tagging", body, sum)

	set(allow("bob", "s3:PutObjectRetention s3:PutObjectLegalHold", "photos/*"),
		deny("", "s3:PutObjectRetention", "photos/*")+`,"Condition":{"NumericGreaterThan":{"s3:object-lock-remaining-retention-days":"10"}}`,
		deny("", "s3:PutObjectRetention", "photos/*")+`,"Condition":{"StringEquals":{"s3:object-lock-mode":"COMPLIANCE"}}`,
		deny("", "s3:PutObjectLegalHold", "photos/*")+`,"Condition":{"StringEquals":{"s3:object-lock-legal-hold":"ON"}}`)
	day := 24 * time.Hour
	body, sum = summed(retention("GOVERNANCE", time.Now().Add(20*day)))
	w.cannot(bob, "PUT", "/photos/k?retention", body, sum)
	body, sum = summed(retention("COMPLIANCE", time.Now().Add(day)))
	w.cannot(bob, "PUT", "/photos/k?retention", body, sum)
	body, sum = summed("<LegalHold><Status>ON</Status></LegalHold>")
	w.cannot(bob, "PUT", "/photos/k?legal-hold", body, sum)
	body, sum = summed("<LegalHold><Status>OFF</Status></LegalHold>")
	w.can(bob, "PUT", "/photos/k?legal-hold", body, sum)
	body, sum = summed(retention("GOVERNANCE", time.Now().Add(2*day)))
	w.can(bob, "PUT", "/photos/k?retention", body, sum)

	set(allow("bob", "s3:PutObject s3:PutObjectTagging", "photos/*"),
		deny("", "s3:PutObject", "photos/*")+`,"Condition":{"Null":{"s3:RequestObjectTag/bad":"false"}}`)
	for key, want := range map[string]int{"bad": 403, "good": 204} {
		body, _ := tags(key)
		form := signedForm(bob, []string{`["starts-with","$key",""]`, `["starts-with","$tagging",""]`}, [2]string{"key", "form"}, [2]string{"tagging", string(body)})
		if r := w.post(form); r.status != want {
			t.Errorf("a form with the tag %s: %d %s", key, r.status, r.body)
		}
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

// A policy that wants bodies to be signed denies presigned URLs, which say nothing
// of them.
func TestPolicyOnUnsignedPayloads(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.can(alice, "PUT", "/bkt", nil)
	w.can(alice, "PUT", "/bkt?policy", policyOf(allow("bob", "s3:PutObject", "bkt/*"),
		deny("", "s3:*", "bkt/*")+`,"Condition":{"StringEquals":{"s3:x-amz-content-sha256":"UNSIGNED-PAYLOAD"}}`))
	put := func(sign func(*http.Request, sigv4.Signer)) int {
		r := w.request("PUT", "/bkt/k", []byte("x"))
		sign(r, sigv4.Signer{AccessKey: bob.key, Secret: bob.secret, Region: region})
		return w.send(r).status
	}
	sum := fmt.Sprintf("%x", sha256.Sum256([]byte("x")))
	for name, c := range map[string]struct {
		sign func(*http.Request, sigv4.Signer)
		want int
	}{
		"presigned": {func(r *http.Request, s sigv4.Signer) { s.Presign(r, time.Hour, time.Now()) }, 403},
		"unsigned":  {func(r *http.Request, s sigv4.Signer) { s.Sign(r, sigv4.UnsignedPayload, time.Now()) }, 403},
		"signed":    {func(r *http.Request, s sigv4.Signer) { s.Sign(r, sum, time.Now()) }, 200},
	} {
		if got := put(c.sign); got != c.want {
			t.Errorf("%s: %d, want %d", name, got, c.want)
		}
	}
}

// By this policy AWS has every object written once only: uploads by parts are told
// apart by whether the request makes an object.
func TestPolicyThatEnforcesConditionalWrites(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.can(alice, "PUT", "/photos", nil)
	w.can(alice, "PUT", "/photos?policy", policyOf(allow("bob", "s3:PutObject", "photos/*"),
		deny("", "s3:PutObject", "photos/*")+`,"Condition":{"Null":{"s3:if-none-match":"true"},"Bool":{"s3:ObjectCreationOperation":"true"}}`))
	w.cannot(bob, "PUT", "/photos/k", []byte("x"))
	w.can(bob, "PUT", "/photos/k", []byte("x"), "If-None-Match: *")
	w.cannot(bob, "PUT", "/photos/copy", nil, "x-amz-copy-source: /photos/k")
	if r := w.post(signedForm(bob, []string{`["starts-with","$key",""]`}, [2]string{"key", "form"})); r.status != 403 {
		t.Errorf("a form: %d %s", r.status, r.body)
	}
	begun := w.can(bob, "POST", "/photos/up?uploads", nil)
	_, id, _ := strings.Cut(string(begun.body), "<UploadId>")
	id, _, _ = strings.Cut(id, "<")
	part := w.can(bob, "PUT", "/photos/up?partNumber=1&uploadId="+id, []byte("hello"))
	list := []byte(`<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>` + part.header.Get("ETag") + `</ETag></Part></CompleteMultipartUpload>`)
	w.cannot(bob, "POST", "/photos/up?uploadId="+id, list)
	w.can(bob, "POST", "/photos/up?uploadId="+id, list, "If-None-Match: *")
}

func TestPolicyOnOwnershipControls(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.can(alice, "PUT", "/bkt", nil)
	w.can(alice, "PUT", "/bkt?policy", policyOf(allow("bob", "s3:PutBucketOwnershipControls", "bkt"),
		deny("bob", "s3:PutBucketOwnershipControls", "bkt")+`,"Condition":{"StringEquals":{"s3:x-amz-object-ownership":"ObjectWriter"}}`))
	controls := func(ownership string) []byte {
		return []byte("<OwnershipControls><Rule><ObjectOwnership>" + ownership + "</ObjectOwnership></Rule></OwnershipControls>")
	}
	w.cannot(bob, "PUT", "/bkt?ownershipControls", controls("ObjectWriter"))
	w.can(bob, "PUT", "/bkt?ownershipControls", controls("BucketOwnerEnforced"))
	w.refused(bob, 400, "MalformedXML", "PUT", "/bkt?ownershipControls", controls("Nobody"))
	w.refused(alice, 404, "NoSuchBucket", "PUT", "/none?ownershipControls", controls("Nobody"))
	w.says(w.do(user{}, "PUT", "/bkt?ownershipControls", controls("ObjectWriter")), "s3:PutBucketOwnershipControls does not support Anonymous requests!")
}
