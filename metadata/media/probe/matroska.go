package probe

import (
	"bytes"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
)

// IDs of Matroska's elements (RFC 9559) that are read.
const (
	idHeader        = 0x1A45DFA3
	idDocType       = 0x4282
	idSegment       = 0x18538067
	idSeekHead      = 0x114D9B74
	idSeek          = 0x4DBB
	idSeekID        = 0x53AB
	idSeekPosition  = 0x53AC
	idInfo          = 0x1549A966
	idScale         = 0x2AD7B1
	idDuration      = 0x4489
	idDate          = 0x4461
	idTracks        = 0x1654AE6B
	idTrack         = 0xAE
	idTrackType     = 0x83
	idCodec         = 0x86
	idCodecPrivate  = 0x63A2
	idVideo         = 0xE0
	idPixelWidth    = 0xB0
	idPixelHeight   = 0xBA
	idDisplayWidth  = 0x54B0
	idDisplayHeight = 0x54BA
	idDisplayUnit   = 0x54B2
	idCluster       = 0x1F43B675
	idTimestamp     = 0xE7
	idSimpleBlock   = 0xA3
	idBlockGroup    = 0xA0
	idBlock         = 0xA1
)

// matroska is what is gathered of a segment.
type matroska struct {
	segment  element
	scale    uint64  // nanoseconds per tick
	duration float64 // ticks
	haveInfo bool
	tracks   []mkvTrack
	seek     map[uint64]int64 // where the segment's parts are, by ID
}

type mkvTrack struct {
	kind               uint64 // 1 video, 2 audio
	codec              string
	private            []byte
	width, height      uint64
	displayW, displayH uint64
	displayUnit        uint64
}

// parseMatroska reads WebM and Matroska.
func parseMatroska(s *source, info *Info) error {
	m := matroska{scale: 1e6, seek: map[uint64]int64{}}
	err := s.elements(0, s.size, func(e element) (bool, error) {
		switch e.id {
		case idHeader:
			return true, s.elements(e.begin, e.end, func(e element) (bool, error) {
				if e.id == idDocType {
					b, err := s.data(e)
					if string(bytes.TrimRight(b, "\x00")) == "webm" {
						info.ContentType = "video/webm"
					}
					return true, err
				}
				return true, nil
			})
		case idSegment:
			m.segment = e
			return false, nil
		}
		return true, nil
	})
	if err != nil {
		return err
	}
	if m.segment.end == 0 {
		return malformedf("no segment")
	}
	if err := s.readSegment(&m, info); err != nil {
		return err
	}
	return m.describe(s, info)
}

// readSegment gathers Info and Tracks, which stand before the first cluster or
// where the seek head says.
func (s *source) readSegment(m *matroska, info *Info) error {
	part := func(e element) error {
		switch e.id {
		case idSeekHead:
			return s.readSeekHead(e, m)
		case idInfo:
			return s.readInfo(e, m, info)
		case idTracks:
			return s.readTracks(e, m)
		}
		return nil
	}
	if err := s.elements(m.segment.begin, m.segment.end, func(e element) (bool, error) {
		if e.id == idCluster || e.unknown {
			return false, nil
		}
		return !m.haveInfo || m.tracks == nil, part(e)
	}); err != nil {
		return err
	}
	for _, id := range []uint64{idInfo, idTracks} {
		at, ok := m.seek[id]
		if !ok || id == idInfo && m.haveInfo || id == idTracks && m.tracks != nil {
			continue
		}
		e, err := s.element(at, m.segment.end)
		if err != nil {
			return err
		}
		if e.id == id {
			if err := part(e); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *source) readSeekHead(head element, m *matroska) error {
	return s.elements(head.begin, head.end, func(e element) (bool, error) {
		if e.id != idSeek {
			return true, nil
		}
		var id, at uint64
		err := s.elements(e.begin, e.end, func(e element) (more bool, err error) {
			switch e.id {
			case idSeekID:
				id, err = s.uintOf(e)
			case idSeekPosition:
				at, err = s.uintOf(e)
			}
			return true, err
		})
		if room := m.segment.end - m.segment.begin; at < uint64(room) && len(m.seek) < 64 { //nolint:gosec // not negative
			m.seek[id] = m.segment.begin + int64(at) //nolint:gosec // below room
		}
		return true, err
	})
}

func (s *source) readInfo(head element, m *matroska, info *Info) error {
	m.haveInfo = true
	return s.elements(head.begin, head.end, func(e element) (more bool, err error) {
		switch e.id {
		case idScale:
			m.scale, err = s.uintOf(e)
		case idDuration:
			m.duration, err = s.floatOf(e)
		case idDate: // nanoseconds since 2001, signed
			var ns uint64
			if ns, err = s.uintOf(e); ns != 0 {
				t := time.Date(2001, 1, 1, 0, 0, 0, 0, time.UTC).Add(time.Duration(ns)) //nolint:gosec // two's complement
				info.TakenAt = &t
			}
		}
		return true, err
	})
}

func (s *source) readTracks(head element, m *matroska) error {
	m.tracks = []mkvTrack{}
	return s.elements(head.begin, head.end, func(e element) (bool, error) {
		if e.id != idTrack {
			return true, nil
		}
		if len(m.tracks) == 64 {
			return false, malformedf("more than 64 tracks")
		}
		var t mkvTrack
		err := s.readTrackEntry(e, &t, true)
		m.tracks = append(m.tracks, t)
		return true, err
	})
}

// readTrackEntry reads a track, and the video settings inside it where outer is
// set.
func (s *source) readTrackEntry(head element, t *mkvTrack, outer bool) error {
	return s.elements(head.begin, head.end, func(e element) (more bool, err error) {
		var b []byte
		switch e.id {
		case idTrackType:
			t.kind, err = s.uintOf(e)
		case idCodec:
			b, err = s.data(e)
			t.codec = string(bytes.TrimRight(b, "\x00"))
		case idCodecPrivate:
			t.private = s.head(e.begin, int(min(64, e.end-e.begin)))
		case idVideo:
			if outer {
				err = s.readTrackEntry(e, t, false)
			}
		case idPixelWidth:
			t.width, err = s.uintOf(e)
		case idPixelHeight:
			t.height, err = s.uintOf(e)
		case idDisplayWidth:
			t.displayW, err = s.uintOf(e)
		case idDisplayHeight:
			t.displayH, err = s.uintOf(e)
		case idDisplayUnit:
			t.displayUnit, err = s.uintOf(e)
		}
		return true, err
	})
}

// describe fills in info from what was gathered.
func (m *matroska) describe(s *source, info *Info) error {
	for _, kind := range []uint64{1, 2} {
		for i := range m.tracks {
			t := &m.tracks[i]
			if t.kind != kind {
				continue
			}
			if kind == 1 && info.Width == 0 {
				info.Width, info.Height = t.displayed()
			}
			if c := t.rfc6381(); c != "" && !slices.Contains(info.Codecs, c) {
				info.Codecs = append(info.Codecs, c)
			}
		}
	}
	if info.Width == 0 {
		return malformedf("no video track")
	}
	ticks := m.duration
	if ticks <= 0 || math.IsNaN(ticks) { // recorded live, as browsers do
		ticks = s.lastTick(m)
	}
	if d := ticks * float64(m.scale) / 1e9; d > 0 && d < 10*365*24*3600 {
		info.Duration = d
	}
	return nil
}

// lastTick is the time of the last block in the file, found from its end: 0 if
// the last cluster is too large to be found there.
func (s *source) lastTick(m *matroska) float64 {
	const reach = 8 * pageSize
	start := max(m.segment.begin, m.segment.end-reach)
	tail, err := s.bytes(start, m.segment.end-start, reach)
	if err != nil {
		return 0
	}
	for search := tail; ; {
		i := bytes.LastIndex(search, []byte{0x1F, 0x43, 0xB6, 0x75})
		if i < 0 {
			return 0
		}
		if tick := s.clusterEnd(start+int64(i), m.segment.end); tick > 0 {
			return tick
		}
		search = search[:i]
	}
}

// clusterEnd is the greatest time of a block in the cluster at off, 0 if there
// is none.
func (s *source) clusterEnd(off, end int64) float64 {
	cluster, err := s.element(off, end)
	if err != nil {
		return 0
	}
	var base uint64
	last := int64(-1)
	block := func(e element) error {
		b, err := s.bytes(e.begin, min(12, e.end-e.begin), 12)
		if err != nil {
			return err
		}
		if _, n := vint(b, true); n > 0 && len(b) >= n+2 {
			f := fields{b: b[n:]}
			last = max(last, int64(int16(f.u16()))) //nolint:gosec // signed on the wire
		}
		return nil
	}
	_ = s.elements(cluster.begin, cluster.end, func(e element) (more bool, err error) {
		switch e.id {
		case idTimestamp:
			base, err = s.uintOf(e)
		case idSimpleBlock:
			err = block(e)
		case idBlockGroup:
			err = s.elements(e.begin, e.end, func(e element) (bool, error) {
				if e.id == idBlock {
					return false, block(e)
				}
				return true, nil
			})
		}
		return true, err
	})
	if last < 0 {
		return 0
	}
	return float64(base) + float64(last)
}

// displayed is the size of the track as players show it.
func (t *mkvTrack) displayed() (w, h int) {
	width, height := t.width, t.height
	const most = 1 << 24
	if width > most || height > most || t.displayW > most || t.displayH > most {
		return 0, 0
	}
	if t.displayW > 0 && t.displayH > 0 {
		switch t.displayUnit {
		case 0: // pixels
			width, height = t.displayW, t.displayH
		case 3: // aspect ratio
			width = min(height*t.displayW/t.displayH, most)
		}
	}
	return int(width), int(height) //nolint:gosec // bounded above
}

// rfc6381 names the codec of a track.
func (t *mkvTrack) rfc6381() string {
	var c string
	ok := false
	switch t.codec {
	case "V_MPEG4/ISO/AVC":
		c, ok = avcCodec("avc1", t.private)
	case "V_MPEGH/ISO/HEVC":
		c, ok = hevcCodec("hvc1", t.private)
	case "V_AV1":
		c, ok = av1Codec(t.private)
	case "V_VP9":
		if profile, level, depth := vp9Features(t.private); level > 0 {
			c, ok = fmt.Sprintf("vp09.%02d.%02d.%02d", profile, level, depth), true
		}
	case "A_AAC":
		c, ok = aacCodec(t.private)
	}
	if ok {
		return c
	}
	switch {
	case strings.HasPrefix(t.codec, "A_AAC"):
		return "mp4a.40.2"
	case t.codec == "A_MPEG/L3":
		return "mp3"
	case t.codec == "A_AC3":
		return "ac-3"
	case t.codec == "A_EAC3":
		return "ec-3"
	}
	_, name, _ := strings.Cut(t.codec, "_")
	name, _, _ = strings.Cut(strings.ToLower(name), "/")
	for _, r := range name { // VP8, VP9, OPUS, VORBIS, FLAC and others by their names
		if r <= ' ' || r > '~' {
			return ""
		}
	}
	return name
}

// vp9Features reads VP9's CodecPrivate, where a muxer writes it.
// https://www.webmproject.org/docs/container/#vp9-codec-feature-metadata-codecprivate
func vp9Features(b []byte) (profile, level, depth byte) {
	depth = 8
	for len(b) >= 3 && b[1] == 1 {
		switch b[0] {
		case 1:
			profile = b[2]
		case 2:
			level = b[2]
		case 3:
			depth = b[2]
		}
		b = b[3:]
	}
	return profile, level, depth
}
