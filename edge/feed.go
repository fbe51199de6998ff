package edge

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"meridian/edge/pull"
	"meridian/edge/purge"
	"meridian/metadata"
)

const (
	snapshotEvery = 30 * time.Second
	firstBackoff  = 50 * time.Millisecond
	maxBackoff    = time.Second
)

// runFeed follows the feed until ctx ends. It begins with a snapshot, and again
// with one whenever it may have missed something.
func (n *Node) runFeed(ctx context.Context) error {
	backoff := firstBackoff
	synced := false
	for {
		began := n.lease.seq()
		err := n.followOnce(ctx, &synced)
		if ctx.Err() != nil {
			return nil //nolint:nilerr // the feed ended because we did
		}
		n.log.WarnContext(ctx, "feed broke", "err", err, "retry", backoff)
		if n.lease.seq() != began {
			backoff = firstBackoff
		}
		select {
		case <-time.After(backoff):
		case <-ctx.Done():
		}
		backoff = min(2*backoff, maxBackoff)
	}
}

func (n *Node) followOnce(ctx context.Context, synced *bool) error {
	if !*synced {
		if err := n.startOver(ctx); err != nil {
			return err
		}
		*synced = true
	}
	err := n.cfg.Follower.Follow(ctx, n.lease.seq(), func(e metadata.Event) error { return n.apply(ctx, e) })
	if errors.Is(err, metadata.ErrFeedGone) {
		*synced = false
	}
	return err
}

// startOver forgets every head and begins with a snapshot: what was derived from
// events that are gone cannot be trusted.
func (n *Node) startOver(ctx context.Context) error {
	if err := n.lockSnapshot(ctx); err != nil {
		return err
	}
	err := n.fetchSnapshot(ctx, true)
	n.unlockSnapshot()
	if err != nil {
		return err
	}
	seq := n.view.Load().seq
	n.forget(ctx, seq, purge.Target{Everything: true}, noLease)
	n.lease.restart(seq)
	soon(n.kick) // its answer brings the lease
	return nil
}

// apply makes the node follow an event. Only then is it counted as applied:
// whoever has seen a Seq applied sees its effect.
func (n *Node) apply(ctx context.Context, e metadata.Event) error {
	switch e.Type {
	case metadata.ObjectCreated:
		n.overwritten(ctx, e.Seq, purge.Object{Bucket: e.Bucket, Key: e.Key}, e.VersionID)
	case metadata.ObjectDeleted, metadata.ObjectUpdated:
		n.forget(ctx, e.Seq, purge.Target{Objects: []purge.Object{{Bucket: e.Bucket, Key: e.Key}}}, overwritten)
	case metadata.BucketCreated, metadata.BucketUpdated, metadata.BucketDeleted, metadata.KeyChanged:
		if err := n.refresh(ctx, e.Seq); err != nil {
			return fmt.Errorf("apply %s of %s: %w", e.Type, e.Seq, err)
		}
		if e.Type == metadata.BucketDeleted {
			n.forget(ctx, e.Seq, purge.Target{Bucket: e.Bucket}, overwritten)
		}
	case metadata.PurgeAsked:
		n.applyPurge(ctx, e)
	case metadata.ZoneChanged:
		n.applyChanged(ctx, e)
	case metadata.WarmAsked:
		n.applyWarm(ctx, e)
	}
	n.lease.advance(e.Seq)
	n.metrics.lag.Set(max(0, n.now().Sub(e.Time).Seconds()))
	return nil
}

func (n *Node) applyPurge(ctx context.Context, e metadata.Event) {
	var p metadata.Purge
	if err := json.Unmarshal(e.Data, &p); err != nil {
		// Nobody else can read it either; holding the feed up would help nobody.
		n.log.ErrorContext(ctx, "purge that cannot be read", "seq", e.Seq, "err", err)
		return
	}
	target := purge.TargetOf(p)
	n.earlier.purged(target)
	count := n.forget(ctx, e.Seq, target, purged)
	n.tally.Purged(metadata.PurgeAck{ID: p.ID, Applied: n.now().UTC(), Entries: count})
	soon(n.kick) // whoever asked is waiting
}

// applyChanged forgets what was changed through a pull zone at another node, which
// has done so, or at this one, where that was not enough.
func (n *Node) applyChanged(ctx context.Context, e metadata.Event) {
	var d metadata.ZoneData
	if err := json.Unmarshal(e.Data, &d); err != nil {
		n.log.ErrorContext(ctx, "change that cannot be read", "seq", e.Seq, "err", err)
		return
	}
	view := n.view.Load()
	if view == nil {
		return
	}
	n.fills.hear(e.Seq)
	targets := map[*zone][]pull.Target{}
	for _, changed := range d.Targets {
		z := view.zones[changed.Bucket]
		if z == nil || d.Node == n.cfg.ID && !changed.Again {
			continue
		}
		path, query, _ := strings.Cut(changed.Target, "?")
		if t, err := z.Target(path, query, nil); err == nil {
			targets[z] = append(targets[z], t)
		}
	}
	for z, list := range targets {
		n.invalidate(ctx, z, list)
	}
}

// runSnapshots fetches a snapshot when nodes have come or gone, and now and then
// besides: signing keys of a new day make no event.
func (n *Node) runSnapshots(ctx context.Context) error {
	tick := time.NewTicker(snapshotEvery)
	defer tick.Stop()
	var retry <-chan time.Time
	for {
		select {
		case <-tick.C:
		case <-n.changed:
		case <-retry:
		case <-ctx.Done():
			return nil
		}
		retry = nil
		if err := n.refresh(ctx, metadata.Seq{}); err != nil && ctx.Err() == nil {
			n.log.WarnContext(ctx, "snapshot", "err", err)
			retry = time.After(maxBackoff)
		}
	}
}
