package probe

import (
	"slices"
	"time"
)

// movie is what is needed of a moov box (ISO/IEC 14496-12).
type movie struct {
	timescale uint32
	duration  uint64 // in timescale; 0 if the header does not know
	tracks    []track
	lasting   map[uint32]uint32 // default duration of a sample, by track
}

type track struct {
	id            uint32
	enabled       bool
	handler       string // vide, soun, ...
	width, height uint32 // before it is turned
	turned        bool   // by a quarter
	timescale     uint32
	duration      uint64
	entry         sampleEntry
}

// parseMP4 reads MP4 and QuickTime: the moov box wherever it is, and none of the
// samples.
func parseMP4(s *source, info *Info) error {
	var moov, firstSidx, firstMoof box
	err := s.boxes(0, s.size, func(b box) (bool, error) {
		switch b.name {
		case "moov":
			moov = b
		case "sidx":
			if firstSidx.end == 0 {
				firstSidx = b
			}
		case "moof":
			if firstMoof.end == 0 {
				firstMoof = b
			}
			// The rest are fragments: there may be no need to visit them.
			return moov.end == 0, nil
		}
		return true, nil
	})
	if moov.end == 0 {
		if err != nil {
			return err
		}
		return malformedf("no moov box")
	}
	var m movie
	if err := s.readMovie(moov, &m, info); err != nil {
		return err
	}
	video := m.video()
	if video == nil {
		return malformedf("no video track")
	}
	w, h := video.displayed()
	info.Width, info.Height = pixels(w), pixels(h)
	info.Codecs = m.codecs()
	info.Duration = m.seconds()
	if info.Duration == 0 && firstSidx.end != 0 {
		info.Duration = s.sidxSeconds(firstSidx)
	}
	if info.Duration == 0 && firstMoof.end != 0 {
		info.Duration = s.fragmentSeconds(firstMoof, &m)
	}
	return nil
}

func (s *source) readMovie(moov box, m *movie, info *Info) error {
	return s.boxes(moov.begin, moov.end, func(b box) (bool, error) {
		switch b.name {
		case "mvhd":
			f, err := s.content(b, maxSmallBox)
			if err != nil {
				return false, err
			}
			var created uint64
			created, m.timescale, m.duration = timedHeader(&f)
			info.TakenAt = macTime(created)
		case "trak":
			if len(m.tracks) == 64 {
				return false, malformedf("more than 64 tracks")
			}
			var t track
			if err := s.readTrack(b, &t, 0); err != nil {
				return false, err
			}
			m.tracks = append(m.tracks, t)
		case "mvex":
			return true, s.readExtends(b, m)
		}
		return true, nil
	})
}

// readExtends reads what mvex says of fragments to come: their whole duration,
// and what samples last where they do not say themselves.
func (s *source) readExtends(mvex box, m *movie) error {
	return s.boxes(mvex.begin, mvex.end, func(b box) (bool, error) {
		if b.name != "mehd" && b.name != "trex" {
			return true, nil
		}
		f, err := s.content(b, maxSmallBox)
		if err != nil {
			return false, err
		}
		v := version(&f)
		switch {
		case b.name == "trex":
			id := f.u32()
			f.skip(4)
			if m.lasting == nil {
				m.lasting = map[uint32]uint32{}
			}
			m.lasting[id] = f.u32()
		case v == 1:
			m.duration = max(m.duration, f.u64())
		default:
			m.duration = max(m.duration, uint64(f.u32()))
		}
		return true, nil
	})
}

// timedHeader reads the start of mvhd and mdhd. A duration of all ones means
// unknown.
func timedHeader(f *fields) (created uint64, timescale uint32, duration uint64) {
	if version(f) == 1 {
		created = f.u64()
		f.skip(8)
		timescale = f.u32()
		return created, timescale, f.u64()
	}
	created = uint64(f.u32())
	f.skip(4)
	timescale = f.u32()
	if d := f.u32(); d != 1<<32-1 {
		duration = uint64(d)
	}
	return created, timescale, duration
}

// macTime is a time in seconds since 1904, the epoch of QuickTime. Files that
// know none say zero; some say when Unix's epoch was.
func macTime(seconds uint64) *time.Time {
	const untilUnix = 2082844800
	if seconds <= untilUnix || seconds > untilUnix+1<<33 {
		return nil
	}
	t := time.Unix(int64(seconds)-untilUnix, 0).UTC() //nolint:gosec // bounded above
	return &t
}

// readTrack reads what matters of a trak box and, depth levels down, of the boxes
// that it nests.
func (s *source) readTrack(trak box, t *track, depth int) error {
	return s.boxes(trak.begin, trak.end, func(b box) (bool, error) {
		switch b.name {
		case "tkhd":
			f, err := s.content(b, maxSmallBox)
			if err != nil {
				return false, err
			}
			t.readHeader(f)
		case "mdia", "minf", "stbl":
			if depth < 3 {
				return true, s.readTrack(b, t, depth+1)
			}
		case "mdhd":
			f, err := s.content(b, maxSmallBox)
			if err != nil {
				return false, err
			}
			_, t.timescale, t.duration = timedHeader(&f)
		case "hdlr":
			// QuickTime has a second one, of the data, inside minf.
			if f, err := s.content(b, maxSmallBox); err == nil && t.handler == "" {
				f.skip(8)
				t.handler = string(f.take(4))
			}
		case "stsd":
			f, err := s.content(b, 4*maxSmallBox)
			if err != nil {
				return false, err
			}
			t.entry = readSampleEntry(f, t.handler)
		}
		return true, nil
	})
}

// readHeader reads tkhd.
func (t *track) readHeader(f fields) {
	t.enabled = len(f.b) > 3 && f.b[3]&1 != 0
	if version(&f) == 1 {
		f.skip(16)
		t.id = f.u32()
		f.skip(12)
	} else {
		f.skip(8)
		t.id = f.u32()
		f.skip(8)
	}
	f.skip(16)
	var matrix [9]int32
	for i := range matrix {
		matrix[i] = int32(f.u32()) //nolint:gosec // two's complement
	}
	w, h := f.u32()>>16, f.u32()>>16
	if f.bad {
		return
	}
	t.turned = matrix[0] == 0 && matrix[4] == 0 && matrix[1] != 0 && matrix[3] != 0
	t.width, t.height = w, h
}

// displayed is the size of the track as players show it. Its header gives the
// size with pixels made square; QuickTime writes the bare one there and leaves
// the shape of the pixels to the sample entry.
func (t *track) displayed() (w, h uint32) {
	e := &t.entry
	w, h = t.width, t.height
	if w == 0 || h == 0 {
		w, h = uint32(e.width), uint32(e.height)
	}
	if w == uint32(e.width) && h == uint32(e.height) && e.pixelW != 0 && e.pixelH != 0 {
		w = uint32(min(uint64(w)*uint64(e.pixelW)/uint64(e.pixelH), 1<<32-1)) //nolint:gosec // bounded
	}
	if t.turned {
		w, h = h, w
	}
	return w, h
}

// video is the track that is shown: the first enabled one, else the first.
func (m *movie) video() *track {
	var found *track
	for i := range m.tracks {
		t := &m.tracks[i]
		if t.handler != "vide" {
			continue
		}
		if found == nil || t.enabled && !found.enabled {
			found = t
		}
	}
	return found
}

// codecs are those of all video and then all audio tracks, each once.
func (m *movie) codecs() []string {
	var list []string
	for _, handler := range []string{"vide", "soun"} {
		for i := range m.tracks {
			if t := &m.tracks[i]; t.handler == handler && t.entry.codec != "" && !slices.Contains(list, t.entry.codec) {
				list = append(list, t.entry.codec)
			}
		}
	}
	return list
}

// seconds is the length that the headers tell.
func (m *movie) seconds() float64 {
	if d := ratio(m.duration, m.timescale); d > 0 {
		return d
	}
	longest := 0.0
	for _, t := range m.tracks {
		longest = max(longest, ratio(t.duration, t.timescale))
	}
	return longest
}

// ratio is a plausible number of seconds, or 0.
func ratio(duration uint64, timescale uint32) float64 {
	const tooLong = 10 * 365 * 24 * 3600
	if timescale == 0 {
		return 0
	}
	if d := float64(duration) / float64(timescale); d < tooLong {
		return d
	}
	return 0
}
