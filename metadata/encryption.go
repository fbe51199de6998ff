package metadata

import "context"

// Kinds of Encryption.
const (
	// ServerKeys are wrapped by the cluster's master key (SSE-S3).
	ServerKeys = "server"
	// CustomerKeys are wrapped by a key that every request brings (SSE-C).
	CustomerKeys = "customer"
)

// Encryption tells how the bytes of a version are encrypted where they lie.
type Encryption struct {
	Kind string `json:"by"`
	// Key is the data key, wrapped.
	Key []byte `json:"key"`
	// Stored is the size of the blob in bytes; Version.Size is that of what it
	// holds.
	Stored int64 `json:"stored,omitempty"`

	// Customer is the key that a request brought, and Data the data key unwrapped
	// by it, while the request is served. They are never kept.
	Customer, Data *[32]byte `json:"-"`
}

// StoredSize is the size of the blob.
func (v *Version) StoredSize() int64 {
	if v.Encryption == nil {
		return v.Size
	}
	return v.Encryption.Stored
}

// EncryptionConfig is the name of a bucket's EncryptionRule in Bucket.Config.
const EncryptionConfig = "encryption"

// EncryptionRule says how a bucket encrypts what comes without a word on it.
type EncryptionRule struct {
	Algorithm string `json:"algorithm"`            // AES256
	BucketKey bool   `json:"bucket_key,omitempty"` // kept for its owner; it means something to KMS only
}

// WrappedKey is the data key of a version, or of an upload in progress.
type WrappedKey struct {
	Ref Ref // of the version, or of the one to be
	Key []byte
	// Place is where the catalogue keeps it.
	Place string
}

// WrappedKeys are the data keys under the master key, for whoever wraps them
// anew.
type WrappedKeys interface {
	// FormerKeys are up to limit data keys of ServerKeys that begin with one of
	// marks, of 9 bytes: each is the sign of a master key.
	FormerKeys(ctx context.Context, marks [][]byte, limit int) ([]WrappedKey, error)
	// Rewrap puts renewed[i] in the place of former[i], unless that is gone or
	// has changed. No event tells of it: nothing has that anybody can see.
	Rewrap(ctx context.Context, former []WrappedKey, renewed [][]byte) error
}
