package s3api_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go"
	"github.com/minio/minio-go/v7"

	"meridian/internal/hop"
	"meridian/metadata"
)

// pattern is n bytes that repeat nowhere, so that a piece out of place shows.
func pattern(n int) []byte {
	b := make([]byte, n)
	r := rand.NewChaCha8([32]byte{1})
	_, _ = r.Read(b) // never fails
	return b
}

func TestObjectThroughAWS(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c, ctx := w.aws(root), t.Context()
	if _, err := c.CreateBucket(ctx, &s3.CreateBucketInput{Bucket: aws.String("bkt"), CreateBucketConfiguration: &types.CreateBucketConfiguration{LocationConstraint: "europe"}}); err != nil {
		t.Fatal(err)
	}
	body := pattern(300_000)
	put, err := c.PutObject(ctx, &s3.PutObjectInput{
		Bucket: aws.String("bkt"), Key: aws.String("photos/é a.jpg"), Body: bytes.NewReader(body),
		ContentType: aws.String("image/jpeg"), CacheControl: aws.String("max-age=60"), ContentDisposition: aws.String("inline"),
		ContentLanguage: aws.String("de"), Metadata: map[string]string{"Camera": "x100", "empty": ""}, Tagging: aws.String("a=1&b=2"),
	})
	if err != nil {
		t.Fatal(err)
	}
	if aws.ToString(put.ChecksumCRC32) == "" || put.ChecksumType != types.ChecksumTypeFullObject || put.VersionId != nil {
		t.Errorf("put: %+v", put)
	}
	get, err := c.GetObject(ctx, &s3.GetObjectInput{Bucket: aws.String("bkt"), Key: aws.String("photos/é a.jpg"), ChecksumMode: types.ChecksumModeEnabled})
	if err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(get.Body)
	if err != nil || !bytes.Equal(got, body) {
		t.Errorf("read %d bytes, %v", len(got), err)
	}
	if aws.ToString(get.ETag) != aws.ToString(put.ETag) || aws.ToString(get.ContentType) != "image/jpeg" ||
		aws.ToString(get.CacheControl) != "max-age=60" || aws.ToString(get.ContentLanguage) != "de" ||
		get.Metadata["camera"] != "x100" || len(get.Metadata) != 2 || aws.ToInt32(get.TagCount) != 2 ||
		aws.ToString(get.ChecksumCRC32) != aws.ToString(put.ChecksumCRC32) {
		t.Errorf("get: %+v", get)
	}
	tags, err := c.GetObjectTagging(ctx, &s3.GetObjectTaggingInput{Bucket: aws.String("bkt"), Key: aws.String("photos/é a.jpg")})
	if err != nil || len(tags.TagSet) != 2 || aws.ToString(tags.TagSet[1].Value) != "2" {
		t.Errorf("tags: %+v, %v", tags, err)
	}
	attrs, err := c.GetObjectAttributes(ctx, &s3.GetObjectAttributesInput{Bucket: aws.String("bkt"), Key: aws.String("photos/é a.jpg"),
		ObjectAttributes: []types.ObjectAttributes{types.ObjectAttributesEtag, types.ObjectAttributesObjectSize, types.ObjectAttributesChecksum}})
	if err != nil || aws.ToInt64(attrs.ObjectSize) != 300_000 || aws.ToString(attrs.Checksum.ChecksumCRC32) == "" || aws.ToTime(attrs.LastModified).IsZero() ||
		`"`+aws.ToString(attrs.ETag)+`"` != aws.ToString(put.ETag) {
		t.Errorf("attributes: %+v, %v", attrs, err)
	}
	if _, err := c.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: aws.String("bkt"), Key: aws.String("photos/é a.jpg")}); err != nil {
		t.Error(err)
	}
	_, err = c.GetObject(ctx, &s3.GetObjectInput{Bucket: aws.String("bkt"), Key: aws.String("photos/é a.jpg")})
	var missing *types.NoSuchKey
	if !errors.As(err, &missing) {
		t.Errorf("after delete: %v", err)
	}
	if head, err := c.HeadBucket(ctx, &s3.HeadBucketInput{Bucket: aws.String("bkt")}); err != nil || aws.ToString(head.BucketRegion) != "europe" {
		t.Errorf("head bucket: %+v, %v", head, err)
	}
	if _, err := c.DeleteBucket(ctx, &s3.DeleteBucketInput{Bucket: aws.String("bkt")}); err != nil {
		t.Error(err)
	}
}

// Every way in which today's SDKs frame a body: plain and signed, unsigned with
// a trailer, signed chunks, signed chunks with a trailer.
func TestBodiesAsSDKsSendThem(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.must("PUT", "/bkt", nil)
	ctx := t.Context()
	body := pattern(200_001)
	check := func(name string, err error) {
		t.Helper()
		if err != nil {
			t.Errorf("%s: %v", name, err)
			return
		}
		if got := w.must("GET", "/bkt/"+name, nil); !bytes.Equal(got.body, body) {
			t.Errorf("%s: %d bytes came back", name, len(got.body))
		}
	}
	for _, alg := range types.ChecksumAlgorithm("").Values() {
		if strings.HasPrefix(string(alg), "XXHASH") || alg == "SHA512" || alg == "MD5" {
			continue
		}
		name := "aws-" + string(alg)
		_, err := w.aws(root).PutObject(ctx, &s3.PutObjectInput{Bucket: aws.String("bkt"), Key: aws.String(name), Body: bytes.NewReader(body), ChecksumAlgorithm: alg})
		check(name, err)
	}
	overTLS := w.awsTLS(root)
	_, err := overTLS.PutObject(ctx, &s3.PutObjectInput{Bucket: aws.String("bkt"), Key: aws.String("aws-tls"), Body: bytes.NewReader(body)})
	check("aws-tls", err)
	_, err = overTLS.PutObject(ctx, &s3.PutObjectInput{Bucket: aws.String("bkt"), Key: aws.String("aws-stream"),
		Body: onlyReader{bytes.NewReader(body)}, ContentLength: aws.Int64(int64(len(body)))},
		s3.WithAPIOptions(v4.SwapComputePayloadSHA256ForUnsignedPayloadMiddleware))
	check("aws-stream", err)
	_, err = w.aws(root).PutObject(ctx, &s3.PutObjectInput{Bucket: aws.String("bkt"), Key: aws.String("aws-unsigned"),
		Body: onlyReader{bytes.NewReader(body)}, ContentLength: aws.Int64(int64(len(body)))},
		s3.WithAPIOptions(v4.SwapComputePayloadSHA256ForUnsignedPayloadMiddleware),
		func(o *s3.Options) { o.RequestChecksumCalculation = aws.RequestChecksumCalculationWhenRequired })
	check("aws-unsigned", err)

	m := w.minio(root, func(o *minio.Options) { o.TrailingHeaders = true })
	_, err = m.PutObject(ctx, "bkt", "minio-trailer", bytes.NewReader(body), int64(len(body)), minio.PutObjectOptions{})
	check("minio-trailer", err)
	_, err = m.PutObject(ctx, "bkt", "minio-sha256", bytes.NewReader(body), int64(len(body)), minio.PutObjectOptions{Checksum: minio.ChecksumSHA256})
	check("minio-sha256", err)
	_, err = w.minio(root).PutObject(ctx, "bkt", "minio-chunks", bytes.NewReader(body), int64(len(body)), minio.PutObjectOptions{ContentEncoding: "identity"})
	check("minio-chunks", err)
	_, err = w.minio(root).PutObject(ctx, "bkt", "minio-md5", bytes.NewReader(body), int64(len(body)), minio.PutObjectOptions{SendContentMd5: true})
	check("minio-md5", err)
	info, err := m.StatObject(ctx, "bkt", "minio-sha256", minio.StatObjectOptions{Checksum: true})
	if err != nil || info.ChecksumSHA256 == "" {
		t.Errorf("stat: %+v, %v", info, err)
	}
	if r := w.must("HEAD", "/bkt/minio-trailer", nil); r.header.Get("Content-Encoding") != "" {
		t.Errorf("the encoding of the request was stored: %v", r.header)
	}
	if r := w.must("HEAD", "/bkt/minio-chunks", nil); r.header.Get("Content-Encoding") != "identity" {
		t.Errorf("content encoding: %v", r.header)
	}
}

type onlyReader struct{ io.Reader }

func TestDefaultChecksum(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.must("PUT", "/bkt", nil)
	r := w.must("PUT", "/bkt/key", []byte("123456789"))
	const crc64 = "rosUhgp5mIg=" // of "123456789", from the catalogue of CRCs
	if got := r.header.Get("X-Amz-Checksum-Crc64nvme"); got != crc64 || r.header.Get("X-Amz-Checksum-Type") != "FULL_OBJECT" {
		t.Errorf("put: %v", r.header)
	}
	if r := w.must("GET", "/bkt/key", nil); r.header.Get("X-Amz-Checksum-Crc64nvme") != "" {
		t.Errorf("checksum that nobody asked for: %v", r.header)
	}
	if r := w.must("GET", "/bkt/key", nil, "x-amz-checksum-mode: ENABLED"); r.header.Get("X-Amz-Checksum-Crc64nvme") != crc64 {
		t.Errorf("get: %v", r.header)
	}
	if r := w.must("GET", "/bkt/key", nil, "x-amz-checksum-mode: ENABLED", "Range: bytes=0-3"); r.header.Get("X-Amz-Checksum-Crc64nvme") != "" {
		t.Errorf("a checksum of the whole with a part: %v", r.header)
	}
}

func TestReads(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.must("PUT", "/bkt", nil)
	w.must("PUT", "/bkt/key", []byte("0123456789"), "Cache-Control: max-age=5", "Surrogate-Key: a b", "CDN-Cache-Control: max-age=9",
		"Content-Encoding: aws-chunked, deflate, gzip", "x-amz-meta-Mixed-Case: V")
	w.must("PUT", "/bkt/empty", nil)
	whole := w.must("GET", "/bkt/key", nil)
	etag, modified := whole.header.Get("ETag"), whole.header.Get("Last-Modified")
	if whole.header.Get("Content-Encoding") != "deflate, gzip" || whole.header.Get("Content-Type") != "binary/octet-stream" ||
		whole.header.Get("Surrogate-Key") != "a b" || whole.header.Get("Cdn-Cache-Control") != "max-age=9" ||
		whole.header.Get("X-Amz-Meta-Mixed-Case") != "V" || whole.header.Get("Accept-Ranges") != "bytes" ||
		whole.header.Get("X-Amz-Version-Id") != "" || whole.header.Get("Server") != "Meridian" || whole.header.Get(hop.Version) != "" {
		t.Errorf("headers: %v", whole.header)
	}
	for _, tt := range []struct {
		path, headers string
		status        int
		body, extra   string
	}{
		{"/bkt/key", "Range: bytes=2-4", 206, "234", "Content-Range: bytes 2-4/10"},
		{"/bkt/key", "Range: bytes=-2", 206, "89", "Content-Range: bytes 8-9/10"},
		{"/bkt/key", "Range: bytes=0-1,5-6", 200, "0123456789", ""},
		{"/bkt/key", "Range: lines=0-1", 200, "0123456789", ""},
		{"/bkt/key", "Range: bytes=2-4|If-Range: " + etag, 206, "234", ""},
		{"/bkt/key", `Range: bytes=2-4|If-Range: "other"`, 200, "0123456789", ""},
		{"/bkt/key", "Range: bytes=2-4|If-Range: " + modified, 206, "234", ""},
		{"/bkt/key", "If-None-Match: " + etag, 304, "", "ETag: " + etag},
		{"/bkt/key", "If-Modified-Since: " + modified, 304, "", "Cache-Control: max-age=5"},
		{"/bkt/key?partNumber=1", "", 206, "0123456789", "Content-Range: bytes 0-9/10"},
		{"/bkt/key?response-content-type=text/plain&response-cache-control=no-store", "", 200, "0123456789", "Content-Type: text/plain"},
		{"/bkt/empty", "", 200, "", "Content-Length: 0"},
		{"/bkt/empty?partNumber=1", "", 200, "", ""},
	} {
		var headers []string
		if tt.headers != "" {
			headers = strings.Split(tt.headers, "|")
		}
		for _, method := range []string{"GET", "HEAD"} {
			r := w.do(root, method, tt.path, nil, headers...)
			body := tt.body
			if method == "HEAD" {
				if r.header.Get("Content-Length") != strconv.Itoa(len(body)) && r.status != 304 {
					t.Errorf("HEAD %s %q: length %q", tt.path, tt.headers, r.header.Get("Content-Length"))
				}
				body = ""
			}
			if r.status != tt.status || string(r.body) != body {
				t.Errorf("%s %s %q: %d %q", method, tt.path, tt.headers, r.status, r.body)
			}
			if name, value, ok := strings.Cut(tt.extra, ": "); ok && r.header.Get(name) != value {
				t.Errorf("%s %s %q: %s is %q", method, tt.path, tt.headers, name, r.header.Get(name))
			}
		}
	}
}

// Names of metadata come back in lower case on the wire, not as net/http writes
// headers: clients take them for keys.
func TestMetadataNamesOnTheWire(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.must("PUT", "/bkt", nil)
	w.must("PUT", "/bkt/key", []byte("x"), "x-amz-meta-Foo-Bar: 1")
	conn := w.raw(t, w.head(t, root, "GET", "/bkt/key", "Connection: close")...)
	var buf bytes.Buffer
	if _, err := buf.ReadFrom(conn); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(buf.String(), "\r\nx-amz-meta-foo-bar: 1\r\n") || !strings.Contains(buf.String(), "\r\nETag: ") {
		t.Errorf("%s", buf.String())
	}
}

func TestKeysAreTakenAsTheyAre(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.must("PUT", "/bkt", nil)
	keys := []string{"a//b", "/lead", "a/../b", "./x", "..", "a/", "//", "sp ace+plus", "q?m=1&x", "per%cent", "é東\U0001F600", "tab\there", "~!*'();:@$,[]"}
	escaped := func(key string) string {
		var b strings.Builder
		for i := range len(key) {
			c := key[i]
			if c == '/' || c == '.' || c >= 'a' && c <= 'z' {
				b.WriteByte(c)
			} else {
				b.WriteString("%" + strings.ToUpper(strconv.FormatUint(uint64(c)+0x100, 16)[1:]))
			}
		}
		return b.String()
	}
	for i, key := range keys {
		w.must("PUT", "/bkt/"+escaped(key), []byte(strconv.Itoa(i)))
	}
	for i, key := range keys {
		if r := w.must("GET", "/bkt/"+escaped(key), nil); string(r.body) != strconv.Itoa(i) {
			t.Errorf("%q is %q", key, r.body)
		}
		r := w.request("GET", "/"+escaped(key), nil)
		r.Host = "bkt.s3.test"
		w.sign(r, root)
		if got := w.send(r); string(got.body) != strconv.Itoa(i) {
			t.Errorf("virtual-host style: %q is %d %q", key, got.status, got.body)
		}
	}
	page, err := w.aws(root).ListObjectsV2(t.Context(), &s3.ListObjectsV2Input{Bucket: aws.String("bkt")})
	if err != nil {
		t.Fatal(err)
	}
	var listed []string
	for _, o := range page.Contents {
		listed = append(listed, aws.ToString(o.Key))
	}
	slices.Sort(keys)
	if !slices.Equal(listed, keys) {
		t.Errorf("listed %q", listed)
	}
}

func TestCopy(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.must("PUT", "/bkt", nil)
	w.must("PUT", "/dst", nil)
	body := pattern(100_000)
	src := w.must("PUT", "/bkt/a%20b", body, "Content-Type: image/png", "x-amz-meta-k: v", "x-amz-tagging: t=1", "Surrogate-Key: s")
	w.must("PUT", "/dst/copy", nil, "x-amz-copy-source: /bkt/a%20b")
	got := w.must("GET", "/dst/copy", nil)
	if !bytes.Equal(got.body, body) || got.header.Get("Content-Type") != "image/png" || got.header.Get("X-Amz-Meta-K") != "v" ||
		got.header.Get("X-Amz-Tagging-Count") != "1" || got.header.Get("Surrogate-Key") != "s" || got.header.Get("ETag") != src.header.Get("ETag") {
		t.Errorf("copy: %v", got.header)
	}
	w.must("PUT", "/dst/copy", nil, "x-amz-copy-source: bkt/a%20b", "x-amz-metadata-directive: REPLACE", "Content-Type: text/plain",
		"x-amz-meta-new: n", "x-amz-tagging-directive: REPLACE", "x-amz-tagging: x=1&y=2")
	got = w.must("GET", "/dst/copy", nil)
	if !bytes.Equal(got.body, body) || got.header.Get("Content-Type") != "text/plain" || got.header.Get("X-Amz-Meta-K") != "" ||
		got.header.Get("X-Amz-Meta-New") != "n" || got.header.Get("X-Amz-Tagging-Count") != "2" {
		t.Errorf("replaced: %v", got.header)
	}
	w.refused(root, 400, "InvalidArgument", "PUT", "/dst/copy", nil, "x-amz-copy-source: bkt/a%20b", "x-amz-metadata-directive: MERGE")
	w.must("PUT", "/bkt/a%20b", nil, "x-amz-copy-source: bkt/a%20b", "x-amz-metadata-directive: REPLACE", "x-amz-meta-self: 1")
	if got := w.must("GET", "/bkt/a%20b", nil); !bytes.Equal(got.body, body) || got.header.Get("X-Amz-Meta-Self") != "1" {
		t.Errorf("copy onto itself: %v", got.header)
	}
	w.must("PUT", "/dst/empty", nil)
	w.must("PUT", "/dst/empty2", nil, "x-amz-copy-source: dst/empty")
	if got := w.must("GET", "/dst/empty2", nil); len(got.body) != 0 {
		t.Errorf("copy of an empty object: %q", got.body)
	}
	if _, err := w.minio(root).CopyObject(t.Context(), minio.CopyDestOptions{Bucket: "dst", Object: "minio"}, minio.CopySrcOptions{Bucket: "bkt", Object: "a b"}); err != nil {
		t.Error(err)
	}
}

func TestVersions(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c, ctx := w.aws(root), t.Context()
	bkt, key := aws.String("bkt"), aws.String("key")
	w.must("PUT", "/bkt", nil)
	w.must("PUT", "/bkt/key", []byte("null"))
	if r := w.must("GET", "/bkt?versioning", nil); strings.Contains(string(r.body), "Status") {
		t.Errorf("versioning before: %s", r.body)
	}
	setVersioning := func(s types.BucketVersioningStatus) {
		t.Helper()
		if _, err := c.PutBucketVersioning(ctx, &s3.PutBucketVersioningInput{Bucket: bkt, VersioningConfiguration: &types.VersioningConfiguration{Status: s}}); err != nil {
			t.Fatal(err)
		}
	}
	setVersioning(types.BucketVersioningStatusEnabled)
	put := func(body string) string {
		t.Helper()
		out, err := c.PutObject(ctx, &s3.PutObjectInput{Bucket: bkt, Key: key, Body: strings.NewReader(body)})
		if err != nil {
			t.Fatal(err)
		}
		return aws.ToString(out.VersionId)
	}
	get := func(version string) string {
		t.Helper()
		path := "/bkt/key"
		if version != "" {
			path += "?versionId=" + version
		}
		r := w.do(root, "GET", path, nil)
		if r.status != 200 {
			return strconv.Itoa(r.status)
		}
		if version != "" && r.header.Get("X-Amz-Version-Id") != version {
			t.Errorf("version %s answers as %s", version, r.header.Get("X-Amz-Version-Id"))
		}
		return string(r.body)
	}
	one, two := put("one"), put("two")
	if get("") != "two" || get(one) != "one" || get(two) != "two" || get("null") != "null" {
		t.Errorf("%s %s %s %s", get(""), get(one), get(two), get("null"))
	}
	del, err := c.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: bkt, Key: key})
	if err != nil || !aws.ToBool(del.DeleteMarker) || aws.ToString(del.VersionId) == "" {
		t.Fatalf("delete: %+v, %v", del, err)
	}
	marker := aws.ToString(del.VersionId)
	if r := w.refused(root, 404, "NoSuchKey", "GET", "/bkt/key", nil); r.header.Get("X-Amz-Delete-Marker") != "true" || r.header.Get("X-Amz-Version-Id") != marker {
		t.Errorf("deleted: %v", r.header)
	}
	if r := w.refused(root, 405, "MethodNotAllowed", "GET", "/bkt/key?versionId="+marker, nil); r.header.Get("X-Amz-Delete-Marker") != "true" || r.header.Get("Allow") != "DELETE" {
		t.Errorf("marker: %v", r.header)
	}
	list, err := c.ListObjectVersions(ctx, &s3.ListObjectVersionsInput{Bucket: bkt})
	if err != nil || len(list.Versions) != 3 || len(list.DeleteMarkers) != 1 || !aws.ToBool(list.DeleteMarkers[0].IsLatest) {
		t.Errorf("versions: %+v, %v", list, err)
	}
	undel, err := c.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: bkt, Key: key, VersionId: &marker})
	if err != nil || !aws.ToBool(undel.DeleteMarker) || aws.ToString(undel.VersionId) != marker {
		t.Errorf("removing the marker: %+v, %v", undel, err)
	}
	if get("") != "two" {
		t.Errorf("after the marker: %s", get(""))
	}
	setVersioning(types.BucketVersioningStatusSuspended)
	if v := put("three"); v != "" {
		t.Errorf("suspended put is version %q", v)
	}
	if get("null") != "three" || get(two) != "two" {
		t.Errorf("%s %s", get("null"), get(two))
	}
	if _, err := c.DeleteBucket(ctx, &s3.DeleteBucketInput{Bucket: bkt}); apiCode(err) != "BucketNotEmpty" {
		t.Errorf("delete bucket: %v", err)
	}
	// Page by page the listing is the same as at once.
	var ids []string
	for p := s3.NewListObjectVersionsPaginator(c, &s3.ListObjectVersionsInput{Bucket: bkt, MaxKeys: aws.Int32(1)}); p.HasMorePages(); {
		page, err := p.NextPage(ctx)
		if err != nil {
			t.Fatal(err)
		}
		for _, v := range page.Versions {
			ids = append(ids, aws.ToString(v.VersionId))
		}
	}
	if !slices.Equal(ids, []string{"null", two, one}) {
		t.Errorf("pages: %q, want null, %q, %q", ids, two, one)
	}
}

func apiCode(err error) string {
	var api smithy.APIError
	if errors.As(err, &api) {
		return api.ErrorCode()
	}
	return ""
}

func TestDeleteMany(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.must("PUT", "/bkt", nil)
	var ids []types.ObjectIdentifier
	for i := range 30 {
		key := "k" + strconv.Itoa(i)
		w.must("PUT", "/bkt/"+key, []byte("x"))
		ids = append(ids, types.ObjectIdentifier{Key: &key})
	}
	ids = append(ids, types.ObjectIdentifier{Key: aws.String("missing")})
	out, err := w.aws(root).DeleteObjects(t.Context(), &s3.DeleteObjectsInput{Bucket: aws.String("bkt"), Delete: &types.Delete{Objects: ids}})
	if err != nil || len(out.Deleted) != 31 || len(out.Errors) != 0 {
		t.Errorf("%+v, %v", out, err)
	}
	w.must("PUT", "/bkt/kept", []byte("x"))
	w.must("PUT", "/bkt/gone", []byte("x"))
	out, err = w.aws(root).DeleteObjects(t.Context(), &s3.DeleteObjectsInput{Bucket: aws.String("bkt"), Delete: &types.Delete{
		Quiet:   aws.Bool(true),
		Objects: []types.ObjectIdentifier{{Key: aws.String("kept"), ETag: aws.String(`"other"`)}, {Key: aws.String("gone")}},
	}})
	if err != nil || len(out.Deleted) != 0 || len(out.Errors) != 1 || aws.ToString(out.Errors[0].Code) != "PreconditionFailed" {
		t.Errorf("%+v, %v", out, err)
	}
	w.must("GET", "/bkt/kept", nil)
	w.refused(root, 404, "NoSuchKey", "GET", "/bkt/gone", nil)
	objects := make(chan minio.ObjectInfo, 1)
	objects <- minio.ObjectInfo{Key: "kept"}
	close(objects)
	for e := range w.minio(root).RemoveObjects(t.Context(), "bkt", objects, minio.RemoveObjectsOptions{}) {
		t.Error(e)
	}
	w.refused(root, 404, "NoSuchKey", "GET", "/bkt/kept", nil)
}

func TestCreateOnly(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.must("PUT", "/bkt", nil)
	results := make(chan int)
	for i := range 8 {
		go func() {
			results <- w.do(root, "PUT", "/bkt/key", []byte{byte(i)}, "If-None-Match: *").status
		}()
	}
	count := map[int]int{}
	for range 8 {
		count[<-results]++
	}
	if count[200] != 1 || count[412] != 7 {
		t.Errorf("answers: %v", count)
	}
	if n := w.blobCount(); n != 1 {
		t.Errorf("%d blobs", n)
	}
}

func TestPresigned(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.must("PUT", "/bkt", nil)
	p := s3.NewPresignClient(w.aws(root))
	put, err := p.PresignPutObject(t.Context(), &s3.PutObjectInput{Bucket: aws.String("bkt"), Key: aws.String("a b"), Metadata: map[string]string{"m": "1"}})
	if err != nil {
		t.Fatal(err)
	}
	r, err := http.NewRequestWithContext(t.Context(), put.Method, put.URL, strings.NewReader("hello"))
	if err != nil {
		t.Fatal(err)
	}
	for name, values := range put.SignedHeader {
		if name != "Host" {
			r.Header[name] = values
		}
	}
	if got := w.send(r); got.status != 200 {
		t.Errorf("put: %d %s", got.status, got.body)
	}
	get, err := p.PresignGetObject(t.Context(), &s3.GetObjectInput{Bucket: aws.String("bkt"), Key: aws.String("a b"),
		ResponseContentDisposition: aws.String(`attachment; filename="x y"`)}, s3.WithPresignExpires(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	r, err = http.NewRequestWithContext(t.Context(), http.MethodGet, get.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := w.send(r); string(got.body) != "hello" || got.header.Get("Content-Disposition") != `attachment; filename="x y"` {
		t.Errorf("get: %d %s %v", got.status, got.body, got.header)
	}
	u, err := w.minio(root).PresignedGetObject(context.Background(), "bkt", "a b", time.Minute, nil)
	if err != nil {
		t.Fatal(err)
	}
	r, err = http.NewRequestWithContext(t.Context(), http.MethodGet, u.String(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := w.send(r); string(got.body) != "hello" {
		t.Errorf("minio: %d %s", got.status, got.body)
	}
}

func TestNodes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.must("PUT", "/bkt", nil)
	w.must("PUT", "/bkt/key", []byte("old"), "Content-Type: video/mp4")
	const cacheNode = hop.RequestApplied + ": 0"
	first := w.do(node, "GET", "/bkt/key", nil, cacheNode)
	version := first.header.Get(hop.Version)
	if string(first.body) != "old" || len(version) != 26 || first.header.Get(hop.Crc64) == "" {
		t.Fatalf("%d %v %q", first.status, first.header, first.body)
	}
	w.must("PUT", "/bkt/key", []byte("new"), "Content-Type: video/mp4")
	if r := w.do(node, "GET", "/bkt/key", nil, cacheNode, hop.RequestVersion+": "+version, "Range: bytes=1-"); r.status != 206 || string(r.body) != "ld" || r.header.Get(hop.Version) != version ||
		r.header.Get(hop.Sum) != hop.SumOf([]byte("ld")) {
		t.Errorf("the version that was just overwritten: %d %q %v", r.status, r.body, r.header)
	}
	if r := w.do(root, "GET", "/bkt/key", nil, hop.RequestVersion+": "+version); string(r.body) != "new" || r.header.Get(hop.Version) != "" {
		t.Errorf("a client that pretends: %q %v", r.body, r.header)
	}
	w.refused(node, 404, "NoSuchKey", "GET", "/bkt/missing", nil, cacheNode)
	w.do(node, "HEAD", "/bkt/key", nil, cacheNode)
	w.do(node, "GET", "/bkt/key", nil) // a worker looks at a file: no request through the tiers

	got := w.observed()
	if len(got) != 4 {
		t.Fatalf("%d samples: %+v", len(got), got)
	}
	for i, want := range []struct {
		status int
		bytes  int64
		class  string
	}{{200, 3, metadata.ClassVideo}, {206, 2, metadata.ClassVideo}, {404, 0, metadata.ClassOther}, {200, 0, metadata.ClassVideo}} {
		s := got[i]
		if s.Status != want.status || s.Class != want.class || s.Bucket != "bkt" || !s.Local || s.FirstByte <= 0 || s.Status != 404 && s.Bytes != want.bytes {
			t.Errorf("sample %d: %+v", i, s)
		}
	}
}

// What another origin asks for comes from the own store or not at all, and is no
// read of its own.
func TestPeers(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.must("PUT", "/bkt", nil)
	w.must("PUT", "/bkt/key", []byte("hello"))
	if r := w.do(node, "GET", "/bkt/key", nil, hop.RequestLocal+": 1", "Range: bytes=1-3"); r.status != 206 || string(r.body) != "ell" {
		t.Errorf("%d %q", r.status, r.body)
	}
	v, err := w.catalog.Lookup(t.Context(), metadata.Ref{Bucket: "bkt", Key: "key"})
	if err != nil {
		t.Fatal(err)
	}
	if err := w.blobs.Delete(t.Context(), v.Blob); err != nil {
		t.Fatal(err)
	}
	w.refused(node, 404, "NoSuchKey", "GET", "/bkt/key", nil, hop.RequestLocal+": 1")
	if got := w.observed(); len(got) != 0 {
		t.Errorf("samples: %+v", got)
	}
}
