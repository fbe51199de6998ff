package postgres

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"meridian/metadata"
)

// write is a statement that may share a transaction with others, in which it waits
// for nobody. It answers with one row.
type write struct {
	bucket  string
	sql     string  // its last parameter says whether it may wait
	args    []any   // the others
	targets []any   // for what the statement answers
	status  *string // one of them
	waits   bool    // whether it may have to wait for others for another reason
	doubt   bool    // whether an attempt that was repeated may have made it
}

// told is err, a refusal of w, with metadata.ErrInDoubt where it does not prove that
// w was not made.
func (w *write) told(err error) error {
	if err == nil || !w.doubt {
		return err
	}
	return fmt.Errorf("%w; %w", err, metadata.ErrInDoubt)
}

// Statuses of writes that were not made.
const (
	isBusy  = "busy"  // it would have had to wait
	isAlone = "alone" // its bucket is one whose writes are made by themselves
)

// write makes w, together with what others write now where that is possible. What
// may safely be made twice (idempotent) is also repeated where nobody knows whether
// it was made.
func (s *Store) write(ctx context.Context, idempotent bool, w *write) error {
	alone := func() error {
		return retry(ctx, idempotent, func() error {
			err := s.pool.QueryRow(ctx, w.sql, append(slices.Clone(w.args), true)...).Scan(w.targets...)
			w.doubt = w.doubt || inDoubt(err)
			return err
		})
	}
	if w.waits || s.solitary.has(w.bucket) {
		return alone()
	}
	err := s.writes.do(ctx, w, alone)
	switch {
	case err == nil && *w.status == isAlone:
		s.solitary.add(w.bucket)
		return alone()
	case err == nil && *w.status == isBusy:
		return alone()
	case idempotent && isUnreachable(err) && ctx.Err() == nil:
		w.doubt = true
		return alone()
	}
	return err
}

// writeTogether makes writes in one transaction: the statements of a batch are one,
// up to its end. Any error but errAlone leaves open whether they were made. ctx
// gives it values.
func (s *Store) writeTogether(ctx context.Context, list []*write) error {
	ctx, cancel := context.WithTimeout(ctx, togetherTimeout)
	defer cancel()
	var batch pgx.Batch
	for _, w := range list {
		batch.Queue(w.sql, append(slices.Clone(w.args), false)...)
	}
	results := s.pool.SendBatch(ctx, &batch)
	var err error
	for _, w := range list {
		if err = results.QueryRow().Scan(w.targets...); err != nil {
			break
		}
	}
	if closing := results.Close(); err == nil {
		err = closing // only then it is committed
	}
	if err != nil && !inDoubt(err) {
		return errAlone // one of them failed, and none was made
	}
	return err
}

const (
	// solitaryFor is how long a bucket is remembered whose writes are made by
	// themselves, without being asked again; solitaryMost is how many are.
	solitaryFor  = 10 * time.Second
	solitaryMost = 1000
)

// solitary remembers buckets whose writes are made by themselves.
type solitary struct {
	mu    sync.Mutex
	until map[string]time.Time
}

func (l *solitary) has(bucket string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return time.Now().Before(l.until[bucket])
}

func (l *solitary) add(bucket string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.until == nil || len(l.until) >= solitaryMost {
		l.until = map[string]time.Time{}
	}
	l.until[bucket] = time.Now().Add(solitaryFor)
}
