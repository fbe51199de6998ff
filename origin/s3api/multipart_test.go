package s3api_test

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/feature/s3/manager"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/minio/minio-go/v7"
)

const mib = 1 << 20

func TestMultipartThroughSDKs(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.must("PUT", "/bkt", nil)
	body := pattern(12*mib + 345)
	//nolint:staticcheck // deprecated, but what programs in the field use
	up := manager.NewUploader(w.aws(root), func(u *manager.Uploader) { u.PartSize = 5 * mib })
	//nolint:staticcheck // as above
	out, err := up.Upload(t.Context(), &s3.PutObjectInput{Bucket: aws.String("bkt"), Key: aws.String("aws"), Body: bytes.NewReader(body), ContentType: aws.String("video/mp4")})
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasSuffix(strings.Trim(aws.ToString(out.ETag), `"`), "-3") {
		t.Errorf("ETag %q", aws.ToString(out.ETag))
	}
	if _, err := w.minio(root).PutObject(t.Context(), "bkt", "minio", onlyReader{bytes.NewReader(body)}, -1, minio.PutObjectOptions{PartSize: 5 * mib}); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"aws", "minio"} {
		if got := w.must("GET", "/bkt/"+key, nil); !bytes.Equal(got.body, body) {
			t.Errorf("%s: %d bytes came back", key, len(got.body))
		}
		r := w.must("GET", "/bkt/"+key, nil, fmt.Sprintf("Range: bytes=%d-%d", 5*mib-3, 5*mib+2))
		if !bytes.Equal(r.body, body[5*mib-3:5*mib+3]) {
			t.Errorf("%s: a range over the border of two parts: %q", key, r.body)
		}
		r = w.must("GET", "/bkt/"+key+"?partNumber=3", nil)
		if r.status != 206 || !bytes.Equal(r.body, body[10*mib:]) || r.header.Get("X-Amz-Mp-Parts-Count") != "3" {
			t.Errorf("%s: part 3: %d, %d bytes, %v", key, r.status, len(r.body), r.header)
		}
		w.refused(root, 416, "InvalidPartNumber", "GET", "/bkt/"+key+"?partNumber=4", nil)
	}
	if r := w.must("HEAD", "/bkt/aws", nil); r.header.Get("Content-Type") != "video/mp4" {
		t.Errorf("head: %v", r.header)
	}
	attrs, err := w.aws(root).GetObjectAttributes(t.Context(), &s3.GetObjectAttributesInput{Bucket: aws.String("bkt"), Key: aws.String("aws"),
		ObjectAttributes: []types.ObjectAttributes{types.ObjectAttributesObjectParts, types.ObjectAttributesChecksum}})
	if err != nil || aws.ToInt32(attrs.ObjectParts.TotalPartsCount) != 3 || attrs.Checksum == nil {
		t.Errorf("attributes: %+v, %v", attrs, err)
	}
	got := manager.NewWriteAtBuffer(nil)
	//nolint:staticcheck // as above
	if _, err := manager.NewDownloader(w.aws(root), func(d *manager.Downloader) { d.PartSize = 5 * mib }).Download(t.Context(), got,
		&s3.GetObjectInput{Bucket: aws.String("bkt"), Key: aws.String("aws")}); err != nil || !bytes.Equal(got.Bytes(), body) {
		t.Errorf("downloader: %d bytes, %v", len(got.Bytes()), err)
	}
}

func TestMultipartStepByStep(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c, ctx := w.aws(root), t.Context()
	bkt, key := aws.String("bkt"), aws.String("dir/key")
	w.must("PUT", "/bkt", nil)
	source := pattern(8 * mib)
	w.must("PUT", "/bkt/source", source)
	for _, alg := range []types.ChecksumAlgorithm{types.ChecksumAlgorithmCrc32, types.ChecksumAlgorithmCrc64nvme, types.ChecksumAlgorithmSha256} {
		begun, err := c.CreateMultipartUpload(ctx, &s3.CreateMultipartUploadInput{Bucket: bkt, Key: key, ChecksumAlgorithm: alg, Metadata: map[string]string{"m": "v"}})
		if err != nil {
			t.Fatal(err)
		}
		id := begun.UploadId
		body := pattern(5 * mib)
		first, err := c.UploadPart(ctx, &s3.UploadPartInput{Bucket: bkt, Key: key, UploadId: id, PartNumber: aws.Int32(2), Body: bytes.NewReader(body), ChecksumAlgorithm: alg})
		if err != nil {
			t.Fatal(err)
		}
		second, err := c.UploadPartCopy(ctx, &s3.UploadPartCopyInput{Bucket: bkt, Key: key, UploadId: id, PartNumber: aws.Int32(5),
			CopySource: aws.String("bkt/source"), CopySourceRange: aws.String("bytes=100-5000099")})
		if err != nil {
			t.Fatal(err)
		}
		parts, err := c.ListParts(ctx, &s3.ListPartsInput{Bucket: bkt, Key: key, UploadId: id, MaxParts: aws.Int32(1)})
		if err != nil || len(parts.Parts) != 1 || !aws.ToBool(parts.IsTruncated) || aws.ToString(parts.NextPartNumberMarker) != "2" || parts.ChecksumAlgorithm != alg {
			t.Errorf("parts: %+v, %v", parts, err)
		}
		uploads, err := c.ListMultipartUploads(ctx, &s3.ListMultipartUploadsInput{Bucket: bkt, Delimiter: aws.String("/")})
		if err != nil || len(uploads.CommonPrefixes) != 1 || len(uploads.Uploads) != 0 {
			t.Errorf("uploads: %+v, %v", uploads, err)
		}
		w.refused(root, 404, "NoSuchKey", "GET", "/bkt/dir/key", nil)

		complete := func(parts ...types.CompletedPart) (*s3.CompleteMultipartUploadOutput, error) {
			return c.CompleteMultipartUpload(ctx, &s3.CompleteMultipartUploadInput{Bucket: bkt, Key: key, UploadId: id, MultipartUpload: &types.CompletedMultipartUpload{Parts: parts}})
		}
		one := types.CompletedPart{PartNumber: aws.Int32(2), ETag: first.ETag, ChecksumCRC32: first.ChecksumCRC32, ChecksumCRC64NVME: first.ChecksumCRC64NVME, ChecksumSHA256: first.ChecksumSHA256}
		two := types.CompletedPart{PartNumber: aws.Int32(5), ETag: second.CopyPartResult.ETag, ChecksumCRC32: second.CopyPartResult.ChecksumCRC32,
			ChecksumCRC64NVME: second.CopyPartResult.ChecksumCRC64NVME, ChecksumSHA256: second.CopyPartResult.ChecksumSHA256}
		if _, err := complete(two, one); apiCode(err) != "InvalidPartOrder" {
			t.Errorf("wrong order: %v", err)
		}
		wrong := one
		wrong.ETag = aws.String(`"00000000000000000000000000000000"`)
		if _, err := complete(wrong, two); apiCode(err) != "InvalidPart" {
			t.Errorf("wrong ETag: %v", err)
		}
		if _, err := complete(types.CompletedPart{PartNumber: aws.Int32(7), ETag: one.ETag, ChecksumCRC32: one.ChecksumCRC32, ChecksumCRC64NVME: one.ChecksumCRC64NVME, ChecksumSHA256: one.ChecksumSHA256}); apiCode(err) != "InvalidPart" {
			t.Errorf("missing part: %v", err)
		}
		done, err := complete(one, two)
		if err != nil {
			t.Fatal(err)
		}
		attrs, err := c.GetObjectAttributes(ctx, &s3.GetObjectAttributesInput{Bucket: bkt, Key: key, ObjectAttributes: []types.ObjectAttributes{types.ObjectAttributesChecksum}})
		if err != nil {
			t.Fatal(err)
		}
		// The answer to Complete has the number of parts behind a composite checksum.
		if whole, _, _ := strings.Cut(aws.ToString(done.ChecksumSHA256), "-"); aws.ToString(attrs.Checksum.ChecksumSHA256) != whole {
			t.Errorf("attributes tell %s of %s", aws.ToString(attrs.Checksum.ChecksumSHA256), whole)
		}
		want := append(bytes.Clone(body), source[100:5_000_100]...)
		get, err := c.GetObject(ctx, &s3.GetObjectInput{Bucket: bkt, Key: key, ChecksumMode: types.ChecksumModeEnabled})
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(get.Body) // the SDK verifies checksums of whole objects here
		if err != nil || !bytes.Equal(got, want) || get.Metadata["m"] != "v" || aws.ToString(get.ETag) != aws.ToString(done.ETag) {
			t.Errorf("%s: %d bytes, %v, %+v", alg, len(got), err, get)
		}
		if _, err := complete(one, two); apiCode(err) != "NoSuchUpload" && err != nil {
			t.Errorf("completing again: %v", err)
		}
		w.must("DELETE", "/bkt/dir/key", nil)
	}
}

func TestMultipartLimits(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c, ctx := w.aws(root), t.Context()
	bkt, key := aws.String("bkt"), aws.String("key")
	w.must("PUT", "/bkt", nil)
	begin := func() *string {
		t.Helper()
		out, err := c.CreateMultipartUpload(ctx, &s3.CreateMultipartUploadInput{Bucket: bkt, Key: key})
		if err != nil {
			t.Fatal(err)
		}
		return out.UploadId
	}
	id := begin()
	var parts []types.CompletedPart
	for n := range int32(2) {
		out, err := c.UploadPart(ctx, &s3.UploadPartInput{Bucket: bkt, Key: key, UploadId: id, PartNumber: aws.Int32(n + 1), Body: strings.NewReader("small")})
		if err != nil {
			t.Fatal(err)
		}
		parts = append(parts, types.CompletedPart{PartNumber: aws.Int32(n + 1), ETag: out.ETag})
	}
	_, err := c.CompleteMultipartUpload(ctx, &s3.CompleteMultipartUploadInput{Bucket: bkt, Key: key, UploadId: id, MultipartUpload: &types.CompletedMultipartUpload{Parts: parts}})
	if apiCode(err) != "EntityTooSmall" {
		t.Errorf("small part: %v", err)
	}
	path := "/bkt/key?uploadId=" + aws.ToString(id)
	w.refused(root, 400, "MalformedXML", "POST", path, []byte(`<CompleteMultipartUpload/>`))
	w.refused(root, 400, "MalformedXML", "POST", path, []byte(`<CompleteMultipartUpload>`))
	w.refused(root, 404, "NoSuchUpload", "POST", "/bkt/other?uploadId="+aws.ToString(id), []byte(`<CompleteMultipartUpload/>`))
	one := []byte(`<CompleteMultipartUpload><Part><PartNumber>2</PartNumber><ETag>` + aws.ToString(parts[1].ETag) + `</ETag></Part></CompleteMultipartUpload>`)
	w.refused(root, 400, "InvalidRequest", "POST", path, one, "x-amz-mp-object-size: 6")
	w.must("POST", path, one, "x-amz-mp-object-size: 5", "If-None-Match: *")
	if got := w.must("GET", "/bkt/key", nil); string(got.body) != "small" {
		t.Errorf("%q", got.body)
	}
	id = begin()
	if _, err := c.UploadPart(ctx, &s3.UploadPartInput{Bucket: bkt, Key: key, UploadId: id, PartNumber: aws.Int32(1), Body: strings.NewReader("x")}); err != nil {
		t.Fatal(err)
	}
	w.refused(root, 409, "BucketNotEmpty", "DELETE", "/bkt", nil)
	if _, err := c.AbortMultipartUpload(ctx, &s3.AbortMultipartUploadInput{Bucket: bkt, Key: key, UploadId: id}); err != nil {
		t.Error(err)
	}
	w.refused(root, 404, "NoSuchUpload", "GET", "/bkt/key?uploadId="+aws.ToString(id), nil)
	if r := w.refused(root, 400, "BadDigest", "PUT", "/bkt/key?partNumber=1&uploadId="+aws.ToString(begin()), []byte("x"), "x-amz-checksum-crc32: AAAAAA=="); !strings.Contains(string(r.body), "CRC32") {
		t.Errorf("%s", r.body)
	}
}
