package fetch_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"meridian/edge/fetch"
)

// Of one queue so many at a time, first come, first served; other queues are not
// held up.
func TestTurnsAreTakenInOrder(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		turns := fetch.NewTurns(2, time.Minute, func(time.Duration, error) {})
		const callers = 20
		var mu sync.Mutex
		var order []int
		running, most := 0, 0
		var wg sync.WaitGroup
		for i := range callers {
			wg.Go(func() {
				done, err := turns.Take(t.Context(), "slow")
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				running++
				most, order = max(most, running), append(order, i)
				mu.Unlock()
				if time.Sleep(time.Second); i == 0 {
					time.Sleep(time.Second / 2) // so that no two turns end at once
				}
				mu.Lock()
				running--
				mu.Unlock()
				done(true)
			})
			synctest.Wait()
		}
		start := time.Now()
		done, err := turns.Take(t.Context(), "other")
		if err != nil || time.Since(start) != 0 {
			t.Errorf("another queue: %v after %v", err, time.Since(start))
		}
		done(true)
		wg.Wait()
		if most != 2 || !slices.IsSorted(order) || len(order) != callers {
			t.Errorf("%d at a time, in the order %v", most, order)
		}
	})
}

// However long a queue is, whoever waits in it goes on waiting while it moves, and
// gives up when it does not: what fails moves nobody.
func TestTurnsThatDoNotMove(t *testing.T) {
	t.Parallel()
	for name, well := range map[string]bool{"answers come": true, "all fail": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				turns := fetch.NewTurns(1, 10*time.Second, func(time.Duration, error) {})
				var wg sync.WaitGroup
				var mu sync.Mutex
				got, late := 0, 0
				for range 10 {
					wg.Go(func() {
						start := time.Now()
						done, err := turns.Take(t.Context(), "q")
						mu.Lock()
						defer mu.Unlock()
						if err != nil {
							late++
							if !fetch.IsTimeout(err) || time.Since(start) != 10*time.Second {
								t.Errorf("%v after %v", err, time.Since(start))
							}
							return
						}
						got++
						wg.Go(func() {
							time.Sleep(6 * time.Second)
							done(well)
						})
					})
				}
				wg.Wait()
				if want := map[bool]int{true: 10, false: 2}[well]; got != want || got+late != 10 {
					t.Errorf("%d got their turn, want %d; %d gave up", got, want, late)
				}
				if done, err := turns.Take(t.Context(), "q"); err != nil {
					t.Errorf("afterwards: %v", err)
				} else {
					done(true)
				}
			})
		})
	}
}

func TestTurnsOfThoseWhoLeave(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		turns := fetch.NewTurns(1, time.Minute, func(time.Duration, error) {})
		first, err := turns.Take(t.Context(), "q")
		if err != nil {
			t.Fatal(err)
		}
		gone := errors.New("client went away")
		ctx, leave := context.WithCancelCause(t.Context())
		var wg sync.WaitGroup
		for range 5 {
			wg.Go(func() {
				if _, err := turns.Take(ctx, "q"); !errors.Is(err, gone) {
					t.Errorf("who left got %v", err)
				}
			})
		}
		synctest.Wait()
		wg.Go(func() {
			done, err := turns.Take(t.Context(), "q")
			if err != nil {
				t.Errorf("who stayed: %v", err)
				return
			}
			done(true)
		})
		synctest.Wait()
		leave(gone)
		synctest.Wait()
		first(true)
		wg.Wait()
	})
}

// How many wait, and for how long they did, is told, and whose turn never came.
func TestTurnsTellWhoWaits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		waits := map[time.Duration]error{}
		turns := fetch.NewTurns(1, time.Minute, func(took time.Duration, err error) {
			mu.Lock()
			defer mu.Unlock()
			waits[took] = err
		})
		load := func(when string, taken, waiting int) {
			t.Helper()
			synctest.Wait()
			if a, b := turns.Load("q"); a != taken || b != waiting {
				t.Errorf("%s: %d taken and %d waiting, want %d and %d", when, a, b, taken, waiting)
			}
			if a, b := turns.Total(); a != taken+1 || b != waiting {
				t.Errorf("%s: %d taken and %d waiting in all", when, a, b)
			}
		}
		other, err := turns.Take(t.Context(), "other")
		if err != nil {
			t.Fatal(err)
		}
		load("at first", 0, 0)
		first, err := turns.Take(t.Context(), "q")
		if err != nil {
			t.Fatal(err)
		}
		gone := errors.New("client went away")
		ctx, leave := context.WithCancelCause(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() { _, _ = turns.Take(ctx, "q") })
		wg.Go(func() {
			if done, err := turns.Take(t.Context(), "q"); err == nil {
				done(true)
			}
		})
		load("two wait", 1, 2)
		time.Sleep(2 * time.Second)
		leave(gone)
		load("one has left", 1, 1)
		time.Sleep(time.Second)
		first(true)
		wg.Wait()
		load("in the end", 0, 0)
		other(true)
		if len(waits) != 2 || !errors.Is(waits[2*time.Second], gone) || waits[3*time.Second] != nil {
			t.Errorf("waits %v", waits)
		}
	})
}
