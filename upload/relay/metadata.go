package relay

import (
	"encoding/base64"
	"strings"
	"unicode/utf8"

	"meridian/metadata"
)

// ParseMetadata reads Upload-Metadata: pairs of a key and a base64 value, parted
// by commas. A value may be missing. What is malformed is refused as
// metadata.ErrInvalid with what was read so far.
func ParseMetadata(header string) (map[string]string, error) {
	meta := map[string]string{}
	if strings.TrimSpace(header) == "" {
		return meta, nil
	}
	for pair := range strings.SplitSeq(header, ",") {
		key, text, _ := strings.Cut(strings.TrimSpace(pair), " ")
		if key == "" {
			return meta, metadata.Invalidf("Upload-Metadata has a pair without a key")
		}
		if _, twice := meta[key]; twice {
			return meta, metadata.Invalidf("Upload-Metadata has %.60q twice", key)
		}
		value, err := base64.StdEncoding.DecodeString(strings.TrimSpace(text))
		if err != nil {
			return meta, metadata.Invalidf("Upload-Metadata: the value of %.60q is not base64", key)
		}
		if !utf8.Valid(value) || !utf8.ValidString(key) || strings.ContainsRune(string(value)+key, 0) {
			return meta, metadata.Invalidf("Upload-Metadata: the value of %.60q is not UTF-8 text", key)
		}
		meta[key] = string(value)
	}
	return meta, nil
}
