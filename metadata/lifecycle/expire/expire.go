// Package expire does what the lifecycle rules of buckets say: it walks through
// each bucket that has some, page by page, and removes what is due. One process
// of the cluster does so at a time. What it removes it removes as a client
// would, in a transaction of its own that is bound to what it has looked at: who
// writes meanwhile wins. How far a walk has come is kept, so that one which
// breaks off goes on there.
package expire

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"meridian/metadata"
	"meridian/metadata/lifecycle"
)

// leaseName is the lease of whoever does the job.
const leaseName = "lifecycle"

// Store is what the job reads and changes of the catalogue.
type Store interface {
	metadata.Leases
	metadata.LifecycleRuns
	Bucket(ctx context.Context, name string) (metadata.Bucket, error)
	List(ctx context.Context, q metadata.ListQuery) (metadata.ListPage, error)
	Delete(ctx context.Context, r metadata.Ref, c metadata.Cond) (metadata.Version, error)
	ListUploads(ctx context.Context, q metadata.UploadQuery) (metadata.UploadPage, error)
	AbortUpload(ctx context.Context, uploadID string) (metadata.Upload, error)
}

var _ Store = metadata.Store(nil)

// Options describe the job. Store, Holder, Log and Registry are required.
type Options struct {
	Store Store
	// Holder names this process among all, and no other start of it.
	Holder   string
	Log      *slog.Logger
	Registry prometheus.Registerer
	// Clock counts the days of rules.
	Clock lifecycle.Clock
	// Every is the time between the beginnings of two walks through a bucket;
	// where it is zero an hour, or a quarter of a day that is shorter than that.
	Every time.Duration
	// Lease is how long another process waits for one that has vanished; 30 s
	// where it is zero.
	Lease time.Duration
	// Page is how many versions are looked at in one go; 1000 where it is zero.
	Page int
	Now  func() time.Time // nil: time.Now
}

const (
	defaultEvery = time.Hour
	defaultLease = 30 * time.Second
	maxPage      = 1000
	// lookEvery is the longest time between two looks for walks that are due.
	lookEvery = 5 * time.Second
	// due is how many of them are read at once, and parallel how many keys of a
	// page are dealt with at once.
	due      = 100
	parallel = 8
)

// Job does what rules say.
type Job struct {
	Options
	metrics *metrics
}

// New prepares a job; Run does it.
func New(o Options) *Job {
	if o.Every == 0 {
		o.Every = defaultEvery
		if d := o.Clock.Day / 4; d > 0 {
			o.Every = min(o.Every, d)
		}
	}
	if o.Lease == 0 {
		o.Lease = defaultLease
	}
	if o.Page == 0 {
		o.Page = maxPage
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Job{Options: o, metrics: newMetrics(o.Registry)}
}

// Run does the job until ctx ends, whenever no other process does, and returns
// nil.
func (j *Job) Run(ctx context.Context) error {
	metadata.Lead(ctx, j.Store, leaseName, j.Holder, j.Lease, j.Log, j.lead)
	return nil
}

// lead walks through buckets as they are due. One that cannot be walked does not
// keep the others waiting for ever: it is tried again with the next look.
func (j *Job) lead(ctx context.Context) error {
	for {
		runs, err := j.Store.DueLifecycles(ctx, j.Every, due)
		if err != nil {
			return err
		}
		failed := 0
		for _, r := range runs {
			if err := j.walk(ctx, r); err != nil {
				if ctx.Err() != nil {
					return nil //nolint:nilerr // the end of ctx is no failure
				}
				j.Log.WarnContext(ctx, "lifecycle rules could not be applied; they are tried again", "bucket", r.Bucket, "err", err)
				j.metrics.runs.WithLabelValues(runFailed).Inc()
				failed++
			}
		}
		if len(runs) == due && failed < due {
			continue
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(min(lookEvery, max(j.Every/2, 50*time.Millisecond))):
		}
	}
}

// walk goes through a bucket, from where r has come to its end.
func (j *Job) walk(ctx context.Context, r metadata.LifecycleRun) error {
	b, err := j.Store.Bucket(ctx, r.Bucket)
	if errors.Is(err, metadata.ErrNoSuchBucket) {
		return nil
	}
	if err != nil {
		return err
	}
	rules, err := lifecycle.Parse(b.Config[lifecycle.ConfigName])
	if err != nil {
		return err
	}
	if rules == nil { // taken away while the walk had broken off
		rules = &lifecycle.Config{}
	}
	began := time.Now()
	if r, err = j.Store.SaveLifecycle(ctx, r, false); err != nil {
		return gone(err)
	}
	w := &walker{Job: j, rules: rules, document: b.Config[lifecycle.ConfigName], run: r, resumed: r.After, now: j.Now()}
	if w.run.Rules == nil {
		w.run.Rules = map[string]*metadata.LifecycleCounts{}
	}
	err = w.all(ctx)
	if err != nil && !errors.Is(err, errRulesChanged) {
		return gone(err)
	}
	done := err == nil || w.document == nil // by other rules it begins anew, with the next look
	w.run.After = ""
	if w.run, err = j.Store.SaveLifecycle(ctx, w.run, done); err != nil || !done {
		return gone(err)
	}
	j.tell(ctx, &w.run, time.Since(began))
	return nil
}

// gone makes the end of a bucket, while it is walked, no failure.
func gone(err error) error {
	if errors.Is(err, metadata.ErrNoSuchBucket) {
		return nil
	}
	return err
}

// tell says what a walk has done.
func (j *Job) tell(ctx context.Context, r *metadata.LifecycleRun, took time.Duration) {
	level, result := slog.LevelDebug, runDone
	if (r.LifecycleCounts != metadata.LifecycleCounts{}) {
		level = slog.LevelInfo
	}
	if r.Errors > 0 {
		level, result = slog.LevelWarn, runIncomplete
	}
	j.metrics.runs.WithLabelValues(result).Inc()
	j.Log.Log(ctx, level, "lifecycle rules applied", "bucket", r.Bucket, "run", r.ID, "scanned", r.Scanned,
		"expired", r.Expired, "markers_made", r.MarkersMade, "noncurrent", r.Noncurrent, "markers_removed", r.MarkersRemoved,
		"uploads", r.Uploads, "bytes", r.Bytes, "locked", r.Locked, "overtaken", r.Overtaken,
		"errors", r.Errors, "error", r.Error, "took", took)
}
