package probe

import (
	"github.com/bep/imagemeta"
)

// heif is what is needed of a file's meta box (ISO/IEC 23008-12) to tell the
// size of its primary picture, as it is displayed.
type heif struct {
	primary    uint32
	properties []property
	assigned   map[uint32][]int // item to indexes into properties
	exifItem   uint32
	extents    map[uint32][2]int64 // item to its offset and length
}

type property struct {
	name string
	data fields
}

// parseHEIF reads AVIF and HEIC. Their own transformations count; the
// orientation in EXIF does not.
func parseHEIF(s *source, info *Info) error {
	var h *heif
	err := s.boxes(0, s.size, func(b box) (bool, error) {
		if b.name != "meta" {
			return true, nil
		}
		f, err := s.content(b, maxMetaBox)
		if err != nil {
			return false, err
		}
		h = readHEIF(f)
		return false, nil
	})
	if err != nil {
		return err
	}
	if h == nil {
		return malformedf("no meta box")
	}
	h.size(info)
	if at, ok := h.extents[h.exifItem]; ok && h.exifItem != 0 && at[1] > 4 {
		// The item begins with the offset of its TIFF header.
		if b, err := s.bytes(at[0], 4, 4); err == nil {
			f := fields{b: b}
			skip := 4 + int64(f.u32())
			s.exif(imagemeta.TIFF, s.section(at[0]+skip, at[1]-skip), info, false)
		}
	}
	return nil
}

func readHEIF(f fields) *heif {
	h := &heif{assigned: map[uint32][]int{}, extents: map[uint32][2]int64{}}
	f.skip(4) // version and flags
	subBoxes(f, func(name string, f fields) {
		switch name {
		case "pitm":
			h.primary = itemID(&f, version(&f) == 0)
		case "iprp":
			subBoxes(f, func(name string, f fields) {
				switch name {
				case "ipco":
					subBoxes(f, func(name string, f fields) { h.properties = append(h.properties, property{name, f}) })
				case "ipma":
					h.readAssociations(f)
				}
			})
		case "iinf":
			if version(&f) == 0 {
				f.skip(2)
			} else {
				f.skip(4)
			}
			subBoxes(f, h.readItem)
		case "iloc":
			h.readLocations(f)
		}
	})
	return h
}

// version reads the version of a full box and drops its flags.
func version(f *fields) uint8 { return uint8(f.u32() >> 24) } //nolint:gosec // 8 bits are left

func itemID(f *fields, short bool) uint32 {
	if short {
		return uint32(f.u16())
	}
	return f.u32()
}

func (h *heif) readAssociations(f fields) {
	head := f.u32()
	for n := f.u32(); n > 0 && !f.bad; n-- {
		id := itemID(&f, head>>24 == 0)
		for k := f.u8(); k > 0 && !f.bad; k-- {
			var index int
			if head&1 != 0 {
				index = int(f.u16() & 0x7fff)
			} else {
				index = int(f.u8() & 0x7f)
			}
			h.assigned[id] = append(h.assigned[id], index-1)
		}
	}
}

// readItem looks for the item that holds EXIF.
func (h *heif) readItem(name string, f fields) {
	v := version(&f)
	if name != "infe" || v < 2 {
		return
	}
	id := itemID(&f, v == 2)
	f.skip(2)
	if string(f.take(4)) == "Exif" {
		h.exifItem = id
	}
}

func (h *heif) readLocations(f fields) {
	v := version(&f)
	sizes := f.u16()
	offsetSize, lengthSize, baseSize, indexSize := int(sizes>>12), int(sizes>>8&15), int(sizes>>4&15), int(sizes&15)
	if v == 0 {
		indexSize = 0
	}
	if offsetSize > 8 || lengthSize > 8 || baseSize > 8 || indexSize > 8 {
		return
	}
	for n := itemID(&f, v < 2); n > 0 && !f.bad; n-- {
		id := itemID(&f, v < 2)
		method := uint16(0)
		if v > 0 {
			method = f.u16() & 15
		}
		f.skip(2)
		base := f.uint(baseSize)
		for k := f.u16(); k > 0 && !f.bad; k-- {
			f.skip(indexSize)
			off, length := base+f.uint(offsetSize), f.uint(lengthSize)
			if _, seen := h.extents[id]; !seen && method == 0 && off < 1<<62 && length < 1<<31 && !f.bad {
				h.extents[id] = [2]int64{int64(off), int64(length)} //nolint:gosec // bounded above
			}
		}
	}
}

// size applies the transformations of the primary picture in their order.
func (h *heif) size(info *Info) {
	indexes, ok := h.assigned[h.primary]
	if !ok { // no associations: the largest picture is the one
		for i, p := range h.properties {
			if p.name == "ispe" {
				indexes = append(indexes, i)
			}
		}
	}
	var w, height uint32
	for _, i := range indexes {
		if i < 0 || i >= len(h.properties) {
			continue
		}
		p := h.properties[i]
		switch f := p.data; p.name {
		case "ispe":
			f.skip(4)
			if x, y := f.u32(), f.u32(); !f.bad && uint64(x)*uint64(y) > uint64(w)*uint64(height) {
				w, height = x, y
			}
		case "clap":
			if wn, wd, hn, hd := f.u32(), f.u32(), f.u32(), f.u32(); !f.bad && wd > 0 && hd > 0 && wn/wd > 0 && hn/hd > 0 {
				w, height = min(w, wn/wd), min(height, hn/hd)
			}
		case "irot":
			if f.u8()&1 != 0 {
				w, height = height, w
			}
		}
	}
	info.Width, info.Height = pixels(w), pixels(height)
}

// pixels is a plausible number of them, or 0.
func pixels(n uint32) int {
	if n > 1<<24 {
		return 0
	}
	return int(n)
}
