package disk

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"strconv"
	"strings"

	"meridian/edge/cache"
	"meridian/edge/cache/policy"
)

const (
	// blockSize is what the space of a file is a multiple of.
	blockSize = 4 << 10
	// fileOverhead is what a file costs beyond its blocks: its inode, and its
	// name in the directory.
	fileOverhead = 512
)

// id stands for a key in names of files and in the index: a hash that nobody can
// find two keys for. The key itself is in the file, and compared.
type id [16]byte

func idOf(k cache.Key) id {
	var space [256]byte
	b := append(space[:0], byte(k.Class))
	b = append(b, k.Name...)
	sum := sha256.Sum256(b)
	return id(sum[:])
}

func (i id) hash() uint64 { return binary.BigEndian.Uint64(i[:]) }

// stored is what the name of a file tells: all that the index needs.
type stored struct {
	id    id
	class cache.Class
	// seq tells values of a key apart: a later Put has a greater one.
	seq uint64
	// length is that of the file, in bytes.
	length int64
}

var classLetters = [...]byte{cache.Head: 'h', cache.Slice: 's'}

// appendName appends the name of the file.
func (f *stored) appendName(b []byte) []byte {
	b = append(b, classLetters[f.class])
	b = hex.AppendEncode(b, f.id[:])
	b = append(b, '-')
	b = strconv.AppendUint(b, f.seq, 16)
	b = append(b, '-')
	return strconv.AppendInt(b, f.length, 16)
}

// maxLength is greater than any file of ours.
const maxLength = 1 << 40

// parseName reads the name of a file; false if it is none of ours.
func parseName(name string) (stored, bool) {
	var f stored
	const digits = 2 * len(f.id)
	if len(name) < 1+digits+4 || name[1+digits] != '-' {
		return f, false
	}
	switch name[0] {
	case classLetters[cache.Head]:
		f.class = cache.Head
	case classLetters[cache.Slice]:
		f.class = cache.Slice
	default:
		return f, false
	}
	if _, err := hex.Decode(f.id[:], []byte(name[1:1+digits])); err != nil {
		return f, false
	}
	seq, length, ok := strings.Cut(name[2+digits:], "-")
	if !ok {
		return f, false
	}
	var err error
	if f.seq, err = strconv.ParseUint(seq, 16, 64); err != nil {
		return f, false
	}
	if f.length, err = strconv.ParseInt(length, 16, 64); err != nil || f.length < footerSize || f.length > maxLength {
		return f, false
	}
	// There is one way to write each name.
	var space [80]byte
	return f, string(f.appendName(space[:0])) == name
}

// cost is what the file costs the file system.
func (f *stored) cost() int64 {
	return (f.length+blockSize-1)/blockSize*blockSize + fileOverhead
}

// entry is a value of the index.
type entry struct {
	policy.Entry
	stored

	// onDisk says that there is a file of this name; guarded by shard.files.
	onDisk bool
	// pending is the value while it waits to be written: nil as soon as it is,
	// or has left the index. Guarded by shard.mu.
	pending *pending
	// older is the next of the entries of the same key that leave; guarded by
	// shard.mu.
	older *entry
}

// pending is a value that is not on disk yet.
type pending struct {
	name  string // of the key
	value []byte
}

func newEntry(f *stored) *entry {
	e := &entry{stored: *f}
	e.Hash, e.Size, e.Owner = f.id.hash(), f.cost(), e
	return e
}
