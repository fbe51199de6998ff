package peer_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"meridian/internal/hop"
	"meridian/internal/sigv4"
	"meridian/metadata"
	"meridian/origin/peer"
)

const secret = "the cluster's secret"

var version = metadata.Version{Bucket: "photos", Key: "a//b/../ü ?#%.jpg", ID: "01JDB7TZ1V6Y7M1N2P3Q4R5S6T", Blob: "photos/01JDB7TZ1V6Y7M1N2P3Q4R5S6T.jpg", Size: 1 << 20}

func bytesOf(n int64) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i * 7 / 3)
	}
	return b
}

// region is another region's endpoint, which checks what it is asked.
type region struct {
	t        *testing.T
	requests atomic.Int64
	// serve, if set, answers instead of the plain way.
	serve func(w http.ResponseWriter, r *http.Request, plain http.HandlerFunc)
}

func (e *region) start(t *testing.T) string {
	e.t = t
	s := httptest.NewServer(e)
	t.Cleanup(s.Close)
	return s.URL
}

func (e *region) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	e.requests.Add(1)
	v := sigv4.Verifier{Service: sigv4.DefaultService, Now: time.Now, Keys: func(_ context.Context, s sigv4.Scope) ([]byte, error) {
		if s.AccessKey != hop.NodeAccessKey {
			return nil, sigv4.ErrUnknownAccessKey
		}
		return sigv4.DeriveKey(secret, s.Date, s.Region, s.Service), nil
	}}
	if _, err := v.Verify(r); err != nil {
		e.t.Errorf("signature of %s: %v", r.URL, err)
		http.Error(w, "forbidden", http.StatusForbidden)
		return
	}
	if r.URL.Path != "/"+version.Bucket+"/"+version.Key || r.Header.Get(hop.RequestLocal) != "1" || r.Header.Get(hop.RequestVersion) != version.ID {
		e.t.Errorf("asked for %q with %v", r.URL.Path, r.Header)
	}
	plain := func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set(hop.Version, version.ID)
		w.Header().Set("Content-Type", "image/jpeg")
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(bytesOf(version.Size)))
	}
	if e.serve != nil {
		e.serve(w, r, plain)
		return
	}
	plain(w, r)
}

func peers(urls ...string) *peer.Peers {
	return peer.New(peer.Options{
		Endpoints:     func(string) []string { return urls },
		Secret:        secret,
		HeaderTimeout: time.Minute, IdleTimeout: time.Minute,
		Log: slog.New(slog.DiscardHandler),
	})
}

func read(t *testing.T, p *peer.Peers, off, n int64) ([]byte, error) {
	t.Helper()
	r, err := p.Open(t.Context(), "asia", version, off, n)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return io.ReadAll(r)
}

func wantRange(t *testing.T, p *peer.Peers, off, n int64) {
	t.Helper()
	end := version.Size
	if n >= 0 {
		end = min(off+n, end)
	}
	got, err := read(t, p, off, n)
	if err != nil || !bytes.Equal(got, bytesOf(version.Size)[min(off, end):end]) {
		t.Errorf("%d bytes at %d: got %d, %v", n, off, len(got), err)
	}
}

func TestRanges(t *testing.T) {
	t.Parallel()
	e := &region{}
	p := peers(e.start(t))
	for _, c := range [][2]int64{{0, -1}, {0, 1}, {5, 100}, {version.Size - 1, -1}, {version.Size - 1, 10}, {0, version.Size + 9}} {
		wantRange(t, p, c[0], c[1])
	}
	n := e.requests.Load()
	wantRange(t, p, version.Size, 4)
	wantRange(t, p, 3, 0)
	if e.requests.Load() != n {
		t.Error("nothing was asked for over the network")
	}
}

// cutter answers with the first n bytes of what it is asked for and then breaks
// the connection, or holds it and sends no more until the client leaves.
func cutter(n int, hold bool) func(http.ResponseWriter, *http.Request, http.HandlerFunc) {
	return func(w http.ResponseWriter, r *http.Request, plain http.HandlerFunc) {
		plain(&cutWriter{ResponseWriter: w, left: n, hold: hold, gone: r.Context().Done()}, r)
	}
}

type cutWriter struct {
	http.ResponseWriter
	left int
	hold bool
	gone <-chan struct{}
}

func (c *cutWriter) Write(b []byte) (int, error) {
	n, err := c.ResponseWriter.Write(b[:min(c.left, len(b))])
	if c.left -= n; c.left > 0 || err != nil {
		return n, err
	}
	_ = http.NewResponseController(c.ResponseWriter).Flush()
	if c.hold {
		<-c.gone
	}
	panic(http.ErrAbortHandler)
}

func TestABrokenBodyGoesOnWhereItBroke(t *testing.T) {
	t.Parallel()
	for name, hold := range map[string]bool{"cut": false, "stalled": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := &region{serve: cutter(300_000, hold)}
			p := peers(e.start(t))
			if hold {
				// A slow machine may be taken for a stalled endpoint.
				p.IdleTimeout, p.Tries = 300*time.Millisecond, 50
			}
			wantRange(t, p, 10, 1_000_000)
			if n := e.requests.Load(); n < 4 {
				t.Errorf("%d requests for 1 000 000 bytes in pieces of 300 000, want at least 4", n)
			}
		})
	}
}

func TestAnEndpointThatSendsNothingIsGivenUp(t *testing.T) {
	t.Parallel()
	e := &region{serve: cutter(0, false)}
	r, err := peers(e.start(t)).Open(t.Context(), "asia", version, 0, -1)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if n, err := io.Copy(io.Discard, r); n != 0 || !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("%d bytes, %v", n, err)
	}
	if n := e.requests.Load(); n < 2 || n > 5 {
		t.Errorf("it was asked %d times", n)
	}
}

func TestAnotherEndpointOfTheRegion(t *testing.T) {
	t.Parallel()
	silent := &region{serve: func(_ http.ResponseWriter, r *http.Request, _ http.HandlerFunc) { <-r.Context().Done() }}
	good := &region{}
	p := peers("http://127.0.0.1:1", silent.start(t), good.start(t))
	p.HeaderTimeout = 3 * time.Second
	wantRange(t, p, 100, 5000)
}

func TestWrongAnswersAreRefused(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		serve   func(http.ResponseWriter, *http.Request, http.HandlerFunc)
		missing bool
	}{
		"not there": {func(w http.ResponseWriter, r *http.Request, _ http.HandlerFunc) { http.NotFound(w, r) }, true},
		"forbidden": {func(w http.ResponseWriter, _ *http.Request, _ http.HandlerFunc) { w.WriteHeader(http.StatusForbidden) }, false},
		"redirected": {func(w http.ResponseWriter, r *http.Request, _ http.HandlerFunc) {
			http.Redirect(w, r, "/elsewhere", http.StatusFound)
		}, false},
		"all of it": {func(w http.ResponseWriter, r *http.Request, plain http.HandlerFunc) {
			r.Header.Del("Range")
			plain(w, r)
		}, false},
		"another version": {func(w http.ResponseWriter, r *http.Request, plain http.HandlerFunc) {
			plain(versionWriter{w}, r)
		}, false},
		"another size": {func(w http.ResponseWriter, r *http.Request, _ http.HandlerFunc) {
			w.Header().Set(hop.Version, version.ID)
			w.Header().Set("Content-Range", "bytes 5-104/"+strconv.FormatInt(version.Size+1, 10))
			w.WriteHeader(http.StatusPartialContent)
			_, _ = io.WriteString(w, strings.Repeat("x", 100))
		}, false},
	} {
		e := &region{serve: c.serve}
		got, err := read(t, peers(e.start(t)), 5, 100)
		if err == nil || len(got) > 0 || errors.Is(err, fs.ErrNotExist) != c.missing {
			t.Errorf("%s: %d bytes, %v", name, len(got), err)
		}
	}
	if _, err := read(t, peers(), 0, -1); err == nil || errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no endpoint: %v", err)
	}
}

// versionWriter tells of another version than was asked for.
type versionWriter struct{ http.ResponseWriter }

func (w versionWriter) WriteHeader(status int) {
	w.Header().Set(hop.Version, "01JDB7TZ1V6Y7M1N2P3Q4R5S00")
	w.ResponseWriter.WriteHeader(status)
}

func TestACallerThatLeavesEndsTheRequest(t *testing.T) {
	t.Parallel()
	gone := make(chan struct{})
	e := &region{serve: func(w http.ResponseWriter, r *http.Request, plain http.HandlerFunc) {
		defer close(gone)
		plain(&cutWriter{ResponseWriter: w, left: 10, hold: true, gone: r.Context().Done()}, r)
	}}
	ctx, cancel := context.WithCancel(t.Context())
	p := peer.New(peer.Options{Endpoints: func(string) []string { return []string{e.start(t)} }, Secret: secret, Log: slog.New(slog.DiscardHandler)})
	r, err := p.Open(ctx, "asia", version, 0, -1)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if _, err := io.ReadFull(r, make([]byte, 10)); err != nil {
		t.Fatal(err)
	}
	cancel()
	if _, err := r.Read(make([]byte, 10)); !errors.Is(err, context.Canceled) {
		t.Errorf("Read = %v", err)
	}
	<-gone
}
