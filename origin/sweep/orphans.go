package sweep

import (
	"context"
	"errors"
	"fmt"
)

// freeOrphans lists the store for old blobs that nothing names.
func (s *Sweeper) freeOrphans(ctx context.Context) (freed int, err error) {
	before := s.Now().Add(-s.OrphanAge)
	keys := make([]string, 0, batch)
	flush := func() error {
		orphans, err := unnamed(ctx, s.Catalog.Referenced, keys)
		keys = keys[:0]
		if err != nil || len(orphans) == 0 {
			return err
		}
		gone, err := s.remove(ctx, orphans)
		freed += len(gone)
		return err
	}
	var errs []error
	for info, err := range s.Store.List(ctx, "") {
		if err != nil {
			errs = append(errs, fmt.Errorf("list blobs: %w", err))
			break
		}
		if !info.Modified.Before(before) {
			continue
		}
		if keys = append(keys, info.Key); len(keys) < batch {
			continue
		}
		if err := flush(); err != nil {
			errs = append(errs, err)
			if len(errs) == maxErrors || ctx.Err() != nil {
				return freed, errors.Join(errs...)
			}
		}
	}
	if err := flush(); err != nil {
		errs = append(errs, err)
	}
	return freed, errors.Join(errs...)
}

// maxErrors is how many batches may fail before a listing is given up.
const maxErrors = 10

// freeUploads aborts old uploads of the store by which neither an upload of the
// catalogue nor a copy goes.
func (s *Sweeper) freeUploads(ctx context.Context) (freed int, err error) {
	var ids []string
	flush := func() error {
		orphans, err := unnamed(ctx, s.Catalog.NamedUploads, ids)
		if err != nil {
			return err
		}
		for _, id := range orphans {
			if err := s.Store.Abort(ctx, id); err != nil {
				return fmt.Errorf("abort upload of the store: %w", err)
			}
			freed++
		}
		ids = ids[:0]
		return nil
	}
	for u, err := range s.Store.Uploads(ctx, s.Now().Add(-s.OrphanAge)) {
		if err != nil {
			return freed, fmt.Errorf("list uploads of the store: %w", err)
		}
		ids = append(ids, u.ID)
		if len(ids) == batch {
			if err := flush(); err != nil {
				return freed, err
			}
		}
	}
	return freed, flush()
}

// unnamed are those of keys of which named says no at this moment.
func unnamed(ctx context.Context, named func(context.Context, []string) ([]bool, error), keys []string) (orphans []string, err error) {
	if len(keys) == 0 {
		return nil, nil
	}
	names, err := named(ctx, keys)
	if err != nil {
		return nil, err
	}
	if len(names) != len(keys) {
		return nil, errCount
	}
	for i, key := range keys {
		if !names[i] {
			orphans = append(orphans, key)
		}
	}
	return orphans, nil
}

var errCount = errors.New("the catalogue answers for another number of blobs or uploads than it was asked about")
