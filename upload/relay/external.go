package relay

import (
	"net/http"
	"net/url"
	"strings"
)

// external is scheme and host by which a client has reached us: as the proxies
// before us tell it, else as the request does. Whoever lies about it is told a
// wrong Location, and nobody else. A proxy that tells nothing of the host hides
// it, and then publicURL is what counts, where there is one.
func external(r *http.Request, publicURL string) (scheme, host string) {
	scheme, host = "http", r.Host
	if r.TLS != nil {
		scheme = "https"
	}
	public, err := url.Parse(publicURL)
	told := r.Header.Get("X-Forwarded-Host") != ""
	behind := r.Header.Get("X-Forwarded-For") != "" || r.Header.Get("Via") != "" || r.Header.Get("Forwarded") != ""
	if err == nil && public.Host != "" && !told && (behind || strings.EqualFold(public.Host, host)) {
		return public.Scheme, public.Host
	}
	if h := first(r.Header.Get("X-Forwarded-Host")); h != "" {
		if u, err := url.Parse("http://" + h); err == nil && u.Host == h {
			host = h
		}
	}
	if p := first(r.Header.Get("X-Forwarded-Proto")); p == "http" || p == "https" {
		scheme = p
	}
	return scheme, host
}

// first is what the proxy nearest to the client has written.
func first(list string) string {
	head, _, _ := strings.Cut(list, ",")
	return strings.TrimSpace(head)
}

// External leaves in r's headers scheme and host by which the client has reached
// us, as X-Forwarded-Proto and -Host, and nothing else that says so.
func External(r *http.Request, publicURL string) {
	scheme, host := external(r, publicURL)
	r.Header.Del("Forwarded")
	r.Header.Set("X-Forwarded-Proto", scheme)
	r.Header.Set("X-Forwarded-Host", host)
}
