package media

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"meridian/metadata"
	"meridian/metadata/media/faststart"
)

const (
	// renderTimeout bounds one try to make a rendition.
	renderTimeout = 6 * time.Hour
	// lateUploads is how long after a rendition was dropped somebody may still
	// put it: who began before it was.
	lateUploads = renderTimeout + time.Hour
	// clearEvery is how often dropped renditions are looked for where no event
	// says that there are some.
	clearEvery = time.Minute
)

// movable reports whether files of a type have an index that can be moved.
func movable(contentType string) bool {
	switch contentType {
	case "video/mp4", "video/quicktime", "video/3gpp":
		return true
	}
	return false
}

// wantFaststart adds to a record the rendition that is to be made.
func wantFaststart(m *metadata.Media) {
	ext := ".mp4"
	if m.ContentType == "video/quicktime" {
		ext = ".mov"
	}
	m.Renditions = []metadata.Rendition{{
		Kind: metadata.RenditionFaststart, State: metadata.RenditionPending, ContentType: m.ContentType,
		Key: metadata.RenditionKey(m.Bucket, m.VersionID, metadata.RenditionFaststart, ext),
	}}
}

// pendingRendition is the rendition of a record that is to be made; nil if there
// is none.
func pendingRendition(m *metadata.Media) *metadata.Rendition {
	for i := range m.Renditions {
		if r := &m.Renditions[i]; r.Kind == metadata.RenditionFaststart && r.State == metadata.RenditionPending {
			return r
		}
	}
	return nil
}

// remake queues the renditions that are still to be made, as refill does records.
func (w *Worker) remake(ctx context.Context) error {
	return w.keepFull(ctx, w.making, metadata.MediaQuery{Rendition: metadata.RenditionPending})
}

// render makes the rendition of one record. Why it failed stands in the record
// until it succeeds.
func (w *Worker) render(ctx context.Context, j job) error {
	ctx, cancel := context.WithTimeout(ctx, renderTimeout)
	defer cancel()
	m, err := w.store.Media(ctx, j.id)
	if errors.Is(err, metadata.ErrNoSuchMedia) || err == nil && (m.VersionID != j.version || pendingRendition(&m) == nil) {
		return nil
	}
	if err != nil {
		return err
	}
	v, err := w.store.Lookup(ctx, metadata.Ref{Bucket: j.bucket, Key: j.key})
	if isAny(err, metadata.ErrNoSuchBucket, metadata.ErrNoSuchKey, metadata.ErrNoSuchVersion, metadata.ErrDeleteMarker) ||
		err == nil && v.ID != j.version {
		return nil // the event of that change settles the record
	}
	if err != nil {
		return err
	}
	r := pendingRendition(&m)
	stored, err := w.put(ctx, v, r)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return w.settle(ctx, j, r.Key, stored, err)
}

// put makes the rendition, unless it is there already: another process may have
// made it, or this one, before it was ended.
func (w *Worker) put(ctx context.Context, v metadata.Version, r *metadata.Rendition) (Stored, error) {
	bytes, err := w.opener.OpenAt(ctx, v)
	if err != nil {
		return Stored{}, fmt.Errorf("open %s/%s version %s: %w", v.Bucket, v.Key, v.ID, err)
	}
	plan, err := faststart.Make(bytes, v.Size)
	if err != nil {
		return Stored{}, err
	}
	there, err := w.store.Lookup(ctx, metadata.Ref{Bucket: metadata.RenditionBucket, Key: r.Key})
	switch {
	case err == nil && there.Size == plan.Size:
		return Stored{Size: there.Size, ETag: there.ETag}, nil
	case errors.Is(err, metadata.ErrNoSuchBucket):
		if err := w.makeBucket(ctx); err != nil {
			return Stored{}, err
		}
	case err != nil && !errors.Is(err, metadata.ErrNoSuchKey):
		return Stored{}, err
	}
	return w.shelf.Put(ctx, v, r.Key, r.ContentType, plan)
}

// makeBucket makes the bucket of renditions. Each stays in the region that took
// it, which is one that holds the source; others read it from there.
func (w *Worker) makeBucket(ctx context.Context) error {
	_, err := w.store.CreateBucket(ctx, metadata.Bucket{
		Name: metadata.RenditionBucket, Region: w.region, Placement: metadata.Placement{"home"},
		Visibility: metadata.Private, Owner: metadata.SystemOwner,
	})
	if errors.Is(err, metadata.ErrBucketExists) {
		return nil
	}
	return err
}

// settle writes into the record what became of its rendition.
func (w *Worker) settle(ctx context.Context, j job, key string, stored Stored, failure error) error {
	final := isAny(failure, faststart.ErrMalformed, faststart.ErrUnsupported)
	_, err := w.store.UpdateMedia(ctx, j.id, func(m *metadata.Media) error {
		r := pendingRendition(m)
		if m.VersionID != j.version || r == nil {
			return errOvertaken
		}
		switch {
		case errors.Is(failure, faststart.ErrNotNeeded):
			m.Renditions = nil
		case failure == nil:
			r.State, r.Size, r.ETag, r.Error = metadata.RenditionReady, stored.Size, stored.ETag, ""
		default:
			if final {
				r.State = metadata.RenditionFailed
			}
			r.Error = strings.ToValidUTF8(strings.ReplaceAll(failure.Error(), "\x00", ""), "?")
		}
		return nil
	})
	switch {
	case isAny(err, errOvertaken, metadata.ErrNoSuchMedia):
		return w.withdraw(ctx, j, key)
	case err != nil:
		return err
	case failure == nil:
		w.log.InfoContext(ctx, "media worker: made a rendition", "key", key, "bytes", stored.Size)
		return nil
	case final, errors.Is(failure, faststart.ErrNotNeeded):
		w.log.InfoContext(ctx, "media worker: no rendition", "bucket", j.bucket, "key", j.key, "reason", failure)
		return nil
	}
	return failure
}

// withdraw removes a rendition that came too late: its source was overwritten or
// deleted meanwhile. Where another process was merely faster it stays.
func (w *Worker) withdraw(ctx context.Context, j job, key string) error {
	m, err := w.store.Media(ctx, j.id)
	switch {
	case err == nil && slices.ContainsFunc(m.Renditions, func(r metadata.Rendition) bool { return r.Key == key }):
		return nil
	case err != nil && !errors.Is(err, metadata.ErrNoSuchMedia):
		return err
	}
	return w.remove(ctx, key)
}

func (w *Worker) remove(ctx context.Context, key string) error {
	_, err := w.store.Delete(ctx, metadata.Ref{Bucket: metadata.RenditionBucket, Key: key}, metadata.Cond{})
	if err != nil && !isAny(err, metadata.ErrNoSuchKey, metadata.ErrNoSuchBucket) {
		return fmt.Errorf("remove rendition %s: %w", key, err)
	}
	return nil
}

// clear removes renditions that no record has any more.
func (w *Worker) clear(ctx context.Context) error {
	tick := time.NewTicker(clearEvery)
	defer tick.Stop()
	for {
		keys, err := w.store.DroppedRenditions(ctx, batch)
		if err != nil {
			return err
		}
		for _, key := range keys {
			if err := w.remove(ctx, key); err != nil {
				return err
			}
		}
		if len(keys) > 0 {
			if err := w.store.RenditionsRemoved(ctx, keys, lateUploads); err != nil {
				return err
			}
			continue
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-w.dropped:
		case <-tick.C:
		}
	}
}
