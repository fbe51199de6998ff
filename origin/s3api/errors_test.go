package s3api_test

import (
	"bufio"
	"bytes"
	"crypto/md5"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"meridian/internal/sigv4"
	"meridian/metadata"
	"meridian/origin/s3api"
)

func md5Of(b []byte) string {
	sum := md5.Sum(b)
	return base64.StdEncoding.EncodeToString(sum[:])
}

func TestErrorsAreThoseOfS3(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(o *s3api.Options) { o.MaxObjectSize = 1 << 20 })
	w.must("PUT", "/bkt", nil)
	w.must("PUT", "/full", nil)
	w.must("PUT", "/full/key", []byte("0123456789"))
	body := []byte("hello")

	for _, tt := range []struct {
		status  int
		code    string
		method  string
		path    string
		body    []byte
		headers []string
	}{
		{404, "NoSuchKey", "GET", "/bkt/missing", nil, nil},
		{404, "", "HEAD", "/bkt/missing", nil, nil},
		{404, "NoSuchBucket", "GET", "/missing/key", nil, nil},
		{404, "NoSuchBucket", "PUT", "/missing/key", body, nil},
		{404, "NoSuchBucket", "GET", "/missing", nil, nil},
		{404, "NoSuchBucket", "DELETE", "/missing", nil, nil},
		{404, "NoSuchVersion", "GET", "/full/key?versionId=01ARZ3NDEKTSV4RRFFQ69G5FAV", nil, nil},
		{400, "InvalidArgument", "GET", "/full/key?versionId=", nil, nil},
		{400, "InvalidArgument", "GET", "/full/key?versionId=garbage", nil, nil},
		{400, "InvalidArgument", "DELETE", "/full/key?versionId=garbage", nil, nil},
		{400, "InvalidBucketName", "PUT", "/Bad_Name", nil, nil},
		{400, "InvalidBucketName", "PUT", "/192.168.0.1", nil, nil},
		{400, "InvalidBucketName", "PUT", "/ab", nil, nil},
		{400, "InvalidBucketName", "PUT", "/a.-b", nil, nil},
		{400, "InvalidBucketName", "PUT", "/a-.b", nil, nil},
		{404, "NoSuchBucket", "GET", "/a-.b", nil, nil}, // which an older version may have made
		{409, "BucketAlreadyOwnedByYou", "PUT", "/bkt", nil, nil},
		{409, "BucketNotEmpty", "DELETE", "/full", nil, nil},
		{400, "InvalidLocationConstraint", "PUT", "/other", []byte(`<CreateBucketConfiguration><LocationConstraint>mars</LocationConstraint></CreateBucketConfiguration>`), nil},
		{400, "MalformedXML", "PUT", "/other", []byte(`<CreateBucket`), nil},
		{400, "KeyTooLongError", "PUT", "/bkt/" + strings.Repeat("k", 1025), body, nil},
		{400, "EntityTooLarge", "PUT", "/bkt/k", make([]byte, 1<<20+1), nil},
		{400, "InvalidDigest", "PUT", "/bkt/k", body, []string{"Content-MD5: nonsense"}},
		{400, "BadDigest", "PUT", "/bkt/k", body, []string{"Content-MD5: " + md5Of([]byte("other"))}},
		{400, "InvalidRequest", "PUT", "/bkt/k", body, []string{"x-amz-checksum-crc32: AAAA"}},
		{400, "InvalidRequest", "PUT", "/bkt/k", body, []string{"x-amz-checksum-crc32: AAAAAA==", "x-amz-checksum-crc32c: AAAAAA=="}},
		{400, "InvalidRequest", "PUT", "/bkt/k", body, []string{"x-amz-checksum-blake3: AAAAAA=="}},
		{400, "InvalidRequest", "PUT", "/bkt/k", body, []string{"x-amz-sdk-checksum-algorithm: CRC32"}},
		{400, "BadDigest", "PUT", "/bkt/k", body, []string{"x-amz-checksum-crc32: AAAAAA=="}},
		{400, "BadDigest", "PUT", "/bkt/k", body, []string{"x-amz-checksum-sha256: " + base64.StdEncoding.EncodeToString(make([]byte, 32))}},
		{400, "MetadataTooLarge", "PUT", "/bkt/k", body, []string{"x-amz-meta-big: " + strings.Repeat("m", 2046)}},
		{400, "InvalidStorageClass", "PUT", "/bkt/k", body, []string{"x-amz-storage-class: WARM"}},
		{400, "InvalidTag", "PUT", "/bkt/k", body, []string{"x-amz-tagging: aws:x=1"}},
		{400, "InvalidArgument", "PUT", "/bkt/k", body, []string{"x-amz-tagging: =v"}},
		{501, "NotImplemented", "PUT", "/bkt/k", body, []string{"x-amz-server-side-encryption: AES256"}},
		{501, "NotImplemented", "PUT", "/bkt/k", body, []string{"x-amz-website-redirect-location: /x"}},
		{400, "InvalidArgument", "PUT", "/bkt/k", body, []string{"x-amz-acl: open"}},
		{400, "InvalidRequest", "PUT", "/bkt/k", body, []string{"x-amz-acl: private", "x-amz-grant-read: id=root"}},
		{400, "InvalidArgument", "PUT", "/bkt/k", body, []string{"x-amz-grant-read: id=nobody"}},
		{412, "PreconditionFailed", "PUT", "/full/key", body, []string{"If-None-Match: *"}},
		{412, "PreconditionFailed", "PUT", "/full/key", body, []string{`If-Match: "aa"`}},
		{404, "NoSuchKey", "PUT", "/bkt/missing", body, []string{`If-Match: "aa"`}},
		{412, "PreconditionFailed", "GET", "/full/key", nil, []string{`If-Match: "aa"`}},
		{416, "InvalidRange", "GET", "/full/key", nil, []string{"Range: bytes=10-"}},
		{416, "InvalidPartNumber", "GET", "/full/key?partNumber=2", nil, nil},
		{400, "InvalidArgument", "GET", "/full/key?partNumber=0", nil, nil},
		{400, "InvalidRequest", "GET", "/full/key?partNumber=1", nil, []string{"Range: bytes=0-1"}},
		{400, "InvalidArgument", "GET", "/bkt?max-keys=-1", nil, nil},
		{400, "InvalidArgument", "GET", "/bkt?max-keys=x", nil, nil},
		{400, "InvalidArgument", "GET", "/bkt?encoding-type=html", nil, nil},
		{400, "InvalidArgument", "GET", "/bkt?list-type=3", nil, nil},
		{400, "InvalidArgument", "GET", "/bkt?list-type=2&continuation-token=x", nil, nil},
		{404, "NoSuchUpload", "PUT", "/bkt/k?partNumber=1&uploadId=none", body, nil},
		{400, "InvalidArgument", "PUT", "/bkt/k?partNumber=10001&uploadId=none", body, nil},
		{404, "NoSuchUpload", "DELETE", "/bkt/k?uploadId=none", nil, nil},
		{404, "NoSuchUpload", "GET", "/bkt/k?uploadId=none", nil, nil},
		{404, "NoSuchUpload", "POST", "/bkt/k?uploadId=none", []byte(`<CompleteMultipartUpload/>`), nil},
		{404, "NoSuchBucket", "POST", "/missing/k?uploads", nil, nil},
		{400, "InvalidRequest", "POST", "/bkt/k?uploads", nil, []string{"x-amz-checksum-algorithm: CRC99"}},
		{400, "InvalidRequest", "POST", "/bkt/k?uploads", nil, []string{"x-amz-checksum-algorithm: SHA256", "x-amz-checksum-type: FULL_OBJECT"}},
		{400, "InvalidRequest", "POST", "/bkt?delete", []byte(`<Delete><Object><Key>a</Key></Object></Delete>`), nil},
		{400, "MalformedXML", "POST", "/bkt?delete", []byte(`<Delete>`), []string{"Content-MD5: " + md5Of([]byte(`<Delete>`))}},
		{400, "InvalidArgument", "PUT", "/bkt/k", nil, []string{"x-amz-copy-source: nonsense"}},
		{404, "NoSuchKey", "PUT", "/bkt/k", nil, []string{"x-amz-copy-source: full/missing"}},
		{404, "NoSuchBucket", "PUT", "/bkt/k", nil, []string{"x-amz-copy-source: missing/key"}},
		{412, "PreconditionFailed", "PUT", "/bkt/k", nil, []string{"x-amz-copy-source: full/key", "x-amz-copy-source-if-match: aa"}},
		{400, "InvalidRequest", "PUT", "/full/key", nil, []string{"x-amz-copy-source: full/key"}},
		{404, "NoSuchBucketPolicy", "GET", "/bkt?policy", nil, nil},
		{404, "NoSuchCORSConfiguration", "GET", "/bkt?cors", nil, nil},
		{404, "NoSuchLifecycleConfiguration", "GET", "/bkt?lifecycle", nil, nil},
		{404, "ServerSideEncryptionConfigurationNotFoundError", "GET", "/bkt?encryption", nil, nil},
		{404, "NoSuchTagSet", "GET", "/bkt?tagging", nil, nil},
		{404, "NoSuchWebsiteConfiguration", "GET", "/bkt?website", nil, nil},
		{404, "ObjectLockConfigurationNotFoundError", "GET", "/bkt?object-lock", nil, nil},
		{404, "NoSuchBucket", "GET", "/missing?policy", nil, nil},
		{501, "NotImplemented", "PUT", "/bkt?website", body, nil},
		{501, "NotImplemented", "GET", "/full/key?torrent", nil, nil},
		{501, "NotImplemented", "POST", "/full/key?select&select-type=2", body, nil},
		{400, "InvalidRequest", "POST", "/bkt", body, nil}, // a form is signed by its policy
		{405, "MethodNotAllowed", "POST", "/full/key", body, nil},
		{405, "MethodNotAllowed", "PATCH", "/full/key", body, nil},
		{405, "MethodNotAllowed", "DELETE", "/", nil, nil},
		{400, "InvalidURI", "GET", "/bkt?prefix=%zz", nil, nil},
	} {
		r := w.refused(root, tt.status, tt.code, tt.method, tt.path, tt.body, tt.headers...)
		if r.header.Get("X-Amz-Request-Id") == "" || r.header.Get("X-Amz-Id-2") == "" || r.header.Get("X-Meridian-Region") != region {
			t.Errorf("%s %s: headers %v", tt.method, tt.path, r.header)
		}
		if tt.method != "HEAD" && len(r.body) > 0 {
			if e := r.error(t); e.RequestID != r.header.Get("X-Amz-Request-Id") || e.HostID == "" || e.Message == "" || e.Resource == "" {
				t.Errorf("%s %s: %+v", tt.method, tt.path, e)
			}
		}
	}
	if n := w.blobCount(); n != 1 {
		t.Errorf("refused writes left blobs: %d, want 1", n)
	}
	if got := w.must("GET", "/full/key", nil); string(got.body) != "0123456789" {
		t.Errorf("object is %q now", got.body)
	}
}

func TestCredentialsThatDoNotHold(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.must("PUT", "/bkt", nil)
	w.must("PUT", "/bkt/key", []byte("hello"), "x-amz-acl: public-read")
	now := time.Now()
	hello := sha256Hex([]byte("hello"))

	signed := func(s sigv4.Signer, at time.Time, hash string, body []byte) reply {
		r := w.request("PUT", "/bkt/new", body)
		s.Sign(r, hash, at)
		return w.send(r)
	}
	good := sigv4.Signer{AccessKey: root.key, Secret: root.secret, Region: region}
	for name, tt := range map[string]struct {
		reply  reply
		status int
		code   string
	}{
		"wrong secret":   {signed(sigv4.Signer{AccessKey: root.key, Secret: "wrong", Region: region}, now, hello, []byte("hello")), 403, "SignatureDoesNotMatch"},
		"unknown key":    {signed(sigv4.Signer{AccessKey: "NOBODY", Secret: "x", Region: region}, now, hello, []byte("hello")), 403, "InvalidAccessKeyId"},
		"old date":       {signed(good, now.Add(-time.Hour), hello, []byte("hello")), 403, "RequestTimeTooSkewed"},
		"other region":   {signed(sigv4.Signer{AccessKey: root.key, Secret: root.secret, Region: "mars"}, now, hello, []byte("hello")), 400, "AuthorizationHeaderMalformed"},
		"other body":     {signed(good, now, hello, []byte("HELLO")), 400, "XAmzContentSHA256Mismatch"},
		"bearer":         {w.do(user{}, "GET", "/bkt/key", nil, "Authorization: Bearer x"), 400, "InvalidArgument"},
		"version 2":      {w.do(user{}, "GET", "/bkt/key", nil, "Authorization: AWS a:b"), 400, "InvalidRequest"},
		"garbage header": {w.do(user{}, "GET", "/bkt/key", nil, "Authorization: AWS4-HMAC-SHA256 x"), 400, "AuthorizationHeaderMalformed"},
	} {
		if e := tt.reply.error(t); tt.reply.status != tt.status || e.Code != tt.code {
			t.Errorf("%s: %d %s %s, want %d %s", name, tt.reply.status, e.Code, e.Message, tt.status, tt.code)
		}
	}
	expired := w.request("GET", "/bkt/key", nil)
	good.Presign(expired, time.Minute, now.Add(-2*time.Minute))
	if r := w.send(expired); r.status != 403 || r.error(t).Code != "AccessDenied" || r.error(t).Message != "Request has expired." {
		t.Errorf("expired URL: %d %s", r.status, r.body)
	}
	if n := w.blobCount(); n != 1 {
		t.Errorf("refused writes left blobs: %d, want 1", n)
	}
}

func TestWhoMayDoWhat(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	nobody := user{}
	w.must("PUT", "/open", nil)
	w.setVisibility("open", metadata.PublicRead)
	w.must("PUT", "/closed", nil)
	w.must("PUT", "/open/key", []byte("hello"))
	w.must("PUT", "/closed/key", []byte("hello"))

	if r := w.do(nobody, "GET", "/open/key", nil); r.status != 200 || string(r.body) != "hello" {
		t.Errorf("public object: %d %s", r.status, r.body)
	}
	w.refused(nobody, 403, "", "HEAD", "/closed/key", nil)
	w.refused(nobody, 403, "AccessDenied", "GET", "/closed/key", nil)
	w.refused(nobody, 403, "AccessDenied", "GET", "/closed/missing", nil)
	w.refused(nobody, 403, "AccessDenied", "GET", "/open/missing", nil) // nor which keys a public bucket has
	w.refused(nobody, 403, "AccessDenied", "GET", "/open", nil)
	w.refused(nobody, 403, "AccessDenied", "GET", "/", nil)
	w.refused(nobody, 403, "AccessDenied", "PUT", "/open/new", []byte("x"))
	w.refused(nobody, 403, "AccessDenied", "DELETE", "/open/key", nil)
	w.refused(nobody, 403, "AccessDenied", "POST", "/open/new?uploads", nil)
	w.refused(nobody, 403, "AccessDenied", "GET", "/open?acl", nil)
	w.refused(nobody, 400, "InvalidRequest", "GET", "/open/key?response-content-type=text/html", nil)

	if r := w.do(reader, "GET", "/closed/key", nil); r.status != 200 {
		t.Errorf("reader: %d", r.status)
	}
	if r := w.do(reader, "GET", "/closed", nil); r.status != 200 {
		t.Errorf("reader lists: %d", r.status)
	}
	w.refused(reader, 403, "AccessDenied", "PUT", "/closed/new", []byte("x"))
	w.refused(reader, 403, "AccessDenied", "DELETE", "/closed/key", nil)
	w.refused(reader, 403, "AccessDenied", "PUT", "/new-bucket", nil)

	if r := w.do(writer, "PUT", "/closed/new", []byte("x")); r.status != 200 {
		t.Errorf("writer: %d %s", r.status, r.body)
	}
	w.refused(writer, 409, "BucketAlreadyExists", "PUT", "/closed", nil)
	w.refused(node, 403, "AccessDenied", "PUT", "/closed/new", []byte("x"))
	w.refused(node, 403, "AccessDenied", "DELETE", "/closed/key", nil)
	w.refused(root, 403, "AccessDenied", "GET", "/closed/key", nil, "x-amz-expected-bucket-owner: somebody")

	w.setVisibility("open", metadata.Private)
	w.refused(nobody, 403, "AccessDenied", "GET", "/open/key", nil)
}

// TestRevokedKey waits until a revoked key is refused: within a second it must
// be, and the test's own deadline is all that bounds it here.
func TestRevokedKey(t *testing.T) {
	t.Parallel()
	clock := &clock{now: time.Now()}
	w := newWorld(t, func(o *s3api.Options) { o.Now = clock.Now })
	if r := w.do(reader, "GET", "/", nil); r.status != 200 {
		t.Fatalf("before: %d %s", r.status, r.body)
	}
	if err := w.catalog.DeleteKey(t.Context(), reader.key); err != nil {
		t.Fatal(err)
	}
	clock.add(time.Second)
	w.refused(reader, 403, "InvalidAccessKeyId", "GET", "/", nil)
}

// raw sends bytes as they are and gives the connection.
func (w *world) raw(t *testing.T, lines ...string) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(w.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if _, err := conn.Write([]byte(strings.Join(lines, "\r\n"))); err != nil {
		t.Fatal(err)
	}
	return conn
}

// head is the head of a signed request with the given further headers.
func (w *world) head(t *testing.T, u user, method, path string, headers ...string) []string {
	t.Helper()
	r := w.request(method, path, nil)
	r.Host = r.URL.Host
	sigv4.Signer{AccessKey: u.key, Secret: u.secret, Region: region}.Sign(r, sigv4.UnsignedPayload, time.Now())
	lines := []string{method + " " + path + " HTTP/1.1", "Host: " + r.URL.Host}
	for name, values := range r.Header {
		lines = append(lines, name+": "+values[0])
	}
	return append(append(lines, headers...), "", "")
}

// A body that is cut off is not an object, whatever the client thinks.
func TestTruncatedBodyLeavesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.must("PUT", "/bkt", nil)
	conn := w.raw(t, w.head(t, root, "PUT", "/bkt/key", "Content-Length: 1000000")...)
	if _, err := conn.Write(make([]byte, 500_000)); err != nil {
		t.Fatal(err)
	}
	if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err == nil {
		defer res.Body.Close()
		if res.StatusCode == http.StatusOK {
			t.Error("half a body was answered with 200")
		}
	}
	w.refused(root, 404, "NoSuchKey", "GET", "/bkt/key", nil)
	if n := w.blobCount(); n != 0 {
		t.Errorf("%d blobs left", n)
	}
}

func TestStalledBodyIsCut(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(o *s3api.Options) { o.Stall = 100 * time.Millisecond })
	w.must("PUT", "/bkt", nil)
	conn := w.raw(t, w.head(t, root, "PUT", "/bkt/key", "Content-Length: 1000000")...)
	if _, err := conn.Write(make([]byte, 1000)); err != nil {
		t.Fatal(err)
	}
	res, err := http.ReadResponse(bufio.NewReader(conn), nil) // ends because the server gives up
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	var buf bytes.Buffer
	if _, err := buf.ReadFrom(res.Body); err != nil {
		t.Fatal(err)
	}
	if res.StatusCode != http.StatusBadRequest || !strings.Contains(buf.String(), "<Code>RequestTimeout</Code>") {
		t.Errorf("%d %s", res.StatusCode, buf.String())
	}
	if n := w.blobCount(); n != 0 {
		t.Errorf("%d blobs left", n)
	}
}

// Whoever waits for "100 Continue" is refused before sending a body that nobody
// would take.
func TestRefusedBeforeTheBody(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.must("PUT", "/bkt", nil)
	for path, want := range map[string]int{"/bkt/key": 403, "/missing/key": 404} {
		u := reader
		if want == 404 {
			u = root
		}
		conn := w.raw(t, w.head(t, u, "PUT", path, "Content-Length: 1000000", "Expect: 100-continue")...)
		status, err := bufio.NewReader(conn).ReadString('\n')
		if err != nil || !strings.HasPrefix(status, fmt.Sprintf("HTTP/1.1 %d ", want)) {
			t.Errorf("%s: %q, %v", path, status, err)
		}
	}
	conn := w.raw(t, w.head(t, root, "PUT", "/bkt/key", "Content-Length: 5", "Expect: 100-continue")...)
	in := bufio.NewReader(conn)
	if status, err := in.ReadString('\n'); err != nil || !strings.HasPrefix(status, "HTTP/1.1 100 ") {
		t.Fatalf("%q, %v", status, err)
	}
	if _, err := conn.Write([]byte("hello")); err != nil {
		t.Fatal(err)
	}
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasPrefix(line, "HTTP/1.1 200") {
			break
		}
	}
}

func TestLengthIsRequired(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.must("PUT", "/bkt", nil)
	conn := w.raw(t, append(w.head(t, root, "PUT", "/bkt/key", "Transfer-Encoding: chunked"), "5\r\nhello\r\n0\r\n\r\n")...)
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusLengthRequired {
		t.Errorf("status %d", res.StatusCode)
	}
}

func TestBodyOfXMLIsBounded(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.must("PUT", "/bkt", nil)
	great := append([]byte("<Delete>"), bytes.Repeat([]byte(" "), 9<<20)...)
	w.refused(root, 400, "MalformedXML", "POST", "/bkt?delete", great, "Content-MD5: "+md5Of(great))
	var many strings.Builder
	many.WriteString("<Delete>")
	for i := range 1001 {
		fmt.Fprintf(&many, "<Object><Key>k%d</Key></Object>", i)
	}
	many.WriteString("</Delete>")
	w.refused(root, 400, "MalformedXML", "POST", "/bkt?delete", []byte(many.String()), "Content-MD5: "+md5Of([]byte(many.String())))
}

// A body that is longer than it says is no other request.
func TestAWrongBodyEndsTheConnection(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.must("PUT", "/bkt", nil)
	r := w.request("PUT", "/bkt/k", []byte("ba"), "Content-MD5: "+md5Of([]byte("bar")))
	w.sign(r, root)
	var sent bytes.Buffer
	if err := r.Write(&sent); err != nil {
		t.Fatal(err)
	}
	sent.WriteString("r")
	conn, err := net.Dial("tcp", r.URL.Host)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.Write(sent.Bytes()); err != nil {
		t.Fatal(err)
	}
	if err := conn.SetReadDeadline(time.Now().Add(30 * time.Second)); err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(conn)
	if err != nil && !errors.Is(err, syscall.ECONNRESET) || !bytes.Contains(got, []byte("<Code>BadDigest</Code>")) {
		t.Errorf("%v, after %s", err, got)
	}
}
