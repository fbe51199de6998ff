package pull

import (
	"context"
	"errors"
	"io"
	"sync"
	"time"

	"meridian/edge/cache"
)

// window is how many slices of a body that is arriving are held for readers.
const window = 2

// ErrBehind says that a reader asks for what the stream has let go of.
var ErrBehind = errors.New("the stream is past this")

// Stream is a body that is arriving, for any number of readers. It holds the two
// slices that arrived last and goes on as fast as its fastest reader. Slower ones
// find what they missed in the cache, or ask for it again; where they could not,
// see Hold, the stream holds for them what they have yet to read.
type Stream struct {
	mu      sync.Mutex
	changed chan struct{} // closed when anything below changes
	parts   [][]byte      // slices first, first+1, ...; the last may still grow
	first   int64
	written int64
	wanted  int64 // how far the fastest reader has asked
	readers map[*Reader]struct{}
	alone   bool // nobody reads: it goes on by itself
	whole   bool // all bytes have arrived: nobody is needed any more
	err     error
	stop    context.CancelFunc // ends the filling when the last reader left
	left    chan struct{}      // closed when it has
	gone    sync.Once

	holding *Holding // nil: nothing is held for those who are behind
	window  int64    // how many parts there may be
	extra   int64    // how many more there may be, for which room is taken
	// reserved is how many more than those there may come to be; likewise.
	reserved int64
}

// NewStream returns an empty Stream with one reader, who calls Leave. stop is
// called when no reader is left. alone is for a fill that nobody waits for: its
// reader is there, and reads nothing.
func NewStream(stop context.CancelFunc, alone bool) (*Stream, *Reader) {
	s := &Stream{changed: make(chan struct{}), readers: map[*Reader]struct{}{}, alone: alone, stop: stop, left: make(chan struct{}), window: window}
	r := &Reader{stream: s, lost: alone}
	s.readers[r] = struct{}{}
	return s, r
}

// Join makes a reader of the caller, from the beginning of the body on; nil where
// the last one has left before all was there.
func (s *Stream) Join() *Reader {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.readers) == 0 && !s.whole {
		return nil
	}
	r := &Reader{stream: s}
	s.readers[r] = struct{}{}
	return r
}

// Len is how much of the body has arrived.
func (s *Stream) Len() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.written
}

// Left is closed when the last reader has left.
func (s *Stream) Left() <-chan struct{} { return s.left }

// Drop lets go of what is held: readers are behind from now on.
func (s *Stream) Drop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.parts, s.first = nil, dropped
	s.giveBack(s.extra)
	s.wake()
}

// dropped is beyond all slices.
const dropped = 1 << 40

// Whole reports whether all bytes have arrived.
func (s *Stream) Whole() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.whole
}

func (s *Stream) wake() {
	close(s.changed)
	s.changed = make(chan struct{})
}

// Yield says when a Fill is to give up waiting for its readers: when Asked is
// closed and it has waited for After. The zero value is never.
type Yield struct {
	Asked <-chan struct{}
	After time.Duration
}

// Fill reads r to its end and calls each with every slice that is complete. It
// returns the length of the body. Whatever ends it, all readers are told. Where it
// waits for readers, and yield says that it had better not, it ends with ErrBehind.
func (s *Stream) Fill(ctx context.Context, r io.Reader, size int64, yield Yield, each func(index int64, b []byte)) (n int64, err error) {
	defer func() {
		s.mu.Lock()
		s.err = err
		if s.whole = err == nil; s.whole {
			s.err = io.EOF
		}
		s.unreserve()
		s.wake()
		s.mu.Unlock()
	}()
	for index := int64(0); ; index++ {
		if err := s.open(ctx, index, size, yield); err != nil {
			return s.written, err
		}
		b, end, err := s.fillSlice(r, index, size)
		if err != nil {
			return s.written, err
		}
		if len(b) > 0 {
			each(index, b)
		}
		if end {
			return s.written, nil
		}
	}
}

// open makes room for the next slice, once somebody wants more.
func (s *Stream) open(ctx context.Context, index, size int64, yield Yield) error {
	capacity := int64(32 << 10)
	if size >= 0 {
		capacity = min(size-index*cache.SliceSize, cache.SliceSize)
	} else if index > 0 {
		capacity = cache.SliceSize
	}
	var asked <-chan struct{} // to yield
	patience := time.NewTimer(yield.After)
	defer patience.Stop()
	s.mu.Lock()
	for !s.alone && s.wanted < s.written-cache.SliceSize {
		changed := s.changed
		s.mu.Unlock()
		select {
		case <-changed:
		case <-patience.C:
			asked = yield.Asked
		case <-asked:
			return ErrBehind
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		s.mu.Lock()
	}
	defer s.mu.Unlock()
	if err := s.makePlace(ctx); err != nil {
		return err
	}
	s.parts = append(s.parts, make([]byte, 0, max(capacity, 0)))
	return nil
}

func (s *Stream) fillSlice(r io.Reader, index, size int64) (b []byte, end bool, err error) {
	s.mu.Lock()
	b = s.parts[len(s.parts)-1]
	s.mu.Unlock()
	for int64(len(b)) < cache.SliceSize {
		if len(b) == cap(b) {
			if size >= 0 && index*cache.SliceSize+int64(len(b)) == size {
				// All there is; the reader says whether it is the end, too.
				var more [1]byte
				if k, err := r.Read(more[:]); k > 0 || err != nil && !errors.Is(err, io.EOF) {
					return b, true, errors.Join(err, io.ErrUnexpectedEOF)
				}
				return b, true, nil
			}
			grown := make([]byte, len(b), min(max(2*cap(b), 32<<10), cache.SliceSize))
			copy(grown, b)
			b = grown
		}
		k, err := r.Read(b[len(b):cap(b)])
		b = b[:len(b)+k]
		s.mu.Lock()
		s.parts[len(s.parts)-1], s.written = b, s.written+int64(k)
		s.whole = s.written == size
		s.wake()
		s.mu.Unlock()
		if errors.Is(err, io.EOF) {
			if size >= 0 && index*cache.SliceSize+int64(len(b)) != size {
				return b, true, io.ErrUnexpectedEOF
			}
			return b, true, nil
		}
		if err != nil {
			return b, true, err
		}
	}
	return b, size >= 0 && (index+1)*cache.SliceSize == size, nil
}
