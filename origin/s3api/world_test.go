package s3api_test

import (
	"bytes"
	"context"
	"encoding/xml"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/minio/minio-go/v7"
	miniocreds "github.com/minio/minio-go/v7/pkg/credentials"
	"github.com/prometheus/client_golang/prometheus"

	"meridian/internal/hop"
	"meridian/internal/sigv4"
	"meridian/metadata"
	"meridian/metadata/postgres"
	"meridian/metadata/postgres/pgtest"
	"meridian/origin"
	"meridian/origin/blob"
	"meridian/origin/blob/disk"
	"meridian/origin/s3api"
	"meridian/upload"
)

const (
	region        = "us-west"
	clusterSecret = "cluster-secret-of-the-test"
)

// user is an access key of the world.
type user struct{ key, secret string }

var (
	root   = user{"ROOTKEY", "root-secret"}
	writer = user{"WRITERKEY", "writer-secret"}
	reader = user{"READERKEY", "reader-secret"}
	alice  = user{"ALICEKEY", "alice-secret"} // of role user
	bob    = user{"BOBKEY", "bob-secret"}     // likewise
	node   = user{hop.NodeAccessKey, clusterSecret}
)

// world is a region: the endpoint over real parts, behind a real server.
type world struct {
	t       *testing.T
	url     string
	handler http.Handler
	catalog *postgres.Store
	blobs   blob.Store
	reg     *prometheus.Registry

	mu      sync.Mutex
	samples []s3api.ReadSample
}

func newWorld(t *testing.T, change ...func(*s3api.Options)) *world {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	w := &world{t: t, catalog: pgtest.New(t), reg: prometheus.NewRegistry()}
	ctx := t.Context()
	for _, u := range []struct {
		user
		name, role string
	}{{root, "root", metadata.RoleAdmin}, {writer, "writer", metadata.RoleReadWrite}, {reader, "reader", metadata.RoleReadOnly}, {alice, "alice", metadata.RoleUser}, {bob, "bob", metadata.RoleUser}} {
		if err := w.catalog.PutKey(ctx, metadata.AccessKey{ID: u.key, Secret: u.secret, User: u.name, Role: u.role}); err != nil {
			t.Fatal(err)
		}
	}
	store, err := disk.Open(disk.Config{Dir: t.TempDir(), Log: log})
	if err != nil {
		t.Fatal(err)
	}
	w.blobs = store
	o := s3api.Options{
		Objects: origin.New(origin.Options{Region: region, Store: store, Catalog: w.catalog, Log: log}),
		Uploads: upload.New(upload.Options{Region: region, Store: store, Catalog: w.catalog, Log: log}),
		Catalog: w.catalog, Keys: w.catalog, ClusterSecret: clusterSecret, Region: region,
		Regions: func() []string { return []string{region, "europe", "asia"} },
		Domains: []string{"s3.test"}, Log: log, Registry: w.reg,
		Observe: func(s s3api.ReadSample) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.samples = append(w.samples, s)
		},
	}
	for _, f := range change {
		f(&o)
	}
	w.handler = s3api.New(o)
	srv := httptest.NewServer(w.handler)
	t.Cleanup(srv.Close)
	w.url = srv.URL
	return w
}

// awsTLS is a client over TLS, where the SDK frames bodies in another way:
// unsigned, with the checksum in a trailer.
func (w *world) awsTLS(u user) *s3.Client {
	srv := httptest.NewTLSServer(w.handler)
	w.t.Cleanup(srv.Close)
	o := w.aws(u).Options()
	o.BaseEndpoint, o.HTTPClient = aws.String(srv.URL), srv.Client()
	return s3.New(o)
}

func (w *world) aws(u user) *s3.Client {
	return s3.New(s3.Options{
		RequestChecksumCalculation: aws.RequestChecksumCalculationWhenSupported, // the default of programs
		ResponseChecksumValidation: aws.ResponseChecksumValidationWhenSupported,
		Region:                     region, BaseEndpoint: aws.String(w.url), UsePathStyle: true,
		Credentials: credentials.NewStaticCredentialsProvider(u.key, u.secret, ""),
	})
}

func (w *world) minio(u user, opts ...func(*minio.Options)) *minio.Client {
	w.t.Helper()
	o := &minio.Options{Creds: miniocreds.NewStaticV4(u.key, u.secret, "")}
	for _, f := range opts {
		f(o)
	}
	c, err := minio.New(strings.TrimPrefix(w.url, "http://"), o)
	if err != nil {
		w.t.Fatal(err)
	}
	return c
}

// reply is an answer that was read whole.
type reply struct {
	status int
	header http.Header
	body   []byte
}

// s3Error is the XML of an error.
type s3Error struct {
	XMLName   xml.Name `xml:"Error"`
	Code      string
	Message   string
	Resource  string
	RequestID string `xml:"RequestId"`
	HostID    string `xml:"HostId"`
}

func (r reply) error(t *testing.T) s3Error {
	t.Helper()
	var e s3Error
	if err := xml.Unmarshal(r.body, &e); err != nil {
		t.Fatalf("not an error document: %v: %d %q", err, r.status, r.body)
	}
	return e
}

// request makes a request to path, whose query may follow a "?". headers are
// "Name: value" lines.
func (w *world) request(method, path string, body []byte, headers ...string) *http.Request {
	w.t.Helper()
	u, err := url.Parse(w.url)
	if err != nil {
		w.t.Fatal(err)
	}
	raw, query, _ := strings.Cut(path, "?")
	decoded, err := url.PathUnescape(raw)
	if err != nil {
		w.t.Fatal(err)
	}
	u.Path, u.RawPath, u.RawQuery = decoded, raw, query
	r, err := http.NewRequestWithContext(w.t.Context(), method, u.String(), bytes.NewReader(body))
	if err != nil {
		w.t.Fatal(err)
	}
	r.URL = u
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		r.Header.Set(name, value)
	}
	return r
}

func (w *world) send(r *http.Request) reply {
	w.t.Helper()
	r.Header.Set("Accept-Encoding", "identity")
	res, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		w.t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	return reply{res.StatusCode, res.Header, body}
}

// do sends a request signed by u; the zero user sends it unsigned.
func (w *world) do(u user, method, path string, body []byte, headers ...string) reply {
	w.t.Helper()
	r := w.request(method, path, body, headers...)
	if u != (user{}) {
		sigv4.Signer{AccessKey: u.key, Secret: u.secret, Region: region}.Sign(r, sigv4.UnsignedPayload, time.Now())
	}
	return w.send(r)
}

// must sends a request of root that has to succeed.
func (w *world) must(method, path string, body []byte, headers ...string) reply {
	w.t.Helper()
	r := w.do(root, method, path, body, headers...)
	if r.status/100 != 2 {
		w.t.Fatalf("%s %s: %d %s", method, path, r.status, r.body)
	}
	return r
}

// refused sends a request that has to fail with the code.
func (w *world) refused(u user, status int, code, method, path string, body []byte, headers ...string) reply {
	w.t.Helper()
	r := w.do(u, method, path, body, headers...)
	if r.status != status {
		w.t.Errorf("%s %s %q: status %d, want %d %s: %s", method, path, headers, r.status, status, code, r.body)
		return r
	}
	if method != http.MethodHead {
		if e := r.error(w.t); e.Code != code {
			w.t.Errorf("%s %s %q: %s %q, want %s", method, path, headers, e.Code, e.Message, code)
		}
	}
	return r
}

func (w *world) setVisibility(bucket, visibility string) {
	w.t.Helper()
	_, err := w.catalog.UpdateBucket(w.t.Context(), bucket, func(b *metadata.Bucket) error {
		b.Visibility = visibility
		return nil
	})
	if err != nil {
		w.t.Fatal(err)
	}
}

// blobCount is how many blobs the store holds.
func (w *world) blobCount() int {
	w.t.Helper()
	n := 0
	for _, err := range w.blobs.List(context.Background(), "") {
		if err != nil {
			w.t.Fatal(err)
		}
		n++
	}
	return n
}

func (w *world) observed() []s3api.ReadSample {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]s3api.ReadSample(nil), w.samples...)
}

// sign signs r as u would.
func (w *world) sign(r *http.Request, u user) {
	sigv4.Signer{AccessKey: u.key, Secret: u.secret, Region: region}.Sign(r, sigv4.UnsignedPayload, time.Now())
}
