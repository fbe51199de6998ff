// Package balance chooses which upstream node to ask, best first, from what
// the requests before have shown of each node's health. A Pool keeps nodes and
// health; a Policy (ConsistentHash, RoundRobin, LeastConnections) says in which
// order healthy nodes are asked. Probe asks those of whose health requests tell
// nothing good.
package balance

import (
	"iter"
	"time"

	"meridian/edge/cache"
)

// Node is an upstream.
type Node struct {
	ID  string // stable over restarts: the hash ring is built of IDs
	URL string // where it is asked
	// Group ranks nodes before the policy does: all healthy nodes of group 0
	// come before those of group 1, and so on.
	Group int
}

// Balancer orders nodes for a request. Every attempt at a node is told twice:
// Begin before it, Report after it. All methods may run at once.
type Balancer interface {
	// Pick returns up to n different nodes, best first. It is empty only
	// where no node is configured: nodes that are down come last, not never.
	Pick(k cache.Key, n int) []Node
	// Begin says that an attempt at the node starts.
	Begin(node Node)
	// Report says how the attempt ended. A nil error is a healthy answer;
	// context.Canceled says nothing about the node.
	Report(node Node, took time.Duration, err error)
}

// Policy orders the nodes of a group.
type Policy interface {
	// Arrange prepares for a set of nodes, which never changes afterwards.
	Arrange(nodes []Node) Order
}

// Order yields indices of the arranged nodes, each once, best first. load is
// the number of attempts under way at a node, or negative where the node is out.
type Order interface {
	Nodes(k cache.Key, load func(i int) int64) iter.Seq[int]
}
