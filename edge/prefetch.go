package edge

import (
	"cmp"
	"context"
	"net/http"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"meridian/edge/balance"
	"meridian/edge/cache"
	"meridian/edge/fetch"
	"meridian/edge/httpcache"
	"meridian/edge/purge"
	"meridian/internal/hop"
	"meridian/metadata"
)

// Prefetch describes how nodes act on what their region asks for most.
type Prefetch struct {
	// On has an edge fetch it ahead of requests, and a regional cache tell which
	// it is and hold on to it.
	On bool
	// Budget is how many bytes an edge fetches ahead in a minute, which it may do
	// at once; DefaultPrefetchBudget where zero.
	Budget int64
	// Every is the time between two looks; 10 s where zero.
	Every time.Duration
}

// DefaultPrefetchBudget is what Prefetch.Budget is where it is zero.
const DefaultPrefetchBudget = 256 << 20

const (
	// pushedPart is the part of all names of a region that its edges are to hold,
	// keptPart that which its regional caches hold on to.
	pushedPart, keptPart = 0.01, 0.20
	// pushedLeast is how often what is fetched ahead must have been asked for
	// lately, keptLeast likewise.
	pushedLeast, keptLeast = 3, 2
	// maxPushed is how many heads, and how many slices, one node tells at a time.
	maxPushed = 4000
	// aheadFetches is how many fetches ahead run at a time.
	aheadFetches = 4
	// unreadShare is the part of a cache in memory, one in so many bytes, that may
	// hold what nobody has asked for yet.
	unreadShare = 8
	// exchangeTimeout is how long a regional cache has to tell what is asked for.
	exchangeTimeout = 3 * time.Second
	// maxExchange bounds what nodes tell each other of that, in bytes: keys may
	// have a kilobyte.
	maxExchange = 16 << 20
)

// runPrefetch acts on what is asked for until ctx ends.
func (n *Node) runPrefetch(ctx context.Context) error {
	every, act := n.cfg.Prefetch.Every, n.keepPopular
	if n.cfg.Tier == metadata.TierEdge {
		act = n.fetchPopular
	}
	last, wait := n.now(), time.Duration(0)
	for {
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return nil
		}
		if wait = every; n.Ready() != nil {
			wait = min(every, 100*time.Millisecond) // a node that is cold is in a hurry
			continue
		}
		now := n.now()
		act(ctx, max(now.Sub(last), time.Millisecond))
		last = now
	}
}

// keepPopular has the cache of a regional node hold on to what is asked for most,
// also where edges answer it: when one of them is new, or has let it go, it is
// here.
func (n *Node) keepPopular(context.Context, time.Duration) {
	c, ok := n.cfg.Cache.(cache.Advised)
	if !ok {
		return
	}
	kept := 0
	for _, class := range []cache.Class{cache.Head, cache.Slice} {
		for _, it := range n.heat.of(class).Top(keptPart, keptLeast) {
			if c.Keep(cache.Key{Class: class, Name: it.Name}) {
				kept++
			}
		}
	}
	n.metrics.kept.Set(float64(kept))
}

// fetchPopular tells the regional caches what this edge answered in the time since
// the last call, and fetches of what they name what it does not hold.
func (n *Node) fetchPopular(ctx context.Context, since time.Duration) {
	n.ahead.sweep(n.holds)
	hot := n.exchangeHeat(ctx, n.heat.take(since))
	n.budget.earn(since)
	fill, ctx := errgroup.WithContext(ctx)
	fill.SetLimit(aheadFetches)
	most := n.cfg.Media[0].Tier.Stats().Capacity / unreadShare
	for _, t := range hot {
		k := t.cacheKey()
		if n.holds(k) || n.ahead.spurned(k) {
			continue
		}
		if !n.budget.has() || n.ahead.waiting() > most || ctx.Err() != nil || !n.lease.held() {
			break
		}
		fill.Go(func() error {
			n.fetchThing(ctx, &t)
			return nil
		})
	}
	_ = fill.Wait() // what fails is asked for when somebody wants it
}

// holds reports whether the cache has k. One that cannot be looked into is asked.
func (n *Node) holds(k cache.Key) bool {
	if c, ok := n.cfg.Cache.(cache.Holder); ok {
		return c.Holds(k)
	}
	_, err := n.cfg.Cache.Get(context.Background(), k)
	return err == nil
}

// fetchThing fetches what is asked for most.
func (n *Node) fetchThing(ctx context.Context, t *hotThing) {
	h, _, err := n.fetchAhead(ctx, t.object(), prefetched)
	k := t.cacheKey()
	if err == nil && t.Version != "" && (h.VersionID != t.Version || t.Slice >= slicesOf(h)) {
		return // overwritten since; what is asked for of the new version shows
	}
	if err == nil && t.Version != "" && n.cachedSlice(ctx, t.object(), h, t.Slice) == nil {
		_, err = n.fetchSlice(ctx, t.object(), h, t.Slice, manner{ahead: prefetched})
	}
	if ctx.Err() != nil {
		return
	}
	if err != nil {
		n.log.DebugContext(ctx, "fetch ahead", "bucket", t.Bucket, "key", t.Key, "err", err)
	}
	if !n.holds(k) {
		n.ahead.spurn(k) // it may not be kept, or there was nothing worse to go for it
	}
}

// slicesOf is how many slices a body has.
func slicesOf(h *httpcache.Head) int64 { return (h.Size + cache.SliceSize - 1) / cache.SliceSize }

// fetchAhead returns the head of an object, which it asks for, with the first
// slice of the body, where it is not held. bytes is how much of the body came.
func (n *Node) fetchAhead(ctx context.Context, o purge.Object, why earliness) (h *httpcache.Head, bytes int64, err error) {
	name := headName(o, "")
	if h := n.peek(ctx, name); h != nil && h.Status == http.StatusOK && httpcache.Decide(h, n.now(), n.lease.held()) == httpcache.Serve {
		return h, 0, nil
	}
	b, err := n.bucket(ctx, o.Bucket)
	if err != nil {
		return nil, 0, err
	}
	if !b.Pull.IsZero() {
		return nil, 0, errInvalid("The bucket is a pull zone: what it answers depends on what clients send.")
	}
	j := &job{n: n, object: o, name: name, again: true, rules: rulesOf(b.Cache, n.cfg.Tier), ahead: why}
	j.via = n.viaPeer(false, j.owner())
	got, _, err := n.heads.Do(ctx, j.key(), fetch.Terms{AsOf: n.lease.seq()}, j.run)
	if err != nil {
		return nil, 0, err
	}
	if got.head.Status != http.StatusOK {
		return nil, 0, &apiError{status: got.head.Status, code: got.head.Code, message: "The specified key does not exist."}
	}
	return got.head, int64(len(got.body)), nil
}

// exchangeHeat tells each regional cache of the region what was answered here of
// what it holds, and returns what they say is asked for most, the most first.
func (n *Node) exchangeHeat(ctx context.Context, taken map[cache.Key]float64) []hotThing {
	nodes := n.regionals()
	told := map[string][]hotThing{}
	for k, count := range taken {
		t, ok := hotThingOf(k, count)
		if !ok {
			continue
		}
		// Under the name by which the fetcher finds the node to ask.
		if owner, ok := n.upstreams.Owner(cache.Key{Class: cache.Head, Name: t.Bucket + "/" + t.Key}); ok {
			told[owner.ID] = append(told[owner.ID], t)
		}
	}
	ctx, cancel := context.WithTimeout(ctx, exchangeTimeout)
	defer cancel()
	answers := make([]popularity, len(nodes))
	var asked errgroup.Group
	for i, node := range nodes {
		asked.Go(func() error {
			tell := popularity{Things: hottest(told[node.ID], maxTold)}
			err := n.fetcher.Post(ctx, node, hop.PopularPath, tell, &answers[i], maxExchange)
			if err != nil {
				answers[i] = popularity{}
				n.log.DebugContext(ctx, "what is asked for most", "err", err)
			}
			return nil
		})
	}
	_ = asked.Wait() // those that answered suffice
	var hot []hotThing
	for _, a := range answers {
		hot = append(hot, a.Things...)
	}
	return hottest(hot, len(hot))
}

// popularity is what nodes tell each other of what is asked for.
type popularity struct {
	Things []hotThing `json:"things"`
}

// hottest orders things, the most asked for first, and returns the first of them.
func hottest(list []hotThing, most int) []hotThing {
	slices.SortFunc(list, func(a, b hotThing) int { return cmp.Compare(b.Count, a.Count) })
	return list[:min(len(list), most)]
}

// regionals are the caches that an edge asks first.
func (n *Node) regionals() []balance.Node {
	if len(n.cfg.Upstreams) > 0 {
		return staticUpstreams(n.cfg.Upstreams)
	}
	v := n.view.Load()
	if v == nil {
		return nil
	}
	var nodes []balance.Node
	for _, node := range v.nodes {
		if node.Tier == metadata.TierRegional && node.Region == n.cfg.Region && node.URL != "" {
			nodes = append(nodes, balance.Node{ID: node.ID, URL: node.URL})
		}
	}
	return nodes
}
