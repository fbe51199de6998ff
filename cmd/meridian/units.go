package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
)

// unit is something that runs until its context ends: a server, a node's loops,
// the private Postgres.
type unit struct {
	name string
	run  func(ctx context.Context) error
}

// runUnits starts units in order and returns when all have ended. When ctx
// ends they are stopped in reverse order, each one only after those started
// later have returned: what is served drains before what it stands on goes. When
// one of them fails all are stopped at once, and its error is returned: those of
// the others follow from it.
func runUnits(ctx context.Context, log *slog.Logger, units []unit) error {
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	type running struct {
		stop context.CancelFunc
		done chan error
	}
	var all []running
	for _, u := range units {
		own, stop := context.WithCancel(context.WithoutCancel(ctx))
		r := running{stop, make(chan error, 1)}
		all = append(all, r)
		go func() {
			err := u.run(own)
			if own.Err() == nil {
				if err == nil {
					err = errors.New("ended by itself")
				}
				fail(fmt.Errorf("%s: %w", u.name, err))
			} else if errors.Is(err, context.Canceled) {
				err = nil
			}
			r.done <- err
		}()
	}
	<-ctx.Done()
	cause := context.Cause(ctx)
	failed := !errors.Is(cause, context.Canceled)
	if failed {
		// What the others stand on may be gone, so there is no order to drain in,
		// and whoever watches shall know why before the last of them has ended.
		log.ErrorContext(ctx, "stopping everything", "cause", cause)
		for _, r := range all {
			r.stop()
		}
	}
	var errs []error
	for i := len(all) - 1; i >= 0; i-- {
		all[i].stop()
		if err := <-all[i].done; err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", units[i].name, err))
		}
	}
	if failed {
		return cause
	}
	return errors.Join(errs...)
}
