// Package crypt decides which objects are encrypted where they lie, and finds
// their keys. Each version has a data key of its own, which the catalogue keeps
// wrapped: by the cluster's master key (SSE-S3), or by a key that the customer
// sends with each request and nobody keeps (SSE-C). Package internal/sse has the
// format of the bytes. Stores, and the copying between regions, know nothing of
// it: to them the encrypted bytes are the blob.
package crypt

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"meridian/internal/sse"
	"meridian/metadata"
)

// Algorithm is the only one that a bucket can ask for.
const Algorithm = "AES256"

var (
	// ErrNoRing refuses to write what only a master key could protect.
	ErrNoRing = errors.New("this origin has no master key for objects")
	// ErrKeyNeeded says that a version has the key of a customer, which did not
	// come; ErrKeyUnwanted, that one came for a version that has none.
	ErrKeyNeeded   = errors.New("the object is encrypted with a key of its owner's, which is needed")
	ErrKeyUnwanted = errors.New("the object is not encrypted with a key of its owner's")
)

// Keys are the master keys of an origin, and what it encrypts by itself. A nil
// Keys has none, and can still do all that customers' keys do.
type Keys struct {
	Ring *sse.Ring // nil: none
	All  bool      // what comes to a bucket without a rule is encrypted, too
}

func (k *Keys) ring() *sse.Ring {
	if k == nil {
		return nil
	}
	return k.Ring
}

// Able returns ErrNoRing where nothing can be put under a master key.
func (k *Keys) Able() error {
	if k.ring() == nil {
		return ErrNoRing
	}
	return nil
}

// Rule is how b encrypts what comes without a word on it; nil: not at all.
func (k *Keys) Rule(b *metadata.Bucket) (*metadata.EncryptionRule, error) {
	document := b.Config[metadata.EncryptionConfig]
	if document == nil {
		if k != nil && k.All {
			return &metadata.EncryptionRule{Algorithm: Algorithm}, nil
		}
		return nil, nil
	}
	var r metadata.EncryptionRule
	if err := json.Unmarshal(document, &r); err != nil {
		return nil, fmt.Errorf("encryption of bucket %s: %w", b.Name, err)
	}
	return &r, nil
}

// Lock gives v, which is to be written to b, its data key: where v.Encryption says
// so by its Kind, and the Customer key along with it, or where the rule of b does.
// v has its ID.
func (k *Keys) Lock(b *metadata.Bucket, v *metadata.Version) error {
	if v.Encryption == nil {
		rule, err := k.Rule(b)
		if err != nil || rule == nil {
			return err
		}
		v.Encryption = &metadata.Encryption{Kind: metadata.ServerKeys}
	}
	e := *v.Encryption
	data := sse.NewDataKey()
	switch {
	case e.Kind == metadata.CustomerKeys && e.Customer == nil:
		return ErrKeyNeeded
	case e.Kind == metadata.CustomerKeys:
		var err error
		if e.Key, err = sse.CustomerKey(*e.Customer).Wrap(data, place(v)); err != nil {
			return err
		}
	case k.ring() == nil:
		return ErrNoRing
	default:
		e.Key = k.ring().Wrap(data, place(v))
	}
	e.Data = (*[32]byte)(&data)
	v.Encryption = &e
	return nil
}

// place is what a data key is bound to: a version, and no other for ever.
func place(v *metadata.Version) string { return v.Bucket + "/" + v.ID }

// Unlock unwraps the data key of v, with the customer's key of v.Encryption where
// it has one. ErrKeyNeeded, sse.ErrWrongKey and sse.ErrNoMasterKey say why not;
// ErrNoRing that there is no master key at all.
func (k *Keys) Unlock(v *metadata.Version) error {
	if v.Encryption == nil || v.Encryption.Data != nil {
		return nil
	}
	e := *v.Encryption
	var data sse.DataKey
	var err error
	switch {
	case e.Kind == metadata.CustomerKeys && e.Customer == nil:
		return ErrKeyNeeded
	case e.Kind == metadata.CustomerKeys:
		data, err = sse.CustomerKey(*e.Customer).Unwrap(e.Key, place(v))
	case k.ring() == nil:
		return ErrNoRing
	default:
		data, err = k.ring().Unwrap(e.Key, place(v))
	}
	if err != nil {
		return fmt.Errorf("data key of %s: %w", place(v), err)
	}
	e.Data = (*[32]byte)(&data)
	v.Encryption = &e
	return nil
}

// UnlockWith is Unlock with the key that a request brought, nil where it brought
// none: ErrKeyUnwanted where v would have none either.
func (k *Keys) UnlockWith(v *metadata.Version, customer *[32]byte) error {
	if v.Encryption == nil || v.Encryption.Kind != metadata.CustomerKeys {
		if customer != nil {
			return ErrKeyUnwanted
		}
		return k.Unlock(v)
	}
	e := *v.Encryption
	e.Customer, e.Data = customer, nil
	v.Encryption = &e
	return k.Unlock(v)
}

// Layout is how the bytes of v lie in its blob.
func Layout(v *metadata.Version) sse.Layout {
	if len(v.Parts) == 0 {
		return sse.Layout{{Size: v.Size}}
	}
	l := make(sse.Layout, len(v.Parts))
	for i, p := range v.Parts {
		l[i] = sse.Stream{Salt: p.Salt, Size: p.Size}
	}
	return l
}

// StoredSize is how many bytes a stream of n takes in a store: e says whether it
// is encrypted.
func StoredSize(e *metadata.Encryption, n int64) int64 {
	if e == nil || n < 0 { // not known
		return n
	}
	return sse.SealedSize(n)
}

// Open reads n bytes from off on of v, which is encrypted and was unlocked, and
// has that many. stored opens a range of its blob.
func Open(v *metadata.Version, off, n int64, stored func(off, n int64) (io.ReadCloser, error)) (io.ReadCloser, error) {
	layout := Layout(v)
	from, length := layout.Range(off, n)
	sealed, err := stored(from, length)
	if err != nil {
		return nil, err
	}
	return opened{sse.NewOpener(*v.Encryption.Data, layout, off, n, sealed), sealed}, nil
}

type opened struct {
	*sse.Opener
	io.Closer
}

// ETag is that of an object, or a part, with the given MD5 in hex. Where a customer
// has the key it is random, as S3 has it: an MD5 would tell who has none what the
// object may be.
func ETag(e *metadata.Encryption, md5 string) string {
	if e == nil || e.Kind != metadata.CustomerKeys {
		return md5
	}
	b := make([]byte, 16)
	_, _ = rand.Read(b) // never fails: crypto/rand ends the program instead
	return hex.EncodeToString(b)
}
