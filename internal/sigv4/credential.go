package sigv4

import (
	"net/url"
	"strconv"
	"strings"
	"time"
)

// place is where a request carries its credentials.
type place int

const (
	inHeader place = iota
	inQuery        // of a presigned URL
	inForm         // of a POST
)

// claim is what a request says of its own signature.
type claim struct {
	Scope
	place     place
	signed    string // names of signed headers, lower case, joined by ";"
	signature string // 64 lower-case hexadecimal digits

	// Of presigned requests only.
	date    string
	expires time.Duration
	payload string // X-Amz-Content-Sha256 where the query has it
	token   string
}

// parseHeader reads an Authorization header. Spaces around its elements and
// their order do not matter.
func parseHeader(h string) (claim, error) {
	var c claim
	scheme, rest, ok := strings.Cut(strings.Trim(h, " \t"), " ")
	switch {
	case scheme == algorithm:
	case scheme == "AWS" && ok:
		return c, unsupportedVersion()
	case !ok:
		return c, badAuthorization(h, "Authorization header is invalid -- one and only one ' ' (space) required.")
	default:
		return c, badAuthorization(scheme, "Unsupported Authorization Type")
	}
	fields, err := headerFields(rest)
	if err != nil {
		return c, err
	}
	credential := fields["Credential"]
	c.signed, c.signature = fields["SignedHeaders"], fields["Signature"]
	for _, name := range []string{"Credential", "SignedHeaders", "Signature"} {
		if fields[name] == "" {
			return c, malformed(inHeader, "missing %s.", name)
		}
	}
	if err := c.parseCredential(credential); err != nil {
		return c, err
	}
	return c, c.check()
}

// headerFields are the elements of an Authorization header behind its scheme.
func headerFields(list string) (map[string]string, error) {
	fields := map[string]string{}
	for element := range strings.SplitSeq(list, ",") {
		if element = strings.Trim(element, " \t"); element == "" {
			continue
		}
		name, value, ok := strings.Cut(element, "=")
		name = strings.TrimRight(name, " \t")
		if _, twice := fields[name]; !ok || twice {
			return nil, malformed(inHeader, "the authorization component %q is malformed.", element)
		}
		fields[name] = strings.TrimLeft(value, " \t")
	}
	if len(fields) != 3 {
		return nil, malformed(inHeader, "the authorization header requires three components: Credential, SignedHeaders, and Signature.")
	}
	return fields, nil
}

// unsupportedVersion refuses Signature Version 2.
func unsupportedVersion() *Error {
	return refuse(ErrUnsupportedAlgorithm, "InvalidRequest",
		"The authorization mechanism you have provided is not supported. Please use %s.", algorithm)
}

const expecting = "the Credential is mal-formed; expecting \"<YOUR-AKID>/YYYYMMDD/REGION/SERVICE/aws4_request\"."

// parseCredential reads "access-key/date/region/service/aws4_request", from the
// right since access keys may hold slashes.
func (c *claim) parseCredential(s string) error {
	several := strings.Count(s, "/") != 4
	var fields [4]string
	for i := range fields {
		cut := strings.LastIndexByte(s, '/')
		if cut < 0 {
			return badCredential(c.place, expecting)
		}
		fields[i], s = s[cut+1:], s[:cut]
	}
	switch {
	case fields[0] != terminator && several, s == "", fields[1] == "":
		return badCredential(c.place, expecting)
	case fields[0] != terminator:
		return badCredential(c.place, "incorrect terminal %q. This endpoint uses %q.", fields[0], terminator)
	}
	c.Scope = Scope{AccessKey: s, Service: fields[1], Region: fields[2], Date: fields[3]}
	return nil
}

// check refuses what could not have come from a signer.
func (c *claim) check() error {
	if len(c.signature) != 64 {
		return malformed(c.place, "the Signature must have 64 hexadecimal digits.")
	}
	for i := range len(c.signature) {
		if d := c.signature[i]; fromHex(d) < 0 || d >= 'A' && d <= 'F' {
			return malformed(c.place, "the Signature must be lower-case hexadecimal.")
		}
	}
	seen := 0
	for name := range strings.SplitSeq(c.signed, ";") {
		if !headerName(name) {
			return malformed(c.place, "SignedHeaders must be lower-case names joined by semicolons.")
		}
		if c.signs(name) > 1 {
			return malformed(c.place, "SignedHeaders names %q twice.", name)
		}
		if seen++; seen > maxSignedHeaders {
			return malformed(c.place, "SignedHeaders names more than %d headers.", maxSignedHeaders)
		}
	}
	if c.signs("host") == 0 {
		e := refuse(ErrUnsignedHeaders, "AccessDenied", "There were headers present in the request which were not signed")
		e.Headers = "host"
		return e
	}
	return nil
}

// maxSignedHeaders bounds what a request without a valid signature may cost.
const maxSignedHeaders = 128

// signs counts how often the header, in whatever case, is among the signed.
func (c *claim) signs(name string) (n int) {
	for signed := range strings.SplitSeq(c.signed, ";") {
		if len(signed) == len(name) && strings.EqualFold(signed, name) {
			n++
		}
	}
	return n
}

// headerName reports whether s is a header name (RFC 9110, section 5.1) in
// lower case.
func headerName(s string) bool {
	for i := range len(s) {
		c := s[i]
		alnum := c >= 'a' && c <= 'z' || c >= '0' && c <= '9'
		if !alnum && strings.IndexByte("!#$%&'*+-.^_`|~", c) < 0 {
			return false
		}
	}
	return s != ""
}

// Kinds of credentials in a query.
type authKind int

const (
	authNone authKind = iota
	authV4
	authV2
)

// queryAuth says which kind of credentials a raw query holds.
func queryAuth(query string) authKind {
	kind := authNone
	for query != "" {
		var param string
		param, query, _ = strings.Cut(query, "&")
		name, _, _ := strings.Cut(param, "=")
		switch name {
		case "X-Amz-Algorithm", "X-Amz-Credential", "X-Amz-Signature":
			return authV4
		case "AWSAccessKeyId":
			kind = authV2
		}
	}
	return kind
}

// parseQuery reads the credentials of a presigned URL.
func parseQuery(query string) (claim, error) {
	c := claim{place: inQuery}
	var alg, credential, expires string
	for query != "" {
		var param string
		param, query, _ = strings.Cut(query, "&")
		name, value, _ := strings.Cut(param, "=")
		var field *string
		switch name {
		case "X-Amz-Algorithm":
			field = &alg
		case "X-Amz-Credential":
			field = &credential
		case "X-Amz-Date":
			field = &c.date
		case "X-Amz-Expires":
			field = &expires
		case "X-Amz-SignedHeaders":
			field = &c.signed
		case "X-Amz-Signature":
			field = &c.signature
		case "X-Amz-Security-Token":
			field = &c.token
		case "X-Amz-Content-Sha256":
			field = &c.payload
		default:
			continue
		}
		decoded, err := url.QueryUnescape(value)
		if err != nil || decoded == "" || *field != "" {
			return c, malformed(inQuery, "Query-string authentication requires %s once and not empty.", name)
		}
		*field = decoded
	}
	switch {
	case alg == "", alg == algorithm:
	case alg == asymmetric:
		return c, malformed(inQuery, "X-Amz-Algorithm only supports \"%s\"", algorithm)
	default:
		return c, malformed(inQuery, "X-Amz-Algorithm only supports \"%s and %s\"", algorithm, asymmetric)
	}
	if alg == "" || credential == "" || c.signature == "" || c.date == "" || c.signed == "" || expires == "" {
		return c, malformed(inQuery, "Query-string authentication version 4 requires the X-Amz-Algorithm, X-Amz-Credential, X-Amz-Signature, X-Amz-Date, X-Amz-SignedHeaders, and X-Amz-Expires parameters.")
	}
	seconds, err := strconv.ParseInt(expires, 10, 64)
	switch {
	case err != nil:
		return c, malformed(inQuery, "X-Amz-Expires should be a number")
	case seconds < 0: // one of 0 is well formed, and has expired
		return c, malformed(inQuery, "X-Amz-Expires must be non-negative")
	case seconds > int64(MaxExpires/time.Second):
		return c, malformed(inQuery, "X-Amz-Expires must be less than a week (in seconds); that is, the given X-Amz-Expires must be less than %d seconds", MaxExpires/time.Second)
	}
	c.expires = time.Duration(seconds) * time.Second
	if err := c.parseCredential(credential); err != nil {
		return c, err
	}
	return c, c.check()
}
