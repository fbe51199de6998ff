// Package bucket keeps blobs as objects of one S3 bucket, under their own keys:
// <bucket>/<version-id><ext>. What is to be said to a server is said through a
// Client, of which the neighbours minio and aws have one each; what is to be
// done when a server refuses, fails, hangs or lies is decided here, so that it
// is the same for both.
//
// Bodies stream: a body of known size goes through in one request, whatever its
// size, with its CRC-64/NVME behind it, which the server compares. One of unknown
// size goes in parts of partSize. Nobody keeps more than a part in memory.
package bucket

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"meridian/internal/checksum"
	"meridian/origin/blob"
)

// Config describes a store. Endpoint may be empty where the client knows one.
type Config struct {
	Endpoint             string // URL of the S3 server
	Region               string // that requests are signed for
	Bucket               string // created where it is missing
	AccessKey, SecretKey string
	Log                  *slog.Logger
	// Patience is how long Open waits for a server that cannot be reached, or
	// is starting; 30 s where it is zero.
	Patience time.Duration
	// Transport carries the requests; NewTransport's where it is nil.
	Transport http.RoundTripper
}

// ParseEndpoint checks that the endpoint is the URL of a server and no more.
func (c Config) ParseEndpoint() (*url.URL, error) {
	u, err := url.Parse(c.Endpoint)
	switch {
	case err != nil:
		return nil, fmt.Errorf("store endpoint: %w", err)
	case u.Scheme != "http" && u.Scheme != "https" || u.Host == "":
		return nil, fmt.Errorf("store endpoint %q is not a URL like http://minio:9000", c.Endpoint)
	case u.User != nil:
		return nil, errors.New("store endpoint holds a user name or password; give the access key and the secret key by themselves")
	case strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "":
		return nil, fmt.Errorf("store endpoint %q has a path or a query; name the server only, the bucket has an option of its own", c.Endpoint)
	}
	u.Path = ""
	return u, nil
}

// NewTransport carries requests to one server: many connections are kept, since
// every read of a cache node is a request, and none waits for ever. trust may be
// nil.
func NewTransport(trust *tls.Config) http.RoundTripper {
	return expecting{&http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           (&net.Dialer{Timeout: 5 * time.Second, KeepAlive: 15 * time.Second}).DialContext,
		TLSClientConfig:       trust,
		TLSHandshakeTimeout:   5 * time.Second,
		MaxIdleConns:          256,
		MaxIdleConnsPerHost:   256,
		IdleConnTimeout:       time.Minute,
		ExpectContinueTimeout: time.Second,
		ReadBufferSize:        64 << 10,
		WriteBufferSize:       64 << 10,
		DisableCompression:    true,
	}}
}

// expecting asks before it sends a stream whether the server wants it: one that
// is refused first was not read, and may be sent again.
type expecting struct{ *http.Transport }

func (t expecting) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.ContentLength > small {
		r = r.Clone(r.Context())
		r.Proto, r.ProtoMajor, r.ProtoMinor = "HTTP/1.1", 1, 1 // the AWS SDK says none, and then nobody waits
		r.Header.Set("Expect", "100-continue")
	}
	return t.Transport.RoundTrip(r)
}

// Client speaks to an S3 server: each method is one request, or for Objects and
// Uploads one for every page, without retries and without deadlines. What a
// server refuses is an *Error.
type Client interface {
	MakeBucket(ctx context.Context) error
	Put(ctx context.Context, key string, b Body, h Headers) (etag string, err error)
	Get(ctx context.Context, key, byteRange string) (io.ReadCloser, error)
	Head(ctx context.Context, key string) (Object, error)
	Delete(ctx context.Context, keys []string) error // at most deleteBatch
	Objects(ctx context.Context, after string) iter.Seq2[Object, error]

	Begin(ctx context.Context, key string, h Headers) (upload string, err error)
	PutPart(ctx context.Context, key, upload string, n int, b Body) (etag string, err error)
	Complete(ctx context.Context, key, upload string, parts []blob.Part, h Headers) error
	Abort(ctx context.Context, key, upload string) error
	Uploads(ctx context.Context) iter.Seq2[Upload, error]
}

// Body is what a request carries. It is either in memory, and then may be sent
// again, or a stream whose checksum is known when it has been read.
type Body struct {
	Size   int64
	Bytes  []byte
	Stream io.Reader     // nil: Bytes
	Sum    func() string // CRC-64/NVME in base64, of a stream when it has ended
	// Checked asks the server to compare Sum, and to keep it.
	Checked bool
}

// Headers are what a request says of an object.
type Headers struct {
	Meta     map[string]string // x-amz-meta-*
	Type     string            // Content-Type; empty: the server's own choice
	IfAbsent bool              // refuse to replace one, with status 412
	// Checked announces parts with CRC-64/NVME, or says that Sum is that of
	// the whole.
	Checked bool
	Sum     string
}

// Object is what a server tells of an object.
type Object struct {
	Key      string
	Size     int64
	ETag     string // without quotes
	Modified time.Time
	Meta     map[string]string // by lower-case name
	Sum      string            // CRC-64/NVME of all of it in base64; may be empty
}

// Upload is a multipart upload in progress.
type Upload struct {
	Key, ID string
	Begun   time.Time
}

// Error is an answer that is not a success.
type Error struct {
	Code   string // of S3; empty where there was no body to read it from
	Status int
	Err    error
}

func (e *Error) Error() string { return e.Err.Error() }

func (e *Error) Unwrap() error { return e.Err }

// Limits of S3 and what is made of them.
const (
	deleteBatch = 1000
	maxParts    = 10_000
	// maxSingle is the largest body of one request.
	maxSingle = 5 << 30
	// small bodies are kept in memory while they are sent, so that they can be
	// sent again.
	small = 1 << 20
	// partSize is that of the parts of a body of unknown size.
	partSize = 8 << 20
)

// abilities are what servers that speak S3 differ in.
type abilities struct {
	checksums  bool // compares and keeps CRC-64/NVME, also behind a stream
	conditions bool // knows If-None-Match: *
}

// Store is a blob.Store in a bucket.
type Store struct {
	client Client
	name   string // of the bucket
	log    *slog.Logger
	can    abilities
	budget budget
	writes claims
	health health
}

var (
	_ blob.Store    = (*Store)(nil)
	_ blob.Verifier = (*Store)(nil)
	_ blob.Watched  = (*Store)(nil)
)

// Open makes the bucket where it is missing, and tries out what the server can.
// It fails with what is to be done about it.
func Open(ctx context.Context, client Client, c Config) (*Store, error) {
	s := &Store{client: client, name: c.Bucket, log: c.Log}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if c.Patience == 0 {
		c.Patience = defaultPatience
	}
	s.budget.left = fullBudget
	if err := s.start(ctx, c); err != nil {
		return nil, fmt.Errorf("store in bucket %s: %w", c.Bucket, err)
	}
	s.succeeded()
	return s, nil
}

// Close is there for symmetry with stores that hold something.
func (s *Store) Close() error { return nil }

// EncodeSum is a CRC-64/NVME as S3 writes it.
func EncodeSum(crc uint64) string { return checksum.EncodeCRC64(crc) }
