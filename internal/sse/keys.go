package sse

import (
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"meridian/internal/seal"
)

// KeySize is the length of every key here, in bytes.
const KeySize = 32

// DataKey is the key of one object. It is kept only wrapped: under a master key,
// or under one that the customer has.
type DataKey [KeySize]byte

// NewDataKey is a random key.
func NewDataKey() (k DataKey) {
	_, _ = rand.Read(k[:]) // never fails: crypto/rand ends the program instead
	return k
}

// String keeps a key out of logs.
func (DataKey) String() string { return "(data key)" }

// GoString keeps a key out of logs.
func (DataKey) GoString() string { return "(data key)" }

// The errors of unwrapping.
var (
	// ErrNoMasterKey says that none of the master keys at hand is that under which
	// a data key was wrapped.
	ErrNoMasterKey = errors.New("wrapped under a master key that is not in the key ring")
	// ErrWrongKey says that the customer's key is not that of the object.
	ErrWrongKey = errors.New("not the key that the object was encrypted with")
)

// Ring is the master keys of a cluster. All data keys are wrapped under the first
// of them; the others unwrap what was wrapped before they were replaced.
type Ring struct {
	sealers []*seal.Sealer
}

// NewRing makes a ring of keys, the current one first.
func NewRing(keys ...[KeySize]byte) (*Ring, error) {
	if len(keys) == 0 {
		return nil, errors.New("a key ring needs a key")
	}
	r := &Ring{}
	for i, k := range keys {
		for _, other := range keys[:i] {
			if k == other {
				return nil, fmt.Errorf("the key ring holds key number %d twice", i+1)
			}
		}
		s, err := seal.New(k)
		if err != nil {
			return nil, err
		}
		r.sealers = append(r.sealers, s)
	}
	return r, nil
}

// ParseRing reads a ring: keys of 64 hex digits, or of 32 bytes in base64, on
// lines of their own or with commas between them, the current one first. What
// follows a # is a comment.
func ParseRing(text string) (*Ring, error) {
	var keys [][KeySize]byte
	for line := range strings.Lines(text) {
		line, _, _ = strings.Cut(line, "#")
		for word := range strings.FieldsFuncSeq(line, func(r rune) bool { return r <= ' ' || r == ',' }) {
			k, err := hex.DecodeString(word)
			if err != nil || len(k) != KeySize {
				k, err = base64.StdEncoding.DecodeString(word)
			}
			if err != nil || len(k) != KeySize {
				return nil, fmt.Errorf("key number %d of the key ring is neither 64 hex digits nor 32 bytes in base64; `openssl rand -hex 32` makes one", len(keys)+1)
			}
			keys = append(keys, [KeySize]byte(k))
		}
	}
	return NewRing(keys...)
}

// Wrap wraps a data key under the current master key for a place, the version
// that it belongs to: moved to another it does not unwrap.
func (r *Ring) Wrap(k DataKey, place string) []byte { return r.sealers[0].Seal(k[:], place) }

// Unwrap undoes Wrap.
func (r *Ring) Unwrap(wrapped []byte, place string) (DataKey, error) {
	for _, s := range r.sealers {
		k, err := open(s, wrapped, place)
		if !errors.Is(err, seal.ErrWrongKey) {
			return k, err
		}
	}
	return DataKey{}, ErrNoMasterKey
}

// Marks are how data keys begin: each that is wrapped under the first master key
// with the first mark, and so on.
func (r *Ring) Marks() [][]byte {
	marks := make([][]byte, len(r.sealers))
	for i, s := range r.sealers {
		marks[i] = s.Mark()
	}
	return marks
}

func open(s *seal.Sealer, wrapped []byte, place string) (k DataKey, err error) {
	b, err := s.Open(wrapped, place)
	if err != nil {
		return k, err
	}
	if len(b) != KeySize {
		return k, seal.ErrDamaged
	}
	return DataKey(b), nil
}

// CustomerKey is a key that a customer sends with every request (SSE-C). It is
// never kept.
type CustomerKey [KeySize]byte

// String keeps a key out of logs.
func (CustomerKey) String() string { return "(customer key)" }

// GoString keeps a key out of logs.
func (CustomerKey) GoString() string { return "(customer key)" }

const customerSalt = 32

// Wrap wraps a data key under the customer's. What comes out begins with a salt,
// so that it does not tell which objects have the same key.
func (c CustomerKey) Wrap(k DataKey, place string) ([]byte, error) {
	salt := make([]byte, customerSalt)
	_, _ = rand.Read(salt) // never fails
	s, err := c.sealer(salt)
	if err != nil {
		return nil, err
	}
	return append(salt, s.Seal(k[:], place)...), nil
}

// Unwrap undoes Wrap; ErrWrongKey where it was another customer key's.
func (c CustomerKey) Unwrap(wrapped []byte, place string) (DataKey, error) {
	if len(wrapped) < customerSalt {
		return DataKey{}, seal.ErrDamaged
	}
	s, err := c.sealer(wrapped[:customerSalt])
	if err != nil {
		return DataKey{}, err
	}
	k, err := open(s, wrapped[customerSalt:], place)
	if errors.Is(err, seal.ErrWrongKey) {
		err = ErrWrongKey
	}
	return k, err
}

func (c CustomerKey) sealer(salt []byte) (*seal.Sealer, error) {
	k, err := hkdf.Key(sha256.New, c[:], salt, "meridian sse 1: customer key", KeySize)
	if err != nil {
		return nil, fmt.Errorf("sse: derive key: %w", err)
	}
	return seal.New([KeySize]byte(k))
}
