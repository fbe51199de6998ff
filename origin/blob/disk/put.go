package disk

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"time"

	"github.com/minio/crc64nvme"

	"meridian/origin/blob"
)

const (
	// bufferSize is what one write holds in memory.
	bufferSize = 256 << 10
	// roomEvery is how many bytes of one write may go by between two looks at
	// the free space.
	roomEvery = 64 << 20
	// idleReads is how often a reader may answer nothing in a row.
	idleReads = 100
)

// Put stores a blob of one piece; see blob.Store.
func (s *Store) Put(ctx context.Context, key string, size int64, r io.Reader, m blob.Meta) (blob.Info, error) {
	place, err := s.place(key)
	if err == nil {
		err = m.Check()
	}
	if err != nil {
		return blob.Info{}, err
	}
	dir := filepath.Dir(place)
	if err := s.makeDirs(dir); err != nil {
		return blob.Info{}, fmt.Errorf("put blob %s: %w", key, full(err))
	}
	info, err := s.write(ctx, dir, place, size, r, m)
	if err != nil {
		return blob.Info{}, fmt.Errorf("put blob %s: %w", key, full(err))
	}
	info.Key = key
	return info, nil
}

// write makes the file place of exactly size bytes (-1: all there are) of r, its
// checksum and metadata in extended attributes; until it is whole it is a draft
// near dir.
// The order is what makes it durable and all-or-nothing: the bytes are synced
// before they get a name, the name before anybody hears of it.
func (s *Store) write(ctx context.Context, dir, place string, size int64, r io.Reader, m blob.Meta) (info blob.Info, err error) {
	if err := s.room(size); err != nil {
		return info, err
	}
	d, err := s.create(dir)
	if err != nil {
		return info, err
	}
	defer func() {
		if e := d.Close(); e != nil && err == nil {
			s.log.Warn("unfinished file is left for the next start", "dir", s.dir, "err", e)
		}
	}()
	if info.Size, info.CRC64, err = s.fill(ctx, d, size, r); err != nil {
		return info, err
	}
	if err := writeSum(d, info.CRC64); err != nil {
		return info, err
	}
	if err := writeMeta(d, m); err != nil {
		return info, err
	}
	if err := s.syncData(d); err != nil {
		return info, err
	}
	info.Modified = time.Now()
	if err := d.publish(place); err != nil {
		return info, err
	}
	if err := s.syncs.do(filepath.Dir(place)); err != nil {
		// Not acknowledged, so not to be found either.
		return info, errors.Join(err, s.remove(place))
	}
	return info, nil
}

// fill copies r to w, and fails unless it has exactly the announced size.
func (s *Store) fill(ctx context.Context, w io.Writer, size int64, r io.Reader) (n int64, crc uint64, err error) {
	buf := s.buffers.Get().(*[]byte)
	defer s.buffers.Put(buf)
	hash := crc64nvme.New()
	look := int64(roomEvery)
	for {
		if err := ctx.Err(); err != nil {
			return n, 0, err
		}
		m, err := readFull(r, *buf)
		if m > 0 {
			if n += int64(m); size >= 0 && n > size {
				return n, 0, fmt.Errorf("%w: more than %d bytes", blob.ErrSize, size)
			}
			_, _ = hash.Write((*buf)[:m]) // a hash never fails
			if _, err := w.Write((*buf)[:m]); err != nil {
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
		if n >= look {
			if err := s.room(0); err != nil {
				return n, 0, err
			}
			look = n + roomEvery
		}
	}
}

// readFull fills buf as far as r goes. Unlike io.ReadFull it hands on r's own
// error, so that an io.ErrUnexpectedEOF of the reader is not taken for its end.
func readFull(r io.Reader, buf []byte) (n int, err error) {
	for idle := 0; n < len(buf) && err == nil; {
		var m int
		m, err = r.Read(buf[n:])
		n += m
		if idle++; m > 0 {
			idle = 0
		}
		if idle == idleReads && err == nil {
			err = io.ErrNoProgress
		}
	}
	return n, err
}
