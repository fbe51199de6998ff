// Package aws keeps blobs in a bucket of Amazon S3, by aws-sdk-go-v2.
package aws

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go"

	"meridian/origin/blob"
	"meridian/origin/blob/bucket"
)

// Open opens the store in a bucket; errors say what is to be done. Without keys
// they come from where AWS tools look for them: environment, shared files, the
// role of the machine or container. So does a region that is not given.
func Open(ctx context.Context, c bucket.Config) (*bucket.Store, error) {
	load := []func(*config.LoadOptions) error{
		config.WithRetryer(func() aws.Retryer { return aws.NopRetryer{} }), // package bucket knows when to try again
	}
	if c.AccessKey != "" {
		load = append(load, config.WithCredentialsProvider(credentials.NewStaticCredentialsProvider(c.AccessKey, c.SecretKey, "")))
	}
	if c.Region != "" {
		load = append(load, config.WithRegion(c.Region))
	}
	shared, err := config.LoadDefaultConfig(ctx, load...)
	if err != nil {
		return nil, fmt.Errorf("configuration of the AWS client: %w", err)
	}
	if shared.Region == "" {
		return nil, errors.New("a store on S3 needs a region; give the store's region, or AWS_REGION")
	}
	c.Region = shared.Region
	if c.AccessKey == "" {
		keys, err := shared.Credentials.Retrieve(ctx)
		if err != nil {
			return nil, fmt.Errorf("no credentials for S3; give the store's access key and secret key, or any that AWS tools find: %w", err)
		}
		c.AccessKey = keys.AccessKeyID
	}
	if c.Transport == nil {
		var trust *tls.Config
		if b, ok := shared.HTTPClient.(*awshttp.BuildableClient); ok {
			trust = b.GetTransport().TLSClientConfig // AWS_CA_BUNDLE is in it
		}
		c.Transport = bucket.NewTransport(trust)
	}
	var base *string
	if c.Endpoint != "" {
		endpoint, err := c.ParseEndpoint()
		if err != nil {
			return nil, err
		}
		base = aws.String(endpoint.String())
	}
	cl := &client{bucket: c.Bucket, region: c.Region, s3: s3.NewFromConfig(shared, func(o *s3.Options) {
		o.HTTPClient = &http.Client{Transport: c.Transport}
		o.BaseEndpoint, o.UsePathStyle = base, base != nil
		// Checksums are package bucket's affair.
		o.RequestChecksumCalculation = aws.RequestChecksumCalculationWhenRequired
		o.ResponseChecksumValidation = aws.ResponseChecksumValidationWhenRequired
		o.DisableLogOutputChecksumValidationSkipped = true
		o.ContinueHeaderThresholdBytes = -1 // the transport asks
	})}
	return bucket.Open(ctx, cl, c)
}

// client is a bucket.Client by aws-sdk-go-v2.
type client struct {
	bucket, region string
	s3             *s3.Client
}

// answer tells an answer of the server from the failure of a request.
func answer(err error) error {
	var r *awshttp.ResponseError
	if !errors.As(err, &r) || r.HTTPStatusCode() == 0 || r.HTTPStatusCode()/100 == 2 {
		return err
	}
	e := &bucket.Error{Status: r.HTTPStatusCode(), Err: err}
	var api smithy.APIError
	if errors.As(err, &api) {
		e.Code = api.ErrorCode()
	}
	return e
}

// optional is nil for an empty text: the SDK sends empty headers.
func optional(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

func ifAbsent(h bucket.Headers) *string {
	if h.IfAbsent {
		return aws.String("*")
	}
	return nil
}

func (c *client) MakeBucket(ctx context.Context) error {
	in := &s3.CreateBucketInput{Bucket: &c.bucket}
	if c.region != "us-east-1" {
		in.CreateBucketConfiguration = &types.CreateBucketConfiguration{LocationConstraint: types.BucketLocationConstraint(c.region)}
	}
	_, err := c.s3.CreateBucket(ctx, in)
	return answer(err)
}

// carry prepares a request for a body: one in memory goes with its checksum in a
// header, a stream with it in a trailer.
func carry(b bucket.Body) (body io.Reader, sum *string, opts []func(*s3.Options)) {
	if b.Bytes != nil || b.Stream == nil {
		if b.Checked {
			sum = aws.String(b.Sum())
		}
		return bytes.NewReader(b.Bytes), sum, nil
	}
	return b.Stream, nil, []func(*s3.Options){withStream(b)}
}

func (c *client) Put(ctx context.Context, key string, b bucket.Body, h bucket.Headers) (string, error) {
	body, sum, opts := carry(b)
	out, err := c.s3.PutObject(ctx, &s3.PutObjectInput{
		Bucket: &c.bucket, Key: &key, Body: body, ContentLength: &b.Size, ChecksumCRC64NVME: sum,
		ContentType: optional(h.Type), Metadata: h.Meta, IfNoneMatch: ifAbsent(h),
	}, opts...)
	if err != nil {
		return "", answer(err)
	}
	return unquote(out.ETag), nil
}

func (c *client) PutPart(ctx context.Context, key, upload string, n int, b bucket.Body) (string, error) {
	body, sum, opts := carry(b)
	out, err := c.s3.UploadPart(ctx, &s3.UploadPartInput{
		Bucket: &c.bucket, Key: &key, UploadId: &upload, PartNumber: aws.Int32(int32(n)), //nolint:gosec // at most 10 000
		Body: body, ContentLength: &b.Size, ChecksumCRC64NVME: sum,
	}, opts...)
	if err != nil {
		return "", answer(err)
	}
	return unquote(out.ETag), nil
}

func unquote(etag *string) string { return strings.Trim(aws.ToString(etag), `"`) }

func (c *client) Get(ctx context.Context, key, byteRange string) (io.ReadCloser, error) {
	out, err := c.s3.GetObject(ctx, &s3.GetObjectInput{Bucket: &c.bucket, Key: &key, Range: optional(byteRange)})
	if err != nil {
		return nil, answer(err)
	}
	return out.Body, nil
}

func (c *client) Head(ctx context.Context, key string) (bucket.Object, error) {
	out, err := c.s3.HeadObject(ctx, &s3.HeadObjectInput{Bucket: &c.bucket, Key: &key, ChecksumMode: types.ChecksumModeEnabled})
	if err != nil {
		return bucket.Object{}, answer(err)
	}
	o := bucket.Object{
		Key: key, Size: aws.ToInt64(out.ContentLength), ETag: unquote(out.ETag), Modified: aws.ToTime(out.LastModified),
		Meta: make(map[string]string, len(out.Metadata)),
	}
	if out.ChecksumType != types.ChecksumTypeComposite {
		o.Sum = aws.ToString(out.ChecksumCRC64NVME)
	}
	for name, value := range out.Metadata {
		o.Meta[strings.ToLower(name)] = value
	}
	return o, nil
}

func (c *client) Delete(ctx context.Context, keys []string) error {
	if len(keys) == 1 {
		_, err := c.s3.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: &c.bucket, Key: &keys[0]})
		return answer(err)
	}
	list := make([]types.ObjectIdentifier, len(keys))
	for i := range keys {
		list[i].Key = &keys[i]
	}
	out, err := c.s3.DeleteObjects(ctx, &s3.DeleteObjectsInput{Bucket: &c.bucket, Delete: &types.Delete{Objects: list, Quiet: aws.Bool(true)}})
	if err != nil {
		return answer(err)
	}
	var errs []error
	for _, e := range out.Errors {
		err := fmt.Errorf("%s: %s: %s", aws.ToString(e.Key), aws.ToString(e.Code), aws.ToString(e.Message))
		errs = append(errs, &bucket.Error{Code: aws.ToString(e.Code), Status: http.StatusOK, Err: err})
	}
	return errors.Join(errs...)
}

func (c *client) Objects(ctx context.Context, after string) iter.Seq2[bucket.Object, error] {
	return func(yield func(bucket.Object, error) bool) {
		pages := s3.NewListObjectsV2Paginator(c.s3, &s3.ListObjectsV2Input{Bucket: &c.bucket, StartAfter: optional(after)})
		for pages.HasMorePages() {
			page, err := pages.NextPage(ctx)
			if err != nil {
				yield(bucket.Object{}, answer(err))
				return
			}
			for _, o := range page.Contents {
				if !yield(bucket.Object{Key: aws.ToString(o.Key), Size: aws.ToInt64(o.Size), ETag: unquote(o.ETag), Modified: aws.ToTime(o.LastModified)}, nil) {
					return
				}
			}
		}
	}
}

func (c *client) Begin(ctx context.Context, key string, h bucket.Headers) (string, error) {
	in := &s3.CreateMultipartUploadInput{Bucket: &c.bucket, Key: &key, ContentType: optional(h.Type), Metadata: h.Meta}
	if h.Checked {
		in.ChecksumAlgorithm, in.ChecksumType = types.ChecksumAlgorithmCrc64nvme, types.ChecksumTypeFullObject
	}
	out, err := c.s3.CreateMultipartUpload(ctx, in)
	if err != nil {
		return "", answer(err)
	}
	return aws.ToString(out.UploadId), nil
}

func (c *client) Complete(ctx context.Context, key, upload string, parts []blob.Part, h bucket.Headers) error {
	list := make([]types.CompletedPart, len(parts))
	for i, p := range parts {
		list[i] = types.CompletedPart{PartNumber: aws.Int32(int32(p.Number)), ETag: &parts[i].ID} //nolint:gosec // at most 10 000
		if h.Checked {
			list[i].ChecksumCRC64NVME = aws.String(bucket.EncodeSum(p.CRC64))
		}
	}
	in := &s3.CompleteMultipartUploadInput{
		Bucket: &c.bucket, Key: &key, UploadId: &upload, MultipartUpload: &types.CompletedMultipartUpload{Parts: list}, IfNoneMatch: ifAbsent(h),
	}
	if h.Checked && h.Sum != "" {
		in.ChecksumCRC64NVME, in.ChecksumType = &h.Sum, types.ChecksumTypeFullObject
	}
	_, err := c.s3.CompleteMultipartUpload(ctx, in)
	return answer(err)
}

func (c *client) Abort(ctx context.Context, key, upload string) error {
	_, err := c.s3.AbortMultipartUpload(ctx, &s3.AbortMultipartUploadInput{Bucket: &c.bucket, Key: &key, UploadId: &upload})
	return answer(err)
}

func (c *client) Uploads(ctx context.Context) iter.Seq2[bucket.Upload, error] {
	return func(yield func(bucket.Upload, error) bool) {
		pages := s3.NewListMultipartUploadsPaginator(c.s3, &s3.ListMultipartUploadsInput{Bucket: &c.bucket})
		for pages.HasMorePages() {
			page, err := pages.NextPage(ctx)
			if err != nil {
				yield(bucket.Upload{}, answer(err))
				return
			}
			for _, u := range page.Uploads {
				if !yield(bucket.Upload{Key: aws.ToString(u.Key), ID: aws.ToString(u.UploadId), Begun: aws.ToTime(u.Initiated)}, nil) {
					return
				}
			}
		}
	}
}
