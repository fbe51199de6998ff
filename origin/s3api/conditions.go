package s3api

import (
	"errors"
	"net/http"
	"strconv"
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
	if len(cond.IfMatch) > 0 && len(cond.IfNoneMatch) > 0 {
		return cond, refuse(errNotImplemented, "").with("Header", "If-Match,If-None-Match")
	}
	return cond, nil
}

// The headers of a likeness.
const (
	ifMatchSize = "X-Amz-If-Match-Size"
	ifMatchTime = "X-Amz-If-Match-Last-Modified-Time"
)

// likeness is what a version must be like to be deleted, beside its ETag: S3 has
// these conditions in directory buckets; here they hold in all, as in Ceph and
// versitygw. The zero value is no condition.
type likeness struct {
	size     *int64
	modified *time.Time // to the second
}

// readLikeness reads such conditions. An empty text is none; names are those of
// the arguments, for errors.
func readLikeness(size, modified string, names [2]string) (likeness, error) {
	var l likeness
	if size != "" {
		n, err := strconv.ParseInt(size, 10, 64)
		if err != nil || n < 0 {
			return l, badArgument(names[0], asUTF8(size), "The size must be a whole number of bytes.")
		}
		l.size = &n
	}
	if modified != "" {
		t, err := http.ParseTime(modified)
		if err != nil {
			t, err = time.Parse(time.RFC3339, modified)
		}
		if err != nil {
			return l, badArgument(names[1], asUTF8(modified), "The time must be of the form %q or %q.", http.TimeFormat, time.RFC3339)
		}
		t = t.Truncate(time.Second)
		l.modified = &t
	}
	return l, nil
}

func (l likeness) isSet() bool { return l.size != nil || l.modified != nil }

// check says whether v, which may be a delete marker, is like that.
func (l likeness) check(v *metadata.Version) error {
	switch {
	case l.size != nil && *l.size != v.Size:
		return refuse(errPreconditionFailed, "").with("Condition", "x-amz-if-match-size")
	case l.modified != nil && !l.modified.Equal(v.Modified.UTC().Truncate(time.Second)):
		return refuse(errPreconditionFailed, "").with("Condition", "x-amz-if-match-last-modified-time")
	}
	return nil
}

// mayRemove checks the likeness of the version that is to be deleted and guards
// the delete against another that takes its place meanwhile. Found is false where
// there is nothing to delete.
func (c *call) mayRemove(ref *metadata.Ref, l likeness, cond *metadata.Cond) (found bool, err error) {
	v, err := c.opts.Catalog.Lookup(c.r.Context(), *ref)
	missing := errors.Is(err, metadata.ErrNoSuchKey) || errors.Is(err, metadata.ErrNoSuchVersion)
	switch {
	case v.DeleteMarker: // which the error says, too
	case missing:
		return false, nil
	case err != nil:
		return false, err
	}
	if ref.VersionID == "" {
		cond.IfVersion = v.ID
	} else { // which can only go, not change, as "null" can
		ref.VersionID = v.ID
	}
	return true, l.check(&v)
}
