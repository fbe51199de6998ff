package metadata

import (
	"context"
	"encoding/json"
	"iter"
	"net/netip"
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
	ID         int64      `json:"-"` // the catalogue's own number
	Name       string     `json:"name"`
	Region     string     `json:"region"` // home
	Placement  Placement  `json:"placement"`
	Visibility string     `json:"visibility"`
	Versioning string     `json:"versioning,omitempty"`
	Owner      string     `json:"owner"` // user that created it
	Cache      CacheRules `json:"cache"`
	// UploadRules say what may come in.
	UploadRules UploadRules `json:"upload_rules,omitzero"`
	// Config holds subresource documents (cors, policy, tagging, ...) by name,
	// as JSON.
	Config  map[string]json.RawMessage `json:"config,omitempty"`
	Created time.Time                  `json:"created"`
}

// Placement says which regions hold copies of a bucket's blobs: {"home"} (the
// region that took the write), {"all"}, or names of regions. In JSON a single
// mode is a plain string.
type Placement []string

// MarshalJSON writes "home" and "all" as strings, a list of regions as a list.
func (p Placement) MarshalJSON() ([]byte, error) {
	switch {
	case len(p) == 0:
		return []byte(`"home"`), nil
	case len(p) == 1 && (p[0] == "home" || p[0] == "all"):
		return json.Marshal(p[0])
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
	// ID, Region, Owner and Created stay as they are.
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
