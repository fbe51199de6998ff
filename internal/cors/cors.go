// Package cors decides which pages of other origins may read an answer (the
// CORS protocol of https://fetch.spec.whatwg.org), by the rules of a bucket as
// S3 has them, or, where a bucket has none, by a default that lets every page
// send what it could sign: no credentials of the browser's own are involved.
//
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/cors.html
package cors

import (
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// Limits of S3.
const (
	maxRules = 100
	maxID    = 255
	// maxRequested bounds the headers that a preflight may ask for.
	maxRequested = 200
)

// DefaultMaxAge is how long a browser may keep the answer to a preflight where a
// bucket has no rules, in seconds. Browsers cut it to two hours or less.
const DefaultMaxAge = 3600

// Rule lets pages of some origins do some things.
type Rule struct {
	ID             string   `xml:"ID,omitempty" json:"id,omitempty"`
	AllowedHeaders []string `xml:"AllowedHeader" json:"allowed_headers,omitempty"`
	AllowedMethods []string `xml:"AllowedMethod" json:"allowed_methods"`
	AllowedOrigins []string `xml:"AllowedOrigin" json:"allowed_origins"`
	ExposeHeaders  []string `xml:"ExposeHeader" json:"expose_headers,omitempty"`
	MaxAgeSeconds  *int     `xml:"MaxAgeSeconds" json:"max_age_seconds,omitempty"`
}

// Config is the CORS configuration of a bucket; the first rule that fits counts.
// A nil *Config is the default.
type Config struct {
	XMLName xml.Name `json:"-"`
	Rules   []Rule   `xml:"CORSRule" json:"rules"`
}

// Methods are those that a rule may allow.
func Methods() []string { return []string{"GET", "PUT", "HEAD", "POST", "DELETE"} }

// exposed are the headers of answers that scripts may read by default. "*" is
// all of them, x-amz-meta-* too, to browsers that know it; the rest is for those
// that do not.
const exposed = "*, ETag, Content-Length, Content-Range, Accept-Ranges, Last-Modified, Location, Age, Cache-Status, Server-Timing, " +
	"x-amz-version-id, x-amz-request-id, x-amz-id-2, x-amz-delete-marker, x-amz-checksum-crc32, x-amz-checksum-crc32c, " +
	"x-amz-checksum-crc64nvme, x-amz-checksum-sha1, x-amz-checksum-sha256, x-amz-checksum-type, x-amz-mp-parts-count, " +
	"x-amz-tagging-count, x-amz-object-lock-mode, x-amz-object-lock-retain-until-date, x-amz-object-lock-legal-hold, " +
	"x-amz-replication-status, x-meridian-region, x-meridian-seq"

// exposedBriefly is the same to browsers since 2019 (Chrome 65, Firefox 69, Safari
// 13); older ones read ETag, by which downloads are gone on with.
const exposedBriefly = "*, ETag"

// RefusedError says in the words of S3 why a configuration or a preflight is refused.
type RefusedError string

func (r RefusedError) Error() string { return string(r) }

// ErrSchema wraps a refusal of a configuration that its schema has ruled out.
var ErrSchema = errors.New("not as the schema has it")

// The ways in which a preflight is refused.
const (
	ErrNoOrigin  RefusedError = "Insufficient information. Origin request header needed."
	ErrMethod    RefusedError = "Invalid Access-Control-Request-Method"
	ErrForbidden RefusedError = "CORSResponse: This CORS request is not allowed. This is usually because the evalution of Origin, request method / Access-Control-Request-Method or Access-Control-Request-Headers are not whitelisted by the resource's CORS spec."
)

func refuse(format string, args ...any) error { return RefusedError(fmt.Sprintf(format, args...)) }

// Parse reads a configuration that was kept as JSON. Nothing is nil, the default.
func Parse(document json.RawMessage) (*Config, error) {
	if len(document) == 0 || string(document) == "null" {
		return nil, nil //nolint:nilnil // nil is the default
	}
	var c Config
	if err := json.Unmarshal(document, &c); err != nil {
		return nil, fmt.Errorf("CORS configuration: %w", err)
	}
	return &c, nil
}

// Check refuses what S3 refuses, in its words.
func (c *Config) Check() error {
	if len(c.Rules) == 0 || len(c.Rules) > maxRules {
		return fmt.Errorf("%w: %w", ErrSchema, refuse("The number of CORS rules should not be less than 1 or exceed the allowed limit of %d rules.", maxRules))
	}
	for _, r := range c.Rules {
		if err := r.check(); err != nil {
			return err
		}
	}
	return nil
}

func (r *Rule) check() error {
	if len(r.AllowedMethods) == 0 || len(r.AllowedOrigins) == 0 {
		return fmt.Errorf("%w: %w", ErrSchema, refuse("A CORS rule needs at least one AllowedMethod and one AllowedOrigin."))
	}
	if len(r.ID) > maxID {
		return refuse("The ID of a CORS rule may have up to %d characters.", maxID)
	}
	for _, m := range r.AllowedMethods {
		if !slices.Contains(Methods(), m) {
			return refuse("Found unsupported HTTP method in CORS config. Unsupported method is %.40s", m)
		}
	}
	for what, list := range map[string][]string{"AllowedOrigin": r.AllowedOrigins, "AllowedHeader": r.AllowedHeaders} {
		for _, pattern := range list {
			if strings.Count(pattern, "*") > 1 {
				return refuse("%s \"%.100s\" can not have more than one wildcard.", what, pattern)
			}
			if !printable(pattern) {
				return refuse("%s \"%.100s\" contains invalid character.", what, pattern)
			}
		}
	}
	for _, h := range r.ExposeHeaders {
		if strings.Contains(h, "*") {
			return refuse("ExposeHeader \"%.100s\" contains wildcard. We currently do not support wildcard for ExposeHeader.", h)
		}
		if !printable(h) || strings.ContainsAny(h, ", ") {
			return refuse("ExposeHeader %.100q is not the name of a header.", h)
		}
	}
	return nil
}

// printable says whether s can stand in a header.
func printable(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' })
}

// isToken says whether s is the name of a header (RFC 9110, section 5.1).
func isToken(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool {
		return r <= ' ' || r > '~' || strings.ContainsRune("\"(),/:;<=>?@[\\]{}", r)
	})
}

// Actual sets on h, the header of an answer to r that is no preflight, what lets
// the page read it. By default that is the same for every request, so that
// caches need not tell them apart. A request that asks as a
// preflight does, which no browser's own does, gets the rule that it asks for, as
// on S3.
func (c *Config) Actual(h http.Header, r *http.Request) { c.actual(h, r, exposed) }

// Brief is Actual for edges, whose every answer has these headers, asked for by a
// page or not: names for old browsers would be more bytes than the rest of the
// head, and of a small object than its body.
func (c *Config) Brief(h http.Header, r *http.Request) { c.actual(h, r, exposedBriefly) }

func (c *Config) actual(h http.Header, r *http.Request, exposed string) {
	if c == nil {
		h.Set("Access-Control-Allow-Origin", "*")
		h.Set("Access-Control-Expose-Headers", exposed)
		return
	}
	vary(h)
	origin := r.Header.Get("Origin")
	if origin == "" {
		return
	}
	method, requested := r.Method, []string(nil)
	if asked := r.Header.Get("Access-Control-Request-Method"); asked != "" {
		var err error
		if requested, err = headerNames(r.Header.Values("Access-Control-Request-Headers")); err != nil {
			return
		}
		method = asked
	}
	if rule, allowed := c.find(origin, method, requested); rule != nil {
		rule.write(h, origin, allowed)
	}
}

// Preflight answers r, an OPTIONS request, on h: the status is 200 then. Else it
// says why not.
func (c *Config) Preflight(h http.Header, r *http.Request) error {
	origin, method := r.Header.Get("Origin"), r.Header.Get("Access-Control-Request-Method")
	if origin == "" {
		return ErrNoOrigin
	}
	if !slices.Contains(Methods(), method) {
		return ErrMethod
	}
	requested, err := headerNames(r.Header.Values("Access-Control-Request-Headers"))
	if err != nil {
		return err
	}
	vary(h)
	if c == nil {
		h.Set("Access-Control-Allow-Origin", "*")
		h.Set("Access-Control-Allow-Methods", "GET, HEAD, PUT, POST, DELETE")
		h.Set("Access-Control-Max-Age", strconv.Itoa(DefaultMaxAge))
		h.Set("Access-Control-Expose-Headers", exposed)
		if len(requested) > 0 {
			h.Set("Access-Control-Allow-Headers", strings.Join(requested, ", "))
		}
		return nil
	}
	rule, allowed := c.find(origin, method, requested)
	if rule == nil {
		return ErrForbidden
	}
	rule.write(h, origin, allowed)
	if len(requested) > 0 {
		h.Set("Access-Control-Allow-Headers", strings.Join(requested, ", "))
	}
	return nil
}

// headerNames reads the lists of Access-Control-Request-Headers, in lower case.
func headerNames(lists []string) ([]string, error) {
	var names []string
	for _, list := range lists {
		for name := range strings.SplitSeq(list, ",") {
			trimmed := strings.ToLower(strings.TrimSpace(name))
			if trimmed == "" {
				continue
			}
			if !isToken(trimmed) {
				return nil, refuse("Access-Control-Request-Headers \"%.100s\" contains invalid character.", name)
			}
			if len(names) == maxRequested {
				return nil, ErrForbidden
			}
			names = append(names, trimmed)
		}
	}
	return names, nil
}

// find is the first rule that lets origin send method with the headers, and the
// pattern of it that fits origin.
func (c *Config) find(origin, method string, headers []string) (*Rule, string) {
	for i := range c.Rules {
		r := &c.Rules[i]
		at := slices.IndexFunc(r.AllowedOrigins, func(p string) bool { return match(p, origin) })
		if at < 0 || !slices.Contains(r.AllowedMethods, method) {
			continue
		}
		if slices.ContainsFunc(headers, func(name string) bool { return !r.allows(name) }) {
			continue
		}
		return r, r.AllowedOrigins[at]
	}
	return nil, ""
}

func (r *Rule) allows(header string) bool {
	return slices.ContainsFunc(r.AllowedHeaders, func(p string) bool { return match(strings.ToLower(p), header) })
}

// match compares with a pattern that holds at most one *.
func match(pattern, s string) bool {
	before, after, wild := strings.Cut(pattern, "*")
	if !wild {
		return pattern == s
	}
	return len(s) >= len(before)+len(after) && strings.HasPrefix(s, before) && strings.HasSuffix(s, after)
}

// write tells what the rule allows. A rule for every origin names none, and so
// takes no credentials.
func (r *Rule) write(h http.Header, origin, pattern string) {
	if pattern == "*" {
		h.Set("Access-Control-Allow-Origin", "*")
	} else {
		h.Set("Access-Control-Allow-Origin", origin)
		h.Set("Access-Control-Allow-Credentials", "true")
	}
	h.Set("Access-Control-Allow-Methods", strings.Join(r.AllowedMethods, ", "))
	expose := r.ExposeHeaders
	if !slices.ContainsFunc(expose, func(name string) bool { return strings.EqualFold(name, "ETag") }) {
		expose = append(slices.Clone(expose), "ETag") // without which a page cannot complete an upload by parts
	}
	h.Set("Access-Control-Expose-Headers", strings.Join(expose, ", "))
	if r.MaxAgeSeconds != nil {
		h.Set("Access-Control-Max-Age", strconv.Itoa(*r.MaxAgeSeconds))
	}
}

// vary says that the answer depends on who asks.
func vary(h http.Header) {
	const fields = "Origin, Access-Control-Request-Headers, Access-Control-Request-Method"
	if !slices.Contains(h.Values("Vary"), fields) {
		h.Add("Vary", fields)
	}
}
