package s3api_test

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"meridian/internal/sigv4"
	"meridian/metadata"
)

// formPost is a form upload in the making. Fields come in order.
type formPost struct {
	fields [][2]string
	file   []byte
	name   string // of the file
	after  [][2]string
}

// signedForm is a form whose policy covers exactly its fields and the bucket, and
// more.
func signedForm(u user, conditions []string, fields ...[2]string) formPost {
	return expiringForm(u, time.Now().Add(time.Hour), conditions, fields...)
}

func expiringForm(u user, expires time.Time, conditions []string, fields ...[2]string) formPost {
	now := time.Now().UTC()
	date, day := now.Format("20060102T150405Z"), now.Format("20060102")
	fields = append(fields, [2]string{"x-amz-algorithm", "AWS4-HMAC-SHA256"},
		[2]string{"x-amz-credential", u.key + "/" + day + "/" + region + "/s3/aws4_request"}, [2]string{"x-amz-date", date})
	for _, f := range fields[len(fields)-3:] {
		conditions = append(conditions, fmt.Sprintf("{%q: %q}", f[0], f[1]))
	}
	conditions = append(conditions, `{"bucket": "photos"}`)
	policy := base64.StdEncoding.EncodeToString([]byte(fmt.Sprintf(`{"expiration": %q, "conditions": [%s]}`,
		expires.UTC().Format("2006-01-02T15:04:05.000Z"), strings.Join(conditions, ", "))))
	key := sigv4.DeriveKey(u.secret, day, region, "s3")
	fields = append(fields, [2]string{"policy", policy}, [2]string{"x-amz-signature", hex.EncodeToString(hmacSHA256(key, policy))})
	return formPost{fields: fields, file: []byte("hello"), name: "photo.jpg"}
}

func (p formPost) encode() (contentType string, body []byte) {
	var buf bytes.Buffer
	m := multipart.NewWriter(&buf)
	for _, f := range p.fields {
		_ = m.WriteField(f[0], f[1])
	}
	if p.file != nil {
		f, _ := m.CreateFormFile("file", p.name)
		_, _ = f.Write(p.file)
	}
	for _, f := range p.after {
		_ = m.WriteField(f[0], f[1])
	}
	_ = m.Close()
	return m.FormDataContentType(), buf.Bytes()
}

func (w *world) post(p formPost) reply {
	w.t.Helper()
	contentType, body := p.encode()
	return w.do(user{}, "POST", "/photos", body, "Content-Type: "+contentType)
}

func (w *world) postRefused(what string, p formPost, status int, code, words string) {
	w.t.Helper()
	r := w.post(p)
	if r.status != status {
		w.t.Errorf("%s: %d %s, want %d %s", what, r.status, r.body, status, code)
		return
	}
	if e := r.error(w.t); e.Code != code || !strings.Contains(e.Message, words) {
		w.t.Errorf("%s: %s %q, want %s %q", what, e.Code, e.Message, code, words)
	}
	if n := w.blobCount(); n != 0 {
		w.t.Errorf("%s: %d blobs are left", what, n)
	}
}

// usual are the conditions and fields of a page that uploads photos.
func usual() ([]string, [][2]string) {
	return []string{
			`["starts-with", "$key", "user/"]`, `["starts-with", "$Content-Type", "image/"]`,
			`["content-length-range", 2, 100]`, `{"x-amz-meta-title": "Tea & cake"}`, `["eq", "$success_action_status", "201"]`,
		}, [][2]string{
			{"key", "user/${filename}"}, {"Content-Type", "image/jpeg"}, {"X-Amz-Meta-Title", "Tea & cake"}, {"success_action_status", "201"},
		}
}

func TestFormUpload(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.must("PUT", "/photos", nil)
	conditions, fields := usual()
	p := signedForm(writer, conditions, fields...)
	p.name = `C:\Pictures\tea and cake.jpg`
	p.after = [][2]string{{"submit", "Upload"}, {"key", "elsewhere"}}
	p.fields = append(p.fields, [2]string{"x-ignore-me", "1"})
	r := w.post(p)
	if r.status != 201 || !bytes.Contains(r.body, []byte("<Key>user/tea and cake.jpg</Key>")) || r.header.Get("ETag") == "" ||
		!strings.HasSuffix(r.header.Get("Location"), "/photos/user/tea%20and%20cake.jpg") {
		t.Fatalf("201: %d %v %s", r.status, r.header, r.body)
	}
	got := w.must("GET", "/photos/user/tea%20and%20cake.jpg", nil)
	if string(got.body) != "hello" || got.header.Get("Content-Type") != "image/jpeg" || got.header.Get("X-Amz-Meta-Title") != "Tea & cake" {
		t.Errorf("the object: %q %v", got.body, got.header)
	}
	v, err := w.catalog.Lookup(t.Context(), metadata.Ref{Bucket: "photos", Key: "user/tea and cake.jpg"})
	if err != nil || v.Owner != "writer" {
		t.Errorf("it belongs to %q, %v", v.Owner, err)
	}

	for status, want := range map[string]int{"200": 200, "204": 204, "": 204, "302": 204} {
		r := w.post(signedForm(writer, []string{`["starts-with", "$success_action_status", ""]`, `{"key": "k"}`},
			[2]string{"key", "k"}, [2]string{"success_action_status", status}))
		if r.status != want || len(r.body) > 0 || r.header.Get("ETag") == "" {
			t.Errorf("success_action_status %q: %d %q", status, r.status, r.body)
		}
	}
	r = w.post(signedForm(writer, []string{`["starts-with", "$success_action_redirect", "https://app.example.com/"]`, `{"key": "a b"}`},
		[2]string{"key", "a b"}, [2]string{"success_action_redirect", "https://app.example.com/done?lang=de"}))
	if want := "https://app.example.com/done?lang=de&bucket=photos&key=a+b&etag=%225d41402abc4b2a76b9719d911017c592%22"; r.status != 303 || r.header.Get("Location") != want {
		t.Errorf("redirect: %d %s, want %s", r.status, r.header.Get("Location"), want)
	}
}

func TestFormUploadRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.must("PUT", "/photos", nil)
	conditions, fields := usual()
	change := func(f func(*formPost)) formPost {
		p := signedForm(writer, conditions, append([][2]string(nil), fields...)...)
		f(&p)
		return p
	}
	set := func(name, value string) formPost {
		return change(func(p *formPost) {
			for i := range p.fields {
				if p.fields[i][0] == name {
					p.fields[i][1] = value
				}
			}
		})
	}
	for what, c := range map[string]struct {
		p      formPost
		status int
		code   string
		words  string
	}{
		"another key":          {set("key", "admin/x"), 403, "AccessDenied", `Policy Condition failed: ["starts-with","$key","user/"]`},
		"another type":         {set("Content-Type", "text/html"), 403, "AccessDenied", "Policy Condition failed"},
		"a list of types":      {set("Content-Type", "image/png, text/html"), 403, "AccessDenied", "Policy Condition failed"},
		"other metadata":       {set("X-Amz-Meta-Title", "Tea"), 403, "AccessDenied", "Policy Condition failed"},
		"an extra field":       {change(func(p *formPost) { p.fields = append(p.fields, [2]string{"x-amz-meta-more", "1"}) }), 403, "AccessDenied", "Extra input fields: x-amz-meta-more"},
		"an extra acl":         {change(func(p *formPost) { p.fields = append(p.fields, [2]string{"acl", "public-read"}) }), 403, "AccessDenied", "Extra input fields: acl"},
		"a field twice":        {change(func(p *formPost) { p.fields = append(p.fields, [2]string{"KEY", "user/x"}) }), 400, "InvalidArgument", "more than once"},
		"another bucket":       {change(func(p *formPost) { p.fields = append(p.fields, [2]string{"bucket", "other"}) }), 400, "InvalidArgument", "bucket"},
		"a policy for another": {signedForm(writer, []string{`{"bucket":"other"}`, `{"key":"k"}`}, [2]string{"key", "k"}, [2]string{"bucket", "other"}), 403, "AccessDenied", "Policy Condition failed"},
		"too large":            {change(func(p *formPost) { p.file = make([]byte, 101) }), 400, "EntityTooLarge", ""},
		"too small":            {change(func(p *formPost) { p.file = []byte("x") }), 400, "EntityTooSmall", ""},
		"no file":              {change(func(p *formPost) { p.file = nil }), 400, "InvalidArgument", "exactly one file"},
		"another policy":       {set("policy", base64.StdEncoding.EncodeToString([]byte(`{"expiration":"2099-01-01T00:00:00Z","conditions":[]}`))), 403, "SignatureDoesNotMatch", ""},
		"no signature":         {set("x-amz-signature", ""), 400, "InvalidArgument", "x-amz-signature"},
		"another algorithm":    {set("x-amz-algorithm", "AWS4-HMAC-SHA1"), 400, "InvalidArgument", "Only AWS4-HMAC-SHA256"},
		"great fields":         {set("X-Amz-Meta-Title", strings.Repeat("x", 21<<10)), 400, "MaxPostPreDataLengthExceeded", ""},
		"expired":              {expiringForm(writer, time.Now().Add(-time.Second), conditions, fields...), 403, "AccessDenied", "Policy expired"},
		"who may only read":    {signedForm(reader, conditions, fields...), 403, "AccessDenied", ""},
		"an unknown key":       {signedForm(user{"NOBODY", "x"}, conditions, fields...), 403, "InvalidAccessKeyId", ""},
		"nobody":               {formPost{fields: [][2]string{{"key", "x"}}, file: []byte("x")}, 403, "AccessDenied", ""},
		"no key":               {signedForm(writer, nil), 400, "InvalidArgument", "named 'key'"},
		"temporary":            {signedForm(writer, []string{`{"x-amz-security-token":"t"}`, `{"key":"k"}`}, [2]string{"key", "k"}, [2]string{"x-amz-security-token", "t"}), 400, "InvalidToken", ""},
		"malformed":            {signedForm(writer, []string{`["like", "$key", "x"]`}, [2]string{"key", "k"}), 400, "InvalidPolicyDocument", "Invalid Condition"},
		"version 2":            {formPost{fields: [][2]string{{"key", "x"}, {"AWSAccessKeyId", "ROOTKEY"}, {"policy", "x"}, {"signature", "y"}}, file: []byte("x")}, 403, "SignatureDoesNotMatch", ""},
		"an unknown ACL":       {signedForm(writer, []string{`{"acl":"open"}`, `{"key":"k"}`}, [2]string{"key", "k"}, [2]string{"acl", "open"}), 400, "InvalidArgument", ""},
		"another checksum":     {signedForm(writer, []string{`["starts-with","$x-amz-checksum-crc32",""]`, `{"key":"k"}`}, [2]string{"key", "k"}, [2]string{"x-amz-checksum-crc32", "AAAAAA=="}), 400, "BadDigest", ""},
		"a region elsewhere":   {change(func(p *formPost) { p.fields = inCredential(p.fields, "/"+region+"/", "/mars/") }), 400, "InvalidArgument", "mars"},
	} {
		w.postRefused(what, c.p, c.status, c.code, c.words)
	}
	contentType, body := change(func(*formPost) {}).encode()
	cut := bytes.Index(body, []byte("hello")) + 3
	for what, b := range map[string][]byte{"in the file": body[:cut], "before it": body[:40]} {
		r := w.do(user{}, "POST", "/photos", b, "Content-Type: "+contentType)
		if r.status != 400 || w.blobCount() != 0 {
			t.Errorf("cut %s: %d %s", what, r.status, r.body)
		}
	}
	w.refused(user{}, 412, "PreconditionFailed", "POST", "/photos", []byte("key=x"), "Content-Type: application/x-www-form-urlencoded")
}

// inCredential replaces text in the credential.
func inCredential(fields [][2]string, from, to string) [][2]string {
	for i := range fields {
		if fields[i][0] == "x-amz-credential" {
			fields[i][1] = strings.Replace(fields[i][1], from, to, 1)
		}
	}
	return fields
}

// A large form needs no more memory than a small one.
func TestFormUploadIsAStream(t *testing.T) {
	w := newWorld(t)
	w.must("PUT", "/photos", nil)
	const size = 64 << 20
	p := signedForm(writer, []string{`{"key":"k"}`}, [2]string{"key", "k"})
	p.file = []byte{}
	contentType, body := p.encode()
	at := bytes.LastIndex(body, []byte("\r\n--"))
	r := w.request("POST", "/photos", nil, "Content-Type: "+contentType)
	r.Body = io.NopCloser(io.MultiReader(bytes.NewReader(body[:at]), io.LimitReader(zeros{}, size), bytes.NewReader(body[at:])))
	r.ContentLength = int64(len(body)) + size
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	got := w.send(r)
	runtime.ReadMemStats(&after)
	if got.status != http.StatusNoContent {
		t.Fatalf("%d %s", got.status, got.body)
	}
	if used := after.TotalAlloc - before.TotalAlloc; used > size/2 {
		t.Errorf("%d bytes were allocated for a file of %d", used, size)
	}
	if h := w.must("HEAD", "/photos/k", nil); h.header.Get("Content-Length") != fmt.Sprint(size) {
		t.Errorf("it has %s bytes", h.header.Get("Content-Length"))
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

func TestFormUploadByCurl(t *testing.T) {
	t.Parallel()
	curl, err := exec.LookPath("curl")
	if err != nil {
		t.Skip("curl is not installed")
	}
	w := newWorld(t)
	w.must("PUT", "/photos", nil)
	file := filepath.Join(t.TempDir(), "photo.jpg")
	want := bytes.Repeat([]byte("\xff\xd8\xff\r\n--"), 100_000)
	if err := os.WriteFile(file, want, 0o600); err != nil {
		t.Fatal(err)
	}
	p := signedForm(writer, []string{`["starts-with","$key","u/"]`, `{"content-type":"image/jpeg"}`}, [2]string{"key", "u/${filename}"}, [2]string{"Content-Type", "image/jpeg"})
	args := []string{"-sS", "-o", "-", "-w", "%{http_code}"}
	for _, f := range p.fields {
		args = append(args, "-F", f[0]+"="+f[1])
	}
	out, err := exec.CommandContext(t.Context(), curl, append(args, "-F", "file=@"+file, w.url+"/photos")...).CombinedOutput()
	if err != nil || string(out) != "204" {
		t.Fatalf("curl: %v %s", err, out)
	}
	if got := w.must("GET", "/photos/u/photo.jpg", nil); !bytes.Equal(got.body, want) {
		t.Errorf("%d bytes came back, want %d", len(got.body), len(want))
	}
}

func hmacSHA256(key []byte, text string) []byte {
	m := hmac.New(sha256.New, key)
	m.Write([]byte(text))
	return m.Sum(nil)
}
