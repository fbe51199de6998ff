package postgres

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

const (
	// togetherMost bounds how many writes share a transaction.
	togetherMost = 64
	// togetherPatience is how long a write waits for the end of a transaction
	// that began before it came. Where the database is near, few take longer;
	// where it is far, or one is stuck, nobody waits for the others.
	togetherPatience = 2 * time.Millisecond
	// togetherTimeout bounds a transaction of several writes, which belong to
	// callers with deadlines of their own.
	togetherTimeout = 15 * time.Second
)

// errAlone says that a write was not made, and is to be made by itself.
var errAlone = errors.New("not made together with others")

// Statuses of writes that were not made.
const (
	isBusy  = "busy"  // it would have had to wait
	isAlone = "alone" // its bucket is one whose writes are made by themselves
)

// write is a statement that may share a transaction with others. It waits for
// nobody, and answers with one row.
type write struct {
	bucket  string
	sql     string  // its last parameter says whether it may wait
	args    []any   // the others
	targets []any   // for what the statement answers
	status  *string // one of them
	waits   bool    // whether it may have to wait for others for another reason

	done chan struct{} // closed when err is set
	err  error
}

// together has writes that come while others are being made share the next
// transaction: one round trip, one snapshot, one record of a commit to be synced.
// Who comes first does not wait.
type together struct {
	send   func([]*write) // makes them, and sets the error of each
	flying sync.WaitGroup

	mu       sync.Mutex
	inFlight int // transactions
	waiting  []*write
	late     *time.Timer // for the first of those waiting
}

// do makes w: errAlone where it is to be made by itself, and any other error where
// nobody knows whether it was made. Where ctx ends first, its targets may still be
// written to.
func (t *together) do(ctx context.Context, w *write) error {
	w.done = make(chan struct{})
	t.mu.Lock()
	t.waiting = append(t.waiting, w)
	switch {
	case t.inFlight == 0:
		t.start()
	case len(t.waiting) == 1:
		t.wake()
	}
	t.mu.Unlock()
	select {
	case <-w.done:
		return w.err
	case <-ctx.Done():
		t.mu.Lock()
		t.waiting = slices.DeleteFunc(t.waiting, func(x *write) bool { return x == w })
		t.mu.Unlock()
		return ctx.Err()
	}
}

// wait returns when nothing is being made any more.
func (t *together) wait() { t.flying.Wait() }

// wake starts another transaction unless one that is under way ends in time. t.mu
// is held.
func (t *together) wake() {
	t.late = time.AfterFunc(togetherPatience, func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		if len(t.waiting) > 0 {
			t.start()
		}
	})
}

// start begins a transaction of those waiting. t.mu is held.
func (t *together) start() {
	list := t.take()
	t.inFlight++
	t.flying.Go(func() {
		for len(list) > 0 {
			t.send(list)
			for _, w := range list {
				close(w.done)
			}
			list = t.next()
		}
	})
}

// next is what the transaction after one that has ended is to make; nothing where
// another one is under way, to whose end they may wait.
func (t *together) next() []*write {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.waiting) == 0 || t.inFlight > 1 {
		t.inFlight--
		return nil
	}
	return t.take()
}

// take takes the first of those waiting. t.mu is held.
func (t *together) take() []*write {
	if t.late != nil {
		t.late.Stop()
	}
	n := min(len(t.waiting), togetherMost)
	list := t.waiting[:n:n]
	t.waiting = t.waiting[n:]
	if len(t.waiting) > 0 {
		t.wake()
	}
	return list
}

// sendTogether makes writes in one transaction: the statements of a batch are one,
// up to its end. ctx gives it values.
func (s *Store) sendTogether(ctx context.Context, list []*write) {
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
	var pg *pgconn.PgError
	if didNothing(err) || errors.As(err, &pg) && !isUnreachable(err) {
		err = errAlone // one of them failed, and none was made
	}
	for _, w := range list {
		w.err = err
		if err == nil && (*w.status == isBusy || *w.status == isAlone) {
			w.err = errAlone
		}
	}
}

// write makes w together with what others write now where that is possible, and
// otherwise by itself. What may safely be made twice (idempotent) is also repeated
// where nobody knows whether it was.
func (s *Store) write(ctx context.Context, idempotent bool, w *write) error {
	if !w.waits && !s.solitary.has(w.bucket) {
		switch err := s.together.do(ctx, w); {
		case errors.Is(err, errAlone):
			if *w.status == isAlone {
				s.solitary.add(w.bucket)
			}
		case !idempotent, !isUnreachable(err), ctx.Err() != nil:
			return err
		}
	}
	return retry(ctx, idempotent, func() error {
		return s.pool.QueryRow(ctx, w.sql, append(slices.Clone(w.args), true)...).Scan(w.targets...)
	})
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
