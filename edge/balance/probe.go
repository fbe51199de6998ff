package balance

import (
	"context"
	"errors"
	"sync"
	"time"
)

// ProbeEvery is how often Probe looks where nothing else is said.
const ProbeEvery = 2 * time.Second

// Probe asks nodes for their health until ctx ends: every time that interval has
// passed, those that fail and those that no request has told anything of lately.
// A node that requests show to be well is left alone. check returns nil if the
// node is well; it may take as long as the interval.
func (p *Pool) Probe(ctx context.Context, every time.Duration, check func(context.Context, Node) error) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		var probes sync.WaitGroup
		for _, m := range p.table.Load().byID {
			if !m.health.unknown(p.now()) {
				continue
			}
			probes.Go(func() {
				ctx, cancel := context.WithTimeout(ctx, every)
				defer cancel()
				err := check(ctx, m.node)
				if errors.Is(ctx.Err(), context.Canceled) {
					return // we end: that says nothing of the node
				}
				m.health.probed(p.now(), err == nil)
			})
		}
		probes.Wait()
	}
}
