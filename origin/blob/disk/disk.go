// Package disk keeps blobs as files of one directory, durably: after a Put has
// returned, the bytes and the names on the way to them are synced.
//
// The layout is made to be looked at with ordinary tools:
//
//	blobs/<bucket>/<seventh and eighth character of the version ID>/<version-id><ext>
//	uploads/<upload>/<part files>
//	tmp/
//	layout
//
// A store from before there was the file layout goes by the last two characters;
// where the file is missing, the blobs tell which it is.
// A blob of one piece is a plain file. A multipart blob is a directory of that
// name with its part files and manifest.json, which says in which order they
// belong: completing an upload renames its directory and copies no bytes. The
// metadata of a blob is in an extended attribute of the file, or in the manifest.
package disk

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"meridian/internal/filelock"
	"meridian/origin/blob"
)

// ErrInUse says that another process has the directory open.
var ErrInUse = errors.New("blob directory is in use by another process")

// Config describes a store. Dir is required.
type Config struct {
	Dir string
	// HeadRoom is the free space in bytes that writes leave, or fail with
	// blob.ErrNoSpace: 256 MiB where it is zero, none where it is negative.
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
	nameless bool          // the file system keeps files without a name
	serial   atomic.Uint64 // names temporary files
	known    sync.Map      // directories that exist and are synced, by path
	buffers  sync.Pool     // of *[]byte, bufferSize long
	small    sync.Pool     // likewise, inMemory long
	layout   layout
	syncs    dirSyncs
	syncData func(*draft) error // syncData, unless a test wants to know of it
	uploads  uploadLocks
	recent   manifests
}

var _ blob.Store = (*Store)(nil)

// Open makes the directory where it is missing, locks it, and removes what a
// crash left half written. ErrInUse if another process has it open.
func Open(c Config) (*Store, error) {
	dir, err := filepath.Abs(c.Dir)
	if err != nil {
		return nil, fmt.Errorf("blob directory: %w", err)
	}
	s := &Store{dir: dir, headRoom: c.HeadRoom, log: c.Log, syncs: dirSyncs{sync: syncDir}, syncData: syncData}
	s.small.New = func() any { b := make([]byte, inMemory); return &b }
	s.buffers.New = func() any { b := make([]byte, bufferSize); return &b }
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if s.headRoom == 0 {
		s.headRoom = defaultHeadRoom
	}
	for _, d := range []string{dir, s.path("blobs"), s.path("uploads"), s.path("tmp")} {
		if err := mkdirAll(d); err != nil {
			return nil, fmt.Errorf("blob directory: %w", err)
		}
	}
	if s.lock, err = lockFile(s.path("lock")); err != nil {
		return nil, err
	}
	err = s.cleanUp()
	if err == nil {
		err = s.findLayout()
	}
	if err != nil {
		_ = filelock.Release(s.lock)
		return nil, err
	}
	s.nameless = s.canNameless()
	return s, nil
}

// lockFile takes the lock that says whose the directory is. It holds the
// process ID for whoever is refused; the system gives it free when the process
// ends, however it ends.
func lockFile(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("blob directory: %w", err)
	}
	err = filelock.Try(f)
	if errors.Is(err, filelock.ErrHeld) {
		owner, _ := io.ReadAll(io.LimitReader(f, 32))
		_ = f.Close()
		return nil, fmt.Errorf("%w: %s, process %s", ErrInUse, filepath.Dir(path), strings.TrimSpace(string(owner)))
	}
	if err == nil {
		err = f.Truncate(0)
	}
	if err == nil {
		_, err = f.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
	}
	if err != nil {
		_ = filelock.Release(f)
		return nil, fmt.Errorf("lock blob directory: %w", err)
	}
	return f, nil
}

// Close gives the directory free. No method may run any more.
func (s *Store) Close() error { return filelock.Release(s.lock) }

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
	return nil
}

// place is the path of a blob.
func (s *Store) place(key string) (string, error) {
	if err := blob.CheckKey(key); err != nil {
		return "", err
	}
	bucket, name, _ := strings.Cut(key, "/")
	return s.path("blobs", bucket, s.layout.shard(name), name), nil
}

// plain refuses what is more, or less, than a name in a directory.
func plain(name string) bool {
	const longest = 255
	return name != "" && name[0] != '.' && len(name) <= longest && !strings.ContainsAny(name, "/\\\x00\n")
}

// Stat tells size, checksum and metadata of a blob. Missing: fs.ErrNotExist.
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
		m, err := s.manifest(place)
		if err != nil {
			return blob.Info{}, err
		}
		info.Size, info.CRC64, info.Meta = m.size(), m.crc64(), maps.Clone(m.Meta)
		return info, nil
	}
	if info.CRC64, err = readSum(place); err != nil {
		return blob.Info{}, err
	}
	info.Meta, err = readMeta(place)
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
			s.recent.forget(place)
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
