package probe

import (
	"encoding/binary"
	"errors"
	"fmt"
	"image"
	"image/gif"
	"image/jpeg"
	"image/png"
	"io"

	"github.com/bep/imagemeta"
	"golang.org/x/image/webp"
)

func parseJPEG(s *source, info *Info) error {
	if err := s.config(jpeg.DecodeConfig, info); err != nil {
		return err
	}
	s.exif(imagemeta.JPEG, s.section(0, s.size), info, true)
	return nil
}

func parseGIF(s *source, info *Info) error { return s.config(gif.DecodeConfig, info) }

func parseWebP(s *source, info *Info) error {
	if err := s.config(webp.DecodeConfig, info); err != nil {
		return err
	}
	s.exif(imagemeta.WebP, s.section(0, s.size), info, true)
	return nil
}

// parsePNG looks for metadata only before the picture, where it belongs, since
// behind it there would be all of the file to walk through.
func parsePNG(s *source, info *Info) error {
	if err := s.config(png.DecodeConfig, info); err != nil {
		return err
	}
	for off := int64(8); ; {
		h := s.head(off, 8)
		if len(h) < 8 {
			return nil // the size is known, there is no more to learn
		}
		n := int64(binary.BigEndian.Uint32(h))
		switch string(h[4:]) {
		case "IDAT", "IEND":
			return nil
		case "acTL":
			info.ContentType = "image/apng"
		case "eXIf":
			s.exif(imagemeta.TIFF, s.section(off+8, n), info, true)
			return nil
		}
		off += 12 + n
	}
}

// config asks a decoder of pictures for the size.
func (s *source) config(decode func(io.Reader) (image.Config, error), info *Info) error {
	c, err := decode(s.section(0, s.size))
	if err != nil {
		if errors.Is(err, ErrMalformed) {
			return err
		}
		return fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	info.Width, info.Height = c.Width, c.Height
	return nil
}
