package edge

import (
	"net/http"
	"net/url"
	"slices"
	"strings"

	"meridian/internal/hop"
	"meridian/internal/signedurl"
	"meridian/internal/sigv4"
	"meridian/metadata"
)

// caller is who asks, as far as it was proved.
type caller struct {
	node bool   // a process of the cluster
	role string // of an access key, or ""
	// signed says that the query is covered by a signature: overrides of response
	// headers count in such requests only, as in S3.
	signed bool
	link   bool // a Meridian signed URL, or a presigned one
}

// identify verifies the SigV4 credentials of r, if it carries any. Wrong ones
// are an error also where none are needed.
func (n *Node) identify(r *http.Request) (caller, error) {
	if !sigv4.Present(r) {
		return caller{}, nil
	}
	auth, err := n.verifier().Verify(r)
	if err != nil {
		return caller{}, err
	}
	if auth.AccessKey != hop.NodeAccessKey {
		c := caller{signed: true, link: auth.Presigned}
		if v := n.view.Load(); v != nil {
			c.role = v.roles[auth.AccessKey]
		}
		return c, nil
	}
	// Nodes sign headers, and sign all that they ask for in them: a presigned
	// URL of a node would be a key to everything.
	if auth.Presigned || !signsHops(r, auth.SignedHeaders) {
		return caller{}, errDenied()
	}
	return caller{node: true}, nil
}

func signsHops(r *http.Request, signed string) bool {
	names := strings.Split(signed, ";")
	for name := range r.Header {
		if strings.HasPrefix(name, "X-Meridian-") && !slices.Contains(names, strings.ToLower(name)) {
			return false
		}
	}
	return true
}

// authorize refuses who may not read path, which is /bucket/key, decoded, and
// notes what a Meridian signed URL covers. The answer does not depend on whether
// there is such an object.
func (n *Node) authorize(c *caller, b *metadata.Bucket, path string, q url.Values) error {
	own := metadata.IsSystemBucket(b.Name) // of which users have signed URLs only
	linked := signedurl.Present(q) && n.signer.Verify(path, q, n.now()) == nil
	if linked {
		c.link, c.signed = true, c.signed || signedurl.Overriding(q)
	}
	if linked || c.node || !own && (canRead(c.role) || b.Visibility == metadata.PublicRead) {
		return nil
	}
	return errDenied()
}

func canRead(role string) bool {
	switch role {
	case metadata.RoleAdmin, metadata.RoleReadWrite, metadata.RoleReadOnly:
		return true
	}
	return false
}
