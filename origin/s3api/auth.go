package s3api

import (
	"context"
	"errors"
	"fmt"

	"meridian/internal/hop"
	"meridian/internal/sigv2"
	"meridian/internal/sigv4"
	"meridian/metadata"
)

// identity is who sent a request.
type identity struct {
	user string
	role string // of metadata; "" for nodes and anonymous callers
	node bool   // another process of this cluster
}

func (i identity) anonymous() bool { return i.role == "" && !i.node }

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
			if c.r.Header.Get("X-Amz-Security-Token") != "" || c.query.Has("X-Amz-Security-Token") {
				return nil, errInvalidToken // there are no temporary credentials
			}
			var secret string
			who, secret, err = c.secret(ctx, s.AccessKey)
			if err != nil {
				return nil, err
			}
			return sigv4.DeriveKey(secret, s.Date, s.Region, s.Service), nil
		},
	}
	auth, err := v.Verify(c.r)
	if err != nil {
		return fmt.Errorf("verify signature: %w", err)
	}
	c.who, c.auth = who, auth
	return nil
}

func (c *call) secret(ctx context.Context, accessKey string) (identity, string, error) {
	if accessKey == hop.NodeAccessKey {
		if c.opts.ClusterSecret == "" {
			return identity{}, "", sigv4.ErrUnknownAccessKey
		}
		return identity{user: accessKey, node: true}, c.opts.ClusterSecret, nil
	}
	k, err := c.keys.get(ctx, accessKey)
	if errors.Is(err, metadata.ErrNoSuchAccess) || err == nil && k.Expires != nil && !c.opts.Now().Before(*k.Expires) {
		return identity{}, "", fmt.Errorf("%w: %q", sigv4.ErrUnknownAccessKey, accessKey)
	}
	if err != nil {
		return identity{}, "", fmt.Errorf("look up access key: %w", err)
	}
	return identity{user: k.User, role: k.Role}, k.Secret, nil
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
