package metadata

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"
)

// Pull makes a bucket a pull zone: instead of objects it has an HTTP origin, and
// the edges are a shared cache in front of it. The zero value is none. How long
// answers stay fresh that do not say it is in the bucket's CacheRules: edge_ttl,
// which for a pull zone is 0 unless given.
type Pull struct {
	// Origins are URLs, http or https, of servers that answer alike; their paths
	// are put before that of a request. The first is asked, the next where no
	// connection can be made.
	Origins []string `json:"origins,omitempty"`
	// Host is the Host that the origins are told; empty: the one in the URL.
	Host string `json:"host,omitempty"`
	// Hosts are names under which the zone is served at its root.
	Hosts []string `json:"hosts,omitempty"`
	// Tier is who asks the origins: regional nodes (the default), each for all
	// edges of its region, or, with edge, every edge itself.
	Tier string `json:"tier,omitempty"`
	// Rewrites replace the beginning of a path, the first that matches.
	Rewrites []PathRewrite `json:"rewrites,omitempty"`
	// RequestHeaders and ResponseHeaders change what goes to the origins and
	// what is kept of their answers.
	RequestHeaders  HeaderRules `json:"request_headers,omitzero"`
	ResponseHeaders HeaderRules `json:"response_headers,omitzero"`
	// Methods are those allowed; empty: all but CONNECT and TRACE.
	Methods []string `json:"methods,omitempty"`
	// ForwardHeaders are the request headers that reach the origins; empty: all
	// that are safe to forward.
	ForwardHeaders []string `json:"forward_headers,omitempty"`
	// Query is what of a query reaches the origins and tells answers apart: all
	// of it (the default), none, or what QueryParams lists.
	Query       string   `json:"query,omitempty"`
	QueryParams []string `json:"query_params,omitempty"`
}

// PathRewrite replaces From at the beginning of a path by To.
type PathRewrite struct {
	From string `json:"from"`
	To   string `json:"to"`
}

// HeaderRules remove fields, and then set others.
type HeaderRules struct {
	Remove []string          `json:"remove,omitempty"`
	Set    map[string]string `json:"set,omitempty"`
}

// Touches reports whether the rules say something of a field, by its canonical name.
func (r *HeaderRules) Touches(name string) bool {
	is := func(n string) bool { return http.CanonicalHeaderKey(n) == name }
	return slices.ContainsFunc(r.Remove, is) || slices.ContainsFunc(slices.Collect(maps.Keys(r.Set)), is)
}

// ErrPullZone says that a bucket takes no objects, since it is a pull zone.
var ErrPullZone = errors.New("a pull zone takes no objects")

// Values of Pull.Query; the empty string means QueryAll.
const (
	QueryAll    = "all"
	QueryNone   = "none"
	QueryListed = "listed"
)

// DefaultPullStaleIfError is how long an answer of a pull zone outlives its
// freshness while the origin fails, where neither the answer nor the bucket says.
const DefaultPullStaleIfError = Duration(time.Hour)

// maxPullList is how much any list of a pull zone may hold.
const maxPullList = 100

// IsZero reports that there is no origin.
func (p Pull) IsZero() bool { return len(p.Origins) == 0 && p.isBare() }

func (p Pull) isBare() bool {
	return p.Host == "" && p.Query == "" && p.Tier == "" && len(p.Hosts)+len(p.Rewrites)+len(p.Methods)+len(p.ForwardHeaders)+len(p.QueryParams) == 0 &&
		p.RequestHeaders.isZero() && p.ResponseHeaders.isZero()
}

func (r HeaderRules) isZero() bool { return len(r.Remove)+len(r.Set) == 0 }

// Check tells add of each field, by its name in JSON, that cannot be.
func (p Pull) Check(add func(field, reason string)) {
	if p.IsZero() {
		return
	}
	bad := func(field, format string, args ...any) { add(field, fmt.Sprintf(format, args...)) }
	if len(p.Origins) == 0 {
		bad("origins", "is empty: a pull zone needs one, as http://www.example.com")
	}
	for _, o := range p.Origins {
		if _, err := ParseOrigin(o); err != nil {
			bad("origins", "%v", err)
		}
	}
	if p.Host != "" && !isHost(p.Host) {
		bad("host", "%.80q is no host name", p.Host)
	}
	for i, h := range p.Hosts {
		switch {
		case !isHost(h) || strings.Contains(h, ":") || h != strings.ToLower(h):
			bad("hosts", "%.80q is no host name in lower case, without a port", h)
		case slices.Contains(p.Hosts[:i], h):
			bad("hosts", "lists %q twice", h)
		}
	}
	for _, r := range p.Rewrites {
		if !strings.HasPrefix(r.From, "/") || !isPath(r.To) || !isPath(r.From) {
			bad("rewrites", "from %.80q to %.80q: both are paths that begin with /", r.From, r.To)
		}
	}
	for _, m := range p.Methods {
		if !isToken(m) || slices.Contains([]string{http.MethodConnect, http.MethodTrace, "PURGE"}, strings.ToUpper(m)) {
			bad("methods", "%.40q is not a method that can be passed on", m)
		}
	}
	for _, name := range p.ForwardHeaders {
		if !isToken(name) {
			bad("forward_headers", "%.80q is no header name", name)
		}
	}
	p.RequestHeaders.check("request_headers", bad)
	p.ResponseHeaders.check("response_headers", bad)
	switch p.Query {
	case "", QueryAll, QueryNone, QueryListed:
	default:
		bad("query", "%.40q is none of all, none and listed", p.Query)
	}
	if p.Tier != "" && p.Tier != TierEdge && p.Tier != TierRegional {
		bad("tier", "%.40q is neither %s nor %s", p.Tier, TierEdge, TierRegional)
	}
	if len(p.QueryParams) > 0 && p.Query != QueryListed {
		bad("query_params", "counts where query is listed only")
	}
	for field, n := range map[string]int{"origins": len(p.Origins), "hosts": len(p.Hosts), "rewrites": len(p.Rewrites),
		"methods": len(p.Methods), "forward_headers": len(p.ForwardHeaders), "query_params": len(p.QueryParams)} {
		if n > maxPullList {
			bad(field, "lists %d, more than %d", n, maxPullList)
		}
	}
}

// ownedHeaders frame a message or prove who a node is; no rule may touch them.
var ownedHeaders = []string{"Connection", "Content-Length", "Host", "Keep-Alive", "Te", "Trailer", "Transfer-Encoding", "Upgrade"}

func (r HeaderRules) check(field string, bad func(field, format string, args ...any)) {
	name := func(n string) {
		if !isToken(n) || slices.Contains(ownedHeaders, http.CanonicalHeaderKey(n)) {
			bad(field, "%.80q is not a header that rules may touch", n)
		}
	}
	for _, n := range r.Remove {
		name(n)
	}
	for n, v := range r.Set {
		name(n)
		if strings.ContainsFunc(v, func(c rune) bool { return c < ' ' && c != '\t' || c == 0x7f }) {
			bad(field, "the value of %.80q has control characters", n)
		}
	}
	if len(r.Remove)+len(r.Set) > maxPullList {
		bad(field, "has %d rules, more than %d", len(r.Remove)+len(r.Set), maxPullList)
	}
}

// ParseOrigin reads the URL of an origin and refuses what no node should be made
// to ask: other schemes, credentials in the URL, and addresses that AllowedOrigin
// refuses. Names are looked at again when they are resolved.
func ParseOrigin(s string) (*url.URL, error) {
	u, err := url.Parse(s)
	switch {
	case err != nil:
		return nil, Invalidf("%.200q is no URL", s)
	case u.Scheme != "http" && u.Scheme != "https":
		return nil, Invalidf("%.200q is neither an http nor an https URL", s)
	case u.User != nil:
		return nil, Invalidf("the URL of %.80s carries credentials; set a header by request_headers instead", u.Host)
	case u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		return nil, Invalidf("%.200q has a query or fragment", s)
	case !isHost(u.Host) || u.Hostname() == "":
		return nil, Invalidf("%.200q names no host", s)
	case u.Path != "" && !isPath(u.Path):
		return nil, Invalidf("%.200q has a path with . or ..", s)
	}
	if ip, err := netip.ParseAddr(u.Hostname()); err == nil && !AllowedOrigin(ip) {
		return nil, Invalidf("%s is not an address that a pull zone may ask", ip)
	}
	return u, nil
}

// AllowedOrigin refuses the addresses at which clouds tell machines their
// secrets, and those that are no machine. Loopback and private networks are
// allowed: that is where the web servers of whoever runs Meridian are, and only
// administrators make pull zones.
func AllowedOrigin(ip netip.Addr) bool {
	ip = ip.Unmap()
	return !ip.IsLinkLocalUnicast() && !ip.IsMulticast() && !ip.IsUnspecified() &&
		ip != netip.MustParseAddr("fd00:ec2::254") && ip != netip.AddrFrom4([4]byte{255, 255, 255, 255})
}

func isHost(h string) bool {
	u, err := url.Parse("http://" + h)
	return err == nil && u.Host == h && h != "" && u.User == nil && !strings.ContainsAny(h, " /?#@\\%")
}

func isPath(p string) bool {
	if !strings.HasPrefix(p, "/") || strings.ContainsAny(p, "?# \r\n\x00") {
		return false
	}
	for segment := range strings.SplitSeq(p, "/") {
		if segment == "." || segment == ".." {
			return false
		}
	}
	return true
}

func isToken(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(c rune) bool {
		return !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.ContainsRune("!#$%&'*+-.^_`|~", c))
	})
}
