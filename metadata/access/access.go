// Package access says who may do what with a bucket and its objects: the one
// answer that origins and edges give alike, out of roles, ownership, the policies
// of callers, the policy of the bucket, access control lists, visibility and the
// public access block. It does no I/O; what it must know of an object it asks its
// caller for.
package access

import (
	"encoding/json"
	"fmt"
	"slices"

	"meridian/internal/iam"
	"meridian/metadata"
)

// Names of the documents in a Bucket's Config.
const (
	ConfigPolicy    = "policy"              // a JSON string: the policy as it came
	ConfigACL       = "acl"                 // a metadata.ACL
	ConfigOwnership = "ownership"           // a JSON string: Enforced, ...
	ConfigBlock     = "public-access-block" // a Block
	// ConfigObjectACLs is true where objects may have ACLs of their own. Until
	// then nobody needs to look at an object to know who may read it.
	ConfigObjectACLs = "object-acls"
)

// Values of object ownership. A bucket on which none was set is like one of
// writers, as it was before S3 had the setting.
const (
	Enforced  = "BucketOwnerEnforced"
	Preferred = "BucketOwnerPreferred"
	Writer    = "ObjectWriter"
)

// Block is a public access block.
type Block struct {
	BlockACLs       bool `json:"block_public_acls"`
	IgnoreACLs      bool `json:"ignore_public_acls"`
	BlockPolicy     bool `json:"block_public_policy"`
	RestrictBuckets bool `json:"restrict_public_buckets"`
}

// Bucket is what counts of a bucket. It never changes.
type Bucket struct {
	Name, Owner string
	Visible     bool        // public-read
	Policy      *iam.Policy // nil: none
	ACL         *metadata.ACL
	Ownership   string // empty: none was set
	Block       *Block // nil: none was set
	ObjectACLs  bool
	system      bool
}

// Of reads what counts of b.
func Of(b *metadata.Bucket) (*Bucket, error) {
	a := &Bucket{
		Name: b.Name, Owner: b.Owner, Visible: b.Visibility == metadata.PublicRead, system: metadata.IsSystemBucket(b.Name),
	}
	var policy string
	for name, to := range map[string]any{
		ConfigPolicy: &policy, ConfigACL: &a.ACL, ConfigOwnership: &a.Ownership, ConfigBlock: &a.Block, ConfigObjectACLs: &a.ObjectACLs,
	} {
		if document := b.Config[name]; document != nil {
			if err := json.Unmarshal(document, to); err != nil {
				return nil, fmt.Errorf("%s of bucket %s: %w", name, b.Name, err)
			}
		}
	}
	if policy == "" {
		return a, nil
	}
	var err error
	if a.Policy, err = iam.Parse([]byte(policy)); err != nil {
		return nil, fmt.Errorf("policy of bucket %s: %w", b.Name, err)
	}
	return a, nil
}

// ACLs says whether access control lists count in the bucket.
func (b *Bucket) ACLs() bool { return b.Ownership != Enforced }

func (b *Bucket) ignoresPublicACLs() bool { return b.Block != nil && b.Block.IgnoreACLs }

// restricted says whether the bucket's policy is public and may not be.
func (b *Bucket) restricted() bool {
	return b.Block != nil && b.Block.RestrictBuckets && b.Policy != nil && b.Policy.IsPublic()
}

// visible says whether everybody may read all objects by the visibility of the
// bucket. What forbids ACLs to do that, or policies, forbids it as well.
func (b *Bucket) visible() bool {
	return b.Visible && (b.Block == nil || !b.Block.IgnoreACLs && !b.Block.RestrictBuckets)
}

// BucketACL is the ACL of the bucket, as it is or by default.
func (b *Bucket) BucketACL() *metadata.ACL {
	if b.ACL != nil {
		return b.ACL
	}
	return Private(b.Owner)
}

// Private is the ACL that gives all to the owner and nothing to others.
func Private(owner string) *metadata.ACL {
	return &metadata.ACL{Owner: owner, Grants: []metadata.Grant{{User: owner, Permission: metadata.FullControl}}}
}

// Open says whether everybody may read every object, whatever else is known of a
// request, so that a cache need not ask again for each.
func (b *Bucket) Open() bool {
	switch {
	case b.system:
		return false
	case b.Policy == nil:
		return b.visible()
	case b.Policy.Denies():
		return false
	}
	return b.visible() || !b.restricted() && b.Policy.OpensAll(actionGet, b.Name)
}

// Caller is who asks.
type Caller struct {
	User string // empty: anonymous
	// Role is of metadata; empty for anonymous callers, and for those with policies.
	Role string
	// Policies are the caller's own: what they deny is denied. A caller who has
	// any is limited to what they allow and to what others let them do; what their
	// user owns gives them no right.
	Policies []*iam.Policy
	// Session is the policy of temporary credentials, or nil: what it does not
	// allow nothing else allows.
	Session *iam.Policy
}

// root says whether nothing can be denied to the caller by others.
func (c *Caller) root() bool {
	return c.User == metadata.RootUser && c.Role == metadata.RoleAdmin && !c.Limited()
}

// Limited says whether the caller has policies in place of a role.
func (c *Caller) Limited() bool { return len(c.Policies) > 0 }

// Object is what counts of an object that exists.
type Object struct {
	// ACL is that of the object, or nil where it is as the bucket's owner has it.
	ACL  *metadata.ACL     `json:"acl,omitempty"`
	Tags map[string]string `json:"tags,omitempty"`
}

// ObjectOf is what counts of a version.
func ObjectOf(v *metadata.Version) *Object { return &Object{ACL: v.ACL, Tags: v.Tags} }

// Encode writes o for another node to read, empty where there is nothing to say.
func (o *Object) Encode() (string, error) {
	if o.ACL == nil && len(o.Tags) == 0 {
		return "", nil
	}
	text, err := json.Marshal(o)
	return string(text), err
}

// DecodeObject reads what Encode wrote.
func DecodeObject(text string) (*Object, error) {
	o := &Object{}
	if text == "" {
		return o, nil
	}
	if err := json.Unmarshal([]byte(text), o); err != nil {
		return nil, fmt.Errorf("who may do what with the object: %w", err)
	}
	return o, nil
}

// Request is what is asked.
type Request struct {
	Action string // "s3:GetObject"
	Key    string // empty: of the bucket itself
	// Creates says that the action is part of the making of an object. Who may
	// make it may then say how it shall be.
	Creates bool
	// Object finds the object that the action is about, or nil where there is
	// none. It is called where the answer depends on it, and may be nil if there
	// can be none.
	Object func() (*Object, error)
	// Initiator tells who began the upload that the action is about: they may abort
	// it and list its parts. It may be nil if there is no upload.
	Initiator func() (string, error)
	// Conditions are the condition keys of the request. It is called at most once,
	// where a policy is evaluated, and may be nil if there are none.
	Conditions func() iam.Context
}

const (
	actionGet        = "s3:GetObject"
	actionGetVersion = "s3:GetObjectVersion"
	existingTag      = "s3:ExistingObjectTag/"
)

// Verdict is the answer.
type Verdict int

// What is Refused nobody allowed; what is Denied somebody forbade: the policy of
// the bucket, or one of the caller.
const (
	Refused Verdict = iota
	Allowed
	DeniedByBucket
	DeniedByCaller
)

// Decide answers a request. Its errors are those of r.Object.
//
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic.html
func (b *Bucket) Decide(c *Caller, r *Request) (Verdict, error) {
	if c.root() && c.Session == nil {
		return Allowed, nil
	}
	d := decision{b: b, c: c, r: r}
	return d.decide()
}

// decision is a request being decided.
type decision struct {
	b *Bucket
	c *Caller
	r *Request

	asked   bool
	object  *Object
	context iam.Context // nil before it was asked for
}

// conditions are those of the request.
func (d *decision) conditions() iam.Context {
	if d.context == nil && d.r.Conditions != nil {
		d.context = d.r.Conditions()
	}
	if d.context == nil {
		d.context = iam.Context{}
	}
	return d.context
}

func (d *decision) find() (*Object, error) {
	if d.asked || d.r.Object == nil || d.r.Key == "" {
		return d.object, nil
	}
	var err error
	d.object, err = d.r.Object()
	d.asked = err == nil
	return d.object, err
}

func (d *decision) decide() (Verdict, error) {
	if d.c.Session != nil {
		switch found, err := d.evaluate(d.c.Session); {
		case err != nil || found == iam.Deny:
			return DeniedByCaller, err
		case found != iam.Allow:
			return Refused, nil
		case d.c.root():
			return Allowed, nil
		}
	}
	own, err := d.ownPolicies()
	if own == iam.Deny || err != nil {
		return DeniedByCaller, err
	}
	policy, err := d.bucketPolicy()
	if policy == iam.Deny || err != nil {
		return DeniedByBucket, err
	}
	if own == iam.Allow || policy == iam.Allow || d.byRole() {
		return Allowed, nil
	}
	if d.b.visible() && (d.r.Action == actionGet || d.r.Action == actionGetVersion) {
		return Allowed, nil
	}
	return d.byOwnership()
}

// ownPolicies is what the policies of the caller say.
func (d *decision) ownPolicies() (iam.Decision, error) {
	found := iam.None
	for _, p := range d.c.Policies {
		one, err := d.evaluate(p)
		if err != nil || one == iam.Deny {
			return one, err
		}
		found = max(found, one)
	}
	return found, nil
}

// bucketPolicy is what the policy of the bucket says. Its owner can always mend
// it.
func (d *decision) bucketPolicy() (iam.Decision, error) {
	if d.b.Policy == nil {
		return iam.None, nil
	}
	found, err := d.evaluate(d.b.Policy)
	switch {
	case err != nil:
		return iam.None, err
	case found == iam.Deny && d.accountOwner() && slices.Contains(ofPolicies, d.r.Action):
		return iam.None, nil
	case found == iam.Allow && d.b.restricted():
		return iam.None, nil
	}
	return found, nil
}

var ofPolicies = []string{"s3:GetBucketPolicy", "s3:PutBucketPolicy", "s3:DeleteBucketPolicy"}

func (d *decision) accountOwner() bool {
	return d.c.User != "" && (d.c.User == d.b.Owner || d.c.Role == metadata.RoleAdmin)
}

func (d *decision) evaluate(p *iam.Policy) (iam.Decision, error) {
	q := iam.Request{User: d.c.User, Action: d.r.Action, Resource: iam.BucketARN(d.b.Name), Context: d.conditions()}
	if d.r.Key != "" {
		q.Resource = iam.ObjectARN(d.b.Name, d.r.Key)
	}
	if p.Uses(existingTag) {
		o, err := d.find()
		if err != nil {
			return iam.None, err
		}
		if o != nil {
			for name, value := range o.Tags {
				q.Context.Set(existingTag+name, value)
			}
		}
	}
	return p.Evaluate(&q), nil
}

// byRole says whether the role of the caller allows it.
func (d *decision) byRole() bool {
	switch d.c.Role {
	case metadata.RoleAdmin:
		return true
	case metadata.RoleReadWrite:
		return d.r.Action != "s3:BypassGovernanceRetention" // which is for the owner
	case metadata.RoleReadOnly:
		return IsRead(d.r.Action)
	}
	return false
}

// byOwnership allows the owner of the bucket everything but what the owner of an
// object keeps for themselves, and to others what ACLs give them, and what is about
// uploads that they began.
func (d *decision) byOwnership() (Verdict, error) {
	if d.c.Role == metadata.RoleReadOnly {
		return Refused, nil // also the owner's: such a key is for reading
	}
	owner := d.c.User != "" && d.c.User == d.b.Owner && !d.c.Limited()
	if !owner && d.r.Initiator != nil && d.c.User != "" && !d.c.Limited() {
		if by, err := d.r.Initiator(); err != nil || by == d.c.User {
			return allowed(err == nil), err
		}
	}
	permission, ofObject := permissionFor(d.r)
	if !d.b.ACLs() {
		return allowed(owner), nil
	}
	if !ofObject {
		return allowed(owner || permission != "" && d.grants(d.b.BucketACL(), permission)), nil
	}
	if !d.b.ObjectACLs {
		return allowed(owner), nil
	}
	o, err := d.find()
	switch {
	case err != nil:
		return Refused, err
	case o == nil || o.ACL == nil:
		return allowed(owner), nil
	case owner && o.ACL.Owner == d.b.Owner:
		return Allowed, nil
	}
	acp := permission == metadata.PermitReadACP || permission == metadata.PermitWriteACP
	if acp && d.c.User != "" && d.c.User == o.ACL.Owner && !d.c.Limited() {
		return Allowed, nil
	}
	return allowed(d.grants(o.ACL, permission)), nil
}

// grants says whether an ACL gives the caller a permission. What it gives its own
// owner is for those of their keys that have no policy.
func (d *decision) grants(a *metadata.ACL, permission string) bool {
	user := d.c.User
	if d.c.Limited() && user == a.Owner {
		user = ""
	}
	return a.Allows(user, permission, d.b.ignoresPublicACLs())
}

func allowed(ok bool) Verdict {
	if ok {
		return Allowed
	}
	return Refused
}
