package balance

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"meridian/edge/cache"
)

// Pool is a Balancer over a set of nodes that may change at any time. A node
// keeps its health while it stays in the set.
type Pool struct {
	policy Policy
	now    func() time.Time
	trip   int // failures in a row that take a node out

	mu    sync.Mutex            // serialises Set
	table atomic.Pointer[table] // replaced as a whole
}

var _ Balancer = (*Pool)(nil)

type table struct {
	groups []group // by rank
	byID   map[string]*member
	size   int
}

type group struct {
	members []*member
	order   Order
}

type member struct {
	node     Node
	inflight atomic.Int64
	health   health
}

// NewPool returns an empty pool, which takes a node out after three failures in
// a row.
func NewPool(p Policy, now func() time.Time) *Pool { return NewPoolTripping(p, now, tripAfter) }

// NewPoolTripping returns an empty pool that takes a node out after that many
// failures in a row.
func NewPoolTripping(p Policy, now func() time.Time, failures int) *Pool {
	pool := &Pool{policy: p, now: now, trip: failures}
	pool.table.Store(&table{})
	return pool
}

// Set replaces the nodes. Of two with the same ID the first counts.
func (p *Pool) Set(nodes []Node) {
	p.mu.Lock()
	defer p.mu.Unlock()
	old := p.table.Load()
	nodes = slices.Clone(nodes)
	slices.SortStableFunc(nodes, func(a, b Node) int { return a.Group - b.Group })
	next := &table{byID: make(map[string]*member, len(nodes))}
	var ranks []int
	for _, n := range nodes {
		if next.byID[n.ID] != nil {
			continue
		}
		m := &member{node: n, health: health{trip: p.trip}}
		if was := old.byID[n.ID]; was != nil && was.node == n {
			m = was
		}
		next.byID[n.ID] = m
		next.size++
		if len(ranks) == 0 || ranks[len(ranks)-1] != n.Group {
			ranks = append(ranks, n.Group)
			next.groups = append(next.groups, group{})
		}
		g := &next.groups[len(next.groups)-1]
		g.members = append(g.members, m)
	}
	for i := range next.groups {
		g := &next.groups[i]
		ns := make([]Node, len(g.members))
		for j, m := range g.members {
			ns[j] = m.node
		}
		g.order = p.policy.Arrange(ns)
	}
	p.table.Store(next)
}

// Len is the number of nodes.
func (p *Pool) Len() int { return p.table.Load().size }

// Impaired reports whether all nodes of the first rank have failed lately, so
// that those behind them are asked, if there are any.
func (p *Pool) Impaired() bool {
	t, now := p.table.Load(), p.now()
	if len(t.groups) == 0 {
		return false
	}
	for _, m := range t.groups[0].members {
		if !m.health.failing(now) {
			return false
		}
	}
	return true
}

// Pick implements Balancer.
func (p *Pool) Pick(k cache.Key, n int) []Node {
	up, down := p.pick(k, n)
	return append(up, down[:min(len(down), n-len(up))]...)
}

// PickUp is Pick without the nodes that are down, for who has others to ask: it may
// be empty.
func (p *Pool) PickUp(k cache.Key, n int) []Node {
	up, _ := p.pick(k, n)
	return up
}

func (p *Pool) pick(k cache.Key, n int) (up, down []Node) {
	t, now := p.table.Load(), p.now()
	up = make([]Node, 0, min(n, t.size))
	for _, g := range t.groups {
		load := func(i int) int64 {
			if m := g.members[i]; !m.health.out(now) {
				return m.inflight.Load()
			}
			return -1
		}
		for i := range g.order.Nodes(k, load) {
			if len(up) == n {
				return up, nil
			}
			m := g.members[i]
			// A trial is for who is asked first: of the others it may never come.
			if m.health.closed() || len(up) == 0 && m.health.admit(now) {
				up = append(up, m.node)
			} else {
				down = append(down, m.node)
			}
		}
	}
	return up, down
}

// Owner returns the node that Pick names first for k where all are up and idle.
// Of an empty pool there is none.
func (p *Pool) Owner(k cache.Key) (Node, bool) {
	for _, g := range p.table.Load().groups {
		for i := range g.order.Nodes(k, func(int) int64 { return 0 }) {
			return g.members[i].node, true
		}
	}
	return Node{}, false
}

// Begin implements Balancer.
func (p *Pool) Begin(node Node) {
	if m := p.table.Load().byID[node.ID]; m != nil {
		m.inflight.Add(1)
	}
}

// Report implements Balancer.
func (p *Pool) Report(node Node, _ time.Duration, err error) {
	m := p.table.Load().byID[node.ID]
	if m == nil {
		return // left the set meanwhile
	}
	// A node that left and came back between Begin and Report starts at zero.
	if m.inflight.Add(-1) < 0 {
		m.inflight.Store(0)
	}
	if !errors.Is(err, context.Canceled) {
		m.health.report(p.now(), err == nil)
	}
}
