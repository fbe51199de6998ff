package disk

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"meridian/origin/blob"
)

// makeDirs makes the directory of a blob and syncs every directory in which a
// name is new. Directories are never removed while the store is open, so each
// is looked at once.
func (s *Store) makeDirs(dir string) error {
	if _, ok := s.known.Load(dir); ok || dir == s.path("blobs") || dir == s.dir {
		return nil
	}
	parent := filepath.Dir(dir)
	if err := s.makeDirs(parent); err != nil {
		return err
	}
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	if err := syncDir(parent); err != nil {
		return err
	}
	s.known.Store(dir, true)
	return nil
}

// room fails where a write of size bytes (-1: unknown) would eat into the
// head-room.
func (s *Store) room(size int64) error {
	if s.headRoom < 0 {
		return nil
	}
	var st syscall.Statfs_t
	if err := syscall.Statfs(s.dir, &st); err != nil {
		return fmt.Errorf("free space of %s: %w", s.dir, err)
	}
	free := int64(st.Bavail) * int64(st.Bsize) //nolint:unconvert // other systems have other types
	if free-max(size, 0) < s.headRoom {
		return fmt.Errorf("%w: %d bytes are free in %s, and %d of them stay so", blob.ErrNoSpace, free, s.dir, s.headRoom)
	}
	return nil
}

// full turns "no space left on device" into blob.ErrNoSpace.
func full(err error) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return errors.Join(blob.ErrNoSpace, err)
	}
	return err
}

// mkdirAll is os.MkdirAll, whose new names are synced.
func mkdirAll(dir string) error {
	err := os.Mkdir(dir, 0o700)
	if errors.Is(err, fs.ErrNotExist) {
		if err := mkdirAll(filepath.Dir(dir)); err != nil {
			return err
		}
		err = os.Mkdir(dir, 0o700)
	}
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return syncDir(filepath.Dir(dir))
}
