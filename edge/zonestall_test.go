package edge_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"meridian/edge"
	"meridian/edge/fetch"
	"meridian/internal/hop"
	"meridian/metadata"
)

// stalling is what a node's answers pass, but for the end of bodies of pull zones
// while stalls says so: a node whose disk hangs says that it is ready all the same.
func stalling(t *testing.T, node string, stalls *atomic.Bool) (base string) {
	t.Helper()
	to, err := url.Parse(node)
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(&httputil.ReverseProxy{
		FlushInterval: -1,
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(to)
			r.Out.Host = r.In.Host // which is signed
		},
		ModifyResponse: func(resp *http.Response) error {
			if stalls.Load() && strings.HasPrefix(resp.Request.URL.Path, hop.ZonePath) {
				resp.Body = &stalled{ReadCloser: resp.Body, r: resp.Request}
			}
			return nil
		},
	})
	t.Cleanup(srv.Close)
	return srv.URL
}

// stalled is the first piece of a body, and then nothing.
type stalled struct {
	io.ReadCloser
	r    *http.Request
	sent bool
}

func (s *stalled) Read(p []byte) (int, error) {
	if s.sent {
		<-s.r.Context().Done()
		return 0, s.r.Context().Err()
	}
	s.sent = true
	return s.ReadCloser.Read(p[:min(len(p), 10_000)])
}

// A regional node that sends headers, and stops in the middle of bodies, is left
// alone after some of them, and asked again when it is well.
func TestZoneRegionalStallsInBodies(t *testing.T) {
	t.Parallel()
	page := random(3*mib/2, 1)
	s := newSite(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Cache-Control", "max-age=60")
		w.Header().Set("Content-Length", strconv.Itoa(len(page)))
		_, _ = w.Write(page)
	}, nil)
	var stalls atomic.Bool
	s.w.start(metadata.TierRegional, "regional-europe-1", func(c *edge.Config) { c.URL = stalling(t, c.URL, &stalls) }, s.w.origin.url)
	s.stop()
	e := s.w.start(metadata.TierEdge, "edge-europe-1", func(c *edge.Config) {
		c.Timeouts = fetch.Timeouts{Late: 100 * time.Millisecond, Idle: 300 * time.Millisecond}
	})
	asked := 0
	byRegional := func() (whole, regional bool) {
		asked++
		a, err := e.do(t.Context(), http.MethodGet, "/site/"+strconv.Itoa(asked), nil)
		return err == nil && a.err == nil && a.status == 200, strings.HasPrefix(a.header.Get("Cache-Status"), "meridian-regional-europe; ")
	}
	well := func() bool { whole, regional := byRegional(); return whole && regional }
	s.w.control.eventually(t, "the edge asks the regional node", well)
	stalls.Store(true)
	stopped, before := 0, asked
	s.w.control.eventually(t, "the edge asks the origin itself", func() bool {
		whole, regional := byRegional()
		if !whole {
			stopped++
		}
		return whole && !regional
	})
	if stopped == 0 || stopped > 5 {
		t.Errorf("%d of %d bodies stopped", stopped, asked-before)
	}
	stalls.Store(false)
	s.w.control.eventually(t, "the edge asks the regional node again", well)
}
