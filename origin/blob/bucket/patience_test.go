package bucket

import (
	"bytes"
	"context"
	"errors"
	"io"
	"iter"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"meridian/origin/blob"
)

// mute is a server that takes requests and never answers, or fails at once. What
// it is not asked for in these tests is nil.
type mute struct {
	Client
	asked int
	err   error // nil: no answer
	takes int64 // of a body
}

func (m *mute) answer(ctx context.Context) error {
	if m.asked++; m.err != nil {
		return m.err
	}
	<-ctx.Done()
	return ctx.Err()
}

func (m *mute) Head(ctx context.Context, _ string) (Object, error) { return Object{}, m.answer(ctx) }

func (m *mute) Put(ctx context.Context, _ string, b Body, _ Headers) (string, error) {
	if b.Stream != nil {
		if _, err := io.CopyN(io.Discard, b.Stream, m.takes); err != nil && !errors.Is(err, io.EOF) {
			return "", err
		}
	}
	return "", m.answer(ctx)
}

func (m *mute) Get(ctx context.Context, _, _ string) (io.ReadCloser, error) {
	m.asked++
	return &hanging{ctx: ctx, text: strings.NewReader("hello")}, nil
}

func (m *mute) Objects(ctx context.Context, _ string) iter.Seq2[Object, error] {
	return func(yield func(Object, error) bool) { yield(Object{}, m.answer(ctx)) }
}

// hanging is a body that stops in the middle.
type hanging struct {
	ctx  context.Context
	text *strings.Reader
}

func (h *hanging) Read(p []byte) (int, error) {
	if h.text.Len() > 0 {
		return h.text.Read(p)
	}
	<-h.ctx.Done()
	return 0, h.ctx.Err()
}

func (h *hanging) Close() error { return nil }

func mutely(m *mute) *Store {
	s := &Store{client: m, can: abilities{checksums: true, conditions: true}, log: slog.New(slog.DiscardHandler)}
	s.budget.left = fullBudget
	return s
}

func TestNothingWaitsForEver(t *testing.T) {
	t.Parallel()
	great := int64(3 << 20)
	for name, c := range map[string]struct {
		do    func(ctx context.Context, s *Store) error
		least time.Duration
		most  time.Duration
	}{
		"stat": {func(ctx context.Context, s *Store) error {
			_, err := s.Stat(ctx, "b/k")
			return err
		}, maxTries * quick, maxTries*quick + 10*time.Second},
		"stream that is not taken": {func(ctx context.Context, s *Store) error {
			_, err := s.Put(ctx, "b/k", great, io.LimitReader(zeros{}, great), nil)
			return err
		}, stall, stall + time.Second},
		"download that stops": {func(ctx context.Context, s *Store) error {
			r, err := s.Open(ctx, "b/k", 0, 6)
			if err != nil {
				return err
			}
			defer r.Close()
			_, err = io.ReadAll(r)
			return err
		}, 0, 10 * time.Minute},
	} {
		synctest.Test(t, func(t *testing.T) {
			start := time.Now()
			err := c.do(t.Context(), mutely(&mute{takes: great / 2}))
			took := time.Since(start)
			if name == "download that stops" {
				// It goes on with another request, which brings the sixth byte.
				if err != nil || took < stall {
					t.Errorf("%s: %v after %v", name, err, took)
				}
				return
			}
			if !errors.Is(err, errStalled) || took < c.least || took > c.most {
				t.Errorf("%s: %v after %v, want between %v and %v", name, err, took, c.least, c.most)
			}
		})
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// TestASlowClientIsNoStalledServer puts a stream with pauses far longer than a
// server may make.
func TestASlowClientIsNoStalledServer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		great := int64(3 << 20)
		m := &mute{takes: great, err: &Error{Status: 507, Err: errors.New("full")}}
		slow := readerFunc(func(p []byte) (int, error) {
			time.Sleep(10 * stall)
			return len(p), nil
		})
		_, err := mutely(m).Put(t.Context(), "b/k", great, io.LimitReader(slow, great), nil)
		if !errors.Is(err, blob.ErrNoSpace) {
			t.Errorf("%v, want the answer of the server", err)
		}
	})
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// TestAClientThatLeavesCancels ends a call with its context at once.
func TestAClientThatLeavesCancels(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		for name, do := range map[string]func(ctx context.Context, s *Store) error{
			"stat": func(ctx context.Context, s *Store) error { _, err := s.Stat(ctx, "b/k"); return err },
			"put": func(ctx context.Context, s *Store) error {
				_, err := s.Put(ctx, "b/k", 5, strings.NewReader("hello"), nil)
				return err
			},
			"read": func(ctx context.Context, s *Store) error {
				r, err := s.Open(ctx, "b/k", 0, -1)
				if err != nil {
					return err
				}
				defer r.Close()
				_, err = io.ReadAll(r)
				return err
			},
			"list": func(ctx context.Context, s *Store) error {
				for _, err := range s.List(ctx, "") {
					return err
				}
				return nil
			},
		} {
			m := &mute{}
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			start := time.Now()
			err := do(ctx, mutely(m))
			cancel()
			if took := time.Since(start); !errors.Is(err, context.DeadlineExceeded) || took != time.Second || m.asked != 1 {
				t.Errorf("%s: %v after %v and %d requests", name, err, took, m.asked)
			}
		}
	})
}

func TestRetriesHaveABudget(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := &mute{err: &Error{Status: 503, Code: "SlowDown", Err: errors.New("slow down")}}
		s := mutely(m)
		const calls = 1000
		for range calls {
			if _, err := s.Stat(t.Context(), "b/k"); code(err) != "SlowDown" {
				t.Fatal(err)
			}
		}
		if retries := m.asked - calls; retries != fullBudget {
			t.Errorf("%d retries of %d calls to a server that is down, want %d", retries, calls, fullBudget)
		}
		m.err, m.asked = &Error{Status: 403, Code: "AccessDenied", Err: errors.New("no")}, 0
		if _, err := mutely(m).Stat(t.Context(), "b/k"); err == nil || m.asked != 1 {
			t.Errorf("what is refused is asked %d times, %v", m.asked, err)
		}
	})
}

func TestAStreamEndsOnlyWhereItsReaderEndsWell(t *testing.T) {
	t.Parallel()
	refuse := errors.New("wrong checksum")
	for name, c := range map[string]struct {
		r    io.Reader
		open bool
		want error
	}{
		"exact":               {strings.NewReader("hello"), false, nil},
		"more may follow":     {strings.NewReader("hello, world"), true, nil},
		"too long":            {strings.NewReader("hello, world"), false, blob.ErrSize},
		"too short":           {strings.NewReader("hell"), false, blob.ErrSize},
		"refuses at its end":  {io.MultiReader(strings.NewReader("hello"), failing{refuse}), false, refuse},
		"fails in the middle": {io.MultiReader(strings.NewReader("hel"), failing{refuse}), false, refuse},
	} {
		p := newPatience(time.Hour, func(error) {})
		st := newStream(c.r, 5, c.open, false, p)
		var sent bytes.Buffer
		_, err := io.Copy(&sent, st)
		p.rest()
		if !errors.Is(err, c.want) || (c.want == nil) != (sent.String() == "hello") || sent.Len() == 5 && c.want != nil {
			t.Errorf("%s: %q was sent, %v", name, sent.String(), err)
		}
	}
}

// TestAServerIsWatched looks after a server that nobody else asks, and leaves
// alone one that answers others.
func TestAServerIsWatched(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := &changing{}
		m.set(errors.New("connection refused"))
		s := mutely(nil)
		s.client = m
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- s.Watch(ctx) }()
		after := func(want bool, what string) {
			t.Helper()
			time.Sleep(watchEvery + time.Second/2)
			synctest.Wait()
			if s.Reachable() != want {
				t.Errorf("%s: reachable %t", what, !want)
			}
		}
		after(false, "nobody listens")
		m.set(&Error{Status: 404, Code: "NoSuchKey", Err: errors.New("nothing there")})
		after(true, "the object is missing")
		m.set(&Error{Status: 503, Code: "XMinioServerNotInitialized", Err: errors.New("starting")})
		after(false, "the server starts")
		m.set(&Error{Status: 403, Code: "AccessDenied", Err: errors.New("no")})
		after(true, "the server refuses")
		m.set(nil) // no answer at all
		time.Sleep(glance)
		after(false, "it hangs")
		m.set(&Error{Status: 404, Err: errors.New("nothing there")})
		time.Sleep(glance)
		asked := m.asked.Load()
		for range 10 {
			s.succeeded()
			time.Sleep(watchEvery / 2)
		}
		if m.asked.Load() > asked+1 {
			t.Errorf("%d questions to a server that answers others", m.asked.Load()-asked)
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// changing is a server whose answer to HEAD changes while it is asked; with a nil
// error it does not answer.
type changing struct {
	Client
	err   atomic.Pointer[error]
	asked atomic.Int64
}

func (c *changing) set(err error) { c.err.Store(&err) }

func (c *changing) Head(ctx context.Context, _ string) (Object, error) {
	c.asked.Add(1)
	if err := *c.err.Load(); err != nil {
		return Object{}, err
	}
	<-ctx.Done()
	return Object{}, ctx.Err()
}

type failing struct{ error }

func (f failing) Read([]byte) (int, error) { return 0, f.error }
