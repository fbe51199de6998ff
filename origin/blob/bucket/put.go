package bucket

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net/url"
	"strconv"
	"time"

	"meridian/internal/checksum"
	"meridian/origin/blob"
)

// metaCRC is where the checksum is kept of a blob whose bytes were known before
// it was sent; servers without checksums of their own have no other place.
const metaCRC = "meridian-crc64"

// Put stores a blob; see blob.Store. A small one is sent from memory and sent
// again where that may help. A larger one streams through one request, which
// cannot be repeated once the reader was read.
func (s *Store) Put(ctx context.Context, key string, size int64, r io.Reader, m blob.Meta) (blob.Info, error) {
	if err := errors.Join(blob.CheckKey(key), m.Check()); err != nil {
		return blob.Info{}, err
	}
	if !s.can.conditions {
		if !s.writes.take(key) {
			return blob.Info{}, fmt.Errorf("put blob %s: %w", key, blob.ErrExists)
		}
		defer s.writes.free(key)
	}
	err := s.absent(ctx, key)
	info := blob.Info{Key: key}
	if err == nil {
		switch {
		case size > maxSingle:
			info.Size, info.CRC64, err = s.putParts(ctx, key, size, r, m)
		case size > small:
			info.Size, info.CRC64, err = s.putStream(ctx, key, size, r, m)
		default:
			info.Size, info.CRC64, err = s.putUnsized(ctx, key, size, r, m)
		}
	}
	if err != nil {
		return blob.Info{}, fmt.Errorf("put blob %s: %w", key, known(err))
	}
	info.Modified = time.Now()
	return info, nil
}

// absent looks for a blob that must not be replaced, where the server does not
// do so itself. A key belongs to one version, which one process writes.
func (s *Store) absent(ctx context.Context, key string) error {
	if s.can.conditions {
		return nil
	}
	_, err := s.head(ctx, key)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		return blob.ErrExists
	}
	return err
}

// headers are those of a new object.
func (s *Store) headers(m blob.Meta) Headers {
	h := Headers{Meta: maps.Clone(m), IfAbsent: s.can.conditions, Checked: s.can.checksums}
	if h.Meta == nil {
		h.Meta = map[string]string{}
	}
	// As much of it as needs no escape is what it was.
	if t, err := url.PathUnescape(m[blob.MetaContentType]); err == nil && !bytes.ContainsFunc([]byte(t), func(r rune) bool { return r < ' ' || r > '~' }) {
		h.Type = t
	}
	return h
}

// putUnsized stores a body that is small, or may be: size is at most small.
func (s *Store) putUnsized(ctx context.Context, key string, size int64, r io.Reader, m blob.Meta) (int64, uint64, error) {
	b, whole, err := buffer(ctx, size, firstBuffer, r)
	if err != nil {
		return 0, 0, err
	}
	if !whole {
		return s.putBuffered(ctx, key, b, r, m)
	}
	crc := checksum.Sum64(b)
	h := s.headers(m)
	h.Meta[metaCRC] = hexCRC(crc)
	err = s.retryWithin(ctx, slow, func(ctx context.Context, try int) error {
		_, err := s.client.Put(ctx, key, s.inMemory(b), h)
		if try > 0 && errors.Is(known(err), blob.ErrExists) {
			return s.ours(ctx, key, int64(len(b)), crc, err)
		}
		return err
	})
	return int64(len(b)), crc, err
}

func (s *Store) inMemory(b []byte) Body {
	return Body{Size: int64(len(b)), Bytes: b, Checked: s.can.checksums, Sum: func() string { return EncodeSum(checksum.Sum64(b)) }}
}

// firstBuffer is what is taken for a body of which nothing is known.
const firstBuffer = 64 << 10

// buffer reads up to partSize bytes of r. whole is false where there may be more.
// A size other than -1 is what there must be; guess is what there may be.
func buffer(ctx context.Context, size, guess int64, r io.Reader) (b []byte, whole bool, err error) {
	if size >= 0 {
		guess = size + 1
	}
	b = make([]byte, 0, guess)
	for idle := 0; ; {
		if err := ctx.Err(); err != nil {
			return nil, false, err
		}
		if len(b) == partSize {
			return b, false, nil
		}
		if len(b) == cap(b) {
			grown := make([]byte, len(b), min(2*cap(b), partSize))
			copy(grown, b)
			b = grown
		}
		n, err := r.Read(b[len(b):cap(b)])
		b = b[:len(b)+n]
		if idle++; n > 0 {
			idle = 0
		}
		switch {
		case size >= 0 && int64(len(b)) > size:
			return nil, false, fmt.Errorf("%w: more than %d bytes", blob.ErrSize, size)
		case errors.Is(err, io.EOF) && int64(len(b)) < size:
			return nil, false, fmt.Errorf("%w: %d bytes of %d", blob.ErrSize, len(b), size)
		case errors.Is(err, io.EOF):
			return b, true, nil
		case err != nil:
			return nil, false, err
		case idle == 100:
			return nil, false, io.ErrNoProgress
		}
	}
}

// putStream stores a body of known size in one request.
func (s *Store) putStream(ctx context.Context, key string, size int64, r io.Reader, m blob.Meta) (int64, uint64, error) {
	h := s.headers(m)
	st, err := s.send(ctx, r, size, false, func(ctx context.Context, b Body) (string, error) {
		return s.client.Put(ctx, key, b, h)
	})
	if err != nil && st.all() && !errors.Is(known(err), blob.ErrExists) {
		// The server may have it; only its answer was lost.
		if own := s.ours(ctx, key, size, st.crc.Sum64(), err); own == nil {
			err = nil
		}
	}
	if errors.Is(err, blob.ErrCorrupt) {
		s.discard(ctx, key)
	}
	return size, st.crc.Sum64(), err
}

// send carries size bytes of r in a request. It is repeated as long as none of
// them was read.
func (s *Store) send(ctx context.Context, r io.Reader, size int64, open bool, do func(ctx context.Context, b Body) (etag string, err error)) (*stream, error) {
	for try := 0; ; try++ {
		own, cancel := context.WithCancelCause(ctx)
		p := newPatience(stall, cancel)
		st := newStream(r, size, open, !s.can.checksums, p)
		etag, err := do(own, Body{Size: size, Stream: st, Sum: st.sum, Checked: s.can.checksums})
		end := st.stop()
		p.rest()
		err = stalled(ctx, own, err)
		cancel(nil)
		switch {
		case end != io.EOF && end != errStopped: //nolint:errorlint // stop's own
			return st, end // the caller's reader failed, and that is why
		case err == nil && end != io.EOF: //nolint:errorlint // stop's own
			return st, fmt.Errorf("%w: the server answered before it had the body", io.ErrUnexpectedEOF)
		case err == nil && st.wrongETag(etag):
			return st, fmt.Errorf("%w: the server stored other bytes than were sent", blob.ErrCorrupt)
		case err == nil:
			s.succeeded()
			return st, nil
		case st.began || ctx.Err() != nil || !retryable(err) || try+1 == maxTries || !s.budget.spend():
			return st, s.failed(ctx, err)
		}
		if err := pause(ctx, try); err != nil {
			return st, err
		}
	}
}

// all says whether the whole body was handed to the server.
func (s *stream) all() bool { return s.stop() == io.EOF } //nolint:errorlint // its own

// ours is nil if the object under key is the one that a request has made whose
// answer was lost; else it is err.
func (s *Store) ours(ctx context.Context, key string, size int64, crc uint64, err error) error {
	if ctx.Err() != nil {
		return err
	}
	o, e := s.head(ctx, key)
	if e == nil && o.Size == size && (o.crc64() == crc || o.crc64() == 0 && !s.can.checksums) {
		return nil
	}
	return err
}

// discard removes what must not be found. Where it fails the sweeper does it.
func (s *Store) discard(ctx context.Context, key string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), quick)
	defer cancel()
	if err := s.client.Delete(ctx, []string{key}); err != nil {
		s.log.Warn("left a blob for the sweeper", "blob", key, "err", err)
	}
}

// putBuffered stores a body of unknown size, of which b is the beginning, in
// parts that are sent from memory.
func (s *Store) putBuffered(ctx context.Context, key string, b []byte, r io.Reader, m blob.Meta) (int64, uint64, error) {
	return s.inParts(ctx, key, m, func(put partFunc) error {
		for n, whole := 1, false; !whole; n++ {
			if n > 1 {
				var err error
				if b, whole, err = buffer(ctx, -1, partSize, r); err != nil {
					return err
				}
				if len(b) == 0 {
					break
				}
			}
			if n > maxParts {
				return fmt.Errorf("%w: more than %d bytes of a body without an announced size", blob.ErrSize, int64(maxParts)*partSize)
			}
			if err := put(n, bytes.NewReader(b), int64(len(b)), b); err != nil {
				return err
			}
		}
		return nil
	})
}

// putParts stores a body that is too large for one request.
func (s *Store) putParts(ctx context.Context, key string, size int64, r io.Reader, m blob.Meta) (int64, uint64, error) {
	each := max(64<<20, (size+maxParts-1)/maxParts)
	return s.inParts(ctx, key, m, func(put partFunc) error {
		for n, left := 1, size; left > 0; n++ {
			this := min(each, left)
			left -= this
			body := r
			if left > 0 {
				body = open{r}
			}
			if err := put(n, body, this, nil); err != nil {
				return err
			}
		}
		return nil
	})
}

// open marks a reader that may go on after a part.
type open struct{ io.Reader }

// partFunc puts a part, from memory where b is set.
type partFunc func(n int, r io.Reader, size int64, b []byte) error

// inParts makes a blob of the parts that fill puts, or nothing.
func (s *Store) inParts(ctx context.Context, key string, m blob.Meta, fill func(put partFunc) error) (size int64, crc uint64, err error) {
	upload, err := s.begin(ctx, key, m)
	if err != nil {
		return 0, 0, err
	}
	var parts []blob.Part
	err = fill(func(n int, r io.Reader, size int64, b []byte) error {
		p, err := s.part(ctx, key, upload, n, size, r, b)
		parts = append(parts, p)
		return err
	})
	if err == nil {
		size, crc, err = s.complete(ctx, key, upload, parts, false)
	}
	if err != nil {
		s.abandon(ctx, key, upload)
	}
	return size, crc, err
}

// hexCRC is a checksum as it stands in metaCRC.
func hexCRC(crc uint64) string { return fmt.Sprintf("%016x", crc) }

// crc64 is the checksum of an object, zero where the server keeps none.
func (o Object) crc64() uint64 {
	if b, err := base64.StdEncoding.DecodeString(o.Sum); err == nil && len(b) == 8 {
		return binary.BigEndian.Uint64(b)
	}
	crc, err := strconv.ParseUint(o.Meta[metaCRC], 16, 64)
	if err != nil {
		return 0
	}
	return crc
}
