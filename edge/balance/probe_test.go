package balance_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"meridian/edge/balance"
)

// probes counts what a pool asks, and answers.
type probes struct {
	mu    sync.Mutex
	asked map[string]int
	down  map[string]bool
}

func (p *probes) check(_ context.Context, n balance.Node) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.asked[n.ID]++
	if p.down[n.ID] {
		return errors.New("down")
	}
	return nil
}

func (p *probes) take(id string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := p.asked[id]
	p.asked[id] = 0
	return n
}

func (p *probes) set(id string, down bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.down[id] = down
}

func probed(t *testing.T, f func(p *balance.Pool, ns []balance.Node, asked *probes)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		ns := nodes(2, 0, "r")
		p := pool(balance.RoundRobin{}, ns...)
		asked := &probes{asked: map[string]int{}, down: map[string]bool{}}
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() { p.Probe(ctx, time.Second, asked.check) })
		f(p, ns, asked)
		cancel()
		wg.Wait()
	})
}

// Whoever answers requests is not probed; whoever nobody asks is, now and then.
func TestProbesOnlyWhereRequestsTellNothing(t *testing.T) {
	t.Parallel()
	probed(t, func(p *balance.Pool, ns []balance.Node, asked *probes) {
		for range 100 {
			p.Begin(ns[0])
			p.Report(ns[0], time.Millisecond, nil)
			time.Sleep(time.Second)
		}
		if n := asked.take("r-0"); n > 1 {
			t.Errorf("a node that is well was probed %d times", n)
		}
		if n := asked.take("r-1"); n < 5 || n > 15 {
			t.Errorf("an idle node was probed %d times in 100 s", n)
		}
	})
}

// A node that dies while nobody asks it is out before anybody does, costs no
// request a trial while it is down, and is tried as soon as it is back.
func TestProbesFindTheDeadAndTheRisen(t *testing.T) {
	t.Parallel()
	probed(t, func(p *balance.Pool, ns []balance.Node, asked *probes) {
		asked.set("r-0", true)
		time.Sleep(15 * time.Second)
		for range 500 {
			if got := p.Pick(key("k"), 1)[0]; got != ns[1] {
				t.Fatal("the dead node was tried by a request")
			}
			time.Sleep(100 * time.Millisecond)
		}
		asked.set("r-0", false)
		time.Sleep(1500 * time.Millisecond)
		first := 0
		for range 10 {
			if p.Pick(key("k"), 1)[0] == ns[0] {
				first++
			}
		}
		if first != 1 {
			t.Fatalf("%d trials after it came back, want one", first)
		}
		p.Begin(ns[0])
		p.Report(ns[0], time.Millisecond, nil)
		first = 0
		for range 10 {
			if p.Pick(key("k"), 1)[0] == ns[0] {
				first++
			}
		}
		if first != 5 {
			t.Errorf("first in %d of 10 after a request succeeded", first)
		}
	})
}

// A probe that succeeds does not overrule requests that fail.
func TestProbesDoNotCloseTheBreaker(t *testing.T) {
	t.Parallel()
	probed(t, func(p *balance.Pool, ns []balance.Node, _ *probes) {
		tried := 0
		for range 600 {
			if got := p.Pick(key("k"), 1)[0]; got == ns[0] {
				tried++
				p.Begin(got)
				p.Report(got, time.Millisecond, errors.New("answers probes only"))
			}
			time.Sleep(100 * time.Millisecond)
		}
		if tried > 75 {
			t.Errorf("tried %d times in a minute", tried)
		}
	})
}
