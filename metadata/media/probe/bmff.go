package probe

// box is one box of an ISO base media file (ISO/IEC 14496-12, section 4.2): its
// type and where its content lies in the file.
type box struct {
	name       string
	start      int64 // of the header
	begin, end int64 // of the content
}

// Limits on what is read into memory at once, and on how many boxes stand in a
// row before one gives up.
const (
	maxSmallBox = 64 << 10
	maxMetaBox  = 2 << 20
	maxBoxes    = 4096
)

// box reads the header of the box at off, inside a space that ends at end.
func (s *source) box(off, end int64) (box, error) {
	h, err := s.bytes(off, 8, 8)
	if err != nil {
		return box{}, err
	}
	f := fields{b: h}
	size, b := int64(f.u32()), box{name: string(h[4:8]), start: off, begin: off + 8}
	switch size {
	case 0: // to the end
		size = end - off
	case 1:
		if h, err = s.bytes(off+8, 8, 8); err != nil {
			return box{}, err
		}
		f = fields{b: h}
		size, b.begin = int64(f.u64()), off+16 //nolint:gosec // a negative one is refused below
	}
	if b.name == "uuid" {
		b.begin += 16
	}
	if size < b.begin-off || size > end-off {
		return box{}, malformedf("box %q at %d has the size %d", b.name, off, size)
	}
	b.end = off + size
	return b, nil
}

// boxes calls fn for the boxes between off and end until it fails or says stop.
// A last box that the file cuts off ends the walk as if it were not there:
// players show such files too.
func (s *source) boxes(off, end int64, fn func(box) (more bool, err error)) error {
	for n := 0; off <= end-8; n++ {
		if n == maxBoxes {
			return malformedf("more than %d boxes in a row", maxBoxes)
		}
		b, err := s.box(off, end)
		if err != nil {
			return err
		}
		if more, err := fn(b); err != nil || !more {
			return err
		}
		off = b.end
	}
	return nil
}

// content reads a box's content into memory.
func (s *source) content(b box, limit int64) (fields, error) {
	c, err := s.bytes(b.begin, b.end-b.begin, limit)
	return fields{b: c}, err
}

// subBoxes calls fn for the boxes in f, which is in memory.
func subBoxes(f fields, fn func(name string, content fields)) {
	for len(f.b) >= 8 {
		size, name, head := uint64(f.u32()), string(f.take(4)), uint64(8)
		if size == 1 {
			size, head = f.u64(), 16
		}
		if size == 0 {
			size = head + uint64(len(f.b))
		}
		if size < head || size-head > uint64(len(f.b)) {
			return
		}
		fn(name, fields{b: f.take(int(size - head))}) //nolint:gosec // at most len(f.b)
	}
}
