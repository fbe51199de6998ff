// Package seal encrypts small secrets for storage, so that whoever reads the
// database, a dump or a replica of it learns none of them. A Sealer holds the
// master key of the cluster, which lives outside of the database.
//
// A sealed secret is
//
//	version (1 byte, 1) | key ID (8 bytes) | nonce (12 bytes) | AES-256-GCM
//
// The key ID tells a wrong master key from damaged data. Version, key ID and
// the caller's context are authenticated along with the secret: a sealed secret
// that is moved to another row does not open there.
package seal

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"errors"
	"fmt"
)

// KeySize is the length of a master key in bytes.
const KeySize = 32

const (
	version    = 1
	idSize     = 8
	headerSize = 1 + idSize
)

var (
	// ErrWrongKey says that the secret was sealed under another master key.
	ErrWrongKey = errors.New("sealed under another master key")
	// ErrDamaged says that the sealed bytes are not what Seal made for this
	// context.
	ErrDamaged = errors.New("sealed secret is damaged")
)

// Sealer seals and opens under one master key. It is safe for concurrent use.
type Sealer struct {
	header [headerSize]byte
	aead   cipher.AEAD
}

// New derives from master the key that seals and its public ID.
func New(master [KeySize]byte) (*Sealer, error) {
	key, err := hkdf.Key(sha256.New, master[:], nil, "meridian seal 1: key", 32)
	if err != nil {
		return nil, fmt.Errorf("seal: derive key: %w", err)
	}
	id, err := hkdf.Key(sha256.New, master[:], nil, "meridian seal 1: key id", idSize)
	if err != nil {
		return nil, fmt.Errorf("seal: derive key ID: %w", err)
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("seal: %w", err)
	}
	// 96-bit random nonces are safe for 2^32 secrets under one key.
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return nil, fmt.Errorf("seal: %w", err)
	}
	s := &Sealer{aead: aead}
	s.header[0] = version
	copy(s.header[1:], id)
	return s, nil
}

// Seal encrypts secret for context, the place it belongs to, such as the ID of
// the access key. No two calls return the same bytes.
func (s *Sealer) Seal(secret []byte, context string) []byte {
	sealed := bytes.Clone(s.header[:])
	return s.aead.Seal(sealed, nil, secret, s.data(context))
}

// Open decrypts what Seal made for the same context.
func (s *Sealer) Open(sealed []byte, context string) ([]byte, error) {
	switch {
	case len(sealed) < headerSize+s.aead.Overhead() || sealed[0] != version:
		return nil, ErrDamaged
	case !bytes.Equal(sealed[:headerSize], s.header[:]):
		return nil, ErrWrongKey
	}
	secret, err := s.aead.Open(nil, nil, sealed[headerSize:], s.data(context))
	if err != nil {
		return nil, ErrDamaged
	}
	return secret, nil
}

// Mark is how all that this Sealer seals begins, and nothing that another master
// key has sealed: 9 bytes.
func (s *Sealer) Mark() []byte { return bytes.Clone(s.header[:]) }

func (s *Sealer) data(context string) []byte {
	return append(s.header[:headerSize:headerSize], context...)
}
