package pull

import (
	"context"

	"meridian/edge/cache"
)

// Reader is one of those who read a Stream, in order or not.
type Reader struct {
	stream *Stream
	// at is the offset asked for last, under the lock of the stream: what is before
	// it is of no more use, but for what is kept.
	at   int64
	kept bool // at stays
	lost bool // nothing is held for this one (any more)
}

// Read returns bytes of the body from offset on, one at least, which nobody may
// modify; io.EOF at its end, ErrBehind where they are gone.
func (r *Reader) Read(ctx context.Context, offset int64) ([]byte, error) {
	s := r.stream
	for {
		s.mu.Lock()
		r.move(offset)
		if offset > s.wanted {
			s.wanted = offset
			s.wake()
		}
		switch {
		case offset >= s.written && s.err != nil:
			defer s.mu.Unlock()
			return nil, s.err
		case offset < s.first*cache.SliceSize:
			s.mu.Unlock()
			return nil, ErrBehind
		case offset < s.written:
			part := s.parts[offset/cache.SliceSize-s.first]
			s.mu.Unlock()
			return part[offset%cache.SliceSize:], nil
		}
		changed := s.changed
		s.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// needs reports, under the lock, whether a slice is to be held for the reader.
func (r *Reader) needs(index int64) bool {
	return !r.lost && r.at < (index+1)*cache.SliceSize
}

// move notes, under the lock, that the reader has come to offset.
func (r *Reader) move(offset int64) {
	s := r.stream
	if r.kept || offset <= r.at {
		return
	}
	end := (s.first + 1) * cache.SliceSize
	past := r.at < end && offset >= end
	if r.at = offset; past {
		s.trim()
	}
}

// Keep is for a reader who goes back: nothing from here on is let go of while it
// reads.
func (r *Reader) Keep() {
	r.stream.mu.Lock()
	defer r.stream.mu.Unlock()
	r.kept = true
}

// Leave ends what NewStream or Join began. What is whole is kept, though nobody
// reads it any more.
func (r *Reader) Leave() {
	s := r.stream
	s.mu.Lock()
	delete(s.readers, r)
	s.unreserve()
	if r.needs(s.first) { // each looking at all others would take long, where there are thousands
		s.trim()
	}
	none, whole := len(s.readers) == 0, s.whole
	s.mu.Unlock()
	if !none {
		return
	}
	s.gone.Do(func() { close(s.left) })
	if !whole {
		s.stop()
	}
}
