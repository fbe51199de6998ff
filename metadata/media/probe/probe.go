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
	info, err := s.probe(metadata.MediaType(contentType, name))
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
	t := metadata.MediaType(contentType, name)
	if KindOf(t) == "" {
		return ""
	}
	return t
}
