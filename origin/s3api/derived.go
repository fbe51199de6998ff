package s3api

import (
	"sync"

	"meridian/internal/sigv4"
)

// derivedKeys remembers signing keys: to derive one takes four HMACs, as long as
// all else of a signature, and it is the same all day.
type derivedKeys struct {
	mu   sync.RWMutex
	keys map[derivedFrom][]byte
}

type derivedFrom struct{ secret, date, region, service string }

// maxDerived bounds the number of keys kept.
const maxDerived = 4096

// key is the signing key that a secret has in a scope. It is not to be changed.
func (d *derivedKeys) key(secret string, s sigv4.Scope) []byte {
	from := derivedFrom{secret, s.Date, s.Region, s.Service}
	d.mu.RLock()
	key := d.keys[from]
	d.mu.RUnlock()
	if key != nil {
		return key
	}
	key = sigv4.DeriveKey(secret, s.Date, s.Region, s.Service)
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.keys == nil || len(d.keys) >= maxDerived {
		d.keys = map[derivedFrom][]byte{} // those in use are soon there again
	}
	d.keys[from] = key
	return key
}
