package edge

import (
	"context"
	"errors"
	"net/http"

	"meridian/edge/httpcache"
	"meridian/edge/purge"
	"meridian/internal/hop"
	"meridian/internal/iam"
	"meridian/internal/signedurl"
	"meridian/internal/sigv4"
	"meridian/metadata"
	"meridian/metadata/access"
)

// caller is who asks, as far as it was proved.
type caller struct {
	node bool // a process of the cluster
	access.Caller
	proof access.Proof
	// signed says that the query is covered by a signature: overrides of response
	// headers count in such requests only, as in S3.
	signed bool
	link   bool // a Meridian signed URL, or a presigned one
	linked bool // a Meridian signed URL
}

// identify verifies the SigV4 credentials of r, if it carries any. Wrong ones
// are an error also where none are needed.
func (n *Node) identify(r *http.Request) (caller, error) {
	if !sigv4.Present(r) {
		return caller{}, nil
	}
	var temporary access.Caller
	verifier := n.verifier()
	verifier.Keys = func(ctx context.Context, s sigv4.Scope) (key []byte, err error) {
		if s.Token == "" || s.AccessKey == hop.NodeAccessKey {
			return n.signingKey(ctx, s)
		}
		key, temporary, err = n.temporary(ctx, s)
		return key, err
	}
	auth, err := verifier.Verify(r)
	if err != nil {
		return caller{}, err
	}
	if auth.AccessKey != hop.NodeAccessKey {
		c := caller{signed: true, link: auth.Presigned, proof: access.Proof{Presigned: auth.Presigned, Signed: auth.Time, Payload: auth.PayloadHash}}
		if v := n.view.Load(); auth.SecurityToken != "" {
			c.Caller = temporary
		} else if v != nil {
			c.Caller = v.callers[auth.AccessKey]
		}
		if c.User == "" {
			return caller{}, errDenied() // revoked while the signature was verified
		}
		return c, nil
	}
	// Nodes sign headers, and sign all that they ask for in them: a presigned
	// URL of a node would be a key to everything.
	if auth.Presigned || !hop.Signs(r.Header, auth.SignedHeaders) {
		return caller{}, errDenied()
	}
	return caller{node: true}, nil
}

// errObjectNeeded says that a decision depends on the object, which is not known.
var errObjectNeeded = errors.New("who may read depends on the object")

// authorize refuses who may not read the object of a request, and notes what a
// Meridian signed URL covers. Where the answer depends on the object itself, which
// its bucket says, it returns the question for decide, and refuses nobody yet;
// else the answer does not depend on whether there is such an object.
func (n *Node) authorize(c *caller, o purge.Object, r *http.Request) (pending *access.Request, err error) {
	q := r.URL.Query()
	own := metadata.IsSystemBucket(o.Bucket) // of which users have signed URLs only
	if c.linked = signedurl.Present(q) && n.signer.Verify("/"+o.Bucket+"/"+o.Key, q, n.now()) == nil; c.linked {
		c.link, c.signed = true, c.signed || signedurl.Overriding(q)
	}
	switch {
	case c.node, own && c.linked:
		return nil, nil
	case own:
		return nil, errDenied()
	}
	request := &access.Request{Action: "s3:GetObject", Key: o.Key, Conditions: func() iam.Context {
		k := access.Conditions(r, &c.Caller, c.proof, n.now())
		k.Set("aws:RequestedRegion", n.cfg.Region)
		return k
	}}
	if q.Has("versionId") {
		request.Action = "s3:GetObjectVersion"
	}
	request.Object = func() (*access.Object, error) { return nil, errObjectNeeded }
	err = n.decide(c, o.Bucket, request)
	if errors.Is(err, errObjectNeeded) {
		return request, nil
	}
	return nil, err
}

// decide refuses what the bucket does not allow. Who has a Meridian signed URL has
// been allowed, but may be denied, as nobody in particular.
func (n *Node) decide(c *caller, bucket string, r *access.Request) error {
	v := n.view.Load()
	if v == nil {
		return errNotReady()
	}
	b := v.access[bucket]
	if b == nil {
		return errDenied() // it cannot be read who may
	}
	verdict, err := b.Decide(&c.Caller, r)
	switch {
	case err != nil:
		return err
	case verdict == access.Allowed, c.linked && verdict == access.Refused:
		return nil
	}
	return errDenied()
}

// permitHead decides what authorize left open, now that the object is known. That
// there is none is told to those who may list the bucket: to all others it looks
// as an object does that they may not read.
func (x *exchange) permitHead(h *httpcache.Head) error {
	if x.pending == nil {
		return nil
	}
	missing := h == nil || h.Status != http.StatusOK
	r := *x.pending
	r.Object = func() (*access.Object, error) {
		if missing {
			return nil, nil //nolint:nilnil // there is none
		}
		return access.DecodeObject(h.Fields.Get(hop.Access))
	}
	if err := x.n.decide(&x.caller, x.object.Bucket, &r); err != nil || !missing {
		return err
	}
	list := access.Request{Action: "s3:ListBucket", Conditions: func() iam.Context {
		k := r.Conditions()
		k.Set("s3:prefix", x.object.Key)
		return k
	}}
	return x.n.decide(&x.caller, x.object.Bucket, &list)
}

// everybody says whether everybody may read all that the bucket holds.
func (n *Node) everybody(bucket string) bool {
	v := n.view.Load()
	return v != nil && v.everybody(bucket)
}

// canRead says whether the caller may read all by their role.
func (c *caller) canRead() bool {
	switch c.Role {
	case metadata.RoleAdmin, metadata.RoleReadWrite, metadata.RoleReadOnly:
		return c.Session == nil
	}
	return false
}
