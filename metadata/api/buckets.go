package api

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"meridian/metadata"
	"meridian/metadata/access"
)

type bucketList struct {
	Buckets []metadata.Bucket `json:"buckets"`
}

// newBucket is the body of POST /v1/buckets; only Name must be given.
type newBucket struct {
	Name       string              `json:"name"`
	Region     string              `json:"region"` // home; ours if empty
	Placement  metadata.Placement  `json:"placement"`
	Residency  []string            `json:"residency"`
	Visibility string              `json:"visibility"`
	Versioning string              `json:"versioning"`
	Cache      metadata.CacheRules `json:"cache"`
	// What may come in; no field is no limit.
	UploadRules metadata.UploadRules `json:"upload_rules"`
	// An HTTP origin instead of objects. Such a bucket is public-read unless it
	// says otherwise.
	Pull metadata.Pull `json:"pull"`
}

// bucketPatch is what may be changed of a bucket.
type bucketPatch struct {
	Placement   patch[metadata.Placement] `json:"placement"`
	Residency   patch[[]string]           `json:"residency"`
	Visibility  patch[string]             `json:"visibility"`
	Versioning  patch[string]             `json:"versioning"`
	Cache       patch[cachePatch]         `json:"cache"`
	UploadRules patch[rulesPatch]         `json:"upload_rules"`
	Pull        patch[metadata.Pull]      `json:"pull"` // replaced as a whole
	Owner       patch[string]             `json:"owner"`
}

type rulesPatch struct {
	MaxSize      patch[int64]    `json:"max_size"`
	Types        patch[[]string] `json:"types"`
	QuotaBytes   patch[int64]    `json:"quota_bytes"`
	QuotaObjects patch[int64]    `json:"quota_objects"`
}

// bucketInfo is a bucket with what it holds.
type bucketInfo struct {
	metadata.Bucket
	Usage metadata.Usage `json:"usage"`
}

type cachePatch struct {
	EdgeTTL              patch[metadata.Duration] `json:"edge_ttl"`
	RegionalTTL          patch[metadata.Duration] `json:"regional_ttl"`
	NegativeTTL          patch[metadata.Duration] `json:"negative_ttl"`
	StaleWhileRevalidate patch[metadata.Duration] `json:"stale_while_revalidate"`
	StaleIfError         patch[metadata.Duration] `json:"stale_if_error"`
}

// listBuckets leaves out the system's own buckets, unless an administrator asks
// for them.
func (c *call) listBuckets() error {
	system, err := c.boolean("system")
	if err != nil {
		return err
	}
	if system && c.who.caller() != admin {
		return tell(errForbidden, "only administrators see the system's own buckets")
	}
	list := bucketList{Buckets: []metadata.Bucket{}}
	for b, err := range c.store.Buckets(c.ctx(), "") {
		if err != nil {
			return err
		}
		if metadata.IsSystemBucket(b.Name) && !system {
			continue
		}
		list.Buckets = append(list.Buckets, b)
	}
	return c.json(http.StatusOK, list)
}

func (c *call) getBucket() error {
	if metadata.IsSystemBucket(c.param("name")) && c.who.caller() != admin {
		return errSystemBucket
	}
	b, err := c.store.Bucket(c.ctx(), c.param("name"))
	if err != nil {
		return err
	}
	used, err := c.store.Usage(c.ctx(), b.Name)
	if err != nil {
		return err
	}
	return c.json(http.StatusOK, bucketInfo{b, used})
}

func (c *call) createBucket() error {
	var in newBucket
	if err := c.decode(&in); err != nil {
		return err
	}
	b := metadata.Bucket{
		Name: in.Name, Region: in.Region, Placement: in.Placement, Residency: in.Residency, Visibility: in.Visibility, Versioning: in.Versioning,
		Cache: in.Cache, UploadRules: in.UploadRules, Pull: in.Pull, Owner: c.who.user, Created: c.now().UTC(),
	}
	if b.Region == "" {
		b.Region = c.opts.Region
	}
	if b.Visibility == "" && !b.Pull.IsZero() {
		b.Visibility = metadata.PublicRead
	}
	regions, err := c.knownRegions()
	if err != nil {
		return err
	}
	var wrong fieldErrors
	if err := metadata.CheckNewBucketName(b.Name); err != nil {
		wrong = append(wrong, FieldError{"name", reason(err)})
	} else if metadata.IsSystemBucket(b.Name) {
		wrong = append(wrong, FieldError{"name", errSystemBucket.Error()})
	}
	if regions != nil && !slices.Contains(regions, b.Region) {
		wrong = append(wrong, unknownRegion("region", b.Region, regions))
	}
	taken, err := c.takenHost(b.Name, b.Pull)
	if err != nil {
		return err
	}
	wrong = append(wrong, taken...)
	if wrong = append(wrong, checkBucket(b, regions)...); len(wrong) > 0 {
		return wrong
	}
	if b, err = c.store.CreateBucket(c.ctx(), b); err != nil {
		return err
	}
	return c.created("/v1/buckets/"+url.PathEscape(b.Name), b)
}

func (c *call) patchBucket() error {
	if metadata.IsSystemBucket(c.param("name")) {
		return errSystemBucket
	}
	var in bucketPatch
	if err := c.decode(&in, names(jsonFieldsOf[metadata.Bucket]())...); err != nil {
		return err
	}
	regions, err := c.knownRegions()
	if err != nil {
		return err
	}
	taken, err := c.takenHost(c.param("name"), in.Pull.Value)
	if err != nil {
		return err
	}
	if len(taken) > 0 {
		return taken
	}
	if in.Owner.Set && (in.Owner.Value == "" || len(in.Owner.Value) > 256 || !isText(in.Owner.Value)) {
		return fieldErrors{{"owner", "must be the name of a user, of up to 256 bytes"}}
	}
	b, err := c.store.UpdateBucket(c.ctx(), c.param("name"), func(b *metadata.Bucket) error {
		before := b.Visibility
		in.Owner.apply(&b.Owner)
		in.apply(b)
		if err := mayOpen(b, before); err != nil {
			return err
		}
		if wrong := checkBucket(*b, regions); len(wrong) > 0 {
			return wrong
		}
		return nil
	})
	if err != nil {
		return err
	}
	return c.json(http.StatusOK, b)
}

// mayOpen refuses to open a bucket to everybody where its public access block
// keeps ACLs or policies from doing so.
func mayOpen(b *metadata.Bucket, before string) error {
	if b.Visibility != metadata.PublicRead || before == metadata.PublicRead {
		return nil
	}
	a, err := access.Of(b)
	if err != nil {
		return err
	}
	if a.Block != nil && (a.Block.BlockACLs || a.Block.BlockPolicy) {
		return fieldErrors{{"visibility", "cannot be public-read while the public access block of the bucket is on"}}
	}
	return nil
}

func (p *bucketPatch) apply(b *metadata.Bucket) {
	p.Placement.apply(&b.Placement)
	p.Residency.apply(&b.Residency)
	p.Visibility.apply(&b.Visibility)
	p.Versioning.apply(&b.Versioning)
	p.Pull.apply(&b.Pull)
	p.applyCache(b)
	p.applyRules(b)
}

func (p *bucketPatch) applyRules(b *metadata.Bucket) {
	if p.UploadRules.Null {
		b.UploadRules = metadata.UploadRules{}
	}
	rules := p.UploadRules.Value
	rules.MaxSize.apply(&b.UploadRules.MaxSize)
	rules.Types.apply(&b.UploadRules.Types)
	rules.QuotaBytes.apply(&b.UploadRules.QuotaBytes)
	rules.QuotaObjects.apply(&b.UploadRules.QuotaObjects)
}

func (p *bucketPatch) applyCache(b *metadata.Bucket) {
	if p.Cache.Null {
		b.Cache = metadata.CacheRules{}
	}
	rules := p.Cache.Value
	rules.EdgeTTL.apply(&b.Cache.EdgeTTL)
	rules.RegionalTTL.apply(&b.Cache.RegionalTTL)
	rules.NegativeTTL.apply(&b.Cache.NegativeTTL)
	rules.StaleWhileRevalidate.apply(&b.Cache.StaleWhileRevalidate)
	rules.StaleIfError.apply(&b.Cache.StaleIfError)
}

func (c *call) deleteBucket() error {
	if metadata.IsSystemBucket(c.param("name")) {
		return errSystemBucket
	}
	if err := c.store.DeleteBucket(c.ctx(), c.param("name")); err != nil {
		return err
	}
	return c.noContent()
}

// maxTTL keeps sums of times far from overflowing.
const maxTTL = metadata.Duration(10 * 365 * 24 * time.Hour)

// checkBucket says which fields cannot be as they are.
func checkBucket(b metadata.Bucket, regions []string) (wrong fieldErrors) {
	add := func(field, format string, args ...any) {
		wrong = append(wrong, FieldError{field, fmt.Sprintf(format, args...)})
	}
	switch b.Visibility {
	case "", metadata.Private, metadata.PublicRead:
	default:
		add("visibility", "%.40q is neither private nor public-read", b.Visibility)
	}
	switch b.Versioning {
	case "", metadata.VersioningEnabled, metadata.VersioningSuspended:
	default:
		add("versioning", "%.40q is neither Enabled nor Suspended", b.Versioning)
	}
	check := func(field string, list []string) {
		for i, region := range list {
			switch {
			case region == "":
				add(field, "names an empty region")
			case slices.Contains(list[:i], region):
				add(field, "names %q twice", region)
			case regions != nil && !slices.Contains(regions, region):
				wrong = append(wrong, unknownRegion(field, region, regions))
			}
		}
	}
	if b.Placement.Mode() == "" {
		check("placement", b.Placement)
	}
	check("residency", b.Residency)
	if len(wrong) == 0 {
		if err := b.CheckPlacement(); err != nil {
			add("residency", "%s", reason(err))
		}
	}
	for name, d := range map[string]metadata.Duration{
		"edge_ttl": b.Cache.EdgeTTL, "regional_ttl": b.Cache.RegionalTTL, "negative_ttl": b.Cache.NegativeTTL,
		"stale_while_revalidate": b.Cache.StaleWhileRevalidate, "stale_if_error": b.Cache.StaleIfError,
	} {
		if d < 0 || d > maxTTL {
			add("cache."+name, "%s is not between 0 and 10 years", time.Duration(d))
		}
	}
	b.UploadRules.Check(func(rule, reason string) { add("upload_rules."+rule, "%s", reason) })
	b.Pull.Check(func(field, reason string) {
		add("pull."+field, "%s", strings.TrimPrefix(reason, metadata.ErrInvalid.Error()+": "))
	})
	slices.SortFunc(wrong, func(a, b FieldError) int { return strings.Compare(a.Field, b.Field) })
	return wrong
}

// takenHost says which of a pull zone's hosts another one has already.
func (c *call) takenHost(bucket string, p metadata.Pull) (wrong fieldErrors, err error) {
	if len(p.Hosts) == 0 {
		return nil, nil
	}
	for other, err := range c.store.Buckets(c.ctx(), "") {
		if err != nil {
			return nil, err
		}
		for _, h := range other.Pull.Hosts {
			if other.Name != bucket && slices.Contains(p.Hosts, h) {
				wrong = append(wrong, FieldError{"pull.hosts", fmt.Sprintf("%s is served by bucket %s already", h, other.Name)})
			}
		}
	}
	return wrong, nil
}

func unknownRegion(field, region string, known []string) FieldError {
	const all = "; known are "
	hint := suggest(region, known)
	if !strings.HasPrefix(hint, all) {
		hint += all + strings.Join(known, ", ")
	}
	return FieldError{field, fmt.Sprintf("there is no region %.60q", region) + hint}
}

// reason is what an ErrInvalid says, without saying that it is one.
func reason(err error) string {
	return strings.TrimPrefix(err.Error(), metadata.ErrInvalid.Error()+": ")
}
