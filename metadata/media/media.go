// Package media keeps the records of photos and videos in step with the objects
// they describe. Its Worker follows the feed: a record appears for every photo
// or video, however it was written, goes when the object goes, and follows the
// current version of its key. What the file says of itself (size, length,
// codecs, when it was taken) is added as soon as somebody has looked at it. Of a
// video whose index comes last a rendition is made that has it in front, and
// removed when the video is overwritten or deleted.
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
	"meridian/metadata/media/faststart"
)

// cursorName is the Worker's place in the feed.
const cursorName = "media"

// Store is the part of metadata.Store that the Worker needs.
type Store interface {
	metadata.Feed
	metadata.Cursors
	metadata.MediaRecords
	metadata.Renditions
	CreateBucket(ctx context.Context, b metadata.Bucket) (metadata.Bucket, error)
	Delete(ctx context.Context, r metadata.Ref, c metadata.Cond) (metadata.Version, error)
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

// Shelf keeps renditions as objects of metadata.RenditionBucket.
type Shelf interface {
	// Put makes the object that the plan says of the bytes of v, near them, in
	// place of what is there under that key. An error says that it cannot be
	// done now.
	Put(ctx context.Context, v metadata.Version, key, contentType string, p faststart.Plan) (Stored, error)
}

// Stored is what a Shelf has put.
type Stored struct {
	Size int64
	ETag string
}

// Options are what a Worker works with.
type Options struct {
	Store  Store
	Opener Opener
	// Shelf keeps renditions; none are made where it is nil.
	Shelf Shelf
	// Region is the home of the bucket that renditions are kept in.
	Region string
	Log    *slog.Logger
	// Probers is how many files are looked at at once; 3 if zero. Makers is how
	// many renditions are made at once; 2 if zero.
	Probers, Makers int
}

// Worker follows the feed and looks at files.
type Worker struct {
	store   Store
	opener  Opener
	shelf   Shelf
	region  string
	log     *slog.Logger
	probers int
	makers  int
	queue   *queue        // of files to be looked at
	making  *queue        // of renditions to be made
	dropped chan struct{} // asks to remove renditions that were dropped
}

// New prepares a Worker; Run does its work.
func New(o Options) *Worker {
	w := &Worker{
		store: o.Store, opener: o.Opener, shelf: o.Shelf, region: o.Region, log: o.Log, probers: o.Probers, makers: o.Makers,
		queue: newQueue(queueLimit), making: newQueue(queueLimit), dropped: make(chan struct{}, 1),
	}
	if w.probers <= 0 {
		w.probers = 3
	}
	if w.makers <= 0 {
		w.makers = 2
	}
	return w
}

// Run works until ctx ends, and returns nil then. Errors of the catalogue or the
// bytes are logged and tried again.
func (w *Worker) Run(ctx context.Context) error {
	var g errgroup.Group
	g.Go(func() error { w.insist(ctx, "follow the feed", w.follow); return nil })
	g.Go(func() error { w.insist(ctx, "look for unfinished records", w.refill); return nil })
	g.Go(func() error { w.insist(ctx, "remove renditions", w.clear); return nil })
	for range w.probers {
		g.Go(func() error { w.work(ctx, w.queue, "look at a file", w.look); return nil })
	}
	if w.shelf != nil {
		g.Go(func() error { w.insist(ctx, "look for renditions to be made", w.remake); return nil })
		for range w.makers {
			g.Go(func() error { w.work(ctx, w.making, "make a rendition", w.render); return nil })
		}
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
