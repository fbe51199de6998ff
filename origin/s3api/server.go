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
	"iter"
	"log/slog"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"meridian/internal/cors"
	"meridian/internal/hop"
	"meridian/internal/httpserve"
	"meridian/metadata"
	"meridian/metadata/access"
	"meridian/metadata/lifecycle"
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
	// MaxWriteHeader is the greatest header of a PUT or POST.
	MaxWriteHeader = 8 << 10
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
	// Webhook is of metadata.Webhooks.
	Webhook(ctx context.Context, id string) (metadata.Webhook, error)
	// KnownRegions and CopyTries are of metadata.Copies.
	KnownRegions(ctx context.Context) ([]string, error)
	CopyTries(ctx context.Context, blob string) (int, error)
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
	// Observe is told of every read of an object by a cache node. Optional.
	Observe func(ReadSample)
	// MaxObjectSize is the greatest body of a PUT in bytes; MaxPutSize where it
	// is zero.
	MaxObjectSize int64
	// Stall is how long a client may neither send nor take a byte before its
	// connection is cut; a minute where it is zero. There is no overall limit.
	Stall time.Duration
	// LifecycleClock counts the days of lifecycle rules, for x-amz-expiration.
	LifecycleClock lifecycle.Clock
	// Now is the clock; time.Now where it is nil.
	Now func() time.Time
}

// KeyLookup finds access keys; metadata.Keys is one.
type KeyLookup interface {
	// Key finds a key with its secret; expired and unknown ones are
	// metadata.ErrNoSuchAccess.
	Key(ctx context.Context, id string) (metadata.AccessKey, error)
	// Keys yields all of them: policies and ACLs name their users.
	Keys(ctx context.Context) iter.Seq2[metadata.AccessKey, error]
}

// Server is the S3 endpoint of one region.
type Server struct {
	opts       Options
	routes     routes
	keys       *recent[string, identity]
	derived    derivedKeys
	cors       *recent[string, *cors.Config]
	lifecycles *recent[string, *lifecycle.Config]
	buckets    *recent[string, metadata.Bucket]
	grants     *recent[string, *access.Bucket]
	everywhere *recent[string, []string] // the regions that "all" means
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
	s.keys = newRecent(o.Now, func(ctx context.Context, accessKey string) (identity, error) {
		return readIdentity(ctx, o.Keys, accessKey)
	})
	s.cors = newRecent(o.Now, func(ctx context.Context, name string) (*cors.Config, error) {
		return readCORS(ctx, o.Catalog, name)
	})
	s.lifecycles = newRecent(o.Now, func(ctx context.Context, name string) (*lifecycle.Config, error) {
		return readLifecycle(ctx, o.Catalog, name)
	})
	s.buckets = newRecent(o.Now, o.Catalog.Bucket)
	s.grants = newRecent(o.Now, func(ctx context.Context, name string) (*access.Bucket, error) {
		return readAccess(ctx, o.Catalog, name)
	})
	s.everywhere = newRecent(o.Now, func(ctx context.Context, _ string) ([]string, error) { return o.Catalog.KnownRegions(ctx) })
	return s
}

// ServeHTTP answers one request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c := &call{Server: s, w: newResponse(w, s.metrics, s.opts.Stall), r: r, requestID: httpserve.RequestID(r.Context())}
	if c.requestID == "" {
		c.requestID = rand.Text()[:16]
	}
	s.metrics.running.Inc()
	if r.ContentLength != 0 {
		// Also for the body of a request that is refused, which net/http reads
		// to the end where it is short.
		_ = c.w.ctl.SetReadDeadline(time.Now().Add(s.opts.Stall))
	}
	h := w.Header()
	h.Set("Server", "Meridian")
	h.Set(httpserve.RequestIDHeader, c.requestID)
	h.Set("X-Amz-Id-2", s.hostID(c.requestID))
	h.Set(hop.Region, s.opts.Region)
	result := code("Aborted") // unless it comes to an end
	defer func() { c.w.release(); c.observe(result) }()
	result = c.answer(c.asMinIO(c.serve())) //nolint:contextcheck // the context is that of the request in c
	c.w.finish()
}

// hostID is the second of the two IDs that S3 support asks for.
func (s *Server) hostID(requestID string) string {
	return base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString([]byte(requestID + "@" + s.opts.Region))
}
