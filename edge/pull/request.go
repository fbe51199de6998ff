package pull

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"meridian/edge/httpcache"
)

// unkeyed are fields by which frameworks let a request speak of another host,
// scheme, path or method than it has, beside those that begin with X-Forwarded. No
// answer is told apart by them, so who could send them to an origin could make it
// answer, and us keep, something else than what everybody else asks for.
var unkeyed = []string{
	"Forwarded", "Front-End-Https", "X-Url-Scheme",
	"X-Host", "X-Original-Url", "X-Original-Uri", "X-Original-Path", "X-Original-Host", "X-Rewrite-Url",
	"X-Http-Host-Override", "X-Http-Path-Override", "X-Http-Destinationurl",
	"X-Http-Method", "X-Http-Method-Override", "X-Method-Override",
}

const (
	forwardedFor  = "X-Forwarded-For"
	forwardedHost = "X-Forwarded-Host"
)

// misleads reports whether a field of a client is not for its origin: one that is
// unkeyed, or whose name has an underscore, for which CGI and what is like it has
// the same name as for a dash, so that it would pass for another field. Such a one
// is passed on where the zone lists it.
func (z *Zone) misleads(name string) bool {
	switch {
	case strings.Contains(name, "_"):
		return !z.forward[name]
	case strings.HasPrefix(name, "X-Forwarded"):
		return name != forwardedFor
	}
	return slices.Contains(unkeyed, name)
}

// Ask is one request to an origin.
type Ask struct {
	Method string
	Target Target
	// Header are the client's fields, as they came, and set others over them;
	// one that is set to nothing is not sent.
	Header, Set http.Header
	// Body is sent as it comes, once; nil for none. Length is -1 if not known.
	Body   io.ReadCloser
	Length int64
	// Remote, Base, Host and TLS are of the client's request: Base is its Host, and
	// Host too if that was the name of the zone, else empty.
	Remote, Base, Host string
	TLS                bool
	// Interim gets the interim answers (1xx), if not nil, before the header.
	Interim func(status int, h http.Header)
}

// request makes the request for one of the origins. node is our name, by which
// loops are told.
func (z *Zone) request(ctx context.Context, origin *url.URL, a Ask, node string) *http.Request {
	u := &url.URL{Scheme: origin.Scheme, Host: origin.Host, RawQuery: a.Target.Query}
	path := strings.TrimRight(origin.EscapedPath(), "/") + a.Target.rest
	if strings.HasPrefix(path, "//") { // would read as a host
		u.Path, _ = url.PathUnescape(path)
		u.RawPath = path
	} else {
		u.Opaque = path // as it came, to the byte
	}
	req := (&http.Request{
		Method: a.Method, URL: u, Host: origin.Host, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: make(http.Header, len(a.Header)+8), Body: a.Body, ContentLength: a.Length,
	}).WithContext(ctx)
	if z.rules.Host != "" {
		req.Host = z.rules.Host
	}
	z.fill(req.Header, a, node)
	if a.Body == nil {
		req.Body, req.ContentLength = noReplay(a.Method), 0
	}
	return req
}

func (z *Zone) fill(h http.Header, a Ask, node string) {
	for name, values := range a.Header {
		if (z.forward == nil || z.forward[name]) && !z.misleads(name) {
			h[name] = values
		}
	}
	httpcache.RemoveHopByHop(h)
	delete(h, "Expect")
	for name := range h {
		if strings.HasPrefix(name, "X-Meridian-") {
			delete(h, name)
		}
	}
	for name, values := range a.Set {
		if h[name] = values; len(values) == 0 {
			delete(h, name)
		}
	}
	if ip, _, err := net.SplitHostPort(a.Remote); err == nil {
		h.Set(forwardedFor, strings.Join(append(append([]string(nil), a.Header[forwardedFor]...), ip), ", "))
	}
	proto := "http"
	if a.TLS {
		proto = "https"
	}
	h.Set("X-Forwarded-Proto", proto)
	if a.Host != "" {
		h.Set(forwardedHost, a.Host)
	}
	h["Via"] = append(append([]string(nil), a.Header["Via"]...), "1.1 meridian")
	h["Cdn-Loop"] = append(append([]string(nil), a.Header["Cdn-Loop"]...), loopToken(node))
	if _, sent := h["User-Agent"]; !sent {
		h["User-Agent"] = nil // none of ours instead
	}
	for _, name := range z.rules.RequestHeaders.Remove {
		h.Del(name)
	}
	for name, value := range z.rules.RequestHeaders.Set {
		h.Set(name, value)
	}
}

// loopToken is our member of CDN-Loop (RFC 8586).
func loopToken(node string) string {
	return `meridian; node="` + strings.ReplaceAll(node, `"`, "") + `"`
}

// Loops reports whether a request has come through this node before.
func Loops(h http.Header, node string) bool {
	for _, line := range h["Cdn-Loop"] {
		if strings.Contains(line, loopToken(node)) {
			return true
		}
	}
	return false
}

// noReplay is the body of a request without one: net/http asks again by itself
// where a kept connection breaks, unless there is a body that it cannot send
// twice, and an origin that got a request must not get it again unasked.
func noReplay(method string) io.ReadCloser {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodOptions:
		return io.NopCloser(strings.NewReader(""))
	}
	return http.NoBody
}

// change applies the zone's rules to what an origin answered, before anything is
// kept of it.
func (z *Zone) change(h http.Header) {
	for _, name := range z.rules.ResponseHeaders.Remove {
		h.Del(name)
	}
	for name, value := range z.rules.ResponseHeaders.Set {
		h.Set(name, value)
	}
}
