package api

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"meridian/internal/hop"
	"meridian/internal/sigv4"
	"meridian/metadata"
)

// callers is a set of kinds of callers: those who may use a route.
type callers uint8

const (
	anonymous callers = 1 << iota
	readonly
	readwrite
	admin
	node

	public  = anonymous | readonly | readwrite | admin | node
	readers = readonly | readwrite | admin
	writers = readwrite | admin
)

// errLimited is for keys that have a policy: policies say nothing of the API.
var errLimited = tell(errForbidden, "this access key has a policy, and with it may use S3 endpoints and edges only")

// principal is who sent a request.
type principal struct {
	accessKey string
	user      string
	role      string     // none where the key has a policy
	limited   bool       // the key has a policy
	node      bool       // a process of the cluster
	expires   *time.Time // of the access key, or of the session
	print     []byte     // tells whether the key has another secret since
	auth      *sigv4.Auth
}

func (p principal) caller() callers {
	if p.node {
		return node
	}
	switch p.role {
	case metadata.RoleAdmin:
		return admin
	case metadata.RoleReadWrite:
		return readwrite
	case metadata.RoleReadOnly:
		return readonly
	}
	return 0
}

// identify finds out who calls and sets c.who. Whoever presents credentials by
// a header is judged by them alone; the cookie counts where there are none.
func (c *call) identify() error {
	header := c.r.Header.Get("Authorization")
	scheme, rest, _ := strings.Cut(header, " ")
	switch {
	case sigv4.Present(c.r):
		return c.identifySigned()
	case strings.EqualFold(scheme, "Bearer"):
		id, secret, ok := strings.Cut(strings.TrimSpace(rest), ":")
		if !ok {
			return tell(errCredentials, "expected Authorization: Bearer <access-key>:<secret-key>")
		}
		k, err := c.checkSecret(id, secret)
		c.who = principalOf(k)
		return err
	case header != "":
		return tell(errCredentials, "authorization scheme %.20q is not known; use Bearer <access-key>:<secret-key> or AWS4-HMAC-SHA256", scheme)
	}
	return c.identifySession()
}

func principalOf(k metadata.AccessKey) principal {
	p := principal{accessKey: k.ID, user: k.User, role: k.Role, expires: k.Expires, print: fingerprint(k.ID, k.Secret)}
	if len(k.Policy) > 0 {
		p.role, p.limited = "", true
	}
	return p
}

// checkSecret finds the access key if the secret is its own. Failures with keys
// that exist are counted by key and address; others cannot succeed.
func (c *call) checkSecret(id, secret string) (metadata.AccessKey, error) {
	k, err := c.liveKey(c.ctx(), id)
	unknown := errors.Is(err, metadata.ErrNoSuchAccess)
	if err != nil && !unknown {
		return metadata.AccessKey{}, err
	}
	if !unknown {
		if err := c.attempts.allow(id, c.gin.ClientIP()); err != nil {
			return metadata.AccessKey{}, err
		}
	}
	// The same work for unknown keys, and lengths do not show.
	want, got := sha256.Sum256([]byte(k.Secret)), sha256.Sum256([]byte(secret))
	if subtle.ConstantTimeCompare(want[:], got[:]) != 1 || unknown {
		if !unknown {
			c.attempts.failed(id, c.gin.ClientIP())
		}
		return metadata.AccessKey{}, tell(errCredentials, "access key or secret key is wrong")
	}
	return k, nil
}

// liveKey is Store.Key by our own clock as well.
func (a *API) liveKey(ctx context.Context, id string) (metadata.AccessKey, error) {
	k, err := a.store.Key(ctx, id)
	if err == nil && k.Expires != nil && !a.now().Before(*k.Expires) {
		err = fmt.Errorf("access key %q has expired: %w", id, metadata.ErrNoSuchAccess)
	}
	if err != nil {
		return metadata.AccessKey{}, err
	}
	return k, nil
}

// identifySigned verifies a SigV4 signature, of any region, for service s3 or
// meridian.
func (c *call) identifySigned() error {
	region, service := claimedScope(c.r)
	limited := ""
	v := sigv4.Verifier{
		Regions: []string{region},
		Service: sigv4.DefaultService,
		Now:     c.now,
		Keys: func(ctx context.Context, s sigv4.Scope) ([]byte, error) {
			if s.AccessKey == hop.NodeAccessKey {
				c.who = principal{accessKey: s.AccessKey, node: true}
				return sigv4.DeriveKey(c.opts.ClusterSecret, s.Date, s.Region, s.Service), nil
			}
			k, err := c.liveKey(ctx, s.AccessKey)
			if errors.Is(err, metadata.ErrNoSuchAccess) {
				return nil, sigv4.ErrUnknownAccessKey
			}
			if err != nil {
				return nil, err
			}
			if err := c.attempts.allow(k.ID, c.gin.ClientIP()); err != nil {
				return nil, err
			}
			limited, c.who = k.ID, principalOf(k)
			return sigv4.DeriveKey(k.Secret, s.Date, s.Region, s.Service), nil
		},
	}
	if service == "meridian" {
		v.Service = service
	}
	auth, err := v.Verify(c.r)
	var refused *sigv4.Error
	switch {
	case errors.As(err, &refused):
		if errors.Is(err, sigv4.ErrSignatureMismatch) && limited != "" {
			c.attempts.failed(limited, c.gin.ClientIP())
		}
		return tell(errCredentials, "%s", refused.Message)
	case err != nil:
		return err
	case auth.SecurityToken != "":
		return tell(errCredentials, "temporary credentials are for S3 endpoints and edges; use an access key")
	case auth.Presigned && c.r.Method != http.MethodGet && c.r.Method != http.MethodHead:
		return tell(errCredentials, "a presigned URL may only read")
	}
	c.who.auth = auth
	return nil
}

// claimedScope reads region and service out of the credentials as they claim
// it: <access key>/<date>/<region>/<service>/aws4_request.
func claimedScope(r *http.Request) (region, service string) {
	_, credential, ok := strings.Cut(r.Header.Get("Authorization"), "Credential=")
	if !ok {
		credential = r.URL.Query().Get("X-Amz-Credential")
	}
	credential, _, _ = strings.Cut(credential, ",")
	parts := strings.Split(credential, "/")
	if len(parts) != 5 {
		return "", "" // Verify says what is wrong
	}
	return parts[2], parts[3]
}
