// Package sweep frees the bytes that nothing names any more: blobs of versions
// that were deleted or overwritten, blobs that a crash left without a version,
// and uploads that nobody will finish. Whatever an origin leaves behind when it
// fails halfway is left to it.
package sweep

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"meridian/metadata"
	"meridian/origin/blob"
)

// Catalog is what a sweeper asks of the catalogue; metadata.Catalog has it.
type Catalog interface {
	NamedUploads(ctx context.Context, uploads []string) ([]bool, error)
	Referenced(ctx context.Context, blobs []string) ([]bool, error)
	Dropped(ctx context.Context, region string, before time.Time, limit int) ([]metadata.DroppedBlob, error)
	Freed(ctx context.Context, region string, blobs []string) error
}

// Options describe a sweeper. Region, Store, Catalog and Log are required.
type Options struct {
	Region  string
	Store   blob.Store
	Catalog Catalog
	Log     *slog.Logger
	Now     func() time.Time // nil: time.Now
	// Grace is how long a blob stays after the last version that named it went,
	// so that who reads it can finish; 10 minutes where it is zero.
	Grace time.Duration
	// OrphanAge is how old a blob or an upload is that nothing names before it
	// is taken for a leftover rather than for a write in progress; 24 hours
	// where it is zero.
	OrphanAge time.Duration
	// Every is the time between two rounds, ListEvery between two of those that
	// list the whole store as well; a minute and 6 hours where they are zero.
	Every, ListEvery time.Duration
	// Expire ends uploads that were abandoned and returns how many; it is called
	// with every listing. Optional.
	Expire func(ctx context.Context) (int, error)
}

// Defaults of Options.
const (
	defaultGrace     = 10 * time.Minute
	defaultOrphanAge = 24 * time.Hour
	defaultEvery     = time.Minute
	defaultListEvery = 6 * time.Hour
)

// batch is how many blobs are freed at once.
const batch = 500

// Sweeper frees the unreferenced bytes of one region.
type Sweeper struct {
	Options
}

// New returns a sweeper; Run makes it work.
func New(o Options) *Sweeper {
	set := func(d *time.Duration, standard time.Duration) {
		if *d == 0 {
			*d = standard
		}
	}
	set(&o.Grace, defaultGrace)
	set(&o.OrphanAge, defaultOrphanAge)
	set(&o.Every, defaultEvery)
	set(&o.ListEvery, defaultListEvery)
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Sweeper{o}
}

// Result counts what a round freed.
type Result struct {
	Dropped int // blobs of versions that went
	Orphans int // blobs that nothing named
	Uploads int // of the store, that no upload of the catalogue named
	Expired int // uploads that were abandoned
}

func (r Result) nothing() bool { return r == Result{} }

// Run sweeps until ctx ends, and returns its error. A round that fails is
// logged; the next one goes on.
func (s *Sweeper) Run(ctx context.Context) error {
	tick := time.NewTicker(s.Every)
	defer tick.Stop()
	var listed time.Time
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
		all := listed.IsZero() || time.Since(listed) >= s.ListEvery
		if all {
			listed = time.Now()
		}
		start := time.Now()
		r, err := s.Round(ctx, all)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			s.Log.Warn("sweep failed", "err", err)
		}
		if !r.nothing() {
			s.Log.Info("swept", "dropped", r.Dropped, "orphans", r.Orphans, "uploads", r.Uploads, "expired", r.Expired, "took", time.Since(start))
		}
	}
}

// Round frees the blobs that were dropped long enough ago and, with all, lists
// the store for what nothing names. One part that fails does not keep the others
// from their work.
func (s *Sweeper) Round(ctx context.Context, all bool) (r Result, err error) {
	var errs [4]error
	r.Dropped, errs[0] = s.freeDropped(ctx)
	if all {
		if s.Expire != nil {
			r.Expired, errs[1] = s.Expire(ctx)
		}
		r.Uploads, errs[2] = s.freeUploads(ctx)
		r.Orphans, errs[3] = s.freeOrphans(ctx)
	}
	return r, errors.Join(errs[:]...)
}

// freeDropped frees what the catalogue says went. A blob belongs to one version
// for ever, no version comes back, and a copy that is wanted again is not made
// until we have freed the former one: the catalogue's word is enough.
func (s *Sweeper) freeDropped(ctx context.Context) (freed int, err error) {
	for {
		dropped, err := s.Catalog.Dropped(ctx, s.Region, s.Now().Add(-s.Grace), batch)
		if err != nil || len(dropped) == 0 {
			return freed, err
		}
		keys := make([]string, len(dropped))
		for i, d := range dropped {
			keys[i] = d.Blob
		}
		gone, deleteErr := s.remove(ctx, keys)
		if len(gone) > 0 {
			if err := s.Catalog.Freed(ctx, s.Region, gone); err != nil {
				return freed, errors.Join(deleteErr, err)
			}
		}
		freed += len(gone)
		if deleteErr != nil || len(dropped) < batch {
			return freed, deleteErr
		}
	}
}

// remove deletes blobs and returns those that are gone. One that cannot be
// deleted keeps none of the others.
func (s *Sweeper) remove(ctx context.Context, keys []string) (gone []string, err error) {
	if err := s.Store.Delete(ctx, keys...); err == nil {
		return keys, nil
	}
	var errs []error
	for _, key := range keys {
		if err := s.Store.Delete(ctx, key); err != nil {
			errs = append(errs, fmt.Errorf("free blob: %w", err))
			if ctx.Err() != nil {
				break
			}
			continue
		}
		gone = append(gone, key)
	}
	return gone, errors.Join(errs...)
}
