package webhook

import (
	"context"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"meridian/metadata"
)

// sender makes the deliveries of one webhook.
type sender struct {
	*Job
	hook atomic.Pointer[metadata.Webhook]
	wake chan struct{} // signalled when there may be more in the queue
	stop context.CancelFunc
}

// run sends until ctx ends. A webhook that fails is tried with one delivery at a
// time, ever less often, until one is taken.
func (s *sender) run(ctx context.Context) {
	failures := 0 // in a row
	for ctx.Err() == nil {
		id, limit := s.hook.Load().ID, sendBatch
		if failures > 0 {
			limit = 1
		}
		list, err := s.Store.NextDeliveries(ctx, id, limit)
		if err == nil && len(list) > 0 {
			var taken int
			var failure string
			taken, failure, err = s.send(ctx, list)
			switch {
			case err != nil:
			case taken > 0:
				failures = 0
			default:
				failures++
			}
			if err == nil {
				err = s.note(ctx, id, taken > 0, failure)
			}
		}
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			s.Log.WarnContext(ctx, "deliveries of a webhook wait for the catalogue", "webhook", id, "err", err)
			_ = pause(ctx, lookEvery) // the loop looks at ctx
		case failures > 0:
			_ = pause(ctx, backoff(failures, s.FirstPause, longestRest)) // as above
		case len(list) == 0:
			select {
			case <-ctx.Done():
			case <-s.wake:
			case <-time.After(lookEvery / 2): // also what is due again, or queued by others
			}
		}
	}
}

// note records how it went, and gives up what has waited for too long.
func (s *sender) note(ctx context.Context, id string, delivered bool, failure string) error {
	if err := s.Store.NoteWebhook(ctx, id, delivered, failure); err != nil || failure == "" {
		return err
	}
	n, err := s.Store.BuryDeliveries(ctx, id, s.Patience)
	if n > 0 {
		s.metrics.deliveries.WithLabelValues(id, resultDead).Add(float64(n))
		s.Log.WarnContext(ctx, "deliveries of a webhook were given up", "webhook", id, "deliveries", n, "patience", s.Patience, "error", failure)
	}
	return err
}

// send makes deliveries, several at a time, those about one object one after the
// other. It tells how many were taken, why the last of the others was not, and
// what went wrong in the catalogue.
func (s *sender) send(ctx context.Context, list []metadata.Delivery) (taken int, failure string, err error) {
	type object struct{ bucket, key string }
	lanes := map[object][]metadata.Delivery{}
	var order []object
	for _, d := range list {
		o := object{d.Bucket, d.Key}
		if len(lanes[o]) == 0 {
			order = append(order, o)
		}
		lanes[o] = append(lanes[o], d)
	}
	var mu sync.Mutex
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(parallel)
	for _, o := range order {
		g.Go(func() error {
			for _, d := range lanes[o] {
				why, err := s.deliver(ctx, d)
				if err != nil {
					return err
				}
				mu.Lock()
				if why == "" {
					taken++
				} else {
					failure = why
				}
				mu.Unlock()
				if why != "" {
					return nil // what comes behind waits for it
				}
			}
			return nil
		})
	}
	err = g.Wait()
	return taken, failure, err
}

// deliver makes one request and records how it went.
func (s *sender) deliver(ctx context.Context, d metadata.Delivery) (failure string, err error) {
	began := time.Now()
	status, sendErr := s.Client.Send(ctx, *s.hook.Load(), d)
	if ctx.Err() != nil {
		return "", ctx.Err() // it is made again
	}
	s.metrics.took.Observe(time.Since(began).Seconds())
	if sendErr == nil {
		s.metrics.deliveries.WithLabelValues(d.Webhook, resultDelivered).Inc()
		s.metrics.lag.Observe(time.Since(d.Queued).Seconds())
		return "", s.Store.DeliveryDone(ctx, d.ID)
	}
	d.Status, d.Error = status, sendErr.Error()
	after := backoff(d.Tries+1, s.FirstPause, s.LongestPause)
	dead := time.Since(d.Queued)+after > s.Patience
	result := resultFailed
	if dead {
		result = resultDead
	}
	s.metrics.deliveries.WithLabelValues(d.Webhook, result).Inc()
	s.Log.DebugContext(ctx, "a webhook did not take a delivery", "webhook", d.Webhook, "delivery", d.ID, "tries", d.Tries+1, "error", d.Error, "again_in", after, "given_up", dead)
	return d.Error, s.Store.DeliveryFailed(ctx, d, after, dead)
}

// backoff is the pause after so many failures: it doubles, up to a limit, and
// varies by half of it, so that what failed together does not come together.
func backoff(failures int, first, longest time.Duration) time.Duration {
	d := min(first<<min(failures-1, 20), longest)
	if d <= 0 {
		d = longest
	}
	return d/2 + rand.N(d/2+1)
}
