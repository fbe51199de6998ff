// Package disk keeps blobs as files of one directory, durably: after a Put has
// returned, the bytes and the names on the way to them are synced.
//
// The layout is made to be looked at with ordinary tools:
//
//	blobs/<bucket>/<last two characters of the version ID>/<version-id><ext>
//	uploads/<upload>/<part files>
//	tmp/
//
// A blob of one piece is a plain file. A multipart blob is a directory of that
// name with its part files and manifest.json, which says in which order they
// belong: completing an upload renames its directory and copies no bytes.
package disk

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"

	"meridian/origin/blob"
)

// The errors of a disk store, beside those of package blob.
var (
	// ErrInUse says that another process has the directory open.
	ErrInUse = errors.New("blob directory is in use by another process")
	// ErrNoSpace refuses a write that would leave less than the head-room free.
	ErrNoSpace = errors.New("no space left for blobs")
)

// Config describes a store. Dir is required.
type Config struct {
	Dir string
	// HeadRoom is the free space in bytes that writes leave; 256 MiB where it
	// is zero, none where it is negative.
	HeadRoom int64
	Log      *slog.Logger
}

const defaultHeadRoom = 256 << 20

// Store is a blob.Store on a directory.
type Store struct {
	dir      string
	headRoom int64
	log      *slog.Logger
	lock     *os.File
	serial   atomic.Uint64 // names temporary files
	known    sync.Map      // directories that exist and are synced, by path
}

var _ blob.Store = (*Store)(nil)

// Open makes the directory where it is missing, locks it, and removes what a
// crash left half written. ErrInUse if another process has it open.
func Open(c Config) (*Store, error) {
	dir, err := filepath.Abs(c.Dir)
	if err != nil {
		return nil, fmt.Errorf("blob directory: %w", err)
	}
	s := &Store{dir: dir, headRoom: c.HeadRoom, log: c.Log}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if s.headRoom == 0 {
		s.headRoom = defaultHeadRoom
	}
	for _, d := range []string{dir, s.path("blobs"), s.path("uploads"), s.path("tmp")} {
		if err := os.MkdirAll(d, 0o700); err != nil {
			return nil, fmt.Errorf("blob directory: %w", err)
		}
	}
	if s.lock, err = os.OpenFile(s.path("lock"), os.O_RDWR|os.O_CREATE, 0o600); err != nil {
		return nil, fmt.Errorf("blob directory: %w", err)
	}
	if err := syscall.Flock(int(s.lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		_ = s.lock.Close()
		return nil, fmt.Errorf("%w: %s", ErrInUse, dir)
	}
	if err := s.cleanUp(); err != nil {
		_ = s.lock.Close()
		return nil, err
	}
	return s, nil
}

// Close gives the directory free. No method may run any more.
func (s *Store) Close() error { return s.lock.Close() }

func (s *Store) path(elem ...string) string {
	return filepath.Join(append([]string{s.dir}, elem...)...)
}

// cleanUp empties tmp: whatever lies there was never acknowledged.
func (s *Store) cleanUp() error {
	left, err := os.ReadDir(s.path("tmp"))
	if err != nil {
		return fmt.Errorf("blob directory: %w", err)
	}
	for _, e := range left {
		if err := os.RemoveAll(s.path("tmp", e.Name())); err != nil {
			return fmt.Errorf("remove what a crash left: %w", err)
		}
	}
	if len(left) > 0 {
		s.log.Info("removed unfinished writes", "dir", s.dir, "files", len(left))
	}
	return errors.Join(syncDir(s.path("blobs")), syncDir(s.dir))
}

// place is the path of a blob. Keys come from Meridian itself, and still none
// may lead out of the directory.
func (s *Store) place(key string) (string, error) {
	bucket, name, ok := strings.Cut(key, "/")
	if !ok || !plain(bucket) || !plain(name) {
		return "", fmt.Errorf("blob key %q: %w", key, fs.ErrInvalid)
	}
	return s.path("blobs", bucket, shard(name), name), nil
}

// plain refuses what is more, or less, than a name in a directory.
func plain(name string) bool {
	const longest = 200
	return name != "" && name[0] != '.' && len(name) <= longest && !strings.ContainsAny(name, "/\\\x00")
}

// shard spreads the blobs of a bucket over 1024 directories: the last two
// characters of a ULID are random.
func shard(name string) string {
	id, _, _ := strings.Cut(name, ".")
	if len(id) < 2 {
		return "__"
	}
	return id[len(id)-2:]
}

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
	free := int64(st.Bavail) * int64(st.Bsize)
	if free-max(size, 0) < s.headRoom {
		return fmt.Errorf("%w: %d bytes are free in %s, and %d of them stay so", ErrNoSpace, free, s.dir, s.headRoom)
	}
	return nil
}

// full turns "no space left on device" into ErrNoSpace.
func full(err error) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return errors.Join(ErrNoSpace, err)
	}
	return err
}

func syncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// Stat tells size and checksum of a blob. Missing: fs.ErrNotExist.
func (s *Store) Stat(ctx context.Context, key string) (blob.Info, error) {
	place, err := s.place(key)
	if err != nil {
		return blob.Info{}, err
	}
	st, err := os.Stat(place)
	if err != nil {
		return blob.Info{}, fmt.Errorf("stat blob: %w", err)
	}
	info := blob.Info{Key: key, Size: st.Size(), Modified: st.ModTime()}
	if st.IsDir() {
		m, err := readManifest(place)
		if err != nil {
			return blob.Info{}, err
		}
		info.Size, info.CRC64 = m.size(), m.crc64()
		return info, nil
	}
	info.CRC64, err = readSum(place)
	return info, err
}

// Delete removes blobs; missing ones are no error.
func (s *Store) Delete(ctx context.Context, keys ...string) error {
	var errs []error
	for _, key := range keys {
		if err := ctx.Err(); err != nil {
			return errors.Join(append(errs, err)...)
		}
		place, err := s.place(key)
		if err == nil {
			err = s.remove(place)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("delete blob %s: %w", key, err))
		}
	}
	return errors.Join(errs...)
}

// remove takes a file or directory out of sight in one step before it frees it,
// so that a crash in between leaves no half blob.
func (s *Store) remove(place string) error {
	err := os.Remove(place) // a file, or an empty directory
	if err == nil || errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	grave := s.temp("dead")
	if err := os.Rename(place, grave); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	}
	return os.RemoveAll(grave)
}
