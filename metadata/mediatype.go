package metadata

import (
	"cmp"
	"mime"
	"slices"
	"strings"
)

// MediaType is the type that an object claims by its content type, or, where that
// says nothing, by the extension of its name: lower case, no parameters, empty if
// neither tells. S3 tools that know no type send one that says nothing.
func MediaType(contentType, name string) string {
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

// MediaType is the media type of the version, by what it claims to be or, where
// that says nothing, by its first bytes.
func (v *Version) MediaType() string { return cmp.Or(MediaType(v.ContentType, v.Key), v.Sniffed) }

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
