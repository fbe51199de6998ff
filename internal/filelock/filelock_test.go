package filelock_test

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"meridian/internal/filelock"
)

// A lock is one holder's, and free with its release even while a process that was
// being started has a copy of the file.
func TestLockIsFreeOnceReleased(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "lock")
	open := func() *os.File {
		f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	first, second := open(), open()
	if err := filelock.Try(first); err != nil {
		t.Fatal(err)
	}
	if err := filelock.Try(second); !errors.Is(err, filelock.ErrHeld) {
		t.Errorf("a second holder: %v", err)
	}
	inherited, err := syscall.Dup(int(first.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = syscall.Close(inherited) }()
	if err := filelock.Release(first); err != nil {
		t.Error(err)
	}
	if err := filelock.Try(second); err != nil {
		t.Errorf("after the release: %v", err)
	}
	if err := filelock.Release(second); err != nil {
		t.Error(err)
	}
	if err := filelock.Release(second); !errors.Is(err, os.ErrClosed) {
		t.Errorf("released twice: %v", err)
	}
}
