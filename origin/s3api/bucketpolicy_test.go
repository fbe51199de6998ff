package s3api_test

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"meridian/internal/sigv4"
)

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
