package access

import "meridian/metadata"

// Canned are the ACLs that have names. Those of objects are told whose the bucket
// is, too.
//
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/acl-overview.html#canned-acl
func Canned(name, owner, bucketOwner string, ofObject bool) (acl *metadata.ACL, ok bool) {
	acl = Private(owner)
	group := func(group string, permissions ...string) {
		for _, p := range permissions {
			acl.Grants = append(acl.Grants, metadata.Grant{Group: group, Permission: p})
		}
	}
	switch name {
	case "private", "aws-exec-read": // there is nobody of EC2 here to read it
	case "public-read":
		group(metadata.AllUsers, metadata.PermitRead)
	case "public-read-write":
		group(metadata.AllUsers, metadata.PermitRead, metadata.PermitWrite)
	case "authenticated-read":
		group(metadata.AuthenticatedUsers, metadata.PermitRead)
	case "log-delivery-write":
		group(metadata.LogDelivery, metadata.PermitWrite, metadata.PermitReadACP)
	case "bucket-owner-read", "bucket-owner-full-control":
		permission := metadata.FullControl
		if name == "bucket-owner-read" {
			permission = metadata.PermitRead
		}
		if ofObject && owner != bucketOwner {
			acl.Grants = append(acl.Grants, metadata.Grant{User: bucketOwner, Permission: permission})
		}
	default:
		return nil, false
	}
	return acl, true
}

// OfObject is the ACL that an object gets which c writes, nil where it is as the
// bucket's owner has it, and whose the object is. asked is the ACL that c asks
// for, and nil without one; fullControl says that it is that of the name
// bucket-owner-full-control. Whoever writes to a bucket by their role, or
// with a key that has a policy, does it for its owner.
func (b *Bucket) OfObject(c *Caller, asked *metadata.ACL, fullControl bool) (acl *metadata.ACL, owner string) {
	own := c.User == b.Owner || c.Role == metadata.RoleAdmin || c.Role == metadata.RoleReadWrite || c.Limited()
	switch {
	case !b.ACLs(), b.Ownership == Preferred && fullControl:
		return nil, b.Owner
	case own && (asked == nil || isPrivate(asked)):
		return nil, c.User
	case asked != nil:
		return asked, asked.Owner
	case c.User == "": // whoever that was, the owner of the bucket has it now
		return nil, b.Owner
	}
	return Private(c.User), c.User
}

// isPrivate says whether an ACL gives everything to its owner and nothing to
// others.
func isPrivate(a *metadata.ACL) bool {
	return len(a.Grants) == 1 && a.Grants[0] == metadata.Grant{User: a.Owner, Permission: metadata.FullControl}
}
