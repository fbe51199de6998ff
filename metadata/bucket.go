package metadata

import (
	"context"
	"encoding/json"
	"iter"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// Values of Bucket.Visibility.
const (
	Private    = "private"
	PublicRead = "public-read"
)

// Values of Bucket.Versioning; the empty string means never enabled.
const (
	VersioningEnabled   = "Enabled"
	VersioningSuspended = "Suspended"
)

// RenditionBucket is where the system keeps what it makes of photos and videos.
// It is the system's own: private, written by nodes only, read through an edge by
// a signed URL that the API hands out, and in no listing that people see. Its
// keys are those of RenditionKey.
const RenditionBucket = "meridian-renditions"

// SystemOwner is the owner of the system's own buckets.
const SystemOwner = "meridian"

// IsSystemBucket reports whether a bucket is the system's own.
func IsSystemBucket(name string) bool { return name == RenditionBucket }

// Bucket is a namespace of keys.
type Bucket struct {
	ID        int64     `json:"-"` // the catalogue's own number
	Name      string    `json:"name"`
	Region    string    `json:"region"` // home
	Placement Placement `json:"placement"`
	// Residency are the regions in whose stores the bucket's bytes may lie, home
	// among them; empty: all. Caches elsewhere may hold what is read there.
	Residency  []string   `json:"residency,omitempty"`
	Visibility string     `json:"visibility"`
	Versioning string     `json:"versioning,omitempty"`
	Owner      string     `json:"owner"` // user that created it, unless it was given away
	Cache      CacheRules `json:"cache"`
	// UploadRules say what may come in.
	UploadRules UploadRules `json:"upload_rules,omitzero"`
	// Pull makes the bucket a pull zone.
	Pull Pull `json:"pull,omitzero"`
	// Config holds subresource documents (cors, policy, tagging, ...) by name,
	// as JSON.
	Config  map[string]json.RawMessage `json:"config,omitempty"`
	Created time.Time                  `json:"created"`
}

// Modes of Placement.
const (
	PlacedHome = "home"
	PlacedAll  = "all"
)

// Placement says which regions hold copies of a bucket's blobs: {"home"} (the
// region that took the write), {"all"}, or names of regions. In JSON a single
// mode is a plain string. What another region has taken stays there until all
// the named ones have it.
type Placement []string

// Mode is PlacedHome or PlacedAll, or empty where regions are named.
func (p Placement) Mode() string {
	switch {
	case len(p) == 0:
		return PlacedHome
	case len(p) == 1 && (p[0] == PlacedHome || p[0] == PlacedAll):
		return p[0]
	}
	return ""
}

// MayHold reports whether the bytes of the bucket may lie in region.
func (b *Bucket) MayHold(region string) bool {
	return len(b.Residency) == 0 || slices.Contains(b.Residency, region)
}

// Takes reports whether region is one where new uploads to the bucket are sent:
// its bytes may lie there, and belong there.
func (b *Bucket) Takes(region string) bool {
	return b.MayHold(region) && (b.Placement.Mode() != "" || slices.Contains(b.Placement, region))
}

// Wanted are the regions that shall hold a blob which holders have, the first of
// them longest: the home of the blob. all are the regions there are.
func (b *Bucket) Wanted(holders, all []string) []string {
	switch b.Placement.Mode() {
	case PlacedHome:
		if len(holders) > 0 && b.MayHold(holders[0]) {
			return holders[:1]
		}
		return []string{b.Region}
	case PlacedAll:
		wanted := slices.Concat(all, holders, []string{b.Region})
		slices.Sort(wanted)
		return slices.DeleteFunc(slices.Compact(wanted), func(r string) bool { return !b.MayHold(r) })
	}
	return b.Placement
}

// CheckPlacement refuses a placement or residency that contradict themselves or
// each other.
func (b *Bucket) CheckPlacement() error {
	for i, r := range b.Residency {
		if r == "" || slices.Contains(b.Residency[:i], r) {
			return Invalidf("residency names region %q, which is empty or named before", r)
		}
	}
	if !b.MayHold(b.Region) {
		return Invalidf("residency %s leaves out %s, the home of the bucket", strings.Join(b.Residency, ", "), b.Region)
	}
	if b.Placement.Mode() != "" {
		return nil
	}
	for i, r := range b.Placement {
		switch {
		case r == "" || slices.Contains(b.Placement[:i], r):
			return Invalidf("placement names region %q, which is empty or named before", r)
		case !b.MayHold(r):
			return Invalidf("placement names %s, where residency does not allow the bucket: it allows %s", r, strings.Join(b.Residency, ", "))
		}
	}
	return nil
}

// MarshalJSON writes "home" and "all" as strings, a list of regions as a list.
func (p Placement) MarshalJSON() ([]byte, error) {
	if mode := p.Mode(); mode != "" {
		return json.Marshal(mode)
	}
	return json.Marshal([]string(p))
}

// UnmarshalJSON reads either form.
func (p *Placement) UnmarshalJSON(b []byte) error {
	var mode string
	if json.Unmarshal(b, &mode) == nil {
		*p = Placement{mode}
		return nil
	}
	return json.Unmarshal(b, (*[]string)(p))
}

// CacheRules are the freshness a bucket's objects get where their own
// Cache-Control says nothing. Zero means the default.
type CacheRules struct {
	EdgeTTL              Duration `json:"edge_ttl,omitempty"`     // default 24 h
	RegionalTTL          Duration `json:"regional_ttl,omitempty"` // default 7 days
	NegativeTTL          Duration `json:"negative_ttl,omitempty"` // of a 404, default 5 s
	StaleWhileRevalidate Duration `json:"stale_while_revalidate,omitempty"`
	StaleIfError         Duration `json:"stale_if_error,omitempty"`
}

// Defaults of CacheRules.
const (
	DefaultEdgeTTL     = Duration(24 * time.Hour)
	DefaultRegionalTTL = Duration(7 * 24 * time.Hour)
	DefaultNegativeTTL = Duration(5 * time.Second)
)

// Buckets keeps the buckets. Every change writes its event (bucket.created,
// bucket.updated, bucket.deleted) in the same transaction.
type Buckets interface {
	// CreateBucket refuses a name that exists with ErrBucketExists.
	CreateBucket(ctx context.Context, b Bucket) (Bucket, error)
	Bucket(ctx context.Context, name string) (Bucket, error)
	// Buckets yields all of owner's buckets, or everybody's where owner is
	// empty, by name.
	Buckets(ctx context.Context, owner string) iter.Seq2[Bucket, error]
	// UpdateBucket changes under a row lock what change changes of it; Name,
	// ID, Region and Created stay as they are.
	UpdateBucket(ctx context.Context, name string, change func(*Bucket) error) (Bucket, error)
	// Usage tells what the bucket holds. It costs little where the bucket has a
	// quota; elsewhere everything is counted.
	Usage(ctx context.Context, name string) (Usage, error)
	// DeleteBucket refuses a bucket that holds objects or noncurrent versions
	// with ErrBucketNotEmpty. Uploads in progress end with the bucket, as they do
	// on S3; their parts are the sweeper's to free. No object that is being
	// committed meanwhile is lost: one of the two fails.
	DeleteBucket(ctx context.Context, name string) error
}

// CheckNewBucketName refuses what CheckBucketName does, and labels that begin or
// end with a hyphen: Ceph and MinIO refuse them too, since no host can be called
// so, which a bucket is in virtual-host style.
func CheckNewBucketName(name string) error {
	if strings.Contains(name, ".-") || strings.Contains(name, "-.") {
		return Invalidf("bucket name %q has a hyphen beside a dot, as no host name has", name)
	}
	return CheckBucketName(name)
}

// CheckBucketName refuses what S3 refuses as the name of a general purpose
// bucket: 3 to 63 lower-case letters, digits, dots and hyphens, beginning and
// ending with a letter or digit, no adjacent dots, not an IPv4 address, no
// reserved prefix or suffix; and the names of paths that every role has.
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html
func CheckBucketName(name string) error {
	if len(name) < 3 || len(name) > 63 {
		return Invalidf("bucket name %q must have 3 to 63 characters", name)
	}
	for i := range len(name) {
		c := name[i]
		alnum := c >= 'a' && c <= 'z' || c >= '0' && c <= '9'
		if !alnum && c != '.' && c != '-' {
			return Invalidf("bucket name %q may hold lower-case letters, digits, dots and hyphens only", name)
		}
		if !alnum && (i == 0 || i == len(name)-1) {
			return Invalidf("bucket name %q must begin and end with a letter or digit", name)
		}
	}
	if strings.Contains(name, "..") {
		return Invalidf("bucket name %q has two dots in a row", name)
	}
	if ip, err := netip.ParseAddr(name); err == nil && ip.Is4() {
		return Invalidf("bucket name %q is formatted as an IP address", name)
	}
	// Every role answers these paths itself, without credentials.
	if name == "healthz" || name == "readyz" || name == "metrics" {
		return Invalidf("bucket name %q is reserved: /%s tells of the service itself", name, name)
	}
	for _, p := range []string{"xn--", "sthree-", "amzn-s3-demo-"} {
		if strings.HasPrefix(name, p) {
			return Invalidf("bucket name %q has the reserved prefix %q", name, p)
		}
	}
	for _, s := range []string{"-s3alias", "--ol-s3", ".mrap", "--x-s3", "--table-s3"} {
		if strings.HasSuffix(name, s) {
			return Invalidf("bucket name %q has the reserved suffix %q", name, s)
		}
	}
	return nil
}
