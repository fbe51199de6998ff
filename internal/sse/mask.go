package sse

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
)

// Mask hides bytes of an object that are kept, for the time until they are in a
// stream, elsewhere than in a store, and shows them again: AES-256-CTR by their
// place in the object, at. Pieces may be cut and joined as they like. It proves
// nothing of the bytes, and what lies at one place must stay the same.
func Mask(key DataKey, at int64, b []byte) ([]byte, error) {
	derived, err := hkdf.Key(sha256.New, key[:], nil, "meridian sse 1: mask", KeySize)
	if err != nil {
		return nil, fmt.Errorf("sse: derive key: %w", err)
	}
	block, err := aes.NewCipher(derived)
	if err != nil {
		return nil, fmt.Errorf("sse: %w", err)
	}
	var begin, skipped [aes.BlockSize]byte
	binary.BigEndian.PutUint64(begin[8:], uint64(at)/aes.BlockSize)
	stream := cipher.NewCTR(block, begin[:])
	stream.XORKeyStream(skipped[:at%aes.BlockSize], skipped[:at%aes.BlockSize])
	out := make([]byte, len(b))
	stream.XORKeyStream(out, b)
	return out, nil
}
