package fetch_test

import (
	"context"
	"errors"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"meridian/edge/fetch"
	"meridian/metadata"
)

type seq = metadata.Seq

func at(n uint64) seq { return seq{Xid: n, ID: 1} }

// fill returns an fn that counts its calls and waits for release.
func fill(calls *atomic.Int32, release <-chan struct{}) func(context.Context, seq) (int, error) {
	return func(ctx context.Context, _ seq) (int, error) {
		n := calls.Add(1)
		select {
		case <-release:
			return int(n), nil
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
}

func TestCollapseOneForAll(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := fetch.NewCollapse[int](time.Minute)
		defer c.Close()
		var calls, leaders atomic.Int32
		release := make(chan struct{})
		var wg sync.WaitGroup
		for range 1000 {
			wg.Go(func() {
				v, led, err := c.Do(t.Context(), "k", fetch.Terms{}, fill(&calls, release))
				if v != 1 || err != nil {
					t.Errorf("got %d, %v", v, err)
				}
				if led {
					leaders.Add(1)
				}
			})
		}
		synctest.Wait()
		close(release)
		wg.Wait()
		if calls.Load() != 1 || leaders.Load() != 1 {
			t.Errorf("%d calls by %d leaders", calls.Load(), leaders.Load())
		}
		if v, _, _ := c.Do(t.Context(), "k", fetch.Terms{}, fill(&calls, release)); v != 2 {
			t.Errorf("a later call got %d: the answer was kept", v)
		}
	})
}

func TestCollapseLeaderLeaves(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := fetch.NewCollapse[int](time.Minute)
		defer c.Close()
		var calls atomic.Int32
		release := make(chan struct{})
		leader, leave := context.WithCancelCause(t.Context())
		gone := errors.New("client went away")
		var wg sync.WaitGroup
		wg.Go(func() {
			if _, _, err := c.Do(leader, "k", fetch.Terms{}, fill(&calls, release)); !errors.Is(err, gone) {
				t.Errorf("leader got %v", err)
			}
		})
		synctest.Wait()
		wg.Go(func() {
			if v, led, err := c.Do(t.Context(), "k", fetch.Terms{}, fill(&calls, release)); v != 1 || led || err != nil {
				t.Errorf("follower got %d, %v, %v", v, led, err)
			}
		})
		synctest.Wait()
		leave(gone)
		synctest.Wait()
		close(release)
		wg.Wait()
	})
}

// A fill that has begun is finished though nobody waits for it any more, and whoever
// comes meanwhile gets what it brings.
func TestCollapseFinishesWhatItBegan(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := fetch.NewCollapse[int](time.Minute)
		defer c.Close()
		var calls atomic.Int32
		release := make(chan struct{})
		for range 2 { // also one that was left before
			ctx, leave := context.WithCancel(t.Context())
			var wg sync.WaitGroup
			for range 3 {
				wg.Go(func() { _, _, _ = c.Do(ctx, "k", fetch.Terms{}, fill(&calls, release)) })
			}
			synctest.Wait()
			leave()
			wg.Wait()
			synctest.Wait()
		}
		var wg sync.WaitGroup
		wg.Go(func() {
			if v, led, err := c.Do(t.Context(), "k", fetch.Terms{}, fill(&calls, release)); v != 1 || led || err != nil {
				t.Errorf("the next caller got %d, %v, %v: it did not join", v, led, err)
			}
		})
		synctest.Wait()
		time.Sleep(20 * time.Second) // longer than it would have run on for nobody
		close(release)
		wg.Wait()
	})
}

// What takes long is not finished for nobody, and whoever comes next starts anew.
func TestCollapseEndsWhatNobodyWaitsFor(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := fetch.NewCollapse[int](time.Minute)
		defer c.Close()
		ended := make(chan error, 1)
		never := make(chan struct{})
		ctx, leave := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		for range 3 {
			wg.Go(func() {
				_, _, _ = c.Do(ctx, "k", fetch.Terms{}, func(ctx context.Context, _ seq) (int, error) {
					<-ctx.Done()
					ended <- ctx.Err()
					<-never // slow to notice
					return 0, nil
				})
			})
		}
		synctest.Wait()
		leave()
		wg.Wait()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("fill ended with %v", err)
		}
		if v, _, err := c.Do(t.Context(), "k", fetch.Terms{}, func(context.Context, seq) (int, error) { return 7, nil }); v != 7 || err != nil {
			t.Errorf("the next caller got %d, %v: it joined what was given up", v, err)
		}
		close(never)
	})
}

// Only so many are finished for nobody: the fills of callers who do nothing but leave
// end with them, and whoever comes next starts another.
func TestCollapseBoundsWhatNobodyWaitsFor(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := fetch.NewCollapse[int](time.Minute)
		defer c.Close()
		const most, callers = 64, 1000
		for round := range 2 { // those of the first count no longer in the second
			var calls, ended atomic.Int32
			release, never := make(chan struct{}), make(chan struct{})
			ctx, leave := context.WithCancel(t.Context())
			var wg sync.WaitGroup
			for i := range callers {
				wg.Go(func() {
					_, _, _ = c.Do(ctx, strconv.Itoa(i), fetch.Terms{}, func(ctx context.Context, _ seq) (int, error) {
						calls.Add(1)
						select {
						case <-release:
						case <-ctx.Done():
							ended.Add(1)
							<-never // slow to notice
						}
						return 0, nil
					})
				})
			}
			synctest.Wait()
			leave()
			wg.Wait()
			synctest.Wait()
			if calls.Load() != callers || ended.Load() != callers-most {
				t.Errorf("round %d: of %d fills %d were ended, want all but %d", round, calls.Load(), ended.Load(), most)
			}
			joined := 0
			for i := range callers {
				ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
				if v, _, _ := c.Do(ctx, strconv.Itoa(i), fetch.Terms{}, func(context.Context, seq) (int, error) { return 7, nil }); v != 7 {
					joined++
				}
				cancel()
			}
			if joined != most {
				t.Errorf("round %d: %d of the next callers joined what was there before them, want %d", round, joined, most)
			}
			close(release)
			close(never)
			synctest.Wait()
		}
	})
}

// A fill that waits for its turn does not begin when all have left by then, and its
// time runs from its turn on.
func TestCollapseWaitsForItsTurn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := fetch.NewCollapse[int](time.Second)
		defer c.Close()
		turns := fetch.NewTurns(1, time.Minute, func(time.Duration, error) {})
		terms := fetch.Terms{Turn: func(ctx context.Context) (func(bool), error) { return turns.Take(ctx, "q") }}
		done, err := turns.Take(t.Context(), "q")
		if err != nil {
			t.Fatal(err)
		}
		ctx, leave := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() {
			_, _, _ = c.Do(ctx, "left", terms, func(context.Context, seq) (int, error) { t.Error("begun for nobody"); return 0, nil })
		})
		synctest.Wait()
		wg.Go(func() {
			v, led, err := c.Do(t.Context(), "stays", terms, func(ctx context.Context, _ seq) (int, error) { return 5, ctx.Err() })
			if v != 5 || !led || err != nil {
				t.Errorf("who stayed got %d, %v, %v", v, led, err)
			}
		})
		synctest.Wait()
		leave()
		time.Sleep(10 * time.Second)
		done(true)
		wg.Wait()
		// A fill that fails or panics gives its turn back, too.
		_, _, _ = c.Do(t.Context(), "fails", terms, func(context.Context, seq) (int, error) { panic("boom") })
		if v, _, err := c.Do(t.Context(), "next", terms, func(context.Context, seq) (int, error) { return 6, nil }); v != 6 || err != nil {
			t.Errorf("after a panic: %d, %v", v, err)
		}
	})
}

func TestCollapseDeadline(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := fetch.NewCollapse[int](time.Second)
		defer c.Close()
		start := time.Now()
		_, _, err := c.Do(t.Context(), "k", fetch.Terms{}, func(ctx context.Context, _ seq) (int, error) {
			<-ctx.Done()
			return 0, ctx.Err()
		})
		if !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != time.Second {
			t.Errorf("%v after %v", err, time.Since(start))
		}
	})
}

func TestCollapsePanic(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := fetch.NewCollapse[int](time.Minute)
		defer c.Close()
		release := make(chan struct{})
		var wg sync.WaitGroup
		for range 3 {
			wg.Go(func() {
				_, _, err := c.Do(t.Context(), "k", fetch.Terms{}, func(context.Context, seq) (int, error) { <-release; panic("boom") })
				var p *fetch.PanicError
				if !errors.As(err, &p) || p.Value != "boom" {
					t.Errorf("got %v", err)
				}
			})
		}
		synctest.Wait()
		close(release)
		wg.Wait()
		_, _, err := c.Do(t.Context(), "k", fetch.Terms{}, func(context.Context, seq) (int, error) { runtime.Goexit(); return 0, nil })
		if err == nil {
			t.Error("a fill that called Goexit succeeded")
		}
		if v, _, err := c.Do(t.Context(), "k", fetch.Terms{}, func(context.Context, seq) (int, error) { return 5, nil }); v != 5 || err != nil {
			t.Errorf("after a panic: %d, %v", v, err)
		}
	})
}

// Who starts after Forget gets a new fill at once, however long the old runs.
func TestCollapseForget(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := fetch.NewCollapse[int](time.Minute)
		defer c.Close()
		var calls atomic.Int32
		old := make(chan struct{})
		var wg sync.WaitGroup
		wg.Go(func() {
			if v, _, _ := c.Do(t.Context(), "k", fetch.Terms{}, fill(&calls, old)); v != 1 {
				t.Errorf("who waited for the old fill got %d", v)
			}
		})
		synctest.Wait()
		c.Forget("k")
		c.Forget("other")
		start := time.Now()
		if v, _, _ := c.Do(t.Context(), "k", fetch.Terms{}, func(context.Context, seq) (int, error) { return 9, nil }); v != 9 || time.Since(start) != 0 {
			t.Errorf("got %d after %v", v, time.Since(start))
		}
		close(old)
		wg.Wait()
	})
}

// A fill that does not know enough is not joined; those it is too old for share
// the next, which knows what the most demanding of them needs.
func TestCollapseTerms(t *testing.T) {
	t.Parallel()
	for name, later := range map[string]fetch.Terms{
		"a later Seq": {Need: at(5), AsOf: at(5)},
		"fresh":       {Fresh: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				c := fetch.NewCollapse[seq](time.Minute)
				defer c.Close()
				var calls atomic.Int32
				first, second := make(chan struct{}), make(chan struct{})
				do := func(terms fetch.Terms, release chan struct{}, want seq) func() {
					return func() {
						got, _, err := c.Do(t.Context(), "k", terms, func(_ context.Context, asOf seq) (seq, error) {
							calls.Add(1)
							<-release
							return asOf, nil
						})
						if err != nil || got != want {
							t.Errorf("got %v, %v; want %v", got, err, want)
						}
					}
				}
				var wg sync.WaitGroup
				wg.Go(do(fetch.Terms{AsOf: at(2)}, first, at(2)))
				synctest.Wait()
				more := later
				more.AsOf = at(9)
				for range 10 {
					wg.Go(do(later, second, at(9)))
				}
				wg.Go(do(more, second, at(9)))
				synctest.Wait()
				if calls.Load() != 1 {
					t.Errorf("%d fills before the first ended", calls.Load())
				}
				close(first)
				synctest.Wait()
				if calls.Load() != 2 {
					t.Errorf("%d fills in all, want 2", calls.Load())
				}
				close(second)
				wg.Wait()
			})
		})
	}
}

// A fill that hangs does not hold up those that may not join it for long.
func TestCollapsePatience(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := fetch.NewCollapse[int](time.Minute)
		var calls atomic.Int32
		hang := make(chan struct{})
		var wg sync.WaitGroup
		wg.Go(func() { _, _, _ = c.Do(t.Context(), "k", fetch.Terms{}, fill(&calls, hang)) })
		synctest.Wait()
		start := time.Now()
		v, _, err := c.Do(t.Context(), "k", fetch.Terms{Fresh: true}, func(context.Context, seq) (int, error) { return 3, nil })
		if v != 3 || err != nil || time.Since(start) > time.Second {
			t.Errorf("%d, %v after %v", v, err, time.Since(start))
		}
		close(hang)
		wg.Wait()
		c.Close()
	})
}

func TestCollapseClose(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := fetch.NewCollapse[int](time.Minute)
		var calls atomic.Int32
		var wg sync.WaitGroup
		for _, terms := range []fetch.Terms{{}, {Fresh: true}} {
			wg.Go(func() {
				if _, _, err := c.Do(t.Context(), "k", terms, fill(&calls, nil)); err == nil {
					t.Error("no error from a closed Collapse")
				}
			})
			synctest.Wait()
		}
		if c.Go(t.Context(), "k", fetch.Terms{}, fill(&calls, nil)) {
			t.Error("a second fill started behind the first")
		}
		c.Go(t.Context(), "other", fetch.Terms{}, fill(&calls, nil))
		c.Close() // returns though fills were running: it ended them
		wg.Wait()
		if _, _, err := c.Do(t.Context(), "k", fetch.Terms{}, fill(&calls, nil)); !errors.Is(err, fetch.ErrClosed) {
			t.Errorf("after Close: %v", err)
		}
	})
}

// Many callers that come, leave, forget and insist: every one gets an answer
// that meets its terms, and nothing is left.
func TestCollapseChurn(t *testing.T) {
	t.Parallel()
	c := fetch.NewCollapse[seq](time.Minute)
	var wg sync.WaitGroup
	var clock atomic.Uint64
	for w := range 16 {
		wg.Go(func() {
			for i := range 300 {
				ctx, cancel := context.WithCancel(t.Context())
				if (w+i)%5 == 0 {
					go cancel()
				}
				now := at(clock.Add(1))
				got, _, err := c.Do(ctx, "k", fetch.Terms{AsOf: now, Need: now, Fresh: i%3 == 0}, func(_ context.Context, asOf seq) (seq, error) {
					runtime.Gosched()
					return asOf, nil
				})
				if err == nil && got.Compare(now) < 0 {
					t.Errorf("needed %v, got an answer of %v", now, got)
				}
				if err != nil && ctx.Err() == nil {
					t.Errorf("error: %v", err)
				}
				if i%7 == 0 {
					c.Forget("k")
				}
				cancel()
			}
		})
	}
	wg.Wait()
	c.Close()
}
