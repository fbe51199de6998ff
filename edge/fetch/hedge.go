package fetch

import (
	"context"
	"errors"
	"time"

	"meridian/edge/balance"
)

// errOvertaken is what the balancer is told of a node that was asked first and
// had not answered when the one asked after it had: three times in a row, and it
// is out like one that fails.
var errOvertaken = errors.New("slower than the node that was asked after it")

// outcome is how an attempt at a node ended.
type outcome struct {
	resp   *Response
	err    error
	second bool
}

// hedged asks a node and, if it is late, the next one besides. The first answer
// wins, and the other attempt ends with it. asked is how many nodes were asked;
// errs are of those that failed where all did.
//
// What is late is known of slices from nodes of the same rank; one of another rank
// is further away or holds less: asking it would be slower, as a rule, and never
// cheaper. All else is late after Timeouts.Late: a node that takes requests and
// says nothing holds nobody up for the whole of Timeouts.Header, which must allow
// for one that is itself waiting for its second upstream.
func (u *Upstream) hedged(ctx context.Context, nodes []balance.Node, r Request) (resp *Response, asked int, errs []error) {
	delay, known := u.latencies.patience(nodes[0].Group, u.now())
	switch {
	case len(nodes) < 2:
		resp, err := u.ask(ctx, nodes[0], r)
		if err != nil {
			errs = []error{err}
		}
		return resp, 1, errs
	case !known, r.Head, r.Length == 0, nodes[1].Group != nodes[0].Group:
		delay = max(delay, u.timeouts.Late)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	ended := make(chan outcome, 2)
	running := 0
	start := func(second bool) {
		running++
		node := nodes[0]
		if second {
			node = nodes[1]
		}
		go func() {
			resp, err := u.ask(ctx, node, r)
			ended <- outcome{resp, err, second}
		}()
	}
	start(false)
	late := time.NewTimer(delay)
	defer late.Stop()
	for asked = 1; running > 0; {
		select {
		case <-late.C:
			if !u.budget.take(u.now()) {
				u.counts.refused.Add(1)
				continue
			}
			u.counts.hedges.Add(1)
			asked = 2
			start(true)
		case o := <-ended:
			running--
			if o.err != nil {
				errs = append(errs, o.err)
				late.Stop() // what failed is for the caller to try again
				continue
			}
			if o.second {
				u.counts.hedgesWon.Add(1)
				cancel(errOvertaken)
			}
			cancel(nil)
			for ; running > 0; running-- {
				<-ended // at once: its context is over
			}
			return o.resp, asked, nil
		}
	}
	return nil, asked, errs
}
