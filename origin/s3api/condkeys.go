package s3api

import (
	"cmp"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"meridian/internal/iam"
	"meridian/metadata/access"
)

// headerKeys are the headers whose values are condition keys of their names.
var headerKeys = []string{
	"x-amz-acl", "x-amz-grant-full-control", "x-amz-grant-read", "x-amz-grant-read-acp",
	"x-amz-grant-write", "x-amz-grant-write-acp", "x-amz-metadata-directive", "x-amz-object-ownership",
	"x-amz-server-side-encryption", "x-amz-server-side-encryption-aws-kms-key-id",
	"x-amz-server-side-encryption-customer-algorithm", "x-amz-storage-class", "x-amz-website-redirect-location",
	"if-match", "if-none-match",
}

// asked is what a body asks for that has condition keys, as the headers of a new
// object have them.
type asked struct {
	tags              map[string]string
	mode, until, hold string // of its lock
	ownership         string // of the objects of a bucket
}

// creations are the operations that take s3:PutObject, and whether they make an
// object.
var creations = map[string]string{
	"PutObject": "true", "PostObject": "true", "CompleteMultipartUpload": "true", "CreateMultipartUpload": "false", "UploadPart": "false",
}

// conditions are the condition keys of the request.
//
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/amazon-s3-policy-keys.html
func (c *call) conditions() iam.Context {
	now := c.opts.Now()
	proof := access.Proof{Form: c.auth == nil, Version2: c.version2}
	if c.auth != nil {
		proof.Presigned, proof.Signed, proof.Payload = c.auth.Presigned, c.auth.Time, c.auth.PayloadHash
	}
	k := access.Conditions(c.r, &c.who.Caller, proof, now)
	k.Set("aws:RequestedRegion", c.opts.Region)
	for _, name := range []string{"prefix", "delimiter", "max-keys"} {
		if c.query.Has(name) && c.key == "" {
			k.Set("s3:"+name, c.query.Get(name))
		}
	}
	if c.auth == nil {
		setIfThere(k, "s3:x-amz-content-sha256", c.header("X-Amz-Content-Sha256"))
	}
	for _, name := range headerKeys {
		setIfThere(k, "s3:"+name, c.header(name))
	}
	setIfThere(k, "s3:object-lock-mode", cmp.Or(c.asked.mode, c.header(lockModeHeader)))
	setIfThere(k, "s3:object-lock-legal-hold", cmp.Or(c.asked.hold, c.header(lockHoldHeader)))
	until := cmp.Or(c.asked.until, c.header(lockUntilHeader))
	setIfThere(k, "s3:object-lock-retain-until-date", until)
	if t, err := parseLockTime(until); err == nil {
		k.Set("s3:object-lock-remaining-retention-days", strconv.Itoa(int(t.Sub(now)/(24*time.Hour))))
	}
	if source, err := url.PathUnescape(c.header("X-Amz-Copy-Source")); err == nil {
		setIfThere(k, "s3:x-amz-copy-source", strings.TrimPrefix(source, "/"))
	}
	if tags, err := parseTagging(c.header("X-Amz-Tagging")); err == nil {
		setRequestTags(k, tags)
	}
	setRequestTags(k, c.asked.tags)
	setIfThere(k, "s3:x-amz-object-ownership", c.asked.ownership)
	if c.op != nil {
		setIfThere(k, "s3:ObjectCreationOperation", creations[c.op.name])
	}
	return k
}

// conditionsAnd are those of the request and one that it does not have by itself,
// where that has a value.
func (c *call) conditionsAnd(key, value string) func() iam.Context {
	return func() iam.Context {
		k := c.conditions()
		setIfThere(k, key, value)
		return k
	}
}

// setRequestTags sets the keys of the tags that a request brings.
func setRequestTags(k iam.Context, tags map[string]string) {
	if len(tags) == 0 {
		return
	}
	var names []string
	for name, value := range tags {
		k.Set("s3:RequestObjectTag/"+name, value)
		names = append(names, name)
	}
	slices.Sort(names)
	k.Set("s3:RequestObjectTagKeys", names...)
}

func setIfThere(k iam.Context, key, value string) {
	if value != "" {
		k.Set(key, value)
	}
}
