package limit

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestSetQueuesAndRefuses(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := New(Config{Max: 2, Queue: 1, Wait: time.Second})
		first, err1 := s.Acquire(t.Context(), "a")
		_, err2 := s.Acquire(t.Context(), "a")
		if err1 != nil || err2 != nil {
			t.Fatal(err1, err2)
		}
		if _, err := s.Acquire(t.Context(), "b"); err != nil {
			t.Errorf("another upstream: %v", err)
		}
		got := make(chan error, 1)
		go func() {
			_, err := s.Acquire(t.Context(), "a")
			got <- err
		}()
		synctest.Wait()
		if _, err := s.Acquire(t.Context(), "a"); !errors.Is(err, ErrBusy) {
			t.Errorf("behind a full queue: %v", err)
		}
		first()
		first() // once only counts
		if err := <-got; err != nil {
			t.Errorf("whose turn came: %v", err)
		}
		began := time.Now()
		if _, err := s.Acquire(t.Context(), "a"); !errors.Is(err, ErrBusy) || time.Since(began) != time.Second {
			t.Errorf("who waited for long: %v after %v", err, time.Since(began))
		}
		ctx, cancel := context.WithCancelCause(t.Context())
		gone := errors.New("gone")
		time.AfterFunc(time.Millisecond, func() { cancel(gone) })
		if _, err := s.Acquire(ctx, "a"); !errors.Is(err, gone) {
			t.Errorf("who left: %v", err)
		}
		if c := s.Counts(); c != (Counts{Running: 3, Waited: 3, Refused: 2}) {
			t.Errorf("counts %+v", c)
		}
	})
}

func TestSetNeverExceeds(t *testing.T) {
	t.Parallel()
	s := New(Config{Max: 5, Queue: 1000, Wait: time.Minute})
	var now, most, done atomic.Int64
	var wg sync.WaitGroup
	for range 200 {
		wg.Go(func() {
			release, err := s.Acquire(context.Background(), "a")
			if err != nil {
				t.Error(err)
				return
			}
			if n := now.Add(1); n > 5 {
				most.Store(n)
			}
			time.Sleep(100 * time.Microsecond)
			now.Add(-1)
			release()
			done.Add(1)
		})
	}
	wg.Wait()
	if most.Load() > 0 || done.Load() != 200 || len(s.slots) != 0 {
		t.Errorf("%d at once, %d done, %d upstreams remembered", most.Load(), done.Load(), len(s.slots))
	}
}

func TestNoLimit(t *testing.T) {
	t.Parallel()
	var none *Set
	for _, s := range []*Set{none, New(Config{Max: -1})} {
		for range 3000 {
			if _, err := s.Acquire(t.Context(), "a"); err != nil {
				t.Fatal(err)
			}
		}
	}
}
