package edge

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"meridian/metadata"
)

func seqAt(n uint64) metadata.Seq { return metadata.Seq{Xid: n, ID: n} }

func TestLease(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLease(time.Now)
		if l.held() {
			t.Error("held before any push")
		}
		l.advance(seqAt(5))
		if l.held() {
			t.Error("held without a push: events alone prove nothing")
		}
		sent := time.Now()
		time.Sleep(time.Second) // the answer was slow
		l.promise(seqAt(5), sent)
		if l.remaining() != leaseTime-time.Second {
			t.Errorf("%v remain: the lease counts from when the push was sent", l.remaining())
		}
		time.Sleep(3 * time.Second)
		if l.held() {
			t.Error("held past its end")
		}

		// The feed lags: the lease waits for it, however many pushes succeed.
		for i := range 10 {
			l.promise(seqAt(7+uint64(i)), time.Now())
			time.Sleep(time.Second)
		}
		if l.held() {
			t.Error("held though the feed has not come as far as the pushes promised")
		}
		if len(l.promises) > 5 {
			t.Errorf("%d promises kept", len(l.promises))
		}
		// Promise 14 was sent 3 s ago (the pushes were of 10..1 s ago).
		l.advance(seqAt(14))
		if l.remaining() != time.Second {
			t.Errorf("%v remain", l.remaining())
		}
		// A later event covers all.
		l.advance(seqAt(90))
		if l.remaining() != 3*time.Second {
			t.Errorf("%v remain", l.remaining())
		}
		l.advance(seqAt(1))
		if l.seq() != seqAt(90) {
			t.Errorf("applied went back to %v", l.seq())
		}
		// An answer that took longer than a lease is of no use.
		time.Sleep(5 * time.Second)
		l.promise(seqAt(90), time.Now().Add(-leaseTime))
		if l.held() {
			t.Error("held by an answer that is too old")
		}
	})
}

func TestLeaseWait(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLease(time.Now)
		go func() {
			for i := range uint64(5) {
				time.Sleep(50 * time.Millisecond)
				l.advance(seqAt(i + 1))
			}
		}()
		start := time.Now()
		if !l.wait(t.Context(), seqAt(3), 250*time.Millisecond) || time.Since(start) != 150*time.Millisecond {
			t.Errorf("waited %v", time.Since(start))
		}
		start = time.Now()
		if l.wait(t.Context(), seqAt(9), 250*time.Millisecond) || time.Since(start) != 250*time.Millisecond {
			t.Errorf("waited %v for what never came", time.Since(start))
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if l.wait(ctx, seqAt(9), time.Hour) {
			t.Error("true after the caller left")
		}
		if !l.wait(ctx, seqAt(5), time.Hour) {
			t.Error("false for what is applied")
		}
		synctest.Wait()
	})
}
