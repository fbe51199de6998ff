package main

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestLinesAreWrittenTogetherAndSoon(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var to writes
		l := newAccessLines(&to)
		for range 3 {
			if _, err := l.Write([]byte("line\n")); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(accessDelay)
		synctest.Wait()
		if got := strings.Join(to, "|"); got != "line\nline\nline\n" {
			t.Errorf("after a while: %q", got)
		}
		long := strings.Repeat("x", accessBytes)
		_, _ = l.Write([]byte(long))
		if len(to) != 2 || to[1] != long {
			t.Error("a full buffer waits")
		}
		_, _ = l.Write([]byte("last\n"))
		if err := l.Close(); err != nil || to[len(to)-1] != "last\n" {
			t.Errorf("closed: %q, %v", to[len(to)-1], err)
		}
		_, _ = l.Write([]byte("late\n"))
		if to[len(to)-1] != "late\n" {
			t.Error("a line after Close is kept back")
		}
	})
}

// writes are what was written, write by write.
type writes []string

func (w *writes) Write(p []byte) (int, error) {
	*w = append(*w, string(p))
	return len(p), nil
}
