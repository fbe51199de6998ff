package main

import (
	"meridian/internal/sse"
	"meridian/origin/crypt"
)

// encryptionOptions say how objects are encrypted at rest.
type encryptionOptions struct {
	keys string
	all  bool
}

func (o *encryptionOptions) declare(s *settings) {
	s.secret(&o.keys, "encryption-key", "master `keys` of encrypted objects, the current one first: 64 hex digits each, one a line, the same for every origin")
	s.flags.BoolVar(&o.all, "encrypt-all", false, "encrypt what comes to buckets that do not say how")
}

// open reads the key ring.
func (o *encryptionOptions) open() (*crypt.Keys, error) {
	if o.keys == "" {
		if o.all {
			return nil, usagef("--encrypt-all needs a key: give --encryption-key-file (`openssl rand -hex 32` makes one)")
		}
		return &crypt.Keys{}, nil
	}
	ring, err := sse.ParseRing(o.keys)
	if err != nil {
		return nil, usagef("--encryption-key: %v", err)
	}
	return &crypt.Keys{Ring: ring, All: o.all}, nil
}
