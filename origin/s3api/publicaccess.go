package s3api

import (
	"encoding/json"
	"net/http"
	"slices"

	"meridian/metadata"
	"meridian/metadata/access"
)

// publicAccessBlock is the document of the public access block. What it does not
// name is off.
type publicAccessBlock struct {
	BlockPublicAcls       bool `xml:"BlockPublicAcls"`
	IgnorePublicAcls      bool `xml:"IgnorePublicAcls"`
	BlockPublicPolicy     bool `xml:"BlockPublicPolicy"`
	RestrictPublicBuckets bool `xml:"RestrictPublicBuckets"`
}

func (c *call) putPublicAccessBlock() error {
	var req publicAccessBlock
	if err := c.readXML(smallXML, digestAllowed, "PublicAccessBlockConfiguration", &req); err != nil {
		return err
	}
	document, err := json.Marshal(access.Block{
		BlockACLs: req.BlockPublicAcls, IgnoreACLs: req.IgnorePublicAcls,
		BlockPolicy: req.BlockPublicPolicy, RestrictBuckets: req.RestrictPublicBuckets,
	})
	if err != nil {
		return err
	}
	return c.configure(http.StatusOK, func(b *metadata.Bucket, _ *access.Bucket) error {
		b.Config[access.ConfigBlock] = document
		return nil
	})
}

func (c *call) deletePublicAccessBlock() error {
	return c.configure(http.StatusNoContent, func(b *metadata.Bucket, _ *access.Bucket) error {
		delete(b.Config, access.ConfigBlock)
		return nil
	})
}

func (c *call) getPublicAccessBlock() error {
	b, err := readAccess(c.r.Context(), c.opts.Catalog, c.bucket)
	if err != nil {
		return err
	}
	if b.Block == nil {
		return errNoSuchPublicAccessBlock
	}
	d := newDocument("PublicAccessBlockConfiguration")
	d.boolean("BlockPublicAcls", b.Block.BlockACLs)
	d.boolean("IgnorePublicAcls", b.Block.IgnoreACLs)
	d.boolean("BlockPublicPolicy", b.Block.BlockPolicy)
	d.boolean("RestrictPublicBuckets", b.Block.RestrictBuckets)
	return c.w.sendXML(d)
}

// ownershipControls is the document of ownership controls, which has one rule.
type ownershipControls struct {
	Rules []struct {
		ObjectOwnership string `xml:"ObjectOwnership"`
	} `xml:"Rule"`
}

var ownerships = []string{access.Enforced, access.Preferred, access.Writer}

func (c *call) putOwnershipControls() error {
	var req ownershipControls
	err := c.readXML(smallXML, digestAllowed, "OwnershipControls", &req)
	if err == nil && (len(req.Rules) != 1 || !slices.Contains(ownerships, req.Rules[0].ObjectOwnership)) {
		err = errMalformedXML
	}
	if err == nil {
		c.asked.ownership = req.Rules[0].ObjectOwnership
	}
	if denied := c.permitOperation(); denied != nil {
		return denied
	}
	if _, missing := c.opts.Catalog.Bucket(c.r.Context(), c.bucket); missing != nil {
		return missing
	}
	if err != nil {
		return err
	}
	ownership := c.asked.ownership
	document, err := json.Marshal(ownership)
	if err != nil {
		return err
	}
	return c.configure(http.StatusOK, func(b *metadata.Bucket, a *access.Bucket) error {
		if ownership == access.Enforced && givesAway(a) {
			return errInvalidBucketACLWithOwnership
		}
		b.Config[access.ConfigOwnership] = document
		return nil
	})
}

// givesAway says whether the bucket's ACL gives anything to others than its
// owner, which they would lose without its being taken from them.
func givesAway(b *access.Bucket) bool {
	return slices.ContainsFunc(b.BucketACL().Grants, func(g metadata.Grant) bool { return g.User != b.Owner })
}

func (c *call) deleteOwnershipControls() error {
	return c.configure(http.StatusNoContent, func(b *metadata.Bucket, _ *access.Bucket) error {
		delete(b.Config, access.ConfigOwnership)
		return nil
	})
}

func (c *call) getOwnershipControls() error {
	b, err := readAccess(c.r.Context(), c.opts.Catalog, c.bucket)
	if err != nil {
		return err
	}
	if b.Ownership == "" {
		return errOwnershipControlsNotFound
	}
	d := newDocument("OwnershipControls")
	d.group("Rule", func() { d.elem("ObjectOwnership", b.Ownership) })
	return c.w.sendXML(d)
}
