package aws

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"meridian/origin/blob/bucket"
)

const sumHeader = "x-amz-checksum-crc64nvme"

// withStream lets a request carry a stream that can be read only once, also over
// plain HTTP, which the SDK by itself refuses: the body is not signed, and its
// checksum follows in a trailer.
// https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-streaming-trailers.html
func withStream(b bucket.Body) func(*s3.Options) {
	return func(o *s3.Options) {
		o.APIOptions = append(o.APIOptions, func(stack *middleware.Stack) error {
			return stack.Finalize.Insert(stream{b}, "ResolveEndpointV2", middleware.After)
		})
	}
}

// stream is the middleware that does it.
type stream struct{ bucket.Body }

// ID names it.
func (stream) ID() string { return "meridian.Stream" }

// HandleFinalize frames the body and says so in the headers that are signed.
func (s stream) HandleFinalize(ctx context.Context, in middleware.FinalizeInput, next middleware.FinalizeHandler) (middleware.FinalizeOutput, middleware.Metadata, error) {
	if !s.Checked {
		return next.HandleFinalize(v4.SetPayloadHash(ctx, "UNSIGNED-PAYLOAD"), in)
	}
	r, ok := in.Request.(*smithyhttp.Request)
	if !ok {
		return middleware.FinalizeOutput{}, middleware.Metadata{}, fmt.Errorf("request is a %T", in.Request)
	}
	body := newChunked(s.Body)
	r, err := r.SetStream(body)
	if err != nil {
		return middleware.FinalizeOutput{}, middleware.Metadata{}, err
	}
	r.ContentLength = body.size()
	r.Header.Set("Content-Encoding", "aws-chunked")
	r.Header.Set("X-Amz-Decoded-Content-Length", strconv.FormatInt(s.Size, 10))
	r.Header.Set("X-Amz-Trailer", sumHeader)
	in.Request = r
	return next.HandleFinalize(v4.SetPayloadHash(ctx, "STREAMING-UNSIGNED-PAYLOAD-TRAILER"), in)
}

// chunkSize is that of every chunk but the last; S3 wants at least 8 KiB, MinIO
// at most 16 MiB.
const chunkSize = 1 << 20

// chunked is a body in chunks, with its checksum in a trailer.
type chunked struct {
	bucket.Body
	left  int64          // of the body
	chunk int64          // left of the chunk
	frame strings.Reader // what goes between the chunks, or behind the last
	last  bool           // frame is the end
}

func newChunked(b bucket.Body) *chunked {
	c := &chunked{Body: b, left: b.Size}
	c.begin("")
	return c
}

// begin begins a chunk, behind the end of another.
func (c *chunked) begin(end string) {
	c.chunk = min(c.left, chunkSize)
	c.frame.Reset(end + header(c.chunk))
}

func header(size int64) string { return strconv.FormatInt(size, 16) + "\r\n" }

func trailer(sum string) string { return "\r\n0\r\n" + sumHeader + ":" + sum + "\r\n\r\n" }

// size is the length of the whole; every checksum is equally long.
func (c *chunked) size() int64 {
	n := c.Size + int64(len(trailer(bucket.EncodeSum(0))))
	full, rest := c.Size/chunkSize, c.Size%chunkSize
	n += full * int64(len(header(chunkSize)))
	chunks := full
	if rest > 0 {
		n += int64(len(header(rest)))
		chunks++
	}
	return n + (chunks-1)*int64(len("\r\n"))
}

func (c *chunked) Read(p []byte) (int, error) {
	for {
		if c.frame.Len() > 0 || c.last {
			return c.frame.Read(p)
		}
		if int64(len(p)) > c.chunk {
			p = p[:c.chunk]
		}
		n, err := c.Stream.Read(p)
		c.chunk -= int64(n)
		c.left -= int64(n)
		switch {
		case c.left == 0 && (err == nil || errors.Is(err, io.EOF)):
			// The stream has told its end with its last byte.
			c.last = true
			c.frame.Reset(trailer(c.Sum()))
		case err != nil:
			return n, err
		case c.chunk == 0:
			c.begin("\r\n")
		}
		if n > 0 {
			return n, nil
		}
	}
}
