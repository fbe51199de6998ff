package bucket

import (
	"context"
	"crypto/md5"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"sync"
	"time"

	"github.com/minio/crc64nvme"

	"meridian/origin/blob"
)

// stream is the body of a request out of a reader of the caller's. It hands over
// the last byte only when it has seen that the reader ends there, and ends well:
// a request cut before its last byte leaves nothing.
type stream struct {
	mu     sync.Mutex // held while r is read: see stop
	r      io.Reader
	size   int64
	left   int64
	open   bool // more may follow in r
	crc    hash.Hash64
	md5    hash.Hash // nil: not computed
	err    error     // why it ended early; io.EOF once it was read to its end
	began  bool
	patron *patience
}

func newStream(r io.Reader, size int64, open, withMD5 bool, p *patience) *stream {
	s := &stream{r: r, size: size, left: size, open: open, crc: crc64nvme.New(), patron: p}
	if withMD5 {
		s.md5 = md5.New()
	}
	return s
}

// errStopped is what a request reads that its caller has given up.
var errStopped = errors.New("the request was given up")

func (s *stream) Read(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return 0, s.err
	}
	s.began = true
	// How long the client takes is not the server's fault.
	s.patron.rest()
	defer s.patron.begin()
	n, err := s.read(p)
	if s.err = err; err != nil && err != io.EOF { //nolint:errorlint // the end itself
		return 0, err
	}
	_, _ = s.crc.Write(p[:n]) // a hash never fails
	if s.md5 != nil {
		_, _ = s.md5.Write(p[:n])
	}
	return n, err
}

func (s *stream) read(p []byte) (n int, err error) {
	if s.left < int64(len(p)) {
		p = p[:s.left]
	}
	if len(p) > 0 {
		n, err = s.r.Read(p)
		s.left -= int64(n)
	}
	switch {
	case s.left > 0 && errors.Is(err, io.EOF):
		return 0, fmt.Errorf("%w: %d bytes of %d", blob.ErrSize, s.size-s.left, s.size)
	case s.left > 0 || err != nil && err != io.EOF: //nolint:errorlint // the end itself
		return n, err
	case s.open:
		return n, io.EOF
	case err == nil:
		err = atEnd(s.r)
	}
	if err == nil {
		return 0, fmt.Errorf("%w: more than %d bytes", blob.ErrSize, s.size)
	}
	return n, err
}

// atEnd is io.EOF at the end of r, nil where it goes on, else r's error.
func atEnd(r io.Reader) error {
	var one [1]byte
	for range 100 {
		n, err := r.Read(one[:])
		if n > 0 {
			return nil
		}
		if err != nil {
			return err
		}
	}
	return io.ErrNoProgress
}

// stop returns when the request reads no more of the caller's reader, and says
// how the stream ended: io.EOF if all of it went. The transport may read on for
// a moment after it has returned.
func (s *stream) stop() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err == nil {
		s.err = errStopped
	}
	return s.err
}

func (s *stream) sum() string { return EncodeSum(s.crc.Sum64()) }

// wrongETag says that the server has made something else of the stream, where
// its ETag is an MD5.
func (s *stream) wrongETag(etag string) bool {
	if s.md5 == nil || len(etag) != hex.EncodedLen(md5.Size) {
		return false
	}
	return etag != hex.EncodeToString(s.md5.Sum(nil))
}

// patience ends a request by whose peer nothing goes on.
type patience struct {
	timer *time.Timer
	limit time.Duration
}

// newPatience begins to wait; cancel ends the request.
func newPatience(limit time.Duration, cancel context.CancelCauseFunc) *patience {
	return &patience{timer: time.AfterFunc(limit, func() { cancel(errStalled) }), limit: limit}
}

func (p *patience) rest() { p.timer.Stop() }

func (p *patience) begin() { p.timer.Reset(p.limit) }
