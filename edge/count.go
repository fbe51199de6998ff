package edge

import (
	"strings"

	"meridian/metadata"
)

// classOf is the class of a content type in the hit report.
func classOf(contentType string) string {
	kind, _, _ := strings.Cut(contentType, "/")
	switch strings.ToLower(strings.TrimSpace(kind)) {
	case "image":
		return metadata.ClassPhoto
	case "video":
		return metadata.ClassVideo
	}
	return metadata.ClassOther
}
