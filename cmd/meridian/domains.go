package main

import (
	"net/netip"
	"regexp"
	"strings"
)

var domainName = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*$`)

// cleanDomains are the domains of --domain as hosts are compared with them. One that
// no host could lie under is refused: requests to it would be taken for ones in
// path style, about another bucket.
func cleanDomains(given []string) ([]string, error) {
	clean := make([]string, len(given))
	for i, d := range given {
		clean[i] = strings.ToLower(strings.TrimSuffix(d, "."))
		if _, err := netip.ParseAddr(clean[i]); err == nil || len(clean[i]) > 253 || !domainName.MatchString(clean[i]) {
			return nil, usagef("--domain: %.100q is no domain: give its name alone, as in s3.example.com, without scheme, port or *", d)
		}
	}
	return clean, nil
}
