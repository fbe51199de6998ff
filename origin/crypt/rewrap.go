package crypt

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"meridian/internal/sse"
	"meridian/metadata"
)

const (
	// rewrapEvery is the time between two looks for data keys under former master
	// keys: those of uploads that ended meanwhile, or of an origin that still has
	// the former ring.
	rewrapEvery = 10 * time.Minute
	// rewrapBatch is how many are wrapped anew at once.
	rewrapBatch = 500
)

// Rewrapper wraps data keys anew that are under former master keys, until there
// are none and those keys can go. No byte of an object is touched.
type Rewrapper struct {
	Ring    *sse.Ring // nil: there is nothing to do
	Catalog metadata.WrappedKeys
	Log     *slog.Logger
}

// Run looks now and then until ctx ends.
func (r *Rewrapper) Run(ctx context.Context) error {
	for {
		n, err := r.Round(ctx)
		switch {
		case ctx.Err() != nil:
		case err != nil:
			r.Log.Warn("data keys cannot be wrapped anew", "wrapped", n, "err", err)
		case n > 0:
			r.Log.Info("all data keys are wrapped under the current master key: the former ones can go once every origin has it first", "wrapped", n)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(rewrapEvery):
		}
	}
}

// Round wraps anew all that there is, and returns how many data keys it was.
func (r *Rewrapper) Round(ctx context.Context) (total int, err error) {
	if r.Ring == nil {
		return 0, nil
	}
	former := r.Ring.Marks()[1:]
	for len(former) > 0 {
		list, err := r.Catalog.FormerKeys(ctx, former, rewrapBatch)
		if err != nil || len(list) == 0 {
			return total, err
		}
		var last error
		var found []metadata.WrappedKey
		var renewed [][]byte
		for _, k := range list {
			v := metadata.Version{Bucket: k.Ref.Bucket, ID: k.Ref.VersionID}
			data, err := r.Ring.Unwrap(k.Key, place(&v))
			if err != nil {
				last = fmt.Errorf("data key of %s/%s, version %s: %w", k.Ref.Bucket, k.Ref.Key, k.Ref.VersionID, err)
				continue
			}
			found, renewed = append(found, k), append(renewed, r.Ring.Wrap(data, place(&v)))
		}
		if len(found) == 0 {
			return total, last // all that is left is damaged
		}
		if err := r.Catalog.Rewrap(ctx, found, renewed); err != nil {
			return total, err
		}
		total += len(found)
	}
	return total, nil
}
