package balance_test

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"meridian/edge/balance"
)

// loads keeps attempts under way at the nodes of a pool, and how many each has.
type loads struct {
	p     *balance.Pool
	count map[string]int
	open  []balance.Node
}

// begin starts an attempt for a key and returns the greatest load in parts of
// what it may be: Bound times the mean, rounded up.
func (l *loads) begin(k string, nodes int) float64 {
	n := l.p.Pick(key(k), 1)[0]
	l.p.Begin(n)
	l.count[n.ID]++
	l.open = append(l.open, n)
	return float64(l.count[n.ID]) / math.Ceil(balance.Bound*float64(len(l.open))/float64(nodes))
}

// end ends the attempt at place i.
func (l *loads) end(i int, err error) {
	n := l.open[i]
	l.p.Report(n, time.Millisecond, err)
	l.count[n.ID]--
	last := len(l.open) - 1
	l.open[i] = l.open[last]
	l.open = l.open[:last]
}

// However skewed the keys are, no node gets more than 1.25 times the mean of the
// attempts under way.
func TestBoundedLoad(t *testing.T) {
	t.Parallel()
	for _, nodesUp := range []int{2, 3, 4, 8} {
		for seed := range uint64(3) {
			l := loads{p: pool(balance.ConsistentHash{VirtualNodes: 100, Spare: 1}, nodes(nodesUp, 0, "r")...), count: map[string]int{}}
			rng := rand.New(rand.NewPCG(seed, uint64(nodesUp)))
			keys := rand.NewZipf(rng, 1.3, 1, 10_000)
			for range 5000 {
				// Between none and some hundreds under way, up and down.
				if len(l.open) > 0 && rng.IntN(400) < len(l.open) {
					l.end(rng.IntN(len(l.open)), nil)
					continue
				}
				if over := l.begin(fmt.Sprint(keys.Uint64()), nodesUp); over > 1 {
					t.Fatalf("%d nodes, seed %d: %.2f of what a node may have, of %d attempts: %v", nodesUp, seed, over, len(l.open), l.count)
				}
			}
		}
	}
}

// The mean is that of the nodes that are up: one that is out must not make the
// others look overloaded, which would send every key astray.
func TestBoundedLoadWithoutTheNodesThatAreOut(t *testing.T) {
	t.Parallel()
	ns := nodes(4, 0, "r")
	l := loads{p: still(balance.ConsistentHash{VirtualNodes: 100, Spare: 1}, ns...), count: map[string]int{}}
	for range 3 {
		l.p.Begin(ns[0])
		l.p.Report(ns[0], 0, errors.New("down"))
	}
	for i := range 300 {
		if over := l.begin(fmt.Sprint(i), 3); over > 1 {
			t.Fatalf("%.2f of what a node may have: %v", over, l.count)
		}
	}
	if l.count["r-0"] != 0 {
		t.Errorf("the node that is out was asked: %v", l.count)
	}
}

// Where little is under way, a key stays where it is cached, however often it is
// asked for; where much is, the next node of the ring takes the rest.
func TestKeysStayUntilTheirNodeIsBusy(t *testing.T) {
	t.Parallel()
	p := pool(balance.ConsistentHash{}, nodes(4, 0, "r")...)
	order := p.Pick(key("popular"), 4)
	if owner, ok := p.Owner(key("popular")); !ok || owner != order[0] {
		t.Errorf("owner %v, first %v", owner, order[0])
	}
	for range balance.Spare {
		n := p.Pick(key("popular"), 1)[0]
		if n != order[0] {
			t.Fatalf("moved to %s", n.ID)
		}
		p.Begin(n)
	}
	if n := p.Pick(key("popular"), 1)[0]; n != order[1] {
		t.Errorf("with %d under way at its node: %s, want the next, %s", balance.Spare, n.ID, order[1].ID)
	}
	if owner, _ := p.Owner(key("popular")); owner != order[0] {
		t.Error("load moved the owner")
	}
	if got := p.Pick(key("popular"), 4); len(got) != 4 || got[3] != order[0] {
		t.Errorf("the busy one is not last: %v", got)
	}
}

// The ring keeps its promise with 100 virtual nodes: a fourth node takes about a
// quarter of the keys, whatever their names.
func TestFourthNodeMovesAQuarter(t *testing.T) {
	t.Parallel()
	const keys = 10_000
	for seed := range uint64(5) {
		prefix := fmt.Sprintf("regional-%d", seed)
		before := pool(balance.ConsistentHash{VirtualNodes: 100}, nodes(3, 0, prefix)...)
		after := pool(balance.ConsistentHash{VirtualNodes: 100}, nodes(4, 0, prefix)...)
		rng := rand.New(rand.NewPCG(seed, 1))
		moved := 0
		for range keys {
			k := key(fmt.Sprintf("bucket/%x", rng.Uint64()))
			if before.Pick(k, 1)[0] != after.Pick(k, 1)[0] {
				moved++
			}
		}
		if part := float64(moved) / keys; part > 0.25+0.05 || part < 0.15 {
			t.Errorf("seed %d: %.3f of the keys moved", seed, part)
		}
	}
}

func TestParsePolicy(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]balance.Policy{
		"consistent-hash": balance.ConsistentHash{}, "round-robin": balance.RoundRobin{}, "least-connections": balance.LeastConnections{},
	} {
		if got, err := balance.ParsePolicy(name); err != nil || got != want {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
	if _, err := balance.ParsePolicy("random"); err == nil {
		t.Error("random is taken")
	}
}
