// Package s3api is the S3 endpoint of one region: it turns HTTP requests as S3
// tools and SDKs send them into calls of package origin (whole objects), package
// upload (multipart) and the catalogue, and their answers and errors back into
// what S3 would say.
//
// It stands directly on net/http and routes by hand. Bodies are streamed in both
// directions; nothing here grows with the size of an object.
//
// https://docs.aws.amazon.com/AmazonS3/latest/API/
package s3api

import (
	"context"
	"crypto/rand"
	"encoding/base32"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"meridian/internal/hop"
	"meridian/internal/httpserve"
	"meridian/internal/sigv4"
	"meridian/metadata"
	"meridian/origin"
	"meridian/upload"
)

// Limits of S3.
const (
	// MaxPutSize is the greatest body of one PUT, of an object or a part, and
	// the greatest source of a copy.
	MaxPutSize = 5 << 30
	// MaxMetadata is the greatest sum of names and values of user metadata.
	MaxMetadata = 2 << 10
	// MaxParts is the greatest part number.
	MaxParts = 10_000
	// maxDelete is the greatest number of keys in one DeleteObjects.
	maxDelete = 1000
)

// defaultStall is how long a client may neither send nor take a byte.
const defaultStall = 60 * time.Second

// Catalog is what the endpoint reads and changes of the catalogue by itself;
// objects and uploads go through their packages.
type Catalog interface {
	metadata.Buckets
	metadata.Objects
	metadata.Uploads
}

// Options describe an endpoint. All but those marked optional are required.
type Options struct {
	Objects *origin.Objects
	Uploads *upload.Manager
	Catalog Catalog
	// Keys finds access keys. Answers are kept for recentTTL, so a revoked key is
	// refused within a second.
	Keys KeyLookup
	// ClusterSecret is the secret of hop.NodeAccessKey; where it is empty there
	// are no other nodes.
	ClusterSecret string
	// Region is ours, Regions all of the cluster's: they are the scopes of
	// signatures and the locations of buckets.
	Region  string
	Regions func() []string
	// Domains are the names under which buckets are addressed virtual-host
	// style: with "s3.example.com", bucket.s3.example.com. Optional.
	Domains  []string
	Log      *slog.Logger
	Registry prometheus.Registerer
	// Observe is told of every read of an object by another node. Optional.
	Observe func(ReadSample)
	// MaxObjectSize is the greatest body of a PUT in bytes; MaxPutSize where it
	// is zero.
	MaxObjectSize int64
	// Stall is how long a client may neither send nor take a byte before its
	// connection is cut; a minute where it is zero. There is no overall limit.
	Stall time.Duration
	// Now is the clock; time.Now where it is nil.
	Now func() time.Time
}

// KeyLookup finds access keys; metadata.Keys is one.
type KeyLookup interface {
	// Key finds a key with its secret; expired and unknown ones are
	// metadata.ErrNoSuchAccess.
	Key(ctx context.Context, id string) (metadata.AccessKey, error)
}

// Server is the S3 endpoint of one region.
type Server struct {
	opts       Options
	routes     routes
	keys       *recent[string, metadata.AccessKey]
	versioning *recent[string, string]
	metrics    *metrics
}

var _ http.Handler = (*Server)(nil)

// New makes an endpoint.
func New(o Options) *Server {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.MaxObjectSize == 0 {
		o.MaxObjectSize = MaxPutSize
	}
	if o.Stall == 0 {
		o.Stall = defaultStall
	}
	if o.Observe == nil {
		o.Observe = func(ReadSample) {}
	}
	s := &Server{opts: o, routes: newRoutes(), metrics: newMetrics(o.Region, o.Registry)}
	s.keys = newRecent(o.Now, o.Keys.Key)
	s.versioning = newRecent(o.Now, func(ctx context.Context, name string) (string, error) {
		b, err := o.Catalog.Bucket(ctx, name)
		return b.Versioning, err
	})
	return s
}

// call is one request in progress.
type call struct {
	*Server
	w     *response
	r     *http.Request
	query url.Values
	target
	op        *operation
	who       identity
	auth      *sigv4.Auth // nil where the request is anonymous
	requestID string
	sample    ReadSample // of a node's read
}

// ServeHTTP answers one request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c := &call{Server: s, w: newResponse(w, s.metrics, s.opts.Stall), r: r, requestID: httpserve.RequestID(r.Context())}
	if c.requestID == "" {
		c.requestID = rand.Text()[:16]
	}
	s.metrics.running.Inc()
	h := w.Header()
	h.Set("Server", "Meridian")
	h.Set(httpserve.RequestIDHeader, c.requestID)
	h.Set("X-Amz-Id-2", s.hostID(c.requestID))
	h.Set(hop.Region, s.opts.Region)
	result := code("Aborted") // unless it comes to an end
	defer func() { c.observe(result) }()
	result = c.answer(c.serve())
	c.w.finish()
}

// hostID is the second of the two IDs that S3 support asks for.
func (s *Server) hostID(requestID string) string {
	return base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString([]byte(requestID + "@" + s.opts.Region))
}

// serve finds the operation, the caller and whether the one may do the other,
// all before a byte of the body is read: a client that waits for "100 Continue"
// is refused without sending it.
func (c *call) serve() error {
	c.target = targetOf(c.r, c.opts.Domains)
	var err error
	if c.query, err = url.ParseQuery(c.r.URL.RawQuery); err != nil {
		return because(invalidURI, err)
	}
	if c.op, err = c.routes.find(c.r.Method, c.target, c.query); err != nil {
		return err
	}
	if c.bucket != "" || c.key != "" {
		if err := metadata.CheckBucketName(c.bucket); err != nil {
			return because(invalidBucketName, err).with("BucketName", c.bucket)
		}
	}
	if c.key != "" {
		if err := checkKey(c.key); err != nil {
			return err
		}
	}
	if err := c.identify(); err != nil {
		return err
	}
	if err := c.authorise(); err != nil {
		return err
	}
	return c.op.run(c)
}

// answer sends what err asks for, if anything, and says how the request ended:
// "" is success.
func (c *call) answer(err error) code {
	if err == nil {
		return ""
	}
	f := failureOf(err)
	if c.r.Context().Err() != nil && errors.Is(err, context.Canceled) {
		f = because(clientGone, err)
	}
	if c.who.anonymous() && c.hides(f.code) {
		f = because(accessDenied, f)
		for _, name := range []string{"X-Amz-Delete-Marker", "X-Amz-Version-Id", "Allow", "Last-Modified"} {
			c.w.Header().Del(name)
		}
	}
	status, _ := f.code.about()
	if f.code == clientGone {
		status = http.StatusBadRequest // nobody will read it, if it can be sent at all
	}
	if status >= http.StatusInternalServerError && f.code != notImplemented {
		c.opts.Log.Error("S3 request failed", "request_id", c.requestID, "op", c.opName(),
			"bucket", c.bucket, "key", c.key, "code", string(f.code), "err", err)
	} else {
		c.opts.Log.Debug("S3 request refused", "request_id", c.requestID, "op", c.opName(),
			"bucket", c.bucket, "key", c.key, "code", string(f.code), "err", err)
	}
	if c.w.status != 0 { // too late to say so in words
		panic(http.ErrAbortHandler)
	}
	c.w.fail(c.r, status, c.locate(f), c.requestID)
	return f.code
}

// hides says whether an anonymous caller must not learn of c: without the
// permission to list a bucket, S3 tells nobody which keys it has.
func (c *call) hides(k code) bool {
	return k == noSuchKey || k == noSuchVersion || k == methodNotAllowed && c.op != nil
}

// locate adds the elements by which AWS names what an error is about.
func (c *call) locate(f *failure) *failure {
	switch f.code {
	case noSuchBucket, bucketAlreadyExists, bucketAlreadyOwnedByYou, bucketNotEmpty, noSuchBucketPolicy,
		noSuchCORS, noSuchLifecycle, noSuchTagSet, noSuchWebsite, objectLockNotFound,
		serverSideEncryptionNotFound, replicationNotFound, noSuchPublicAccessBlock, ownershipControlsNotFound:
		return f.with("BucketName", c.bucket)
	case noSuchKey:
		return f.with("Key", c.key)
	case noSuchVersion:
		return f.with("Key", c.key).with("VersionId", c.query.Get("versionId"))
	case noSuchUpload:
		return f.with("UploadId", c.query.Get("uploadId"))
	case methodNotAllowed:
		if len(f.fields) == 0 {
			return f.with("Method", c.r.Method).with("ResourceType", "DeleteMarker")
		}
	}
	return f
}

func (c *call) opName() string {
	if c.op == nil {
		return "Unknown"
	}
	return c.op.name
}

// header is a request header. In a presigned URL signers put some of the
// x-amz-* headers into the query, where they are signed as well.
func (c *call) header(name string) string {
	if v := c.r.Header.Get(name); v != "" {
		return v
	}
	if c.auth == nil || !c.auth.Presigned {
		return ""
	}
	for k, v := range c.query {
		if strings.EqualFold(k, name) && len(v) > 0 {
			return v[0]
		}
	}
	return ""
}
