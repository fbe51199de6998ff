package edge_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"meridian/edge"
	"meridian/metadata"
)

func TestOverwriteIsSeen(t *testing.T) {
	t.Parallel()
	w := newWorld(t, metadata.PublicRead)
	edge, regional := w.pair()
	for i := range 20 {
		body := random(1000+i*mib/8, uint64(i))
		w.origin.put("media/a", body)
		w.written("media/a", edge, regional)
		wantBody(t, "after the overwrite", edge.get("/media/a"), 200, "miss", body)
		wantBody(t, "again", edge.get("/media/a"), 200, "hit", body)
	}
	w.origin.remove("media/a")
	s := w.control.emit(metadata.Event{Type: metadata.ObjectDeleted, Bucket: "media", Key: "a"})
	w.applied(s, edge, regional)
	if a := edge.get("/media/a"); a.status != 404 {
		t.Errorf("after the delete: %d", a.status)
	}
}

// Whoever reads right after a write fills the cache before the event of the
// write comes. The event takes nothing away that is as new as itself, and what
// comes with the next write still goes.
func TestTheEventOfWhatWasReadAlreadyDropsNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t, metadata.PublicRead)
	e, regional := w.pair()
	first := w.origin.put("media/a", random(3*mib, 1))
	wantBody(t, "read before its event", e.get("/media/a"), 200, "miss", first.body)
	s := w.control.emit(metadata.Event{Type: metadata.ObjectCreated, Bucket: "media", Key: "a", VersionID: first.version})
	w.applied(s, e, regional)
	wantBody(t, "after its event", e.get("/media/a"), 200, "hit", first.body)

	second := w.origin.put("media/a", random(3*mib, 2))
	s = w.control.emit(metadata.Event{Type: metadata.ObjectCreated, Bucket: "media", Key: "a", VersionID: second.version})
	w.applied(s, e, regional)
	wantBody(t, "after the overwrite", e.get("/media/a"), 200, "miss", second.body)

	// While the fill of the written version runs, too; but not a fill of the
	// version before it.
	third := w.origin.put("media/a", random(3*mib, 3))
	w.applied(w.control.emit(metadata.Event{Type: metadata.ObjectCreated, Bucket: "media", Key: "a", VersionID: third.version}), e, regional)
	gate := make(chan struct{})
	w.origin.set(func() { w.origin.hold = func(*http.Request, *object) { <-gate } })
	asked := w.origin.asked()
	done := make(chan answer, 1)
	go func() {
		a, _ := e.do(t.Context(), http.MethodGet, "/media/a", nil) // its body is looked at below
		done <- a
	}()
	w.control.eventually(t, "the origin holds the request", func() bool { return w.origin.asked() > asked })
	w.applied(w.control.emit(metadata.Event{Type: metadata.ObjectCreated, Bucket: "media", Key: "a", VersionID: third.version}), e, regional)
	close(gate)
	wantBody(t, "the fill", <-done, 200, "miss", third.body)
	wantBody(t, "after the fill", e.get("/media/a"), 200, "hit", third.body)
}

// What is said of a version changes, and the version stays the same.
func TestAnUpdatedVersionIsAskedForAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t, metadata.PublicRead)
	e, regional := w.pair()
	o := w.origin.put("media/a", random(3*mib, 1))
	wantBody(t, "before", e.get("/media/a"), 200, "miss", o.body)
	s := w.control.emit(metadata.Event{Type: metadata.ObjectUpdated, Bucket: "media", Key: "a", VersionID: o.version})
	w.applied(s, e, regional)
	asked := w.origin.asked()
	wantBody(t, "after", e.get("/media/a"), 200, "miss", o.body)
	if w.origin.asked() == asked {
		t.Error("the origin was not asked for the head")
	}
}

// The origin has read the old version when the overwrite happens. What it
// answers is neither kept nor joined, at either tier, also where an edge hears
// of the overwrite before its regional cache does.
func TestOverwriteBeatsRunningFill(t *testing.T) {
	t.Parallel()
	for _, lagging := range []bool{false, true} {
		t.Run(fmt.Sprintf("regional lags=%v", lagging), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, metadata.PublicRead)
			slow := &laggingFollower{Follower: w.control, release: make(chan struct{})}
			regional := w.start(metadata.TierRegional, "regional-europe-1", func(c *edge.Config) {
				if lagging {
					c.Follower = slow
				}
			}, w.origin.url)
			e := w.start(metadata.TierEdge, "edge-europe-1", nil, regional.url)

			old, fresh := random(2*mib, 1), random(2*mib+5, 2)
			w.origin.put("media/a", old)
			gate := make(chan struct{})
			w.origin.set(func() {
				first := true
				var mu sync.Mutex
				w.origin.hold = func(*http.Request, *object) {
					mu.Lock()
					wait := first
					first = false
					mu.Unlock()
					if wait {
						<-gate
					}
				}
			})
			var wg sync.WaitGroup
			wg.Go(func() {
				a, err := e.do(t.Context(), http.MethodGet, "/media/a", nil)
				if err == nil && a.err == nil && !bytes.Equal(a.body, old) && !bytes.Equal(a.body, fresh) {
					t.Errorf("the client that waited got a mixture: %d bytes", len(a.body))
				}
			})
			w.control.eventually(t, "the origin holds the request", func() bool { return w.origin.asked() == 1 })
			w.origin.put("media/a", fresh)
			if lagging {
				slow.stop()
				w.written("media/a", e)
			} else {
				w.written("media/a", e, regional)
			}
			// A client that comes now, while the old fill still runs.
			wantBody(t, "while the old fill runs", e.get("/media/a"), 200, "miss", fresh)
			close(gate)
			wg.Wait()
			wantBody(t, "after it", e.get("/media/a"), 200, "hit", fresh)
			close(slow.release)
			wantBody(t, "at the regional", regional.request(http.MethodGet, "/media/a", asNode()), 200, "", fresh)
		})
	}
}

// laggingFollower holds events back once it was told to.
type laggingFollower struct {
	metadata.Follower
	mu      sync.Mutex
	stopped bool
	release chan struct{}
}

func (l *laggingFollower) stop() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.stopped = true
}

func (l *laggingFollower) Follow(ctx context.Context, after metadata.Seq, fn func(metadata.Event) error) error {
	return l.Follower.Follow(ctx, after, func(e metadata.Event) error {
		l.mu.Lock()
		stopped := l.stopped
		l.mu.Unlock()
		if stopped {
			select {
			case <-l.release:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		return fn(e)
	})
}

// Without a lease nothing is served that upstream has not confirmed.
func TestLeaseLost(t *testing.T) {
	t.Parallel()
	w := newWorld(t, metadata.PublicRead)
	clock := newClock()
	w.origin.now = clock.now
	e := w.start(metadata.TierEdge, "edge-europe-1", func(c *edge.Config) { c.Now = clock.now }, w.origin.url)
	small, large := random(100, 1), random(2*mib, 2)
	w.origin.put("media/small", small)
	w.origin.put("media/large", large)
	wantBody(t, "cold", e.get("/media/small"), 200, "miss", small)
	wantBody(t, "cold", e.get("/media/large"), 200, "miss", large)

	w.control.cut(true, true, true)
	clock.add(10 * time.Second)
	for range 3 {
		asked := w.origin.asked()
		wantBody(t, "no lease", e.get("/media/small"), 200, "revalidated", small)
		wantBody(t, "no lease", e.get("/media/large"), 200, "revalidated", large)
		if got := w.origin.asked() - asked; got != 2 {
			t.Errorf("origin was asked %d times for two requests", got)
		}
	}
	small = random(50, 3)
	w.origin.put("media/small", small)
	wantBody(t, "overwritten unheard", e.get("/media/small"), 200, "miss", small)
	// The same bytes again are another version, perhaps with other headers.
	w.origin.put("media/small", small, "Content-Type", "image/png")
	a := e.get("/media/small")
	wantBody(t, "same bytes", a, 200, "miss", small)
	if a.header.Get("Content-Type") != "image/png" {
		t.Errorf("old headers were confirmed: %q", a.header.Get("Content-Type"))
	}
	// Many at once still ask a bounded number of times.
	asked := w.origin.asked()
	var wg sync.WaitGroup
	for range 200 {
		wg.Go(func() {
			if a, err := e.do(t.Context(), http.MethodGet, "/media/small", nil); err != nil || a.status != 200 || !bytes.Equal(a.body, small) {
				t.Errorf("%d, %v", a.status, err)
			}
		})
	}
	wg.Wait()
	if got := w.origin.asked() - asked; got > 150 {
		t.Errorf("origin was asked %d times for 200 simultaneous requests", got)
	}
	// The lease comes back, and with it the hits.
	w.control.cut(false, false, false)
	w.control.eventually(t, "hits again", func() bool { return e.get("/media/small").result() == "hit" })
}

// clock runs, and can be put forward.
type clock struct {
	mu  sync.Mutex
	off time.Duration
}

func newClock() *clock { return &clock{} }

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Now().Add(c.off)
}

func (c *clock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.off += d
}

// A follower whose place in the feed is gone forgets what it holds.
func TestFeedGone(t *testing.T) {
	t.Parallel()
	w := newWorld(t, metadata.PublicRead)
	e := w.edge(w.origin.url)
	w.origin.put("media/a", []byte("old"))
	wantBody(t, "cold", e.get("/media/a"), 200, "miss", []byte("old"))
	w.control.cut(true, false, false)
	w.written("media/none", nil...) // wakes the follower, which finds itself cut
	w.origin.put("media/a", []byte("new"))
	s := w.control.emit(metadata.Event{Type: metadata.ObjectCreated, Bucket: "media", Key: "a"})
	w.control.change(func() { w.control.gone, w.control.events, w.control.noFeed = s, nil, false })
	w.applied(s, e)
	wantBody(t, "after the gap", e.get("/media/a"), 200, "miss", []byte("new"))
	w.origin.put("media/a", []byte("newer"))
	w.written("media/a", e)
	wantBody(t, "the feed goes on", e.get("/media/a"), 200, "miss", []byte("newer"))
}

// A version that vanishes before a request begins is asked for anew; one that
// vanishes in mid-body cuts the connection, and never mixes.
func TestVersionGone(t *testing.T) {
	t.Parallel()
	w := newWorld(t, metadata.PublicRead)
	e := w.edge(w.origin.url)
	body := random(4*mib, 1)
	w.origin.put("media/a", body)
	wantBody(t, "its start", e.get("/media/a", "Range", "bytes=0-9"), 206, "miss", body[:10])
	fresh := random(3*mib, 2)
	w.origin.put("media/a", fresh)
	w.origin.sweep()
	// The node has not heard of it: it holds head and slice 0 of the old one.
	a := e.get("/media/a")
	if a.err == nil {
		t.Errorf("a body of %d bytes ended well though its version is gone", len(a.body))
	}
	if !bytes.HasPrefix(body, a.body) {
		t.Error("the answer mixes versions")
	}
	wantBody(t, "a slice the node does not hold", e.get("/media/a", "Range", fmt.Sprintf("bytes=%d-", 2*mib)), 206, "miss", fresh[2*mib:])
}

func TestSecondUpstream(t *testing.T) {
	t.Parallel()
	w := newWorld(t, metadata.PublicRead)
	dead := httptest.NewServer(nil)
	dead.Close()
	e := w.start(metadata.TierRegional, "regional-europe-1", nil, dead.URL, w.origin.url)
	body := random(3*mib, 1)
	w.origin.put("media/a", body)
	wantBody(t, "one of two is dead", e.request(http.MethodGet, "/media/a", asNode()), 200, "miss", body)
}

// The nodes of a snapshot are asked: regional caches first, and origins where
// there is none that answers.
func TestUpstreamsOfSnapshot(t *testing.T) {
	t.Parallel()
	w := newWorld(t, metadata.PublicRead)
	w.control.change(func() {
		w.control.nodes = append(w.control.nodes,
			metadata.Node{ID: "origin-europe", Tier: metadata.TierOrigin, Region: "europe", URL: w.origin.url},
			metadata.Node{ID: "regional-asia-1", Tier: metadata.TierRegional, Region: "asia", URL: "http://127.0.0.1:1"})
	})
	regional := w.start(metadata.TierRegional, "regional-europe-1", nil)
	w.control.eventually(t, "the regional cache is known", func() bool {
		s, _ := w.control.Snapshot(t.Context())
		return len(s.Nodes) == 3
	})
	e := w.edge()
	w.origin.put("media/a", []byte("a"))
	a := e.get("/media/a")
	wantBody(t, "by the regional cache", a, 200, "miss", []byte("a"))
	if len(a.header["Cache-Status"]) == 0 || !bytes.Contains([]byte(fmt.Sprint(a.header["Cache-Status"])), []byte("meridian-regional-europe")) {
		t.Errorf("Cache-Status %q", a.header["Cache-Status"])
	}
	regional.stop()
	w.origin.put("media/b", []byte("b"))
	wantBody(t, "by the origin", e.get("/media/b"), 200, "miss", []byte("b"))
}

// A node that comes is asked as soon as a push was answered, not only when the
// next snapshot is due.
func TestNodeThatComesIsAsked(t *testing.T) {
	t.Parallel()
	w := newWorld(t, metadata.PublicRead)
	w.control.change(func() {
		w.control.nodes = append(w.control.nodes, metadata.Node{ID: "origin-europe", Tier: metadata.TierOrigin, Region: "europe", URL: w.origin.url})
	})
	e := w.edge()
	w.start(metadata.TierRegional, "regional-europe-1", nil)
	i := 0
	w.control.eventually(t, "the regional cache is asked", func() bool {
		i++
		a := e.get(fmt.Sprintf("/media/none-%d", i))
		return strings.Contains(a.header.Get("Cache-Status"), "meridian-regional-europe")
	})
}

func TestUpstreamDown(t *testing.T) {
	t.Parallel()
	w := newWorld(t, metadata.PublicRead)
	clock := newClock()
	w.origin.now = clock.now
	e := w.start(metadata.TierEdge, "edge-europe-1", func(c *edge.Config) { c.Now = clock.now }, w.origin.url)
	w.origin.put("media/allowed", []byte("a"), "Cache-Control", "max-age=60, stale-if-error=600")
	w.origin.put("media/not", []byte("n"), "Cache-Control", "max-age=60")
	e.get("/media/allowed")
	e.get("/media/not")
	w.origin.set(func() { w.origin.down = true })
	wantBody(t, "fresh", e.get("/media/not"), 200, "hit", []byte("n"))
	clock.add(2 * time.Minute)
	wantBody(t, "stale-if-error", e.get("/media/allowed"), 200, "stale", []byte("a"))
	for _, path := range []string{"/media/not", "/media/never"} {
		if a := e.get(path); a.status != 502 || a.header.Get("Content-Type") != "application/xml" || !bytes.Contains(a.body, []byte("<Error>")) {
			t.Errorf("%s: %d %s", path, a.status, a.body)
		}
	}
	w.origin.set(func() { w.origin.down = false })
	w.origin.put("media/never", []byte("v"))
	w.control.eventually(t, "it is asked again", func() bool { return e.get("/media/never").status == 200 })
	clock.add(time.Hour)
	w.control.eventually(t, "the lease is back", func() bool { return e.node.Ready() == nil })
	if a := e.get("/media/allowed"); a.status != 200 {
		t.Errorf("after it came back: %d", a.status)
	}
}

func TestStaleWhileRevalidate(t *testing.T) {
	t.Parallel()
	w := newWorld(t, metadata.PublicRead)
	clock := newClock()
	w.origin.now = clock.now
	e := w.start(metadata.TierEdge, "edge-europe-1", func(c *edge.Config) { c.Now = clock.now }, w.origin.url)
	w.origin.put("media/a", []byte("old"), "Cache-Control", "max-age=60, stale-while-revalidate=600")
	e.get("/media/a")
	clock.add(2 * time.Minute)
	w.control.eventually(t, "the lease is renewed under the new time", func() bool { return e.get("/media/none").result() == "hit" })
	w.origin.put("media/a", []byte("new"), "Cache-Control", "max-age=60")
	wantBody(t, "stale", e.get("/media/a"), 200, "stale", []byte("old"))
	w.control.eventually(t, "refreshed behind", func() bool {
		a := e.get("/media/a")
		return a.result() == "hit" && string(a.body) == "new"
	})
}

func TestPurge(t *testing.T) {
	t.Parallel()
	w := newWorld(t, metadata.PublicRead)
	w.control.putBucket(metadata.Bucket{Name: "other", Visibility: metadata.PublicRead})
	e := w.edge(w.origin.url)
	names := []string{"media/a", "media/dir/b", "media/dir/sub/c", "media/tagged", "other/d"}
	fill := func() {
		for _, n := range names {
			if e.get("/"+n).status != 200 {
				t.Fatalf("cannot fill %s", n)
			}
		}
	}
	for _, n := range names {
		header := []string{}
		if n == "media/tagged" {
			header = []string{"Surrogate-Key", "red blue"}
		}
		w.origin.put(n, []byte(n), header...)
	}
	for i, c := range []struct {
		purge metadata.Purge
		want  []string
	}{
		{metadata.Purge{URLs: []string{"/media/a"}}, []string{"media/a"}},
		{metadata.Purge{Prefixes: []string{"/media/dir/"}}, []string{"media/dir/b", "media/dir/sub/c"}},
		{metadata.Purge{SurrogateKeys: []string{"blue"}}, []string{"media/tagged"}},
		{metadata.Purge{Bucket: "other"}, []string{"other/d"}},
		{metadata.Purge{Everything: true}, names},
	} {
		for _, soft := range []bool{false, true} {
			fill()
			c.purge.ID, c.purge.Soft = fmt.Sprint(i, soft), soft
			data, _ := json.Marshal(c.purge)
			w.applied(w.control.emit(metadata.Event{Type: metadata.PurgeAsked, Data: data}), e)
			purged := map[string]bool{}
			for _, n := range c.want {
				purged[n] = true
			}
			for _, n := range names {
				want := "hit"
				switch {
				case purged[n] && soft:
					want = "revalidated"
				case purged[n]:
					want = "miss"
				}
				wantBody(t, fmt.Sprintf("%+v: %s", c.purge, n), e.get("/"+n), 200, want, []byte(n))
			}
			w.control.eventually(t, "the purge is acknowledged", func() bool {
				w.control.mu.Lock()
				defer w.control.mu.Unlock()
				for _, p := range w.control.pushes {
					for _, a := range p.Purges {
						if a.ID == c.purge.ID {
							if a.Entries != len(c.want) {
								t.Errorf("%+v: acknowledged with %d entries", c.purge, a.Entries)
							}
							return true
						}
					}
				}
				return false
			})
		}
	}
}

// asker records what PURGE requests ask for.
type asker struct {
	mu    sync.Mutex
	asked []metadata.Purge
}

func (a *asker) AskPurge(_ context.Context, p metadata.Purge) (json.RawMessage, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.asked = append(a.asked, p)
	return json.RawMessage(`{"id":"01P"}`), nil
}

func TestPurgeMethod(t *testing.T) {
	t.Parallel()
	w := newWorld(t, metadata.PublicRead)
	var asked asker
	e := w.start(metadata.TierEdge, "edge-europe-1", func(c *edge.Config) { c.Purges = &asked }, w.origin.url)
	for name, change := range map[string]func(*http.Request){
		"nobody": nil, "a reader": signed(userKey, userSecret), "a node": asNode(), "a wrong secret": signed(adminKey, "x"),
	} {
		if a := e.request("PURGE", "/media/a", change); a.status != 403 {
			t.Errorf("PURGE by %s: %d", name, a.status)
		}
	}
	a := e.request("PURGE", "/media/dir/a%20b", signed(adminKey, adminSecret))
	if a.status != 200 || a.header.Get("Content-Type") != "application/json" || string(a.body) != `{"id":"01P"}` {
		t.Errorf("PURGE: %d %s", a.status, a.body)
	}
	if len(asked.asked) != 1 || fmt.Sprint(asked.asked[0].URLs) != "[/media/dir/a%20b]" {
		t.Errorf("asked for %+v", asked.asked)
	}
}
