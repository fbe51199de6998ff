// Package md5lanes computes MD5s of several streams at once. One stream alone
// leaves most of a processor idle, as each of the 64 steps of a block waits for
// the one before; in the lanes of a vector register the steps of sixteen streams
// take the time of two. Whoever writes while another stream is being hashed joins
// it: one of the writers works for all of them, and no goroutine is kept for it. A
// stream that meets no other is hashed by crypto/md5.
//
// Without AVX-512 it is crypto/md5.
package md5lanes

import (
	"bytes"
	"crypto/md5"
	"encoding"
	"encoding/binary"
	"hash"
)

// width is the number of lanes.
const width = 16

// able says whether streams can be hashed together, and crypto/md5 encodes its
// state as is assumed here.
var able = vector && func() bool {
	block := make([]byte, md5.BlockSize)
	h, ok := md5.New().(single)
	if !ok {
		return false
	}
	_, _ = h.Write(block) // never fails
	b, err := h.AppendBinary(nil)
	if err != nil || len(b) != stateSize || string(b[:len(mark)]) != mark {
		return false
	}
	d := newDigest()
	_, _ = d.Write(block)
	return bytes.Equal(d.Sum(nil), h.Sum(nil))
}()

// states are the four words of every lane, as block has them.
type states [4][width]uint32

// New returns a hash of one stream. Like any other it is for one goroutine at a
// time.
func New() hash.Hash {
	if !able {
		return md5.New()
	}
	return newDigest()
}

func newDigest() *digest {
	d := &digest{turn: make(chan bool, 1)}
	d.single, _ = md5.New().(single)
	d.Reset()
	return d
}

// digest is one stream.
type digest struct {
	state [4]uint32
	size  uint64              // of what was written
	tail  [md5.BlockSize]byte // its last bytes, which make no block yet

	todo   []byte    // whole blocks that wait for their lane
	turn   chan bool // true: they are done; false: lead
	single single
}

// single is what crypto/md5 gives: a state can be put into it and taken out.
type single interface {
	hash.Hash
	encoding.BinaryAppender
	encoding.BinaryUnmarshaler
}

func (d *digest) Reset() {
	d.state = [4]uint32{0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476}
	d.size = 0
}

func (d *digest) Size() int { return md5.Size }

func (d *digest) BlockSize() int { return md5.BlockSize }

// Write never fails.
func (d *digest) Write(p []byte) (int, error) {
	n, have := len(p), int(d.size%md5.BlockSize)
	d.size += uint64(n)
	if have > 0 {
		took := copy(d.tail[have:], p)
		if p = p[took:]; have+took == md5.BlockSize {
			d.hash(d.tail[:])
		}
	}
	if whole := len(p) &^ (md5.BlockSize - 1); whole > 0 {
		d.hash(p[:whole])
		p = p[whole:]
	}
	copy(d.tail[:], p)
	return n, nil
}

// Sum appends the sum of what was written so far.
func (d *digest) Sum(b []byte) []byte {
	end := &digest{state: d.state, size: d.size, tail: d.tail, single: d.single}
	// A bit, zeros up to the end of a block, and in its last bytes the length.
	const room = md5.BlockSize - 8
	var pad [2 * md5.BlockSize]byte
	pad[0] = 0x80
	n := room - int(d.size%md5.BlockSize)
	if n <= 0 {
		n += md5.BlockSize
	}
	binary.LittleEndian.PutUint64(pad[n:], d.size<<3)
	_, _ = end.Write(pad[:n+8]) // never fails
	for _, word := range end.state {
		b = binary.LittleEndian.AppendUint32(b, word)
	}
	return b
}

// hash runs whole blocks, without looking for company where they are few.
func (d *digest) hash(p []byte) {
	const few = 8 << 10
	if len(p) < few {
		d.alone(p)
		return
	}
	d.todo = p
	shared.hash(d)
}

// The state of crypto/md5, as it is encoded: a mark, the four words, the bytes that
// make no block yet, and how many were written.
const (
	mark      = "md5\x01"
	stateSize = len(mark) + md5.Size + md5.BlockSize + 8
)

// alone runs whole blocks through crypto/md5.
func (d *digest) alone(p []byte) {
	var b [stateSize]byte
	copy(b[:], mark)
	for i, word := range d.state {
		binary.BigEndian.PutUint32(b[len(mark)+4*i:], word)
	}
	// That neither fails was tried: see able.
	_ = d.single.UnmarshalBinary(b[:])
	_, _ = d.single.Write(p)
	after, _ := d.single.AppendBinary(b[:0])
	for i := range d.state {
		d.state[i] = binary.BigEndian.Uint32(after[len(mark)+4*i:])
	}
}
