package edge

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"meridian/edge/balance"
	"meridian/edge/cache"
	"meridian/edge/purge"
	"meridian/metadata"
)

const (
	// maxWarms is how many warm-ups wait at a node; more are refused.
	maxWarms = 64
	// warmFetches is how many objects of one are fetched at a time.
	warmFetches = 4
	// warmTells is how often a node tells how far it is.
	warmTells = time.Second
	// warmShare is the part of a cache, one in so many bytes, that one warm-up may
	// fill: what comes first must not go for what comes last.
	warmShare = 2
)

var errNoRoom = errors.New("it does not fit: the cache is too small for so much at a time")

// warmQueue holds the warm-ups that a node has been asked for.
type warmQueue chan metadata.WarmData

// applyWarm takes a warm-up from the feed, which is not held up by it.
func (n *Node) applyWarm(ctx context.Context, e metadata.Event) {
	var w metadata.WarmData
	if err := json.Unmarshal(e.Data, &w); err != nil {
		n.log.ErrorContext(ctx, "warm-up that cannot be read", "seq", e.Seq, "err", err)
		return
	}
	if !w.Concerns(n.cfg.Tier, n.cfg.Region) {
		return
	}
	select {
	case n.warms <- w:
	default:
		p := warmProgress{n: n, WarmProgress: metadata.WarmProgress{ID: w.ID, Objects: len(w.Objects)}}
		for _, o := range w.Objects {
			p.failed(o, errors.New("too many warm-ups are waiting: ask again later"))
		}
		p.tell(true)
	}
}

// runWarms does one warm-up after the other until ctx ends.
func (n *Node) runWarms(ctx context.Context) error {
	for {
		select {
		case w := <-n.warms:
			n.warm(ctx, &w)
		case <-ctx.Done():
			return nil
		}
	}
}

// warm fetches what this node is to hold.
func (n *Node) warm(ctx context.Context, w *metadata.WarmData) {
	objects := n.ownShare(w.Objects)
	p := &warmProgress{n: n, room: n.cfg.Cache.Stats().Capacity / warmShare}
	p.ID, p.Objects = w.ID, len(objects)
	p.tell(false)
	telling, stop := context.WithCancel(ctx)
	var teller sync.WaitGroup
	teller.Go(func() { p.run(telling) })
	var fetches errgroup.Group
	fetches.SetLimit(warmFetches)
	for _, o := range objects {
		if ctx.Err() != nil {
			break
		}
		fetches.Go(func() error {
			bytes, err := n.warmObject(ctx, purge.Object{Bucket: o.Bucket, Key: o.Key}, p)
			p.fetched(o, bytes, err)
			return nil
		})
	}
	_ = fetches.Wait() // failures are told one by one
	stop()
	teller.Wait()
	p.tell(ctx.Err() == nil)
}

// ownShare are the objects that this node is asked for: all at an edge; at a
// regional cache those for which edges that choose by consistent hashing, as is
// the default, come to it.
func (n *Node) ownShare(objects []metadata.WarmObject) (own []metadata.WarmObject) {
	v := n.view.Load()
	if n.cfg.Tier == metadata.TierEdge || v == nil {
		return objects
	}
	nodes := []balance.Node{{ID: n.cfg.ID}}
	for _, node := range v.nodes {
		if node.Tier == metadata.TierRegional && node.Region == n.cfg.Region && node.ID != n.cfg.ID && node.State != metadata.NodeDraining {
			nodes = append(nodes, balance.Node{ID: node.ID})
		}
	}
	pool := balance.NewPool(balance.ConsistentHash{}, n.cfg.Now)
	pool.Set(nodes)
	for _, o := range objects {
		if owner, ok := pool.Owner(cache.Key{Class: cache.Head, Name: o.Bucket + "/" + o.Key}); ok && owner.ID == n.cfg.ID {
			own = append(own, o)
		}
	}
	return own
}

// warmObject fetches what of an object is not held. bytes is how much that was.
func (n *Node) warmObject(ctx context.Context, o purge.Object, p *warmProgress) (bytes int64, err error) {
	h, bytes, err := n.fetchAhead(ctx, o, warmed)
	if err != nil {
		return 0, err
	}
	if !h.Storable {
		return bytes, errors.New("it may not be kept")
	}
	if h.Inline || h.Size == 0 {
		return bytes, nil
	}
	if !p.reserve(h.Size) {
		return bytes, errNoRoom
	}
	for i := range slicesOf(h) {
		if n.holds(cache.Key{Class: cache.Slice, Name: sliceName(o, h.VersionID, i)}) {
			continue
		}
		piece, err := n.fetchSlice(ctx, o, h, i, manner{ahead: warmed})
		if err != nil {
			return bytes, fmt.Errorf("after %d of %d bytes: %w", i*cache.SliceSize, h.Size, err)
		}
		if !piece.held {
			bytes += int64(len(piece.bytes))
		}
	}
	return bytes, nil
}

// warmProgress is how far a warm-up is at a node.
type warmProgress struct {
	n *Node

	mu sync.Mutex
	metadata.WarmProgress
	room int64 // bytes that it may still fill
}

// reserve reports whether n bytes more may be filled.
func (p *warmProgress) reserve(n int64) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if n > p.room {
		return false
	}
	p.room -= n
	return true
}

func (p *warmProgress) fetched(o metadata.WarmObject, bytes int64, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.Bytes += bytes
	p.n.metrics.warmed.Add(float64(bytes))
	switch {
	case err != nil:
		p.failedLocked(o, err)
	case bytes == 0:
		p.Held++
	default:
		p.Fetched++
	}
}

func (p *warmProgress) failed(o metadata.WarmObject, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.failedLocked(o, err)
}

func (p *warmProgress) failedLocked(o metadata.WarmObject, err error) {
	p.Failed++
	if len(p.Failures) < metadata.MaxWarmFailures {
		p.Failures = append(p.Failures, metadata.WarmFailure{WarmObject: o, Error: err.Error()})
	}
}

// run tells now and then until ctx ends.
func (p *warmProgress) run(ctx context.Context) {
	tick := time.NewTicker(warmTells)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			p.tell(false)
		case <-ctx.Done():
			return
		}
	}
}

// tell has the metadata role told, at once where it is done.
func (p *warmProgress) tell(done bool) {
	p.mu.Lock()
	told := p.WarmProgress
	told.Failures = append([]metadata.WarmFailure(nil), p.Failures...)
	p.mu.Unlock()
	told.Done, told.At = done, p.n.now().UTC()
	p.n.tally.Warmed(told)
	if done {
		soon(p.n.kick) // whoever asked is waiting
	}
}
