package postgres

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// sender is a together whose transactions take as long as the test says.
type sender struct {
	together
	mu    sync.Mutex
	sizes []int // of the transactions that began
}

func newSender(took time.Duration) *sender {
	s := &sender{}
	s.send = func(list []*write) {
		s.mu.Lock()
		s.sizes = append(s.sizes, len(list))
		s.mu.Unlock()
		time.Sleep(took)
		for _, w := range list {
			w.err = errAlone // something to tell
		}
	}
	return s
}

// begin lets n writes come at once, and returns when they wait.
func (s *sender) begin(t *testing.T, n int) *sync.WaitGroup {
	t.Helper()
	var wg sync.WaitGroup
	for range n {
		wg.Go(func() {
			if err := s.do(t.Context(), &write{}); !errors.Is(err, errAlone) {
				t.Errorf("a write was told %v", err)
			}
		})
	}
	synctest.Wait()
	return &wg
}

func (s *sender) want(t *testing.T, sizes ...int) {
	t.Helper()
	s.wait()
	if !slices.Equal(s.sizes, sizes) {
		t.Errorf("transactions of %v writes, want %v", s.sizes, sizes)
	}
	if s.inFlight != 0 || len(s.waiting) != 0 {
		t.Errorf("%d transactions and %d writes are left", s.inFlight, len(s.waiting))
	}
}

func TestWhoComesMeanwhileGoesTogether(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSender(time.Millisecond)
		first := s.begin(t, 1)
		others := s.begin(t, togetherMost+5)
		first.Wait()
		others.Wait()
		s.begin(t, 1).Wait()
		s.want(t, 1, togetherMost, 5, 1)
	})
}

func TestNobodyWaitsLongForOthers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSender(time.Minute)
		begun := time.Now()
		first := s.begin(t, 1)
		second := s.begin(t, 3)
		time.Sleep(togetherPatience)
		synctest.Wait()
		third := s.begin(t, 2)
		second.Wait()
		if took := time.Since(begun); took != togetherPatience+time.Minute {
			t.Errorf("beside one that took a minute, others took %v", took)
		}
		first.Wait()
		third.Wait()
		s.want(t, 1, 3, 2)
	})
}

func TestWhoLeavesInTimeIsNotMade(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSender(time.Millisecond)
		ctx, cancel := context.WithCancel(t.Context())
		first := s.begin(t, 1)
		var left sync.WaitGroup
		left.Go(func() {
			if err := s.do(ctx, &write{}); !errors.Is(err, context.Canceled) {
				t.Errorf("who left was told %v", err)
			}
		})
		synctest.Wait()
		other := s.begin(t, 1)
		cancel()
		left.Wait()
		first.Wait()
		other.Wait()
		s.want(t, 1, 1)
	})
}
