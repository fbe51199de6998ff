package probe

// sidxSeconds sums the durations that a segment index lists.
func (s *source) sidxSeconds(b box) float64 {
	f, err := s.content(b, 8*maxSmallBox)
	if err != nil {
		return 0
	}
	v := version(&f)
	f.skip(4)
	timescale := f.u32()
	if v == 0 {
		f.skip(8)
	} else {
		f.skip(16)
	}
	f.skip(2)
	var sum uint64
	for n := f.u16(); n > 0 && !f.bad; n-- {
		f.skip(4)
		sum += uint64(f.u32())
		f.skip(4)
	}
	return ratio(sum, timescale)
}

// fragmentSeconds is the end of the last fragment, where no header tells the
// duration. The random access index at the end of the file leads there; without
// one the fragments are walked, as far as the limits go. 0 if that fails.
func (s *source) fragmentSeconds(first box, m *movie) float64 {
	last := first
	if b, ok := s.lastIndexed(); ok {
		last = b
	}
	if err := s.boxes(last.start, s.size, func(b box) (bool, error) {
		if b.name == "moof" {
			last = b
		}
		return true, nil
	}); err != nil {
		return 0
	}
	end := 0.0
	_ = s.boxes(last.begin, last.end, func(b box) (bool, error) {
		if b.name == "traf" {
			end = max(end, s.trafEnd(b, m))
		}
		return true, nil
	})
	return end
}

// lastIndexed is the last fragment that the index at the end of the file (mfra,
// found by mfro) knows of.
func (s *source) lastIndexed() (box, bool) {
	tail, err := s.bytes(s.size-16, 16, 16)
	if err != nil || string(tail[4:8]) != "mfro" {
		return box{}, false
	}
	f := fields{b: tail[12:]}
	mfra, err := s.box(s.size-int64(f.u32()), s.size)
	if err != nil || mfra.name != "mfra" {
		return box{}, false
	}
	var last box
	_ = s.boxes(mfra.begin, mfra.end, func(b box) (bool, error) {
		if b.name != "tfra" || b.end-b.begin < 16 {
			return true, nil
		}
		head, err := s.bytes(b.begin, 16, 16)
		if err != nil {
			return false, err
		}
		f := fields{b: head}
		width := int64(8)
		if version(&f) == 1 {
			width = 16
		}
		f.skip(4)
		sizes := f.u32() & 63
		entry := width + int64(sizes>>4+1) + int64(sizes>>2&3+1) + int64(sizes&3+1)
		if n := int64(f.u32()); n > 0 {
			data, err := s.bytes(b.begin+16+(n-1)*entry, entry, 32)
			if err != nil {
				return false, err
			}
			e := fields{b: data}
			e.skip(int(width / 2))
			at := int64(min(e.uint(int(width/2)), 1<<62)) //nolint:gosec // bounded
			if moof, err := s.box(at, s.size); err == nil && moof.name == "moof" && moof.start > last.start {
				last = moof
			}
		}
		return true, nil
	})
	return last, last.end != 0
}

// trafEnd is the time in seconds at which a track's part of a fragment ends.
func (s *source) trafEnd(traf box, m *movie) float64 {
	var id, lasting uint32
	var time uint64
	_ = s.boxes(traf.begin, traf.end, func(b box) (bool, error) {
		switch b.name {
		case "tfhd", "tfdt", "trun":
		default:
			return true, nil
		}
		f, err := s.content(b, 16*maxSmallBox)
		if err != nil {
			return false, err
		}
		head := f.u32()
		switch b.name {
		case "tfhd":
			id = f.u32()
			lasting = m.lasting[id]
			f.skip(optional(head, 0x1, 8) + optional(head, 0x2, 4))
			if head&0x8 != 0 {
				lasting = f.u32()
			}
		case "tfdt":
			if head>>24 == 1 {
				time = f.u64()
			} else {
				time = uint64(f.u32())
			}
		case "trun":
			n := f.u32()
			if head&0x100 == 0 {
				time += uint64(n) * uint64(lasting)
				break
			}
			f.skip(optional(head, 0x1, 4) + optional(head, 0x4, 4))
			rest := optional(head, 0x200, 4) + optional(head, 0x400, 4) + optional(head, 0x800, 4)
			for ; n > 0 && !f.bad; n-- {
				time += uint64(f.u32())
				f.skip(rest)
			}
		}
		return true, nil
	})
	for _, t := range m.tracks {
		if t.id == id {
			return ratio(time, t.timescale)
		}
	}
	return 0
}

// optional is the size of a field that is there if the flag is set.
func optional(flags, flag uint32, size int) int {
	if flags&flag == 0 {
		return 0
	}
	return size
}
