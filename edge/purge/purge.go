// Package purge knows which heads a node holds, by object, prefix and surrogate
// key, so that a purge finds what it has to remove.
package purge

import (
	"context"
	"net/url"
	"strings"

	"meridian/metadata"
)

// Object is a bucket and key.
type Object struct{ Bucket, Key string }

// Target selects heads.
type Target struct {
	Objects []Object
	// Prefixes select the objects of a bucket whose keys begin with Key.
	Prefixes      []Object
	SurrogateKeys []string
	Bucket        string
	Everything    bool
	// Soft keeps what is selected, to be revalidated before its next use.
	Soft bool
}

// Purger applies purges. n is how many heads were dropped or marked.
type Purger interface {
	Purge(ctx context.Context, t Target) (n int, err error)
}

// TargetOf reads a purge as it came over the feed. What no object can match is
// left out.
func TargetOf(p metadata.Purge) Target {
	t := Target{SurrogateKeys: p.SurrogateKeys, Bucket: p.Bucket, Everything: p.Everything, Soft: p.Soft}
	for _, raw := range p.URLs {
		// An empty key is the front page of a pull zone.
		if o, below, ok := objectOf(raw); ok && below {
			t.Objects = append(t.Objects, o)
		}
	}
	for _, raw := range p.Prefixes {
		if o, _, ok := objectOf(raw); ok {
			t.Prefixes = append(t.Prefixes, o)
		}
	}
	return t
}

// objectOf reads an absolute URL, /bucket/key or bucket/key, escaped as in a
// URL; below says whether a slash follows the bucket. A query chooses nothing:
// all versions of the key are meant.
func objectOf(raw string) (o Object, below, ok bool) {
	if !strings.Contains(raw, "://") && !strings.HasPrefix(raw, "/") {
		raw = "/" + raw
	}
	// "//x" must be a path, not a host.
	if strings.HasPrefix(raw, "/") {
		raw = "http://edge" + raw
	}
	u, err := url.Parse(raw)
	if err != nil {
		return Object{}, false, false
	}
	bucket, key, below := strings.Cut(strings.TrimPrefix(u.Path, "/"), "/")
	return Object{Bucket: bucket, Key: key}, below, bucket != ""
}

// Matches reports whether t may select heads of o. Surrogate keys, which are
// known of a finished head only, count as a match where there are any.
func (t *Target) Matches(o Object) bool {
	if t.Everything || len(t.SurrogateKeys) > 0 || t.Bucket != "" && t.Bucket == o.Bucket {
		return true
	}
	for _, x := range t.Objects {
		if x == o {
			return true
		}
	}
	for _, x := range t.Prefixes {
		if x.Bucket == o.Bucket && strings.HasPrefix(o.Key, x.Key) {
			return true
		}
	}
	return false
}
