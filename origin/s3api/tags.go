package s3api

import (
	"net/url"
	"strings"
	"unicode/utf8"
)

// Limits of tags: https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-tagging.html
const (
	maxTags     = 10
	maxTagKey   = 128 // characters
	maxTagValue = 256
)

// parseTagging reads x-amz-tagging, which has the form of a query.
func parseTagging(s string) (map[string]string, error) {
	if s == "" {
		return nil, nil
	}
	q, err := url.ParseQuery(s)
	if err != nil {
		return nil, badArgument("x-amz-tagging", asUTF8(s), "The header 'x-amz-tagging' shall be encoded as UTF-8 then URLEncoded URL query parameters without tag name duplicates.")
	}
	tags := make(map[string]string, len(q))
	for k, values := range q {
		if len(values) != 1 {
			return nil, badArgument("x-amz-tagging", asUTF8(s), "The header 'x-amz-tagging' shall be encoded as UTF-8 then URLEncoded URL query parameters without tag name duplicates.")
		}
		tags[k] = values[0]
	}
	if len(tags) > maxTags {
		return nil, refuse(errBadRequest, "Object tags cannot be greater than 10")
	}
	for k, v := range tags {
		switch {
		case k == "" || utf8.RuneCountInString(k) > maxTagKey || !isTagText(k) || strings.HasPrefix(strings.ToLower(k), "aws:"):
			return nil, refuse(errInvalidTag, "The TagKey you have provided is invalid").with("TagKey", asUTF8(k))
		case utf8.RuneCountInString(v) > maxTagValue || !isTagText(v):
			return nil, refuse(errInvalidTag, "The TagValue you have provided is invalid").with("TagKey", asUTF8(k)).with("TagValue", asUTF8(v))
		}
	}
	return tags, nil
}

// isTagText says whether s is made of what AWS allows in tags: letters, digits
// and spaces of any script, and + - = . _ : / @
func isTagText(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool {
		return isControl(r) || r == '\t' || r < utf8.RuneSelf && !isAlnum(byte(r)) && !strings.ContainsRune(" +-=._:/@", r)
	})
}

func isAlnum(b byte) bool {
	return b >= 'a' && b <= 'z' || b >= 'A' && b <= 'Z' || b >= '0' && b <= '9'
}
