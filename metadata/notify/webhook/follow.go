package webhook

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"meridian/metadata"
	"meridian/metadata/notify"
)

// hooks are the webhooks there are, as they were a moment ago.
type hooks struct {
	ready chan struct{} // closed once they are known

	mu    sync.Mutex
	known map[string]*hookState // nil: not yet
}

// hookState is what the follower knows of a webhook.
type hookState struct {
	events []string      // of the feed, that it asks for
	queued int64         // deliveries that wait
	wake   chan struct{} // of its sender
}

func newHooks() *hooks { return &hooks{ready: make(chan struct{})} }

// set says which webhooks there are.
func (h *hooks) set(now map[string]*hookState) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.known == nil {
		close(h.ready)
	}
	h.known = now
}

func (h *hooks) none() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.known) == 0
}

// follower queues what events ask for.
type follower struct {
	*Job
	hooks   *hooks
	buckets map[string]bucket // that notify somebody; nil: to be read
}

// bucket is one that has a notification configuration.
type bucket struct {
	metadata.NotifyingBucket
	rules []*notify.Rule
}

// run follows the feed until ctx ends or something fails.
func (f *follower) run(ctx context.Context) error {
	var after metadata.Seq
	saved, following := time.Now(), false
	for ctx.Err() == nil {
		if f.hooks.none() {
			// There is nobody to be told, and to follow the feed would be for
			// nothing. The first webhook says where to begin.
			following = false
			_ = pause(ctx, lookEvery/10) // the loop looks at ctx
			continue
		}
		if !following {
			var err error
			if after, err = f.Store.Cursor(ctx, metadata.WebhookCursor); err != nil {
				return err
			}
			following, f.buckets = true, nil // which may have changed meanwhile
		}
		events, err := f.Store.Poll(ctx, after, batch)
		if errors.Is(err, metadata.ErrFeedGone) {
			f.Log.WarnContext(ctx, "webhooks are not told of events that the feed no longer holds", "after", after.String())
			if after, err = f.Store.SettledFeed(ctx); err == nil {
				err = f.Store.SaveCursor(ctx, metadata.WebhookCursor, after)
			}
			if err != nil {
				return err
			}
			continue
		}
		if err != nil {
			return err
		}
		if len(events) > 0 {
			after = events[len(events)-1].Seq
			queued, err := f.queue(ctx, events, after)
			if err != nil {
				return err
			}
			if queued {
				saved = time.Now()
			}
		}
		// A place with nothing to be told before it may be saved late.
		if time.Since(saved) > lookEvery {
			if err := f.Store.SaveCursor(ctx, metadata.WebhookCursor, after); err != nil {
				return err
			}
			saved = time.Now()
		}
		if len(events) == batch {
			continue
		}
		if err := f.Store.Wait(ctx); err != nil {
			return err
		}
	}
	return nil
}

// queue queues what a batch of events asks for, if anything.
func (f *follower) queue(ctx context.Context, events []metadata.Event, after metadata.Seq) (bool, error) {
	for _, e := range events {
		if strings.HasPrefix(e.Type, "bucket.") {
			f.buckets = nil
		}
	}
	if f.buckets == nil {
		if err := f.readBuckets(ctx); err != nil {
			return false, err
		}
	}
	var list []metadata.Delivery
	for _, e := range events {
		for _, id := range f.hooks.askingFor(e.Type) {
			message, err := notify.NewMediaMessage(e)
			if err != nil {
				return false, fmt.Errorf("event %s: %w", e.Seq, err)
			}
			body, err := json.Marshal(message)
			if err != nil {
				return false, fmt.Errorf("event %s: %w", e.Seq, err)
			}
			list = append(list, metadata.Delivery{Webhook: id, Event: e.Type, Bucket: e.Bucket, Key: e.Key, Body: body})
		}
		b, ok := f.buckets[e.Bucket]
		if !ok {
			continue
		}
		name, data := notify.EventName(e)
		if name == "" {
			continue
		}
		for _, r := range b.rules {
			id, ok := notify.Webhook(r.ARN())
			if !ok || !r.Asks(name, e.Key) {
				continue
			}
			body, err := json.Marshal(notify.Records{Records: []notify.Record{notify.NewRecord(e, name, data, b.NotifyingBucket, r.ID)}})
			if err != nil {
				return false, fmt.Errorf("record of event %s: %w", e.Seq, err)
			}
			list = append(list, metadata.Delivery{Webhook: id, Event: "s3:" + name, Bucket: e.Bucket, Key: e.Key, Body: body})
		}
	}
	if len(list) == 0 {
		return false, nil
	}
	list, dropped := f.hooks.admit(list, f.QueueLimit)
	if err := f.Store.QueueDeliveries(ctx, list, dropped, after); err != nil {
		return false, err
	}
	for id, n := range dropped {
		f.metrics.deliveries.WithLabelValues(id, resultDropped).Add(float64(n))
	}
	f.hooks.wake(list)
	return true, nil
}

// readBuckets reads the configurations of all buckets that have one.
func (f *follower) readBuckets(ctx context.Context) error {
	list, err := f.Store.NotifyingBuckets(ctx)
	if err != nil {
		return err
	}
	f.buckets = map[string]bucket{}
	for _, b := range list {
		config, err := notify.Parse(b.Config)
		if err != nil {
			return fmt.Errorf("bucket %s: %w", b.Name, err)
		}
		f.buckets[b.Name] = bucket{b, config.Rules()}
	}
	return nil
}

// askingFor are the webhooks that ask for a type of events of the feed.
func (h *hooks) askingFor(event string) (ids []string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for id, k := range h.known {
		if slices.Contains(k.events, event) {
			ids = append(ids, id)
		}
	}
	return ids
}

// admit leaves out what finds a queue full, and counts it by webhook. What is for
// a webhook that is not known goes through: the catalogue knows better.
func (h *hooks) admit(list []metadata.Delivery, limit int64) (admitted []metadata.Delivery, dropped map[string]int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	dropped = map[string]int{}
	for _, d := range list {
		if k := h.known[d.Webhook]; k != nil {
			if k.queued >= limit {
				dropped[d.Webhook]++
				continue
			}
			k.queued++
		}
		admitted = append(admitted, d)
	}
	return admitted, dropped
}

// wake tells the senders of what was queued for them.
func (h *hooks) wake(list []metadata.Delivery) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, d := range list {
		if k := h.known[d.Webhook]; k != nil {
			signal(k.wake)
		}
	}
}
