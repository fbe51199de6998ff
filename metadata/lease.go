package metadata

import (
	"context"
	"fmt"
	"log/slog"
	"time"
)

// Leases lets one of several processes at a time do a job.
type Leases interface {
	// TakeLease gives holder the lease of that name, for so long from now, or
	// lengthens it; false where somebody else has it.
	TakeLease(ctx context.Context, name, holder string, lease time.Duration) (bool, error)
	// DropLease gives the lease back, if it is holder's.
	DropLease(ctx context.Context, name, holder string) error
}

// Lead runs do while this process holds the lease of that name, until ctx ends;
// holder is no other process's. The context of do ends when the lease is lost,
// before somebody else can have it; do returns then, and is run again once the
// lease is held again, also after it has failed.
func Lead(ctx context.Context, l Leases, name, holder string, lease time.Duration, log *slog.Logger, do func(context.Context) error) {
	for ctx.Err() == nil {
		asked := time.Now()
		mine, err := l.TakeLease(ctx, name, holder, lease)
		if err == nil && mine {
			err = lead(ctx, l, name, holder, lease, asked, do)
		}
		if err != nil && ctx.Err() == nil {
			log.WarnContext(ctx, "a job of the cluster broke off; it goes on in a moment", "job", name, "err", err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(lease / 3):
		}
	}
}

// lead runs do under a lease that was asked for at a time, and drops it after.
func lead(ctx context.Context, l Leases, name, holder string, lease time.Duration, asked time.Time, do func(context.Context) error) error {
	held, lost := context.WithCancelCause(ctx)
	kept := make(chan struct{})
	go func() {
		defer close(kept)
		keepLease(held, lost, l, name, holder, lease, asked)
	}()
	err := do(held)
	if cause := context.Cause(held); cause != nil && ctx.Err() == nil {
		err = cause
	}
	lost(context.Canceled)
	<-kept
	bye, cancel := context.WithTimeout(context.WithoutCancel(ctx), lease/3)
	defer cancel()
	if dropErr := l.DropLease(bye, name, holder); err == nil {
		err = dropErr
	}
	return err
}

// keepLease lengthens the lease until held ends, and ends it by lost where that
// fails for two thirds of the lease.
func keepLease(held context.Context, lost context.CancelCauseFunc, l Leases, name, holder string, lease time.Duration, since time.Time) {
	for {
		select {
		case <-held.Done():
			return
		case <-time.After(lease / 6):
		}
		asked := time.Now()
		ask, cancel := context.WithDeadline(held, since.Add(lease*2/3))
		mine, err := l.TakeLease(ask, name, holder, lease)
		cancel()
		switch {
		case err == nil && mine:
			since = asked
		case err == nil:
			lost(fmt.Errorf("the lease of %s was lost to another process", name))
			return
		case time.Since(since) >= lease*2/3:
			lost(fmt.Errorf("the lease of %s could not be kept: %w", name, err))
			return
		}
	}
}
