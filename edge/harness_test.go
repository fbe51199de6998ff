package edge_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"meridian/edge"
	"meridian/edge/cache"
	"meridian/edge/cache/memory"
	"meridian/edge/fetch"
	"meridian/internal/hop"
	"meridian/internal/sigv4"
	"meridian/metadata"
)

// world is an origin, the metadata role, and nodes in front of it, over real
// sockets.
type world struct {
	t       testing.TB
	control *control
	origin  *origin
}

func newWorld(t testing.TB, visibility string) *world {
	t.Helper()
	w := &world{t: t, control: newControl(), origin: newOrigin(t)}
	b := media(visibility)
	w.control.putBucket(b)
	return w
}

// node is a cache node that runs.
type node struct {
	w     *world
	id    string
	url   string
	cache cache.Tier
	node  *edge.Node
	stop  func() // ends Run and waits
	reg   *prometheus.Registry
}

// start runs a node of a tier in front of the upstreams and waits until it is
// ready.
func (w *world) start(tier, id string, change func(*edge.Config), upstreams ...string) *node {
	w.t.Helper()
	n := &node{w: w, id: id, cache: newTier(w.t), reg: prometheus.NewRegistry()}
	var handler http.Handler
	srv := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) { handler.ServeHTTP(rw, r) }))
	cfg := edge.Config{
		ID: id, Boot: "boot", Tier: tier, Region: "europe", URL: srv.URL, PublicURL: srv.URL,
		Control: w.control, Follower: w.control, Cache: n.cache, Upstreams: upstreams,
		ClusterSecret: clusterSecret, Log: slog.New(slog.DiscardHandler), Registry: n.reg,
		// Of those that answer, it waits for the whole of a slow machine's time.
		Timeouts: fetch.Timeouts{Dial: 20 * time.Second, Header: 30 * time.Second, Idle: 30 * time.Second},
	}
	if change != nil {
		change(&cfg)
	}
	var err error
	if n.node, err = edge.New(cfg); err != nil {
		w.t.Fatal(err)
	}
	handler = n.node
	n.url = srv.URL
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- n.node.Run(ctx) }()
	n.stop = sync.OnceFunc(func() {
		srv.CloseClientConnections()
		srv.Close()
		cancel()
		if err := <-done; err != nil {
			w.t.Errorf("node %s ended with %v", id, err)
		}
		if err := n.cache.Close(); err != nil {
			w.t.Error(err)
		}
	})
	w.t.Cleanup(n.stop)
	w.control.eventually(w.t, "node "+id+" is ready", func() bool { return n.node.Ready() == nil })
	return n
}

func (w *world) edge(upstreams ...string) *node {
	w.t.Helper()
	return w.start(metadata.TierEdge, "edge-europe-1", nil, upstreams...)
}

// pair is an edge in front of a regional cache in front of the origin.
func (w *world) pair() (edge, regional *node) {
	w.t.Helper()
	regional = w.start(metadata.TierRegional, "regional-europe-1", nil, w.origin.url)
	edge = w.start(metadata.TierEdge, "edge-europe-1", nil, regional.url)
	return edge, regional
}

// written says through the feed that a key was overwritten, and waits until the
// nodes have applied it: they tell in their pushes.
func (w *world) written(name string, nodes ...*node) metadata.Seq {
	w.t.Helper()
	bucket, key, _ := strings.Cut(name, "/")
	s := w.control.emit(metadata.Event{Type: metadata.ObjectCreated, Bucket: bucket, Key: key})
	w.applied(s, nodes...)
	return s
}

func (w *world) applied(s metadata.Seq, nodes ...*node) {
	w.t.Helper()
	for _, n := range nodes {
		w.control.eventually(w.t, n.id+" has applied "+s.String(), func() bool { return n.node.Applied().Compare(s) >= 0 })
	}
}

type answer struct {
	status int
	header http.Header
	body   []byte
	err    error // of reading the body
}

// result is the node's own word in Cache-Status.
func (a answer) result() string {
	_, desc, _ := strings.Cut(a.header.Get("Server-Timing"), "cache;desc=")
	desc, _, _ = strings.Cut(desc, ",")
	return desc
}

// client keeps no connection: a node that stops must not wait for it.
var client = &http.Client{
	Transport:     &http.Transport{DisableKeepAlives: true, DisableCompression: true},
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
}

func (n *node) do(ctx context.Context, method, path string, change func(*http.Request)) (answer, error) {
	req, err := http.NewRequestWithContext(ctx, method, n.url+path, nil)
	if err != nil {
		return answer{}, err
	}
	if change != nil {
		change(req)
	}
	resp, err := client.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return answer{status: resp.StatusCode, header: resp.Header, body: body, err: err}, nil
}

func (n *node) request(method, path string, change func(*http.Request)) answer {
	n.w.t.Helper()
	a, err := n.do(n.w.t.Context(), method, path, change)
	if err != nil {
		n.w.t.Fatalf("%s %s: %v", method, path, err)
	}
	return a
}

// get asks with headers given as pairs.
func (n *node) get(path string, header ...string) answer {
	n.w.t.Helper()
	return n.request(http.MethodGet, path, with(header...))
}

func with(header ...string) func(*http.Request) {
	return func(r *http.Request) {
		for i := 0; i < len(header); i += 2 {
			r.Header.Add(header[i], header[i+1])
		}
	}
}

// signed signs as a user, asNode as a node.
func signed(key, secret string) func(*http.Request) {
	return func(r *http.Request) {
		sigv4.Signer{AccessKey: key, Secret: secret}.Sign(r, sigv4.UnsignedPayload, time.Now())
	}
}

func asNode(header ...string) func(*http.Request) {
	return func(r *http.Request) {
		with(header...)(r)
		signed(hop.NodeAccessKey, clusterSecret)(r)
	}
}

func wantBody(t testing.TB, what string, a answer, status int, result string, body []byte) {
	t.Helper()
	switch {
	case a.err != nil:
		t.Fatalf("%s: body: %v", what, a.err)
	case a.status != status:
		t.Fatalf("%s: status %d, want %d: %.200s", what, a.status, status, a.body)
	case result != "" && a.result() != result:
		t.Errorf("%s: result %q, want %q (%s)", what, a.result(), result, a.header.Get("Cache-Status"))
	case body != nil && !bytes.Equal(a.body, body):
		t.Fatalf("%s: %d bytes differ from the %d wanted", what, len(a.body), len(body))
	}
}

// random returns n bytes that depend on seed only.
func random(n int, seed uint64) []byte {
	b := make([]byte, n)
	rng := rand.New(rand.NewPCG(seed, 0))
	for i := range b {
		b[i] = byte(rng.Uint32())
	}
	return b
}

// newTier is a memory cache, large enough that nothing is evicted.
func newTier(t testing.TB) cache.Tier {
	t.Helper()
	tier, err := memory.New(memory.Config{HeadBytes: 16 << 20, SliceBytes: 128 << 20})
	if err != nil {
		t.Fatal(err)
	}
	return tier
}

func name(i int) string { return fmt.Sprintf("/media/%d", i) }
