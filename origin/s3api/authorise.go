package s3api

import (
	"context"
	"errors"
	"slices"
	"strings"

	"meridian/internal/iam"
	"meridian/metadata"
	"meridian/metadata/access"
)

// authorise says whether c.who may do c.op.
func (c *call) authorise() error {
	ok, reads := true, c.op.access == read || c.op.access == readObject
	switch {
	case metadata.IsSystemBucket(c.bucket):
		// Nodes put and delete single objects; the bucket itself is nobody's.
		ok = c.who.node && (reads || c.op.access == write && c.key != "")
	case c.who.node:
		ok = reads
	case c.op.access == perKey && c.who.anonymous():
		// Many keys are much to read for somebody who can do nothing to any.
		b, err := c.accessTo(c.bucket)
		if err != nil {
			return err
		}
		ok = b.Policy != nil || b.BucketACL().Allows("", metadata.PermitWrite, false)
	case c.op.access == signedForm, c.op.access == perKey, c.op.access == perBody: // later
	default:
		if err := c.permitOperation(); err != nil {
			return err
		}
	}
	if !ok {
		return errAccessDenied
	}
	return c.expectOwner()
}

const anonymousRefusal = "Anonymous users cannot invoke this API. Please authenticate."

// anonymousRefusals are what S3 tells anonymous callers of the operations that
// nothing lets them do: no policy, and no ACL.
var anonymousRefusals = map[string]string{
	"CreateBucket": anonymousRefusal, "PutBucketAcl": anonymousRefusal, "PutObjectAcl": anonymousRefusal,
	"SelectObjectContent":           anonymousRefusal,
	"CreateMultipartUpload":         "Anonymous users cannot initiate multipart uploads. Please authenticate.",
	"CopyObject":                    "Anonymous users cannot copy objects. Please authenticate.",
	"GetBucketOwnershipControls":    "s3:GetBucketOwnershipControls does not support Anonymous requests!",
	"PutBucketOwnershipControls":    "s3:PutBucketOwnershipControls does not support Anonymous requests!",
	"DeleteBucketOwnershipControls": "s3:PutBucketOwnershipControls does not support Anonymous requests!",
}

// needsUser is what S3 tells anonymous callers of the operation, "" if they may
// be let do it.
func (c *call) needsUser() string {
	if c.op.name == "PutObject" && c.header("X-Amz-Copy-Source") != "" {
		return anonymousRefusals["CopyObject"]
	}
	return anonymousRefusals[c.op.name]
}

// permitOperation asks the bucket for all that the operation does.
func (c *call) permitOperation() error {
	if text := c.needsUser(); text != "" && c.who.anonymous() {
		return refuse(errAccessDenied, "%s", text)
	}
	b, err := c.subject()
	if err != nil {
		return err
	}
	versioned := c.query.Has("versionId")
	r := c.request(actionOf(c.op.name, versioned), c.key, c.query.Get("versionId"))
	if c.op.name == "AbortMultipartUpload" || c.op.name == "ListParts" {
		r.Initiator = c.initiator
	}
	if err := c.permit(b, r); err != nil {
		return c.orMissing(b, r, err)
	}
	if c.op.name == "GetObjectAttributes" { // which takes both
		if err := c.permit(b, c.request(actionOf("GetObject", versioned), c.key, c.query.Get("versionId"))); err != nil {
			return err
		}
	}
	etag, like := c.compares()
	if err := c.permitCompare(b, c.key, c.query.Get("versionId"), etag, like); err != nil {
		return err
	}
	for _, action := range c.alsoDoes(b) {
		r := c.request(action, c.key, "")
		r.Creates = true
		if err := c.permit(b, r); err != nil {
			return err
		}
	}
	if c.who.anonymous() && strings.HasSuffix(c.op.name, "BucketPolicy") { // which needs an account, whatever the policy says
		return refuse(errMethodNotAllowed, "").with("Method", c.r.Method).with("ResourceType", "BUCKETPOLICY")
	}
	return nil
}

// subject is the bucket that decides about c.op. Who makes a bucket, or lists
// theirs, is treated as its owner would be.
func (c *call) subject() (*access.Bucket, error) {
	if c.bucket == "" || c.op.name == "CreateBucket" {
		if c.who.anonymous() {
			return nil, errAccessDenied
		}
		return &access.Bucket{Name: c.bucket, Owner: c.who.User}, nil
	}
	return c.accessTo(c.bucket)
}

// accessTo is what counts of a bucket. To those whom their role lets in, what is
// newly forbidden may be allowed for recentTTL still; nobody else is let in by
// what was true a moment ago.
func (c *call) accessTo(bucket string) (*access.Bucket, error) {
	ctx := c.r.Context()
	if c.who.byRole() {
		return c.grants.get(ctx, bucket)
	}
	return readAccess(ctx, c.opts.Catalog, bucket)
}

func readAccess(ctx context.Context, catalog Catalog, bucket string) (*access.Bucket, error) {
	b, err := catalog.Bucket(ctx, bucket)
	if err != nil {
		return nil, err
	}
	return access.Of(&b)
}

// byRole says whether the caller may use every bucket.
func (i identity) byRole() bool {
	return i.Role == metadata.RoleAdmin || i.Role == metadata.RoleReadWrite || i.Role == metadata.RoleReadOnly
}

// request is the question whether c.who may do an action to the bucket, or to a
// version of an object in it.
func (c *call) request(action, key, version string) *access.Request {
	return &access.Request{Action: action, Key: key, Conditions: c.conditions, Object: func() (*access.Object, error) {
		return c.objectOf(metadata.Ref{Bucket: c.bucket, Key: key, VersionID: version})
	}}
}

// objectOf is what counts of an object, nil if there is none.
func (c *call) objectOf(r metadata.Ref) (*access.Object, error) {
	v, err := c.opts.Catalog.Lookup(c.r.Context(), r)
	switch {
	case errors.Is(err, metadata.ErrNoSuchKey), errors.Is(err, metadata.ErrNoSuchVersion), errors.Is(err, metadata.ErrDeleteMarker):
		return nil, nil //nolint:nilnil // as documented
	case err != nil:
		return nil, err
	}
	return access.ObjectOf(&v), nil
}

// permit refuses what b does not allow. Of nodes authorise has said all.
func (c *call) permit(b *access.Bucket, r *access.Request) error {
	if c.who.node {
		return nil
	}
	verdict, err := b.Decide(&c.who.Caller, r)
	if err != nil {
		return err
	}
	by := "a resource-based policy"
	switch verdict {
	case access.Allowed:
		return nil
	case access.DeniedByCaller:
		by = "an identity-based policy"
	case access.DeniedByBucket:
		if c.who.anonymous() {
			return errAccessDenied
		}
	default:
		return errAccessDenied
	}
	resource := iam.BucketARN(b.Name)
	if r.Key != "" {
		resource = iam.ObjectARN(b.Name, r.Key)
	}
	return refuse(errAccessDenied, "User: %s is not authorized to perform: %s on resource: %q with an explicit deny in %s",
		c.who.User, r.Action, resource, by)
}

// may says whether the caller may do another action to the object as well.
func (c *call) may(action string) bool {
	b, err := c.accessTo(c.bucket)
	return err == nil && c.permit(b, c.request(action, c.key, c.query.Get("versionId"))) == nil
}

// mayList says whether the caller may learn which keys the bucket has, that of
// the request among them.
func (c *call) mayList() bool {
	b, err := c.accessTo(c.bucket)
	if err != nil {
		return false
	}
	r := c.request("s3:ListBucket", "", "")
	r.Conditions = c.conditionsAnd("s3:prefix", c.key)
	return c.permit(b, r) == nil
}

// initiator is who began the upload of the request, nobody where there is none.
func (c *call) initiator() (string, error) {
	u, err := c.upload()
	if errors.Is(err, metadata.ErrNoSuchUpload) {
		return "", nil
	}
	return u.Initiator, err
}

// orMissing is why a request was not permitted: what is not there, nobody gave
// leave to read, and S3 says that it is not there to those who may list the bucket.
func (c *call) orMissing(b *access.Bucket, r *access.Request, refused error) error {
	if c.op.access != readObject || !c.mayList() {
		return refused
	}
	if verdict, err := b.Decide(&c.who.Caller, r); err != nil || verdict != access.Refused {
		return refused // somebody denied it, or it cannot be known
	}
	if _, err := c.find(); codeIs(err, errNoSuchKey) || codeIs(err, errNoSuchVersion) {
		return err
	}
	return refused
}

// actionsOf are the actions of the operations whose names say another.
var actionsOf = map[string]string{
	"ListBuckets": "ListAllMyBuckets", "HeadBucket": "ListBucket", "ListObjects": "ListBucket", "ListObjectsV2": "ListBucket",
	"ListObjectVersions": "ListBucketVersions", "ListMultipartUploads": "ListBucketMultipartUploads", "ListParts": "ListMultipartUploadParts",
	"HeadObject": "GetObject", "SelectObjectContent": "GetObject", "CreateMultipartUpload": "PutObject", "UploadPart": "PutObject", "CompleteMultipartUpload": "PutObject",
	"PostObject": "PutObject", "GetBucketCors": "GetBucketCORS", "PutBucketCors": "PutBucketCORS", "DeleteBucketCors": "PutBucketCORS",
	"DeleteBucketTagging": "PutBucketTagging", "DeleteBucketOwnershipControls": "PutBucketOwnershipControls",
	"GetPublicAccessBlock": "GetBucketPublicAccessBlock", "PutPublicAccessBlock": "PutBucketPublicAccessBlock",
	"DeletePublicAccessBlock": "PutBucketPublicAccessBlock", "GetBucketEncryption": "GetEncryptionConfiguration",
	"PutBucketEncryption": "PutEncryptionConfiguration", "DeleteBucketEncryption": "PutEncryptionConfiguration",
	"GetBucketLifecycleConfiguration": "GetLifecycleConfiguration", "PutBucketLifecycleConfiguration": "PutLifecycleConfiguration",
	"DeleteBucketLifecycle": "PutLifecycleConfiguration", "GetObjectLockConfiguration": "GetBucketObjectLockConfiguration",
	"PutObjectLockConfiguration": "PutBucketObjectLockConfiguration", "GetBucketReplication": "GetReplicationConfiguration",
	"GetBucketNotificationConfiguration": "GetBucketNotification", "PutBucketNotificationConfiguration": "PutBucketNotification",
	"GetBucketAccelerateConfiguration": "GetAccelerateConfiguration", "PutBucketAccelerateConfiguration": "PutAccelerateConfiguration",
	"GetBucketAnalyticsConfiguration":          "GetAnalyticsConfiguration",
	"GetBucketIntelligentTieringConfiguration": "GetIntelligentTieringConfiguration",
	"GetBucketInventoryConfiguration":          "GetInventoryConfiguration", "GetBucketMetricsConfiguration": "GetMetricsConfiguration",
}

// ofVersions are the actions that have a sibling for versions named by ID.
var ofVersions = []string{"GetObject", "DeleteObject", "PutObject"}

// actionOf is the action that an operation takes.
func actionOf(operation string, versioned bool) string {
	action := actionsOf[operation]
	if action == "" {
		action = operation
	}
	if versioned {
		for _, kind := range ofVersions {
			switch what, ok := strings.CutPrefix(action, kind); {
			case !ok, kind == "PutObject" && what == "":
			case what == "", what == "Acl", what == "Tagging", what == "Attributes":
				return "s3:" + kind + "Version" + what
			}
		}
	}
	return "s3:" + action
}

// compares says whether the operation is a write that tells of what there is by
// the ETag, or by the size or the time, that it wants to be there or not.
func (c *call) compares() (etag, like bool) {
	switch c.op.name {
	case "DeleteObject":
		like = c.header(ifMatchSize) != "" || c.header(ifMatchTime) != ""
	case "PutObject", "CompleteMultipartUpload":
	default:
		return false, false
	}
	for _, name := range []string{"If-Match", "If-None-Match"} {
		etag = etag || slices.ContainsFunc(c.r.Header.Values(name), func(v string) bool {
			return v != "" && v != "*" // which tells of no ETag
		})
	}
	return etag, like
}

// permitCompare asks whether the caller may read what such a write tells of: an ETag
// of the current version, or what that is like which is to be deleted.
func (c *call) permitCompare(b *access.Bucket, key, version string, etag, like bool) error {
	if etag || like && version == "" {
		if err := c.permit(b, c.request("s3:GetObject", key, "")); err != nil {
			return err
		}
	}
	if like && version != "" {
		r := c.request("s3:GetObjectVersion", key, version)
		r.Conditions = c.conditionsAnd("s3:VersionId", version)
		return c.permit(b, r)
	}
	return nil
}

// givesAway says whether the headers of a new object give a permission to others
// than who writes it and the owner of the bucket.
func (c *call) givesAway(b *access.Bucket) bool {
	acl, err := c.aclOfHeaders(c.who.User, b.Owner, true)
	if err != nil {
		return true // which is told once it is known that the caller might
	}
	return acl != nil && slices.ContainsFunc(acl.Grants, func(g metadata.Grant) bool {
		return g.User == "" || g.User != c.who.User && g.User != b.Owner
	})
}

// alsoDoes are the actions that the headers of a new object take.
func (c *call) alsoDoes(b *access.Bucket) (actions []string) {
	switch c.op.name {
	case "PutObject", "PostObject", "CreateMultipartUpload":
	default:
		return nil
	}
	for _, x := range []struct {
		action string
		is     bool
	}{
		{"s3:PutObjectTagging", c.header("X-Amz-Tagging") != "" || len(c.asked.tags) > 0},
		{"s3:PutObjectAcl", c.givesAway(b)},
		{"s3:PutObjectRetention", c.header("X-Amz-Object-Lock-Mode") != "" || c.header("X-Amz-Object-Lock-Retain-Until-Date") != ""},
		{"s3:PutObjectLegalHold", c.header("X-Amz-Object-Lock-Legal-Hold") != ""},
	} {
		if x.is {
			actions = append(actions, x.action)
		}
	}
	return actions
}
