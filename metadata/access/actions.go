package access

import (
	"strings"

	"meridian/metadata"
)

// IsRead says whether an action changes nothing.
func IsRead(action string) bool {
	return strings.HasPrefix(action, "s3:Get") || strings.HasPrefix(action, "s3:List")
}

// The permissions of ACLs that actions take.
//
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/acl-overview.html#acl-access-policy-permission-mapping
var (
	ofBucketACL = map[string]string{
		"s3:ListBucket":                 metadata.PermitRead,
		"s3:ListBucketVersions":         metadata.PermitRead,
		"s3:ListBucketMultipartUploads": metadata.PermitRead,
		"s3:PutObject":                  metadata.PermitWrite,
		"s3:DeleteObject":               metadata.PermitWrite,
		"s3:GetBucketAcl":               metadata.PermitReadACP,
		"s3:PutBucketAcl":               metadata.PermitWriteACP,
	}
	ofObjectACL = map[string]string{
		"s3:GetObject":                  metadata.PermitRead,
		"s3:GetObjectVersion":           metadata.PermitRead,
		"s3:GetObjectAttributes":        metadata.PermitRead,
		"s3:GetObjectVersionAttributes": metadata.PermitRead,
		"s3:GetObjectAcl":               metadata.PermitReadACP,
		"s3:GetObjectVersionAcl":        metadata.PermitReadACP,
		"s3:PutObjectAcl":               metadata.PermitWriteACP,
		"s3:PutObjectVersionAcl":        metadata.PermitWriteACP,
	}
)

// permissionFor is the permission that allows a request, of the bucket's ACL or
// of the object's; empty where none does.
func permissionFor(r *Request) (permission string, ofObject bool) {
	if r.Creates {
		return metadata.PermitWrite, false
	}
	if p := ofObjectACL[r.Action]; p != "" {
		return p, true
	}
	return ofBucketACL[r.Action], false
}
