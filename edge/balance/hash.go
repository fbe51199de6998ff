package balance

import (
	"cmp"
	"iter"
	"math"
	"slices"
	"strconv"

	"github.com/cespare/xxhash/v2"

	"meridian/edge/cache"
)

const (
	// VirtualNodes is how many points of the ring each node gets where
	// ConsistentHash leaves it open: the keys of a node then stay within about
	// 10 % of the mean.
	VirtualNodes = 160
	// Bound is how much of the mean load a node may have where ConsistentHash
	// leaves it open.
	Bound = 1.25
	// Spare attempts under way at a node are never too many where
	// ConsistentHash leaves it open: at so few, that a key stays where it is
	// cached is worth more than that all nodes do the same.
	Spare = 32
)

// ConsistentHash sends a key to the same node as long as that node is there,
// healthy and not overloaded. A node that joins takes keys from the others, and
// no key moves between those.
//
// A node with more than its share of the attempts under way is passed over to
// the next one of the ring until it has caught up (Mirrokni, Thorup and
// Zadimoghaddam, "Consistent Hashing with Bounded Loads").
type ConsistentHash struct {
	VirtualNodes int     // per node; VirtualNodes where zero
	Bound        float64 // share of the mean, above 1; Bound where zero
	Spare        int64   // attempts that every node may have; Spare where zero
}

var _ Policy = ConsistentHash{}

type ring struct {
	nodes  int
	points []point // by hash
	bound  float64
	spare  int64
}

type point struct {
	hash uint64
	node int
}

// Arrange implements Policy.
func (c ConsistentHash) Arrange(nodes []Node) Order {
	per := cmp.Or(c.VirtualNodes, VirtualNodes)
	r := &ring{
		nodes: len(nodes), points: make([]point, 0, per*len(nodes)),
		bound: cmp.Or(c.Bound, Bound), spare: cmp.Or(c.Spare, Spare),
	}
	for i, n := range nodes {
		for v := range per {
			r.points = append(r.points, point{xxhash.Sum64String(n.ID + "#" + strconv.Itoa(v)), i})
		}
	}
	slices.SortFunc(r.points, func(a, b point) int {
		// Equal hashes must not order by the sequence nodes were named in:
		// all edges have to agree.
		return cmp.Or(cmp.Compare(a.hash, b.hash), cmp.Compare(nodes[a.node].ID, nodes[b.node].ID))
	})
	return r
}

// Nodes walks the ring from the key's place. The class is left out, so that a
// head and what belongs to it can be asked for under one name. Nodes that have
// all they may come after the others.
func (r *ring) Nodes(k cache.Key, load func(int) int64) iter.Seq[int] {
	return func(yield func(int) bool) {
		limit := r.limit(load)
		var over []int
		for node := range r.walk(k) {
			if load(node) >= limit {
				over = append(over, node)
			} else if !yield(node) {
				return
			}
		}
		for _, node := range over {
			if !yield(node) {
				return
			}
		}
	}
}

// walk yields the nodes in the order of the ring, whatever their load.
func (r *ring) walk(k cache.Key) iter.Seq[int] {
	return func(yield func(int) bool) {
		hash := xxhash.Sum64String(k.Name)
		at, _ := slices.BinarySearchFunc(r.points, hash, func(p point, h uint64) int { return cmp.Compare(p.hash, h) })
		seen := make([]bool, r.nodes)
		left := r.nodes
		for i := 0; left > 0; i++ {
			p := r.points[(at+i)%len(r.points)]
			if seen[p.node] {
				continue
			}
			seen[p.node] = true
			left--
			if !yield(p.node) {
				return
			}
		}
	}
}

// limit is how many attempts under way are too many for one more: with that
// one, no node has more than bound times the mean of those that are up, rounded
// up.
func (r *ring) limit(load func(int) int64) int64 {
	var sum, up int64
	for i := range r.nodes {
		if l := load(i); l >= 0 {
			sum, up = sum+l, up+1
		}
	}
	if up == 0 {
		return math.MaxInt64
	}
	return max(r.spare, int64(math.Ceil(r.bound*float64(sum+1)/float64(up))))
}
