package probe

import (
	"io"
	"strings"
	"time"

	"github.com/bep/imagemeta"
)

// exif reads from a picture's EXIF when it was taken, and turns the size where
// the picture is to be shown turned and turn is set. EXIF that is missing or
// damaged is no fault of the picture.
func (s *source) exif(format imagemeta.ImageFormat, r io.ReadSeeker, info *Info, turn bool) {
	tags := map[string]any{}
	_, _ = imagemeta.Decode(imagemeta.Options{
		R: r, ImageFormat: format, Sources: imagemeta.EXIF,
		ShouldHandleTag: func(t imagemeta.TagInfo) bool {
			if !strings.HasPrefix(t.Namespace, "IFD0") {
				return false // the thumbnail's
			}
			switch t.Tag {
			case "Orientation", "DateTimeOriginal", "CreateDate", "OffsetTimeOriginal", "OffsetTimeDigitized":
				return true
			}
			return false
		},
		HandleTag: func(t imagemeta.TagInfo) error {
			if _, seen := tags[t.Tag]; !seen {
				tags[t.Tag] = t.Value
			}
			return nil
		},
		LimitNumTags: 2000,
		LimitTagSize: 1000,
	})
	if o, ok := tags["Orientation"].(uint16); turn && ok && o >= 5 && o <= 8 {
		info.Width, info.Height = info.Height, info.Width
	}
	for _, names := range [][2]string{{"DateTimeOriginal", "OffsetTimeOriginal"}, {"CreateDate", "OffsetTimeDigitized"}} {
		date, _ := tags[names[0]].(string)
		offset, _ := tags[names[1]].(string)
		if t, ok := exifTime(date, offset); ok {
			info.TakenAt = &t
			return
		}
	}
}

// exifTime reads EXIF's local time; without an offset it is taken for UTC, since
// nothing tells where the camera was.
func exifTime(date, offset string) (time.Time, bool) {
	trim := func(s string) string { return strings.Trim(s, " \x00") }
	date, offset = trim(date), trim(offset)
	if t, err := time.Parse("2006:01:02 15:04:05-07:00", date+offset); err == nil {
		return t.UTC(), t.Year() > 1
	}
	t, err := time.Parse("2006:01:02 15:04:05", date)
	return t, err == nil && t.Year() > 1
}
