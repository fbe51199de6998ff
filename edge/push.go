package edge

import (
	"context"
	"errors"
	"time"

	"meridian/metadata"
)

const (
	pushEvery = time.Second
	// lastPush is how long the last push at shutdown may take.
	lastPush = 3 * time.Second
)

// pusher tells the metadata role what the node counted, and renews the lease by
// the answers. What a push carries is settled when it is first sent: it goes out
// again unchanged, under the same number, until it is accepted, so that nothing
// is counted twice or lost.
type pusher struct {
	control metadata.Nodes
	lease   *lease
	tally   *tally
	now     func() time.Time
	node    func() metadata.Node

	number  uint64
	pending *metadata.Push // not accepted yet
}

// push sends the pending push, or a new one.
func (p *pusher) push(ctx context.Context) error {
	if p.pending == nil {
		p.number++
		p.pending = &metadata.Push{Node: p.node(), Number: p.number}
		p.pending.Counters, p.pending.Views, p.pending.Purges = p.tally.take()
	}
	sent := p.now()
	reply, err := p.control.Push(ctx, *p.pending)
	switch {
	case errors.Is(err, metadata.ErrInvalid):
		p.pending = nil // it would be refused for ever, and all after it held up
		return err
	case err != nil:
		return err
	}
	p.pending = nil
	p.lease.promise(reply.Head, sent)
	return nil
}

// pushSoon asks for a push at once.
func (n *Node) pushSoon() {
	select {
	case n.kick <- struct{}{}:
	default: // one was asked for already
	}
}

// runPushes pushes every second, and when kicked, until ctx ends.
func (n *Node) runPushes(ctx context.Context) error {
	tick := time.NewTicker(pushEvery)
	defer tick.Stop()
	failing := false
	for {
		err := n.pusher.push(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, metadata.ErrNodeReplaced):
			return err
		case errors.Is(err, metadata.ErrInvalid):
			n.log.ErrorContext(ctx, "counters refused and dropped", "err", err)
		case err != nil && !failing:
			n.log.WarnContext(ctx, "push failed; trying every second", "err", err)
		case err == nil && failing:
			n.log.InfoContext(ctx, "pushes succeed again")
		}
		failing = err != nil
		select {
		case <-tick.C:
		case <-n.kick:
		case <-ctx.Done():
			return nil
		}
	}
}

// pushLast sends what is left when everything else has stopped.
func (n *Node) pushLast(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastPush)
	defer cancel()
	for {
		older := n.pusher.pending != nil
		err := n.pusher.push(ctx)
		if err == nil && !older {
			return
		}
		if err == nil || errors.Is(err, metadata.ErrInvalid) {
			continue // what was counted since goes in a push of its own
		}
		n.log.WarnContext(ctx, "last push failed", "err", err)
		if errors.Is(err, metadata.ErrNodeReplaced) {
			return
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
			return
		}
	}
}
