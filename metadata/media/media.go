// Package media keeps the records of photos and videos in step with the objects
// they describe. Its Worker follows the feed: a record appears for every photo
// or video, however it was written, goes when the object goes, and follows the
// current version of its key. What the file says of itself (size, length,
// codecs, when it was taken) is added as soon as somebody has looked at it.
//
// Several workers may run on one catalogue, as when several metadata processes
// do. They share a cursor and do the same things, each of which is the same done
// twice; some work is then done twice, and nothing goes wrong.
package media

import (
	"context"
	"errors"
	"io"
	"iter"
	"log/slog"
	"time"

	"golang.org/x/sync/errgroup"

	"meridian/metadata"
)

// cursorName is the Worker's place in the feed.
const cursorName = "media"

// Store is the part of metadata.Store that the Worker needs.
type Store interface {
	metadata.Feed
	metadata.Cursors
	metadata.MediaRecords
	Buckets(ctx context.Context, owner string) iter.Seq2[metadata.Bucket, error]
	Lookup(ctx context.Context, r metadata.Ref) (metadata.Version, error)
	List(ctx context.Context, q metadata.ListQuery) (metadata.ListPage, error)
}

var _ Store = metadata.Store(nil)

// Opener gives the bytes of a version. ctx bounds all reads, which one goroutine
// at a time makes. An error of OpenAt or of a read says that the bytes cannot be
// had now.
type Opener interface {
	OpenAt(ctx context.Context, v metadata.Version) (io.ReaderAt, error)
}

// Options are what a Worker works with.
type Options struct {
	Store  Store
	Opener Opener
	Log    *slog.Logger
	// Probers is how many files are looked at at once; 3 if zero.
	Probers int
}

// Worker follows the feed and looks at files.
type Worker struct {
	store   Store
	opener  Opener
	log     *slog.Logger
	probers int
	queue   *queue
}

// New prepares a Worker; Run does its work.
func New(o Options) *Worker {
	w := &Worker{store: o.Store, opener: o.Opener, log: o.Log, probers: o.Probers, queue: newQueue(queueLimit)}
	if w.probers <= 0 {
		w.probers = 3
	}
	return w
}

// Run works until ctx ends, and returns nil then. Errors of the catalogue or the
// bytes are logged and tried again.
func (w *Worker) Run(ctx context.Context) error {
	var g errgroup.Group
	g.Go(func() error { w.insist(ctx, "follow the feed", w.follow); return nil })
	g.Go(func() error { w.insist(ctx, "look for unfinished records", w.refill); return nil })
	for range w.probers {
		g.Go(func() error { w.probe(ctx); return nil })
	}
	return g.Wait()
}

// insist runs do until ctx ends, again after a pause whenever it fails.
func (w *Worker) insist(ctx context.Context, what string, do func(context.Context) error) {
	pause := firstPause
	for ctx.Err() == nil {
		began := time.Now()
		err := do(ctx)
		if ctx.Err() != nil {
			return
		}
		if time.Since(began) > time.Minute {
			pause = firstPause // it had worked
		}
		w.log.WarnContext(ctx, "media worker: "+what, "error", err, "again_in", pause)
		if sleep(ctx, pause) != nil {
			return
		}
		pause = min(2*pause, lastPause)
	}
}

// Pauses before something is tried again, doubling from the first to the last.
const (
	firstPause = 250 * time.Millisecond
	lastPause  = time.Minute
)

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}

// isAny reports whether err is one of those given.
func isAny(err error, of ...error) bool {
	for _, e := range of {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}
