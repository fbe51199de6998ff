package console

import (
	"net/url"
	"slices"
	"strings"
)

// policy is the Content-Security-Policy of the page: its own scripts and styles,
// none of them inline, and bytes from the given URLs beside its own.
func policy(sources []string) string {
	hosts := origins(sources)
	from := func(more ...string) string {
		return strings.Join(append(append([]string{"'self'"}, more...), hosts...), " ")
	}
	return strings.Join([]string{
		"default-src 'none'",
		"script-src 'self'",
		"style-src 'self'",
		"font-src 'self'",
		"img-src " + from("blob:"),
		"media-src " + from("blob:"),
		"connect-src " + from(),
		"base-uri 'none'",
		"form-action 'self'",
		"frame-ancestors 'none'",
	}, "; ")
}

// origins are the scheme and host of each URL, once each. What is not an http
// URL, or would change the policy, is left out.
func origins(urls []string) []string {
	var list []string
	for _, text := range urls {
		u, err := url.Parse(text)
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || strings.ContainsAny(u.Host, " ;,'\"*") {
			continue
		}
		list = append(list, u.Scheme+"://"+u.Host)
	}
	slices.Sort(list)
	return slices.Compact(list)
}
