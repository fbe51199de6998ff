// Package checksum computes the checksums of the S3 protocol: those of a whole
// body while it streams, the composite ones of multipart uploads, and full-object
// CRCs out of the CRCs of parts.
//
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/checking-object-integrity.html
package checksum

import (
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash"
	"hash/crc32"
	"slices"
	"strings"

	"github.com/cespare/xxhash/v2"
	"github.com/minio/crc64nvme"
	"github.com/zeebo/xxh3"

	"meridian/internal/md5lanes"
)

// Algorithm names a checksum in lower case, as in the header
// x-amz-checksum-<algorithm>.
type Algorithm string

// The algorithms. ETag is the MD5 of ETag and Content-MD5 in hexadecimal digits,
// and has no header of the x-amz-checksum family.
const (
	CRC32     Algorithm = "crc32"
	CRC32C    Algorithm = "crc32c"
	CRC64NVME Algorithm = "crc64nvme"
	MD5       Algorithm = "md5"
	SHA1      Algorithm = "sha1"
	SHA256    Algorithm = "sha256"
	SHA512    Algorithm = "sha512"
	XXHash64  Algorithm = "xxhash64"
	XXHash3   Algorithm = "xxhash3"
	XXHash128 Algorithm = "xxhash128"
	ETag      Algorithm = "etag"
)

// Algorithms are those that clients may choose.
var Algorithms = []Algorithm{CRC32, CRC32C, CRC64NVME, MD5, SHA1, SHA256, SHA512, XXHash128, XXHash3, XXHash64}

// Parse reads a name in either case, as x-amz-checksum-algorithm has it.
func Parse(name string) (Algorithm, bool) {
	a := Algorithm(strings.ToLower(name))
	return a, slices.Contains(Algorithms, a)
}

// Size is the length of a sum in bytes.
func (a Algorithm) Size() int {
	switch a {
	case CRC32, CRC32C:
		return 4
	case CRC64NVME, XXHash64, XXHash3:
		return 8
	case XXHash128:
		return 16
	case MD5, ETag:
		return md5.Size
	case SHA1:
		return sha1.Size
	case SHA256:
		return sha256.Size
	case SHA512:
		return sha512.Size
	}
	return 0
}

// Valid reports whether value is a sum of this algorithm in base64, as it stands
// in a header.
func (a Algorithm) Valid(value string) bool {
	b, err := base64.StdEncoding.DecodeString(value)
	return err == nil && len(b) == a.Size()
}

// Whole reports whether the checksum of a whole object can be made out of those of
// its parts; that of the others is a composite.
func (a Algorithm) Whole() bool { return polynomials[a] != nil }

func (a Algorithm) new() hash.Hash {
	switch a {
	case CRC32:
		return crc32.NewIEEE()
	case CRC32C:
		return crc32.New(crc32.MakeTable(crc32.Castagnoli))
	case CRC64NVME:
		return crc64nvme.New()
	case MD5, ETag:
		return md5lanes.New()
	case SHA1:
		return sha1.New()
	case SHA256:
		return sha256.New()
	case SHA512:
		return sha512.New()
	case XXHash64:
		return xxhash.New()
	case XXHash3:
		return xxh3.New()
	case XXHash128:
		return xxh3.New128()
	}
	return nil
}

// Set computes several checksums of what is written to it.
type Set struct {
	algorithms []Algorithm
	hashes     []hash.Hash
	size       int64
}

// NewSet returns a Set of the given algorithms; one named twice, or unknown, is
// computed once, or not at all.
func NewSet(algorithms ...Algorithm) *Set {
	s := &Set{}
	for _, a := range algorithms {
		if h := a.new(); h != nil && !slices.Contains(s.algorithms, a) {
			s.algorithms = append(s.algorithms, a)
			s.hashes = append(s.hashes, h)
		}
	}
	return s
}

// Write never fails.
func (s *Set) Write(p []byte) (int, error) {
	for _, h := range s.hashes {
		_, _ = h.Write(p) // a hash never fails
	}
	s.size += int64(len(p))
	return len(p), nil
}

// Size is the number of bytes written.
func (s *Set) Size() int64 { return s.size }

// Sums are the checksums of what was written so far, by algorithm: in base64 as
// S3 has them, ETag in hex.
func (s *Set) Sums() map[string]string {
	sums := make(map[string]string, len(s.hashes))
	for i, a := range s.algorithms {
		sum := s.hashes[i].Sum(nil)
		if a == ETag {
			sums[string(a)] = hex.EncodeToString(sum)
		} else {
			sums[string(a)] = base64.StdEncoding.EncodeToString(sum)
		}
	}
	return sums
}

// Composite is the checksum of the checksums of parts, with their number behind
// a hyphen, as S3 gives it to a multipart object.
func Composite(a Algorithm, parts []string) (string, error) {
	h := a.new()
	if h == nil || a == CRC64NVME || a == ETag {
		return "", fmt.Errorf("%s has no composite checksums", a)
	}
	for i, p := range parts {
		b, err := base64.StdEncoding.DecodeString(p)
		if err != nil || len(b) != a.Size() {
			return "", fmt.Errorf("%s of part %d is malformed: %q", a, i+1, p)
		}
		_, _ = h.Write(b) // a hash never fails
	}
	return fmt.Sprintf("%s-%d", base64.StdEncoding.EncodeToString(h.Sum(nil)), len(parts)), nil
}

// PartSum is the checksum of a part, in base64, and the part's size in bytes.
type PartSum struct {
	Sum  string
	Size int64
}

// CombineCRC is the checksum of all parts together, out of those of the parts.
// Only CRCs have one.
func CombineCRC(a Algorithm, parts []PartSum) (string, error) {
	p, ok := polynomials[a]
	if !ok {
		return "", fmt.Errorf("%s of parts cannot be combined", a)
	}
	var sum uint64
	for i, part := range parts {
		b, err := base64.StdEncoding.DecodeString(part.Sum)
		if err != nil || len(b) != a.Size() {
			return "", fmt.Errorf("%s of part %d is malformed: %q", a, i+1, part.Sum)
		}
		var next uint64
		for _, x := range b {
			next = next<<8 | uint64(x)
		}
		sum = p.combine(sum, next, part.Size)
	}
	return encodeCRC(a, sum), nil
}

// CombineCRC64 is the CRC-64/NVME of two pieces of bytes in a row, out of their
// CRCs and the size of the second one.
func CombineCRC64(a, b uint64, sizeB int64) uint64 {
	return polynomials[CRC64NVME].combine(a, b, sizeB)
}

// EncodeCRC64 writes a CRC-64/NVME as S3 does.
func EncodeCRC64(sum uint64) string { return encodeCRC(CRC64NVME, sum) }

func encodeCRC(a Algorithm, sum uint64) string {
	var b [8]byte
	binary.BigEndian.PutUint64(b[:], sum)
	return base64.StdEncoding.EncodeToString(b[8-a.Size():])
}

// Sum64 is the CRC-64/NVME of b.
func Sum64(b []byte) uint64 { return crc64nvme.Checksum(b) }
