package pgserver

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"meridian/internal/filelock"
)

// ErrRunning says that another process runs a server in the same directory.
var ErrRunning = errors.New("another process runs Postgres in this directory")

// lockFile takes a lock that the kernel releases when this process ends,
// however it ends.
func lockFile(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	err = filelock.Try(f)
	if errors.Is(err, filelock.ErrHeld) {
		holder, _ := os.ReadFile(path)
		_ = f.Close()
		return nil, fmt.Errorf("%w (process %s holds %s): stop it, or use another data directory",
			ErrRunning, strings.TrimSpace(string(holder)), path)
	}
	if err == nil {
		err = f.Truncate(0)
	}
	if err == nil {
		_, err = fmt.Fprintln(f, os.Getpid())
	}
	if err != nil {
		_ = filelock.Release(f)
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	return f, nil
}
