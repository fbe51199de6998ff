package probe

import (
	"fmt"
	"math/bits"
	"strings"
)

// sampleEntry is the first entry of a sample description (stsd).
type sampleEntry struct {
	codec          string // RFC 6381
	width, height  uint16
	pixelW, pixelH uint32 // their shape (pasp), 0 if not given
}

// readSampleEntry reads the first entry of an stsd box of a track with that
// handler.
func readSampleEntry(f fields, handler string) (e sampleEntry) {
	f.skip(8)
	done := false
	subBoxes(f, func(name string, f fields) {
		if done || handler != "vide" && handler != "soun" {
			return
		}
		done = true
		f.skip(8) // reserved, data reference
		if handler == "vide" {
			f.skip(16)
			e.width, e.height = f.u16(), f.u16()
			f.skip(50)
		} else {
			v := f.u16() // QuickTime's
			f.skip(18)
			switch v {
			case 1:
				f.skip(16)
			case 2:
				f.skip(36)
			}
		}
		if !f.bad {
			config := map[string]fields{}
			collect(f, config, 0)
			e.codec = entryCodec(name, config)
			if pasp, ok := config["pasp"]; ok {
				e.pixelW, e.pixelH = pasp.u32(), pasp.u32()
			}
		}
	})
	return e
}

// entryCodec names the codec of a sample entry by its type and the boxes in it.
func entryCodec(name string, config map[string]fields) string {
	if original, ok := config["frma"]; ok && (name == "encv" || name == "enca") {
		name = string(original.take(4))
	}
	switch name {
	case "avc1", "avc3":
		if c, ok := avcCodec(name, config["avcC"].b); ok {
			return c
		}
	case "hvc1", "hev1":
		if c, ok := hevcCodec(name, config["hvcC"].b); ok {
			return c
		}
	case "av01":
		if c, ok := av1Codec(config["av1C"].b); ok {
			return c
		}
	case "vp08", "vp09":
		if b := config["vpcC"].b; len(b) >= 7 {
			return fmt.Sprintf("%s.%02d.%02d.%02d", name, b[4], b[5], b[6]>>4)
		}
	case "mp4a", "mp4v":
		if c, ok := esdsCodec(name, config["esds"]); ok {
			return c
		}
	case "Opus":
		return "opus"
	case "fLaC":
		return "flac"
	case ".mp3":
		return "mp3"
	}
	for _, c := range name {
		if c < ' ' || c > '~' {
			return ""
		}
	}
	return strings.TrimSpace(name)
}

// collect gathers the configuration boxes of a sample entry; QuickTime and
// encryption nest them.
func collect(f fields, into map[string]fields, depth int) {
	subBoxes(f, func(name string, f fields) {
		switch name {
		case "wave", "sinf":
			if depth < 2 {
				collect(f, into, depth+1)
			}
		default:
			if _, seen := into[name]; !seen && len(into) < 32 {
				into[name] = f
			}
		}
	})
}

// avcCodec reads an AVCDecoderConfigurationRecord (ISO/IEC 14496-15).
func avcCodec(name string, b []byte) (string, bool) {
	if len(b) < 4 {
		return "", false
	}
	return fmt.Sprintf("%s.%02x%02x%02x", name, b[1], b[2], b[3]), true
}

// hevcCodec reads an HEVCDecoderConfigurationRecord; ISO/IEC 14496-15, annex E
// gives the form.
func hevcCodec(name string, b []byte) (string, bool) {
	if len(b) < 13 {
		return "", false
	}
	f := fields{b: b[1:]}
	profile, compatibility := f.u8(), bits.Reverse32(f.u32())
	tier := "L"
	if profile&0x20 != 0 {
		tier = "H"
	}
	constraints := f.take(6)
	codec := fmt.Appendf(nil, "%s.%s%d.%X.%s%d", name, []string{"", "A", "B", "C"}[profile>>6], profile&31, compatibility, tier, f.u8())
	for len(constraints) > 0 && constraints[len(constraints)-1] == 0 {
		constraints = constraints[:len(constraints)-1]
	}
	for _, c := range constraints {
		codec = fmt.Appendf(codec, ".%X", c)
	}
	return string(codec), true
}

// av1Codec reads an AV1CodecConfigurationRecord.
// https://aomediacodec.github.io/av1-isobmff/#codecsparam
func av1Codec(b []byte) (string, bool) {
	if len(b) < 4 || b[0] != 0x81 {
		return "", false
	}
	tier, depth := "M", 8
	if b[2]&0x80 != 0 {
		tier = "H"
	}
	switch {
	case b[2]&0x60 == 0x60:
		depth = 12
	case b[2]&0x40 != 0:
		depth = 10
	}
	return fmt.Sprintf("av01.%d.%02d%s.%02d", b[1]>>5, b[1]&31, tier, depth), true
}

// esdsCodec reads an elementary stream descriptor (ISO/IEC 14496-1).
func esdsCodec(name string, f fields) (string, bool) {
	f.skip(4)
	for !f.bad && len(f.b) > 0 {
		tag, size := f.u8(), 0
		for range 4 {
			b := f.u8()
			size = size<<7 | int(b&0x7f)
			if b&0x80 == 0 {
				break
			}
		}
		switch tag {
		case 3: // ES: go on inside it
			f.skip(2)
			flags := f.u8()
			if flags&0x80 != 0 {
				f.skip(2)
			}
			if flags&0x40 != 0 {
				f.skip(int(f.u8()))
			}
			if flags&0x20 != 0 {
				f.skip(2)
			}
		case 4: // decoder config
			object := f.u8()
			f.skip(12)
			if f.bad {
				return "", false
			}
			if object != 0x40 {
				if name == "mp4v" && object == 0x20 && f.u8() == 5 {
					return name + ".20", true
				}
				return fmt.Sprintf("%s.%X", name, object), true
			}
		case 5: // decoder specific: audio of MPEG-4
			return aacCodec(f.b)
		default:
			f.skip(size)
		}
	}
	return "", false
}

// aacCodec reads the object type of an AudioSpecificConfig (ISO/IEC 14496-3).
func aacCodec(b []byte) (string, bool) {
	if len(b) < 2 {
		return "", false
	}
	object := b[0] >> 3
	if object == 31 {
		object = 32 + (b[0]&7<<3 | b[1]>>5)
	}
	return fmt.Sprintf("mp4a.40.%d", object), true
}
