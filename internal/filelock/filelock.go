// Package filelock keeps a directory to one process by a lock on a file in it, which
// the system gives free when the process ends, however it ends: flock(2).
package filelock

import (
	"errors"
	"os"
	"syscall"
)

// ErrHeld says that another process, or another part of this one, holds the lock.
var ErrHeld = errors.New("locked by another process")

// Try takes the lock on f until Release. It waits for nobody.
func Try(f *os.File) error {
	err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return ErrHeld
	}
	return err
}

// Release gives the lock free and closes f. To close f is not enough: a process that
// is just being started has a copy of it until it becomes its program.
func Release(f *os.File) error {
	_ = syscall.Flock(int(f.Fd()), syscall.LOCK_UN) // Close does the same, nearly always
	return f.Close()
}
