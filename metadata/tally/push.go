package tally

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"meridian/metadata"
)

const (
	pushEvery = time.Second
	// lastPush is how long the last push at shutdown may take.
	lastPush = 3 * time.Second
)

// Pusher tells the catalogue what a node counted. What a push carries is settled
// when it is first sent: it goes out again unchanged, under the same number,
// until it is accepted, so that nothing is counted twice or lost. Its methods
// must not run at once.
type Pusher struct {
	Nodes metadata.Nodes
	Tally *Tally
	Node  func() metadata.Node // describes the node as it is now
	// Accepted is told of every answer and of the moment its push was sent. It
	// may be nil.
	Accepted func(r metadata.PushReply, sent time.Time)
	// Kick asks for a push at once. It may be nil.
	Kick <-chan struct{}
	Now  func() time.Time
	Log  *slog.Logger

	number  uint64
	pending *metadata.Push // not accepted yet
}

// Push sends the pending push, or a new one.
func (p *Pusher) Push(ctx context.Context) error {
	if p.pending == nil {
		p.number++
		p.pending = &metadata.Push{Node: p.Node(), Number: p.number}
		p.pending.Counters, p.pending.Views, p.pending.Purges = p.Tally.take()
		p.pending.Warms = p.Tally.takeWarms()
		p.pending.Changed = p.Tally.takeChanged()
	}
	sent := p.Now()
	reply, err := p.Nodes.Push(ctx, *p.pending)
	switch {
	case errors.Is(err, metadata.ErrInvalid):
		p.pending = nil // it would be refused for ever, and all after it held up
		return err
	case err != nil:
		return err
	}
	p.pending = nil
	if p.Accepted != nil {
		p.Accepted(reply, sent)
	}
	return nil
}

// Run pushes every second, and when kicked, until ctx ends. It fails only if
// another process took the node's ID.
func (p *Pusher) Run(ctx context.Context) error {
	tick := time.NewTicker(pushEvery)
	defer tick.Stop()
	failing := false
	for {
		err := p.Push(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, metadata.ErrNodeReplaced):
			return err
		case errors.Is(err, metadata.ErrInvalid):
			p.Log.ErrorContext(ctx, "counters refused and dropped", "err", err)
		case err != nil && !failing:
			p.Log.WarnContext(ctx, "push failed; trying every second", "err", err)
		case err == nil && failing:
			p.Log.InfoContext(ctx, "pushes succeed again")
		}
		failing = err != nil
		select {
		case <-tick.C:
		case <-p.Kick:
		case <-ctx.Done():
			return nil
		}
	}
}

// Last sends what is left when everything else has stopped; ctx may have ended.
func (p *Pusher) Last(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastPush)
	defer cancel()
	for {
		older := p.pending != nil
		err := p.Push(ctx)
		if err == nil && !older && p.Tally.isEmpty() {
			return
		}
		if err == nil || errors.Is(err, metadata.ErrInvalid) {
			continue // what was counted since goes in a push of its own
		}
		p.Log.WarnContext(ctx, "last push failed", "err", err)
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
