package sigv4

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Verifier checks the signatures of requests. It may be used at once by many.
type Verifier struct {
	Keys KeyFunc
	// Regions are accepted in scopes; DefaultRegion always is. The first is
	// named to clients that used another. An empty one accepts scopes without.
	Regions []string
	Service string // DefaultService if empty
	// Payload is the hexadecimal SHA-256 of the body for a request that does not
	// tell it: services other than S3 do not ask for X-Amz-Content-Sha256. Empty
	// where it has to.
	Payload string
	Now     func() time.Time // time.Now if nil
}

// Auth is a request whose signature holds.
type Auth struct {
	AccessKey string
	Scope     Scope
	Presigned bool
	// Time is when the request was signed; Expires, of a presigned one, is
	// when it ends.
	Time    time.Time
	Expires time.Time
	// PayloadHash is X-Amz-Content-Sha256 as it was signed: a hexadecimal
	// SHA-256 or one of the constants of this package.
	PayloadHash   string
	SecurityToken string // X-Amz-Security-Token, not looked at
	SignedHeaders string // lower case, joined by ";"

	key       []byte // signing key
	signature string // seeds the chain of chunk signatures
	bodyHash  string // SHA-256 that the body must have, if not empty
	trailer   http.Header
}

// Verify checks the credentials of r: their form, scope, dates and signature.
// It reads nothing of the body; what the signature says of the body is checked
// by reading it through Auth.Body.
func (v *Verifier) Verify(r *http.Request) (*Auth, error) {
	c, err := claimOf(r)
	if err != nil {
		return nil, err
	}
	if err := v.checkScope(&c.Scope, c.place); err != nil {
		return nil, err
	}
	now := v.now()
	a := &Auth{
		AccessKey: c.AccessKey, Scope: c.Scope, Presigned: c.place == inQuery,
		SecurityToken: c.token, SignedHeaders: c.signed, signature: c.signature,
	}
	if a.SecurityToken == "" {
		a.SecurityToken = r.Header.Get("X-Amz-Security-Token")
	}
	if a.Presigned {
		err = a.checkPresigned(&c, now)
	} else {
		err = a.checkDate(r, now)
	}
	if err != nil {
		return nil, err
	}
	if err := a.choosePayload(r, &c, v.Payload); err != nil {
		return nil, err
	}
	if err := checkUnsigned(r, &c); err != nil {
		return nil, err
	}
	keyed := c.Scope
	keyed.Token = a.SecurityToken
	if a.key, err = v.Keys(r.Context(), keyed); err != nil {
		return nil, keyError(err, c.AccessKey)
	}
	if err := a.checkSignature(r, &c); err != nil {
		return nil, err
	}
	return a, nil
}

// VerifyPolicy checks the signature of a POST policy: credential, date and
// signature are the form's x-amz-credential, x-amz-date and x-amz-signature,
// policy its base64 document as it came. What the policy allows and when it
// expires is the caller's to check.
func (v *Verifier) VerifyPolicy(ctx context.Context, credential, date, policy, signature string) (*Auth, error) {
	c := claim{place: inForm}
	err := c.parseCredential(credential)
	if err == nil {
		err = v.checkScope(&c.Scope, inForm)
	}
	var bad *Error
	if errors.As(err, &bad) {
		return nil, bad.with("ArgumentName", "x-amz-credential").with("ArgumentValue", credential)
	}
	t, err := time.Parse(timeFormat, date)
	if err != nil || date[:len(shortFormat)] != c.Date {
		return nil, malformed(inForm, "X-Amz-Date must be formated via ISO8601 Long format").with("ArgumentName", "X-Amz-Date").with("ArgumentValue", date)
	}
	key, err := v.Keys(ctx, c.Scope)
	if err != nil {
		return nil, keyError(err, c.AccessKey)
	}
	if !sameSignature(key, []byte(policy), signature) {
		return nil, mismatch(c.AccessKey, policy, "", signature)
	}
	return &Auth{
		AccessKey: c.AccessKey, Scope: c.Scope, Time: t,
		PayloadHash: UnsignedPayload, key: key, signature: signature,
	}, nil
}

func (v *Verifier) now() time.Time {
	if v.Now != nil {
		return v.Now()
	}
	return time.Now()
}

// claimOf reads the credentials of r, wherever they are.
func claimOf(r *http.Request) (claim, error) {
	header, query := r.Header.Get("Authorization"), rawQuery(r)
	kind := queryAuth(query)
	switch {
	case header != "" && kind != authNone || len(r.Header["Authorization"]) > 1:
		return claim{}, refuse(ErrSeveralMechanisms, "InvalidArgument",
			"Only one auth mechanism allowed; only the X-Amz-Algorithm query parameter, Signature query string parameter or the Authorization header should be specified")
	case header != "":
		return parseHeader(header)
	case kind == authV4:
		return parseQuery(query)
	case kind == authV2:
		return claim{}, unsupportedVersion()
	}
	return claim{}, refuse(ErrNoCredentials, "AccessDenied", "Access Denied")
}

func (v *Verifier) checkScope(s *Scope, p place) error {
	service := v.Service
	if service == "" {
		service = DefaultService
	}
	if s.Service != service {
		return badCredential(p, "incorrect service %q. This endpoint belongs to %q.", s.Service, service)
	}
	if s.Region != DefaultRegion && !slices.Contains(v.Regions, s.Region) {
		if s.Region == "" {
			return badCredential(p, expecting)
		}
		expected := DefaultRegion
		if len(v.Regions) > 0 {
			expected = v.Regions[0]
		}
		e := badCredential(p, "the region %q is wrong; expecting %q", s.Region, expected)
		e.Region = expected
		return e
	}
	if _, err := time.Parse(shortFormat, s.Date); err != nil {
		return badCredential(p, "incorrect date format %q. This date in the credential must be in the format \"yyyyMMdd\".", s.Date)
	}
	return nil
}

// checkDate reads X-Amz-Date, else Date, which must be near now and of the day
// of the scope.
func (a *Auth) checkDate(r *http.Request, now time.Time) error {
	date := r.Header.Get("X-Amz-Date")
	if date == "" {
		date = r.Header.Get("Date")
	}
	t, err := parseDate(date)
	if err != nil {
		return refuse(ErrMissingDate, "AccessDenied", "AWS authentication requires a valid Date or x-amz-date header.")
	}
	a.Time = t.UTC()
	if skew := now.Sub(t); skew > MaxSkew || skew < -MaxSkew {
		return refuse(ErrSkewed, "RequestTimeTooSkewed", "The difference between the request time and the current time is too large.").
			with("RequestTime", date).with("ServerTime", now.UTC().Format(time.RFC3339)).
			with("MaxAllowedSkewMilliseconds", strconv.FormatInt(MaxSkew.Milliseconds(), 10))
	}
	return a.checkDay(date)
}

// parseDate reads a date as AWS writes it, as HTTP does, or with an offset in
// place of GMT, as boto3 does where a Date is set.
func parseDate(s string) (time.Time, error) {
	if t, err := time.Parse(timeFormat, s); err == nil {
		return t, nil
	}
	if t, err := http.ParseTime(s); err == nil {
		return t, nil
	}
	return time.Parse(time.RFC1123Z, s)
}

func (a *Auth) place() place {
	if a.Presigned {
		return inQuery
	}
	return inHeader
}

func (a *Auth) checkDay(date string) error {
	var day [len(shortFormat)]byte
	if string(a.Time.AppendFormat(day[:0], shortFormat)) != a.Scope.Date {
		return malformed(a.place(), "Invalid credential date %q. This date is not the same as X-Amz-Date: %q.", a.Scope.Date, date)
	}
	return nil
}

func (a *Auth) checkPresigned(c *claim, now time.Time) error {
	t, err := time.Parse(timeFormat, c.date)
	if err != nil {
		return malformed(inQuery, "X-Amz-Date must be in the ISO8601 Long Format \"yyyyMMdd'T'HHmmss'Z'\"")
	}
	a.Time, a.Expires = t, t.Add(c.expires)
	if err := a.checkDay(c.date[:len(shortFormat)]); err != nil {
		return err
	}
	if now.Before(t.Add(-MaxSkew)) {
		return refuse(ErrNotYetValid, "AccessDenied", "Request is not valid yet.")
	}
	if now.After(a.Expires) || c.expires == 0 {
		return refuse(ErrExpired, "AccessDenied", "Request has expired.").
			with("X-Amz-Expires", strconv.FormatInt(int64(c.expires/time.Second), 10)).
			with("Expires", a.Expires.UTC().Format(time.RFC3339)).with("ServerTime", now.UTC().Format(time.RFC3339))
	}
	return nil
}

// choosePayload finds the payload hash that was signed, and the one that the
// body is held to.
func (a *Auth) choosePayload(r *http.Request, c *claim, untold string) error {
	header := r.Header.Get("X-Amz-Content-Sha256")
	if a.PayloadHash = header; header == "" && !a.Presigned {
		a.PayloadHash = untold
	}
	if a.Presigned {
		switch {
		case c.payload != "":
			a.PayloadHash = c.payload
		case header == "" || c.signs("x-amz-content-sha256") == 0:
			if a.PayloadHash = UnsignedPayload; !couldHash(header) {
				return mismatch(c.AccessKey, "", "", c.signature) // nobody signed that
			}
		}
	}
	switch a.PayloadHash {
	case "":
		return refuse(ErrInvalidContentSHA256, "InvalidRequest", "Missing required header for this request: x-amz-content-sha256")
	case UnsignedPayload:
		// A presigned URL does not bind the body, but a client that sends the
		// body's hash beside it means it.
		if header != UnsignedPayload && isSHA256(header) {
			a.bodyHash = header
		}
	case StreamingPayload, StreamingPayloadTrailer, StreamingUnsignedTrailer:
	default:
		if !isSHA256(a.PayloadHash) {
			return refuse(ErrInvalidContentSHA256, "InvalidArgument",
				"x-amz-content-sha256 must be %s, %s, %s, %s, STREAMING-%s-PAYLOAD, STREAMING-%s-PAYLOAD-TRAILER or a valid sha256 value.",
				UnsignedPayload, StreamingUnsignedTrailer, StreamingPayload, StreamingPayloadTrailer, asymmetric, asymmetric).
				with("ArgumentName", "x-amz-content-sha256").with("ArgumentValue", a.PayloadHash)
		}
		a.bodyHash = a.PayloadHash
	}
	return nil
}

// couldHash says whether a header that no signature covers may stand beside a
// presigned URL. Of those of streams checkUnsigned tells.
func couldHash(header string) bool {
	return header == "" || header == UnsignedPayload || isSHA256(header) || strings.HasPrefix(header, "STREAMING-")
}

func isSHA256(s string) bool {
	if len(s) != hex.EncodedLen(sha256.Size) {
		return false
	}
	for i := range len(s) {
		if fromHex(s[i]) < 0 {
			return false
		}
	}
	return true
}

// checkUnsigned refuses a request that carries x-amz-* headers outside the
// signature: anybody on the way may have added them. The payload hash is the
// exception, since it is signed as the last line of the canonical request; in a
// presigned request without it there, it can but refuse a body.
func checkUnsigned(r *http.Request, c *claim) error {
	var unsigned []string
	for name := range r.Header {
		if len(name) < 6 || !strings.EqualFold(name[:6], "x-amz-") || c.signs(name) > 0 {
			continue
		}
		if strings.EqualFold(name, "x-amz-content-sha256") {
			if c.place != inQuery || !strings.HasPrefix(r.Header.Get(name), "STREAMING-") {
				continue
			}
		}
		unsigned = append(unsigned, strings.ToLower(name))
	}
	if len(unsigned) == 0 {
		return nil
	}
	slices.Sort(unsigned)
	e := refuse(ErrUnsignedHeaders, "AccessDenied", "There were headers present in the request which were not signed")
	e.Headers = strings.Join(unsigned, ", ")
	return e
}

// checkSignature computes the signature of r and compares.
func (a *Auth) checkSignature(r *http.Request, c *claim) error {
	var space [2048]byte // most requests need no more
	canonical, ok := appendCanonical(space[:0], r, rawQuery(r), c.signed, a.PayloadHash)
	if !ok {
		return refuse(ErrMalformed, "InvalidURI", "Couldn't parse the specified URI.")
	}
	var toSign [256]byte
	sts := appendStringToSign(toSign[:0], a.Time, c.Scope, canonical)
	if !sameSignature(a.key, sts, c.signature) {
		return mismatch(c.AccessKey, string(sts), string(canonical), c.signature)
	}
	return nil
}

// appendCanonical appends the canonical request.
func appendCanonical(b []byte, r *http.Request, query, signed, payloadHash string) ([]byte, bool) {
	b = append(append(b, r.Method...), '\n')
	b, okPath := appendPath(b, r)
	b, okQuery := appendQuery(append(b, '\n'), query)
	b = append(b, '\n')
	for name := range strings.SplitSeq(signed, ";") {
		b = appendHeader(b, r, name)
	}
	b = append(append(b, '\n'), signed...)
	b = append(append(b, '\n'), payloadHash...)
	return b, okPath && okQuery
}

// appendStringToSign appends the string to sign of a canonical request.
func appendStringToSign(b []byte, t time.Time, s Scope, canonical []byte) []byte {
	b = append(b, algorithm+"\n"...)
	b = append(t.AppendFormat(b, timeFormat), '\n')
	b = append(s.appendTo(b), '\n')
	sum := sha256.Sum256(canonical)
	return hex.AppendEncode(b, sum[:])
}

// sameSignature compares in constant time.
func sameSignature(key, data []byte, signature string) bool {
	var want [2 * sha256.Size]byte
	hex.Encode(want[:], hmacSHA256(key, data))
	return hmac.Equal(want[:], []byte(signature))
}

// mismatch tells all that was compared, which holds no secret. canonical is empty
// where there is no canonical request.
func mismatch(accessKey, stringToSign, canonical, provided string) *Error {
	e := refuse(ErrSignatureMismatch, "SignatureDoesNotMatch",
		"The request signature we calculated does not match the signature you provided. Check your key and signing method.")
	e.AccessKey, e.StringToSign, e.CanonicalRequest = accessKey, stringToSign, canonical
	e = e.with("SignatureProvided", provided).with("StringToSignBytes", spacedHex(stringToSign))
	if canonical != "" {
		e = e.with("CanonicalRequestBytes", spacedHex(canonical))
	}
	return e
}

// spacedHex is s in hexadecimal, byte by byte, as S3 shows what it signed.
func spacedHex(s string) string {
	if s == "" {
		return ""
	}
	return fmt.Sprintf("% x", s)
}
