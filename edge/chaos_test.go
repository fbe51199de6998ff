package edge_test

import (
	"bytes"
	"context"
	"net"
	"net/http"
	"net/url"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"meridian/edge"
	"meridian/edge/cache/memory"
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
				c.Timeouts = fetch.Timeouts{Dial: time.Second, Header: 200 * time.Millisecond, Idle: 200 * time.Millisecond}
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

// Whatever is wrong with the link to one of two regional caches, clients notice
// nothing but time, and after a while not even that.
func TestBadLinkToARegionalCache(t *testing.T) {
	t.Parallel()
	for what, fault := range faults {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, metadata.PublicRead)
			links := faultlink.New((&net.Dialer{}).DialContext)
			bad := w.start(metadata.TierRegional, "regional-europe-1", nil, w.origin.url)
			good := w.start(metadata.TierRegional, "regional-europe-2", nil, w.origin.url)
			e := w.start(metadata.TierEdge, "edge-europe-1", func(c *edge.Config) {
				c.Dial = links.Dial
				c.Timeouts = fetch.Timeouts{Dial: time.Second, Header: 300 * time.Millisecond, Idle: 300 * time.Millisecond}
			}, bad.url, good.url)
			links.Set(host(t, bad.url), fault)
			for i := range 20 {
				body := random(mib+100_000, uint64(i))
				w.origin.put(strings.TrimPrefix(name(i), "/"), body)
				wantBody(t, name(i), e.get(name(i)), 200, "miss", body)
			}
			links.Set(host(t, bad.url), faultlink.Fault{})
			before, _ := w.control.total(bad.id)
			i := 20
			w.control.eventually(t, "it is asked again", func() bool {
				e.get(name(i)) // not there, which is an answer too
				i++
				after, _ := w.control.total(bad.id)
				return after.Requests > before.Requests+5
			})
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
	ctx, cancel := context.WithTimeout(t.Context(), 15*time.Second) // less than a fill may take
	defer cancel()
	if a, err := regional.do(ctx, http.MethodGet, "/media/a", asNode(hop.RequestTimeout, "50")); err != nil || a.status != http.StatusGatewayTimeout {
		t.Errorf("status %d, %v", a.status, err)
	}
	select {
	case <-gone:
	case <-time.After(10 * time.Second):
		t.Error("the origin still works for nobody")
	}
}

// Not parallel: it counts the goroutines and descriptors of the process. Of the
// clients of a cold object every other one leaves in the middle; the others get
// every byte, the origin is asked but once for each slice, and nothing is left of
// those who went. TEST_LONG=1 makes it as large as the memory of a small machine
// allows.
func TestHalfOfTheClientsLeave(t *testing.T) {
	clients, slicesOf := 200, 4
	if os.Getenv("TEST_LONG") != "" {
		clients, slicesOf = 1000, 64
	}
	w := newWorld(t, metadata.PublicRead)
	e, regional := w.bigPair(int64(slicesOf+16) * 2 * mib)
	body := random(slicesOf*mib-1000, 1)
	w.origin.put("media/film.mp4", body)
	e.get("/media/warm-up")
	goroutines, files := runtime.NumGoroutine(), descriptors(t)

	gate := make(chan struct{})
	first := sync.OnceFunc(func() { <-gate })
	w.origin.set(func() { w.origin.requests = nil; w.origin.hold = func(*http.Request, *object) { first() } })
	var wg sync.WaitGroup
	for i := range clients {
		wg.Go(func() {
			ctx, leave := context.WithCancel(t.Context())
			defer leave()
			req, err := http.NewRequestWithContext(ctx, http.MethodGet, e.url+"/media/film.mp4", nil)
			if err != nil {
				t.Error(err)
				return
			}
			if i%4 == 1 { // leaves before anything has come
				time.AfterFunc(time.Duration(i)*time.Millisecond/4, leave)
			}
			resp, err := client.Do(req)
			if err != nil {
				if i%4 != 1 {
					t.Error(err)
				}
				return
			}
			defer resp.Body.Close()
			if i%4 == 3 { // leaves in the middle
				if _, err := resp.Body.Read(make([]byte, 1000)); err != nil {
					t.Error(err)
				}
				return
			}
			if err := sameBytes(resp.Body, body); err != nil && i%4 != 1 {
				t.Error(err)
			}
		})
	}
	w.control.eventually(t, "the origin is asked", func() bool { return w.origin.asked() > 0 })
	close(gate)
	wg.Wait()
	// A slice for which only some who left were waiting is given up, and asked for
	// again by those who stay: seldom, as a rule never.
	if n := w.origin.fetched(); n < slicesOf || n > slicesOf+2 {
		t.Errorf("the origin was asked %d times for %d slices:\n%s", n, slicesOf, w.origin.log())
	}
	wantBody(t, "afterwards", e.get("/media/film.mp4"), 200, "hit", body)
	w.control.eventually(t, "nothing is left of the clients", func() bool {
		// Connections to the next tier stay open for the next time, each with two
		// goroutines at both ends.
		const kept = 3 * 8
		return runtime.NumGoroutine() <= goroutines+kept && descriptors(t) <= files+kept
	})
	e.stop()
	regional.stop()
}

// bigPair is an edge and a regional cache that hold that many bytes of slices
// each.
func (w *world) bigPair(slices int64) (e, regional *node) {
	w.t.Helper()
	big := func(c *edge.Config) {
		tier, err := memory.New(memory.Config{HeadBytes: 16 << 20, SliceBytes: slices})
		if err != nil {
			w.t.Fatal(err)
		}
		w.t.Cleanup(func() { _ = tier.Close() })
		c.Cache = tier
	}
	regional = w.start(metadata.TierRegional, "regional-europe-1", big, w.origin.url)
	e = w.start(metadata.TierEdge, "edge-europe-1", big, regional.url)
	return e, regional
}

// descriptors is how many files and sockets the process has open.
func descriptors(t *testing.T) int {
	t.Helper()
	open, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Skip("no /proc: ", err)
	}
	return len(open)
}
