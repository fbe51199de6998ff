package metadata

import (
	"context"
	"time"
)

// LifecycleRun is one walk through a bucket by its lifecycle rules, and what it
// has done.
type LifecycleRun struct {
	ID       int64      `json:"id"` // 0: not begun
	Bucket   string     `json:"bucket"`
	Started  time.Time  `json:"started"`
	Updated  time.Time  `json:"updated"`
	Finished *time.Time `json:"finished,omitempty"`
	// After is the last key that was dealt with: where the run goes on after it
	// broke off.
	After string `json:"-"`
	LifecycleCounts
	// Rules are the counts by ID of the rule.
	Rules map[string]*LifecycleCounts `json:"rules"`
	// Scanned counts versions and delete markers looked at.
	Scanned int64 `json:"scanned"`
	// Errors counts what could not be done; the next run tries again. Error is
	// the last of them.
	Errors int64  `json:"errors"`
	Error  string `json:"error,omitempty"`
}

// LifecycleCounts is what was done by rules.
type LifecycleCounts struct {
	Expired        int64 `json:"expired"`         // current versions removed
	MarkersMade    int64 `json:"markers_made"`    // current versions hidden by a delete marker
	Noncurrent     int64 `json:"noncurrent"`      // noncurrent versions removed
	MarkersRemoved int64 `json:"markers_removed"` // delete markers removed
	Uploads        int64 `json:"uploads"`         // uploads aborted
	Bytes          int64 `json:"bytes"`           // of the versions removed
	// Locked counts versions that object lock protects, Overtaken those that
	// somebody changed while they were looked at. Both stayed.
	Locked    int64 `json:"locked"`
	Overtaken int64 `json:"overtaken"`
}

// Add adds other to c.
func (c *LifecycleCounts) Add(other LifecycleCounts) {
	c.Expired += other.Expired
	c.MarkersMade += other.MarkersMade
	c.Noncurrent += other.Noncurrent
	c.MarkersRemoved += other.MarkersRemoved
	c.Uploads += other.Uploads
	c.Bytes += other.Bytes
	c.Locked += other.Locked
	c.Overtaken += other.Overtaken
}

// LifecycleRuns keeps the runs of buckets for a month.
type LifecycleRuns interface {
	// DueLifecycles are up to limit runs to be done now, longest due first: those
	// that have not finished, and new ones of buckets with rules whose last one
	// began longer ago than every.
	DueLifecycles(ctx context.Context, every time.Duration, limit int) ([]LifecycleRun, error)
	// SaveLifecycle records how far a run has come, and begins one without ID;
	// with finished it ends. No bucket: ErrNoSuchBucket.
	SaveLifecycle(ctx context.Context, r LifecycleRun, finished bool) (LifecycleRun, error)
	// Lifecycles are the runs of a bucket below an ID (0: all), newest first.
	Lifecycles(ctx context.Context, bucket string, below int64, limit int) ([]LifecycleRun, error)
}
