package edge_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"meridian/edge"
	"meridian/edge/cache"
	"meridian/internal/httpserve"
	"meridian/metadata"
)

// forgetful is a cache that has lost one slice of everything, as long as lost is
// set.
type forgetful struct {
	cache.Tier
	cache.Referrer

	lost  string // how its name ends
	times atomic.Int32
}

func (f *forgetful) Get(ctx context.Context, k cache.Key) ([]byte, error) {
	if k.Class == cache.Slice && strings.HasSuffix(k.Name, f.lost) && f.times.Add(-1) >= 0 {
		return nil, cache.ErrMiss
	}
	return f.Tier.Get(ctx, k)
}

// What is missing of a long body is fetched while it is sent, and the connection
// goes on as before, over TLS and without.
func TestAHotAnswerFetchesWhatTheCacheHasLost(t *testing.T) {
	t.Parallel()
	w := newWorld(t, metadata.PublicRead)
	film := random(7*mib+5, 4)
	w.origin.put("media/film.mp4", film, "Content-Type", "video/mp4")
	var kept *forgetful
	n := w.start(metadata.TierEdge, "edge-europe-1", func(c *edge.Config) {
		kept = &forgetful{Tier: c.Cache, Referrer: c.Cache.(cache.Referrer), lost: "\x005"}
		c.Cache = kept
	}, w.origin.url)
	wantBody(t, "cold", n.get("/media/film.mp4"), 200, "miss", film)
	cert, key := newCertificate(t)
	certificates, err := httpserve.NewCertificates(slog.New(slog.DiscardHandler), cert, key)
	if err != nil {
		t.Fatal(err)
	}
	plain := serveNode(t, n.node, true, nil)
	secure := serveNode(t, n.node, true, func(o *httpserve.Options) { o.TLS = certificates.Config() })
	asked := 0
	for _, f := range []*front{plain, secure} {
		c := f.dial()
		if f == secure {
			c = overTLS(t, c)
		}
		r := bufio.NewReader(c)
		ask := func(field string, status, from, to int) {
			t.Helper()
			if _, err := fmt.Fprintf(c, "GET /media/film.mp4 HTTP/1.1\r\nHost: x\r\n%s\r\n", field); err != nil {
				t.Fatal(err)
			}
			resp, err := http.ReadResponse(r, nil)
			if err != nil {
				t.Fatal(err)
			}
			body, err := io.ReadAll(resp.Body)
			if err != nil || resp.StatusCode != status || !bytes.Equal(body, film[from:to]) {
				t.Fatalf("%s: status %d, %d bytes, %v", field, resp.StatusCode, len(body), err)
			}
			asked++
		}
		before := f.hits.Load()
		for range 3 {
			ask("", 200, 0, len(film))
			kept.times.Store(3) // to More, to Finish, and to the look behind it
			ask("", 200, 0, len(film))
			ask("Range: bytes=3000000-\r\n", 206, 3000000, len(film))
			ask("Range: bytes=100-199\r\n", 206, 100, 200)
		}
		if got := f.hits.Load() - before; got != 12 {
			t.Errorf("%d hot answers", got)
		}
	}
	if err := plain.stop(); err != nil {
		t.Error(err)
	}
	n.stop()
	got, _ := w.control.total(n.id)
	if got.Misses != 1+6 || got.Requests != int64(asked)+1 || got.Bytes-got.HitBytes != int64(len(film)+6*mib) {
		t.Errorf("counted %+v", got)
	}
}

// overTLS shakes hands.
func overTLS(t testing.TB, c net.Conn) net.Conn {
	t.Helper()
	s := tls.Client(c, &tls.Config{InsecureSkipVerify: true})
	if err := s.Handshake(); err != nil {
		t.Fatal(err)
	}
	return s
}

// Connections come back from net/http, and what they ask next is answered; those
// that wait at a shutdown end, and those that have asked nothing yet may still.
func TestConnectionsChangeHands(t *testing.T) {
	t.Parallel()
	_, n := hotWorld(t)
	f := serveNode(t, n.node, true, nil)
	ask := func(c net.Conn, r *bufio.Reader, more string) {
		t.Helper()
		if _, err := io.WriteString(c, "GET /media/small.txt HTTP/1.1\r\nHost: x\r\n"+more+"\r\n"); err != nil {
			t.Fatal(err)
		}
		resp, err := http.ReadResponse(r, nil)
		if err != nil {
			t.Fatal(err)
		}
		if body, err := io.ReadAll(resp.Body); err != nil || len(body) != 1000 {
			t.Fatalf("%d bytes, %v", len(body), err)
		}
	}
	c := f.dial()
	r := bufio.NewReader(c)
	for range 5 {
		for range 20 {
			ask(c, r, "")
		}
		ask(c, r, "X-Other: 1\r\n")
	}
	if got := f.hits.Load(); got != 100 {
		t.Errorf("%d hot answers", got)
	}
	time.Sleep(1500 * time.Millisecond) // it has gone back meanwhile, for its silence
	ask(c, r, "")
	fresh := f.dial()
	last := f.dial() // connections are taken in the order in which they come
	ask(last, bufio.NewReader(last), "")
	ask(c, r, "")
	stopped := make(chan error, 1)
	go func() { stopped <- f.stop() }()
	if _, err := r.ReadByte(); err == nil {
		t.Error("a connection that waited goes on")
	}
	ask(fresh, bufio.NewReader(fresh), "")
	if err := <-stopped; err != nil {
		t.Error(err)
	}
}
