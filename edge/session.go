package edge

import (
	"context"
	"errors"

	"meridian/internal/session"
	"meridian/internal/sigv4"
	"meridian/metadata/access"
)

// sessionDay is whose temporary credentials a key verifies, and of which day.
type sessionDay struct{ accessKey, date string }

// temporary is the sigv4.KeyFunc of temporary credentials, and says who has them:
// the owner of the access key that they are of, within the policy of the session.
// Nobody is asked, since the token says all and the snapshot has what proves it.
func (n *Node) temporary(ctx context.Context, s sigv4.Scope) (key []byte, who access.Caller, err error) {
	token, err := session.Read(s.Token)
	if err != nil {
		return nil, who, errInvalidToken()
	}
	for try := range 2 {
		if v := n.view.Load(); v != nil {
			parent, known := v.callers[token.Parent]
			if end := v.ends[token.Parent]; end != nil && !n.now().Before(*end) {
				break
			}
			if proof := v.sessions[sessionDay{token.Parent, token.Day}]; known && proof != nil {
				return n.openSession(token, s, parent, proof)
			}
			if known { // it is not of a day of which any is left
				return nil, who, errInvalidToken()
			}
		}
		if try == 0 {
			n.refreshUnknown(ctx, func(v *view) bool { return v.hasKey(token.Parent) })
		}
	}
	return nil, who, sigv4.ErrUnknownAccessKey
}

func (n *Node) openSession(token session.Token, s sigv4.Scope, parent access.Caller, proof []byte) (key []byte, who access.Caller, err error) {
	in, err := token.Open(s.AccessKey, proof, n.now())
	switch {
	case errors.Is(err, session.ErrExpired):
		return nil, who, errExpiredToken()
	case err != nil:
		return nil, who, errInvalidToken()
	}
	limited, err := parent.Within(in.Policy)
	if err != nil {
		return nil, who, err
	}
	return sigv4.DeriveKey(in.Secret, s.Date, s.Region, s.Service), *limited, nil
}
