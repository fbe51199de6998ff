// Package edge is one cache node: it answers reads of objects from what it
// holds, asks the next tier for what it does not, and forgets by itself what was
// overwritten or purged. An edge and a regional cache are the same Node,
// configured differently: whom they ask, and how long they trust what they hold.
//
// A node holds heads (what a URL is now) and slices (immutable pieces of a
// version). Only heads can be out of date. A head may be served without asking
// upstream while it is fresh and while the node holds a lease, which says that
// it has heard of all changes; see lease.
package edge

import (
	"cmp"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sync/semaphore"

	"meridian/edge/balance"
	"meridian/edge/cache"
	"meridian/edge/fetch"
	"meridian/edge/limit"
	"meridian/edge/purge"
	"meridian/internal/signedurl"
	"meridian/metadata"
	"meridian/metadata/tally"
)

// Config describes a Node.
type Config struct {
	ID        string // stable over restarts, unique in the cluster
	Boot      string // a ULID of this start
	Tier      string // metadata.TierEdge or metadata.TierRegional
	Region    string
	URL       string // where other nodes reach it
	PublicURL string // where clients do
	Version   string // of the program

	// Control and Follower are the metadata role; one client implements both.
	Control  metadata.Nodes
	Follower metadata.Follower
	// Purges takes what PURGE requests ask for. Nil refuses them.
	Purges PurgeAsker
	// Cache holds heads and slices. The node does not close it.
	Cache cache.Tier
	// Media are what Cache is made of, the fastest first; Cache alone, in
	// memory, where there are none.
	Media []Medium
	// Upstreams are URLs to ask instead of the nodes that snapshots name.
	Upstreams []string
	// Balance chooses among upstreams of the same rank; where nil, consistent
	// hashing at edges and round robin at regional caches.
	Balance balance.Policy
	// Cooperative makes an edge ask the other edges of its region, each for what
	// it owns, before the next tier.
	Cooperative bool
	// Prefetch has the node act on what its region asks for most.
	Prefetch Prefetch
	// PeerTimeouts are those of requests to them; zero ones are short.
	PeerTimeouts fetch.Timeouts
	// ProbeEvery is how often upstreams that fail or are idle are asked for their
	// health; balance.ProbeEvery where zero.
	ProbeEvery time.Duration
	// MaxHeads bounds the heads held; where zero, what fits the cache.
	MaxHeads int
	// Limits bound the requests at once to each upstream and to each origin of a
	// pull zone; zero ones get a default.
	Limits limit.Config
	// Timeouts of requests to the next tier; zero ones get a default by tier.
	Timeouts fetch.Timeouts
	// Dial connects to upstreams; a net.Dialer does where it is nil.
	Dial fetch.DialFunc
	// TLS says whose certificates are believed of upstreams that are https; the
	// system's authorities are where it is nil. Origins of pull zones always are
	// held to those.
	TLS *tls.Config
	// SlowClient is how long a client may take nothing of a body before it is
	// cut; 30 s where zero.
	SlowClient time.Duration

	ClusterSecret string
	Log           *slog.Logger // with what tells the node from others
	Registry      prometheus.Registerer
	Now           func() time.Time // time.Now if nil
}

// Medium is a part of a cache, by name: MediumMemory or MediumDisk.
type Medium struct {
	Name string
	Tier cache.Tier
}

// The media, as metrics name them.
const (
	MediumMemory = "memory"
	MediumDisk   = "disk"
)

// PurgeAsker asks all nodes for a purge, and returns the answer as JSON.
type PurgeAsker interface {
	AskPurge(ctx context.Context, p metadata.Purge) (json.RawMessage, error)
}

func (c *Config) check() error {
	switch {
	case c.Tier != metadata.TierEdge && c.Tier != metadata.TierRegional:
		return fmt.Errorf("edge: tier %q is neither %s nor %s", c.Tier, metadata.TierEdge, metadata.TierRegional)
	case c.ID == "", c.Region == "", c.ClusterSecret == "":
		return errors.New("edge: ID, Region and ClusterSecret are required")
	case c.Control == nil, c.Follower == nil, c.Cache == nil, c.Log == nil, c.Registry == nil:
		return errors.New("edge: Control, Follower, Cache, Log and Registry are required")
	case c.Prefetch.Budget < 0:
		return errors.New("edge: the budget of prefetching is negative")
	case c.Cooperative && c.Tier != metadata.TierEdge:
		return errors.New("edge: only edges cooperate")
	}
	return nil
}

func (c *Config) applyDefaults() {
	if c.Now == nil {
		c.Now = time.Now
	}
	if len(c.Media) == 0 {
		c.Media = []Medium{{MediumMemory, c.Cache}}
	}
	if c.MaxHeads == 0 {
		// A head takes about 2 KiB of the memory cache's quarter for heads at
		// least, index included; names of those evicted since take room, too.
		// However large a disk is, the index is in memory.
		c.MaxHeads = int(min(max(c.Media[0].Tier.Stats().Capacity/2048, 1<<14), 1<<22))
	}
	if c.Balance == nil {
		c.Balance = defaultPolicy(c.Tier)
	}
	c.PeerTimeouts = fetch.Timeouts{
		Dial:   cmp.Or(c.PeerTimeouts.Dial, peerTimeouts.Dial),
		Header: cmp.Or(c.PeerTimeouts.Header, peerTimeouts.Header),
		Idle:   cmp.Or(c.PeerTimeouts.Idle, peerTimeouts.Idle),
		Late:   cmp.Or(c.PeerTimeouts.Late, peerTimeouts.Late),
	}
	c.Prefetch.Budget = cmp.Or(c.Prefetch.Budget, DefaultPrefetchBudget)
	c.Prefetch.Every = cmp.Or(c.Prefetch.Every, 10*time.Second)
	if c.ProbeEvery == 0 {
		c.ProbeEvery = balance.ProbeEvery
	}
	if c.SlowClient == 0 {
		c.SlowClient = 30 * time.Second
	}
	if c.Timeouts.Header == 0 && c.Tier == metadata.TierEdge {
		// A regional cache may be trying its second origin meanwhile.
		c.Timeouts.Header = 12 * time.Second
	}
}

const (
	// fillTimeout bounds a fill with all its attempts.
	fillTimeout = 30 * time.Second
	// sliceTurns is how many slices of a bucket are asked for at a time: enough to
	// keep a gigabit busy over a quarter of a second, and no more than can be read
	// at a time. Whoever asks for hundreds gets the first of them no sooner, and the
	// last of them too late.
	sliceTurns = 32
	// stopTimeout is how long Run waits for running requests before it pushes
	// for the last time.
	stopTimeout = 10 * time.Second
)

// Node is a cache node. It serves HTTP between New and the end of Run.
type Node struct {
	cfg Config
	log *slog.Logger
	now func() time.Time
	// ownTime says that now is not the clock of the machine.
	ownTime bool
	signer  *signedurl.Signer

	view          atomic.Pointer[view] // nil before the first snapshot
	snapshotLock  chan struct{}        // holds one
	snapshotAsked time.Time            // guarded by snapshotLock
	unknownPause  time.Duration        // likewise: see refreshPause

	lease  *lease
	synced atomic.Bool // the lease was held once
	fills  *fills
	index  *purge.Index
	// reasons tells why what is missing is.
	reasons *reasons
	earlier earlier // what was purged of what the index does not know

	upstreams *balance.Pool
	limits    *limit.Set // of requests to them
	fetcher   *fetch.Upstream
	peers     *peers              // nil unless edges cooperate
	pins      *semaphore.Weighted // bytes that bodies being sent keep alive
	reading   *semaphore.Weighted // slices read ahead, beyond one a body
	heads     *fetch.Collapse[*filled]
	slices    *fetch.Collapse[*piece]
	// turns are those of slices at the next tier, by bucket, and peerTurns those of
	// slices that a peer is asked for first: two edges that ask each other must not
	// wait for each other.
	turns, peerTurns *fetch.Turns
	flights          *flights // to the origins of pull zones

	heat   *heat // nil unless the node acts on what is asked for
	ahead  *ahead
	budget *allowance // of fetches ahead
	warms  warmQueue

	tally    *tally.Tally
	pusher   *tally.Pusher
	kick     chan struct{} // asks for a push at once
	cluster  string        // of the push answered last; only the pusher's
	changed  chan struct{} // asks for a snapshot at once
	metrics  *metrics
	gate     gate // of requests
	leaving  atomic.Bool
	says     string        // the state in the push under way; only the pusher's
	told     chan struct{} // closed when a push that says leaving was accepted
	toldOnce sync.Once
	started  time.Time
	run      int64 // tells this run of the node from all before
	closers  []func()
}

var _ http.Handler = (*Node)(nil)

// New returns a Node, which knows nothing until it runs.
func New(cfg Config) (*Node, error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	ownTime := cfg.Now != nil
	cfg.applyDefaults()
	limits := limit.New(cfg.Limits)
	n := &Node{
		cfg:          cfg,
		gate:         gate{idle: make(chan struct{}, 1)},
		log:          cfg.Log,
		now:          cfg.Now,
		ownTime:      ownTime,
		signer:       signedurl.New(cfg.ClusterSecret),
		snapshotLock: make(chan struct{}, 1),
		lease:        newLease(cfg.Now),
		fills:        newFills(),
		index:        purge.NewIndex(cfg.MaxHeads),
		limits:       limits,
		reasons:      newReasons(),
		pins:         semaphore.NewWeighted(pinnedLeast + cfg.Media[0].Tier.Stats().Capacity/pinnedShare),
		reading:      semaphore.NewWeighted(aheadLeast + cfg.Media[0].Tier.Stats().Capacity/aheadShare/cache.SliceSize),
		heads:        fetch.NewCollapse[*filled](fillTimeout),
		slices:       fetch.NewCollapse[*piece](fillTimeout),
		flights:      newFlights(&cfg, limits),
		tally:        tally.New(),
		kick:         make(chan struct{}, 1),
		changed:      make(chan struct{}, 1),
		told:         make(chan struct{}),
		started:      cfg.Now().UTC(),
		run:          rand.Int64(),
	}
	n.turns = fetch.NewTurns(sliceTurns, fillTimeout, func(took time.Duration, err error) { n.metrics.waited("upstream", took, err) })
	n.peerTurns = fetch.NewTurns(sliceTurns, fillTimeout, func(took time.Duration, err error) { n.metrics.waited("peer", took, err) })
	n.ahead, n.budget = newAhead(&cfg, n.tally), newAllowance(cfg.Prefetch.Budget)
	n.warms = make(warmQueue, maxWarms)
	if cfg.Prefetch.On {
		n.heat = newHeat(&cfg)
	}
	if c, ok := cfg.Cache.(cache.Evictor); ok {
		c.OnEvict(func(k cache.Key) { n.reasons.lost(k.Name, evicted, n.now()) })
	}
	n.upstreams = balance.NewPool(cfg.Balance, cfg.Now)
	n.upstreams.Set(staticUpstreams(cfg.Upstreams))
	up := fetch.NewUpstream(fetch.Options{
		Balancer: n.upstreams, Secret: cfg.ClusterSecret, Node: cfg.ID, Timeouts: cfg.Timeouts, Dial: cfg.Dial, TLS: cfg.TLS,
		Limits: limits, Now: cfg.Now,
	})
	n.fetcher, n.closers = up, []func(){up.Close}
	if cfg.Cooperative {
		n.peers = newPeers(&cfg)
		n.closers = append(n.closers, n.peers.up.Close)
	}
	n.pusher = &tally.Pusher{
		Nodes: cfg.Control, Tally: n.tally, Node: n.describe, Accepted: n.accepted, Kick: n.kick, Now: cfg.Now, Log: cfg.Log,
	}
	var err error
	if n.metrics, err = newMetrics(n); err != nil {
		return nil, fmt.Errorf("edge: metrics of %s: %w", cfg.ID, err)
	}
	return n, nil
}

// describe is the node as it registers itself.
func (n *Node) describe() metadata.Node {
	n.says = n.state()
	return metadata.Node{
		ID: n.cfg.ID, Boot: n.cfg.Boot, Tier: n.cfg.Tier, Region: n.cfg.Region,
		URL: n.cfg.URL, PublicURL: n.cfg.PublicURL, Version: n.cfg.Version,
		Started: n.started, Applied: n.lease.seq(), State: n.says,
	}
}

func (n *Node) state() string {
	switch {
	case n.leaving.Load():
		return metadata.NodeDraining
	case n.upstreams.Impaired():
		return metadata.NodeImpaired
	}
	return metadata.NodeServing
}

// leaveTimeout bounds how long Leave waits.
const leaveTimeout = time.Second

// Leave tells the metadata role that nobody new should be sent here, and waits
// until it knows, but not for long. It is called once, before the server in
// front of the node stops taking connections, while Run runs.
func (n *Node) Leave(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, leaveTimeout)
	defer cancel()
	n.leaving.Store(true)
	soon(n.kick)
	select {
	case <-n.told:
	case <-ctx.Done():
	}
}

// accepted is told of every answer to a push.
func (n *Node) accepted(r metadata.PushReply, sent time.Time) {
	if n.says == metadata.NodeDraining {
		n.toldOnce.Do(func() { close(n.told) })
	}
	n.lease.promise(r.Head, sent)
	if r.Cluster != n.cluster {
		n.cluster = r.Cluster
		soon(n.changed)
	}
}

// soon asks the reader of c, which holds one, for what it does, unless that was
// asked already.
func soon(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// Ready returns nil once the node knows the buckets and has caught up with the
// feed, and otherwise what it waits for. It does not become unready when the
// metadata role is away: the node then asks upstream before it serves.
func (n *Node) Ready() error {
	switch {
	case n.view.Load() == nil:
		return errors.New("no snapshot of the catalogue yet")
	case n.synced.Load():
		return nil
	case !n.lease.held():
		return errors.New("the feed has not been caught up with yet")
	}
	n.synced.Store(true)
	return nil
}

// Applied is how far the node has applied the feed.
func (n *Node) Applied() metadata.Seq { return n.lease.seq() }

// Run follows the feed and pushes counters until ctx ends, then waits for
// running requests, ends fills and pushes for the last time. End ctx when the
// server in front of the node has drained: requests that come later are refused.
// It returns an error if another process took the node's ID.
func (n *Node) Run(ctx context.Context) error {
	g, running := errgroup.WithContext(ctx)
	g.Go(func() error { return n.runFeed(running) })
	g.Go(func() error { return n.runSnapshots(running) })
	g.Go(func() error { return n.pusher.Run(running) })
	g.Go(func() error { return n.runWarms(running) })
	if n.heat != nil {
		g.Go(func() error { return n.runPrefetch(running) })
	}
	g.Go(func() error {
		n.upstreams.Probe(running, n.cfg.ProbeEvery, n.fetcher.Probe)
		return nil
	})
	err := g.Wait()

	if !n.gate.shut(stopTimeout) {
		n.log.WarnContext(ctx, "requests still running")
	}
	n.heads.Close()
	n.slices.Close()
	n.flights.close()
	n.gate.shut(time.Second) // those that only waited for a fill are over now
	n.pusher.Last(ctx)
	for _, c := range n.closers {
		c()
	}
	return err
}
