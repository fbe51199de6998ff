package probe

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

const (
	pageSize = 64 << 10
	// maxPages bounds how much of a file is touched: 8 MiB.
	maxPages = 128
	// maxReads bounds how often it is read, which bounds every loop over it.
	maxReads = 1 << 15
)

// source is the file being looked at, with what may yet be spent on it.
type source struct {
	ctx    context.Context //nolint:containedctx // of the one call of Probe that made it
	r      io.ReaderAt
	size   int64
	pages  map[int64]struct{}
	reads  int
	failed error // of r or ctx: the file is not to blame
}

// ReadAt implements io.ReaderAt within the limits.
func (s *source) ReadAt(p []byte, off int64) (int, error) {
	if s.failed != nil {
		return 0, s.failed
	}
	if s.failed = s.ctx.Err(); s.failed != nil {
		return 0, s.failed
	}
	if off < 0 || off >= s.size {
		return 0, io.EOF
	}
	short := int64(len(p)) > s.size-off
	if short {
		p = p[:s.size-off]
	}
	if len(p) == 0 {
		return 0, nil
	}
	if s.reads++; s.reads > maxReads {
		return 0, malformedf("more than %d reads did not tell what it is", maxReads)
	}
	if s.pages == nil {
		s.pages = make(map[int64]struct{})
	}
	for page := off / pageSize; page <= (off+int64(len(p))-1)/pageSize; page++ {
		s.pages[page] = struct{}{}
	}
	if len(s.pages) > maxPages {
		return 0, malformedf("%d KiB of it did not tell what it is", maxPages*pageSize>>10)
	}
	n, err := s.r.ReadAt(p, off)
	if n < len(p) {
		if err == nil || errors.Is(err, io.EOF) {
			err = fmt.Errorf("%w: the file ends before its size", io.ErrUnexpectedEOF)
		}
		s.failed = err
		return n, err
	}
	if short {
		return n, io.EOF
	}
	return n, nil
}

// section is a part of the file as a reader.
func (s *source) section(off, n int64) *io.SectionReader {
	return io.NewSectionReader(s, off, n)
}

// bytes reads a part that must be there; limit bounds it.
func (s *source) bytes(off, n, limit int64) ([]byte, error) {
	if n < 0 || n > limit || off < 0 || off > s.size-n {
		return nil, malformedf("a part of %d bytes at %d is out of bounds", n, off)
	}
	b := make([]byte, n)
	if k, err := s.ReadAt(b, off); int64(k) < n {
		return nil, err
	}
	return b, nil
}

// head reads up to n bytes, fewer where the file ends.
func (s *source) head(off int64, n int) []byte {
	b := make([]byte, n)
	n, _ = s.ReadAt(b, off)
	return b[:n]
}

// fields reads big-endian numbers off a slice. Beyond its end they are zero and
// ok is false from then on.
type fields struct {
	b   []byte
	bad bool
}

func (f *fields) take(n int) []byte {
	if n < 0 || n > len(f.b) {
		f.b, f.bad = nil, true
		return make([]byte, max(0, min(n, 8)))
	}
	b := f.b[:n]
	f.b = f.b[n:]
	return b
}

func (f *fields) skip(n int)  { f.take(n) }
func (f *fields) u8() uint8   { return f.take(1)[0] }
func (f *fields) u16() uint16 { return binary.BigEndian.Uint16(f.take(2)) }
func (f *fields) u32() uint32 { return binary.BigEndian.Uint32(f.take(4)) }
func (f *fields) u64() uint64 { return binary.BigEndian.Uint64(f.take(8)) }

// uint reads a number of 0 to 8 bytes.
func (f *fields) uint(n int) (v uint64) {
	for _, b := range f.take(n) {
		v = v<<8 | uint64(b)
	}
	return v
}
