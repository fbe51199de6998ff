package edge_test

import (
	"bytes"
	"context"
	"net"
	"net/http"
	"net/url"
	"sync"
	"testing"
	"time"

	"meridian/edge"
	"meridian/edge/fetch"
	"meridian/internal/faultlink"
	"meridian/internal/hop"
	"meridian/metadata"
)

// The faults that a link has in these tests, all of which keep an upstream from
// answering. Answers of the tests' origins are longer than what is cut off.
var faults = map[string]faultlink.Fault{
	"refused": {Refuse: true}, "silent": {Dead: true}, "cut in the head": {CutAfter: 40}, "cut in the body": {CutAfter: 50_000},
	"length too large": {Lie: true}, "slower than the timeout": {Latency: time.Minute},
}

func host(t *testing.T, of string) string {
	t.Helper()
	u, err := url.Parse(of)
	if err != nil {
		t.Fatal(err)
	}
	return u.Host
}

// Whatever is wrong with the link to the origin, what may be served stale is, what
// is not held is refused, nothing wrong is kept, and all is well when the link is.
func TestBadLinkToTheOrigin(t *testing.T) {
	t.Parallel()
	for what, fault := range faults {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, metadata.PublicRead)
			clock := newClock()
			w.origin.now = clock.now
			links := faultlink.New((&net.Dialer{}).DialContext)
			e := w.start(metadata.TierEdge, "edge-europe-1", func(c *edge.Config) {
				c.Now, c.Dial = clock.now, links.Dial
				// Long enough for those that answer on a busy machine.
				c.Timeouts = fetch.Timeouts{Dial: 3 * time.Second, Header: 3 * time.Second, Idle: 3 * time.Second}
			}, w.origin.url)
			old, fresh := random(100_000, 1), random(100_000, 2)
			w.origin.put("media/held", old, "Cache-Control", "max-age=60, stale-if-error=600")
			wantBody(t, "before", e.get("/media/held"), 200, "miss", old)
			w.origin.put("media/held", fresh, "Cache-Control", "max-age=60")
			w.origin.put("media/cold", fresh)
			links.Set(host(t, w.origin.url), fault)
			clock.add(2 * time.Minute)
			wantBody(t, "held", e.get("/media/held"), 200, "stale", old)
			if a := e.get("/media/cold"); a.status != 502 && a.status != 504 {
				t.Errorf("cold: %d", a.status)
			}
			links.Set(host(t, w.origin.url), faultlink.Fault{})
			clock.add(time.Minute) // the breaker lets a trial through
			w.control.eventually(t, "the origin is asked again", func() bool { return e.get("/media/cold").status == 200 })
			wantBody(t, "cold", e.get("/media/cold"), 200, "", fresh)
			w.control.eventually(t, "what was stale is fresh", func() bool { return bytes.Equal(e.get("/media/held").body, fresh) })
		})
	}
}

// A node that works for another stops when that one gives up.
func TestNothingWorksForWhoGaveUp(t *testing.T) {
	t.Parallel()
	w := newWorld(t, metadata.PublicRead)
	regional := w.start(metadata.TierRegional, "regional-europe-1", func(c *edge.Config) {
		c.Timeouts = fetch.Timeouts{Header: time.Minute}
	}, w.origin.url)
	w.origin.put("media/a", []byte("a"))
	gone := make(chan struct{})
	var once sync.Once
	w.origin.set(func() {
		w.origin.hold = func(r *http.Request, _ *object) {
			<-r.Context().Done()
			once.Do(func() { close(gone) })
		}
	})
	ctx, cancel := context.WithTimeout(t.Context(), 25*time.Second) // less than a fill may take
	defer cancel()
	if a, err := regional.do(ctx, http.MethodGet, "/media/a", asNode(hop.RequestTimeout, "50")); err != nil || a.status != http.StatusGatewayTimeout {
		t.Errorf("status %d, %v", a.status, err)
	}
	select {
	case <-gone:
	case <-time.After(time.Minute):
		t.Error("the origin still works for nobody")
	}
}
