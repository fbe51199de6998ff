package fetch_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"meridian/edge/balance"
	"meridian/edge/cache"
	"meridian/edge/fetch"
	"meridian/internal/hop"
	"meridian/internal/sigv4"
)

const secret = "cluster secret"

func upstream(t *testing.T, o fetch.Options, urls ...string) *fetch.Upstream {
	t.Helper()
	pool := balance.NewPool(balance.RoundRobin{}, time.Now)
	var nodes []balance.Node
	for i, u := range urls {
		nodes = append(nodes, balance.Node{ID: fmt.Sprint("n", i), URL: u, Group: i})
	}
	pool.Set(nodes)
	o.Balancer, o.Secret, o.Now = pool, secret, time.Now
	f := fetch.NewUpstream(o)
	t.Cleanup(f.Close)
	return f
}

// serve answers node-signed requests only.
func serve(t *testing.T, h http.HandlerFunc) string {
	t.Helper()
	v := &sigv4.Verifier{Keys: func(_ context.Context, s sigv4.Scope) ([]byte, error) {
		if s.AccessKey != hop.NodeAccessKey {
			return nil, sigv4.ErrUnknownAccessKey
		}
		return sigv4.DeriveKey(secret, s.Date, s.Region, s.Service), nil
	}}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, err := v.Verify(r); err != nil {
			t.Errorf("signature of %s: %v", r.URL, err)
			w.WriteHeader(http.StatusForbidden)
			return
		}
		h(w, r)
	}))
	t.Cleanup(srv.Close)
	return srv.URL
}

func content(b []byte) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("ETag", `"e"`)
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(b))
	}
}

func TestUpstreamRange(t *testing.T) {
	t.Parallel()
	body := bytes.Repeat([]byte("0123456789"), 300_000)
	f := upstream(t, fetch.Options{}, serve(t, content(body)))
	for _, c := range []struct{ off, n, want int64 }{{0, 100, 100}, {cache.SliceSize, cache.SliceSize, cache.SliceSize}, {2 * cache.SliceSize, cache.SliceSize, 3_000_000 - 2*cache.SliceSize}, {0, 0, cache.SliceSize}} {
		got, err := f.Fetch(t.Context(), fetch.Request{Bucket: "media", Key: "a", Offset: c.off, Length: c.n})
		if err != nil {
			t.Fatal(err)
		}
		if got.Size != 3_000_000 || !bytes.Equal(got.Body, body[c.off:c.off+c.want]) {
			t.Errorf("range %+v: size %d, %d bytes", c, got.Size, len(got.Body))
		}
	}
	head, err := f.Fetch(t.Context(), fetch.Request{Head: true, Bucket: "media", Key: "a"})
	if err != nil || head.Size != 3_000_000 || head.Body != nil {
		t.Errorf("head: %+v, %v", head, err)
	}
	same, err := f.Fetch(t.Context(), fetch.Request{Bucket: "media", Key: "a", Length: 10, IfNoneMatch: `"e"`})
	if err != nil || same.Status != http.StatusNotModified || same.Body != nil {
		t.Errorf("not modified: %+v, %v", same, err)
	}
	past, err := f.Fetch(t.Context(), fetch.Request{Bucket: "media", Key: "a", Offset: 4_000_000, Length: 10})
	if err != nil || past.Status != http.StatusRequestedRangeNotSatisfiable {
		t.Errorf("range past the end: %+v, %v", past, err)
	}
}

// Any key reaches the other side as it is, under a signature that holds.
func TestUpstreamKeys(t *testing.T) {
	t.Parallel()
	var got atomic.Value
	f := upstream(t, fetch.Options{Node: "edge-1"}, serve(t, func(w http.ResponseWriter, r *http.Request) {
		got.Store(r.URL.Path + "|" + r.URL.Query().Get("versionId") + "|" + r.Header.Get(hop.RequestApplied) + "|" + r.Header.Get(hop.RequestVersion) + "|" + r.Header.Get(hop.RequestNode))
		w.Header().Set("Content-Length", "0")
	}))
	for _, key := range []string{"a", "a b+c%20d", "ü/日本.jpg", "../priv/k", "/lead//double/", "q?x=1&y#f", "semi;colon:@=$,!*'()", "%2e%2e/x", "back\\slash\"<>"} {
		if _, err := f.Fetch(t.Context(), fetch.Request{Bucket: "media", Key: key, VersionID: "a+b&c", Want: "01W", Applied: at(3)}); err != nil {
			t.Fatalf("%q: %v", key, err)
		}
		if want := "/media/" + key + "|a+b&c|3-1|01W|edge-1"; got.Load() != want {
			t.Errorf("sent %q, arrived %q", want, got.Load())
		}
	}
}

func TestUpstreamNext(t *testing.T) {
	t.Parallel()
	dead := httptest.NewServer(nil)
	dead.Close()
	var hits atomic.Int32
	sick := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		hits.Add(1)
		w.WriteHeader(http.StatusServiceUnavailable)
	})
	short := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "5")
		_, _ = w.Write([]byte("hel"))
		panic(http.ErrAbortHandler)
	})
	well := serve(t, content([]byte("hello")))
	for name, first := range map[string]string{"dead": dead.URL, "sick": sick, "cut in mid-body": short} {
		got, err := upstream(t, fetch.Options{}, first, well).Fetch(t.Context(), fetch.Request{Bucket: "media", Key: "a", Length: 100})
		if err != nil || string(got.Body) != "hello" || got.Node.ID != "n1" {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
	_, err := upstream(t, fetch.Options{}, dead.URL, sick).Fetch(t.Context(), fetch.Request{Bucket: "media", Key: "a"})
	var status *fetch.StatusError
	if !errors.Is(err, fetch.ErrUnavailable) || !errors.As(err, &status) || status.Status != 503 || fetch.IsTimeout(err) {
		t.Errorf("all down: %v", err)
	}
	if _, err = upstream(t, fetch.Options{}).Fetch(t.Context(), fetch.Request{Bucket: "media", Key: "a"}); !errors.Is(err, fetch.ErrUnavailable) {
		t.Errorf("no upstream: %v", err)
	}
	// After three failures in a row the sick one is not asked any more.
	hits.Store(0)
	f := upstream(t, fetch.Options{}, sick, well)
	for range 20 {
		if _, err := f.Fetch(t.Context(), fetch.Request{Bucket: "media", Key: "a", Length: 100}); err != nil {
			t.Fatal(err)
		}
	}
	if hits.Load() > 4 {
		t.Errorf("the sick upstream was asked %d times of 20", hits.Load())
	}
}

func TestUpstreamTimeouts(t *testing.T) {
	t.Parallel()
	stop := make(chan struct{})
	defer close(stop)
	for name, h := range map[string]http.HandlerFunc{
		"no header": func(_ http.ResponseWriter, r *http.Request) { <-stop },
		"no body": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", "5")
			_, _ = w.Write([]byte("he"))
			w.(http.Flusher).Flush()
			<-stop
		},
	} {
		srv := httptest.NewUnstartedServer(h)
		srv.Start()
		defer srv.CloseClientConnections()
		f := upstream(t, fetch.Options{Timeouts: fetch.Timeouts{Header: 100 * time.Millisecond, Idle: 100 * time.Millisecond}}, srv.URL)
		if _, err := f.Fetch(t.Context(), fetch.Request{Bucket: "media", Key: "a"}); !fetch.IsTimeout(err) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// What is not the range that was asked for is never taken for it.
func TestUpstreamLies(t *testing.T) {
	t.Parallel()
	for name, h := range map[string]func(w http.ResponseWriter){
		"shifted":      func(w http.ResponseWriter) { partial(w, "bytes 1-10/100", 10) },
		"short":        func(w http.ResponseWriter) { partial(w, "bytes 10-12/100", 3) },
		"other length": func(w http.ResponseWriter) { partial(w, "bytes 10-19/100", 9) },
		"no range":     func(w http.ResponseWriter) { partial(w, "", 10) },
		"unknown size": func(w http.ResponseWriter) { partial(w, "bytes 10-19/*", 10) },
		"all of it": func(w http.ResponseWriter) {
			w.Header().Set("Content-Length", "100")
			_, _ = w.Write(make([]byte, 100))
		},
		"chunked":       func(w http.ResponseWriter) { w.(http.Flusher).Flush(); _, _ = w.Write(make([]byte, 10)) },
		"no permission": func(w http.ResponseWriter) { w.WriteHeader(http.StatusForbidden) },
	} {
		f := upstream(t, fetch.Options{}, serve(t, func(w http.ResponseWriter, _ *http.Request) { h(w) }))
		if got, err := f.Fetch(t.Context(), fetch.Request{Bucket: "media", Key: "a", Offset: 10, Length: 10}); err == nil {
			t.Errorf("%s: accepted as %d, %d bytes", name, got.Status, len(got.Body))
		}
	}
}

func partial(w http.ResponseWriter, contentRange string, n int) {
	if contentRange != "" {
		w.Header().Set("Content-Range", contentRange)
	}
	w.Header().Set("Content-Length", strconv.Itoa(n))
	w.WriteHeader(http.StatusPartialContent)
	_, _ = w.Write(make([]byte, n))
}

func TestUpstreamErrorCode(t *testing.T) {
	t.Parallel()
	f := upstream(t, fetch.Options{}, serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusNotFound)
		_, _ = w.Write([]byte(`<?xml version="1.0"?><Error><Code>NoSuchVersion</Code></Error>` + strings.Repeat(" ", 20<<10)))
	}))
	got, err := f.Fetch(t.Context(), fetch.Request{Bucket: "media", Key: "a"})
	if err != nil || got.Status != 404 || got.Code != "NoSuchVersion" {
		t.Errorf("%+v, %v", got, err)
	}
}

// Bytes that are not those of the sum that came with them are an answer of nobody.
func TestUpstreamFindsChangedBytes(t *testing.T) {
	t.Parallel()
	body := bytes.Repeat([]byte("0123456789"), 1000)
	summed := func(sum string) string {
		return serve(t, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set(hop.Sum, sum)
			content(body)(w, r)
		})
	}
	changed, good := summed(hop.SumOf(body[1:])), summed(hop.SumOf(body))
	r := fetch.Request{Bucket: "media", Key: "a", Length: int64(len(body))}
	if _, err := upstream(t, fetch.Options{}, changed).Fetch(t.Context(), r); !errors.Is(err, fetch.ErrBadAnswer) {
		t.Errorf("changed: %v", err)
	}
	if resp, err := upstream(t, fetch.Options{}, changed, good).Fetch(t.Context(), r); err != nil || !bytes.Equal(resp.Body, body) || resp.Node.URL != good {
		t.Errorf("with another upstream: %+v, %v", resp, err)
	}
}
