package disk

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"meridian/origin/blob"
)

// An upload's ID holds the key of the blob that it will be and the second it was
// begun, so that its directory needs no record, and so that a Complete which
// comes again finds the blob.

func newUploadID(key string) string {
	return base64.RawURLEncoding.EncodeToString([]byte(key)) + "." + strconv.FormatInt(time.Now().Unix(), 36) + "." + strings.ToLower(rand.Text())
}

func parseUploadID(id string) (key string, begun time.Time, err error) {
	fields := strings.Split(id, ".")
	if len(fields) != 3 || !plain(id) {
		return "", time.Time{}, fmt.Errorf("%w: %q", blob.ErrNoUpload, id)
	}
	raw, err := base64.RawURLEncoding.DecodeString(fields[0])
	seconds, errT := strconv.ParseInt(fields[1], 36, 64)
	if err != nil || errT != nil {
		return "", time.Time{}, fmt.Errorf("%w: %q", blob.ErrNoUpload, id)
	}
	return string(raw), time.Unix(seconds, 0), nil
}

// Begin makes the directory of an upload.
func (s *Store) Begin(ctx context.Context, key string, m blob.Meta) (string, error) {
	_, err := s.place(key)
	if err == nil {
		err = m.Check()
	}
	if err != nil {
		return "", err
	}
	id := newUploadID(key)
	err = os.Mkdir(s.path("uploads", id), 0o700)
	if err == nil && len(m) > 0 {
		err = s.writeJSON(s.path("uploads", id, metaName), m)
	}
	if err == nil {
		err = s.syncs.do(s.path("uploads"))
	}
	if err != nil {
		return "", fmt.Errorf("begin upload of %s: %w", key, full(err))
	}
	return id, nil
}

// uploadDir is the directory of an upload in progress; blob.ErrNoUpload if there
// is none.
func (s *Store) uploadDir(id string) (string, error) {
	if _, _, err := parseUploadID(id); err != nil {
		return "", err
	}
	dir := s.path("uploads", id)
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("%w: %s", blob.ErrNoUpload, id)
	} else if err != nil {
		return "", err
	}
	return dir, nil
}

// PutPart stores a part under a new name, so that a part uploaded again never
// touches the bytes of the one before it.
func (s *Store) PutPart(ctx context.Context, upload string, n int, size int64, r io.Reader) (blob.Part, error) {
	dir, err := s.uploadDir(upload)
	if err != nil {
		return blob.Part{}, err
	}
	name := fmt.Sprintf("%05d-%s", n, strings.ToLower(rand.Text()[:10]))
	// The draft lies outside of dir, which may become a blob meanwhile.
	info, err := s.write(ctx, s.path("uploads"), filepath.Join(dir, name), size, r, nil)
	if err != nil {
		if _, e := s.uploadDir(upload); e != nil {
			err = e // it was completed or aborted meanwhile
		}
		return blob.Part{}, fmt.Errorf("put part %d: %w", n, full(err))
	}
	return blob.Part{Number: n, ID: name, Size: info.Size, CRC64: info.CRC64}, nil
}

// uploadLocks lets one caller at a time change what parts an upload has: none
// may go between the moment when Complete has found them all and the one when
// they are a blob. To add a part needs no lock.
type uploadLocks [64]sync.Mutex

// lock locks an upload, and whichever others share its lock.
func (l *uploadLocks) lock(upload string) (unlock func()) {
	m := &l[crc32.ChecksumIEEE([]byte(upload))%uint32(len(l))]
	m.Lock()
	return m.Unlock
}

// Complete turns the directory of the upload into the blob.
func (s *Store) Complete(ctx context.Context, upload string, parts []blob.Part) (blob.Info, error) {
	key, _, err := parseUploadID(upload)
	if err != nil {
		return blob.Info{}, err
	}
	place, err := s.place(key)
	if err != nil {
		return blob.Info{}, err
	}
	m := &manifest{Format: 1, Upload: upload}
	for _, p := range parts {
		m.Parts = append(m.Parts, manifestPart{File: p.ID, Size: p.Size, CRC64: p.CRC64})
	}
	m.addUp()
	defer s.uploads.lock(upload)()
	err = s.finish(upload, place, m)
	if errors.Is(err, blob.ErrNoUpload) && made(place, upload, parts) {
		err = nil // by a Complete before this one
	}
	if err == nil {
		s.prune(place, m)
		err = errors.Join(s.syncs.do(filepath.Dir(place)), s.syncs.do(s.path("uploads")))
	}
	if err != nil {
		return blob.Info{}, fmt.Errorf("complete upload of %s: %w", key, full(err))
	}
	return blob.Info{Key: key, Size: m.size(), CRC64: m.crc64(), Modified: time.Now()}, nil
}

// finish checks the parts, writes the manifest beside them and renames their
// directory to the blob's place.
func (s *Store) finish(upload, place string, m *manifest) error {
	dir, err := s.uploadDir(upload)
	if err != nil {
		return err
	}
	if len(m.Parts) == 0 {
		return fmt.Errorf("%w: none is named", blob.ErrNoPart)
	}
	for i, p := range m.Parts {
		if !partName(p.File) {
			return fmt.Errorf("%w: number %d of those named (%q)", blob.ErrNoPart, i+1, p.File)
		}
		st, err := os.Stat(filepath.Join(dir, p.File))
		if errors.Is(err, fs.ErrNotExist) || err == nil && st.Size() != p.Size {
			return fmt.Errorf("%w: number %d of those named (%s)", blob.ErrNoPart, i+1, p.File)
		}
		if err != nil {
			return err
		}
	}
	if m.Meta, err = readUploadMeta(dir); err != nil {
		return err
	}
	if err := s.makeDirs(filepath.Dir(place)); err != nil {
		return err
	}
	if err := s.writeJSON(filepath.Join(dir, manifestName), m); err != nil {
		return err
	}
	// A directory is never renamed over a file, nor over one that holds a blob.
	err = os.Rename(dir, place)
	if errors.Is(err, fs.ErrExist) || errors.Is(err, syscall.ENOTDIR) {
		return blob.ErrExists
	}
	return err
}

// partName refuses what is not the name of a part file.
func partName(name string) bool {
	return plain(name) && name != manifestName && name != metaName
}

// made says whether the blob is there and was made of these parts.
func made(place, upload string, parts []blob.Part) bool {
	m, err := readManifest(place)
	return err == nil && m.consists(upload, parts)
}

// prune removes the parts that were replaced or left out. Where that fails they
// only take room, until the blob goes.
func (s *Store) prune(place string, m *manifest) {
	keep := map[string]bool{manifestName: true}
	for _, p := range m.Parts {
		keep[p.File] = true
	}
	entries, err := os.ReadDir(place)
	for _, e := range entries {
		if !keep[e.Name()] {
			err = errors.Join(err, os.Remove(filepath.Join(place, e.Name())))
		}
	}
	if err != nil {
		s.log.Warn("parts that belong to no blob are left", "blob", place, "err", err)
	}
}

// Abort removes an upload with its parts.
func (s *Store) Abort(ctx context.Context, upload string) error {
	defer s.uploads.lock(upload)()
	dir, err := s.uploadDir(upload)
	if errors.Is(err, blob.ErrNoUpload) {
		return nil
	}
	if err != nil {
		return err
	}
	// Out of sight at once: a part that arrives meanwhile finds no directory.
	grave := s.temp("dead")
	if err := os.Rename(dir, grave); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("abort upload: %w", err)
	}
	if err := os.RemoveAll(grave); err != nil {
		return fmt.Errorf("abort upload: %w", err)
	}
	return s.syncs.do(s.path("uploads"))
}

// DropPart frees a part that was replaced.
func (s *Store) DropPart(ctx context.Context, upload string, p blob.Part) error {
	defer s.uploads.lock(upload)()
	dir, err := s.uploadDir(upload)
	if errors.Is(err, blob.ErrNoUpload) {
		return nil
	}
	if err != nil {
		return err
	}
	if !partName(p.ID) {
		return fmt.Errorf("%w: %q", blob.ErrNoPart, p.ID)
	}
	if err := os.Remove(filepath.Join(dir, p.ID)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("drop part: %w", err)
	}
	return nil
}

// Uploads yields the uploads in progress that were begun before t.
func (s *Store) Uploads(ctx context.Context, before time.Time) iter.Seq2[blob.Upload, error] {
	return func(yield func(blob.Upload, error) bool) {
		entries, err := os.ReadDir(s.path("uploads"))
		if err != nil {
			yield(blob.Upload{}, fmt.Errorf("list uploads: %w", err))
			return
		}
		for _, e := range entries {
			if err := ctx.Err(); err != nil {
				yield(blob.Upload{}, err)
				return
			}
			key, begun, err := parseUploadID(e.Name())
			if err != nil || !begun.Before(before) {
				continue // not ours, or young
			}
			if !yield(blob.Upload{ID: e.Name(), Key: key, Begun: begun}, nil) {
				return
			}
		}
	}
}
