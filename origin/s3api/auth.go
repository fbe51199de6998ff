package s3api

import (
	"context"
	"errors"
	"fmt"

	"meridian/internal/hop"
	"meridian/internal/session"
	"meridian/internal/sigv2"
	"meridian/internal/sigv4"
	"meridian/metadata"
	"meridian/metadata/access"
)

// identity is who sent a request.
type identity struct {
	access.Caller
	node bool // another process of this cluster
	key  metadata.AccessKey
	// session is, of temporary credentials, their own; key is what they are of.
	session *session.Session
}

func (i identity) anonymous() bool { return i.User == "" }

// identify verifies the request's signature and sets c.who and c.auth. A
// request without credentials is anonymous; one with credentials that do not
// hold is refused, even where anonymous callers would be let in.
func (c *call) identify() error {
	if claim, ok, err := sigv2.Read(c.r); ok {
		return c.identifyV2(claim, err)
	}
	if !sigv4.Present(c.r) {
		if c.r.Header.Get("Authorization") != "" {
			_, err := (&sigv4.Verifier{}).Verify(c.r) // says what is wrong with it
			return fmt.Errorf("verify signature: %w", err)
		}
		return nil
	}
	var who identity
	v := sigv4.Verifier{
		Regions: c.opts.Regions(),
		Service: sigv4.DefaultService,
		Now:     c.opts.Now,
		Keys: func(ctx context.Context, s sigv4.Scope) (key []byte, err error) {
			who, key, err = c.signingKey(ctx, s)
			return key, err
		},
	}
	auth, err := v.Verify(c.r)
	if err != nil {
		return fmt.Errorf("verify signature: %w", err)
	}
	// Nodes sign headers, and all that they ask for in them: a presigned URL of a
	// node would be a key to everything.
	if who.node && (auth.Presigned || !hop.Signs(c.r.Header, auth.SignedHeaders)) {
		return errAccessDenied
	}
	c.who, c.auth = who, auth
	return nil
}

// signingKey finds who a request claims to come from, and the key that its
// signature has to be made with.
func (c *call) signingKey(ctx context.Context, s sigv4.Scope) (who identity, key []byte, err error) {
	var secret string
	if s.AccessKey == hop.NodeAccessKey {
		if c.opts.ClusterSecret == "" || s.Token != "" {
			return identity{}, nil, sigv4.ErrUnknownAccessKey
		}
		who, secret = identity{Caller: access.Caller{User: s.AccessKey}, node: true}, c.opts.ClusterSecret
	} else if who, secret, err = c.secret(ctx, s); err != nil {
		return identity{}, nil, err
	}
	return who, c.derived.key(secret, s), nil
}

// secret finds an access key, or one that a session token speaks for.
func (c *call) secret(ctx context.Context, s sigv4.Scope) (identity, string, error) {
	if s.Token == "" {
		who, err := c.owner(ctx, s.AccessKey)
		return who, who.key.Secret, err
	}
	token, err := session.Read(s.Token)
	if err != nil {
		return identity{}, "", because(errInvalidToken, err)
	}
	who, err := c.owner(ctx, token.Parent)
	if err != nil {
		return identity{}, "", err
	}
	in, err := token.Open(s.AccessKey, session.KeyOf(who.key.Secret, token.Day), c.opts.Now())
	switch {
	case errors.Is(err, session.ErrExpired):
		return identity{}, "", errExpiredToken
	case err != nil:
		return identity{}, "", because(errInvalidToken, err)
	}
	limited, err := who.Within(in.Policy)
	if err != nil {
		return identity{}, "", err
	}
	who.Caller, who.session = *limited, &in
	return who, in.Secret, nil
}

// owner is who has an access key.
func (c *call) owner(ctx context.Context, accessKey string) (identity, error) {
	who, err := c.keys.get(ctx, accessKey)
	if errors.Is(err, metadata.ErrNoSuchAccess) || err == nil && who.key.Expires != nil && !c.opts.Now().Before(*who.key.Expires) {
		return identity{}, fmt.Errorf("%w: %q", sigv4.ErrUnknownAccessKey, accessKey)
	}
	if err != nil {
		return identity{}, fmt.Errorf("look up access key: %w", err)
	}
	return who, nil
}

// readIdentity looks up who has an access key.
func readIdentity(ctx context.Context, keys KeyLookup, accessKey string) (identity, error) {
	k, err := keys.Key(ctx, accessKey)
	if err != nil {
		return identity{}, err
	}
	caller, err := access.CallerOf(k.User, k.Role, k.Policy)
	if err != nil {
		return identity{}, err
	}
	return identity{Caller: *caller, key: k}, nil
}

// expectOwner checks x-amz-expected-bucket-owner, by which a client makes sure
// that a name still means the bucket that it knew.
func (c *call) expectOwner() error {
	return c.expectOwnerOf(c.bucket, "X-Amz-Expected-Bucket-Owner")
}

func (c *call) expectOwnerOf(bucket, header string) error {
	want := c.header(header)
	if want == "" || bucket == "" {
		return nil
	}
	b, err := c.opts.Catalog.Bucket(c.r.Context(), bucket)
	if err != nil {
		return err
	}
	if b.Owner != want {
		return errAccessDenied
	}
	return nil
}
