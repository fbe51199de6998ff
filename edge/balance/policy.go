package balance

import (
	"cmp"
	"fmt"
	"iter"
	"slices"
	"sync/atomic"

	"meridian/edge/cache"
)

// ParsePolicy returns the policy of that name.
func ParsePolicy(name string) (Policy, error) {
	switch name {
	case "consistent-hash":
		return ConsistentHash{}, nil
	case "round-robin":
		return RoundRobin{}, nil
	case "least-connections":
		return LeastConnections{}, nil
	}
	return nil, fmt.Errorf("%q is no way to balance: consistent-hash, round-robin or least-connections", name)
}

// RoundRobin asks the nodes in turn, whatever the key.
type RoundRobin struct{}

// LeastConnections asks the node with the fewest attempts under way, whatever
// the key; equals take turns.
type LeastConnections struct{}

var (
	_ Policy = RoundRobin{}
	_ Policy = LeastConnections{}
)

type turns struct {
	nodes int
	next  atomic.Uint64
}

type least struct{ turns }

// Arrange implements Policy.
func (RoundRobin) Arrange(nodes []Node) Order { return &turns{nodes: len(nodes)} }

// Arrange implements Policy.
func (LeastConnections) Arrange(nodes []Node) Order { return &least{turns{nodes: len(nodes)}} }

func (t *turns) Nodes(_ cache.Key, _ func(int) int64) iter.Seq[int] {
	return func(yield func(int) bool) {
		first := t.next.Add(1) - 1
		for i := range t.nodes {
			if !yield(int((first + uint64(i)) % uint64(t.nodes))) {
				return
			}
		}
	}
}

func (l *least) Nodes(k cache.Key, load func(int) int64) iter.Seq[int] {
	return func(yield func(int) bool) {
		type loaded struct {
			node int
			load int64
		}
		order := make([]loaded, 0, l.nodes)
		for i := range l.turns.Nodes(k, load) {
			order = append(order, loaded{i, load(i)}) // read once: it moves
		}
		slices.SortStableFunc(order, func(a, b loaded) int { return cmp.Compare(a.load, b.load) })
		for _, n := range order {
			if !yield(n.node) {
				return
			}
		}
	}
}
