package bucket

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync/atomic"
	"time"

	"meridian/origin/blob"
)

const (
	// watchEvery is how soon a server is asked that nobody has heard of.
	watchEvery = 2 * time.Second
	// glance bounds such a question: one that takes longer to tell of a missing
	// object takes no uploads either.
	glance = 5 * time.Second
	// nowhere is the key of an object that is not there.
	nowhere = "meridian-probe/nothing"
)

// health is how the server does, by what it last answered to anybody.
type health struct {
	failing atomic.Bool
	heard   atomic.Bool // by others than Watch, since it last looked
}

// succeeded earns a part of a retry.
func (s *Store) succeeded() {
	s.budget.earn()
	s.answered()
}

// answered notes that the server is there, also where it refuses.
func (s *Store) answered() {
	s.health.heard.Store(true)
	if s.health.failing.Load() && s.health.failing.Swap(false) {
		s.log.Info("the store answers again", "bucket", s.name)
	}
}

// failed is err, which ends an operation, with blob.ErrUnavailable where it
// speaks of the server and not of what it was asked.
func (s *Store) failed(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return err
	}
	if !unavailable(err) {
		s.answered()
		return err
	}
	if !s.health.failing.Swap(true) {
		s.log.Warn("the store cannot be reached", "bucket", s.name, "err", err)
	}
	if errors.Is(err, blob.ErrUnavailable) {
		return err
	}
	return fmt.Errorf("%w: %w", blob.ErrUnavailable, err)
}

// unavailable says whether err is no answer, or one that anybody would get.
func unavailable(err error) bool {
	var e *Error
	if !errors.As(err, &e) {
		return retryable(err)
	}
	switch e.Status {
	case http.StatusTooManyRequests, http.StatusInternalServerError, http.StatusBadGateway,
		http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	}
	return false
}

// Reachable reports whether the server answered when it was last asked.
func (s *Store) Reachable() bool { return !s.health.failing.Load() }

// Watch looks for an object that is not there while nobody else has an answer of
// the server, until ctx ends.
func (s *Store) Watch(ctx context.Context) error {
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		if s.health.heard.Swap(false) && s.Reachable() {
			continue
		}
		err := within(ctx, glance, func(ctx context.Context) error {
			_, err := s.client.Head(ctx, nowhere)
			return err
		})
		if err != nil {
			_ = s.failed(ctx, err) // which takes note of it
		} else {
			s.answered()
		}
		s.health.heard.Store(false)
	}
}
