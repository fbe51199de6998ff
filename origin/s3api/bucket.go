package s3api

import (
	"encoding/json"
	"errors"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"meridian/internal/sigv4"
	"meridian/metadata"
	"meridian/metadata/access"
)

// arnPrefix begins the Amazon resource name of a bucket.
const arnPrefix = "arn:aws:s3:::"

// maxBuckets is the greatest page of ListBuckets.
const maxBuckets = 10_000

// listBuckets lists all buckets but those of the system to whom may use them all
// by their role, and to others their own.
func (c *call) listBuckets() error {
	limit := maxBuckets
	if s := c.query.Get("max-buckets"); s != "" {
		var err error
		if limit, err = strconv.Atoi(s); err != nil || limit < 1 || limit > maxBuckets {
			return badArgument("max-buckets", asUTF8(s), "Argument max-buckets must be an integer between 1 and %d.", maxBuckets)
		}
	}
	after := c.query.Get("continuation-token") // the last name of the page before
	if after != "" && metadata.CheckBucketName(after) != nil {
		return badArgument("continuation-token", asUTF8(after), "The continuation token provided is incorrect")
	}
	prefix, region := c.query.Get("prefix"), c.query.Get("bucket-region")
	d := newDocument("ListAllMyBucketsResult")
	c.writeOwner(d, "Owner", c.who.User)
	d.start("Buckets")
	count, last, more := 0, "", false
	owner := ""
	if !c.who.byRole() && !c.who.Limited() { // whom a policy allows to list sees all
		owner = c.who.User
	}
	for b, err := range c.opts.Catalog.Buckets(c.r.Context(), owner) {
		if err != nil {
			return err
		}
		if b.Name <= after || metadata.IsSystemBucket(b.Name) || !strings.HasPrefix(b.Name, prefix) || region != "" && region != b.Region {
			continue
		}
		if count == limit {
			more = true
			break
		}
		d.start("Bucket")
		d.elem("Name", b.Name)
		d.time("CreationDate", b.Created)
		d.elem("BucketRegion", b.Region)
		d.end("Bucket")
		count, last = count+1, b.Name
	}
	d.end("Buckets")
	d.optional("Prefix", prefix)
	if more {
		d.elem("ContinuationToken", last)
	}
	return c.w.sendXML(d)
}

// createBucketRequest is the body of CreateBucket.
type createBucketRequest struct {
	LocationConstraint string    `xml:"LocationConstraint"`
	Location           *struct{} `xml:"Location"`
	Bucket             *struct{} `xml:"Bucket"`
	Tags               []tag     `xml:"Tags>Tag"`
}

// createBucket makes a bucket whose home is the region named in the body, or
// ours.
func (c *call) createBucket() error {
	if err := metadata.CheckNewBucketName(c.bucket); err != nil {
		return because(errInvalidBucketName, err).with("BucketName", c.bucket)
	}
	config, err := c.newBucketACL()
	if err != nil {
		return err
	}
	b := metadata.Bucket{
		Name: c.bucket, Visibility: metadata.Private, Owner: c.who.User, Config: config, Created: c.opts.Now().UTC(),
	}
	if err := c.readCreation(&b); err != nil {
		return err
	}
	if err := c.readPlacement(&b); err != nil {
		return err
	}
	if strings.EqualFold(c.header("X-Amz-Bucket-Object-Lock-Enabled"), "true") {
		b.Versioning = metadata.VersioningEnabled
		b.Config[metadata.ObjectLockConfig] = []byte("{}")
	}
	_, err = c.opts.Catalog.CreateBucket(c.r.Context(), b)
	if errors.Is(err, metadata.ErrBucketExists) {
		return c.bucketExists(err)
	}
	if err != nil {
		return err
	}
	c.w.Header().Set("Location", "/"+c.bucket)
	c.w.Header().Set("X-Amz-Bucket-Arn", arnPrefix+c.bucket)
	c.w.Header().Set("Content-Length", "0")
	c.w.WriteHeader(http.StatusOK)
	return nil
}

// newBucketACL is what the headers of CreateBucket say of ownership and ACL, as
// the configuration of the bucket to be.
func (c *call) newBucketACL() (map[string]json.RawMessage, error) {
	ownership := c.header("X-Amz-Object-Ownership")
	if ownership != "" && !slices.Contains(ownerships, ownership) {
		return nil, badArgument("x-amz-object-ownership", asUTF8(ownership), "Invalid x-amz-object-ownership header: %s", asUTF8(ownership))
	}
	acl, err := c.aclOfHeaders(c.who.User, c.who.User, false)
	if err != nil {
		return nil, err
	}
	config := map[string]json.RawMessage{}
	if acl != nil {
		if ownership == access.Enforced && givesAway(&access.Bucket{Owner: c.who.User, ACL: acl}) {
			return nil, errInvalidBucketACLWithOwnership
		}
		if config[access.ConfigACL], err = json.Marshal(acl); err != nil {
			return nil, err
		}
	}
	if ownership != "" {
		if config[access.ConfigOwnership], err = json.Marshal(ownership); err != nil {
			return nil, err
		}
	}
	return config, nil
}

// The headers of CreateBucket by which Meridian is told where copies shall be,
// and where they may be: names of regions parted by commas, or "home" or "all"
// for the first.
const (
	placementHeader = "X-Meridian-Placement"
	residencyHeader = "X-Meridian-Residency"
)

// readPlacement sets the placement and residency of a bucket to be made.
func (c *call) readPlacement(b *metadata.Bucket) error {
	b.Placement, b.Residency = namesIn(c.header(placementHeader)), namesIn(c.header(residencyHeader))
	lists := map[string][]string{residencyHeader: b.Residency}
	if b.Placement.Mode() == "" {
		lists[placementHeader] = b.Placement
	}
	known := c.opts.Regions()
	for header, list := range lists {
		for _, region := range list {
			if !slices.Contains(known, region) {
				return badArgument(strings.ToLower(header), asUTF8(region), "There is no such region. Known are %s.", strings.Join(known, ", "))
			}
		}
	}
	if err := b.CheckPlacement(); err != nil {
		return badArgument(strings.ToLower(placementHeader), asUTF8(c.header(placementHeader)), "%s", err)
	}
	return nil
}

// namesIn are the names of a list parted by commas.
func namesIn(list string) (names []string) {
	for name := range strings.SplitSeq(list, ",") {
		if name = strings.TrimSpace(name); name != "" {
			names = append(names, name)
		}
	}
	return names
}

// bucketExists says that there is a bucket already, and whose. In us-east-1, and
// nowhere else, S3 lets the owner make it again, and resets its ACL; here, as in
// MinIO, SeaweedFS and versitygw, no region is special.
func (c *call) bucketExists(err error) error {
	b, lookup := c.opts.Catalog.Bucket(c.r.Context(), c.bucket)
	if lookup == nil && b.Owner == c.who.User {
		return because(errBucketAlreadyOwnedByYou, err)
	}
	return because(errBucketAlreadyExists, err)
}

// readCreation reads the body of CreateBucket: where the bucket is to be, and its
// tags.
func (c *call) readCreation(b *metadata.Bucket) error {
	b.Region = c.opts.Region
	data, err := c.readOptionalBody(smallXML)
	if err != nil || len(data) == 0 {
		return err
	}
	var req createBucketRequest
	root := "CreateBucketConfiguration"
	if err := parseXML(data, root, &req); err != nil {
		return err
	}
	if req.Location != nil || req.Bucket != nil {
		return errNotImplemented // directory buckets
	}
	if len(req.Tags) > 0 {
		tags, err := checkTags(req.Tags, maxBucketTags)
		if err != nil {
			return err
		}
		if b.Config[taggingConfig], err = json.Marshal(tags); err != nil {
			return err
		}
	}
	region := strings.TrimSpace(req.LocationConstraint)
	switch {
	case region == "":
	case c.opts.Region == sigv4.DefaultRegion && region == c.opts.Region: // S3 names that region by naming none
		return refuse(errInvalidLocationConstraint, "").with("LocationConstraint", region)
	case !slices.Contains(c.opts.Regions(), region):
		return refuse(errInvalidLocationConstraint, "").with("LocationConstraint", region)
	default:
		b.Region = region
	}
	return nil
}

// readOptionalBody reads a small body that may be missing altogether.
func (c *call) readOptionalBody(limit int64) ([]byte, error) {
	if c.r.ContentLength == 0 || c.r.Body == nil || c.r.Body == http.NoBody {
		return nil, nil
	}
	return c.readAll(limit, digestAllowed)
}

// headBucket tells that a bucket exists, and where.
func (c *call) headBucket() error {
	b, err := c.opts.Catalog.Bucket(c.r.Context(), c.bucket)
	if err != nil {
		return err
	}
	h := c.w.Header()
	h.Set("X-Amz-Bucket-Region", b.Region)
	h.Set("X-Amz-Bucket-Arn", arnPrefix+b.Name)
	h.Set("X-Amz-Access-Point-Alias", "false")
	h.Set("Content-Type", "application/xml")
	c.w.WriteHeader(http.StatusOK)
	return nil
}

func (c *call) deleteBucket() error {
	if err := c.opts.Catalog.DeleteBucket(c.r.Context(), c.bucket); errors.Is(err, metadata.ErrBucketNotEmpty) {
		if b, lookup := c.opts.Catalog.Bucket(c.r.Context(), c.bucket); lookup == nil && b.Versioning != "" {
			return &failure{code: errBucketNotEmpty, message: "The bucket you tried to delete is not empty. You must delete all versions in the bucket.", cause: err}
		}
		return err
	} else if err != nil {
		return err
	}
	c.grants.forget(c.bucket)
	c.w.WriteHeader(http.StatusNoContent)
	return nil
}

func (c *call) getBucketLocation() error {
	b, err := c.opts.Catalog.Bucket(c.r.Context(), c.bucket)
	if err != nil {
		return err
	}
	d := newDocument("LocationConstraint")
	if b.Region != sigv4.DefaultRegion { // which S3 names by naming none
		escapeXML(&d.buf, b.Region)
	}
	return c.w.sendXML(d)
}

func (c *call) getBucketVersioning() error {
	b, err := c.opts.Catalog.Bucket(c.r.Context(), c.bucket)
	if err != nil {
		return err
	}
	d := newDocument("VersioningConfiguration")
	d.optional("Status", b.Versioning)
	return c.w.sendXML(d)
}

func (c *call) putBucketVersioning() error {
	var req struct {
		Status    string `xml:"Status"`
		MFADelete string `xml:"MfaDelete"`
		// Extensions of MinIO: keys that get no versions.
		ExcludedPrefixes []struct{} `xml:"ExcludedPrefixes"`
		ExcludeFolders   bool       `xml:"ExcludeFolders"`
	}
	if err := c.readXML(smallXML, digestAllowed, "VersioningConfiguration", &req); err != nil {
		return err
	}
	switch {
	case len(req.ExcludedPrefixes) > 0 || req.ExcludeFolders:
		return refuse(errNotImplemented, "Versioning is of whole buckets: leave out ExcludedPrefixes and ExcludeFolders, and keep what needs no versions in a bucket of its own, or end its noncurrent versions by a lifecycle rule.")
	case req.MFADelete == "Enabled":
		return errNotImplemented
	case req.MFADelete != "" && req.MFADelete != "Disabled",
		req.Status != metadata.VersioningEnabled && req.Status != metadata.VersioningSuspended:
		return errMalformedXML
	}
	_, err := c.opts.Catalog.UpdateBucket(c.r.Context(), c.bucket, func(b *metadata.Bucket) error {
		if b.Config[metadata.ObjectLockConfig] != nil && req.Status != metadata.VersioningEnabled {
			return refuse(errInvalidBucketState, lockSuspended)
		}
		b.Versioning = req.Status
		return nil
	})
	if err != nil {
		return err
	}
	c.buckets.forget(c.bucket)
	c.w.Header().Set("Content-Length", "0")
	c.w.WriteHeader(http.StatusOK)
	return nil
}

// limit is a number in the query, at most most.
func (c *call) limit(name string, most int) (int, error) {
	n, err := parseLimit(name, c.query.Get(name), most)
	return min(n, most), err
}

// parseLimit reads a number from 0 to what 32 bits hold, or unset where there is
// none.
func parseLimit(name, s string, unset int) (int, error) {
	if s == "" {
		return unset, nil
	}
	n, err := strconv.ParseInt(s, 10, 64)
	switch {
	case err != nil || n > math.MaxInt32:
		return 0, badArgument(name, asUTF8(s), "Provided %s not an integer or within integer range", asUTF8(s))
	case n < 0:
		return 0, badArgument(name, s, "Argument %s must be an integer between 0 and %d", s, math.MaxInt32)
	}
	return int(n), nil
}
