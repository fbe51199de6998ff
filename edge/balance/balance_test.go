package balance_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"meridian/edge/balance"
	"meridian/edge/cache"
)

func key(name string) cache.Key { return cache.Key{Class: cache.Head, Name: name} }

func nodes(n, group int, prefix string) []balance.Node {
	out := make([]balance.Node, n)
	for i := range out {
		id := fmt.Sprintf("%s-%d", prefix, i)
		out[i] = balance.Node{ID: id, URL: "http://" + id, Group: group}
	}
	return out
}

func pool(p balance.Policy, ns ...balance.Node) *balance.Pool {
	b := balance.NewPool(p, time.Now)
	b.Set(ns)
	return b
}

// still is a pool for which no time passes: what is out stays out.
func still(p balance.Policy, ns ...balance.Node) *balance.Pool {
	now := time.Now()
	b := balance.NewPool(p, func() time.Time { return now })
	b.Set(ns)
	return b
}

// Adding a node to n moves about 1/(n+1) of the keys, all of them to it.
func TestConsistentHashMovesLittle(t *testing.T) {
	t.Parallel()
	const keys = 20000
	for n := 1; n <= 8; n++ {
		before := pool(balance.ConsistentHash{}, nodes(n, 0, "regional-europe")...)
		after := pool(balance.ConsistentHash{}, nodes(n+1, 0, "regional-europe")...)
		added := fmt.Sprintf("regional-europe-%d", n)
		moved := 0
		for i := range keys {
			k := key(fmt.Sprintf("bucket/photos/%d.jpg", i))
			a, b := before.Pick(k, 1)[0], after.Pick(k, 1)[0]
			if a == b {
				continue
			}
			moved++
			if b.ID != added {
				t.Fatalf("%d nodes: key moved from %s to %s, not to the new node", n, a.ID, b.ID)
			}
		}
		if part, limit := float64(moved)/keys, 1/float64(n+1)+0.05; part > limit {
			t.Errorf("%d nodes and one more: %.3f of the keys moved, more than %.3f", n, part, limit)
		}
	}
}

func TestConsistentHashSpreads(t *testing.T) {
	t.Parallel()
	const keys = 40000
	p := pool(balance.ConsistentHash{}, nodes(4, 0, "r")...)
	count := map[string]int{}
	for i := range keys {
		count[p.Pick(key(fmt.Sprintf("b/%d", i)), 1)[0].ID]++
	}
	for id, n := range count {
		if mean := keys / 4; n < mean*3/4 || n > mean*5/4 {
			t.Errorf("node %s has %d of %d keys", id, n, keys)
		}
	}
}

// The order nodes are named in must not matter: every edge has to choose alike.
func TestConsistentHashIgnoresOrder(t *testing.T) {
	t.Parallel()
	ns := nodes(5, 0, "r")
	a := pool(balance.ConsistentHash{}, ns...)
	rand.Shuffle(len(ns), func(i, j int) { ns[i], ns[j] = ns[j], ns[i] })
	b := pool(balance.ConsistentHash{}, ns...)
	for i := range 1000 {
		k := key(strconv.Itoa(i))
		x, y := a.Pick(k, 5), b.Pick(k, 5)
		if fmt.Sprint(x) != fmt.Sprint(y) {
			t.Fatalf("%v and %v differ", x, y)
		}
	}
}

// A failed node's keys go elsewhere, everybody else's stay.
func TestConsistentHashFailureMovesOnlyItsKeys(t *testing.T) {
	t.Parallel()
	p := still(balance.ConsistentHash{}, nodes(4, 0, "r")...)
	before := map[string]balance.Node{}
	for i := range 2000 {
		n := strconv.Itoa(i)
		before[n] = p.Pick(key(n), 1)[0]
	}
	bad := balance.Node{ID: "r-2", URL: "http://r-2"}
	for range 3 {
		p.Begin(bad)
		p.Report(bad, time.Millisecond, errors.New("refused"))
	}
	for n, was := range before {
		now := p.Pick(key(n), 1)[0]
		if was == bad && now == bad {
			t.Fatalf("key %s still goes to the node that is down", n)
		}
		if was != bad && now != was {
			t.Fatalf("key %s moved from healthy %s to %s", n, was.ID, now.ID)
		}
	}
}

func TestPickHoldsForEveryPolicy(t *testing.T) {
	t.Parallel()
	for name, policy := range map[string]balance.Policy{
		"hash": balance.ConsistentHash{}, "round robin": balance.RoundRobin{}, "least connections": balance.LeastConnections{},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			near, far := nodes(3, 0, "near"), nodes(2, 1, "far")
			p := still(policy, append(far, near...)...)
			if got := balance.NewPool(policy, time.Now).Pick(key("a"), 3); len(got) != 0 {
				t.Errorf("empty pool picked %v", got)
			}
			rng := rand.New(rand.NewPCG(1, 2))
			all := append(append([]balance.Node{}, near...), far...)
			for i := range 3000 {
				n := 1 + rng.IntN(6)
				got := p.Pick(key(strconv.Itoa(i)), n)
				if len(got) != min(n, 5) {
					t.Fatalf("asked for %d of 5 nodes, got %v", n, got)
				}
				seen := map[string]bool{}
				for _, g := range got {
					if seen[g.ID] {
						t.Fatalf("node twice: %v", got)
					}
					seen[g.ID] = true
				}
				bad := all[rng.IntN(5)]
				p.Begin(bad)
				var err error
				if rng.IntN(3) > 0 {
					err = errors.New("down")
				}
				p.Report(bad, 0, err)
			}
			for _, n := range all {
				p.Begin(n)
				p.Report(n, 0, nil)
			}
			for i, g := range p.Pick(key("x"), 5) {
				if want := 0; i < 3 && g.Group != want {
					t.Errorf("place %d has group %d", i, g.Group)
				}
			}
			for _, n := range near {
				for range 3 {
					p.Begin(n)
					p.Report(n, 0, errors.New("down"))
				}
			}
			got := p.Pick(key("x"), 5)
			if got[0].Group != 1 || got[1].Group != 1 || got[2].Group != 0 {
				t.Errorf("with the near group down: %v", got)
			}
		})
	}
}

func TestRoundRobinTakesTurns(t *testing.T) {
	t.Parallel()
	p := pool(balance.RoundRobin{}, nodes(3, 0, "r")...)
	count := map[string]int{}
	for range 300 {
		count[p.Pick(key("same"), 1)[0].ID]++
	}
	for id, n := range count {
		if n != 100 {
			t.Errorf("%s was chosen %d times of 300", id, n)
		}
	}
}

func TestLeastConnectionsAvoidsTheBusy(t *testing.T) {
	t.Parallel()
	p := pool(balance.LeastConnections{}, nodes(3, 0, "r")...)
	for range 30 {
		p.Begin(p.Pick(key("k"), 1)[0])
	}
	idle := balance.Node{ID: "r-1", URL: "http://r-1"}
	p.Report(idle, 0, nil)
	p.Report(idle, 0, nil)
	for range 2 {
		got := p.Pick(key("k"), 1)[0]
		if got != idle {
			t.Fatalf("picked %s, though %s has fewer attempts under way", got.ID, idle.ID)
		}
		p.Begin(got)
	}
}

// A broken node is tried once per pause, and is back after one success. A
// client that went away says nothing about it.
func TestBreaker(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := pool(balance.ConsistentHash{}, nodes(2, 0, "r")...)
		first := p.Pick(key("k"), 1)[0]
		fail := func(err error) { p.Begin(first); p.Report(first, 0, err) }
		for range 10 {
			fail(context.Canceled)
		}
		fail(errors.New("x"))
		fail(errors.New("x"))
		if p.Pick(key("k"), 1)[0] != first {
			t.Fatal("taken out after two failures")
		}
		for range 8 {
			fail(errors.New("x")) // all those under way fail with it: one failure, not eight
		}
		if p.Pick(key("k"), 1)[0] == first {
			t.Fatal("still first after three failures")
		}
		if all, up := p.Pick(key("k"), 2), p.PickUp(key("k"), 2); len(all) != 2 || all[1] != first || len(up) != 1 || up[0] == first {
			t.Fatalf("of two nodes, one of which is down, Pick gives %v, PickUp %v", all, up)
		}
		time.Sleep(600 * time.Millisecond)
		if p.Pick(key("k"), 1)[0] != first {
			t.Fatal("no trial after the pause")
		}
		if p.Pick(key("k"), 1)[0] == first {
			t.Fatal("two trials in one pause")
		}
		fail(errors.New("x")) // the trial failed: the pause doubles
		time.Sleep(600 * time.Millisecond)
		if p.Pick(key("k"), 1)[0] == first {
			t.Fatal("the pause did not grow")
		}
		time.Sleep(600 * time.Millisecond)
		if p.Pick(key("k"), 1)[0] != first {
			t.Fatal("no second trial")
		}
		fail(nil)
		for range 3 {
			if p.Pick(key("k"), 1)[0] != first {
				t.Fatal("not back after a success")
			}
		}
	})
}

// A trial is not spent on a request that asks another node first.
func TestTrialsAreForWhoIsAskedFirst(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := pool(balance.ConsistentHash{}, nodes(2, 0, "r")...)
		bad := p.Pick(key("k"), 1)[0]
		for range 3 {
			p.Begin(bad)
			p.Report(bad, 0, errors.New("x"))
		}
		time.Sleep(time.Second)
		for i := range 100 {
			if owner, _ := p.Owner(key(strconv.Itoa(i))); owner == bad {
				continue
			}
			if got := p.Pick(key(strconv.Itoa(i)), 2); len(got) != 2 || got[1] != bad {
				t.Fatalf("key %d of the other: %v", i, got)
			}
		}
		if p.Pick(key("k"), 2)[0] != bad {
			t.Error("the trial went to a request that did not make it")
		}
	})
}

func TestSetWhileInUse(t *testing.T) {
	t.Parallel()
	p := pool(balance.ConsistentHash{}, nodes(3, 0, "r")...)
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			for i := range 500 {
				got := p.Pick(key(fmt.Sprint(w, i)), 2)
				if len(got) != 2 {
					t.Errorf("picked %v", got)
					return
				}
				p.Begin(got[0])
				p.Report(got[0], 0, nil)
			}
		})
	}
	for i := range 200 {
		p.Set(nodes(2+i%4, 0, "r"))
	}
	wg.Wait()
}

// A pool is impaired while all of its first rank fail, and not for ever where
// nobody tries them again.
func TestImpaired(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		near, far := nodes(2, 0, "near"), nodes(1, 1, "far")
		p := pool(balance.RoundRobin{}, append(near, far...)...)
		fail := func(n balance.Node) {
			for range 3 {
				p.Report(n, time.Millisecond, errors.New("down"))
			}
		}
		fail(far[0])
		fail(near[0])
		if p.Impaired() {
			t.Error("impaired with one of two")
		}
		fail(near[1])
		if !p.Impaired() {
			t.Error("not impaired with none of two")
		}
		p.Report(near[1], time.Millisecond, nil)
		if p.Impaired() {
			t.Error("impaired after one came back")
		}
		fail(near[1])
		time.Sleep(time.Minute)
		if p.Impaired() {
			t.Error("impaired by what happened a minute ago")
		}
		if pool(balance.RoundRobin{}).Impaired() {
			t.Error("an empty pool is impaired")
		}
	})
}
