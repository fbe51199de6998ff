package access

import (
	"crypto/tls"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"meridian/internal/iam"
)

// Proof is how a caller proved who they are.
type Proof struct {
	Form      bool // by a POST policy
	Version2  bool // by Signature Version 2, whose age is not known
	Presigned bool // by the query
	Signed    time.Time
	Payload   string // what was signed of the body: its SHA-256, or how it is framed
}

// Conditions are the condition keys that any request has: of its caller, of where
// it comes from, and of now.
func Conditions(r *http.Request, c *Caller, p Proof, now time.Time) iam.Context {
	k := iam.Context{}
	k.Times(now)
	address, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		address = r.RemoteAddr
	}
	k.Set("aws:SourceIp", address)
	k.Set("aws:SecureTransport", strconv.FormatBool(r.TLS != nil))
	if r.TLS != nil {
		k.Set("s3:TlsVersion", strings.TrimPrefix(tls.VersionName(r.TLS.Version), "TLS "))
	}
	for key, name := range map[string]string{"aws:Referer": "Referer", "aws:UserAgent": "User-Agent"} {
		if v := r.Header.Get(name); v != "" {
			k.Set(key, v)
		}
	}
	if id := r.URL.Query().Get("versionId"); id != "" {
		k.Set("s3:VersionId", id)
	}
	if c.User == "" {
		k.Set("aws:PrincipalType", "Anonymous")
		k.Set("aws:userid", "anonymous")
		return k
	}
	k.Set("aws:PrincipalType", "User")
	k.Set("aws:userid", c.User)
	k.Set("aws:username", c.User)
	k.Set("aws:PrincipalArn", iam.UserARN(c.User))
	k.Set("aws:PrincipalAccount", iam.Account)
	if p.Payload != "" { // also where no header says it
		k.Set("s3:x-amz-content-sha256", p.Payload)
	}
	version := "AWS4-HMAC-SHA256"
	if p.Version2 {
		version = "AWS"
	}
	k.Set("s3:signatureversion", version)
	switch {
	case p.Form:
		k.Set("s3:authType", "POST")
	case p.Version2 && r.URL.Query().Has("Signature"):
		k.Set("s3:authType", "REST-QUERY-STRING")
	case p.Presigned:
		k.Set("s3:authType", "REST-QUERY-STRING")
		k.Set("s3:signatureAge", strconv.FormatInt(now.Sub(p.Signed).Milliseconds(), 10))
	default:
		k.Set("s3:authType", "REST-HEADER")
	}
	return k
}
