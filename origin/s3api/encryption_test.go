package s3api_test

import (
	"bytes"
	"crypto/md5"
	"crypto/sha256"
	"encoding/base64"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/minio/minio-go/v7"
	miniocreds "github.com/minio/minio-go/v7/pkg/credentials"
	"github.com/minio/minio-go/v7/pkg/encrypt"

	"meridian/internal/hop"
	"meridian/internal/sse"
	"meridian/metadata"
	"meridian/origin/crypt"
	"meridian/origin/s3api"
)

// encrypting gives a world a master key.
func encrypting(t *testing.T) func(*s3api.Options) {
	t.Helper()
	ring, err := sse.NewRing([32]byte{1})
	if err != nil {
		t.Fatal(err)
	}
	return func(o *s3api.Options) {
		keys := &crypt.Keys{Ring: ring}
		o.Objects.Crypt, o.Uploads.Crypt = keys, keys
	}
}

const (
	byServer     = "x-amz-server-side-encryption: AES256"
	customer     = "x-amz-server-side-encryption-customer-"
	copySource   = "x-amz-copy-source-server-side-encryption-customer-"
	sseAlgorithm = "X-Amz-Server-Side-Encryption"
)

// keyHeaders are those of a customer's key, under a prefix.
func keyHeaders(prefix string, b byte) []string {
	key := bytes.Repeat([]byte{b}, 32)
	sum := md5.Sum(key)
	return []string{
		prefix + "algorithm: AES256", prefix + "key: " + base64.StdEncoding.EncodeToString(key),
		prefix + "key-MD5: " + base64.StdEncoding.EncodeToString(sum[:]),
	}
}

func with(more []string, headers ...string) []string { return slices.Concat(headers, more) }

// wantCipher fails where a blob of the store holds the text.
func (w *world) wantCipher(text []byte) {
	w.t.Helper()
	for info, err := range w.blobs.List(w.t.Context(), "") {
		if err != nil {
			w.t.Fatal(err)
		}
		r, err := w.blobs.Open(w.t.Context(), info.Key, 0, -1)
		if err != nil {
			w.t.Fatal(err)
		}
		b, err := io.ReadAll(r)
		if err != nil {
			w.t.Fatal(err)
		}
		_ = r.Close()
		if bytes.Contains(b, text) {
			w.t.Errorf("blob %s is in clear", info.Key)
		}
	}
}

var words = bytes.Repeat([]byte("what nobody else may read; "), 10_000)

func TestEncryptionByTheServer(t *testing.T) {
	t.Parallel()
	w := newWorld(t, encrypting(t))
	w.must("PUT", "/bkt", nil)
	told := func(what string, r reply) {
		t.Helper()
		if r.header.Get(sseAlgorithm) != "AES256" {
			t.Errorf("%s: encrypted %q", what, r.header.Get(sseAlgorithm))
		}
	}
	put := w.must("PUT", "/bkt/key", words, byServer)
	told("put", put)
	if put.header.Get("ETag") != `"`+hexMD5(words)+`"` {
		t.Errorf("ETag %s", put.header.Get("ETag"))
	}
	get := w.must("GET", "/bkt/key", nil)
	told("get", get)
	if !bytes.Equal(get.body, words) || get.header.Get("Content-Length") != strconv.Itoa(len(words)) {
		t.Errorf("read %d bytes", len(get.body))
	}
	told("head", w.must("HEAD", "/bkt/key", nil))
	part := w.must("GET", "/bkt/key", nil, "Range: bytes=65530-65545")
	if string(part.body) != string(words[65530:65546]) || part.status != 206 {
		t.Errorf("a range: %d %q", part.status, part.body)
	}
	told("copy", w.must("PUT", "/bkt/copy", nil, "x-amz-copy-source: /bkt/key", byServer))
	if got := w.must("GET", "/bkt/copy", nil).body; !bytes.Equal(got, words) {
		t.Errorf("copy of %d bytes", len(got))
	}

	// By the rule of the bucket.
	w.must("PUT", "/bkt?encryption", []byte(`<ServerSideEncryptionConfiguration><Rule><ApplyServerSideEncryptionByDefault><SSEAlgorithm>AES256</SSEAlgorithm></ApplyServerSideEncryptionByDefault><BucketKeyEnabled>true</BucketKeyEnabled></Rule></ServerSideEncryptionConfiguration>`))
	if got := string(w.must("GET", "/bkt?encryption", nil).body); !strings.Contains(got, "<SSEAlgorithm>AES256</SSEAlgorithm>") || !strings.Contains(got, "<BucketKeyEnabled>true</BucketKeyEnabled>") {
		t.Errorf("GetBucketEncryption: %s", got)
	}
	told("put by default", w.must("PUT", "/bkt/default", words))
	var begun struct {
		UploadID string `xml:"UploadId"`
	}
	create := w.must("POST", "/bkt/many?uploads", nil)
	told("create", create)
	if err := xml.Unmarshal(create.body, &begun); err != nil {
		t.Fatal(err)
	}
	uploaded := w.must("PUT", "/bkt/many?partNumber=1&uploadId="+begun.UploadID, words)
	told("part", uploaded)
	copied := w.must("PUT", "/bkt/many?partNumber=1&uploadId="+begun.UploadID, nil, "x-amz-copy-source: bkt/key", "x-amz-copy-source-range: bytes=5-70004")
	told("part copy", copied)
	var result struct{ ETag string }
	if err := xml.Unmarshal(copied.body, &result); err != nil || strings.Trim(result.ETag, `"`) != hexMD5(words[5:70005]) {
		t.Errorf("part copy: %s, %v", copied.body, err)
	}
	told("complete", w.must("POST", "/bkt/many?uploadId="+begun.UploadID,
		[]byte("<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>"+result.ETag+"</ETag></Part></CompleteMultipartUpload>")))
	if got := w.must("GET", "/bkt/many", nil); !bytes.Equal(got.body, words[5:70005]) {
		t.Errorf("multipart: %d bytes", len(got.body))
	}
	w.wantCipher(words[:100])
	w.must("DELETE", "/bkt?encryption", nil)
	w.refused(root, 404, "ServerSideEncryptionConfigurationNotFoundError", "GET", "/bkt?encryption", nil)
	if r := w.must("PUT", "/bkt/plain", words); r.header.Get(sseAlgorithm) != "" {
		t.Error("encrypted without being asked to")
	}
	if r := w.must("PUT", "/bkt/plain2", nil, "x-amz-copy-source: /bkt/key"); r.header.Get(sseAlgorithm) != "" {
		t.Error("a copy is encrypted as its source, not as its bucket")
	}
	// The same bytes over themselves, with other keys: this changes something.
	told("self-copy", w.must("PUT", "/bkt/plain", nil, "x-amz-copy-source: /bkt/plain", byServer))
}

func hexMD5(b []byte) string { return fmt.Sprintf("%x", md5.Sum(b)) }

// TestWithoutAMasterKey: what cannot be kept is refused, and before the body.
func TestWithoutAMasterKey(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.must("PUT", "/bkt", nil)
	config := []byte(`<ServerSideEncryptionConfiguration><Rule><ApplyServerSideEncryptionByDefault><SSEAlgorithm>AES256</SSEAlgorithm></ApplyServerSideEncryptionByDefault></Rule></ServerSideEncryptionConfiguration>`)
	w.refused(root, 501, "NotImplemented", "PUT", "/bkt/key", words, byServer)
	w.refused(root, 501, "NotImplemented", "POST", "/bkt/key?uploads", nil, byServer)
	w.refused(root, 501, "NotImplemented", "PUT", "/bkt?encryption", config)
	w.must("PUT", "/bkt/mine", words, keyHeaders(customer, 1)...)
}

func TestRefusedEncryption(t *testing.T) {
	t.Parallel()
	w := newWorld(t, encrypting(t))
	w.must("PUT", "/bkt", nil)
	mine := keyHeaders(customer, 1)
	for name, c := range map[string]struct {
		status  int
		code    string
		headers []string
	}{
		"kms":            {501, "NotImplemented", []string{"x-amz-server-side-encryption: aws:kms"}},
		"dsse":           {501, "NotImplemented", []string{"x-amz-server-side-encryption: aws:kms:dsse"}},
		"unknown":        {400, "InvalidArgument", []string{"x-amz-server-side-encryption: rot13"}},
		"only a kms key": {400, "InvalidArgument", []string{"x-amz-server-side-encryption-aws-kms-key-id: k"}},
		"both":           {400, "InvalidArgument", with(mine, byServer)},
		"no key":         {400, "InvalidArgument", mine[:1]},
		"no MD5":         {400, "InvalidArgument", mine[:2]},
		"no algorithm":   {400, "InvalidArgument", mine[1:]},
		"DES":            {400, "InvalidArgument", with(mine[1:], customer+"algorithm: DES")},
		"a short key":    {400, "InvalidArgument", []string{mine[0], customer + "key: c2hvcnQ=", mine[2]}},
		"no base64":      {400, "InvalidArgument", []string{mine[0], customer + "key: !", mine[2]}},
		"another MD5":    {400, "InvalidArgument", []string{mine[0], mine[1], customer + "key-MD5: AAAAAAAAAAAAAAAAAAAAAA=="}},
	} {
		for _, request := range [][2]string{{"PUT", "/bkt/key"}, {"POST", "/bkt/key?uploads"}} {
			r := w.refused(root, c.status, c.code, request[0], request[1], nil, c.headers...)
			if key := strings.TrimPrefix(mine[1], customer+"key: "); bytes.Contains(r.body, []byte(key)) {
				t.Errorf("%s: the answer holds the key: %s", name, r.body)
			}
		}
	}
	for _, rule := range []string{"", "<Rule/><Rule/>"} {
		w.refused(root, 400, "MalformedXML", "PUT", "/bkt?encryption", []byte("<ServerSideEncryptionConfiguration>"+rule+"</ServerSideEncryptionConfiguration>"))
	}
	for algorithm, want := range map[string]string{"aws:kms": "NotImplemented", "DES": "MalformedXML"} {
		status := map[string]int{"NotImplemented": 501, "MalformedXML": 400}[want]
		w.refused(root, status, want, "PUT", "/bkt?encryption", []byte("<ServerSideEncryptionConfiguration><Rule><ApplyServerSideEncryptionByDefault><SSEAlgorithm>"+algorithm+
			"</SSEAlgorithm></ApplyServerSideEncryptionByDefault></Rule></ServerSideEncryptionConfiguration>"))
	}
	w.refused(root, 404, "NoSuchBucket", "GET", "/missing?encryption", nil)
	w.must("PUT", "/bkt/key", words)
	w.refused(root, 400, "InvalidArgument", "GET", "/bkt/key", nil, byServer)
}

func TestEncryptionByTheCustomer(t *testing.T) {
	t.Parallel()
	w := newWorld(t, encrypting(t))
	w.must("PUT", "/bkt", nil)
	mine, other := keyHeaders(customer, 1), keyHeaders(customer, 2)
	put := w.must("PUT", "/bkt/key", words, mine...)
	if e := put.header.Get("ETag"); len(e) != 34 || e == `"`+hexMD5(words)+`"` {
		t.Errorf("ETag %s", e)
	}
	if put.header.Get(sseAlgorithm+"-Customer-Key-Md5") != strings.TrimPrefix(mine[2], customer+"key-MD5: ") || put.header.Get(sseAlgorithm+"-Customer-Algorithm") != "AES256" {
		t.Errorf("put answers %v", put.header)
	}
	w.must("PUT", "/bkt/empty", nil, mine...)
	w.must("PUT", "/bkt/plain", words)
	w.wantCipher([]byte(strings.TrimPrefix(mine[1], customer+"key: ")))

	get := w.must("GET", "/bkt/key", nil, mine...)
	if !bytes.Equal(get.body, words) || get.header.Get(sseAlgorithm+"-Customer-Algorithm") != "AES256" {
		t.Errorf("read %d bytes, %v", len(get.body), get.header)
	}
	if got := w.must("GET", "/bkt/key", nil, with(mine, "Range: bytes=-5")...); string(got.body) != string(words[len(words)-5:]) {
		t.Errorf("a range: %q", got.body)
	}
	attributes := "x-amz-object-attributes: ETag,ObjectSize"
	w.must("HEAD", "/bkt/key", nil, mine...)
	w.must("GET", "/bkt/key?attributes", nil, with(mine, attributes)...)
	for _, key := range []string{"/bkt/key", "/bkt/empty"} {
		for _, request := range [][2]string{{"GET", ""}, {"HEAD", ""}, {"GET", "?attributes"}, {"GET", "?partNumber=1"}} {
			path := key + request[1]
			r := w.refused(root, 400, "InvalidRequest", request[0], path, nil, attributes)
			if r.header.Get("ETag") != "" || r.header.Get("Content-Type") != "application/xml" {
				t.Errorf("%s %s tells of the object: %v", request[0], path, r.header)
			}
			w.refused(root, 403, "AccessDenied", request[0], path, nil, with(other, attributes)...)
		}
	}
	w.refused(root, 400, "InvalidRequest", "GET", "/bkt/plain", nil, mine...)

	// Copies, from and to.
	source := "x-amz-copy-source: bkt/key"
	w.refused(root, 400, "InvalidRequest", "PUT", "/bkt/copy", nil, source)
	w.refused(root, 400, "InvalidRequest", "PUT", "/bkt/copy", nil, with(mine, source)...)
	w.refused(root, 403, "AccessDenied", "PUT", "/bkt/copy", nil, with(keyHeaders(copySource, 2), source)...)
	w.must("PUT", "/bkt/copy", nil, with(keyHeaders(copySource, 1), source, byServer)...)
	if got := w.must("GET", "/bkt/copy", nil).body; !bytes.Equal(got, words) {
		t.Errorf("copy of %d bytes", len(got))
	}
	w.must("PUT", "/bkt/key", nil, slices.Concat([]string{source}, keyHeaders(copySource, 1), other)...) // another key for the same
	if got := w.must("GET", "/bkt/key", nil, other...).body; !bytes.Equal(got, words) {
		t.Errorf("under another key: %d bytes", len(got))
	}
	w.refused(root, 403, "AccessDenied", "GET", "/bkt/key", nil, mine...)
}

func TestMultipartByTheCustomer(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.must("PUT", "/bkt", nil)
	mine, other := keyHeaders(customer, 1), keyHeaders(customer, 2)
	var begun struct {
		UploadID string `xml:"UploadId"`
	}
	if err := xml.Unmarshal(w.must("POST", "/bkt/many?uploads", nil, mine...).body, &begun); err != nil {
		t.Fatal(err)
	}
	path := "/bkt/many?uploadId=" + begun.UploadID
	w.refused(root, 400, "InvalidRequest", "PUT", path+"&partNumber=1", words)
	w.refused(root, 400, "InvalidRequest", "PUT", path+"&partNumber=1", words, other...)
	etag := w.must("PUT", path+"&partNumber=1", words, mine...).header.Get("ETag")
	complete := []byte("<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>" + etag + "</ETag></Part></CompleteMultipartUpload>")
	w.refused(root, 400, "InvalidRequest", "POST", path, complete, other...)
	w.must("POST", path, complete)
	if got := w.must("GET", "/bkt/many", nil, mine...); !bytes.Equal(got.body, words) {
		t.Errorf("read %d bytes", len(got.body))
	}
	w.refused(root, 400, "InvalidRequest", "GET", "/bkt/many", nil)

	// An upload with checksums is completed with its key.
	sum := sha256.Sum256(words)
	sha := base64.StdEncoding.EncodeToString(sum[:])
	if err := xml.Unmarshal(w.must("POST", "/bkt/summed?uploads", nil, append(mine, "x-amz-checksum-algorithm: SHA256")...).body, &begun); err != nil {
		t.Fatal(err)
	}
	path = "/bkt/summed?uploadId=" + begun.UploadID
	part := w.must("PUT", path+"&partNumber=1", words, append(mine, "x-amz-sdk-checksum-algorithm: SHA256", "x-amz-checksum-sha256: "+sha)...)
	complete = []byte("<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>" + part.header.Get("ETag") +
		"</ETag><ChecksumSHA256>" + sha + "</ChecksumSHA256></Part></CompleteMultipartUpload>")
	w.refused(root, 400, "InvalidRequest", "POST", path, complete)
	w.must("POST", path, complete, mine...)
	w.wantCipher(words[:100])
}

// TestPeersGetWhatIsStored: bytes go from region to region as they lie.
func TestPeersGetWhatIsStored(t *testing.T) {
	t.Parallel()
	w := newWorld(t, encrypting(t))
	w.must("PUT", "/bkt", nil)
	w.must("PUT", "/bkt/key", words, keyHeaders(customer, 1)...)
	v, err := w.catalog.Lookup(t.Context(), metadata.Ref{Bucket: "bkt", Key: "key"})
	if err != nil {
		t.Fatal(err)
	}
	r := w.do(node, "GET", "/bkt/key", nil, hop.RequestLocal+": 1", hop.RequestVersion+": "+v.ID, "Range: bytes=0-"+strconv.FormatInt(v.StoredSize()-1, 10))
	if int64(len(r.body)) != v.StoredSize() || bytes.Contains(r.body, words[:30]) || r.status != http.StatusPartialContent {
		t.Errorf("%d: %d bytes of %d", r.status, len(r.body), v.StoredSize())
	}
	// A cache is a client like any other.
	w.refused(node, 400, "InvalidRequest", "GET", "/bkt/key", nil)
}

func TestFormThatIsEncrypted(t *testing.T) {
	t.Parallel()
	w := newWorld(t, encrypting(t))
	w.must("PUT", "/photos", nil)
	p := signedForm(writer, []string{`{"key": "form.txt"}`, `["starts-with", "$x-amz-server-side-encryption", ""]`},
		[2]string{"key", "form.txt"}, [2]string{"x-amz-server-side-encryption", "AES256"})
	p.file = words
	if r := w.post(p); r.status != http.StatusNoContent || r.header.Get(sseAlgorithm) != "AES256" {
		t.Errorf("%d %s", r.status, r.body)
	}
	if got := w.must("GET", "/photos/form.txt", nil).body; !bytes.Equal(got, words) {
		t.Errorf("read %d bytes", len(got))
	}
	w.wantCipher(words[:100])
}

// TestEncryptionWithRealClients goes through what SDKs make of it.
func TestEncryptionWithRealClients(t *testing.T) {
	t.Parallel()
	w := newWorld(t, encrypting(t))
	w.must("PUT", "/bkt", nil)
	ctx := t.Context()
	key, err := encrypt.NewSSEC(bytes.Repeat([]byte{7}, 32))
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewTLSServer(w.handler)
	t.Cleanup(srv.Close)
	for name, e := range map[string]encrypt.ServerSide{"server": encrypt.NewSSE(), "customer": key} {
		c, err := minio.New(strings.TrimPrefix(srv.URL, "https://"), &minio.Options{
			Creds: miniocreds.NewStaticV4(root.key, root.secret, ""), Secure: true, Transport: srv.Client().Transport, Region: region,
		})
		if err != nil {
			t.Fatal(err)
		}
		body := bytes.Repeat(words, 50) // more than two parts of 5 MiB
		info, err := c.PutObject(ctx, "bkt", name, bytes.NewReader(body), int64(len(body)), minio.PutObjectOptions{ServerSideEncryption: e, PartSize: 5 << 20})
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		get := minio.GetObjectOptions{}
		if e.Type() == encrypt.SSEC {
			get.ServerSideEncryption = e
		}
		if err := get.SetRange(5<<20-3, 5<<20+3); err != nil {
			t.Fatal(err)
		}
		o, err := c.GetObject(ctx, "bkt", name, get)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(o)
		if err != nil || !bytes.Equal(got, body[5<<20-3:5<<20+4]) {
			t.Errorf("%s: %d bytes of %d, %v", name, len(got), info.Size, err)
		}
	}

	client := w.aws(root)
	_, err = client.PutBucketEncryption(ctx, &s3.PutBucketEncryptionInput{Bucket: aws.String("bkt"), ServerSideEncryptionConfiguration: &types.ServerSideEncryptionConfiguration{
		Rules: []types.ServerSideEncryptionRule{{ApplyServerSideEncryptionByDefault: &types.ServerSideEncryptionByDefault{SSEAlgorithm: types.ServerSideEncryptionAes256}}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	config, err := client.GetBucketEncryption(ctx, &s3.GetBucketEncryptionInput{Bucket: aws.String("bkt")})
	if err != nil || config.ServerSideEncryptionConfiguration.Rules[0].ApplyServerSideEncryptionByDefault.SSEAlgorithm != types.ServerSideEncryptionAes256 {
		t.Errorf("GetBucketEncryption: %+v, %v", config, err)
	}
	put, err := client.PutObject(ctx, &s3.PutObjectInput{Bucket: aws.String("bkt"), Key: aws.String("aws"), Body: bytes.NewReader(words)})
	if err != nil || put.ServerSideEncryption != types.ServerSideEncryptionAes256 {
		t.Errorf("PutObject: %+v, %v", put, err)
	}
	get, err := client.GetObject(ctx, &s3.GetObjectInput{Bucket: aws.String("bkt"), Key: aws.String("aws")})
	if err != nil {
		t.Fatal(err)
	}
	defer get.Body.Close()
	if got, err := io.ReadAll(get.Body); err != nil || !bytes.Equal(got, words) {
		t.Errorf("GetObject: %d bytes, %v", len(got), err)
	}
	var refused interface{ ErrorCode() string }
	_, err = client.HeadObject(ctx, &s3.HeadObjectInput{Bucket: aws.String("bkt"), Key: aws.String("customer")})
	if !errors.As(err, &refused) {
		t.Errorf("HeadObject without the key: %v", err)
	}
}
