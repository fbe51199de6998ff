package probe

import (
	"math"
	"math/bits"
)

// element is one element of an EBML file (RFC 8794): its ID with the length
// marker, and where its data lie.
type element struct {
	id         uint64
	begin, end int64
	unknown    bool // the size was not known when it was written; end is the parent's
}

// element reads the header of the element at off, inside a parent that ends at
// end.
func (s *source) element(off, end int64) (element, error) {
	h := s.head(off, int(min(12, end-off)))
	if s.failed != nil {
		return element{}, s.failed
	}
	id, n := vint(h, false)
	if n == 0 || n > 4 {
		return element{}, malformedf("no element at %d", off)
	}
	size, k := vint(h[n:], true)
	if k == 0 {
		return element{}, malformedf("no element at %d", off)
	}
	e := element{id: id, begin: off + int64(n+k)}
	switch {
	case size == 1<<(7*k)-1: // all ones
		e.end, e.unknown = end, true
	case size > uint64(end-e.begin): //nolint:gosec // begin is before end
		// The file was cut off, or is still being written.
		e.end = end
	default:
		e.end = e.begin + int64(size) //nolint:gosec // bounded above
	}
	return e, nil
}

// vint reads a variable-size integer and its length, 0 if there is none.
func vint(b []byte, strip bool) (v uint64, n int) {
	if len(b) == 0 || b[0] == 0 {
		return 0, 0
	}
	n = bits.LeadingZeros8(b[0]) + 1
	if n > len(b) {
		return 0, 0
	}
	for i := range n {
		v = v<<8 | uint64(b[i])
	}
	if strip {
		v &^= 1 << (7 * n)
	}
	return v, n
}

// elements calls fn for the elements between off and end until it fails or says
// stop.
func (s *source) elements(off, end int64, fn func(element) (more bool, err error)) error {
	for n := 0; off < end; n++ {
		if n == maxBoxes {
			return malformedf("more than %d elements in a row", maxBoxes)
		}
		e, err := s.element(off, end)
		if err != nil {
			return err
		}
		if more, err := fn(e); err != nil || !more {
			return err
		}
		off = e.end
	}
	return nil
}

// data reads an element's data into memory.
func (s *source) data(e element) ([]byte, error) {
	return s.bytes(e.begin, e.end-e.begin, maxSmallBox)
}

func (s *source) uintOf(e element) (uint64, error) {
	b, err := s.data(e)
	if err != nil || len(b) > 8 {
		return 0, err
	}
	f := fields{b: b}
	return f.uint(len(b)), nil
}

func (s *source) floatOf(e element) (float64, error) {
	b, err := s.data(e)
	if err != nil {
		return 0, err
	}
	f := fields{b: b}
	switch len(b) {
	case 4:
		return float64(math.Float32frombits(f.u32())), nil
	case 8:
		return math.Float64frombits(f.u64()), nil
	}
	return 0, nil
}
