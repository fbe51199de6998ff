package s3api

import (
	"net/http"
	"slices"
	"strings"

	"meridian/metadata"
)

// A bucket is private or public-read, and its objects with it. That much of ACLs
// can be said and asked here; any other grant is refused.

const (
	allUsers    = "http://acs.amazonaws.com/groups/global/AllUsers"
	xsiInstance = "http://www.w3.org/2001/XMLSchema-instance"
)

var cannedACLs = []string{
	"private", "public-read", "public-read-write", "authenticated-read", "aws-exec-read",
	"bucket-owner-read", "bucket-owner-full-control", "log-delivery-write",
}

// grants says whether the request carries x-amz-grant-*.
func (c *call) grants() bool {
	grant := func(name string) bool { return strings.HasPrefix(strings.ToLower(name), "x-amz-grant-") }
	for name := range c.r.Header {
		if grant(name) {
			return true
		}
	}
	for name := range c.query { // of presigned URLs
		if grant(name) {
			return true
		}
	}
	return false
}

// bucketACLHeader is the visibility that x-amz-acl asks for, "" if it is not
// there.
func (c *call) bucketACLHeader() (string, error) {
	if c.grants() {
		return "", refuse(errNotImplemented, "").with("Header", "x-amz-grant")
	}
	acl := c.header("X-Amz-Acl")
	switch {
	case acl == "":
		return "", nil
	case acl == "private":
		return metadata.Private, nil
	case acl == "public-read":
		return metadata.PublicRead, nil
	case slices.Contains(cannedACLs, acl):
		return "", refuse(errNotImplemented, "").with("Header", "x-amz-acl")
	}
	return "", badArgument("x-amz-acl", asUTF8(acl), "")
}

func (c *call) getBucketACL() error {
	b, err := c.opts.Catalog.Bucket(c.r.Context(), c.bucket)
	if err != nil {
		return err
	}
	return c.sendACL(&b)
}

func (c *call) getObjectACL() error {
	if _, err := c.find(); err != nil {
		return err
	}
	return c.getBucketACL()
}

// putObjectACL takes the ACL that the object has already, which tools set again
// after a copy, and refuses any other as S3 does in a bucket without ACLs.
func (c *call) putObjectACL() error {
	data, err := c.readOptionalBody(smallXML)
	if err != nil {
		return err
	}
	if _, err := c.find(); err != nil {
		return err
	}
	b, err := c.opts.Catalog.Bucket(c.r.Context(), c.bucket)
	if err != nil {
		return err
	}
	canned := c.header("X-Amz-Acl") != ""
	switch {
	case canned && len(data) > 0:
		return errUnexpectedContent
	case !canned && !c.grants() && len(data) == 0:
		return refuse(errMissingSecurityHeader, "").with("MissingHeaderName", "x-amz-acl")
	case len(data) > 0:
		visibility, err := visibilityOf(data, b.Owner)
		if codeIs(err, errNotImplemented) || err == nil && visibility != b.Visibility {
			return errAccessControlListNotSupported
		}
		if err != nil {
			return err
		}
	}
	if err := c.checkObjectACL(&b); err != nil {
		return err
	}
	c.w.Header().Set("Content-Length", "0")
	c.w.WriteHeader(http.StatusOK)
	return nil
}

func (c *call) sendACL(b *metadata.Bucket) error {
	d := newDocument("AccessControlPolicy")
	c.writeOwner(d, "Owner", b.Owner)
	d.start("AccessControlList")
	d.buf.WriteString(`<Grant><Grantee xmlns:xsi="` + xsiInstance + `" xsi:type="CanonicalUser">`)
	d.elem("ID", b.Owner)
	d.elem("DisplayName", b.Owner)
	d.buf.WriteString(`</Grantee><Permission>FULL_CONTROL</Permission></Grant>`)
	if b.Visibility == metadata.PublicRead {
		d.buf.WriteString(`<Grant><Grantee xmlns:xsi="` + xsiInstance + `" xsi:type="Group">`)
		d.elem("URI", allUsers)
		d.buf.WriteString(`</Grantee><Permission>READ</Permission></Grant>`)
	}
	d.end("AccessControlList")
	return c.w.sendXML(d)
}

// writeOwner names a user.
func (c *call) writeOwner(d *document, element, user string) {
	d.start(element)
	d.elem("ID", user)
	d.elem("DisplayName", user)
	d.end(element)
}

// accessControlPolicy is the body of PutBucketAcl.
type accessControlPolicy struct {
	Owner struct {
		ID string `xml:"ID"`
	} `xml:"Owner"`
	Grants []grant `xml:"AccessControlList>Grant"`
}

type grant struct {
	Grantee struct {
		Type string `xml:"http://www.w3.org/2001/XMLSchema-instance type,attr"`
		ID   string `xml:"ID"`
		URI  string `xml:"URI"`
	} `xml:"Grantee"`
	Permission string `xml:"Permission"`
}

func (c *call) putBucketACL() error {
	visibility, err := c.bucketACLHeader()
	if err != nil {
		return err
	}
	data, err := c.readOptionalBody(smallXML)
	if err != nil {
		return err
	}
	switch {
	case visibility != "" && len(data) > 0:
		return errUnexpectedContent
	case visibility == "" && len(data) == 0:
		return refuse(errMissingSecurityHeader, "Your request was missing a required header").with("MissingHeaderName", "x-amz-acl")
	}
	_, err = c.opts.Catalog.UpdateBucket(c.r.Context(), c.bucket, func(b *metadata.Bucket) error {
		if visibility == "" {
			if visibility, err = visibilityOf(data, b.Owner); err != nil {
				return err
			}
		}
		b.Visibility = visibility
		return nil
	})
	if err != nil {
		return err
	}
	c.w.Header().Set("Content-Length", "0")
	c.w.WriteHeader(http.StatusOK)
	return nil
}

// visibilityOf reads an ACL that says no more than a visibility does.
func visibilityOf(data []byte, owner string) (string, error) {
	var p accessControlPolicy
	if err := parseXML(data, "AccessControlPolicy", &p); err != nil {
		return "", because(errMalformedACL, err)
	}
	if p.Owner.ID != owner {
		return "", errAccessDenied // an ACL does not change the owner
	}
	visibility, full := metadata.Private, false
	for _, g := range p.Grants {
		switch {
		case g.Grantee.ID == owner && g.Permission == "FULL_CONTROL":
			full = true
		case g.Grantee.URI == allUsers && g.Permission == "READ":
			visibility = metadata.PublicRead
		default:
			return "", refuse(errNotImplemented, "Grants other than FULL_CONTROL of the owner and READ of all users are not supported")
		}
	}
	if !full {
		return "", refuse(errNotImplemented, "The owner's FULL_CONTROL cannot be taken away")
	}
	return visibility, nil
}
