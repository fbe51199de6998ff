package edge

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"meridian/edge/balance"
	"meridian/edge/cache"
	"meridian/edge/fetch"
	"meridian/edge/httpcache"
	"meridian/edge/purge"
	"meridian/metadata"
)

// The peers of an edge are the other edges of its region. Where they cooperate,
// each slice is owned by one of them, which the others ask before the next tier,
// so that the edges of a region hold more together than each of them alone.
//
// A peer is asked as a regional node is: with the Seq that the sender has
// applied, which the answer must include. It answers from its cache or from the
// next tier, and asks no peer in its turn. A fill that may ask a peer and one
// that may not are never the same, not even for the same thing at the same time:
// two edges that disagree on who owns it would wait for each other.
type peers struct {
	self string
	pool *balance.Pool // this edge too
	up   *fetch.Upstream
	// asked counts the answers, by peer and result: hit, miss or error.
	asked *prometheus.CounterVec
}

// peerTimeouts are those where Config leaves them open. They are short: the next
// tier has it too.
var peerTimeouts = fetch.Timeouts{Dial: 250 * time.Millisecond, Header: time.Second, Idle: time.Second, Late: 3 * time.Second}

// newPeers returns peers of which none is known yet. One that fails once is
// skipped for a while.
func newPeers(cfg *Config) *peers {
	p := &peers{self: cfg.ID, pool: balance.NewPoolTripping(balance.ConsistentHash{}, cfg.Now, 1)}
	p.up = fetch.NewUpstream(fetch.Options{
		Balancer: p.pool, Secret: cfg.ClusterSecret, Node: cfg.ID, Timeouts: cfg.PeerTimeouts, Dial: cfg.Dial, TLS: cfg.TLS, Now: cfg.Now,
	})
	p.set(nil, cfg.Region)
	return p
}

// set takes the edges of the region from a snapshot.
func (p *peers) set(all []metadata.Node, region string) {
	nodes := []balance.Node{{ID: p.self}}
	for _, n := range all {
		if n.Tier == metadata.TierEdge && n.Region == region && n.ID != p.self && n.URL != "" && n.State != metadata.NodeDraining {
			nodes = append(nodes, balance.Node{ID: n.ID, URL: n.URL})
		}
	}
	p.pool.Set(nodes)
}

// peerKey is the name by which the owner of a slice is found. The first slice is
// where the head is, with which it is asked for.
func peerKey(o purge.Object, version string, index int64) cache.Key {
	name := o.Bucket + "/" + o.Key
	if index > 0 {
		name += "#" + version + "#" + strconv.FormatInt(index, 10)
	}
	return cache.Key{Class: cache.Slice, Name: name}
}

// viaPeer reports whether a fill is to ask a peer: it is another edge's, and the
// request did not come from a peer itself.
func (n *Node) viaPeer(fromPeer bool, k cache.Key) bool {
	if n.peers == nil || fromPeer {
		return false
	}
	owner, ok := n.peers.pool.Owner(k)
	return ok && owner.ID != n.peers.self
}

// fillKey is the key under which a fill can be joined.
func fillKey(name string, via bool) string {
	if via {
		return name + "\x00via"
	}
	return name
}

// fetch asks the next tier or, for a fill by way of a peer, the owner of k first.
func (n *Node) fetch(ctx context.Context, k cache.Key, via bool, r fetch.Request) (*fetch.Response, error) {
	if via {
		if resp, err := n.peers.ask(ctx, k, r); err == nil && resp != nil {
			return resp, nil
		} else if err != nil {
			n.log.DebugContext(ctx, "peer", "err", err)
		}
	}
	return n.fetcher.Fetch(ctx, r)
}

// ask asks the first peer that is up. It returns nothing where that is this edge.
func (p *peers) ask(ctx context.Context, k cache.Key, r fetch.Request) (*fetch.Response, error) {
	nodes := p.pool.Pick(k, 1)
	if len(nodes) == 0 || nodes[0].ID == p.self {
		return nil, nil //nolint:nilnil // no peer, no answer, no error
	}
	r.Peer = true
	resp, err := p.up.FetchFrom(ctx, nodes[0], r)
	if err == nil && resp.Code == "NoSuchBucket" {
		err = fmt.Errorf("%w: peer %s does not know bucket %s yet", fetch.ErrBadAnswer, nodes[0].ID, r.Bucket)
	}
	result := "error"
	switch {
	case err != nil:
	case peerHit(resp.Header):
		result = "hit"
	default:
		result = "miss"
	}
	p.asked.WithLabelValues(nodes[0].ID, result).Inc()
	return resp, err
}

// peerHit reports whether a peer held what it answered: the last member of
// Cache-Status is its own.
func peerHit(h http.Header) bool {
	members, err := httpcache.ParseStatus(h["Cache-Status"])
	return err == nil && len(members) > 0 && members[len(members)-1].Hit
}
