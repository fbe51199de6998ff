// Package faststart moves the index of an MP4 or QuickTime file (its moov box)
// in front of the samples (its mdat boxes), so that a player can begin with the
// first bytes instead of fetching the end of the file first. It reads the index
// and none of the samples: what it makes is a Plan, which says of what pieces of
// the input the output consists.
//
// Boxes are those of ISO/IEC 14496-12, section 4.2.
package faststart

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

var (
	// ErrNotNeeded says that the file is as well as it is: its index comes
	// first, or it consists of fragments, each with an index of its own.
	ErrNotNeeded = errors.New("index is not at the end")
	// ErrUnsupported says that the index could not be moved without breaking
	// something: it is compressed, too large, or refers to places in the file in
	// ways that this package does not rewrite.
	ErrUnsupported = errors.New("index cannot be moved")
	// ErrMalformed says that the file is damaged or none of its kind.
	ErrMalformed = errors.New("malformed MP4")
)

const (
	// MaxIndex bounds the index that is read into memory, in bytes: a day of
	// video has about 40 MiB.
	MaxIndex = 64 << 20
	// maxBoxes bounds how many boxes may stand in a row in the file.
	maxBoxes = 10_000
)

// Segment is a piece of the output: Data, or, where that is nil, Length bytes of
// the input from Offset.
type Segment struct {
	Data           []byte
	Offset, Length int64
}

// Len is the length of the segment in bytes.
func (s Segment) Len() int64 {
	if s.Data != nil {
		return int64(len(s.Data))
	}
	return s.Length
}

// Plan is the output, piece by piece.
type Plan struct {
	Segments []Segment
	Size     int64 // of all segments
}

// Range is the part of the plan that makes up n bytes of the output from off.
func (p Plan) Range(off, n int64) []Segment {
	var part []Segment
	for _, s := range p.Segments {
		skip := min(off, s.Len())
		off -= skip
		take := min(n, s.Len()-skip)
		if take <= 0 {
			continue
		}
		n -= take
		if s.Data != nil {
			part = append(part, Segment{Data: s.Data[skip : skip+take]})
		} else {
			part = append(part, Segment{Offset: s.Offset + skip, Length: take})
		}
	}
	return part
}

// Needed reports whether samples come before the index in a file of the given
// size. It reads the headers of the boxes at the top only. A file that it cannot
// make sense of needs nothing; errors are those of r.
func Needed(r io.ReaderAt, size int64) (bool, error) {
	samples, needed := false, false
	err := boxes(r, size, func(b box) (bool, error) {
		switch b.name {
		case "mdat":
			samples = samples || b.end > b.begin
		case "moof":
			return false, nil
		case "moov":
			needed = samples
			return false, nil
		}
		return true, nil
	})
	if errors.Is(err, ErrMalformed) || errors.Is(err, ErrUnsupported) {
		return false, nil
	}
	return needed, err
}

// Make plans the output for a file of the given size. Beside ErrNotNeeded,
// ErrUnsupported and ErrMalformed, errors are those of r.
func Make(r io.ReaderAt, size int64) (Plan, error) {
	l, err := readLayout(r, size)
	if err != nil {
		return Plan{}, err
	}
	index := make([]byte, l.moov.end-l.moov.begin)
	if err := readFull(r, index, l.moov.begin); err != nil {
		return Plan{}, err
	}
	tree, err := parseIndex(index, size)
	if err != nil {
		return Plan{}, err
	}
	moved, err := tree.moved(l)
	if err != nil {
		return Plan{}, err
	}
	var p Plan
	add := func(s Segment) {
		if s.Len() > 0 {
			p.Segments = append(p.Segments, s)
			p.Size += s.Len()
		}
	}
	add(Segment{Offset: 0, Length: l.insert})
	add(Segment{Data: moved})
	add(Segment{Offset: l.insert, Length: l.moov.start - l.insert})
	add(Segment{Offset: l.moov.end, Length: size - l.moov.end})
	return p, nil
}

// layout is where the index is, and where it is to be.
type layout struct {
	moov   box
	insert int64
}

// shift is where a byte of the input lies in the output, given the length of the
// new index.
func (l layout) shift(off, length int64) int64 {
	switch {
	case off < l.insert:
		return off
	case off < l.moov.start:
		return off + length
	}
	return off + length - (l.moov.end - l.moov.start)
}

func readLayout(r io.ReaderAt, size int64) (layout, error) {
	var l layout
	found, samples := false, false
	err := boxes(r, size, func(b box) (bool, error) {
		switch b.name {
		case "ftyp":
			if b.start == 0 {
				l.insert = b.end
			}
		case "mdat":
			samples = samples || !found && b.end > b.begin
		case "moof", "sidx":
			return false, fmt.Errorf("%w: the file consists of fragments", ErrNotNeeded)
		case "meta":
			return false, fmt.Errorf("%w: the file holds items beside its tracks", ErrUnsupported)
		case "moov":
			if found {
				return false, fmt.Errorf("%w: there are two", ErrUnsupported)
			}
			if b.end-b.begin > MaxIndex {
				return false, fmt.Errorf("%w: it has %d bytes, more than %d", ErrUnsupported, b.end-b.begin, MaxIndex)
			}
			found, l.moov = true, b
		}
		return true, nil
	})
	switch {
	case err != nil:
		return layout{}, err
	case !found:
		return layout{}, fmt.Errorf("%w: there is no moov box", ErrMalformed)
	case !samples:
		return layout{}, ErrNotNeeded
	}
	return l, nil
}

// box is a box at the top of the file: where its header starts, and where its
// content lies.
type box struct {
	name              string
	start, begin, end int64
}

// boxes calls fn for the boxes at the top of a file until it fails or says stop.
// Fewer bytes than a header at the end are no box. One that reaches beyond the
// end means that the file was cut off.
func boxes(r io.ReaderAt, size int64, fn func(box) (more bool, err error)) error {
	var h [16]byte
	off := int64(0)
	for n := 0; off <= size-8; n++ {
		if n == maxBoxes {
			return fmt.Errorf("%w: more than %d boxes in a row", ErrUnsupported, maxBoxes)
		}
		head := h[:min(16, size-off)]
		if err := readFull(r, head, off); err != nil {
			return err
		}
		name, begin, length, err := header(head, size-off)
		if err != nil {
			return fmt.Errorf("at %d: %w", off, err)
		}
		b := box{name: name, start: off, begin: off + begin, end: off + length}
		if more, err := fn(b); err != nil || !more {
			return err
		}
		off = b.end
	}
	return nil
}

// header reads the header of a box that has room bytes at most: its name, where
// its content begins and how long it is, the header included.
func header(b []byte, room int64) (name string, begin, length int64, err error) {
	length, name, begin = int64(binary.BigEndian.Uint32(b)), string(b[4:8]), 8
	switch length {
	case 0: // to the end
		length = room
	case 1:
		if len(b) < 16 {
			return "", 0, 0, fmt.Errorf("%w: box %q is cut off", ErrMalformed, name)
		}
		length, begin = int64(binary.BigEndian.Uint64(b[8:])), 16 //nolint:gosec // a negative one is refused below
	}
	if length < begin || length > room {
		return "", 0, 0, fmt.Errorf("%w: box %q of %d bytes where there are %d", ErrMalformed, name, length, room)
	}
	return name, begin, length, nil
}

// readFull reads all of p. An end before it is r's fault: the size of the file
// is known.
func readFull(r io.ReaderAt, p []byte, off int64) error {
	n, err := r.ReadAt(p, off)
	if n == len(p) {
		return nil
	}
	if err == nil || errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return fmt.Errorf("read %d bytes at %d: %w", len(p), off, err)
}
