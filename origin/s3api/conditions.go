package s3api

import (
	"net/http"
	"slices"
	"strings"
	"time"

	"meridian/metadata"
)

// preconditions are the conditional headers of a read, of the object itself or
// of the source of a copy.
type preconditions struct {
	match, noneMatch          string
	modifiedSince, unmodSince string
	hasMatch, hasNoneMatch    bool
	neverUnchanged            bool // a copy answers 412 where a read answers 304
}

func readPreconditions(h http.Header) preconditions {
	return preconditions{
		match: strings.Join(h.Values("If-Match"), ","), hasMatch: len(h.Values("If-Match")) > 0,
		noneMatch: strings.Join(h.Values("If-None-Match"), ","), hasNoneMatch: len(h.Values("If-None-Match")) > 0,
		modifiedSince: h.Get("If-Modified-Since"), unmodSince: h.Get("If-Unmodified-Since"),
	}
}

// check evaluates the conditions in the order of RFC 9110, section 13.2.2.
func (p preconditions) check(v *metadata.Version) error {
	modified := v.Modified.UTC().Truncate(time.Second)
	if p.hasMatch {
		if !matchETag(p.match, v.ETag) {
			return refuse(errPreconditionFailed, "").with("Condition", "If-Match")
		}
	} else if t, err := http.ParseTime(p.unmodSince); err == nil && modified.After(t) {
		return refuse(errPreconditionFailed, "").with("Condition", "If-Unmodified-Since")
	}
	if p.hasNoneMatch {
		if matchETag(p.noneMatch, v.ETag) {
			return p.unchanged("If-None-Match")
		}
	} else if t, err := http.ParseTime(p.modifiedSince); err == nil && !modified.After(t) {
		return p.unchanged("If-Modified-Since")
	}
	return nil
}

func (p preconditions) unchanged(condition string) error {
	if p.neverUnchanged {
		return refuse(errPreconditionFailed, "").with("Condition", condition)
	}
	return errNotModified
}

// matchETag says whether a list of entity tags, as in If-Match, names etag.
// ETags of S3 are strong, so the two comparisons of RFC 9110 are one; tools
// also send them without quotes.
func matchETag(list, etag string) bool {
	for _, t := range splitETags(list) {
		if t == "*" || t == etag {
			return true
		}
	}
	return false
}

// splitETags reads a list of entity tags without their quotes and W/.
func splitETags(list string) []string {
	var tags []string
	for list = strings.TrimLeft(list, " \t,"); list != ""; list = strings.TrimLeft(list, " \t,") {
		list = strings.TrimPrefix(list, "W/")
		var tag string
		if rest, quoted := strings.CutPrefix(list, `"`); quoted {
			tag, list, _ = strings.Cut(rest, `"`)
		} else {
			tag, list, _ = strings.Cut(list, ",")
			tag = strings.TrimRight(tag, " \t")
		}
		tags = append(tags, tag)
	}
	return tags
}

// writeCond are the conditions of a write.
func (c *call) writeCond() (metadata.Cond, error) {
	cond := metadata.Cond{By: c.cause("")}
	if h := c.r.Header.Values("If-Match"); len(h) > 0 {
		cond.IfMatch = splitETags(strings.Join(h, ","))
	}
	if h := c.r.Header.Values("If-None-Match"); len(h) > 0 {
		cond.IfNoneMatch = splitETags(strings.Join(h, ","))
	}
	for _, name := range []string{"If-Modified-Since", "If-Unmodified-Since"} {
		if c.r.Header.Get(name) != "" {
			return cond, refuse(errNotImplemented, "").with("Header", name)
		}
	}
	switch {
	case len(cond.IfMatch) > 0 && len(cond.IfNoneMatch) > 0:
		return cond, refuse(errNotImplemented, "").with("Header", "If-Match,If-None-Match")
	case len(cond.IfNoneMatch) > 0 && !slices.Equal(cond.IfNoneMatch, []string{"*"}):
		// S3 knows it only as "create, and replace nothing".
		return cond, refuse(errNotImplemented, "").with("Header", "If-None-Match")
	}
	return cond, nil
}
