package api

import (
	"crypto/sha256"
	_ "embed" // the page
	"encoding/base64"
	"html"
	"net/http"
	"strings"
)

//go:embed landing.html
var landingPage string

// elsewhere answers what is no endpoint.
func (c *call) elsewhere() error {
	switch {
	case c.opts.Console == nil || !c.opts.Console.Owns(c.r.URL.Path):
		return errNoRoute
	case c.r.Method != http.MethodGet && c.r.Method != http.MethodHead:
		return errNoMethod
	}
	c.opts.Console.ServeHTTP(c.gin.Writer, c.r)
	return nil
}

// landing is the console. Where that was left out, it tells a person with a
// browser where they are, by a page that has no script and names its one style
// by its hash.
func (c *call) landing() error {
	if c.opts.Console != nil {
		c.opts.Console.ServeHTTP(c.gin.Writer, c.r)
		return nil
	}
	base := strings.TrimSuffix(c.opts.PublicURL, "/")
	if base == "" {
		scheme := "http://"
		if c.overTLS() {
			scheme = "https://"
		}
		base = scheme + c.r.Host
	}
	_, style, _ := strings.Cut(landingPage, "<style>")
	style, _, _ = strings.Cut(style, "</style>")
	sum := sha256.Sum256([]byte(style))
	c.setHeader("Content-Security-Policy", "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; style-src 'sha256-"+
		base64.StdEncoding.EncodeToString(sum[:])+"'")
	c.setHeader("Referrer-Policy", "no-referrer")
	c.write(http.StatusOK, "text/html; charset=utf-8", []byte(strings.ReplaceAll(landingPage, "{{base}}", html.EscapeString(base))))
	return nil
}
