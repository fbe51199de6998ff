package tus

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"net/http"
	"strings"

	"meridian/internal/hop"
	"meridian/internal/sigv4"
	"meridian/metadata"
	"meridian/upload/relay"
)

// identify finds out who may write here: a person or an app by an access key, or
// whom another endpoint of the cluster hands on (node).
func (h *Handler) identify(r *http.Request) (who relay.Caller, node bool, err error) {
	header := r.Header.Get("Authorization")
	scheme, rest, _ := strings.Cut(header, " ")
	var key metadata.AccessKey
	switch {
	case sigv4.Present(r):
		key, err = h.signed(r)
		if err == nil && key.ID == hop.NodeAccessKey {
			who, ok := relay.CallerOf(r)
			if !ok {
				return who, true, refuse(http.StatusForbidden, "forbidden", "nodes upload on behalf of a user only")
			}
			return who, true, nil
		}
	case strings.EqualFold(scheme, "Bearer"):
		key, err = h.bearer(r.Context(), strings.TrimSpace(rest))
	case header != "":
		err = unauthorized("authorization scheme %.20q is not known; use Bearer <access-key>:<secret-key> or AWS4-HMAC-SHA256", scheme)
	default:
		err = unauthorized("send Authorization: Bearer <access-key>:<secret-key>, or sign with SigV4")
	}
	if err != nil {
		return relay.Caller{}, false, err
	}
	if len(key.Policy) > 0 {
		return relay.Caller{}, false, refuse(http.StatusForbidden, "forbidden", "this access key has a policy, and with it may use S3 endpoints and edges only")
	}
	switch key.Role {
	case metadata.RoleAdmin, metadata.RoleReadWrite:
		return relay.Caller{User: key.User, Admin: key.Role == metadata.RoleAdmin}, false, nil
	}
	return relay.Caller{}, false, refuse(http.StatusForbidden, "forbidden", "this access key may only read")
}

func unauthorized(format string, args ...any) error {
	return refuse(http.StatusUnauthorized, "credentials-required", format, args...)
}

// liveKey is a key that has not expired by our own clock either; an unknown one
// is empty.
func (h *Handler) liveKey(ctx context.Context, id string) (metadata.AccessKey, error) {
	k, err := h.Keys.Key(ctx, id)
	if errors.Is(err, metadata.ErrNoSuchAccess) || err == nil && k.Expires != nil && !h.Now().Before(*k.Expires) {
		return metadata.AccessKey{}, nil
	}
	return k, err
}

func (h *Handler) bearer(ctx context.Context, text string) (metadata.AccessKey, error) {
	id, secret, ok := strings.Cut(text, ":")
	if !ok {
		return metadata.AccessKey{}, unauthorized("expected Authorization: Bearer <access-key>:<secret-key>")
	}
	k, err := h.liveKey(ctx, id)
	if err != nil {
		return metadata.AccessKey{}, err
	}
	// The same work for unknown keys, and lengths do not show.
	want, got := sha256.Sum256([]byte(k.Secret)), sha256.Sum256([]byte(secret))
	if subtle.ConstantTimeCompare(want[:], got[:]) != 1 || k.ID == "" {
		return metadata.AccessKey{}, unauthorized("access key or secret key is wrong")
	}
	return k, nil
}

// signed verifies a SigV4 signature of any region.
func (h *Handler) signed(r *http.Request) (key metadata.AccessKey, err error) {
	v := sigv4.Verifier{
		Regions: h.Regions(),
		Service: sigv4.DefaultService,
		Now:     h.Now,
		Keys: func(ctx context.Context, s sigv4.Scope) ([]byte, error) {
			if s.AccessKey == hop.NodeAccessKey {
				key = metadata.AccessKey{ID: s.AccessKey, Secret: h.ClusterSecret}
			} else if key, err = h.liveKey(ctx, s.AccessKey); err != nil {
				return nil, err
			}
			if key.Secret == "" {
				return nil, sigv4.ErrUnknownAccessKey
			}
			return sigv4.DeriveKey(key.Secret, s.Date, s.Region, s.Service), nil
		},
	}
	auth, err := v.Verify(r)
	var refused *sigv4.Error
	switch {
	case errors.As(err, &refused):
		return metadata.AccessKey{}, unauthorized("%s", refused.Message)
	case err != nil:
		return metadata.AccessKey{}, err
	case auth.SecurityToken != "":
		return metadata.AccessKey{}, unauthorized("temporary credentials are for S3 endpoints and edges; use an access key")
	case auth.Presigned:
		return metadata.AccessKey{}, unauthorized("a presigned URL is good for objects, not for tus; sign the request's header")
	case auth.PayloadHash != sigv4.UnsignedPayload && auth.PayloadHash != sigv4.EmptyPayload:
		// An upload keeps what came before a connection broke, when nobody can
		// tell yet whether the signed sum holds.
		return metadata.AccessKey{}, invalid("sign with x-amz-content-sha256: UNSIGNED-PAYLOAD; Upload-Checksum covers the bytes")
	case auth.PayloadHash == sigv4.EmptyPayload && r.ContentLength != 0:
		return metadata.AccessKey{}, invalid("the signature is for an empty body")
	}
	return key, nil
}
