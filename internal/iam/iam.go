// Package iam reads and evaluates policies in the language of AWS Identity and
// Access Management, as far as it speaks of S3: bucket policies, which say whom a
// bucket lets in, and identity policies, which say what their holder may do. It
// does no I/O and knows nothing of requests: whoever asks fills in a Request.
//
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_grammar.html
package iam

import (
	"net/netip"
	"strings"
	"time"
)

// Account is the account that all users of a cluster belong to. Policies written
// for it, or without an account, speak of them; those of other accounts are
// nobody here.
const Account = "000000000000"

const (
	userPrefix = "arn:aws:iam::" + Account + ":user/"
	rootARN    = "arn:aws:iam::" + Account + ":root"
)

// UserARN is the principal that a user is.
func UserARN(user string) string { return userPrefix + user }

// Prefix of the ARNs of buckets and objects.
const s3Prefix = "arn:aws:s3:::"

// BucketARN is the resource that a bucket is.
func BucketARN(bucket string) string { return s3Prefix + bucket }

// ObjectARN is the resource that an object is.
func ObjectARN(bucket, key string) string { return s3Prefix + bucket + "/" + key }

// Decision is what a policy says of a request.
type Decision int

// A request that nothing allows is refused, too; but something else than the
// policy may allow it. What is denied stays so.
const (
	None Decision = iota
	Allow
	Deny
)

// Request is what a policy is asked about.
type Request struct {
	// User is who asks; empty for anonymous callers.
	User     string
	Action   string // "s3:GetObject"
	Resource string // an ARN
	Context  Context
}

// Context holds the values of condition keys. A key that is not there is not
// known of the request, which is different from one without a value.
type Context map[string][]string

// Set gives a condition key its values. None removes it.
func (c Context) Set(key string, values ...string) {
	if len(values) == 0 {
		delete(c, keyName(key))
		return
	}
	c[keyName(key)] = values
}

// keyName is how a key is kept: names are the same in any case, but not what
// follows a slash, which is that of a tag.
func keyName(key string) string {
	name, tag, tagged := strings.Cut(key, "/")
	if name = strings.ToLower(name); tagged {
		return name + "/" + tag
	}
	return name
}

// Policy is a parsed policy. It never changes.
type Policy struct {
	statements []statement
}

// statement is one of a policy's. Of each pair of fields and their negation one
// is there; identity policies have no principals.
type statement struct {
	deny         bool
	principals   *principals
	notPrincipal bool
	actions      []pattern
	notAction    bool
	resources    []pattern
	notResource  bool
	conditions   []condition
}

// Evaluate says what the policy says of a request: Deny if a statement that
// applies denies it, else Allow if one allows it.
func (p *Policy) Evaluate(r *Request) Decision {
	found := None
	for i := range p.statements {
		s := &p.statements[i]
		if found == Allow && !s.deny || !s.applies(r) {
			continue
		}
		if s.deny {
			return Deny
		}
		found = Allow
	}
	return found
}

func (s *statement) applies(r *Request) bool {
	return s.principals.match(r.User) != s.notPrincipal && matchAction(s.actions, r.Action) != s.notAction &&
		s.appliesTo(r) && s.hold(r.Context)
}

// appliesTo says whether the statement speaks of the resource. A pattern with a
// variable that has no value describes none; where it would be an exception, the
// statement counts if it denies.
func (s *statement) appliesTo(r *Request) bool {
	found := false
	for i := range s.resources {
		ok, known := s.resources[i].match(r.Resource, r.Context)
		if !known && s.notResource {
			return s.deny
		}
		found = found || ok
	}
	return found != s.notResource
}

func (s *statement) hold(c Context) bool {
	for i := range s.conditions {
		if !s.conditions[i].holds(c) {
			return false
		}
	}
	return true
}

func matchAction(actions []pattern, action string) bool {
	for i := range actions {
		if ok, _ := actions[i].match(strings.ToLower(action), nil); ok {
			return true
		}
	}
	return false
}

// Uses says whether a condition or a variable of the policy asks for a key that
// begins so, for callers to whom finding its values is dear.
func (p *Policy) Uses(prefix string) bool {
	prefix = keyName(prefix)
	for i := range p.statements {
		s := &p.statements[i]
		for j := range s.resources {
			if s.resources[j].uses(prefix) {
				return true
			}
		}
		for j := range s.conditions {
			if s.conditions[j].uses(prefix) {
				return true
			}
		}
	}
	return false
}

// Denies says whether the policy has a statement that denies anything.
func (p *Policy) Denies() bool {
	for i := range p.statements {
		if p.statements[i].deny {
			return true
		}
	}
	return false
}

// OpensAll says whether the policy allows everybody the action on all objects of
// the bucket, whatever else is known of the request, so that nobody needs to ask
// again for each. That it does not say so does not mean that it denies it.
func (p *Policy) OpensAll(action, bucket string) bool {
	open := false
	all := ObjectARN(bucket, "")
	for i := range p.statements {
		s := &p.statements[i]
		switch {
		case s.deny && matchAction(s.actions, action) != s.notAction:
			return false
		case s.deny, s.notPrincipal, s.notAction, s.notResource, len(s.conditions) > 0, !s.principals.everybody(), !matchAction(s.actions, action):
			continue
		}
		for j := range s.resources {
			open = open || s.resources[j].coversAllUnder(all)
		}
	}
	return open
}

// IsPublic says whether the policy is public by the rules of S3: whether it
// allows anything to principals that it does not name one by one, unless that is
// bound to fixed values of a key that tells whom or where from.
//
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/access-control-block-public-access.html#access-control-block-public-access-policy-status
func (p *Policy) IsPublic() bool {
	for i := range p.statements {
		s := &p.statements[i]
		if !s.deny && (s.notPrincipal || s.principals.everybody()) && !s.bound() {
			return true
		}
	}
	return false
}

// binding are the keys whose fixed values make a statement for everybody one for
// known callers.
var binding = map[string]bool{
	"aws:principalorgid": true, "aws:principalorgpaths": true, "aws:principalaccount": true, "aws:principalarn": true,
	"aws:sourceip": true, "aws:sourcearn": true, "aws:sourcevpc": true, "aws:sourcevpce": true, "aws:sourceowner": true,
	"aws:sourceaccount": true, "aws:userid": true, "aws:username": true, "aws:vpcsourceip": true, "s3:dataaccesspointarn": true,
	"s3:dataaccesspointaccount": true, "s3:x-amz-server-side-encryption-aws-kms-key-id": true,
}

func (s *statement) bound() bool {
	for i := range s.conditions {
		c := &s.conditions[i]
		if !binding[c.key] || c.ifExists || c.quantifier == forAllValues || c.op.negated {
			continue
		}
		if c.fixed() {
			return true
		}
	}
	return false
}

// fixed says whether the condition holds for values that its author listed.
func (c *condition) fixed() bool {
	switch c.op.kind {
	case kindIP:
		for _, v := range c.values {
			p, err := parseNetwork(v.text)
			if err != nil || p.Addr().Is4() && p.Bits() < 8 || p.Addr().Is6() && p.Bits() < 32 {
				return false
			}
		}
		return true
	case kindString, kindLike, kindARN:
		for _, v := range c.values {
			if v.variable || (c.op.kind != kindString && strings.ContainsAny(v.text, "*?")) {
				return false
			}
		}
		return true
	default:
		return false
	}
}

// parseNetwork reads an address or a range of addresses.
func parseNetwork(s string) (netip.Prefix, error) {
	if !strings.Contains(s, "/") {
		a, err := netip.ParseAddr(s)
		if err != nil {
			return netip.Prefix{}, err
		}
		a = a.Unmap()
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	p, err := netip.ParsePrefix(s)
	if err != nil {
		return netip.Prefix{}, err
	}
	return p.Masked(), nil
}

// Times sets the keys of the current time.
func (c Context) Times(now time.Time) {
	c.Set("aws:CurrentTime", now.UTC().Format(time.RFC3339))
	c.Set("aws:EpochTime", epoch(now))
}
