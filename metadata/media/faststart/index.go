package faststart

import (
	"encoding/binary"
	"fmt"
	"math"
)

// node is a box of the index: a container with boxes in it, a table of chunk
// offsets, or bytes that are kept as they are.
type node struct {
	name     string
	children []*node // of a container
	raw      []byte  // header included, of a box that is kept; of a table its content
	table    bool
	wide     bool // the table's entries have 8 bytes, as in co64; else 4, as in stco
	count    int  // of the table's entries
}

// containers are the boxes on the way to the tables of chunk offsets, each with
// the one that it is in.
var containers = map[string]string{"trak": "moov", "mdia": "trak", "minf": "mdia", "stbl": "minf"}

// parseIndex reads the content of a moov box of a file of the given size.
func parseIndex(b []byte, size int64) (*node, error) {
	root := &node{name: "moov"}
	if err := root.parse(b, size); err != nil {
		return nil, err
	}
	return root, nil
}

func (n *node) parse(b []byte, size int64) error {
	for len(b) >= 8 {
		name, begin, length, err := header(b, int64(len(b)))
		if err != nil {
			return fmt.Errorf("in %s: %w", n.name, err)
		}
		content := b[begin:length]
		child := &node{name: name, raw: b[:length]}
		switch {
		case containers[name] == n.name:
			child.raw = nil
			err = child.parse(content, size)
		case n.name == "stbl" && (name == "stco" || name == "co64"):
			err = child.parseTable(content, size)
		default:
			err = check(n.name, name, content)
		}
		if err != nil {
			return err
		}
		n.children = append(n.children, child)
		b = b[length:]
	}
	if len(b) > 0 { // QuickTime ends some lists with a zero
		n.children = append(n.children, &node{raw: b})
	}
	return nil
}

// check refuses boxes that hold places in the file which nobody rewrites here.
func check(parent, name string, content []byte) error {
	switch name {
	case "cmov":
		return fmt.Errorf("%w: it is compressed", ErrUnsupported)
	case "mvex":
		return fmt.Errorf("%w: the file consists of fragments", ErrNotNeeded)
	case "saio":
		return fmt.Errorf("%w: samples have auxiliary information elsewhere", ErrUnsupported)
	case "meta":
		if holds(content, "iloc") {
			return fmt.Errorf("%w: the file holds items beside its tracks", ErrUnsupported)
		}
	case "dinf":
		if parent == "minf" {
			return checkReferences(content)
		}
	}
	return nil
}

// holds reports whether a meta box has a box of the given name. In MP4 it has a
// version before its boxes, in QuickTime it has not.
func holds(meta []byte, name string) bool {
	for _, skip := range []int{0, 4} {
		for b := meta[min(skip, len(meta)):]; len(b) >= 8; {
			found, _, length, err := header(b, int64(len(b)))
			if err != nil {
				break
			}
			if found == name {
				return true
			}
			b = b[length:]
		}
	}
	return false
}

// checkReferences refuses a track whose samples are in another file.
func checkReferences(dinf []byte) error {
	for b := dinf; len(b) >= 8; {
		name, begin, length, err := header(b, int64(len(b)))
		if err != nil {
			return fmt.Errorf("in dinf: %w", err)
		}
		if name == "dref" {
			entries := b[min(begin+8, length):length]
			for len(entries) >= 12 {
				_, _, n, err := header(entries, int64(len(entries)))
				if err != nil || n < 12 {
					return fmt.Errorf("in dref: %w: entry of %d bytes", ErrMalformed, n)
				}
				if entries[11]&1 == 0 {
					return fmt.Errorf("%w: samples are in another file", ErrUnsupported)
				}
				entries = entries[n:]
			}
		}
		b = b[length:]
	}
	return nil
}

// parseTable reads the content of stco or co64. No chunk begins behind the end
// of the file: it would have been cut off.
func (n *node) parseTable(b []byte, size int64) error {
	n.table, n.wide, n.raw = true, n.name == "co64", b
	if len(b) < 8 {
		return fmt.Errorf("%w: %s of %d bytes", ErrMalformed, n.name, len(b))
	}
	count, width := int64(binary.BigEndian.Uint32(b[4:])), int64(n.width())
	if count*width > int64(len(b)-8) {
		return fmt.Errorf("%w: %s of %d bytes for %d chunks", ErrMalformed, n.name, len(b), count)
	}
	n.count = int(count)
	for i := range n.count {
		if off := n.offset(i); off < 0 || off > size {
			return fmt.Errorf("%w: chunk at %d of %d bytes", ErrMalformed, uint64(off), size) //nolint:gosec // as in the file
		}
	}
	return nil
}

func (n *node) width() int {
	if n.name == "co64" {
		return 8
	}
	return 4
}

func (n *node) offset(i int) int64 {
	if n.name == "co64" {
		return int64(binary.BigEndian.Uint64(n.raw[8+8*i:])) //nolint:gosec // parseTable refuses negative ones
	}
	return int64(binary.BigEndian.Uint32(n.raw[8+4*i:]))
}

// moved is the index, header included, as it must be where l puts it. Tables get
// wider where an offset needs it, which makes the index longer and the offsets
// greater: it is looked again until all fit.
func (n *node) moved(l layout) ([]byte, error) {
	for {
		length := n.length()
		if length > math.MaxUint32 {
			return nil, fmt.Errorf("%w: it would have %d bytes", ErrUnsupported, length)
		}
		widened, err := n.widen(l, length)
		if err != nil {
			return nil, err
		}
		if !widened {
			return n.write(make([]byte, 0, length), l, length), nil
		}
	}
}

// length is how long the box will be.
func (n *node) length() int64 {
	switch {
	case n.table && n.wide:
		return 8 + 8 + 8*int64(n.count)
	case n.table:
		return 8 + 8 + 4*int64(n.count)
	case n.raw != nil:
		return int64(len(n.raw))
	}
	sum := int64(8)
	for _, c := range n.children {
		sum += c.length()
	}
	return sum
}

// widen widens the tables whose offsets do not fit, and reports whether there
// were any.
func (n *node) widen(l layout, length int64) (widened bool, err error) {
	for _, c := range n.children {
		w, err := c.widen(l, length)
		if err != nil {
			return false, err
		}
		widened = widened || w
	}
	if !n.table {
		return widened, nil
	}
	for i := range n.count {
		off := n.offset(i)
		if off >= l.moov.start && off < l.moov.end {
			return false, fmt.Errorf("%w: chunk at %d, inside the index", ErrMalformed, off)
		}
		if !n.wide && l.shift(off, length) > math.MaxUint32 {
			n.wide = true
			return true, nil
		}
	}
	return widened, nil
}

// write appends the box to b.
func (n *node) write(b []byte, l layout, length int64) []byte {
	if !n.table && n.raw != nil {
		return append(b, n.raw...)
	}
	name := n.name
	if n.wide {
		name = "co64"
	}
	b = binary.BigEndian.AppendUint32(b, uint32(n.length())) //nolint:gosec // moved has checked the sum
	b = append(b, name...)
	if n.table {
		b = append(b, n.raw[:8]...)
		for i := range n.count {
			off := uint64(l.shift(n.offset(i), length)) //nolint:gosec // not negative
			if n.wide {
				b = binary.BigEndian.AppendUint64(b, off)
			} else {
				b = binary.BigEndian.AppendUint32(b, uint32(off)) //nolint:gosec // widen has seen to it
			}
		}
		return b
	}
	for _, c := range n.children {
		b = c.write(b, l, length)
	}
	return b
}
