package edge

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"

	"meridian/edge/cache"
	"meridian/internal/hop"
	"meridian/internal/sigv4"
	"meridian/metadata"
)

// servePopular takes from an edge what it answered by itself, and tells it what is
// asked for most of what this node holds for the region. Nobody else may know: it
// tells what clients have read.
func (n *Node) servePopular(w http.ResponseWriter, r *http.Request) {
	answer, err := n.popular(r)
	answerNode(w, r, answer, err)
}

func (n *Node) popular(r *http.Request) (popularity, error) {
	var told popularity
	if r.Method != http.MethodPost {
		return told, errMethod()
	}
	body, err := n.readSigned(r)
	if err != nil {
		return told, err
	}
	if n.cfg.Tier != metadata.TierRegional || n.heat == nil {
		return told, errInvalid("This node does not count what is asked for.")
	}
	if err := json.Unmarshal(body, &told); err != nil {
		return told, errInvalid("The body is not what an edge sends.")
	}
	for _, t := range told.Things {
		if t.Count > 0 && t.Slice >= 0 && metadata.CheckBucketName(t.Bucket) == nil && t.Key != "" {
			k := t.cacheKey()
			n.heat.of(k.Class).Add(k.Name, t.Count)
		}
	}
	var answer popularity
	for _, class := range []cache.Class{cache.Head, cache.Slice} {
		top := n.heat.of(class).Top(pushedPart, pushedLeast)
		for _, it := range top[:min(len(top), maxPushed)] {
			if t, ok := hotThingOf(cache.Key{Class: class, Name: it.Name}, it.Count); ok {
				answer.Things = append(answer.Things, t)
			}
		}
	}
	return answer, nil
}

// readSigned reads the body of a request of another node, which has signed it.
func (n *Node) readSigned(r *http.Request) ([]byte, error) {
	if !sigv4.Present(r) {
		return nil, errDenied()
	}
	auth, err := n.verifier().Verify(r)
	switch {
	case err != nil:
		return nil, err
	case auth.AccessKey != hop.NodeAccessKey, auth.Presigned, !hop.Signs(r.Header, auth.SignedHeaders), auth.PayloadHash == sigv4.UnsignedPayload:
		return nil, errDenied()
	}
	body, _, err := auth.Body(r)
	if err != nil {
		return nil, err
	}
	b, err := io.ReadAll(io.LimitReader(body, maxExchange+1))
	var refused *sigv4.Error
	switch {
	case errors.As(err, &refused):
		return nil, err
	case err != nil:
		return nil, errInvalid("The body ended early.")
	case len(b) > maxExchange:
		return nil, errInvalid("The body is too large.")
	}
	return b, nil
}
