package edge

import (
	"meridian/edge/balance"
	"meridian/metadata"
)

// defaultPolicy is how a tier chooses among upstreams of the same rank: edges
// agree on who holds what; origins hold everything.
func defaultPolicy(tier string) balance.Policy {
	if tier == metadata.TierEdge {
		return balance.ConsistentHash{}
	}
	return balance.RoundRobin{}
}

// setUpstreams takes the nodes to ask from a snapshot. One that names none
// keeps those there were: they may be alive though nobody heard of them.
func (n *Node) setUpstreams(v *view) {
	if n.peers != nil {
		n.peers.set(v.nodes, n.cfg.Region)
	}
	if len(n.cfg.Upstreams) > 0 {
		return
	}
	var nodes []balance.Node
	for _, node := range v.nodes {
		if group, ok := n.rank(node); ok {
			nodes = append(nodes, balance.Node{ID: node.ID, URL: node.URL, Group: group})
		}
	}
	if len(nodes) > 0 {
		n.upstreams.Set(nodes)
	}
}

// rank says in which order nodes are asked: those of the own region before
// others, and, by an edge, regional caches before origins.
func (n *Node) rank(node metadata.Node) (group int, ok bool) {
	if node.URL == "" || node.ID == n.cfg.ID {
		return 0, false
	}
	if node.Region != n.cfg.Region {
		group = 1
	}
	switch {
	case node.Tier == metadata.TierOrigin && n.cfg.Tier == metadata.TierEdge:
		return group + 2, true
	case node.Tier == metadata.TierOrigin:
		return group, true
	case node.Tier == metadata.TierRegional && n.cfg.Tier == metadata.TierEdge:
		return group, true
	}
	return 0, false
}

func staticUpstreams(urls []string) []balance.Node {
	nodes := make([]balance.Node, len(urls))
	for i, u := range urls {
		nodes[i] = balance.Node{ID: u, URL: u}
	}
	return nodes
}
