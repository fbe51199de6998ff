package api

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/oklog/ulid/v2"

	"meridian/internal/hop"
	"meridian/internal/sigv4"
	"meridian/metadata"
	"meridian/metadata/postgres/pgtest"
)

const clusterSecret = "the secret of the whole cluster"

// world is an API on a real catalogue, behind a real socket.
type world struct {
	*testing.T
	store metadata.Store
	api   *API
	url   string
	log   *logBuffer
	keys  map[string]metadata.AccessKey // by role
	stop  func()
}

func newWorld(t *testing.T, change ...func(*Options)) *world {
	t.Helper()
	w := newEmptyWorld(t, change...)
	for _, role := range []string{metadata.RoleAdmin, metadata.RoleReadWrite, metadata.RoleReadOnly} {
		w.keys[role] = metadata.AccessKey{ID: "KEY-OF-" + role, Secret: "secret:of/" + role + "+x", User: role + "-user", Role: role}
		if err := w.store.PutKey(t.Context(), w.keys[role]); err != nil {
			t.Fatal(err)
		}
	}
	return w
}

// newEmptyWorld is one without access keys.
func newEmptyWorld(t *testing.T, change ...func(*Options)) *world {
	t.Helper()
	w := &world{T: t, log: &logBuffer{}, keys: map[string]metadata.AccessKey{}}
	o := Options{
		Store: pgtest.New(t), ClusterSecret: clusterSecret, Region: "europe", AccessLog: true, Version: "test",
		Log: slog.New(slog.NewTextHandler(w.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
	for _, f := range change {
		f(&o)
	}
	w.store = o.Store
	api, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	w.api = api
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- api.Run(ctx) }()
	srv := httptest.NewServer(api.Handler())
	w.url = srv.URL
	w.stop = sync.OnceFunc(func() {
		cancel() // ends the streams, for which Close would wait
		if err := <-done; err != nil {
			t.Errorf("Run = %v", err)
		}
		srv.Close()
	})
	t.Cleanup(w.stop)
	return w
}

// logBuffer keeps a log.
type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// answer is an HTTP answer, read to its end.
type answer struct {
	status int
	header http.Header
	body   []byte
}

// as decodes the body.
func as[T any](t *testing.T, a answer) T {
	t.Helper()
	var v T
	if err := json.Unmarshal(a.body, &v); err != nil {
		t.Fatalf("answer %d %q: %v", a.status, a.body, err)
	}
	return v
}

const (
	nobody = "anonymous"
	aNode  = "node"
)

// request makes a request of a caller: nobody, aNode or a role. Headers are
// name, value pairs; a body is JSON unless they say otherwise.
func (w *world) request(caller, method, path, body string, headers ...string) *http.Request {
	w.Helper()
	req, err := http.NewRequestWithContext(w.Context(), method, w.url+path, strings.NewReader(body))
	if err != nil {
		w.Fatal(err)
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	switch caller {
	case nobody:
	case aNode:
		sum := sha256.Sum256([]byte(body))
		sigv4.Signer{AccessKey: hop.NodeAccessKey, Secret: clusterSecret}.Sign(req, hex.EncodeToString(sum[:]), time.Now())
	default:
		req.Header.Set("Authorization", "Bearer "+w.keys[caller].ID+":"+w.keys[caller].Secret)
	}
	return req
}

func (w *world) send(req *http.Request) answer {
	w.Helper()
	c := http.Client{Timeout: time.Minute, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := c.Do(req)
	if err != nil {
		w.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		w.Fatal(err)
	}
	return answer{resp.StatusCode, resp.Header, b}
}

// do sends a request and fails unless it is answered want, and errors as
// problems.
func (w *world) do(want int, caller, method, path, body string, headers ...string) answer {
	w.Helper()
	a := w.send(w.request(caller, method, path, body, headers...))
	if a.status != want {
		w.Fatalf("%s %s %s by %s = %d %s, want %d", method, path, body, caller, a.status, a.body, want)
	}
	if want >= 400 && method != http.MethodHead {
		w.problem(a)
	}
	return a
}

func (w *world) problem(a answer) Problem {
	w.Helper()
	if ct := a.header.Get("Content-Type"); ct != "application/problem+json" {
		w.Errorf("answer %d is of the type %q: %s", a.status, ct, a.body)
		return Problem{}
	}
	p := as[Problem](w.T, a)
	if p.Status != a.status || p.Title == "" || !strings.HasPrefix(p.Type, "urn:meridian:problem:") || !strings.HasPrefix(p.Instance, "urn:meridian:request:") {
		w.Errorf("problem %+v of an answer %d", p, a.status)
	}
	return p
}

// refused fails unless exactly the given fields are refused.
func (w *world) refused(a answer, fields ...string) {
	w.Helper()
	var got []string
	for _, e := range w.problem(a).Errors {
		got = append(got, e.Field)
	}
	if strings.Join(got, " ") != strings.Join(fields, " ") {
		w.Errorf("refused fields %q, want %q: %s", got, fields, a.body)
	}
}

func (w *world) bucket(name, visibility string) {
	w.Helper()
	w.do(http.StatusCreated, metadata.RoleAdmin, http.MethodPost, "/v1/buckets", `{"name":"`+name+`","visibility":"`+visibility+`"}`)
}

// object commits a version, as an origin does.
func (w *world) object(bucket, key, contentType string) metadata.Version {
	w.Helper()
	id := ulid.Make().String()
	v, err := w.store.Commit(w.Context(), metadata.Version{
		Bucket: bucket, Key: key, ID: id, Size: 5, ETag: "5d41402abc4b2a76b9719d911017c592", ContentType: contentType,
		Modified: time.Now().UTC().Truncate(time.Millisecond), Blob: bucket + "/" + id, Regions: []string{"europe"}, Owner: "root",
	}, metadata.Cond{})
	if err != nil {
		w.Fatal(err)
	}
	return v
}

// record is what the media worker makes of an object.
func (w *world) record(v metadata.Version) metadata.Media {
	w.Helper()
	m, err := w.store.UpsertMedia(w.Context(), v.Bucket, v.Key, func(m *metadata.Media) error {
		m.Kind, m.State, m.VersionID, m.Size = metadata.KindPhoto, metadata.MediaReady, v.ID, v.Size
		m.Blob, m.Regions, m.ContentType = v.Blob, v.Regions, v.ContentType
		return nil
	})
	if err != nil {
		w.Fatal(err)
	}
	return m
}

func someNode(id, tier, region string) metadata.Node {
	n := metadata.Node{
		ID: id, Boot: "boot-" + id, Tier: tier, Region: region, URL: "http://" + id + ".internal", PublicURL: "https://" + id + ".example.com",
		Version: "test", Started: time.Now().UTC().Truncate(time.Millisecond),
	}
	if tier == metadata.TierOrigin {
		n.BlobBase = "s3://meridian-" + region + "/"
	}
	return n
}

// nodes lets nodes report, over HTTP.
func (w *world) nodes(list ...metadata.Node) {
	w.Helper()
	for _, n := range list {
		body, err := json.Marshal(metadata.Push{Node: n, Number: 1})
		if err != nil {
			w.Fatal(err)
		}
		w.do(http.StatusOK, aNode, http.MethodPost, "/v1/nodes/push", string(body))
	}
}
