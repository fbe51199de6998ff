package edge_test

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"meridian/edge"
	"meridian/edge/cache/memory"
	"meridian/edge/fetch"
	"meridian/internal/faultlink"
	"meridian/metadata"
)

// TestChaos runs nodes whose links, or whose metadata role, are out of order. What
// comes to clients is held to what was written (see chaos.read), what the origin is
// asked for is counted by slice, and when all is over nothing is left: no goroutine
// and no descriptor more than before. Not parallel: it counts those of the process.
// Only the quickest run unless
// TEST_LONG=1, which makes each larger too.
func TestChaos(t *testing.T) {
	scenarios := map[string]func(*chaos){
		"the feed is down while objects are overwritten": (*chaos).feedDown,
		"a purge while the nodes are cut off":            (*chaos).purgeCutOff,
		"one slow regional cache among four":             (*chaos).oneSlowOfFour,
		"half of the clients of a cold object leave":     (*chaos).halfLeave,
	}
	for what, fault := range linkFaults {
		scenarios["the link to the origin is "+what] = func(c *chaos) { c.badOrigin(fault) }
		scenarios["the link to a regional cache is "+what] = func(c *chaos) { c.badRegional(fault) }
	}
	quick := []string{"half of the clients of a cold object leave", "the link to the origin is corrupting", "the link to a regional cache is half-open"}
	for what, run := range scenarios {
		if os.Getenv("TEST_LONG") == "" && !slices.Contains(quick, what) {
			continue
		}
		t.Run(what, func(t *testing.T) {
			goroutines, files := runtime.NumGoroutine(), descriptors(t)
			t.Run("run", func(t *testing.T) { run(newChaos(t)) }) // its cleanups end all that it began
			settled(t, goroutines, files)
		})
	}
}

// linkFaults are what a link suffers from. Bodies are longer than what is cut off.
var linkFaults = map[string]faultlink.Fault{
	"slow": {Latency: 200 * time.Millisecond}, "cut in mid-body": {CutAfter: 50_000}, "corrupting": {Corrupt: 50_000},
	"half-open": {Dead: true}, "down": {Refuse: true},
}

// settled waits until no more goroutines run and files are open than before.
func settled(t *testing.T, goroutines, files int) {
	t.Helper()
	client.CloseIdleConnections()
	deadline := time.Now().Add(time.Minute)
	for runtime.NumGoroutine() > goroutines || descriptors(t) > files {
		if time.Now().After(deadline) {
			buf := make([]byte, 1<<20)
			t.Fatalf("%d goroutines, %d before; %d descriptors, %d before:\n%s", runtime.NumGoroutine(), goroutines,
				descriptors(t), files, buf[:runtime.Stack(buf, true)])
		}
		time.Sleep(5 * time.Millisecond)
	}
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

// chaos is a world whose links can fail, and a ledger of what was written.
type chaos struct {
	*world
	t     *testing.T
	links *faultlink.Net
	clock *clock
	long  bool
	// within is how long after a write was acknowledged the one before may still
	// be read: a lease, and the time that a push takes. Zero once leases have run
	// out.
	within atomic.Int64

	mu     sync.Mutex
	ledger map[string][]written
}

// written is one write of an object.
type written struct {
	sum   [sha256.Size]byte
	seq   metadata.Seq
	acked time.Time // zero until it is
}

func newChaos(t *testing.T) *chaos {
	t.Helper()
	c := &chaos{
		world: newWorld(t, metadata.PublicRead), t: t, links: faultlink.New((&net.Dialer{}).DialContext), clock: newClock(),
		long: os.Getenv("TEST_LONG") != "", ledger: map[string][]written{},
	}
	c.origin.now = c.clock.now
	c.within.Store(int64(5 * time.Second))
	if c.long {
		c.within.Store(int64(time.Second)) // the feed is heard
	}
	return c
}

// pick is a size of the scenario.
func (c *chaos) pick(short, long int) int {
	if c.long {
		return long
	}
	return short
}

// node starts a node that asks over links. Of those that answer, it waits for the
// whole of a slow machine's time; late is when the next is asked besides.
func (c *chaos) node(tier, id string, late time.Duration, upstreams ...string) *node {
	c.t.Helper()
	return c.start(tier, id, func(cfg *edge.Config) {
		cfg.Now, cfg.Dial = c.clock.now, c.links.Dial
		cfg.Timeouts = fetch.Timeouts{Header: 30 * time.Second, Idle: 30 * time.Second, Late: late}
	}, upstreams...)
}

// write puts an object, says so through the feed, and waits until the nodes have
// heard: a fill that runs when they do would be given up by those who come later.
func (c *chaos) write(name string, body []byte, nodes ...*node) {
	c.t.Helper()
	c.mu.Lock()
	i := len(c.ledger[name])
	c.ledger[name] = append(c.ledger[name], written{sum: sha256.Sum256(body)})
	c.mu.Unlock()
	version := c.origin.put(name, body).version
	bucket, key, _ := strings.Cut(name, "/")
	seq := c.control.emit(metadata.Event{Type: metadata.ObjectCreated, Bucket: bucket, Key: key, VersionID: version})
	c.mu.Lock()
	c.ledger[name][i].seq, c.ledger[name][i].acked = seq, time.Now()
	c.mu.Unlock()
	c.applied(seq, nodes...)
}

// oldest is the first write of an object that n may answer a request with that
// begins now.
func (c *chaos) oldest(n *node, name string) (first int) {
	applied, now := n.node.Applied(), time.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	for i, w := range c.ledger[name] {
		if !w.acked.IsZero() && (w.seq.Compare(applied) <= 0 || now.Sub(w.acked) >= time.Duration(c.within.Load())) {
			first = i
		}
	}
	return first
}

// read asks a node for an object. What it answers must be the bytes of one write,
// all of them, and of none that is older than the guarantee allows: what the node
// has applied is never undone, and what was acknowledged longer than chaos.within
// ago is known. It returns false where the node says, by a status or by cutting the
// body, that it cannot answer.
func (c *chaos) read(n *node, name string) bool {
	c.t.Helper()
	first := c.oldest(n, name)
	a, err := n.do(c.t.Context(), http.MethodGet, "/"+name, nil)
	switch {
	case err != nil, a.err != nil, a.status == http.StatusBadGateway, a.status == http.StatusGatewayTimeout, a.status == http.StatusServiceUnavailable:
		return false
	case a.status != http.StatusOK:
		c.t.Errorf("%s: status %d: %.200s", name, a.status, a.body)
		return false
	}
	sum := sha256.Sum256(a.body)
	c.mu.Lock()
	defer c.mu.Unlock()
	i := slices.IndexFunc(c.ledger[name], func(w written) bool { return w.sum == sum })
	switch {
	case i < 0:
		c.t.Errorf("%s: %d bytes that nobody wrote", name, len(a.body))
	case i < first:
		c.t.Errorf("%s: write %d was answered, %d is known: %s", name, i, first, a.header.Get("Cache-Status"))
	}
	return true
}

// must is a read that has to be answered.
func (c *chaos) must(n *node, name string) {
	c.t.Helper()
	if !c.read(n, name) {
		c.t.Errorf("%s: not answered", name)
	}
}

// crowd runs that many clients at once.
func (c *chaos) crowd(n int, each func(i int)) {
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { each(i) })
	}
	wg.Wait()
}

// asked counts, by slice, how often the origin was asked for an object's bytes.
func (c *chaos) asked(name string) map[string]int {
	count := map[string]int{}
	for line := range strings.SplitSeq(c.origin.log(), "\n") {
		if f := strings.Fields(line); len(f) == 3 && f[1] == "/"+name {
			first, _, _ := strings.Cut(f[2], "-")
			count[first]++
		}
	}
	return count
}

// fetched holds the origin to having been asked for each of an object's slices,
// once at least, and most times at most.
func (c *chaos) fetched(name string, size, most int) {
	c.t.Helper()
	asked := c.asked(name)
	if want := (size + mib - 1) / mib; len(asked) != want {
		c.t.Errorf("%s: %d slices were asked for, it has %d", name, len(asked), want)
	}
	for slice, n := range asked {
		if n > most {
			c.t.Errorf("%s: the origin was asked %d times for %s, allowed are %d", name, n, slice, most)
		}
	}
}

// The link from the only regional cache to the origin fails. What is held is
// answered as ever; what is not is answered right or not at all, and right once the
// link is mended.
func (c *chaos) badOrigin(fault faultlink.Fault) {
	regional := c.start(metadata.TierRegional, "regional-europe-1", func(cfg *edge.Config) {
		cfg.Dial = c.links.Dial
		if fault.Dead {
			cfg.Timeouts = fetch.Timeouts{Header: 2 * time.Second}
		}
	}, c.origin.url)
	e := c.node(metadata.TierEdge, "edge-europe-1", 0, regional.url)
	const size = 3*mib - 1000
	c.write("media/held", random(size, 1), e, regional)
	c.must(e, "media/held")
	c.links.Set(host(c.t, c.origin.url), fault)
	c.write("media/cold", random(size, 2), e, regional)
	var answered atomic.Int64
	clients := c.pick(10, 100)
	c.crowd(clients, func(int) {
		c.must(e, "media/held")
		if c.read(e, "media/cold") {
			answered.Add(1)
		}
	})
	switch n := int(answered.Load()); {
	case fault.Latency > 0 && n != clients:
		c.t.Errorf("%d of %d clients were answered over a link that is only slow", n, clients)
	case fault.Latency == 0 && n != 0:
		c.t.Errorf("%d clients were answered over a link that lets nothing through", n)
	}
	// Each client asks at most once, by a fill that it may share.
	for slice, n := range c.asked("media/cold") {
		if fault.Refuse || n > clients {
			c.t.Errorf("the origin was asked %d times for %s of what %d clients want", n, slice, clients)
		}
	}
	c.links.Set(host(c.t, c.origin.url), faultlink.Fault{})
	c.control.eventually(c.t, "the origin is asked again", func() bool { return c.read(e, "media/cold") })
	c.write("media/after", random(size, 3), e, regional)
	c.crowd(clients, func(int) { c.must(e, "media/after"); c.must(e, "media/held"); c.must(e, "media/cold") })
	c.fetched("media/held", size, 1)
	c.fetched("media/after", size, 1)
	if fault.Latency > 0 {
		c.fetched("media/cold", size, 1)
	}
}

// The link from an edge to one of two regional caches fails: clients notice nothing
// but time. Each regional cache asks the origin once for what it is asked for.
func (c *chaos) badRegional(fault faultlink.Fault) {
	bad := c.node(metadata.TierRegional, "regional-europe-1", 0, c.origin.url)
	good := c.node(metadata.TierRegional, "regional-europe-2", 0, c.origin.url)
	e := c.node(metadata.TierEdge, "edge-europe-1", 100*time.Millisecond, bad.url, good.url)
	c.links.Set(host(c.t, bad.url), fault)
	objects := c.pick(12, 100)
	for i := range objects {
		name, size := fmt.Sprint("media/", i), mib+100_000
		c.write(name, random(size, uint64(i)), e, bad, good)
		c.crowd(5, func(int) { c.must(e, name) })
		c.fetched(name, size, 2)
	}
	c.links.Set(host(c.t, bad.url), faultlink.Fault{})
	before, _ := c.control.total(bad.id)
	i := objects
	c.control.eventually(c.t, "it is asked again", func() bool {
		e.get(fmt.Sprint("/media/", i)) // not there, which is an answer too
		i++
		after, _ := c.control.total(bad.id)
		return after.Requests > before.Requests+5
	})
}

// Nodes that hear of nothing confirm what they hold once their leases have run out,
// and serve nothing that was overwritten; afterwards they serve hits again.
func (c *chaos) feedDown() {
	regional := c.node(metadata.TierRegional, "regional-europe-1", 0, c.origin.url)
	e := c.node(metadata.TierEdge, "edge-europe-1", 0, regional.url)
	const name, size = "media/a", 3*mib - 1000
	overwrites, clients := c.pick(8, 60), 5
	version := uint64(0)
	next := func() []byte { version++; return random(size, version) }

	c.write(name, next())
	c.must(e, name)
	// Heard of: whoever reads while objects are written.
	c.crowd(2, func(i int) {
		for range overwrites {
			if i == 0 {
				c.write(name, next())
			}
			c.must(e, name)
		}
	})
	c.within.Store(int64(5 * time.Second))
	c.control.cut(true, true, true)
	c.must(e, name) // for as long as the lease runs what is held may be served
	c.clock.add(5 * time.Second)
	c.within.Store(0)
	for range overwrites {
		c.write(name, next())
		before := c.asked(name)
		c.crowd(clients, func(int) { c.must(e, name) })
		// The first slice comes with the head, which each client may have to ask
		// for: to join a fill that began before the client did would not do. It is
		// asked for by who holds the head before, on conditions.
		after := c.asked(name)
		for _, slice := range []string{fmt.Sprint("bytes=", mib), fmt.Sprint("bytes=", 2*mib)} {
			if n := after[slice] - before[slice]; n != 1 {
				c.t.Errorf("the origin was asked %d times for %s of a write", n, slice)
			}
		}
	}
	c.control.cut(false, false, false)
	c.control.eventually(c.t, "hits again", func() bool {
		c.must(e, name)
		return e.get("/"+name).result() == "hit"
	})
}

// A purge that the nodes cannot hear of is no reason to serve what it is about for
// longer than a lease, and is done when they are back.
func (c *chaos) purgeCutOff() {
	regional := c.node(metadata.TierRegional, "regional-europe-1", 0, c.origin.url)
	e := c.node(metadata.TierEdge, "edge-europe-1", 0, regional.url)
	objects := c.pick(10, 100) // as many as both hold
	const size = mib + 1000
	for i := range objects {
		c.write(fmt.Sprint("media/", i), random(size, uint64(i)), e, regional)
		c.must(e, fmt.Sprint("media/", i))
	}
	c.control.cut(true, true, true)
	data, err := json.Marshal(metadata.Purge{ID: "01P", Prefixes: []string{"/media/"}})
	if err != nil {
		c.t.Fatal(err)
	}
	purge := c.control.emit(metadata.Event{Type: metadata.PurgeAsked, Data: data})
	c.clock.add(5 * time.Second)
	for i := range objects {
		a := e.get(fmt.Sprint("/media/", i))
		wantBody(c.t, "cut off", a, 200, "revalidated", random(size, uint64(i)))
	}
	c.control.cut(false, false, false)
	c.applied(purge, e, regional)
	c.crowd(objects, func(i int) { c.must(e, fmt.Sprint("media/", i)) })
	c.control.eventually(c.t, "the lease is back", func() bool { return e.get("/media/0").result() == "hit" })
	for i := range objects {
		wantBody(c.t, "afterwards", e.get(fmt.Sprint("/media/", i)), 200, "hit", random(size, uint64(i)))
		// The slice that comes along with a head, and no other: those that the head
		// speaks of are still those of its version.
		asked := c.asked(fmt.Sprint("media/", i))
		if asked["bytes=0"] != 2 || asked[fmt.Sprint("bytes=", mib)] != 1 {
			c.t.Errorf("object %d: asked for %v", i, asked)
		}
	}
	c.control.eventually(c.t, "the purge is acknowledged by both", func() bool {
		c.control.mu.Lock()
		defer c.control.mu.Unlock()
		acks := 0
		for _, p := range c.control.pushes {
			acks += len(p.Purges)
		}
		return acks == 2
	})
}

// A regional cache that became slow is overtaken, and then left out: few slices are
// asked for twice.
func (c *chaos) oneSlowOfFour() {
	var regionals []*node
	var urls []string
	for i := range 4 {
		n := c.node(metadata.TierRegional, fmt.Sprint("regional-europe-", i+1), 0, c.origin.url)
		regionals, urls = append(regionals, n), append(urls, n.url)
	}
	e := c.node(metadata.TierEdge, "edge-europe-1", 0, urls...)
	const size = 2*mib - 1000
	objects := c.pick(40, 400)
	read := func(first int) {
		for i := first; i < first+objects; i++ {
			c.write(fmt.Sprint("media/", i), random(size, uint64(i)), append(regionals, e)...)
			c.must(e, fmt.Sprint("media/", i))
		}
	}
	read(0)
	before := e.counts("meridian_cache_hedges_total")[""]
	c.links.Set(host(c.t, regionals[1].url), faultlink.Fault{Latency: 5 * time.Second})
	read(objects)
	hedges := e.counts("meridian_cache_hedges_total")[""] - before
	if won := e.counts("meridian_cache_hedges_won_total")[""]; won == 0 {
		c.t.Error("the slow one was never overtaken")
	}
	twice := 0
	for i := objects; i < 2*objects; i++ {
		name := fmt.Sprint("media/", i)
		c.fetched(name, size, 2)
		for _, n := range c.asked(name) {
			twice += n - 1
		}
	}
	// A fifth of the fetches, the reserve of the budget, and its trickle.
	if slices := 2 * objects; twice > hedges || hedges > slices/5+50+slices {
		c.t.Errorf("%d slices were asked for twice, with %d hedges, of %d", twice, hedges, slices)
	}
}

// Of the clients of a cold object every other one leaves, before anything has come
// or in the middle. The others get every byte, the origin is asked once for each
// slice, and what the nodes hold for all of them stays bounded. TEST_LONG=1 makes it
// a thousand clients of a GiB.
func (c *chaos) halfLeave() {
	clients, size := c.pick(200, 1000), c.pick(4, 1024)*mib-1000
	if c.long {
		const most = 2 << 30 // the edge's cache and a quarter, the regional's, and what a thousand clients in this process take
		defer debug.SetMemoryLimit(debug.SetMemoryLimit(most - 256<<20))
		stop, peak := make(chan struct{}), make(chan uint64)
		go func() { peak <- peakHeap(stop) }()
		defer func() {
			close(stop)
			got := <-peak
			c.t.Logf("at most %d MiB of heap in use", got>>20)
			if got > most {
				c.t.Errorf("%d MiB of heap in use, allowed are %d", got>>20, most>>20)
			}
		}()
	}
	sized := func(id, tier string, bytes int64, upstream string) *node {
		tier2, err := memory.New(memory.Config{HeadBytes: 16 << 20, SliceBytes: bytes})
		if err != nil {
			c.t.Fatal(err)
		}
		c.t.Cleanup(func() { _ = tier2.Close() })
		return c.start(tier, id, func(cfg *edge.Config) { cfg.Cache = tier2 }, upstream)
	}
	regional := sized("regional-europe-1", metadata.TierRegional, 128<<20, c.origin.url)
	e := sized("edge-europe-1", metadata.TierEdge, int64(size)*5/4+32<<20, regional.url)
	film := c.origin.putPattern("media/film.mp4", size)

	began := make(chan struct{})
	c.origin.set(func() { c.origin.hold = func(*http.Request, *object) { <-began } })
	open := sync.OnceFunc(func() { close(began) })
	defer open()
	var done sync.WaitGroup
	var gone atomic.Int64
	for i := range clients {
		done.Go(func() {
			rng := rand.New(rand.NewPCG(uint64(i), 3))
			first, last := 0, size-1
			if size > 64*mib && i%50 != 0 { // all of it by some, a part by each of the others
				first = rng.IntN(size - 16*mib)
				last = first + 16*mib - 1
			}
			ctx, leave := context.WithCancel(c.t.Context())
			defer leave()
			leaves := i%2 == 1
			takes := int64(math.MaxInt64)
			switch {
			case leaves && i%4 == 1: // perhaps before anything has come
				defer time.AfterFunc(time.Duration(rng.IntN(clients))*time.Millisecond, leave).Stop()
			case leaves:
				takes = rng.Int64N(int64(last - first))
			}
			err := film.compare(ctx, e.url+"/media/film.mp4", first, last, takes)
			switch {
			case errors.Is(err, errNotTheFilm), err != nil && !leaves:
				c.t.Errorf("client %d: %v", i, err)
			case leaves:
				gone.Add(1)
			}
		})
	}
	c.control.eventually(c.t, "the origin is asked", func() bool { return c.origin.asked() > 0 })
	open()
	done.Wait()
	if n := int(gone.Load()); n != clients/2 {
		c.t.Errorf("%d clients left", n)
	}
	// What nobody who stayed has asked for may not be there.
	if err := film.compare(c.t.Context(), e.url+"/media/film.mp4", 0, size-1, math.MaxInt64); err != nil {
		c.t.Errorf("afterwards: %v", err)
	}
	c.fetched("media/film.mp4", size, 1) // also where those who left were alone in waiting
}

// peakHeap is the most heap in use until stop.
func peakHeap(stop <-chan struct{}) (peak uint64) {
	for {
		select {
		case <-stop:
			return peak
		case <-time.After(100 * time.Millisecond):
		}
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		peak = max(peak, m.HeapInuse)
	}
}

var errNotTheFilm = errors.New("other bytes than those of the film")

// compare asks for a range of a pattern and compares what comes, until takes bytes
// have, at which it leaves.
func (p *pattern) compare(ctx context.Context, url string, first, last int, takes int64) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	req.Header.Set("Range", fmt.Sprintf("bytes=%d-%d", first, last))
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusPartialContent {
		return fmt.Errorf("status %d", resp.StatusCode)
	}
	got := make([]byte, 64<<10)
	for at := first; at <= last; {
		n, err := resp.Body.Read(got[:min(len(got), last+1-at)])
		if !p.holds(got[:n], at) {
			return fmt.Errorf("%w, between %d and %d", errNotTheFilm, at, at+n)
		}
		if at += n; int64(at-first) >= takes {
			return nil
		}
		if err != nil && at <= last {
			return fmt.Errorf("after %d bytes: %w", at-first, err)
		}
	}
	if n, err := resp.Body.Read(got); n > 0 || !errors.Is(err, io.EOF) {
		return fmt.Errorf("after the last byte: %d more, %w", n, err)
	}
	return nil
}
