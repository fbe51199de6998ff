// Package minio keeps blobs in a bucket of an S3 server, by minio-go: MinIO and
// what speaks like it, SeaweedFS, Garage, RustFS, Ceph.
package minio

import (
	"bytes"
	"cmp"
	"context"
	"crypto/md5"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"io"
	"iter"
	"net/http"
	"strings"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"meridian/origin/blob"
	"meridian/origin/blob/bucket"
)

// Open opens the store in a bucket; errors say what is to be done. The region is
// us-east-1 where none is given, which is what such servers take theirs to be.
func Open(ctx context.Context, c bucket.Config) (*bucket.Store, error) {
	endpoint, err := c.ParseEndpoint()
	if err != nil {
		return nil, err
	}
	if c.AccessKey == "" || c.SecretKey == "" {
		return nil, errors.New("a store by minio needs an access key and a secret key")
	}
	c.Region = cmp.Or(c.Region, "us-east-1")
	if c.Transport == nil {
		c.Transport = bucket.NewTransport(nil)
	}
	o := &minio.Options{
		Creds:           credentials.NewStaticV4(c.AccessKey, c.SecretKey, ""),
		Secure:          endpoint.Scheme == "https",
		Region:          c.Region,
		BucketLookup:    minio.BucketLookupPath,
		Transport:       c.Transport,
		TrailingHeaders: true,
		MaxRetries:      1, // package bucket knows when to try again
	}
	cl := &client{bucket: c.Bucket, region: c.Region}
	if cl.checked, err = minio.NewCore(endpoint.Host, o); err != nil {
		return nil, err
	}
	plain := *o
	plain.TrailingHeaders = false
	if cl.plain, err = minio.NewCore(endpoint.Host, &plain); err != nil {
		return nil, err
	}
	return bucket.Open(ctx, cl, c)
}

// client is a bucket.Client by minio-go. plain never adds a checksum of its own.
type client struct {
	bucket, region string
	checked, plain *minio.Core
}

const (
	metaPrefix = "x-amz-meta-"
	sumHeader  = "x-amz-checksum-crc64nvme"
)

// answer tells an answer of the server from the failure of a request.
func answer(err error) error {
	var e minio.ErrorResponse
	if errors.As(err, &e) && e.StatusCode != 0 {
		return &bucket.Error{Code: e.Code, Status: e.StatusCode, Err: err}
	}
	return err
}

func (c *client) MakeBucket(ctx context.Context) error {
	return answer(c.plain.MakeBucket(ctx, c.bucket, minio.MakeBucketOptions{Region: c.region}))
}

// options are the headers of a request that writes. Names of metadata are given
// with their prefix: minio-go takes "content-type" for the header of that name.
func options(h bucket.Headers) minio.PutObjectOptions {
	o := minio.PutObjectOptions{ContentType: h.Type, UserMetadata: map[string]string{}, DisableContentSha256: true}
	for name, value := range h.Meta {
		o.UserMetadata[metaPrefix+name] = value
	}
	if h.IfAbsent {
		o.SetMatchETagExcept("*")
	}
	return o
}

func (c *client) Put(ctx context.Context, key string, b bucket.Body, h bucket.Headers) (string, error) {
	o := options(h)
	if b.Bytes != nil || b.Stream == nil {
		r, sha, md := inMemory(b)
		if b.Checked {
			o.UserMetadata[sumHeader] = b.Sum()
		}
		info, err := c.plain.PutObject(ctx, c.bucket, key, r, b.Size, md, sha, o)
		return info.ETag, answer(err)
	}
	core := c.plain
	if b.Checked {
		core, o.Checksum = c.checked, minio.ChecksumCRC64NVME
	}
	info, err := core.PutObject(ctx, c.bucket, key, b.Stream, b.Size, "", "", o)
	return info.ETag, answer(err)
}

// inMemory is a body with the hashes by which a server compares it: its SHA-256
// is signed; its MD5 is for servers that know no other checksum.
func inMemory(b bucket.Body) (r io.Reader, sha256Hex, md5Base64 string) {
	sum := sha256.Sum256(b.Bytes)
	if !b.Checked {
		m := md5.Sum(b.Bytes)
		md5Base64 = base64.StdEncoding.EncodeToString(m[:])
	}
	return bytes.NewReader(b.Bytes), hex.EncodeToString(sum[:]), md5Base64
}

func (c *client) PutPart(ctx context.Context, key, upload string, n int, b bucket.Body) (string, error) {
	o := minio.PutObjectPartOptions{DisableContentSha256: true}
	if b.Bytes != nil || b.Stream == nil {
		r, sha, md := inMemory(b)
		o.Sha256Hex, o.Md5Base64 = sha, md
		if b.Checked {
			o.CustomHeader = http.Header{sumHeader: {b.Sum()}}
		}
		part, err := c.plain.PutObjectPart(ctx, c.bucket, key, upload, n, r, b.Size, o)
		return part.ETag, answer(err)
	}
	if !b.Checked {
		part, err := c.plain.PutObjectPart(ctx, c.bucket, key, upload, n, b.Stream, b.Size, o)
		return part.ETag, answer(err)
	}
	// A trailer must be there from the start, and gets its value at the end.
	o.Trailer = http.Header{}
	o.Trailer.Set(sumHeader, base64.StdEncoding.EncodeToString(make([]byte, 8)))
	part, err := c.checked.PutObjectPart(ctx, c.bucket, key, upload, n, summed{b, o.Trailer}, b.Size, o)
	return part.ETag, answer(err)
}

// summed puts the checksum of a body into a trailer when it ends.
type summed struct {
	bucket.Body
	trailer http.Header
}

func (s summed) Read(p []byte) (int, error) {
	n, err := s.Stream.Read(p)
	if errors.Is(err, io.EOF) {
		s.trailer.Set(sumHeader, s.Sum())
	}
	return n, err
}

func (c *client) Get(ctx context.Context, key, byteRange string) (io.ReadCloser, error) {
	var o minio.GetObjectOptions
	if byteRange != "" {
		o.Set("Range", byteRange)
	}
	r, _, _, err := c.plain.GetObject(ctx, c.bucket, key, o)
	return r, answer(err)
}

func (c *client) Head(ctx context.Context, key string) (bucket.Object, error) {
	info, err := c.plain.StatObject(ctx, c.bucket, key, minio.StatObjectOptions{Checksum: true})
	if err != nil {
		return bucket.Object{}, answer(err)
	}
	o := bucket.Object{Key: key, Size: info.Size, ETag: info.ETag, Modified: info.LastModified, Meta: map[string]string{}}
	if !strings.EqualFold(info.ChecksumMode, "COMPOSITE") {
		o.Sum = info.ChecksumCRC64NVME
	}
	for name, values := range info.Metadata {
		if name = strings.ToLower(name); strings.HasPrefix(name, metaPrefix) && len(values) > 0 {
			o.Meta[name[len(metaPrefix):]] = values[0]
		}
	}
	return o, nil
}

func (c *client) Delete(ctx context.Context, keys []string) error {
	if len(keys) == 1 {
		return answer(c.plain.RemoveObject(ctx, c.bucket, keys[0], minio.RemoveObjectOptions{}))
	}
	results, err := c.plain.RemoveObjectsWithIter(ctx, c.bucket, func(yield func(minio.ObjectInfo) bool) {
		for _, key := range keys {
			if !yield(minio.ObjectInfo{Key: key}) {
				return
			}
		}
	}, minio.RemoveObjectsOptions{})
	if err != nil {
		return answer(err)
	}
	var errs []error
	for r := range results {
		if r.Err != nil {
			errs = append(errs, answer(r.Err))
		}
	}
	return errors.Join(append(errs, ctx.Err())...)
}

func (c *client) Objects(ctx context.Context, after string) iter.Seq2[bucket.Object, error] {
	return func(yield func(bucket.Object, error) bool) {
		for o := range c.plain.ListObjectsIter(ctx, c.bucket, minio.ListObjectsOptions{Recursive: true, StartAfter: after}) {
			if o.Err != nil {
				yield(bucket.Object{}, answer(o.Err))
				return
			}
			if !yield(bucket.Object{Key: o.Key, Size: o.Size, ETag: strings.Trim(o.ETag, `"`), Modified: o.LastModified}, nil) {
				return
			}
		}
		if err := ctx.Err(); err != nil { // which ends minio-go's listing in silence
			yield(bucket.Object{}, err)
		}
	}
}

func (c *client) Begin(ctx context.Context, key string, h bucket.Headers) (string, error) {
	o := options(h)
	if h.Checked {
		o.UserMetadata["x-amz-checksum-algorithm"] = "CRC64NVME"
		o.UserMetadata["x-amz-checksum-type"] = "FULL_OBJECT"
	}
	id, err := c.plain.NewMultipartUpload(ctx, c.bucket, key, o)
	return id, answer(err)
}

func (c *client) Complete(ctx context.Context, key, upload string, parts []blob.Part, h bucket.Headers) error {
	o := options(h)
	list := make([]minio.CompletePart, len(parts))
	for i, p := range parts {
		list[i] = minio.CompletePart{PartNumber: p.Number, ETag: p.ID}
		if h.Checked {
			list[i].ChecksumCRC64NVME = bucket.EncodeSum(p.CRC64)
		}
	}
	if h.Checked && h.Sum != "" {
		o.UserMetadata[sumHeader] = h.Sum
		o.UserMetadata["x-amz-checksum-type"] = "FULL_OBJECT"
	}
	_, err := c.plain.CompleteMultipartUpload(ctx, c.bucket, key, upload, list, o)
	return answer(err)
}

func (c *client) Abort(ctx context.Context, key, upload string) error {
	return answer(c.plain.AbortMultipartUpload(ctx, c.bucket, key, upload))
}

func (c *client) Uploads(ctx context.Context) iter.Seq2[bucket.Upload, error] {
	return func(yield func(bucket.Upload, error) bool) {
		const page = 1000
		for keyMarker, idMarker := "", ""; ; {
			r, err := c.plain.ListMultipartUploads(ctx, c.bucket, "", keyMarker, idMarker, "", page)
			if err != nil {
				yield(bucket.Upload{}, answer(err))
				return
			}
			for _, u := range r.Uploads {
				if !yield(bucket.Upload{Key: u.Key, ID: u.UploadID, Begun: u.Initiated}, nil) {
					return
				}
			}
			if keyMarker, idMarker = r.NextKeyMarker, r.NextUploadIDMarker; !r.IsTruncated || keyMarker == "" {
				return
			}
		}
	}
}
