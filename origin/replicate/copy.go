package replicate

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"meridian/internal/checksum"
	"meridian/metadata"
	"meridian/origin/blob"
	"meridian/origin/record"
)

// afterTimeout bounds what is told to catalogue and store after a copy ended,
// however it did.
const afterTimeout = 10 * time.Second

// copy makes one copy and tells the catalogue what became of it.
func (r *Replicator) copy(ctx context.Context, c metadata.Copy) {
	r.metrics.running.Inc()
	defer r.metrics.running.Dec()
	leased, stop := context.WithCancelCause(ctx)
	kept, held := make(chan struct{}), c // c learns of its upload meanwhile
	go func() {
		defer close(kept)
		r.keep(leased, stop, held)
	}()
	start := time.Now()
	from, err := r.make(leased, &c)
	if cause := context.Cause(leased); err != nil && cause != nil && ctx.Err() == nil && !errors.Is(err, errGone) {
		err = cause
	}
	stop(nil)
	<-kept
	r.conclude(ctx, c, from, time.Since(start), err)
}

// keep holds the lease until ctx ends; where it is lost it ends the copy.
func (r *Replicator) keep(ctx context.Context, stop context.CancelCauseFunc, c metadata.Copy) {
	for pause(ctx, r.Lease/3) == nil {
		err := r.Catalog.KeepCopy(ctx, c, r.Lease)
		switch {
		case errors.Is(err, metadata.ErrCopyLost):
			stop(err)
			return
		case err != nil && ctx.Err() == nil:
			r.Log.Warn("lease of a copy cannot be kept", "blob", c.Blob, "err", err)
		}
	}
}

// conclude tells of the outcome.
func (r *Replicator) conclude(ctx context.Context, c metadata.Copy, from string, took time.Duration, err error) {
	after, cancel := context.WithTimeout(context.WithoutCancel(ctx), afterTimeout)
	defer cancel()
	log := r.Log.With("bucket", c.Bucket, "key", c.Key, "blob", c.Blob, "try", c.Tries)
	var result string
	switch {
	case err == nil:
		result = copied
		r.metrics.bytes.WithLabelValues(from).Add(float64(c.Size))
		log.Debug("copied", "from", from, "bytes", c.Size, "took", took, "waited", time.Since(c.Queued))
	case errors.Is(err, errGone):
		result = gone
		err = r.Catalog.DropCopy(after, c)
		if err == nil && c.Upload != "" {
			err = r.Store.Abort(after, c.Upload)
		}
		if err != nil && !errors.Is(err, metadata.ErrCopyLost) {
			log.Warn("left what was copied of a version that is gone to the sweeper", "err", err)
		}
	case errors.Is(err, metadata.ErrCopyLost):
		// Somebody else goes on with what we have stored, or nobody does, and the
		// sweeper frees it.
		result = lost
		log.Info("copy was taken from us", "err", err)
	case ctx.Err() != nil:
		r.giveBack(after, c, "", 0)
		return
	default:
		result = failed
		wait := r.backOff(c.Tries)
		log.Warn("copy failed", "from", from, "again_in", wait, "err", err)
		r.giveBack(after, c, err.Error(), wait)
	}
	r.metrics.copies.WithLabelValues(result).Inc()
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.failures++; result != failed {
		r.failures = 0
	}
}

func (r *Replicator) giveBack(ctx context.Context, c metadata.Copy, reason string, wait time.Duration) {
	if err := r.Catalog.CopyFailed(ctx, c, reason, wait); err != nil && !errors.Is(err, metadata.ErrCopyLost) {
		r.Log.Warn("copy cannot be given back; its lease will end", "blob", c.Blob, "err", err)
	}
}

// backOff is the pause after so many tries, spread by a quarter to both sides so
// that what failed together is not tried together.
func (r *Replicator) backOff(tries int) time.Duration {
	d := min(r.FirstPause<<min(tries-1, 20), r.LongestPause)
	return d*3/4 + rand.N(d/2+1)
}

// make copies the bytes and records the copy. from is the region they came from.
func (r *Replicator) make(ctx context.Context, c *metadata.Copy) (from string, err error) {
	v, err := r.Catalog.Lookup(ctx, c.Ref)
	switch {
	case isAny(err, metadata.ErrNoSuchBucket, metadata.ErrNoSuchKey, metadata.ErrNoSuchVersion, metadata.ErrDeleteMarker),
		err == nil && v.Blob != c.Blob:
		return "", fmt.Errorf("%w: %s/%s %s", errGone, c.Bucket, c.Key, c.VersionID)
	case err != nil:
		return "", err
	}
	if !slices.Contains(v.Regions, r.Region) {
		if from, err = r.fetch(ctx, c, v); err != nil {
			return from, err
		}
	}
	// What is made is recorded, also where the lease ended or we are to stop:
	// whatever is not recorded, nobody would free.
	after, cancel := context.WithTimeout(context.WithoutCancel(ctx), afterTimeout)
	defer cancel()
	err = r.Catalog.Placed(after, v.Blob, r.Region)
	if errors.Is(err, metadata.ErrNoSuchVersion) {
		// It went while we were at it, and nobody will tell the sweeper of a blob
		// that the catalogue never knew here.
		err = errGone
		if e := r.Store.Delete(after, v.Blob); e != nil {
			r.Log.Warn("left a blob for the sweeper", "blob", v.Blob, "err", e)
		}
	}
	return from, err
}

// fetch sees to it that the own store has the bytes of v.
func (r *Replicator) fetch(ctx context.Context, c *metadata.Copy, v metadata.Version) (from string, err error) {
	// Every other time one region alone is asked, each in its turn: the nearest
	// one might be the one whose bytes are bad.
	if c.Tries%2 == 0 && len(v.Regions) > 1 {
		v.Regions = v.Regions[c.Tries/2%len(v.Regions):][:1]
	}
	if c.Tries > 1 || c.Upload != "" {
		if done, err := r.there(ctx, v); done || err != nil {
			return "", err
		}
	}
	if v.StoredSize() > 2*r.PartSize {
		return r.fetchParts(ctx, c, v)
	}
	from, err = r.fetchWhole(ctx, v)
	if errors.Is(err, blob.ErrExists) {
		if done, e := r.there(ctx, v); done || e != nil {
			return from, e
		}
	}
	return from, err
}

// there reports whether the store has the blob already, from a try that ended
// before it was recorded. One that is not what it should be is removed.
func (r *Replicator) there(ctx context.Context, v metadata.Version) (bool, error) {
	info, err := r.Store.Stat(ctx, v.Blob)
	switch {
	case isMissing(err):
		return false, nil
	case err != nil:
		return false, err
	case info.Size == v.StoredSize() && info.CRC64 == v.CRC64:
		return true, nil
	}
	r.Log.Warn("removed a copy with other bytes", "blob", v.Blob, "size", info.Size, "want", v.StoredSize())
	return false, r.Store.Delete(ctx, v.Blob)
}

// fetchWhole copies a blob in one piece.
func (r *Replicator) fetchWhole(ctx context.Context, v metadata.Version) (from string, err error) {
	body, from, err := r.Source.OpenStored(ctx, v, 0, -1)
	if err != nil {
		return "", err
	}
	defer body.Close()
	read := checksum.NewReader(body, func(sums map[string]string) error {
		if got := sums[string(checksum.CRC64NVME)]; got != checksum.EncodeCRC64(v.CRC64) {
			return corrupt(v, from, got)
		}
		return nil
	}, checksum.CRC64NVME)
	info, err := r.Store.Put(ctx, v.Blob, v.StoredSize(), read, record.Meta(v))
	if err != nil {
		return from, err
	}
	_, err = read.Finish() // for a store that does not ask for the end
	if err == nil && info.CRC64 != v.CRC64 {
		err = corrupt(v, from, checksum.EncodeCRC64(info.CRC64))
	}
	if err != nil {
		return from, errors.Join(err, r.discard(ctx, v))
	}
	return from, nil
}

// discard removes a copy that must not stay.
func (r *Replicator) discard(ctx context.Context, v metadata.Version) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), afterTimeout)
	defer cancel()
	return r.Store.Delete(ctx, v.Blob)
}

func corrupt(v metadata.Version, from, got string) error {
	return fmt.Errorf("%w: copied from %s, %s has CRC-64 %s, not %s", blob.ErrCorrupt, from, v.Blob, got, checksum.EncodeCRC64(v.CRC64))
}
