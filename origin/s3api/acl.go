package s3api

import (
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"

	"meridian/metadata"
	"meridian/metadata/access"
)

// The access control lists of buckets and objects: by name, by x-amz-grant-*
// headers or as XML. What they mean is for package access to say.
//
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/acl-overview.html

const xsiInstance = "http://www.w3.org/2001/XMLSchema-instance"

// groupURIs are how ACLs name groups.
var groupURIs = map[string]string{
	metadata.AllUsers:           "http://acs.amazonaws.com/groups/global/AllUsers",
	metadata.AuthenticatedUsers: "http://acs.amazonaws.com/groups/global/AuthenticatedUsers",
	metadata.LogDelivery:        "http://acs.amazonaws.com/groups/s3/LogDelivery",
}

// grantHeaders are the headers that grant a permission.
var grantHeaders = []struct{ name, permission string }{
	{"X-Amz-Grant-Read", metadata.PermitRead}, {"X-Amz-Grant-Write", metadata.PermitWrite},
	{"X-Amz-Grant-Read-Acp", metadata.PermitReadACP}, {"X-Amz-Grant-Write-Acp", metadata.PermitWriteACP},
	{"X-Amz-Grant-Full-Control", metadata.FullControl},
}

func (c *call) hasGrants() bool {
	return slices.ContainsFunc(grantHeaders, func(h struct{ name, permission string }) bool { return c.header(h.name) != "" })
}

const bucketOwnerFullControl = "bucket-owner-full-control"

// aclOfHeaders is the ACL that the headers ask for, nil where they ask for none.
func (c *call) aclOfHeaders(owner, bucketOwner string, ofObject bool) (*metadata.ACL, error) {
	canned := c.header("X-Amz-Acl")
	switch {
	case canned != "" && c.hasGrants():
		return nil, refuse(errInvalidRequest, "Specifying both Canned ACLs and Header Grants is not allowed.")
	case canned != "":
		acl, ok := access.Canned(canned, owner, bucketOwner, ofObject)
		if !ok {
			return nil, badArgument("x-amz-acl", asUTF8(canned), "")
		}
		return acl, nil
	case !c.hasGrants():
		return nil, nil //nolint:nilnil // as documented
	}
	acl := &metadata.ACL{Owner: owner}
	for _, h := range grantHeaders {
		for one := range strings.SplitSeq(c.header(h.name), ",") {
			if one = strings.TrimSpace(one); one == "" {
				continue
			}
			g, err := c.granteeOf(strings.ToLower(h.name), asUTF8(one))
			if err != nil {
				return nil, err
			}
			g.Permission = h.permission
			acl.Grants = append(acl.Grants, g)
		}
	}
	return acl, acl.Check()
}

// granteeOf reads one grantee of a header: id="...", uri="..." or
// emailAddress="...".
func (c *call) granteeOf(header, text string) (metadata.Grant, error) {
	kind, value, ok := strings.Cut(text, "=")
	if !ok {
		kind, value = "id", text
	}
	value = strings.Trim(strings.TrimSpace(value), `"`)
	switch strings.ToLower(strings.TrimSpace(kind)) {
	case "id":
		return c.userGrant(value)
	case "uri":
		return groupGrant(value)
	case "emailaddress":
		return c.emailGrant(value)
	}
	return metadata.Grant{}, badArgument(header, text, "Argument format not recognized")
}

func (c *call) userGrant(id string) (metadata.Grant, error) {
	ok, err := c.isUser(id)
	if err == nil && !ok {
		err = badArgument("CanonicalUser/ID", id, "Invalid id")
	}
	return metadata.Grant{User: id}, err
}

func groupGrant(uri string) (metadata.Grant, error) {
	for group, u := range groupURIs {
		if u == uri {
			return metadata.Grant{Group: group}, nil
		}
	}
	return metadata.Grant{}, badArgument("uri", uri, "Invalid group uri")
}

// emailGrant finds a user who is called like their address; others are not known
// by one.
func (c *call) emailGrant(address string) (metadata.Grant, error) {
	g, err := c.userGrant(address)
	if codeIs(err, errInvalidArgument) {
		err = errUnresolvableEmail
	}
	return g, err
}

// accessControlPolicy is an ACL as XML.
type accessControlPolicy struct {
	Owner *struct {
		ID   string   `xml:"ID"`
		Name struct{} `xml:"DisplayName"`
	} `xml:"Owner"`
	List *struct {
		Grants []grant `xml:"Grant"`
	} `xml:"AccessControlList"`
}

type grant struct {
	Grantee struct {
		Type  string   `xml:"http://www.w3.org/2001/XMLSchema-instance type,attr"`
		ID    string   `xml:"ID"`
		Name  struct{} `xml:"DisplayName"`
		URI   string   `xml:"URI"`
		Email string   `xml:"EmailAddress"`
	} `xml:"Grantee"`
	Permission string `xml:"Permission"`
}

// readACL reads an ACL as XML, without looking at whom it names.
func readACL(data []byte) (*accessControlPolicy, error) {
	var p accessControlPolicy
	if err := parseXML(data, "AccessControlPolicy", &p); err != nil {
		return nil, because(errMalformedACL, err)
	}
	if p.Owner == nil || p.Owner.ID == "" || p.List == nil {
		return nil, because(errMalformedACL, errors.New("owner or list is missing"))
	}
	for _, g := range p.List.Grants {
		check := metadata.ACL{Grants: []metadata.Grant{{User: "x", Permission: g.Permission}}}
		if err := check.Check(); err != nil {
			return nil, because(errMalformedACL, err)
		}
		named := map[string]string{"CanonicalUser": g.Grantee.ID, "Group": g.Grantee.URI, "AmazonCustomerByEmail": g.Grantee.Email}
		if named[g.Grantee.Type] == "" {
			return nil, because(errMalformedACL, errors.New("grantee without a name"))
		}
	}
	return &p, nil
}

// aclOf is the ACL that XML describes. It does not change the owner.
func (c *call) aclOf(p *accessControlPolicy, owner string) (*metadata.ACL, error) {
	if p.Owner.ID != owner {
		if _, err := c.userGrant(p.Owner.ID); err != nil {
			return nil, err
		}
		return nil, errAccessDenied
	}
	acl := &metadata.ACL{Owner: owner}
	for _, g := range p.List.Grants {
		var to metadata.Grant
		var err error
		switch g.Grantee.Type {
		case "CanonicalUser":
			if to.User = g.Grantee.ID; to.User != owner {
				to, err = c.userGrant(g.Grantee.ID)
			}
		case "Group":
			to, err = groupGrant(g.Grantee.URI)
		default:
			to, err = c.emailGrant(g.Grantee.Email)
		}
		if err != nil {
			return nil, err
		}
		to.Permission = g.Permission
		acl.Grants = append(acl.Grants, to)
	}
	return acl, acl.Check()
}

// requestedACL is a function that makes the ACL which the request sets, once it is
// known whose the bucket or object is. What the request says is read before.
func (c *call) requestedACL(ofObject bool) (func(owner, bucketOwner string) (*metadata.ACL, error), error) {
	data, err := c.readOptionalBody(smallXML)
	if err != nil {
		return nil, err
	}
	headers := c.header("X-Amz-Acl") != "" || c.hasGrants()
	switch {
	case headers && len(data) > 0:
		return nil, errUnexpectedContent
	case headers:
		return func(owner, bucketOwner string) (*metadata.ACL, error) {
			return c.aclOfHeaders(owner, bucketOwner, ofObject)
		}, nil
	case len(data) == 0:
		return nil, refuse(errMissingSecurityHeader, "").with("MissingHeaderName", "x-amz-acl")
	}
	p, err := readACL(data)
	if err != nil {
		return nil, err
	}
	return func(owner, _ string) (*metadata.ACL, error) { return c.aclOf(p, owner) }, nil
}

// admitACL refuses a public ACL where the bucket blocks those.
func admitACL(b *access.Bucket, acl *metadata.ACL) error {
	if b.Block != nil && b.Block.BlockACLs && acl.IsPublic() {
		return refuse(errAccessDenied, "Public access control lists (ACLs) are blocked by the BlockPublicAcls block public access setting.")
	}
	return nil
}

func (c *call) putBucketACL() error {
	b, err := readAccess(c.r.Context(), c.opts.Catalog, c.bucket)
	if err != nil {
		return err
	}
	if !b.ACLs() {
		return errAccessControlListNotSupported
	}
	requested, err := c.requestedACL(false)
	if err != nil {
		return err
	}
	acl, err := requested(b.Owner, b.Owner)
	if err != nil {
		return err
	}
	document, err := json.Marshal(acl)
	if err != nil {
		return err
	}
	return c.configure(http.StatusOK, func(b *metadata.Bucket, a *access.Bucket) error {
		if !a.ACLs() {
			return errAccessControlListNotSupported
		}
		b.Config[access.ConfigACL] = document
		return admitACL(a, acl)
	})
}

func (c *call) getBucketACL() error {
	b, err := readAccess(c.r.Context(), c.opts.Catalog, c.bucket)
	if err != nil {
		return err
	}
	acl := b.BucketACL()
	if !b.ACLs() {
		acl = access.Private(b.Owner)
	}
	return c.sendACL(acl)
}

func (c *call) getObjectACL() error {
	v, err := c.find()
	if err != nil {
		return err
	}
	b, err := readAccess(c.r.Context(), c.opts.Catalog, c.bucket)
	if err != nil {
		return err
	}
	if id := c.tellVersion(&v); id != "" {
		c.w.Header().Set("X-Amz-Version-Id", id)
	}
	if v.ACL == nil || !b.ACLs() {
		return c.sendACL(access.Private(b.Owner))
	}
	return c.sendACL(v.ACL)
}

// putObjectACL changes the ACL of a version in its place.
func (c *call) putObjectACL() error {
	id, err := c.versionID()
	if err != nil {
		return err
	}
	b, err := readAccess(c.r.Context(), c.opts.Catalog, c.bucket)
	if err != nil {
		return err
	}
	if !b.ACLs() {
		return errAccessControlListNotSupported
	}
	requested, err := c.requestedACL(true)
	if err != nil {
		return err
	}
	ref := metadata.Ref{Bucket: c.bucket, Key: c.key, VersionID: id}
	v, err := c.opts.Objects.Stat(c.r.Context(), ref)
	if err != nil {
		return err
	}
	owner := b.Owner
	if v.ACL != nil {
		owner = v.ACL.Owner
	}
	acl, err := requested(owner, b.Owner)
	if err != nil {
		return err
	}
	if err := admitACL(b, acl); err != nil {
		return err
	}
	if err := c.noteObjectACLs(b); err != nil {
		return err
	}
	ref.VersionID = v.ID
	v, err = c.opts.Catalog.UpdateVersion(c.r.Context(), ref, c.cause(""), func(v *metadata.Version) error {
		if v.ACL != nil && v.ACL.Owner != owner {
			return errAccessDenied // somebody else's by now
		}
		v.ACL = acl
		return nil
	})
	if err != nil {
		return err
	}
	if id := c.tellVersion(&v); id != "" {
		c.w.Header().Set("X-Amz-Version-Id", id)
	}
	c.writeWritten(&v)
	c.w.Header().Set("Content-Length", "0")
	c.w.WriteHeader(http.StatusOK)
	return nil
}

// noteObjectACLs makes everybody who decides about the bucket look at its objects,
// before the first of them has an ACL.
func (c *call) noteObjectACLs(b *access.Bucket) error {
	if b.ObjectACLs {
		return nil
	}
	_, err := c.opts.Catalog.UpdateBucket(c.r.Context(), c.bucket, func(b *metadata.Bucket) error {
		b.Config[access.ConfigObjectACLs] = json.RawMessage("true")
		return nil
	})
	c.grants.forget(c.bucket)
	return err
}

// setACL gives a new object the ACL that its headers ask for, and its owner.
func (c *call) setACL(bucket *metadata.Bucket, v *metadata.Version) error {
	b, err := access.Of(bucket)
	if err != nil {
		return err
	}
	canned := c.header("X-Amz-Acl")
	// Who writes by their role does it for the bucket's owner.
	owner := b.Owner
	if c.who.Role == metadata.RoleUser {
		owner = c.who.User
	}
	asked, err := c.aclOfHeaders(owner, b.Owner, true)
	if err != nil {
		return err
	}
	if asked != nil && !b.ACLs() && canned != bucketOwnerFullControl {
		return errAccessControlListNotSupported
	}
	if err := admitACL(b, asked); err != nil {
		return err
	}
	if v.ACL, v.Owner = b.OfObject(&c.who.Caller, asked, canned == bucketOwnerFullControl); v.ACL != nil {
		return c.noteObjectACLs(b)
	}
	return nil
}

// sendACL answers with an ACL: what its owner has first, as S3 does it.
func (c *call) sendACL(acl *metadata.ACL) error {
	d := newDocument("AccessControlPolicy")
	c.writeOwner(d, "Owner", acl.Owner)
	d.start("AccessControlList")
	// What the order says nothing of is told as Ceph tells it, since tools that
	// were written against that look for it: groups first, then users.
	for _, groups := range []bool{true, false} {
		for _, g := range acl.Grants {
			if (g.Group != "") == groups {
				writeGrant(d, g)
			}
		}
	}
	d.end("AccessControlList")
	return c.w.sendXML(d)
}

func writeGrant(d *document, g metadata.Grant) {
	kind := "CanonicalUser"
	if g.Group != "" {
		kind = "Group"
	}
	d.start("Grant")
	d.buf.WriteString(`<Grantee xmlns:xsi="` + xsiInstance + `" xsi:type="` + kind + `">`)
	if g.Group != "" {
		d.elem("URI", groupURIs[g.Group])
	} else {
		d.elem("ID", g.User)
		d.elem("DisplayName", g.User)
	}
	d.end("Grantee")
	d.elem("Permission", g.Permission)
	d.end("Grant")
}

// writeOwner names a user.
func (c *call) writeOwner(d *document, element, user string) {
	d.start(element)
	d.elem("ID", user)
	d.elem("DisplayName", user)
	d.end(element)
}
