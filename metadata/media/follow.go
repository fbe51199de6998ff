package media

import (
	"context"
	"encoding/json"
	"errors"
	"slices"

	"golang.org/x/sync/errgroup"

	"meridian/metadata"
	"meridian/metadata/media/probe"
)

const (
	// batch is how many events are taken at once, and parallel how many of
	// their objects are looked up at once.
	batch    = 1000
	parallel = 8
)

// object is what a record belongs to.
type object struct{ bucket, key string }

// change is what a batch of events says of an object.
type change struct {
	object
	version string // the newest that an event names
	media   bool   // whether the current version may be a photo or video
	gone    bool   // whether there may be none
}

// doubtful says whether there may be nothing to do for c.
func (c *change) doubtful() bool { return c.gone || !c.media }

// follow brings the records into step with every change in the feed. The cursor
// is saved behind what is done, so that nothing is missed.
func (w *Worker) follow(ctx context.Context) error {
	after, err := w.store.Cursor(ctx, cursorName)
	if err != nil {
		return err
	}
	for {
		events, err := w.store.Poll(ctx, after, batch)
		if errors.Is(err, metadata.ErrFeedGone) {
			w.log.WarnContext(ctx, "media worker: the feed no longer holds what came next; comparing everything", "after", after.String())
			if after, err = w.resync(ctx); err == nil {
				err = w.store.SaveCursor(ctx, cursorName, after)
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
			if err := w.apply(ctx, changes(events)); err != nil {
				return err
			}
			signal(w.dropped)
			after = events[len(events)-1].Seq
			if err := w.store.SaveCursor(ctx, cursorName, after); err != nil {
				return err
			}
		}
		if len(events) == batch {
			continue
		}
		if err := w.store.Wait(ctx); err != nil {
			return err
		}
	}
}

// changes sums up events by object. Since the catalogue is asked what is there
// now, only the last of several events counts.
func changes(events []metadata.Event) []change {
	at := map[object]int{}
	var list []change
	for _, e := range events {
		c := change{object: object{e.Bucket, e.Key}, version: e.VersionID, media: true}
		switch e.Type {
		case metadata.ObjectCreated:
			var d metadata.ObjectData
			if json.Unmarshal(e.Data, &d) == nil {
				c.media = probe.TypeOf(d.ContentType, e.Key) != ""
			}
		case metadata.ObjectDeleted:
			c.gone = true
		case metadata.BlobPlaced, metadata.BlobRemoved:
		default:
			continue
		}
		if e.Bucket == "" || e.Key == "" || metadata.IsSystemBucket(e.Bucket) {
			continue
		}
		i, seen := at[c.object]
		if !seen {
			at[c.object] = len(list)
			list = append(list, c)
			continue
		}
		list[i].version = max(list[i].version, c.version)
		list[i].media, list[i].gone = c.media, c.gone
	}
	return list
}

// apply handles changes of different objects, several at once.
func (w *Worker) apply(ctx context.Context, list []change) error {
	list, err := w.concerning(ctx, list)
	if err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(parallel)
	for _, c := range list {
		g.Go(func() error {
			if !c.media { // nothing to look up; an older photo may be gone
				return w.store.DropMedia(ctx, c.bucket, c.key, c.version)
			}
			return w.reconcile(ctx, c.object, c.version)
		})
	}
	return g.Wait()
}

// concerning leaves out what there is nothing to do for: most objects are neither
// photos nor videos, and a look at all of them at once is all that they cost. What
// changes after it is told by an event that is still to come.
func (w *Worker) concerning(ctx context.Context, list []change) ([]change, error) {
	var asked []metadata.Ref
	for _, c := range list {
		if c.doubtful() {
			asked = append(asked, metadata.Ref{Bucket: c.bucket, Key: c.key})
		}
	}
	if len(asked) == 0 {
		return list, nil
	}
	traces, err := w.store.MediaTraces(ctx, asked)
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(list, func(c change) bool {
		if !c.doubtful() {
			return false
		}
		t := traces[0]
		traces = traces[1:]
		return !t.Record && (!c.media || !t.Current)
	}), nil
}

// reconcile makes the record of an object what its current version says. seen is
// the newest version known to have been there.
func (w *Worker) reconcile(ctx context.Context, o object, seen string) error {
	overruled := ""
	for {
		v, err := w.store.Lookup(ctx, metadata.Ref{Bucket: o.bucket, Key: o.key})
		none := isAny(err, metadata.ErrNoSuchKey, metadata.ErrNoSuchVersion, metadata.ErrDeleteMarker)
		switch {
		case errors.Is(err, metadata.ErrNoSuchBucket):
			return nil // and its records with it
		case err != nil && !none:
			return err
		case none || probe.KindOf(v.MediaType()) == "" || v.Encryption != nil && v.Encryption.Kind == metadata.CustomerKeys:
			// What only its owner's key opens, nobody here can look at.
			// The record may be of a removed version newer than v.
			return w.store.DropMedia(ctx, o.bucket, o.key, max(seen, v.ID))
		}
		newer, err := w.record(ctx, v, overruled)
		if err != nil || newer == "" {
			return err
		}
		overruled = newer
	}
}

var (
	errNewer     = errors.New("record is of a newer version")
	errUnchanged = errors.New("record says so already")
)

// record makes the record of v's key one of v, and queues it for probing. A
// record of a newer version is left alone and that version returned: either it
// was written meanwhile, or it is gone again and v is current once more. The
// caller, having looked again, names it as overruled in the second case.
func (w *Worker) record(ctx context.Context, v metadata.Version, overruled string) (newer string, err error) {
	var unchanged metadata.Media
	m, err := w.store.UpsertMedia(ctx, v.Bucket, v.Key, func(m *metadata.Media) error {
		if m.VersionID > v.ID && m.VersionID != overruled {
			newer = m.VersionID
			return errNewer
		}
		unchanged = *m
		return describe(m, v)
	})
	switch {
	case errors.Is(err, errNewer):
		return newer, nil
	case errors.Is(err, errUnchanged):
		// Whoever looked at the file while v was not the current version has
		// left the record unfinished.
		m = unchanged
	case errors.Is(err, metadata.ErrNoSuchBucket):
		return "", nil
	case errors.Is(err, metadata.ErrInvalid):
		w.log.WarnContext(ctx, "media worker: no record can be kept", "bucket", v.Bucket, "key", v.Key, "error", err)
		return "", nil
	case err != nil:
		return "", err
	}
	if m.State == metadata.MediaProcessing {
		w.queue.push(job{object: object{m.Bucket, m.Key}, id: m.ID, version: m.VersionID})
	}
	return "", nil
}

// describe sets in a record what the catalogue knows of a version. What people
// wrote into it stays.
func describe(m *metadata.Media, v metadata.Version) error {
	if m.VersionID == v.ID && m.State != metadata.MediaPending {
		if m.Blob == v.Blob && slices.Equal(m.Regions, v.Regions) {
			return errUnchanged
		}
		m.Blob, m.Regions = v.Blob, v.Regions
		return nil
	}
	t := v.MediaType()
	m.Kind, m.ContentType = probe.KindOf(t), t
	m.VersionID, m.Size, m.ETag, m.Blob, m.Regions = v.ID, v.Size, v.ETag, v.Blob, v.Regions
	m.Width, m.Height, m.Duration, m.Codecs, m.TakenAt = 0, 0, 0, nil, nil
	m.Renditions = nil // of the version before; they are dropped with this
	m.State, m.Error = metadata.MediaProcessing, ""
	return nil
}

// resync compares every object and every record, for a worker that comes too
// late to the feed, and returns where to go on in it.
func (w *Worker) resync(ctx context.Context) (metadata.Seq, error) {
	head, err := w.store.Head(ctx)
	if err != nil {
		return metadata.Seq{}, err
	}
	for b, err := range w.store.Buckets(ctx, "") {
		if err != nil {
			return metadata.Seq{}, err
		}
		if metadata.IsSystemBucket(b.Name) {
			continue
		}
		if err := w.resyncBucket(ctx, b.Name); err != nil {
			return metadata.Seq{}, err
		}
	}
	// What is left are records of objects that are gone.
	err = w.eachRecord(ctx, metadata.MediaQuery{}, func(m metadata.Media) (bool, error) {
		if m.VersionID == "" {
			return true, nil // still to come
		}
		return true, w.reconcile(ctx, object{m.Bucket, m.Key}, m.VersionID)
	})
	return head, err
}

func (w *Worker) resyncBucket(ctx context.Context, bucket string) error {
	for q := (metadata.ListQuery{Bucket: bucket, Limit: batch}); ; {
		page, err := w.store.List(ctx, q)
		if errors.Is(err, metadata.ErrNoSuchBucket) {
			return nil
		}
		if err != nil {
			return err
		}
		var list []change
		for _, v := range page.Versions {
			if probe.KindOf(v.MediaType()) != "" {
				list = append(list, change{object: object{bucket, v.Key}, version: v.ID, media: true})
			}
		}
		if err := w.apply(ctx, list); err != nil {
			return err
		}
		if !page.Truncated {
			return nil
		}
		q.After = page.Next
	}
}

// eachRecord calls fn for the records that q selects until it fails or says
// stop.
func (w *Worker) eachRecord(ctx context.Context, q metadata.MediaQuery, fn func(metadata.Media) (more bool, err error)) error {
	for q.Limit = 200; ; {
		page, err := w.store.ListMedia(ctx, q)
		if err != nil {
			return err
		}
		for _, m := range page.Media {
			if more, err := fn(m); err != nil || !more {
				return err
			}
		}
		if q.Cursor = page.Next; q.Cursor == "" {
			return nil
		}
	}
}
