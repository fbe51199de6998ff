// Package presign makes presigned requests with which a client uploads straight
// to an origin, and makes the few requests around them in the name of the same
// access key: the origin authorises all of them as it does any other.
package presign

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"meridian/metadata"
)

// Target is the origin that takes an upload, and who sends it.
type Target struct {
	URL       string // of the origin for us
	PublicURL string // and for clients
	Region    string
	AccessKey string
	SecretKey string
}

// Object is what is to be uploaded.
type Object struct {
	Bucket, Key string
	Size        int64
	ContentType string
	Metadata    map[string]string
	// Algorithm (lower case, as crc32) and Checksum (base64) are of the whole;
	// empty where the client announced none.
	Algorithm, Checksum string
	// Replaces is the ETag of the object that a Put replaces; empty where there
	// must be none.
	Replaces string
}

// Request is to be sent by the client, with all of Headers, and nothing else
// that begins with x-amz-.
type Request struct {
	Method  string            `json:"method"`
	URL     string            `json:"url"`
	Headers map[string]string `json:"headers"`
}

// Part is a part that has arrived.
type Part struct {
	Number int
	ETag   string // without quotes
}

// RefusedError is an answer of the origin that is no success, and not one of the
// errors of package metadata.
type RefusedError struct {
	Code    string // of S3
	Message string
}

func (e *RefusedError) Error() string { return e.Code + ": " + e.Message }

// ErrUnavailable says that the origin could not be asked, or that it, or its
// store, fails.
var ErrUnavailable = errors.New("the origin cannot take it now")

// Client asks origins and signs for them. Its methods may run at once.
type Client struct {
	http *http.Client
}

// New makes a client that asks origins through the given one.
func New(client *http.Client) *Client { return &Client{client} }

func (c *Client) s3(t Target, endpoint string) *s3.Client {
	return s3.New(s3.Options{
		Region: t.Region, BaseEndpoint: aws.String(endpoint), UsePathStyle: true,
		Credentials: credentials.NewStaticCredentialsProvider(t.AccessKey, t.SecretKey, ""),
		HTTPClient:  c.http, RetryMaxAttempts: 2,
		// What is signed here is sent by somebody else, whose bytes are not known.
		RequestChecksumCalculation: aws.RequestChecksumCalculationWhenRequired,
	})
}

// Put presigns a PUT of the whole object. Size, type, metadata, checksum and what
// it replaces are bound by the signature: where something else is there by then,
// the origin answers 412.
func (c *Client) Put(ctx context.Context, t Target, o Object, expires time.Duration) (Request, error) {
	in := &s3.PutObjectInput{
		Bucket: &o.Bucket, Key: &o.Key, ContentLength: &o.Size, ContentType: optional(o.ContentType), Metadata: o.Metadata,
	}
	switch o.Algorithm {
	case "crc32":
		in.ChecksumCRC32 = &o.Checksum
	case "crc32c":
		in.ChecksumCRC32C = &o.Checksum
	case "crc64nvme":
		in.ChecksumCRC64NVME = &o.Checksum
	case "sha1":
		in.ChecksumSHA1 = &o.Checksum
	case "sha256":
		in.ChecksumSHA256 = &o.Checksum
	}
	if o.Replaces == "" {
		in.IfNoneMatch = aws.String("*")
	} else {
		in.IfMatch = aws.String(`"` + o.Replaces + `"`)
	}
	r, err := s3.NewPresignClient(c.s3(t, t.PublicURL)).PresignPutObject(ctx, in, s3.WithPresignExpires(expires))
	if err != nil {
		return Request{}, fmt.Errorf("presign a put: %w", err)
	}
	return request(r.Method, r.URL, r.SignedHeader), nil
}

// Begin makes a multipart upload, whose checksum will be of the whole object.
func (c *Client) Begin(ctx context.Context, t Target, o Object) (uploadID string, err error) {
	in := &s3.CreateMultipartUploadInput{Bucket: &o.Bucket, Key: &o.Key, ContentType: optional(o.ContentType), Metadata: o.Metadata}
	switch o.Algorithm {
	case "crc32":
		in.ChecksumAlgorithm = types.ChecksumAlgorithmCrc32
	case "crc32c":
		in.ChecksumAlgorithm = types.ChecksumAlgorithmCrc32c
	case "crc64nvme":
		in.ChecksumAlgorithm = types.ChecksumAlgorithmCrc64nvme
	}
	if in.ChecksumAlgorithm != "" {
		in.ChecksumType = types.ChecksumTypeFullObject
	}
	out, err := c.s3(t, t.URL).CreateMultipartUpload(ctx, in)
	if err != nil {
		return "", told("begin an upload", err)
	}
	return aws.ToString(out.UploadId), nil
}

// Part presigns the PUT of part n of size bytes.
func (c *Client) Part(ctx context.Context, t Target, o Object, uploadID string, n int, size int64, expires time.Duration) (Request, error) {
	r, err := s3.NewPresignClient(c.s3(t, t.PublicURL)).PresignUploadPart(ctx, &s3.UploadPartInput{
		Bucket: &o.Bucket, Key: &o.Key, UploadId: &uploadID, PartNumber: aws.Int32(int32(n)), ContentLength: &size,
	}, s3.WithPresignExpires(expires))
	if err != nil {
		return Request{}, fmt.Errorf("presign a part: %w", err)
	}
	return request(r.Method, r.URL, r.SignedHeader), nil
}

// Complete makes the object of its parts, if they have the size and checksum of
// o. Errors are metadata's, ErrUnavailable or a RefusedError.
func (c *Client) Complete(ctx context.Context, t Target, o Object, uploadID string, parts []Part) error {
	in := &s3.CompleteMultipartUploadInput{
		Bucket: &o.Bucket, Key: &o.Key, UploadId: &uploadID, MpuObjectSize: &o.Size,
		MultipartUpload: &types.CompletedMultipartUpload{Parts: make([]types.CompletedPart, len(parts))},
	}
	for i, p := range parts {
		in.MultipartUpload.Parts[i] = types.CompletedPart{PartNumber: aws.Int32(int32(p.Number)), ETag: aws.String(p.ETag)}
	}
	switch o.Algorithm {
	case "crc32":
		in.ChecksumCRC32 = &o.Checksum
	case "crc32c":
		in.ChecksumCRC32C = &o.Checksum
	case "crc64nvme":
		in.ChecksumCRC64NVME = &o.Checksum
	}
	_, err := c.s3(t, t.URL).CompleteMultipartUpload(ctx, in)
	return told("complete an upload", err)
}

// Abort forgets an upload and its parts.
func (c *Client) Abort(ctx context.Context, t Target, o Object, uploadID string) error {
	_, err := c.s3(t, t.URL).AbortMultipartUpload(ctx, &s3.AbortMultipartUploadInput{Bucket: &o.Bucket, Key: &o.Key, UploadId: &uploadID})
	return told("abort an upload", err)
}

// request leaves out what clients send by themselves.
func request(method, url string, signed http.Header) Request {
	r := Request{Method: method, URL: url, Headers: map[string]string{}}
	for name := range signed {
		if k := http.CanonicalHeaderKey(name); k != "Host" && k != "Content-Length" {
			r.Headers[k] = signed.Get(name)
		}
	}
	return r
}

func optional(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// told turns an answer of S3 into an error of ours.
func told(what string, err error) error {
	if err == nil {
		return nil
	}
	var api smithy.APIError
	if !errors.As(err, &api) {
		return fmt.Errorf("%s: %w: %w", what, ErrUnavailable, err)
	}
	for code, known := range map[string]error{
		"NoSuchBucket": metadata.ErrNoSuchBucket, "NoSuchUpload": metadata.ErrNoSuchUpload, "InvalidPart": metadata.ErrInvalidPart,
		"EntityTooLarge": metadata.ErrTooLarge, "QuotaExceeded": metadata.ErrQuota,
	} {
		if api.ErrorCode() == code {
			return fmt.Errorf("%s: %w: %s", what, known, api.ErrorMessage())
		}
	}
	var answer *smithyhttp.ResponseError
	if errors.As(err, &answer) && answer.HTTPStatusCode() >= http.StatusInternalServerError {
		return fmt.Errorf("%s: %w: %s: %s", what, ErrUnavailable, api.ErrorCode(), api.ErrorMessage())
	}
	return &RefusedError{Code: api.ErrorCode(), Message: api.ErrorMessage()}
}
