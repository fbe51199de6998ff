package media

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"meridian/metadata"
	"meridian/metadata/media/faststart"
	"meridian/metadata/media/probe"
)

// probeTimeout bounds one look at a file.
const probeTimeout = time.Minute

// refill queues the records that are still to be looked at: those that another
// process left behind, and later those that found the queue full.
func (w *Worker) refill(ctx context.Context) error {
	return w.keepFull(ctx, w.queue, metadata.MediaQuery{State: metadata.MediaProcessing})
}

// keepFull queues the records that q selects, whenever the queue is empty.
func (w *Worker) keepFull(ctx context.Context, into *queue, q metadata.MediaQuery) error {
	for {
		err := w.eachRecord(ctx, q, func(m metadata.Media) (bool, error) {
			return into.push(job{object: object{m.Bucket, m.Key}, id: m.ID, version: m.VersionID}), nil
		})
		if err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-into.empty:
		}
	}
}

// work does queued jobs until ctx ends. One that cannot be done now comes back
// into the queue, later each time; its record stays as it is.
func (w *Worker) work(ctx context.Context, q *queue, what string, do func(context.Context, job) error) {
	for {
		j, err := q.next(ctx)
		if err != nil {
			return
		}
		err = do(ctx, j)
		switch {
		case err == nil:
			q.done(j)
		case ctx.Err() != nil:
			return
		default:
			pause := min(firstPause<<min(j.tries, 10), lastPause)
			w.log.WarnContext(ctx, "media worker: "+what, "bucket", j.bucket, "key", j.key, "error", err, "again_in", pause)
			j.tries++
			q.again(j, pause)
		}
	}
}

// errOvertaken says that the record is no longer one of the version looked at,
// or was finished by somebody else.
var errOvertaken = errors.New("record was overtaken")

// look probes the file of one record and finishes the record.
func (w *Worker) look(ctx context.Context, j job) error {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	m, err := w.store.Media(ctx, j.id)
	if errors.Is(err, metadata.ErrNoSuchMedia) || err == nil && (m.VersionID != j.version || m.State != metadata.MediaProcessing) {
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
	info, late, err := w.examine(ctx, v)
	if err != nil && !isAny(err, probe.ErrMalformed, probe.ErrUnknown) {
		return err
	}
	m, err = w.store.UpdateMedia(ctx, j.id, func(m *metadata.Media) error {
		if m.VersionID != j.version || m.State != metadata.MediaProcessing {
			return errOvertaken
		}
		finish(m, info, err)
		if late {
			wantFaststart(m)
		}
		return nil
	})
	if isAny(err, errOvertaken, metadata.ErrNoSuchMedia) {
		return nil
	}
	if err == nil && pendingRendition(&m) != nil {
		w.making.push(job{object: j.object, id: j.id, version: j.version})
	}
	return err
}

// examine looks at the bytes of a version. late says that it is a video whose
// index comes behind its samples.
func (w *Worker) examine(ctx context.Context, v metadata.Version) (info probe.Info, late bool, err error) {
	r, err := w.opener.OpenAt(ctx, v)
	if err != nil {
		return probe.Info{}, false, fmt.Errorf("open %s/%s version %s: %w", v.Bucket, v.Key, v.ID, err)
	}
	info, err = probe.Probe(ctx, r, v.Size, v.ContentType, v.Key)
	if err != nil || !movable(info.ContentType) {
		return info, false, err
	}
	late, err = faststart.Needed(r, v.Size)
	return info, late, err
}

// finish sets in a record what looking at the file has told. A format that is
// not read, but may well be what it says, makes the record ready as it is.
func finish(m *metadata.Media, info probe.Info, err error) {
	m.State, m.Error = metadata.MediaReady, ""
	switch {
	case errors.Is(err, probe.ErrMalformed):
		m.State, m.Error = metadata.MediaFailed, strings.ToValidUTF8(strings.ReplaceAll(err.Error(), "\x00", ""), "?")
	case err == nil:
		m.Kind, m.ContentType = info.Kind, info.ContentType
		m.Width, m.Height, m.Duration, m.Codecs, m.TakenAt = info.Width, info.Height, info.Duration, info.Codecs, info.TakenAt
	}
}
