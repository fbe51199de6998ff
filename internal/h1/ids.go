package h1

import (
	"crypto/rand"
	"encoding/base32"
)

// ids makes request IDs as httpserve does, of random bytes fetched many at a time.
type ids struct {
	random [320]byte
	left   int // bytes of random
	id     [16]byte
}

// next returns an ID, which the one after it overwrites.
func (i *ids) next() []byte {
	if i.left == 0 {
		_, _ = rand.Read(i.random[:]) // never fails: crypto/rand ends the program instead
		i.left = len(i.random)
	}
	base32.StdEncoding.Encode(i.id[:], i.random[i.left-10:i.left])
	i.left -= 10
	return i.id[:]
}
