// Package probe finds out what a photo or video is: its true type, its size as
// displayed, its length and codecs, and when it was taken. It reads little, a
// few pages of the file wherever they are, and believes nothing that it reads:
// no file, however it was made, costs more than a fixed amount of memory, reads
// and time.
package probe

import (
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"slices"
	"strings"
	"time"

	"meridian/metadata"
)

var (
	// ErrMalformed says that the file is not what it claims to be, or is
	// damaged. Reading it again helps nothing.
	ErrMalformed = errors.New("malformed media")
	// ErrUnknown says that the file is of a format that this package does not
	// read, and does not claim to be of one that it does.
	ErrUnknown = errors.New("unknown media format")
)

// Info is what a file says of itself. What it does not say is zero.
type Info struct {
	Kind        string // metadata.KindPhoto or metadata.KindVideo
	ContentType string // by the content, whatever it was stored under
	Width       int    // in pixels as displayed, rotation applied
	Height      int
	Duration    float64  // seconds
	Codecs      []string // RFC 6381, video before audio
	TakenAt     *time.Time
}

// Probe looks at a file of the given size. contentType and name are what the
// file claims to be. Errors are ErrMalformed, ErrUnknown, ctx's, or those of r.
func Probe(ctx context.Context, r io.ReaderAt, size int64, contentType, name string) (Info, error) {
	s := &source{ctx: ctx, r: r, size: size}
	info, err := s.probe(claimed(contentType, name))
	switch {
	case s.failed != nil: // whatever a parser made of it
		return Info{}, fmt.Errorf("probe %q: %w", name, s.failed)
	case err != nil:
		return Info{}, fmt.Errorf("probe %q: %w", name, err)
	}
	return info, nil
}

func (s *source) probe(claim string) (Info, error) {
	f, ok := s.sniff()
	if !ok {
		if _, parsed := formats()[claim]; parsed {
			return Info{}, malformedf("the content is not %s", claim)
		}
		return Info{}, ErrUnknown
	}
	info := Info{ContentType: f.contentType, Kind: KindOf(f.contentType)}
	if err := f.parse(s, &info); err != nil {
		return Info{}, err
	}
	if info.Width <= 0 || info.Height <= 0 {
		return Info{}, malformedf("%s without a picture", f.contentType)
	}
	return info, nil
}

func malformedf(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrMalformed, fmt.Sprintf(format, args...))
}

// KindOf is the kind of a content type: a photo for image/*, a video for
// video/*, else empty.
func KindOf(contentType string) string {
	switch {
	case strings.HasPrefix(contentType, "image/"):
		return metadata.KindPhoto
	case strings.HasPrefix(contentType, "video/"):
		return metadata.KindVideo
	}
	return ""
}

// TypeOf is the media type that an object claims by its content type, or, where
// that says nothing, by the extension of its name: lower case, no parameters,
// empty if it is neither photo nor video.
func TypeOf(contentType, name string) string {
	t := claimed(contentType, name)
	if KindOf(t) == "" {
		return ""
	}
	return t
}

func claimed(contentType, name string) string {
	t, _, err := mime.ParseMediaType(contentType)
	if err != nil {
		t, _, _ = strings.Cut(contentType, ";")
		t = strings.ToLower(strings.TrimSpace(t))
	}
	if !slices.Contains([]string{"", "application/octet-stream", "binary/octet-stream"}, t) {
		return t
	}
	dot := strings.LastIndexByte(name, '.')
	if dot < 0 || len(name)-dot > 6 {
		return ""
	}
	return extensions()[strings.ToLower(name[dot+1:])]
}

// extensions are those by which photos and videos are commonly known. The
// system's table is not asked: it differs from machine to machine.
func extensions() map[string]string {
	return map[string]string{
		"jpg": "image/jpeg", "jpeg": "image/jpeg", "jpe": "image/jpeg", "png": "image/png", "apng": "image/apng",
		"gif": "image/gif", "webp": "image/webp", "avif": "image/avif", "heic": "image/heic", "heif": "image/heif",
		"svg": "image/svg+xml", "bmp": "image/bmp", "tif": "image/tiff", "tiff": "image/tiff", "jxl": "image/jxl",
		"mp4": "video/mp4", "m4v": "video/mp4", "mov": "video/quicktime", "webm": "video/webm",
		"mkv": "video/x-matroska", "avi": "video/x-msvideo", "mpg": "video/mpeg", "mpeg": "video/mpeg",
		"ogv": "video/ogg", "3gp": "video/3gpp",
	}
}
