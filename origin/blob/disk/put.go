package disk

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"sync"

	"github.com/minio/crc64nvme"

	"meridian/origin/blob"
)

// bufferSize is what one write holds in memory.
const bufferSize = 256 << 10

var buffers = sync.Pool{New: func() any { b := make([]byte, bufferSize); return &b }}

// Put stores a blob of one piece; see blob.Store.
func (s *Store) Put(ctx context.Context, key string, size int64, r io.Reader) (blob.Info, error) {
	place, err := s.place(key)
	if err != nil {
		return blob.Info{}, err
	}
	if err := s.room(size); err != nil {
		return blob.Info{}, err
	}
	temp := s.temp("put")
	n, crc, err := writeFile(ctx, temp, size, r)
	if err == nil {
		err = s.publish(temp, place)
	}
	if err != nil {
		_ = os.Remove(temp) // what is left is removed at the next start
		return blob.Info{}, fmt.Errorf("put blob %s: %w", key, full(err))
	}
	st, err := os.Stat(place)
	if err != nil {
		return blob.Info{}, fmt.Errorf("put blob %s: %w", key, err)
	}
	return blob.Info{Key: key, Size: n, CRC64: crc, Modified: st.ModTime()}, nil
}

// publish gives a synced file its name for ever: a link, unlike a rename,
// refuses to replace what is there.
func (s *Store) publish(temp, place string) error {
	dir := filepath.Dir(place)
	if err := s.makeDirs(dir); err != nil {
		return err
	}
	if err := os.Link(temp, place); err != nil {
		if errors.Is(err, fs.ErrExist) {
			return blob.ErrExists
		}
		return err
	}
	if err := syncDir(dir); err != nil {
		// Not acknowledged, so not to be found either.
		return errors.Join(err, os.Remove(place))
	}
	return os.Remove(temp)
}

// temp is a new name in the directory of temporary files.
func (s *Store) temp(kind string) string {
	return s.path("tmp", kind+"-"+strconv.FormatUint(s.serial.Add(1), 10))
}

// writeFile makes a file of exactly size bytes (-1: all there are) of r and
// syncs it, its checksum in an extended attribute.
func writeFile(ctx context.Context, path string, size int64, r io.Reader) (n int64, crc uint64, err error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return 0, 0, err
	}
	n, crc, err = fill(ctx, f, size, r)
	if err == nil {
		err = writeSum(f, crc)
	}
	if err == nil {
		err = f.Sync()
	}
	return n, crc, errors.Join(err, f.Close())
}

// fill copies r to f, and fails unless it has exactly the announced size.
func fill(ctx context.Context, f *os.File, size int64, r io.Reader) (n int64, crc uint64, err error) {
	buf := *buffers.Get().(*[]byte)
	defer buffers.Put(&buf)
	hash := crc64nvme.New()
	for {
		if err := ctx.Err(); err != nil {
			return n, 0, err
		}
		m, err := readFull(r, buf)
		if m > 0 {
			if n += int64(m); size >= 0 && n > size {
				return n, 0, fmt.Errorf("%w: more than %d bytes", blob.ErrSize, size)
			}
			_, _ = hash.Write(buf[:m]) // a hash never fails
			if _, err := f.Write(buf[:m]); err != nil {
				return n, 0, err
			}
		}
		if errors.Is(err, io.EOF) {
			if size >= 0 && n < size {
				return n, 0, fmt.Errorf("%w: %d bytes of %d", blob.ErrSize, n, size)
			}
			return n, hash.Sum64(), nil
		}
		if err != nil {
			return n, 0, err
		}
	}
}

// readFull fills buf as far as r goes. Unlike io.ReadFull it hands on r's own
// error, so that an io.ErrUnexpectedEOF of the reader is not taken for its end.
func readFull(r io.Reader, buf []byte) (n int, err error) {
	for n < len(buf) && err == nil {
		var m int
		m, err = r.Read(buf[n:])
		n += m
	}
	return n, err
}
