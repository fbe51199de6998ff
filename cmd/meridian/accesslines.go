package main

import (
	"io"
	"sync"
	"time"
)

const (
	// accessDelay is how late a line may be.
	accessDelay = 100 * time.Millisecond
	accessBytes = 32 << 10
)

// accessLines writes access lines many at a time: a system call for each would
// cost a cache node a tenth of what it can answer. Nothing else goes through it,
// so that an error is on the terminal at once.
type accessLines struct {
	to io.Writer

	mu      sync.Mutex
	buf     []byte
	pending *time.Timer // flushes what is there; nil if nothing is
	closed  bool
}

func newAccessLines(to io.Writer) *accessLines { return &accessLines{to: to} }

// Write implements io.Writer for a handler of slog. A line is a Write.
func (l *accessLines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.buf = append(l.buf, p...)
	if l.closed || len(l.buf) >= accessBytes {
		return len(p), l.flush()
	}
	if l.pending == nil {
		l.pending = time.AfterFunc(accessDelay, func() {
			l.mu.Lock()
			defer l.mu.Unlock()
			_ = l.flush() // there is nowhere to tell it
		})
	}
	return len(p), nil
}

func (l *accessLines) flush() error {
	if l.pending != nil {
		l.pending.Stop()
		l.pending = nil
	}
	if len(l.buf) == 0 {
		return nil
	}
	_, err := l.to.Write(l.buf)
	l.buf = l.buf[:0]
	return err
}

// Close writes what is there; lines that come later are written at once.
func (l *accessLines) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	return l.flush()
}
