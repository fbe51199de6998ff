// Package replicate makes the copies that a region is to hold of what others
// have taken. It takes them from the catalogue's queue, pulls the bytes from the
// nearest region that has them, and puts them into the own store, checked
// against the checksum of the write. A copy is made under a lease, so several
// origins of a region share the work; one that breaks off is tried again, and a
// large one goes on where it was.
package replicate

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"meridian/metadata"
	"meridian/origin/blob"
)

// Catalog is what a replicator asks of the catalogue; metadata.Catalog has it.
type Catalog interface {
	metadata.Copies
	Lookup(ctx context.Context, r metadata.Ref) (metadata.Version, error)
	Placed(ctx context.Context, blob, region string) error
	Wait(ctx context.Context) error
}

// Source reads blobs of other regions; origin.Objects does.
type Source interface {
	// OpenStored reads n bytes from offset off of v's blob, to the end where n is
	// -1, and tells from which region they come.
	OpenStored(ctx context.Context, v metadata.Version, off, n int64) (io.ReadCloser, string, error)
}

// Options describe a replicator. Those not marked optional are required.
type Options struct {
	Region  string
	Store   blob.Store
	Catalog Catalog
	Source  Source
	// Holder names this process among all origins, and no other start of it.
	Holder   string
	Log      *slog.Logger
	Registry prometheus.Registerer
	// Parallel is how many copies are made at once; 32 where it is zero.
	Parallel int
	// PartSize is the size in bytes of the parts of a large copy, which need not
	// be made again after it broke off; 64 MiB where it is zero. Blobs of more
	// than two parts are large.
	PartSize int64
	// Lease is how long a copy is ours without a sign of life; a minute where it
	// is zero.
	Lease time.Duration
	// FirstPause and LongestPause are between two tries of a copy; 1 s and 2 min
	// where they are zero.
	FirstPause, LongestPause time.Duration
}

// Defaults of Options.
const (
	defaultParallel     = 32
	defaultPartSize     = 64 << 20
	defaultLease        = time.Minute
	defaultFirstPause   = time.Second
	defaultLongestPause = 2 * time.Minute
)

const (
	// takeEvery is the least time between two looks into the queue, reviewEvery
	// the time between two looks for placements that changed, countEvery between
	// two counts of the backlog.
	takeEvery   = 20 * time.Millisecond
	reviewEvery = time.Second
	countEvery  = 5 * time.Second
	// reviewBatch is how many versions are compared with a placement at once.
	reviewBatch = 500
	// brake is the longest pause of a replicator whose copies all fail.
	brake = 5 * time.Second
)

// Replicator makes the copies of one region.
type Replicator struct {
	Options
	metrics *metrics
	slots   chan struct{}

	mu       sync.Mutex
	failures int // in a row
}

// New returns a replicator; Run makes it work.
func New(o Options) *Replicator {
	if o.Parallel == 0 {
		o.Parallel = defaultParallel
	}
	if o.PartSize == 0 {
		o.PartSize = defaultPartSize
	}
	for _, d := range []struct {
		d        *time.Duration
		standard time.Duration
	}{{&o.Lease, defaultLease}, {&o.FirstPause, defaultFirstPause}, {&o.LongestPause, defaultLongestPause}} {
		if *d.d == 0 {
			*d.d = d.standard
		}
	}
	return &Replicator{Options: o, metrics: newMetrics(o.Region, o.Registry), slots: make(chan struct{}, o.Parallel)}
}

// Run copies until ctx ends. Copies under way are given back then.
func (r *Replicator) Run(ctx context.Context) error {
	for _, loop := range []func(context.Context) error{r.addRegion, r.take} {
		if err := r.insist(ctx, loop); err != nil {
			return nil //nolint:nilerr // the end of ctx is no failure
		}
	}
	return nil
}

// insist runs loop until it returns nil or ctx ends, whose error it returns.
func (r *Replicator) insist(ctx context.Context, loop func(context.Context) error) error {
	for {
		err := loop(ctx)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err == nil:
			return nil
		}
		r.Log.Warn("replication waits for the catalogue", "err", err)
		if err := pause(ctx, time.Second); err != nil {
			return err
		}
	}
}

func (r *Replicator) addRegion(ctx context.Context) error { return r.Catalog.AddRegion(ctx, r.Region) }

// take hands copies to goroutines as there are slots, and does the rest that
// comes up beside them.
func (r *Replicator) take(ctx context.Context) error {
	ctx, stop := context.WithCancel(ctx)
	var running sync.WaitGroup
	defer running.Wait()
	defer stop()
	running.Go(func() { r.every(ctx, reviewEvery, r.review) })
	running.Go(func() { r.every(ctx, countEvery, r.count) })
	for {
		n, err := r.reserve(ctx)
		if err != nil {
			return err
		}
		list, err := r.Catalog.TakeCopies(ctx, r.Region, r.Holder, n, r.Lease)
		for range n - len(list) {
			<-r.slots
		}
		if err != nil {
			return err
		}
		for _, c := range list {
			running.Go(func() {
				defer func() { <-r.slots }()
				r.copy(ctx, c)
			})
		}
		wait := takeEvery
		if len(list) == 0 {
			if err := r.Catalog.Wait(ctx); err != nil {
				return err
			}
		}
		if err := pause(ctx, max(wait, r.braking())); err != nil {
			return err
		}
	}
}

// reserve waits for a free slot and takes all there are; while everything fails
// it takes one, to try.
func (r *Replicator) reserve(ctx context.Context) (n int, err error) {
	select {
	case r.slots <- struct{}{}:
	case <-ctx.Done():
		return 0, ctx.Err()
	}
	n = 1
	for r.braking() == 0 {
		select {
		case r.slots <- struct{}{}:
			n++
			continue
		default:
		}
		break
	}
	return n, nil
}

// braking is the pause that the failures in a row ask for: with the own store
// gone, or all other regions, every copy fails, and there is no use in trying
// thousands.
func (r *Replicator) braking() time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.failures < r.Parallel {
		return 0
	}
	return min(r.FirstPause<<min(r.failures/r.Parallel, 10)/8, brake)
}

// every calls do until ctx ends, at once and then after each pause.
func (r *Replicator) every(ctx context.Context, d time.Duration, do func(context.Context) error) {
	for {
		if err := do(ctx); err != nil && ctx.Err() == nil {
			r.Log.Warn("replication", "err", err)
		}
		if pause(ctx, d) != nil {
			return
		}
	}
}

// review compares what there is with placements that changed.
func (r *Replicator) review(ctx context.Context) error {
	for {
		if more, err := r.Catalog.ReviewPlacements(ctx, reviewBatch); err != nil || !more {
			return err
		}
	}
}

// count tells the metrics of the backlog.
func (r *Replicator) count(ctx context.Context) error {
	list, err := r.Catalog.Backlogs(ctx)
	if err != nil {
		return err
	}
	own := metadata.Backlog{Region: r.Region}
	for _, b := range list {
		if b.Region == r.Region {
			own = b
		}
	}
	r.metrics.set(own)
	return nil
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

// errGone says that there is nothing to copy any more.
var errGone = errors.New("the version is gone")
