package probe

import (
	"bytes"
	"encoding/binary"
)

// format is a kind of file and how it is read.
type format struct {
	contentType string
	parse       func(*source, *Info) error
}

// formats are the types that are read, by content type.
func formats() map[string]func(*source, *Info) error {
	return map[string]func(*source, *Info) error{
		"image/jpeg": parseJPEG, "image/png": parsePNG, "image/apng": parsePNG, "image/gif": parseGIF,
		"image/webp": parseWebP, "image/avif": parseHEIF, "image/heic": parseHEIF, "image/heif": parseHEIF,
		"video/mp4": parseMP4, "video/quicktime": parseMP4, "video/3gpp": parseMP4,
		"video/webm": parseMatroska, "video/x-matroska": parseMatroska,
	}
}

// sniff tells the format by its first bytes.
func (s *source) sniff() (format, bool) {
	b := s.head(0, 64)
	t := ""
	switch {
	case bytes.HasPrefix(b, []byte("\xff\xd8\xff")):
		t = "image/jpeg"
	case bytes.HasPrefix(b, []byte("\x89PNG\r\n\x1a\n")):
		t = "image/png"
	case bytes.HasPrefix(b, []byte("GIF87a")), bytes.HasPrefix(b, []byte("GIF89a")):
		t = "image/gif"
	case len(b) >= 12 && string(b[:4]) == "RIFF" && string(b[8:12]) == "WEBP":
		t = "image/webp"
	case bytes.HasPrefix(b, []byte("\x1a\x45\xdf\xa3")):
		t = "video/x-matroska" // or WebM, as its header will say
	case len(b) >= 8:
		t = sniffBoxes(b)
	}
	parse, ok := formats()[t]
	return format{t, parse}, ok
}

// sniffBoxes tells ISO base media files apart by their brands, and knows old
// QuickTime files, which have none, by their first box.
func sniffBoxes(b []byte) string {
	switch string(b[4:8]) {
	case "moov", "mdat", "wide", "skip", "free", "pnot":
		return "video/quicktime"
	case "ftyp":
	default:
		return ""
	}
	end := min(int(min(binary.BigEndian.Uint32(b), 64)), len(b))
	if end < 12 {
		return ""
	}
	major := string(b[8:12])
	has := func(brand string) bool { // among the compatible ones
		for i := 16; i+4 <= end; i += 4 {
			if string(b[i:i+4]) == brand {
				return true
			}
		}
		return false
	}
	switch major {
	case "avif", "avis":
		return "image/avif"
	case "heic", "heix", "heim", "heis", "hevc", "hevx":
		return "image/heic"
	case "mif1", "msf1", "mif2":
		switch {
		case has("avif"):
			return "image/avif"
		case has("heic"), has("heix"):
			return "image/heic"
		}
		return "image/heif"
	case "qt  ":
		return "video/quicktime"
	case "M4A ", "M4B ", "M4P ", "jp2 ", "jpx ", "jxl ", "crx ":
		return ""
	}
	if major[:3] == "3gp" || major[:3] == "3g2" {
		return "video/3gpp"
	}
	return "video/mp4"
}
