// Package webhook tells webhooks of events: one process of the cluster at a time
// follows the feed, queues what the notification configurations of buckets ask
// for, and makes the requests, signed as https://www.standardwebhooks.com has it.
//
// The queue is in the catalogue, and grows in the transaction that moves the
// place in the feed: nothing is lost or queued twice, however a process ends. A
// request is made until it is answered with 2xx, so a receiver may see one more
// than once, with the same webhook-id. Each webhook has its own queue, of limited
// length, and its own pace: one that fails holds up no other, nor the feed.
package webhook

import (
	"context"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"meridian/metadata"
)

// leaseName is the lease of whoever does the job.
const leaseName = "webhooks"

// Store is what the job reads and changes of the catalogue.
type Store interface {
	metadata.Feed
	metadata.Cursors
	metadata.Leases
	metadata.Webhooks
}

var _ Store = metadata.Store(nil)

// Options describe the job. Store, Holder, Client, Log and Registry are required.
type Options struct {
	Store Store
	// Holder names this process among all, and no other start of it.
	Holder   string
	Client   *Client
	Log      *slog.Logger
	Registry prometheus.Registerer
	// Patience is how long a delivery is tried before it is given up; a day where
	// it is zero.
	Patience time.Duration
	// QueueLimit is how many deliveries of a webhook may wait; what comes on top
	// is dropped, and counted. 100000 where it is zero.
	QueueLimit int64
	// FirstPause and LongestPause are between two tries of a delivery; a second
	// and ten minutes where they are zero.
	FirstPause, LongestPause time.Duration
	// Lease is how long another process waits for one that has vanished; 15 s
	// where it is zero.
	Lease time.Duration
}

// Defaults of Options.
const (
	defaultPatience     = 24 * time.Hour
	defaultQueueLimit   = 100_000
	defaultFirstPause   = time.Second
	defaultLongestPause = 10 * time.Minute
	defaultLease        = 15 * time.Second
)

const (
	// lookEvery is how often it is looked which webhooks there are.
	lookEvery = time.Second
	// batch is how many events are taken at once.
	batch = 1000
	// sendBatch is how many deliveries of a webhook are taken at once, and
	// parallel how many of them are made at once.
	sendBatch = 64
	parallel  = 8
	// longestRest is how long a webhook that fails is left alone at most.
	longestRest = time.Minute
)

// Job tells webhooks of events.
type Job struct {
	Options
	metrics *metrics
}

// New prepares a job; Run does it.
func New(o Options) *Job {
	for _, d := range []struct {
		d        *time.Duration
		standard time.Duration
	}{{&o.Patience, defaultPatience}, {&o.FirstPause, defaultFirstPause}, {&o.LongestPause, defaultLongestPause}, {&o.Lease, defaultLease}} {
		if *d.d == 0 {
			*d.d = d.standard
		}
	}
	if o.QueueLimit == 0 {
		o.QueueLimit = defaultQueueLimit
	}
	return &Job{Options: o, metrics: newMetrics(o.Registry)}
}

// Run does the job until ctx ends, whenever no other process does, and returns
// nil.
func (j *Job) Run(ctx context.Context) error {
	metadata.Lead(ctx, j.Store, leaseName, j.Holder, j.Lease, j.Log, j.lead)
	return nil
}

// lead follows the feed and keeps a sender for every webhook.
func (j *Job) lead(ctx context.Context) error {
	defer j.metrics.clear() // who leads next tells
	known := newHooks()
	g, both := errgroup.WithContext(ctx)
	g.Go(func() error { return j.look(both, known) })
	g.Go(func() error {
		select {
		case <-known.ready:
			return (&follower{Job: j, hooks: known}).run(both)
		case <-both.Done():
			return nil
		}
	})
	if err := g.Wait(); ctx.Err() == nil {
		return err
	}
	return nil
}

// look keeps known up to date, and has a sender run for each of them.
func (j *Job) look(ctx context.Context, known *hooks) error {
	senders := map[string]*sender{}
	var running errgroup.Group
	defer func() { _ = running.Wait() }() // senders return nil
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	for {
		list, err := j.Store.Webhooks(ctx)
		if err != nil {
			return err
		}
		now := map[string]*hookState{}
		for _, w := range list {
			s := senders[w.ID]
			if s == nil {
				var sending context.Context
				s = &sender{Job: j, wake: make(chan struct{}, 1)}
				sending, s.stop = context.WithCancel(ctx)
				senders[w.ID] = s
				s.hook.Store(&w)
				running.Go(func() error { s.run(sending); return nil })
			}
			s.hook.Store(&w)
			now[w.ID] = &hookState{events: w.Events, queued: w.Queued, wake: s.wake}
			j.metrics.set(&w)
		}
		for id, s := range senders {
			if now[id] == nil {
				s.stop()
				delete(senders, id)
				j.metrics.forget(id)
			}
		}
		known.set(now)
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(lookEvery):
		}
	}
}

// signal leaves a token, unless there is one.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}
