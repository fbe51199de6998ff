package probe

import (
	"bytes"
	"encoding/binary"
	"net/http"
	"strings"
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

// SniffLen is how many bytes of a file Sniff wants to see.
const SniffLen = 512

// Sniff is the content type of a file by its first bytes, without parameters:
// the photo and video types that this package knows, and what net/http detects
// beside; application/octet-stream where nothing is known. SVG is text to it, on
// purpose: it may hold scripts.
func Sniff(head []byte) string {
	t := sniffMedia(head)
	if t == "video/x-matroska" && bytes.Contains(head, []byte("\x42\x82\x84webm")) { // its DocType
		t = "video/webm"
	}
	if t == "" {
		t, _, _ = strings.Cut(http.DetectContentType(head), ";")
	}
	return t
}

// sniff tells the format by its first bytes.
func (s *source) sniff() (format, bool) {
	t := sniffMedia(s.head(0, 64))
	parse, ok := formats()[t]
	return format{t, parse}, ok
}

// sniffMedia is the type of a photo or video by its first 64 bytes, "" for
// anything else.
func sniffMedia(b []byte) string {
	b = b[:min(len(b), 64)]
	switch {
	case bytes.HasPrefix(b, []byte("\xff\xd8\xff")):
		return "image/jpeg"
	case bytes.HasPrefix(b, []byte("\x89PNG\r\n\x1a\n")):
		return "image/png"
	case bytes.HasPrefix(b, []byte("GIF87a")), bytes.HasPrefix(b, []byte("GIF89a")):
		return "image/gif"
	case len(b) >= 12 && string(b[:4]) == "RIFF" && string(b[8:12]) == "WEBP":
		return "image/webp"
	case bytes.HasPrefix(b, []byte("\x1a\x45\xdf\xa3")):
		return "video/x-matroska" // or WebM, as its header will say
	case len(b) >= 8:
		return sniffBoxes(b)
	}
	return ""
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
