package tus_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/oklog/ulid/v2"

	"meridian/internal/httpserve"
	"meridian/metadata"
	"meridian/metadata/postgres"
	"meridian/metadata/postgres/pgtest"
	"meridian/origin/blob"
	"meridian/origin/blob/disk"
	"meridian/upload"
	"meridian/upload/relay"
	"meridian/upload/tus"
)

// Sizes of the tests' parts: the least of them, and those that come in one
// piece.
const (
	minPart  = 1000
	partSize = 4000
)

const clusterSecret = "the secret of the whole cluster"

// world is a catalogue and the stores of regions, over which nodes come and go.
type world struct {
	*testing.T
	catalog *postgres.Store
	stores  map[string]blob.Store // by region
	keys    map[string]metadata.AccessKey

	mu    sync.Mutex
	nodes []metadata.Node
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{T: t, catalog: pgtest.New(t), stores: map[string]blob.Store{}, keys: map[string]metadata.AccessKey{}}
	for user, role := range map[string]string{
		"ada": metadata.RoleReadWrite, "bob": metadata.RoleReadWrite, "root": metadata.RoleAdmin, "eve": metadata.RoleReadOnly,
	} {
		w.keys[user] = metadata.AccessKey{ID: "KEY" + user, Secret: "secret of " + user, User: user, Role: role}
		if err := w.catalog.PutKey(t.Context(), w.keys[user]); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"films", metadata.RenditionBucket} {
		if _, err := w.catalog.CreateBucket(t.Context(), metadata.Bucket{Name: name, Region: "europe", Owner: "root"}); err != nil {
			t.Fatal(err)
		}
	}
	return w
}

func (w *world) store(region string) blob.Store {
	w.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.stores[region] == nil {
		s, err := disk.Open(disk.Config{Dir: w.TempDir(), HeadRoom: -1})
		if err != nil {
			w.Fatal(err)
		}
		w.Cleanup(func() { s.Close() })
		w.stores[region] = s
	}
	return w.stores[region]
}

func (w *world) list(context.Context) ([]metadata.Node, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]metadata.Node(nil), w.nodes...), nil
}

func (w *world) relay(region, node string) *relay.Relay {
	return relay.New(relay.Options{
		Catalog: w.catalog, Nodes: w.list, Region: region, Secret: clusterSecret, Node: node,
		Transport: &http.Transport{ExpectContinueTimeout: relay.ContinueTimeout}, Log: slog.New(slog.DiscardHandler),
	})
}

// node is a running origin.
type node struct {
	*world
	url     string
	handler *tus.Handler
	server  *httptest.Server
	stop    context.CancelFunc // of its Run
}

// start starts an origin of a region; name is its node ID.
func (w *world) start(region, name string, change ...func(*tus.Options)) *node {
	w.Helper()
	o := tus.Options{
		Uploads: upload.New(upload.Options{
			Region: region, Store: w.store(region), Catalog: w.catalog, Log: slog.New(slog.DiscardHandler), MinPart: minPart,
		}),
		Catalog: w.catalog, Keys: w.catalog, ClusterSecret: clusterSecret, Region: region,
		Regions: func() []string { return []string{"europe", "asia"} },
		Relay:   w.relay(region, name), Node: name, Boot: ulid.Make().String(), Dir: w.TempDir(), PartSize: partSize,
		Log: slog.New(slog.NewTextHandler(logTo{w.T}, nil)),
	}
	for _, f := range change {
		f(&o)
	}
	h, err := tus.New(o)
	if err != nil {
		w.Fatal(err)
	}
	n := &node{world: w, handler: h}
	ctx, stop := context.WithCancel(context.Background())
	n.stop = stop
	done := make(chan error, 1)
	go func() { done <- h.Run(ctx) }()
	n.server = httptest.NewServer(httpserve.Access(slog.New(slog.DiscardHandler), false, h))
	n.url = n.server.URL
	w.mu.Lock()
	w.nodes = append(w.nodes, metadata.Node{ID: name, Tier: metadata.TierOrigin, Region: region, URL: n.url, Live: true})
	w.mu.Unlock()
	w.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			w.Errorf("Run = %v", err)
		}
		n.server.CloseClientConnections()
		n.server.Close()
	})
	return n
}

type logTo struct{ *testing.T }

func (l logTo) Write(b []byte) (int, error) {
	l.Log(strings.TrimSpace(string(b)))
	return len(b), nil
}

// headers are name and value in turn.
type headers []string

// answer is a response with its body read.
type answer struct {
	*http.Response
	body string
}

// ask sends a request of user; none if it is empty.
func (w *world) ask(user, method, url string, body io.Reader, hs headers) answer {
	w.Helper()
	a, err := w.try(user, method, url, body, hs)
	if err != nil {
		w.Fatal(err)
	}
	return a
}

func (w *world) try(user, method, url string, body io.Reader, hs headers) (answer, error) {
	req, err := http.NewRequestWithContext(w.Context(), method, url, body)
	if err != nil {
		return answer{}, err
	}
	if user != "" {
		k := w.keys[user]
		req.Header.Set("Authorization", "Bearer "+k.ID+":"+k.Secret)
	}
	req.Header.Set("Tus-Resumable", "1.0.0")
	if method == http.MethodPatch {
		req.Header.Set("Content-Type", "application/offset+octet-stream")
	}
	for i := 0; i < len(hs); i += 2 {
		req.Header.Set(hs[i], hs[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	return answer{resp, string(text)}, err
}

// meta writes Upload-Metadata of key and value in turn.
func meta(pairs ...string) string {
	var list []string
	for i := 0; i < len(pairs); i += 2 {
		list = append(list, pairs[i]+" "+base64.StdEncoding.EncodeToString([]byte(pairs[i+1])))
	}
	return strings.Join(list, ",")
}

// create begins an upload of ada's and returns its URL. length is -1 where it is
// to be told later.
func (n *node) create(length int, pairs ...string) string {
	n.Helper()
	hs := headers{"Upload-Metadata", meta(append([]string{"bucket", "films"}, pairs...)...), "Upload-Length", strconv.Itoa(length)}
	if length < 0 {
		hs[2], hs[3] = "Upload-Defer-Length", "1"
	}
	a := n.ask("ada", http.MethodPost, n.url+"/v1/tus/", nil, hs)
	if a.StatusCode != http.StatusCreated {
		n.Fatalf("create: %s %s", a.Status, a.body)
	}
	return a.Header.Get("Location")
}

// patch sends bytes from an offset, as ada.
func (w *world) patch(url string, offset int64, body []byte, hs ...string) answer {
	w.Helper()
	return w.ask("ada", http.MethodPatch, url, bytes.NewReader(body), append(headers{"Upload-Offset", strconv.FormatInt(offset, 10)}, hs...))
}

// offset asks how far an upload of ada's is.
func (w *world) offset(url string) int64 {
	w.Helper()
	a := w.ask("ada", http.MethodHead, url, nil, nil)
	n, err := strconv.ParseInt(a.Header.Get("Upload-Offset"), 10, 64)
	if a.StatusCode != http.StatusOK || err != nil {
		w.Fatalf("HEAD %s: %s, offset %q", url, a.Status, a.Header.Get("Upload-Offset"))
	}
	return n
}

// object checks that the bytes of films/<key> are want, and returns the version.
func (w *world) object(key string, want []byte) metadata.Version {
	w.Helper()
	v, err := w.catalog.Lookup(w.Context(), metadata.Ref{Bucket: "films", Key: key})
	if err != nil {
		w.Fatal(err)
	}
	r, err := w.stores[v.Regions[0]].Open(w.Context(), v.Blob, 0, -1)
	if err != nil {
		w.Fatal(err)
	}
	defer r.Close()
	got, err := io.ReadAll(r)
	if err != nil || !bytes.Equal(got, want) || v.Size != int64(len(want)) {
		w.Errorf("%s has %d bytes, want %d, and they differ: %v (%v)", key, len(got), len(want), !bytes.Equal(got, want), err)
	}
	return v
}

// nothing checks that there is no such object.
func (w *world) nothing(key string) {
	w.Helper()
	if _, err := w.catalog.Lookup(w.Context(), metadata.Ref{Bucket: "films", Key: key}); !errors.Is(err, metadata.ErrNoSuchKey) {
		w.Errorf("%s is there: %v", key, err)
	}
}

// storeUploads counts what is in progress in the store of a region.
func (w *world) storeUploads(region string) (n int) {
	w.Helper()
	for _, err := range w.store(region).Uploads(w.Context(), time.Now().Add(time.Hour)) {
		if err != nil {
			w.Fatal(err)
		}
		n++
	}
	return n
}

// problem reads a problem document.
func (w *world) problem(a answer, status int) (detail string) {
	w.Helper()
	var p struct {
		Type, Detail string
		Status       int
	}
	if err := json.Unmarshal([]byte(a.body), &p); err != nil || a.StatusCode != status || p.Status != status ||
		!strings.HasPrefix(p.Type, "urn:meridian:problem:") || a.Header.Get("Content-Type") != "application/problem+json" {
		w.Errorf("answer %s %s %q, want a problem with status %d", a.Status, a.Header.Get("Content-Type"), a.body, status)
	}
	if a.Header.Get("Access-Control-Allow-Origin") != "*" {
		w.Errorf("a script of another site cannot read %s", a.body)
	}
	return p.Detail
}

func content(seed byte, n int) []byte {
	b := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{seed}).Read(b)
	return b
}

func sum(algorithm string, s []byte) string {
	return fmt.Sprintf("%s %s", algorithm, base64.StdEncoding.EncodeToString(s))
}
