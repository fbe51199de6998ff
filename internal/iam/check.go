package iam

import (
	"slices"
	"strings"
)

// MaxBucketPolicy is the longest policy of a bucket in bytes.
const MaxBucketPolicy = 20 << 10

// CheckBucketPolicy refuses, with an Error, what AWS refuses as the policy of the
// bucket. known says which users there are.
func (p *Policy) CheckBucketPolicy(bucket string, known func(user string) (bool, error)) error {
	for i := range p.statements {
		s := &p.statements[i]
		switch {
		case s.principals == nil:
			return Error("Missing required field Principal")
		case s.notPrincipal && !s.deny:
			return Error("Allow with NotPrincipal is not allowed.")
		}
		for _, user := range s.principals.named {
			if ok, err := known(user); err != nil {
				return err
			} else if !ok {
				return errPrincipal
			}
		}
		if err := s.checkActions(); err != nil {
			return err
		}
		if err := s.checkResources(bucket); err != nil {
			return err
		}
		if err := s.checkConditions(); err != nil {
			return err
		}
		if err := s.checkScope(bucket); err != nil {
			return err
		}
	}
	return nil
}

// CheckIdentityPolicy refuses, with an Error, what cannot be the policy of a user.
// Actions and condition keys of other services than S3 may be in it: they allow
// nothing here.
func (p *Policy) CheckIdentityPolicy() error {
	for i := range p.statements {
		s := &p.statements[i]
		if s.principals != nil {
			return Error("Policy document should not specify a principal.")
		}
		for j := range s.actions {
			if strings.HasPrefix(s.actions[j].text, "s3:") && !s.actions[j].known() {
				return errAction
			}
		}
	}
	return nil
}

// known says whether the pattern describes anything that S3 does.
func (p *pattern) known() bool { return p.matchesAny(bucketActions) || p.matchesAny(objectActions) }

func (s *statement) checkActions() error {
	for i := range s.actions {
		if a := &s.actions[i]; a.text != "*" && (!strings.HasPrefix(a.text, "s3:") || !a.known()) {
			return errAction
		}
	}
	return nil
}

// checkResources wants that every resource is of the bucket.
func (s *statement) checkResources(bucket string) error {
	for i := range s.resources {
		text, ok := strings.CutPrefix(s.resources[i].text, s3Prefix)
		if !ok || text == "" {
			return errResource
		}
		name, _, _ := strings.Cut(text, "/")
		p, ok := compile(name, true, false)
		if !ok {
			return errResource
		}
		if ok, _ := p.match(bucket, nil); !ok && !s.resources[i].mayBegin(ObjectARN(bucket, "")) {
			return errResource
		}
	}
	return nil
}

// checkScope wants that every action can be done to one of the resources.
func (s *statement) checkScope(bucket string) error {
	if s.notAction || s.notResource {
		return nil
	}
	ofBucket, ofObjects := false, false
	for i := range s.resources {
		ok, known := s.resources[i].match(BucketARN(bucket), nil)
		ofBucket = ofBucket || ok || !known
		ofObjects = ofObjects || s.resources[i].mayBegin(ObjectARN(bucket, ""))
	}
	for i := range s.actions {
		a := &s.actions[i]
		if !(ofBucket && a.matchesAny(bucketActions)) && !(ofObjects && a.matchesAny(objectActions)) {
			return Error("Action does not apply to any resource(s) in statement")
		}
	}
	return nil
}

// limited are the keys that only requests of some actions have. A statement that
// names others would never apply to them as its author meant.
var limited = func() map[string][]string {
	lists := actionSet("ListBucket ListBucketVersions")
	acls := actionSet("CreateBucket PutBucketAcl PutObject PutObjectAcl PutObjectVersionAcl")
	versions := actionSet(`DeleteObjectVersion DeleteObjectVersionTagging GetObjectVersion GetObjectVersionAcl
		GetObjectVersionAttributes GetObjectVersionTagging PutObjectVersionAcl PutObjectVersionTagging
		GetObjectVersionTorrent BypassGovernanceRetention GetObjectLegalHold GetObjectRetention PutObjectLegalHold
		PutObjectRetention RestoreObject`)
	puts := actionSet("PutObject ReplicateObject")
	m := map[string][]string{
		"s3:prefix": lists, "s3:delimiter": lists, "s3:max-keys": lists,
		"s3:x-amz-acl": acls, "s3:versionid": versions, "s3:locationconstraint": actionSet("CreateBucket"),
		"s3:x-amz-copy-source": puts, "s3:x-amz-metadata-directive": puts, "s3:x-amz-storage-class": puts,
	}
	for _, permission := range []string{"read", "write", "read-acp", "write-acp", "full-control"} {
		m["s3:x-amz-grant-"+permission] = acls
	}
	return m
}()

// general are the keys that any request may have; those that end in a slash are
// followed by a tag.
var general = []string{
	"aws:calledvia", "aws:calledviafirst", "aws:calledvialast", "aws:currenttime", "aws:epochtime",
	"aws:multifactorauthage", "aws:multifactorauthpresent", "aws:principalaccount", "aws:principalarn",
	"aws:principalisawsservice", "aws:principalorgid", "aws:principalorgpaths", "aws:principalservicename",
	"aws:principalservicenameslist", "aws:principaltag/", "aws:principaltype", "aws:referer",
	"aws:requestedregion", "aws:requesttag/", "aws:resourceaccount", "aws:resourceorgid", "aws:resourceorgpaths",
	"aws:resourcetag/", "aws:securetransport", "aws:sourceaccount", "aws:sourcearn", "aws:sourceip",
	"aws:sourceorgid", "aws:sourceowner", "aws:sourcevpc", "aws:sourcevpce", "aws:tagkeys",
	"aws:tokenissuetime", "aws:useragent", "aws:userid", "aws:username", "aws:viaawsservice",
	"aws:vpcsourceip",
	"s3:accesspointnetworkorigin", "s3:authtype", "s3:dataaccesspointaccount", "s3:dataaccesspointarn",
	"s3:existingobjecttag/", "s3:if-match", "s3:if-none-match", "s3:object-lock-legal-hold",
	"s3:object-lock-mode", "s3:object-lock-remaining-retention-days", "s3:object-lock-retain-until-date",
	"s3:objectcreationoperation", "s3:requestobjecttag/", "s3:requestobjecttagkeys", "s3:resourceaccount",
	"s3:signatureage", "s3:signatureversion", "s3:tlsversion", "s3:x-amz-content-sha256",
	"s3:x-amz-object-ownership", "s3:x-amz-server-side-encryption",
	"s3:x-amz-server-side-encryption-aws-kms-key-id",
	"s3:x-amz-server-side-encryption-customer-algorithm", "s3:x-amz-website-redirect-location",
}

// checkConditions wants keys that there are, and that the actions have. An action
// that stands for several is not held to that: some of them may.
func (s *statement) checkConditions() error {
	for i := range s.conditions {
		c := &s.conditions[i]
		actions, isLimited := limited[c.key]
		name, _, tagged := strings.Cut(c.key, "/")
		if tagged {
			name += "/"
		}
		if !isLimited && !slices.Contains(general, name) {
			return Error("Policy has an invalid condition key")
		}
		for j := range s.actions {
			a := &s.actions[j]
			if isLimited && !s.notAction && !strings.ContainsAny(a.text, "*?") && !slices.Contains(actions, a.text) {
				return Error("Conditions do not apply to combination of actions and resources in statement")
			}
		}
		if c.key == "aws:sourceip" {
			for _, v := range c.values {
				if _, err := parseNetwork(v.text); err != nil {
					return errIP
				}
			}
		}
	}
	return nil
}
