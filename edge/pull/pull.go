// Package pull speaks to the HTTP origins of pull zones: it says what a request
// to a zone asks of its origin, sends it there with the headers that the rules of
// the zone allow, and shares the body of an answer among all who want it while it
// arrives. What may be kept of an answer is decided elsewhere.
package pull

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"meridian/metadata"
)

// ErrPath says that a path would leave the directory which a zone is confined to.
var ErrPath = errors.New("path leads out of the pull zone")

// Zone is a pull zone made ready for use. It never changes.
type Zone struct {
	bucket  string
	rules   metadata.Pull
	origins []*url.URL
	forward map[string]bool // nil: all
	params  map[string]bool
	inside  bool // paths are put below one of the origin's
}

// New reads the pull zone of a bucket.
func New(b *metadata.Bucket) (*Zone, error) {
	z := &Zone{bucket: b.Name, rules: b.Pull}
	for _, o := range b.Pull.Origins {
		u, err := metadata.ParseOrigin(o)
		if err != nil {
			return nil, fmt.Errorf("pull zone %s: %w", b.Name, err)
		}
		z.inside = z.inside || strings.Trim(u.Path, "/") != ""
		z.origins = append(z.origins, u)
	}
	if len(z.origins) == 0 {
		return nil, fmt.Errorf("pull zone %s: no origin", b.Name)
	}
	z.inside = z.inside || len(b.Pull.Rewrites) > 0
	if len(b.Pull.ForwardHeaders) > 0 {
		z.forward = map[string]bool{}
		for _, name := range b.Pull.ForwardHeaders {
			z.forward[http.CanonicalHeaderKey(name)] = true
		}
	}
	z.params = map[string]bool{}
	for _, p := range b.Pull.QueryParams {
		z.params[p] = true
	}
	return z, nil
}

// Allows reports whether requests of a method are passed on.
func (z *Zone) Allows(method string) bool {
	if len(z.rules.Methods) == 0 {
		return method != http.MethodConnect && method != http.MethodTrace
	}
	return slices.Contains(z.rules.Methods, method)
}

// ByEdges reports whether edges ask the origins themselves.
func (z *Zone) ByEdges() bool { return z.rules.Tier == metadata.TierEdge }

// ToldHost is what an origin is told of the name that a zone was found by: "" where
// that is nothing, or always the same.
func (z *Zone) ToldHost(host string) string {
	if z.rules.RequestHeaders.Touches(forwardedHost) {
		return ""
	}
	return host
}

// Allow is the value of the Allow field where a method is refused.
func (z *Zone) Allow() string {
	if len(z.rules.Methods) == 0 {
		return "GET, HEAD, OPTIONS, POST, PUT, PATCH, DELETE"
	}
	return strings.Join(z.rules.Methods, ", ")
}

// Target is what a request asks of an origin.
type Target struct {
	Path  string // as it came, escapes and all, without the bucket
	Query string // what of it counts
	Key   string // Path decoded, without its first slash: by which purges find it
	rest  string // the path at the origin, without the origin's own
}

// Name tells targets of one zone apart.
func (t Target) Name() string {
	if t.Query == "" {
		return t.Path
	}
	return t.Path + "?" + t.Query
}

// Target reads a request target, path and query as they came. unlisted are
// parameters that are ours, not the origin's.
func (z *Zone) Target(rawPath, rawQuery string, unlisted func(name string) bool) (Target, error) {
	t := Target{Path: rawPath, rest: rawPath}
	key, err := url.PathUnescape(rawPath)
	if err != nil {
		return Target{}, ErrPath
	}
	t.Key = strings.TrimPrefix(key, "/")
	if z.inside && climbs(key) {
		return Target{}, ErrPath
	}
	for _, r := range z.rules.Rewrites {
		if rest, ok := strings.CutPrefix(rawPath, r.From); ok {
			t.rest = r.To + rest
			break
		}
	}
	t.Query = z.query(rawQuery, unlisted)
	return t, nil
}

// climbs reports whether a server that resolves dots, or takes a backslash for a
// slash, would look above where the path begins.
func climbs(path string) bool {
	for segment := range strings.FieldsFuncSeq(path, func(c rune) bool { return c == '/' || c == '\\' }) {
		// Some servers take ";" for the end of a segment's name.
		if name, _, _ := strings.Cut(segment, ";"); name == ".." {
			return true
		}
	}
	return false
}

func (z *Zone) query(raw string, unlisted func(string) bool) string {
	if z.rules.Query == metadata.QueryNone || raw == "" {
		return ""
	}
	kept := make([]string, 0, 8)
	dropped := false
	for part := range strings.SplitSeq(raw, "&") {
		name, _, _ := strings.Cut(part, "=")
		if decoded, err := url.QueryUnescape(name); err == nil {
			name = decoded
		}
		if unlisted != nil && unlisted(name) || z.rules.Query == metadata.QueryListed && !z.params[name] {
			dropped = true
			continue
		}
		kept = append(kept, part)
	}
	if !dropped {
		return raw
	}
	return strings.Join(kept, "&")
}

// SameOrigin reads a reference in an answer to a request for t, such as Location,
// and returns the target it names, if that lies in this zone. host is the Host of
// the request.
func (z *Zone) SameOrigin(t Target, host, ref string) (Target, bool) {
	base := &url.URL{Scheme: "http", Host: host, Opaque: ""}
	base.Path, _ = url.PathUnescape(t.rest)
	base.RawPath = t.rest
	u, err := base.Parse(ref)
	if err != nil {
		return Target{}, false
	}
	known := strings.EqualFold(u.Host, host) || strings.EqualFold(u.Host, z.rules.Host)
	for _, o := range z.origins {
		known = known || strings.EqualFold(u.Host, o.Host)
	}
	if !known {
		return Target{}, false
	}
	path := u.EscapedPath()
	for _, r := range z.rules.Rewrites { // back to how clients name it
		if rest, ok := strings.CutPrefix(path, r.To); ok {
			path = r.From + rest
			break
		}
	}
	other, err := z.Target(path, u.RawQuery, nil)
	return other, err == nil
}

// HostOf is a Host field without its port, in lower case: by which zones are found.
func HostOf(host string) string {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	return strings.ToLower(strings.TrimSuffix(host, "."))
}
