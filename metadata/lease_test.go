package metadata

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// flakyLeases gives leases until it is told to fail.
type flakyLeases struct {
	mu   sync.Mutex
	fail error
	lost bool
	gone int // times dropped
}

func (f *flakyLeases) TakeLease(context.Context, string, string, time.Duration) (bool, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return !f.lost, f.fail
}

func (f *flakyLeases) DropLease(context.Context, string, string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.gone++
	return nil
}

func (f *flakyLeases) set(fail error, lost bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.fail, f.lost = fail, lost
}

// TestALeaseThatCannotBeKeptEndsTheWork: before another process can have it.
func TestALeaseThatCannotBeKeptEndsTheWork(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		fail error
		lost bool
	}{"database gone": {errors.New("gone"), false}, "taken by another": {nil, true}} {
		synctest.Test(t, func(t *testing.T) {
			leases := &flakyLeases{}
			ctx, stop := context.WithCancel(t.Context())
			defer stop()
			const lease = 30 * time.Second
			var began, ended []time.Time
			done := make(chan struct{})
			go func() {
				defer close(done)
				Lead(ctx, leases, "job", "me", lease, slog.New(slog.DiscardHandler), func(held context.Context) error {
					began = append(began, time.Now())
					<-held.Done()
					ended = append(ended, time.Now())
					return nil
				})
			}()
			time.Sleep(5 * time.Minute) // it is kept meanwhile
			leases.set(c.fail, c.lost)
			at := time.Now()
			time.Sleep(lease)
			synctest.Wait()
			if len(began) != 1 || len(ended) != 1 || ended[0].Sub(at) >= lease {
				t.Fatalf("%s: began at %v, ended at %v; the lease could not be kept from %v on", name, began, ended, at)
			}
			leases.set(nil, false)
			time.Sleep(lease)
			synctest.Wait()
			if len(began) != 2 {
				t.Errorf("%s: the work was not taken up again", name)
			}
			stop()
			<-done
			if leases.gone != 2 {
				t.Errorf("%s: the lease was given back %d times", name, leases.gone)
			}
		})
	}
}
