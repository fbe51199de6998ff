package bucket

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"

	"meridian/origin/blob"
)

const (
	// quick bounds a request without a body, from its first byte to the
	// answer's head.
	quick = 15 * time.Second
	// slow bounds one that makes an object of parts.
	slow = 90 * time.Second
	// stall is how long a server may neither take nor give anything in the
	// middle of a body, or after it.
	stall = time.Minute

	maxTries   = 4
	firstPause = 50 * time.Millisecond
	mostPause  = 2 * time.Second
)

// errStalled is why a request was given up.
var errStalled = errors.New("the S3 server does not answer")

// budget bounds the retries of a store: a server that fails for everybody is not
// helped by everybody asking again. Every success earns a tenth of a retry.
type budget struct {
	mu   sync.Mutex
	left float64
}

const (
	fullBudget = 50
	earned     = 0.1
)

func (b *budget) earn() {
	b.mu.Lock()
	b.left = min(b.left+earned, fullBudget)
	b.mu.Unlock()
}

func (b *budget) spend() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.left < 1 {
		return false
	}
	b.left--
	return true
}

// retry calls do until it succeeds, fails for good, or the tries are used up.
func (s *Store) retry(ctx context.Context, do func(ctx context.Context) error) error {
	return s.retryWithin(ctx, quick, func(ctx context.Context, _ int) error { return do(ctx) })
}

func (s *Store) retryWithin(ctx context.Context, limit time.Duration, do func(ctx context.Context, try int) error) error {
	for try := 0; ; try++ {
		err := within(ctx, limit, func(ctx context.Context) error { return do(ctx, try) })
		if err == nil {
			s.succeeded()
			return nil
		}
		if ctx.Err() != nil || !retryable(err) || try+1 == maxTries || !s.budget.spend() {
			return s.failed(ctx, err)
		}
		if err := pause(ctx, try); err != nil {
			return err
		}
	}
}

// attempt is one try.
func (s *Store) attempt(ctx context.Context, do func(ctx context.Context) error) error {
	return within(ctx, quick, do)
}

// pause waits before the next try: twice as long each time, less a random part,
// so that those who failed together do not come back together.
func pause(ctx context.Context, try int) error {
	most := min(firstPause<<try, mostPause)
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(most/2 + rand.N(most/2)):
		return nil
	}
}

// within calls do under a deadline, and says so where it was why do failed.
func within(ctx context.Context, limit time.Duration, do func(ctx context.Context) error) error {
	own, cancel := context.WithTimeoutCause(ctx, limit, errStalled)
	defer cancel()
	return stalled(ctx, own, do(own))
}

// stalled is err with its cause, where it was own that ended and not ctx.
func stalled(ctx, own context.Context, err error) error {
	if err != nil && ctx.Err() == nil && errors.Is(context.Cause(own), errStalled) {
		return errors.Join(errStalled, err)
	}
	if err != nil && ctx.Err() != nil {
		return fmt.Errorf("%w: %w", ctx.Err(), err)
	}
	return err
}

// code is the S3 code of an error, or empty.
func code(err error) string {
	var e *Error
	if errors.As(err, &e) {
		return e.Code
	}
	return ""
}

// retryable says whether the same request may succeed a moment later: what was
// not an answer, and answers that mean so.
func retryable(err error) bool {
	var e *Error
	if !errors.As(err, &e) {
		return !errors.Is(err, fs.ErrInvalid)
	}
	switch e.Code {
	case "SlowDown", "SlowDownWrite", "SlowDownRead", "RequestTimeout", "OperationAborted", "ConditionalRequestConflict",
		"BadDigest", "XAmzContentChecksumMismatch", "IncompleteBody":
		return true
	}
	switch e.Status {
	case http.StatusRequestTimeout, http.StatusTooManyRequests, http.StatusInternalServerError,
		http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	}
	return false
}

// known adds the error of package blob, or fs.ErrNotExist, that an answer means.
func known(err error) error {
	var e *Error
	if !errors.As(err, &e) {
		return err
	}
	switch e.Code {
	case "NoSuchUpload":
		return errors.Join(blob.ErrNoUpload, err)
	case "InvalidPart":
		return errors.Join(blob.ErrNoPart, err)
	case "XMinioStorageFull", "XMinioAdminBucketQuotaExceeded", "QuotaExceeded", "InsufficientStorage":
		return errors.Join(blob.ErrNoSpace, err)
	case "NoSuchBucket":
		return fmt.Errorf("the bucket of the store is gone: %w", err)
	}
	switch e.Status {
	case http.StatusNotFound:
		return errors.Join(fs.ErrNotExist, err)
	case http.StatusPreconditionFailed:
		return errors.Join(blob.ErrExists, err)
	case http.StatusInsufficientStorage:
		return errors.Join(blob.ErrNoSpace, err)
	}
	return err
}
