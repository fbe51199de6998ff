package balance

import (
	"cmp"
	"iter"
	"slices"
	"strconv"

	"github.com/cespare/xxhash/v2"

	"meridian/edge/cache"
)

// VirtualNodes is how many points of the ring each node gets where
// ConsistentHash leaves it open: the load of a node then stays within about
// 10 % of the mean.
const VirtualNodes = 160

// ConsistentHash sends a key to the same node as long as that node is there
// and healthy. A node that joins takes keys from the others, and no key moves
// between those.
type ConsistentHash struct {
	VirtualNodes int // per node; VirtualNodes where zero
}

var _ Policy = ConsistentHash{}

type ring struct {
	nodes  int
	points []point // by hash
}

type point struct {
	hash uint64
	node int
}

// Arrange implements Policy.
func (c ConsistentHash) Arrange(nodes []Node) Order {
	per := cmp.Or(c.VirtualNodes, VirtualNodes)
	r := &ring{nodes: len(nodes), points: make([]point, 0, per*len(nodes))}
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
// head and what belongs to it can be asked for under one name.
func (r *ring) Nodes(k cache.Key, _ func(int) int64) iter.Seq[int] {
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
