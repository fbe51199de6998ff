package edge

import (
	"cmp"
	"context"
	"fmt"
	"hash/maphash"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/semaphore"

	"meridian/edge/cache"
	"meridian/edge/fetch"
	"meridian/edge/httpcache"
	"meridian/edge/limit"
	"meridian/edge/pull"
	"meridian/metadata/tally"
)

const (
	// maxWhole bounds the bodies that are kept though the origin could not be
	// asked for a piece of them again.
	maxWhole = 16 << 20
	// shyTime is how long a target whose answer was of no use to others is asked
	// for by each on their own.
	shyTime = 5 * time.Second
	// maxShy bounds how many of them are remembered.
	maxShy = 10_000
)

// flights are the requests to origins that run. Where several want the same, one
// asks, and the others wait for the header: if the answer is one that a cache may
// give them they share its body while it arrives, and else each asks alone. So no
// answer meant for one reaches another.
type flights struct {
	client *pull.Client
	hops   *pull.Regional
	stalls stalls // of regional nodes
	// buffers are for bodies that can be asked for by the slice, and for slices,
	// others for those that cannot.
	buffers, others *semaphore.Weighted

	mu      sync.Mutex
	running map[string]*flight
	shy     map[uint64]time.Time // by the hash of a key, which may be long
	seed    maphash.Seed
	wholes  map[string]*whole // bodies that are sent, by version
	yield   chan struct{}     // closed when buffers are wanted, and then another
	quit    chan struct{}
	wg      sync.WaitGroup
}

func newFlights(cfg *Config, limits *limit.Set) *flights {
	hops := pull.NewRegional(cfg.ID, cfg.ClusterSecret, cfg.Dial, limits, cfg.Now)
	hops.Transport.TLSClientConfig = cfg.TLS
	hops.Patience, hops.Idle = cmp.Or(cfg.Timeouts.Late, hops.Patience), cmp.Or(cfg.Timeouts.Idle, hops.Idle)
	return &flights{
		client: pull.NewClient(cfg.ID, pull.Timeouts{}, limits), hops: hops, buffers: semaphore.NewWeighted(fillBuffers / 2), others: semaphore.NewWeighted(fillBuffers / 2),
		running: map[string]*flight{}, shy: map[uint64]time.Time{}, seed: maphash.MakeSeed(), wholes: map[string]*whole{}, yield: make(chan struct{}), quit: make(chan struct{}),
	}
}

// close ends all flights and returns when none runs any more.
func (fs *flights) close() {
	fs.mu.Lock()
	for _, f := range fs.running {
		f.cancel()
	}
	fs.mu.Unlock()
	close(fs.quit)
	fs.wg.Wait()
	fs.client.Close()
	fs.hops.Close()
}

// flight is one request to an origin, with its answer.
type flight struct {
	key     string
	request http.Header // of who began it
	mark    *fillMark
	stream  *pull.Stream // its readers hold the flight
	cancel  context.CancelFunc
	interim chan interim  // for who began it
	over    chan struct{} // closed when all is kept that is
	ready   chan struct{} // closed when all below is set

	err         error
	status      int             // of the origin
	depth       tally.Depth     // of the tier that answered
	head        *httpcache.Head // of the answer, or what was held, confirmed
	own         http.Header     // of the answer, for who began it alone
	revalidated bool
	held        bool // nobody was asked: it was there after all
	stored      bool
	shared      bool                   // others may be answered from it
	body        io.ReadCloser          // of an answer for one; else it is in the stream
	sliced      bool                   // the body comes in slices
	slice       atomic.Pointer[[]byte] // that came along, unless it is too much to keep
	index       int64
}

type interim struct {
	status int
	header http.Header
}

// seat is the part that one request has in a flight, for as long as its reader
// does not leave.
type seat struct {
	*flight
	reader *pull.Reader
	led    bool // it began the flight
}

func (s seat) leave() {
	if s.led {
		select {
		case <-s.ready:
			if s.body != nil {
				s.body.Close()
			}
		default: // the context ends what comes
		}
	}
	s.reader.Leave()
}

// settleTime bounds how long an answer waits to be kept.
const settleTime = 100 * time.Millisecond

// settle returns when a body that was sent whole is kept, too, so that who has
// got it finds it in the cache.
func (f *flight) settle(ctx context.Context) {
	if !f.stream.Whole() {
		return
	}
	t := time.NewTimer(settleTime)
	defer t.Stop()
	select {
	case <-f.over:
	case <-t.C:
	case <-ctx.Done():
	}
}

// plan is what a flight asks and how it deals with the answer.
type plan struct {
	visit   *visit
	held    held
	orStale bool  // a failing origin is an error: something is held
	index   int64 // of the slice asked for; -1 for all
	alone   bool  // for nobody: to renew what was served stale
}

// fetch asks the origin, or waits for one who does already. The caller leaves the
// seat.
func (v *visit) fetch(ctx context.Context, held held, orStale bool) (f seat, err error) {
	p := plan{visit: v, held: held, orStale: orStale, index: v.wantedSlice(held.name)}
	key := held.name
	if p.index >= 0 {
		key = fmt.Sprintf("%s\nslice %d", key, p.index)
	} else if field := v.r.Header.Get("Range"); field != "" {
		key += "\nrange " + field
	}
	f = v.join(ctx, key, p)
	if !f.led {
		if err := f.wait(ctx, nil); err != nil {
			f.leave()
			return seat{}, err
		}
		var again string // the key of the next flight: none, since this one's answers are of no use to others
		if f.err == nil && f.shared && v.fits(f.flight) {
			if v.reaches(ctx, f) {
				return f, nil
			}
			again = key
		}
		failed := f.err
		f.leave()
		if failed != nil {
			return seat{}, failed
		}
		f = v.start(ctx, again, p)
	}
	if err := f.land(ctx, v.writeInterim); err != nil {
		f.leave()
		return seat{led: true}, err
	}
	if f.head == nil { // slices were of no use: once more, as the client asked
		f.leave()
		v.n.flights.makeShy(key, v.n.now())
		p.index = -1
		f = v.start(ctx, "", p)
		if err := f.land(ctx, v.writeInterim); err != nil {
			f.leave()
			return seat{led: true}, err
		}
	}
	return f, nil
}

// land is wait, and fails where the flight did.
func (f *flight) land(ctx context.Context, each func(interim)) error {
	if err := f.wait(ctx, each); err != nil {
		return err
	}
	return f.err
}

// wait returns when the flight is ready, handing interim answers on meanwhile.
func (f *flight) wait(ctx context.Context, each func(interim)) error {
	var interims <-chan interim
	if each != nil {
		interims = f.interim
	}
	for {
		select {
		case i := <-interims:
			each(i)
		case <-f.ready:
			for len(interims) > 0 {
				each(<-interims)
			}
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// join finds the flight of that key, or starts it.
func (v *visit) join(ctx context.Context, key string, p plan) seat {
	fs := v.n.flights
	fs.mu.Lock()
	f := fs.running[key]
	shy := fs.isShy(key, v.n.now())
	fs.mu.Unlock()
	switch {
	case shy || !v.need.IsZero(): // what runs may have begun before what the caller has heard of
		return v.start(ctx, "", p)
	case f != nil && !v.n.fills.touched(f.mark):
		if r := f.stream.Join(); r != nil {
			return seat{flight: f, reader: r}
		}
	}
	return v.start(ctx, key, p)
}

// fits reports whether the answer of a flight is one for this request, too.
func (v *visit) fits(f *flight) bool {
	return httpcache.Variant(f.head.Vary, f.request) == httpcache.Variant(f.head.Vary, v.r.Header) &&
		f.head.CurrentAge(v.n.now()) <= max(v.demands.MaxAge, time.Second)
}

// reaches reports whether who has joined a flight can have all of its body: of one of
// which nothing can be asked for again, what came before it must be in the cache.
func (v *visit) reaches(ctx context.Context, f seat) bool {
	whole := *f.head
	whole.Size = maxWhole // what is behind a stream are whole slices
	return f.reader.Reach(func(index int64) []byte { return v.n.cachedSlice(ctx, v.object, &whole, index) })
}

// refresh asks the origin behind the client's back.
func (v *visit) refresh(ctx context.Context, held held) {
	fs := v.n.flights
	fs.mu.Lock()
	running := fs.running[held.name] != nil
	fs.mu.Unlock()
	if !running {
		v.start(ctx, held.name, plan{visit: v, held: held, orStale: true, index: -1, alone: true})
	}
}

// start begins a flight, which others can join by its key, if it has one.
func (v *visit) start(ctx context.Context, key string, p plan) seat {
	fs := v.n.flights
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stream, reader := pull.NewStream(cancel, p.alone)
	f := &flight{
		key: key, request: v.r.Header, stream: stream, cancel: cancel,
		interim: make(chan interim, 16), over: make(chan struct{}), ready: make(chan struct{}),
	}
	first := seat{flight: f, reader: reader, led: true}
	// No event is waited for: an origin knows nothing of the feed.
	f.mark, _ = v.n.fills.begin(v.object, "")
	if key != "" {
		fs.mu.Lock()
		fs.running[key] = f
		fs.mu.Unlock()
	}
	fs.wg.Go(func() {
		defer func() {
			if close(f.over); f.body == nil {
				cancel()
				return
			}
			// Whoever it is for may have left before it was there.
			context.AfterFunc(ctx, func() { f.body.Close() })
		}()
		defer fs.end(v.n, f)
		p.run(ctx, f)
		if p.alone {
			first.leave()
		}
	})
	return first
}

func (fs *flights) end(n *Node, f *flight) {
	n.fills.end(f.mark)
	fs.mu.Lock()
	defer fs.mu.Unlock()
	if f.key == "" {
		return
	}
	if fs.running[f.key] == f {
		delete(fs.running, f.key)
	}
	if f.err == nil && !f.shared {
		fs.setShy(f.key, n.now())
	}
}

func (fs *flights) makeShy(key string, now time.Time) {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	fs.setShy(key, now)
}

func (fs *flights) setShy(key string, now time.Time) {
	if len(fs.shy) >= maxShy {
		clear(fs.shy) // each costs one wait for a header, no more
	}
	fs.shy[maphash.String(fs.seed, key)] = now.Add(shyTime)
}

func (fs *flights) isShy(key string, now time.Time) bool {
	hash := maphash.String(fs.seed, key)
	until, ok := fs.shy[hash]
	if ok && now.After(until) {
		delete(fs.shy, hash)
		return false
	}
	return ok
}

// run asks, decides what the answer is good for, and brings its body in.
func (p *plan) run(ctx context.Context, f *flight) {
	v := p.visit
	ready := sync.OnceFunc(func() { close(f.ready) })
	defer ready()
	// The flight before may have ended since the request looked.
	if now := v.lookup(ctx); now.head != nil && v.demands.Decide(now.head, v.n.now(), v.trusted()) == httpcache.Serve {
		f.head, f.held, f.shared, f.status = now.head, true, true, now.head.Status
		return
	}
	sent := v.n.now()
	resp, depth, err := v.ask(ctx, p.ask(f))
	if err == nil && resp.StatusCode == http.StatusNotModified && p.held.head != nil && !p.held.head.ConfirmedBy(resp.Header) {
		resp.Body.Close() // it speaks of a body that is not held
		v.n.dropHead(ctx, p.held.name)
		v.n.reasons.lost(p.held.name, overwritten, v.n.now())
		p.held, sent = lookedUp(p.held), v.n.now()
		resp, depth, err = v.ask(ctx, p.ask(f))
	}
	f.depth = depth
	v.n.countFill("pull", err)
	if err != nil {
		f.err = fmt.Errorf("pull %s/%s: %w: %w", v.object.Bucket, v.object.Key, fetch.ErrUnavailable, err)
		return
	}
	received := v.n.now()
	f.status, f.own = resp.StatusCode, ownFields(resp, p.held.head)
	switch {
	case resp.StatusCode == http.StatusNotModified && p.held.head != nil:
		resp.Body.Close()
		f.head, f.revalidated = v.freshened(p.held.head, resp.Header, sent, received), true
		f.shared = usable(f.head, received)
		switch {
		case f.head.Storable:
			f.stored = v.keep(ctx, f.mark, f.head, f.request)
		case !v.demands.NoStore: // what is held may not be kept any more
			v.n.dropHead(ctx, p.held.name)
			v.n.reasons.lost(p.held.name, bypassed, received)
		}
		return
	case p.orStale && httpcache.IsFailure(resp.StatusCode):
		resp.Body.Close()
		f.err = fmt.Errorf("pull %s/%s: %w: status %d", v.object.Bucket, v.object.Key, fetch.ErrUnavailable, resp.StatusCode)
		return
	case resp.StatusCode == http.StatusPartialContent && p.index >= 0:
		p.acceptSlice(ctx, f, resp, sent, received)
		return
	}
	f.head = v.zoneHead(resp.Header, resp.StatusCode, resp.ContentLength, sent, received)
	if !f.head.Storable && p.held.head != nil && p.held.head.TTL(received) <= 0 {
		v.n.dropHead(ctx, p.held.name) // replaced by what cannot be kept
		v.n.reasons.lost(p.held.name, bypassed, received)
	}
	r, ok := p.admit(ctx, f.head)
	if !ok {
		f.body = resp.Body
		return
	}
	defer v.n.flights.linger(f.stream, r)
	defer resp.Body.Close()
	f.shared = usable(f.head, received)
	if !sliceable(f.head) {
		f.stream.Hold(v.holding(f.head))
	}
	if sliceable(f.head) && f.head.Size > httpcache.MaxInline {
		f.stored = v.keep(ctx, f.mark, f.head, f.request)
	} else {
		f.stored = true // it will be, if all of it comes
	}
	ready()
	p.bring(ctx, f, resp.Body, r.yield)
}

// bring reads the body into the stream, and into the cache.
func (p *plan) bring(ctx context.Context, f *flight, body io.Reader, yield pull.Yield) {
	v := p.visit
	var small []byte
	keepable := true
	n, err := f.stream.Fill(ctx, body, f.head.Size, yield, func(index int64, b []byte) {
		switch {
		case index == 0 && len(b) <= httpcache.MaxInline:
			small = b
		case index*cache.SliceSize >= maxWhole && !sliceable(f.head):
			keepable = false
		default:
			v.n.put(ctx, cache.Key{Class: cache.Slice, Name: sliceName(v.object, f.head.VersionID, index)}, b)
		}
	})
	if err != nil || !keepable || sliceable(f.head) && f.head.Size > httpcache.MaxInline {
		return
	}
	head := *f.head
	if head.Size = n; n <= httpcache.MaxInline {
		head.Body, head.Inline = append([]byte(nil), small...), true
	}
	v.keep(ctx, f.mark, &head, f.request)
}
