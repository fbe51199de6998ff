package metadata

import "slices"

// ACL is an access control list: who owns a bucket or an object, and what others
// may do with it. Users are named as access keys name them.
type ACL struct {
	Owner  string  `json:"owner"`
	Grants []Grant `json:"grants,omitempty"`
}

// Grant gives a permission to a user or a group, one of the two.
type Grant struct {
	User       string `json:"user,omitempty"`
	Group      string `json:"group,omitempty"`
	Permission string `json:"permission"`
}

// Groups of a Grant.
const (
	AllUsers           = "AllUsers"
	AuthenticatedUsers = "AuthenticatedUsers"
	LogDelivery        = "LogDelivery"
)

// Permissions of a Grant.
const (
	FullControl    = "FULL_CONTROL"
	PermitRead     = "READ"
	PermitWrite    = "WRITE"
	PermitReadACP  = "READ_ACP"
	PermitWriteACP = "WRITE_ACP"
)

// MaxGrants is how many grants an ACL may hold.
const MaxGrants = 100

// IsPublic says whether the ACL gives anything to groups that anybody can be in.
func (a *ACL) IsPublic() bool {
	return a != nil && slices.ContainsFunc(a.Grants, Grant.public)
}

func (g Grant) public() bool { return g.Group == AllUsers || g.Group == AuthenticatedUsers }

// Allows says whether the ACL gives the permission to a user, empty for anonymous
// callers. withoutPublic leaves out what it gives to groups that anybody can be
// in.
func (a *ACL) Allows(user, permission string, withoutPublic bool) bool {
	return slices.ContainsFunc(a.Grants, func(g Grant) bool {
		if g.Permission != permission && g.Permission != FullControl || withoutPublic && g.public() {
			return false
		}
		switch g.Group {
		case AllUsers:
			return true
		case AuthenticatedUsers:
			return user != ""
		case "":
			return user != "" && g.User == user
		}
		return false
	})
}

// Check refuses an ACL that cannot be kept.
func (a *ACL) Check() error {
	if len(a.Grants) > MaxGrants {
		return Invalidf("ACL has %d grants, more than %d", len(a.Grants), MaxGrants)
	}
	for _, g := range a.Grants {
		if (g.User == "") == (g.Group == "") {
			return Invalidf("grant names neither a user nor a group, or both")
		}
		if g.Group != "" && g.Group != AllUsers && g.Group != AuthenticatedUsers && g.Group != LogDelivery {
			return Invalidf("group %q is unknown", g.Group)
		}
		switch g.Permission {
		case FullControl, PermitRead, PermitWrite, PermitReadACP, PermitWriteACP:
		default:
			return Invalidf("permission %q is unknown", g.Permission)
		}
	}
	return nil
}
