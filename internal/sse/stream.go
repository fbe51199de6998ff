// Package sse is how objects are kept encrypted: the format of their bytes, and
// the keys.
//
// Bytes are encrypted in streams: a blob is one, or one for each part of a
// multipart upload, in their order. A stream is a row of slices and nothing else:
//
//	slice 0 (64 KiB) | tag (16) | slice 1 | tag | ... | last slice | tag
//
// Every slice is AES-256-GCM by itself, under a key that is derived from the data
// key of the object and the salt of the stream; its nonce is its number, and
// whether it is the last (the STREAM construction of Hoang, Reyhanitabar, Rogaway
// and Vizár). So any range can be read by fetching the slices that it touches,
// and nobody who can write to a store can cut, reorder, repeat or exchange slices
// without it being found out. An empty stream has one empty slice. Salts and
// sizes are kept in the catalogue, not in the blob: finding the slices of a range
// reads nothing.
//
// Slices of 64 KiB cost 16 bytes each (0.02 %), and the smallest read 64 KiB; the
// slices of caches, of 1 MiB, are whole numbers of them.
package sse

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

const (
	// SliceSize is how many bytes of an object one slice holds; the last of a
	// stream may hold fewer.
	SliceSize = 64 << 10
	// Overhead is what a slice has beyond them.
	Overhead = 16
	// SaltSize is the length of the salt of a part.
	SaltSize = 16
)

// ErrDamaged says that bytes are not those that were sealed in this place.
var ErrDamaged = errors.New("encrypted bytes are damaged")

// NewSalt is the salt of a stream that shares its data key with others. One that
// has it for itself needs none.
func NewSalt() []byte {
	salt := make([]byte, SaltSize)
	_, _ = rand.Read(salt) // never fails: crypto/rand ends the program instead
	return salt
}

// SealedSize is the size of the stream that holds n bytes.
func SealedSize(n int64) int64 { return n + Overhead*slicesOf(n) }

func slicesOf(n int64) int64 { return max((n+SliceSize-1)/SliceSize, 1) }

// cipherOf is what seals and opens the slices of a stream.
func cipherOf(key DataKey, salt []byte) (cipher.AEAD, error) {
	derived, err := hkdf.Key(sha256.New, key[:], salt, "meridian sse 1: stream", 32)
	if err != nil {
		return nil, fmt.Errorf("sse: derive key: %w", err)
	}
	block, err := aes.NewCipher(derived)
	if err != nil {
		return nil, fmt.Errorf("sse: %w", err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		return nil, fmt.Errorf("sse: %w", err)
	}
	return aead, nil
}

// nonce sets b, of 12 bytes, to the nonce of a slice. No two slices under one
// key have the same.
func nonce(b []byte, index int64, last bool) {
	clear(b)
	binary.BigEndian.PutUint64(b[3:11], uint64(index))
	if last {
		b[11] = 1
	}
}

// Sealer reads a stream as it is kept from what is to be kept.
type Sealer struct {
	plain io.Reader
	aead  cipher.AEAD
	nonce [12]byte
	buf   []byte
	out   []byte // of buf, still to be read
	ahead []byte // the first byte of the next slice, if it was read
	index int64
	size  int64
	end   error // of plain
	done  bool  // the last slice was made, or will never be
}

// NewSealer seals what plain holds. Where reading plain fails, reading the Sealer
// fails with the same error, and what it has given so far is no whole stream.
func NewSealer(key DataKey, salt []byte, plain io.Reader) (*Sealer, error) {
	aead, err := cipherOf(key, salt)
	if err != nil {
		return nil, err
	}
	return &Sealer{plain: plain, aead: aead, buf: make([]byte, SliceSize+Overhead), ahead: make([]byte, 0, 1)}, nil
}

// Size is how many bytes were read of what is to be kept.
func (s *Sealer) Size() int64 { return s.size }

// Read implements io.Reader.
func (s *Sealer) Read(p []byte) (int, error) {
	for len(s.out) == 0 {
		if s.done {
			return 0, s.end
		}
		s.seal()
	}
	n := copy(p, s.out)
	s.out = s.out[n:]
	return n, nil
}

// seal makes the next slice. One byte more is read, to know whether it is the
// last.
func (s *Sealer) seal() {
	n := copy(s.buf, s.ahead)
	s.ahead = s.ahead[:0]
	for n <= SliceSize && s.end == nil {
		var m int
		m, s.end = s.plain.Read(s.buf[n : SliceSize+1])
		n += m
		s.size += int64(m)
	}
	last := n <= SliceSize
	if last {
		s.done = true
		if s.end != io.EOF { //nolint:errorlint // a wrapped one is no clean end
			return
		}
	} else {
		s.ahead = append(s.ahead, s.buf[SliceSize])
		n = SliceSize
	}
	nonce(s.nonce[:], s.index, last)
	s.index++
	s.out = s.aead.Seal(s.buf[:0], s.nonce[:], s.buf[:n], nil)
}

// Stream tells of a stream in a blob: its salt, and how many bytes it holds.
type Stream struct {
	Salt []byte
	Size int64
}

// Layout is the streams of a blob, in order.
type Layout []Stream

// Sealed is the size of the blob.
func (l Layout) Sealed() (n int64) {
	for _, s := range l {
		n += SealedSize(s.Size)
	}
	return n
}

// place is a slice in a blob.
type place struct {
	stream int
	index  int64
	begin  int64 // in what the blob holds
	sealed int64 // where it is in the blob
}

// find is the slice that holds byte off.
func (l Layout) find(off int64) place {
	var p place
	for _, s := range l {
		if off < p.begin+s.Size {
			p.index = (off - p.begin) / SliceSize
			p.begin += p.index * SliceSize
			p.sealed += p.index * (SliceSize + Overhead)
			return p
		}
		p.stream++
		p.begin += s.Size
		p.sealed += SealedSize(s.Size)
	}
	return p
}

// length is how many bytes a slice of a stream holds, and whether it is the last.
func (s Stream) length(index int64) (n int64, last bool) {
	return min(SliceSize, s.Size-index*SliceSize), index == slicesOf(s.Size)-1
}

// Range is where in the blob the slices lie that hold n bytes from off on: n
// bytes that there are, and at least one.
func (l Layout) Range(off, n int64) (sealedOff, sealedN int64) {
	first, last := l.find(off), l.find(off+n-1)
	length, _ := l[last.stream].length(last.index)
	return first.sealed, last.sealed + length + Overhead - first.sealed
}

// Opener reads what a blob holds.
type Opener struct {
	key    DataKey
	layout Layout
	at     place
	aead   cipher.AEAD // of the stream at hand
	sealed io.Reader
	skip   int64 // of the first slice
	left   int64
	nonce  [12]byte
	buf    []byte
	out    []byte // of buf, still to be read
}

// NewOpener reads n bytes from off on out of the bytes that Range says. Nothing
// of a slice is given before all of it was found to be whole: ErrDamaged if it is
// not, io.ErrUnexpectedEOF if it ends early.
func NewOpener(key DataKey, layout Layout, off, n int64, sealed io.Reader) *Opener {
	o := &Opener{key: key, layout: layout, sealed: sealed, left: n}
	if n > 0 {
		o.at = layout.find(off)
		o.skip = off - o.at.begin
		o.buf = make([]byte, SliceSize+Overhead)
	}
	return o
}

// Read implements io.Reader.
func (o *Opener) Read(p []byte) (int, error) {
	if o.left == 0 {
		return 0, io.EOF
	}
	for len(o.out) == 0 {
		if err := o.open(); err != nil {
			return 0, err
		}
	}
	n := copy(p, o.out)
	o.out = o.out[n:]
	o.left -= int64(n)
	return n, nil
}

// WriteTo implements io.WriterTo: each slice is written as it was opened, without
// a copy, and in one piece.
func (o *Opener) WriteTo(w io.Writer) (total int64, err error) {
	for o.left > 0 {
		if len(o.out) == 0 {
			if err := o.open(); err != nil {
				return total, err
			}
			continue
		}
		n, err := w.Write(o.out)
		o.out = o.out[n:]
		o.left -= int64(n)
		if total += int64(n); err != nil {
			return total, err
		}
	}
	return total, nil
}

// open opens the next slice.
func (o *Opener) open() error {
	if o.at.stream >= len(o.layout) {
		return fmt.Errorf("%w: it holds less than it should", ErrDamaged)
	}
	stream := o.layout[o.at.stream]
	if o.aead == nil {
		var err error
		if o.aead, err = cipherOf(o.key, stream.Salt); err != nil {
			return err
		}
	}
	length, last := stream.length(o.at.index)
	slice := o.buf[:length+Overhead]
	if _, err := io.ReadFull(o.sealed, slice); err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return err
	}
	nonce(o.nonce[:], o.at.index, last)
	plain, err := o.aead.Open(slice[:0], o.nonce[:], slice, nil)
	if err != nil {
		return fmt.Errorf("%w: slice %d of stream %d", ErrDamaged, o.at.index, o.at.stream)
	}
	o.at.index++
	if last {
		o.at.stream, o.at.index, o.aead = o.at.stream+1, 0, nil
	}
	o.out = plain[o.skip:]
	o.out = o.out[:min(int64(len(o.out)), o.left)]
	o.skip = 0
	return nil
}
