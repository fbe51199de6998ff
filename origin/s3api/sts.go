package s3api

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"mime"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"meridian/internal/iam"
	"meridian/internal/session"
	"meridian/internal/sigv4"
	"meridian/metadata/access"
)

const (
	stsNamespace = "https://sts.amazonaws.com/doc/2011-06-15/"
	stsVersion   = "2011-06-15"
	stsService   = "sts"
	// maxSTSForm is the greatest body of a request for temporary credentials.
	maxSTSForm = 64 << 10

	shortestSession = 15 * time.Minute
	// longestRole is how long credentials of AssumeRole are good for at most;
	// those of GetSessionToken session.Longest.
	longestRole    = 12 * time.Hour
	defaultRole    = time.Hour
	defaultSession = 12 * time.Hour
)

// stsActions are what the endpoint knows of the Security Token Service.
var stsActions = map[string]func(*call, url.Values) (*document, error){
	"AssumeRole":        (*call).assumeRole,
	"GetSessionToken":   (*call).getSessionToken,
	"GetCallerIdentity": (*call).getCallerIdentity,
}

// tokenService answers POST / as the Security Token Service does: with temporary
// credentials for who has an access key. Its requests are signed for the service
// sts, and name their action in a form.
//
// https://docs.aws.amazon.com/STS/latest/APIReference/
func (c *call) tokenService() error {
	form, err := c.readSTS()
	if err != nil {
		return stsError(err)
	}
	action := form.Get("Action")
	run := stsActions[action]
	if version := form.Get("Version"); run == nil || version != stsVersion && version != "" {
		return refuse(errInvalidAction, "Could not find operation %.60s for version %.20s", asUTF8(action), asUTF8(version))
	}
	c.op = &operation{action, c.op.access, c.op.run}
	d, err := run(c, form)
	if err != nil {
		return stsError(err)
	}
	d.start("ResponseMetadata")
	d.elem("RequestId", c.requestID)
	d.end("ResponseMetadata")
	return c.w.sendXML(d)
}

// readSTS reads the form and finds out who sent it.
func (c *call) readSTS() (url.Values, error) {
	if !sigv4.Present(c.r) {
		return nil, errMissingAuthToken
	}
	if kind, _, err := mime.ParseMediaType(c.r.Header.Get("Content-Type")); err != nil || kind != "application/x-www-form-urlencoded" {
		return nil, refuse(errValidation, "Content-Type must be application/x-www-form-urlencoded")
	}
	sent := &stallReader{ReadCloser: c.r.Body, ctl: c.w.ctl, stall: c.opts.Stall, metrics: c.w.metrics}
	body, err := io.ReadAll(io.LimitReader(sent, maxSTSForm+1))
	if err != nil {
		return nil, err
	}
	if len(body) > maxSTSForm {
		return nil, refuse(errValidation, "The request has more than %d bytes", maxSTSForm)
	}
	sum := sha256.Sum256(body)
	v := sigv4.Verifier{
		// Some signers of this service leave the region out.
		Regions: append(slices.Clone(c.opts.Regions()), ""), Service: stsService, Payload: hex.EncodeToString(sum[:]), Now: c.opts.Now,
	}
	var who identity
	v.Keys = func(ctx context.Context, s sigv4.Scope) (key []byte, err error) {
		who, key, err = c.signingKey(ctx, s)
		return key, err
	}
	auth, err := v.Verify(c.r)
	if err != nil {
		return nil, fmt.Errorf("verify signature: %w", err)
	}
	if !strings.EqualFold(auth.PayloadHash, v.Payload) {
		return nil, refuse(errSignatureDoesNotMatch, "The signature must cover the body, which it does not")
	}
	form, err := url.ParseQuery(string(body))
	switch {
	case err != nil:
		return nil, refuse(errValidation, "The request is not a form")
	case who.node:
		return nil, errAccessDenied
	}
	c.who, c.auth = who, auth
	return form, nil
}

// newSTSDocument begins the answer of an action.
func newSTSDocument(action string) *document {
	return newDocumentIn(stsNamespace, action+"Response")
}

// getSessionToken gives credentials with the rights of the key that asks.
func (c *call) getSessionToken(form url.Values) (*document, error) {
	creds, err := c.beginSession(form, "", "", defaultSession, session.Longest)
	if err != nil {
		return nil, err
	}
	d := newSTSDocument("GetSessionToken")
	d.group("GetSessionTokenResult", func() { writeCredentials(d, creds) })
	return d, nil
}

var sessionNames = regexp.MustCompile(`^[\w+=,.@-]{2,64}$`)

// assumeRole gives credentials with the rights of the key that asks, within a
// policy if the request has one. There are no roles that could give others, so
// that it does not matter which is named.
func (c *call) assumeRole(form url.Values) (*document, error) {
	name := form.Get("RoleSessionName")
	if name == "" {
		name = "session"
	}
	if !sessionNames.MatchString(name) {
		return nil, refuse(errValidation, "RoleSessionName must have 2 to 64 letters, digits and +=,.@-")
	}
	if role := form.Get("RoleArn"); role != "" && !strings.HasPrefix(role, "arn:") {
		return nil, refuse(errValidation, "%.60s is invalid: RoleArn must be an ARN", asUTF8(role))
	}
	var policy string
	if text := form.Get("Policy"); text != "" {
		if !strings.HasPrefix(strings.TrimSpace(text), "{") {
			return nil, refuse(errMalformedPolicyDocument, "Policies must be valid JSON and the first byte must be '{'")
		}
		short, err := access.IdentityPolicy([]byte(text), access.MaxSessionPolicy)
		if err != nil {
			return nil, refuse(errMalformedPolicyDocument, "%s", err)
		}
		policy = string(short)
	}
	creds, err := c.beginSession(form, name, policy, defaultRole, longestRole)
	if err != nil {
		return nil, err
	}
	d := newSTSDocument("AssumeRole")
	d.start("AssumeRoleResult")
	d.group("AssumedRoleUser", func() {
		d.elem("Arn", assumedRole(c.who.User, name))
		d.elem("AssumedRoleId", c.who.User+":"+name)
	})
	writeCredentials(d, creds)
	if policy != "" {
		d.number("PackedPolicySize", int64(len(policy)*100/access.MaxSessionPolicy))
	}
	d.end("AssumeRoleResult")
	return d, nil
}

// unknownToSTS are parameters that would limit whom or what the credentials are
// for, in ways that there are none of here.
var unknownToSTS = []string{"PolicyArns", "SerialNumber", "TokenCode", "ProvidedContexts"}

// beginSession makes credentials of the key that asks. They end with it at the
// latest.
func (c *call) beginSession(form url.Values, name, policy string, usual, longest time.Duration) (session.Credentials, error) {
	for param := range form {
		if first, _, _ := strings.Cut(param, "."); slices.Contains(unknownToSTS, first) {
			return session.Credentials{}, refuse(errValidation, "%s is not supported", first)
		}
	}
	if c.who.session != nil {
		return session.Credentials{}, refuse(errAccessDenied, "Cannot call %s with session credentials", c.op.name)
	}
	for _, p := range c.who.Policies {
		if p.Evaluate(&iam.Request{User: c.who.User, Action: "sts:" + c.op.name, Resource: "*", Context: c.conditions()}) == iam.Deny {
			return session.Credentials{}, refuse(errAccessDenied, "User: %s is not authorized to perform: sts:%s with an explicit deny in an identity-based policy",
				iam.UserARN(c.who.User), c.op.name)
		}
	}
	life := usual
	if text := form.Get("DurationSeconds"); text != "" {
		seconds, err := strconv.ParseInt(text, 10, 32)
		if life = time.Duration(seconds) * time.Second; err != nil || life < shortestSession || life > longest {
			return session.Credentials{}, refuse(errValidation, "DurationSeconds is %.20s: it must be between %d and %d",
				asUTF8(text), shortestSession/time.Second, longest/time.Second)
		}
	}
	now := c.opts.Now()
	expires := now.Add(life)
	if end := c.who.key.Expires; end != nil && end.Before(expires) {
		expires = *end
	}
	return session.New(c.who.key.ID, c.who.key.Secret, name, policy, now, expires)
}

func writeCredentials(d *document, creds session.Credentials) {
	d.group("Credentials", func() {
		d.elem("AccessKeyId", creds.ID)
		d.elem("SecretAccessKey", creds.Secret)
		d.elem("SessionToken", creds.Token)
		d.elem("Expiration", creds.Expires.UTC().Format(time.RFC3339))
	})
}

func assumedRole(user, name string) string {
	return "arn:aws:sts::" + iam.Account + ":assumed-role/" + user + "/" + name
}

// getCallerIdentity tells who asks.
func (c *call) getCallerIdentity(url.Values) (*document, error) {
	arn, id := iam.UserARN(c.who.User), c.who.User
	if s := c.who.session; s != nil && s.Name != "" {
		arn, id = assumedRole(c.who.User, s.Name), c.who.User+":"+s.Name
	}
	d := newSTSDocument("GetCallerIdentity")
	d.group("GetCallerIdentityResult", func() {
		d.elem("Arn", arn)
		d.elem("UserId", id)
		d.elem("Account", iam.Account)
	})
	return d, nil
}

// stsError is err under the code that the Security Token Service has for it.
func stsError(err error) error {
	f := *failureOf(err)
	f.fields = nil
	switch f.code {
	case errInvalidAccessKeyID, errInvalidToken:
		f.code, f.message = errInvalidClientToken, ""
	case errRequestTimeTooSkewed:
		f.code = errSignatureDoesNotMatch
	case errAuthorizationHeaderMalformed, errAuthorizationQueryError, errInvalidRequest, errInvalidArgument:
		f.code = errIncompleteSignature
	default:
	}
	return &f
}

// stsDocument is the XML of an error of the Security Token Service.
func (f *failure) stsDocument(status int, requestID string) []byte {
	d := newDocumentIn(stsNamespace, "ErrorResponse")
	kind := "Sender"
	if status >= 500 {
		kind = "Receiver"
	}
	_, text := f.code.about()
	if f.message != "" {
		text = f.message
	}
	d.group("Error", func() {
		d.elem("Type", kind)
		d.elem("Code", string(f.code))
		d.elem("Message", text)
	})
	d.elem("RequestId", requestID)
	return d.bytes()
}
