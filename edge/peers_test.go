package edge_test

import (
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"meridian/edge"
	"meridian/edge/fetch"
	"meridian/internal/faultlink"
	"meridian/internal/hop"
	"meridian/metadata"
)

// cooperating runs edges that know of each other, in front of the upstream. They
// are patient with each other, unless change says otherwise: the machine that
// tests run on may be slow.
func (w *world) cooperating(count int, change func(i int, c *edge.Config), upstream string) []*node {
	w.t.Helper()
	edges := make([]*node, count)
	for i := range edges {
		edges[i] = w.start(metadata.TierEdge, fmt.Sprintf("edge-europe-%d", i+1), func(c *edge.Config) {
			c.Cooperative = true
			c.PeerTimeouts = fetch.Timeouts{Dial: time.Minute, Header: time.Minute, Idle: time.Minute, Late: time.Minute}
			if change != nil {
				change(i, c)
			}
		}, upstream)
	}
	// A peer counts as known once it is asked: of many objects each owns some.
	for _, e := range edges {
		asked := 0
		w.control.eventually(w.t, e.id+" knows its peers", func() bool {
			e.get(fmt.Sprintf("/media/not-there-%s-%d", e.id, asked))
			asked++
			peers := map[string]bool{}
			for labels := range e.counts("meridian_cache_peer_fetches_total") {
				peer, _, _ := strings.Cut(labels, " ")
				peers[peer] = true
			}
			return len(peers) == count-1
		})
	}
	w.origin.set(func() { w.origin.requests = nil })
	return edges
}

// counts reads a counter of the node by the values of its labels, in the order of
// their names, region and tier apart.
func (n *node) counts(name string) map[string]int {
	n.w.t.Helper()
	families, err := n.reg.Gather()
	if err != nil {
		n.w.t.Fatal(err)
	}
	out := map[string]int{}
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
		for _, m := range f.GetMetric() {
			var labels []string
			for _, l := range m.GetLabel() {
				if l.GetName() != "region" && l.GetName() != "tier" {
					labels = append(labels, l.GetValue())
				}
			}
			out[strings.Join(labels, " ")] += int(m.GetCounter().GetValue())
		}
	}
	return out
}

// fetched is how often the origin was asked for bytes. A machine so slow that the
// lease runs out makes nodes ask besides whether a head still holds.
func (o *origin) fetched() (n int) {
	for line := range strings.SplitSeq(o.log(), "\n") {
		if len(strings.Fields(line)) == 3 {
			n++
		}
	}
	return n
}

// peerCount adds up the answers of all peers with that result.
func (n *node) peerCount(result string) (sum int) {
	for labels, count := range n.counts("meridian_cache_peer_fetches_total") {
		if strings.HasSuffix(labels, " "+result) {
			sum += count
		}
	}
	return sum
}

// The edges of a region ask the next tier once for each slice between them, and
// say who had it.
func TestEdgesShareSlices(t *testing.T) {
	t.Parallel()
	w := newWorld(t, metadata.PublicRead)
	edges := w.cooperating(3, nil, w.origin.url)
	const slicesOf = 6
	body := random(slicesOf*mib-1000, 1)
	w.origin.put("media/film", body)
	for i, e := range edges {
		a := e.get("/media/film")
		wantBody(t, e.id, a, 200, "miss", body)
		if status := a.header.Get("Cache-Status"); i > 0 && strings.Count(status, "meridian-edge-europe") == 2 && !strings.Contains(status, "detail=peer") {
			t.Errorf("%s does not show the hop: %s", e.id, status)
		}
		wantBody(t, e.id+" again", e.get("/media/film"), 200, "hit", body)
	}
	if n := w.origin.fetched(); n != slicesOf {
		t.Errorf("the origin was asked %d times for %d slices:\n%s", n, slicesOf, w.origin.log())
	}
	hits, answered := 0, 0
	for _, e := range edges {
		hits += e.peerCount("hit")
		for _, n := range e.counts("meridian_cache_peer_requests_total") {
			answered += n
		}
		if n := e.peerCount("error"); n != 0 {
			t.Errorf("%s: %d errors of peers", e.id, n)
		}
	}
	if hits == 0 || answered < hits {
		t.Errorf("%d hits at peers, %d answered", hits, answered)
	}
	// Clients' requests are counted once, where they came in.
	for _, e := range edges {
		e.stop()
		sum, _ := w.control.total(e.id)
		asked := 0
		for _, n := range e.counts("meridian_cache_requests_total") {
			asked += n
		}
		if int(sum.Requests) != asked || sum.AnsweredRegional != 0 || sum.AnsweredOrigin > sum.Misses {
			t.Errorf("%s counted %+v; %d requests", e.id, sum, asked)
		}
	}
}

// A request from a peer goes to the next tier, whoever the edge thinks owns what
// is asked for.
func TestPeersDoNotGoInCircles(t *testing.T) {
	t.Parallel()
	w := newWorld(t, metadata.PublicRead)
	edges := w.cooperating(2, nil, w.origin.url)
	var before []string
	for _, e := range edges {
		before = append(before, fmt.Sprint(e.counts("meridian_cache_peer_fetches_total")))
	}
	const objects = 8
	for i := range objects {
		body := random(2*mib, uint64(i))
		w.origin.put(strings.TrimPrefix(name(i), "/"), body)
		for _, e := range edges {
			wantBody(t, name(i), e.request(http.MethodGet, name(i), asNode(hop.RequestPeer, "1")), 200, "miss", body)
		}
	}
	for i, e := range edges {
		if after := fmt.Sprint(e.counts("meridian_cache_peer_fetches_total")); after != before[i] {
			t.Errorf("%s asked a peer for a peer: %s, before %s", e.id, after, before[i])
		}
	}
	if n := w.origin.fetched(); n != 2*2*objects {
		t.Errorf("the origin was asked %d times", n)
	}
}

// An edge that waits for a peer does not make that peer wait for it: edges that
// disagree on who owns something would otherwise wait for each other.
func TestPeersDoNotWaitForEachOther(t *testing.T) {
	t.Parallel()
	w := newWorld(t, metadata.PublicRead)
	edges := w.cooperating(2, nil, w.origin.url)
	gate := make(chan struct{})
	askedBy := map[string]int{}
	w.origin.set(func() {
		w.origin.hold = func(r *http.Request, _ *object) {
			w.origin.set(func() { askedBy[r.Header.Get(hop.RequestNode)]++ })
			<-gate
		}
	})
	asked := func(e *node) (n int) {
		w.origin.set(func() { n = askedBy[e.id] })
		return n
	}
	var wg sync.WaitGroup
	get := func(e *node, i int, change func(*http.Request)) {
		wg.Go(func() {
			if a, err := e.do(t.Context(), http.MethodGet, name(i), change); err != nil || a.status != 200 || string(a.body) != name(i) {
				t.Errorf("%s: %v, %d", e.id, err, a.status)
			}
		})
	}
	const objects = 8
	for i := range objects {
		w.origin.put(strings.TrimPrefix(name(i), "/"), []byte(name(i)))
		get(edges[0], i, nil)
	}
	w.control.eventually(t, "the origin is asked", func() bool { return asked(edges[0])+asked(edges[1]) == objects })
	if asked(edges[1]) == 0 {
		t.Fatal("the peer owns none of them")
	}
	for i := range objects {
		get(edges[0], i, asNode(hop.RequestPeer, "1"))
	}
	w.control.eventually(t, "the edge asks the origin for the peer while its clients wait for the peer", func() bool {
		return asked(edges[0]) == objects
	})
	close(gate)
	wg.Wait()
}

// The header means nothing from those who are not nodes.
func TestClientsAreNoPeers(t *testing.T) {
	t.Parallel()
	w := newWorld(t, metadata.PublicRead)
	edges := w.cooperating(2, nil, w.origin.url)
	w.origin.put("media/a", []byte("a"))
	for _, e := range edges {
		before := e.counts("meridian_cache_peer_requests_total")
		a := e.get("/media/a", hop.RequestPeer, "1")
		wantBody(t, e.id, a, 200, "", []byte("a"))
		if strings.HasSuffix(a.header.Get("Cache-Status"), "detail=peer") {
			t.Errorf("%s took a client for a peer: %s", e.id, a.header.Get("Cache-Status"))
		}
		if after := e.counts("meridian_cache_peer_requests_total"); e == edges[0] && fmt.Sprint(before) != fmt.Sprint(after) {
			t.Errorf("%s counted a client as a peer: %v", e.id, after)
		}
	}
}

// An overwrite that one edge has heard of and its peer has not is not undone by
// what the peer holds.
func TestPeerThatLagsServesNothingOld(t *testing.T) {
	t.Parallel()
	w := newWorld(t, metadata.PublicRead)
	slow := &laggingFollower{Follower: w.control, release: make(chan struct{})}
	defer close(slow.release)
	edges := w.cooperating(2, func(i int, c *edge.Config) {
		if i == 1 {
			c.Follower = slow
		}
	}, w.origin.url)
	const objects = 12
	for i := range objects {
		w.origin.put(strings.TrimPrefix(name(i), "/"), []byte("old"))
		edges[1].get(name(i)) // the lagging one holds them
	}
	asked := edges[0].peerCount("hit") + edges[0].peerCount("miss")
	slow.stop()
	for i := range objects {
		w.origin.put(strings.TrimPrefix(name(i), "/"), []byte("new"))
		w.written(strings.TrimPrefix(name(i), "/"), edges[0])
	}
	for i := range objects {
		wantBody(t, name(i), edges[0].get(name(i)), 200, "", []byte("new"))
	}
	if edges[0].peerCount("hit")+edges[0].peerCount("miss") == asked {
		t.Error("the peer was not asked for any")
	}
}

// A peer that is gone, or takes requests and never answers, costs one short
// timeout, and then nothing.
func TestPeerThatIsGone(t *testing.T) {
	t.Parallel()
	for what, fault := range map[string]faultlink.Fault{"refuses": {Refuse: true}, "is silent": {Dead: true}} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, metadata.PublicRead)
			links := faultlink.New((&net.Dialer{}).DialContext)
			edges := w.cooperating(2, func(_ int, c *edge.Config) { c.Dial, c.PeerTimeouts = links.Dial, fetch.Timeouts{} }, w.origin.url)
			peer, err := url.Parse(edges[1].url)
			if err != nil {
				t.Fatal(err)
			}
			links.Set(peer.Host, fault)
			began := time.Now()
			for i := range 40 {
				body := []byte(fmt.Sprint("body of ", i))
				w.origin.put(strings.TrimPrefix(name(i), "/"), body)
				wantBody(t, name(i), edges[0].get(name(i)), 200, "miss", body)
			}
			// Trials of the breaker are failures too: two in a second and a half.
			if n := edges[0].peerCount("error"); n == 0 || n > 2+int(time.Since(began)/(500*time.Millisecond)) {
				t.Errorf("%d errors of the peer in %s", n, time.Since(began))
			}
			links.Set(peer.Host, faultlink.Fault{})
			before := edges[0].peerCount("miss")
			i := 40
			w.control.eventually(t, "the peer is asked again", func() bool {
				edges[0].get(name(i))
				i++
				return edges[0].peerCount("miss") > before
			})
		})
	}
}

// An edge that is about to stop owns nothing any more.
func TestPeerThatDrains(t *testing.T) {
	t.Parallel()
	w := newWorld(t, metadata.PublicRead)
	edges := w.cooperating(2, nil, w.origin.url)
	w.control.change(func() {
		i := slices.IndexFunc(w.control.nodes, func(n metadata.Node) bool { return n.ID == edges[1].id })
		w.control.nodes[i].State = metadata.NodeDraining
	})
	w.control.putBucket(media(metadata.PublicRead)) // a snapshot is fetched
	i := 0
	w.control.eventually(t, "the peer is not asked any more", func() bool {
		before := edges[0].peerCount("miss")
		for range 12 {
			edges[0].get(fmt.Sprintf("/media/none-%d", i))
			i++
		}
		return edges[0].peerCount("miss") == before
	})
}
