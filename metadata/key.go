package metadata

import (
	"context"
	"encoding/json"
	"iter"
	"time"
)

// Roles of an access key.
const (
	RoleAdmin     = "admin"     // everything, administration included
	RoleReadWrite = "readwrite" // every bucket and object
	RoleReadOnly  = "readonly"  // read every bucket and object
	// RoleUser is for those who may make buckets, and do with them what they like,
	// and with those of others what they are let.
	RoleUser = "user"
)

// RootUser owns the credentials that Meridian is started with. Nothing can be
// denied to them.
const RootUser = "root"

// AccessKey is a pair of access key ID and secret by which S3 tools and the API
// know a user. The secret is encrypted at rest.
type AccessKey struct {
	ID      string     `json:"id"`
	Secret  string     `json:"secret,omitempty"` // told once, when it is made
	User    string     `json:"user"`
	Role    string     `json:"role"`
	Created time.Time  `json:"created"`
	Expires *time.Time `json:"expires,omitempty"`
	// Policy is what the key may do, an IAM policy without principals. A key that
	// has one is allowed nothing by its role, nor by what its user owns.
	Policy json.RawMessage `json:"policy,omitempty"`
}

// MaxKeyPolicy is the length of the longest Policy in bytes.
const MaxKeyPolicy = 6 << 10

// KeyData is the Data of key.changed.
type KeyData struct {
	AccessKey string `json:"access_key"`
}

// Keys keeps the access keys. A change writes the event key.changed.
type Keys interface {
	// PutKey creates the key or replaces the one with its ID. A key that is
	// already as k says is left alone, without an event; a zero Created keeps
	// the time there is.
	PutKey(ctx context.Context, k AccessKey) error
	// Key finds a key with its secret; expired and unknown ones are
	// ErrNoSuchAccess.
	Key(ctx context.Context, id string) (AccessKey, error)
	// Keys yields all unexpired keys with their secrets.
	Keys(ctx context.Context) iter.Seq2[AccessKey, error]
	// UpdateKey changes under a row lock what change changes of an unexpired key;
	// ID, Secret and Created stay. What change returns is returned as it is.
	UpdateKey(ctx context.Context, id string, change func(*AccessKey) error) (AccessKey, error)
	// DeleteKey revokes the key; ErrNoSuchAccess if there is none.
	DeleteKey(ctx context.Context, id string) error
}
