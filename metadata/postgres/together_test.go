package postgres

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// sender is a together whose trips take as long as the test says.
type sender struct {
	together[int]
	took time.Duration
	err  error // that a trip with others ends with

	mu    sync.Mutex
	sizes []int // of the trips that began; 0 is one who goes alone
}

func newSender(took time.Duration) *sender {
	s := &sender{took: took}
	s.send = func(list []int) error {
		s.trip(len(list))
		return s.err
	}
	return s
}

func (s *sender) trip(size int) {
	s.mu.Lock()
	s.sizes = append(s.sizes, size)
	s.mu.Unlock()
	time.Sleep(s.took)
}

func (s *sender) ask(ctx context.Context) error {
	return s.do(ctx, 1, func() error { s.trip(0); return nil })
}

// begin lets n callers come at once, and returns when they wait.
func (s *sender) begin(t *testing.T, n int) *sync.WaitGroup {
	t.Helper()
	var wg sync.WaitGroup
	for range n {
		wg.Go(func() {
			if err := s.ask(t.Context()); err != nil {
				t.Errorf("one was told %v", err)
			}
		})
	}
	synctest.Wait()
	return &wg
}

func (s *sender) want(t *testing.T, sizes ...int) {
	t.Helper()
	s.close()
	if !slices.Equal(s.sizes, sizes) {
		t.Errorf("trips for %v, want %v", s.sizes, sizes)
	}
	if s.inFlight != 0 || len(s.waiting) != 0 {
		t.Errorf("%d trips and %d who wait are left", s.inFlight, len(s.waiting))
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
		s.want(t, 0, togetherMost, 5, 0)
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
		s.want(t, 0, 3, 2)
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
			if err := s.ask(ctx); !errors.Is(err, context.Canceled) {
				t.Errorf("who left was told %v", err)
			}
		})
		synctest.Wait()
		other := s.begin(t, 1)
		cancel()
		left.Wait()
		first.Wait()
		other.Wait()
		s.want(t, 0, 1)
	})
}

func TestWhoWentInVainGoesAlone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSender(time.Millisecond)
		s.err = errAlone
		first := s.begin(t, 1)
		others := s.begin(t, 2)
		first.Wait()
		others.Wait()
		s.want(t, 0, 2, 0, 0)
	})
}

func TestWhoGoTogetherAreToldTheSame(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSender(time.Millisecond)
		s.err = errors.New("lost")
		var all sync.WaitGroup
		var told atomic.Int64
		for range 4 {
			all.Go(func() {
				if err := s.ask(t.Context()); errors.Is(err, s.err) {
					told.Add(1)
				} else if err != nil {
					t.Errorf("one was told %v", err)
				}
			})
		}
		all.Wait()
		if told.Load() != 3 {
			t.Errorf("%d of 3 were told what became of their trip", told.Load())
		}
		s.want(t, 0, 3)
	})
}

// TestWhoCloseWaitForTripsAndNotForOthers has others come all the time. It is for
// the race detector, too.
func TestWhoCloseWaitForTripsAndNotForOthers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const askers, each = 6, 100
		s := newSender(time.Millisecond)
		var made atomic.Int64
		var all sync.WaitGroup
		for i := range askers {
			all.Go(func() {
				time.Sleep(time.Duration(i) * time.Millisecond / askers)
				for range each {
					if err := s.ask(t.Context()); err != nil {
						t.Errorf("one was told %v", err)
					}
					made.Add(1)
				}
			})
		}
		time.Sleep(10 * time.Millisecond)
		for range 3 {
			all.Go(func() {
				s.close()
				if n := made.Load(); n == askers*each {
					t.Errorf("closed only after all %d who came later", n)
				}
				s.mu.Lock()
				defer s.mu.Unlock()
				if s.inFlight != 0 || len(s.waiting) != 0 {
					t.Errorf("%d trips and %d who wait are left", s.inFlight, len(s.waiting))
				}
			})
		}
		all.Wait()
	})
}
