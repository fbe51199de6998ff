package media

import (
	"context"
	"strconv"
	"testing"
	"testing/synctest"
	"time"
)

func jobOf(n int) job {
	return job{object: object{"b", strconv.Itoa(n)}, id: strconv.Itoa(n), version: "v"}
}

func TestQueueOrderAndDelay(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		q := newQueue(10)
		for n := range 6 { // twice is once
			if !q.push(jobOf(n / 2)) {
				t.Fatal("no room")
			}
		}
		first, err := q.next(t.Context())
		if err != nil || first.key != "0" {
			t.Fatal(first, err)
		}
		q.again(first, time.Minute)
		began := time.Now()
		for _, want := range []string{"1", "2", "0"} {
			j, err := q.next(t.Context())
			if err != nil || j.key != want {
				t.Fatalf("got %v, %v, want %s", j, err, want)
			}
			q.done(j)
		}
		if waited := time.Since(began); waited != time.Minute {
			t.Errorf("waited %v", waited)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if j, err := q.next(ctx); err == nil {
			t.Errorf("there was %v left", j)
		}
	})
}

// TestQueuePushWhileTaken: a job that is pushed while somebody has it comes once
// more, since its record may have changed behind their back.
func TestQueuePushWhileTaken(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		q := newQueue(10)
		q.push(jobOf(1))
		for taken := range 2 {
			j, err := q.next(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if taken == 0 {
				q.push(jobOf(1))
				q.push(jobOf(1))
			}
			q.done(j)
		}
		if len(q.known) != 0 {
			t.Errorf("known: %v", q.known)
		}
	})
}

// TestQueueWakesAll: many waiters, jobs that come at once and later.
func TestQueueWakesAll(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		q := newQueue(100)
		got := make(chan job, 100)
		ctx, cancel := context.WithCancel(t.Context())
		for range 4 {
			go func() {
				for {
					j, err := q.next(ctx)
					if err != nil {
						return
					}
					if j.tries == 0 {
						j.tries++
						q.again(j, time.Second)
						continue
					}
					got <- j
					q.done(j)
				}
			}()
		}
		synctest.Wait()
		for n := range 50 {
			q.push(jobOf(n))
		}
		for range 50 {
			<-got
		}
		cancel()
		synctest.Wait()
	})
}

func TestQueueTellsWhenRefusedJobsFit(t *testing.T) {
	t.Parallel()
	q := newQueue(4)
	for n := range 4 {
		q.push(jobOf(n))
	}
	if q.push(jobOf(4)) {
		t.Fatal("took more than its limit")
	}
	for n := range 4 {
		select {
		case <-q.empty:
			if n < 2 {
				t.Fatalf("told after %d", n)
			}
		default:
		}
		j, err := q.next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		q.done(j)
		if n == 1 {
			select {
			case <-q.empty:
			default:
				t.Fatal("did not tell")
			}
		}
	}
	if !q.push(jobOf(4)) {
		t.Error("refused though there is room")
	}
}
