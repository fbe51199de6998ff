package tus

import (
	"bytes"
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"hash"
	"hash/crc32"
	"strings"

	"meridian/upload/relay"
)

// digest is what Upload-Checksum says of the body of a request.
type digest struct {
	algorithm string
	hash      hash.Hash
	want      []byte
}

// parseChecksum reads Upload-Checksum: an algorithm and its base64 sum. Without
// the header the digest is nil.
func parseChecksum(header string) (*digest, error) {
	if header == "" {
		return nil, nil
	}
	algorithm, text, _ := strings.Cut(header, " ")
	d := &digest{algorithm: strings.ToLower(algorithm)}
	switch d.algorithm {
	case "sha1":
		d.hash = sha1.New()
	case "sha256":
		d.hash = sha256.New()
	case "md5":
		d.hash = md5.New()
	case "crc32":
		d.hash = crc32.NewIEEE()
	default:
		return nil, invalid("Upload-Checksum: algorithm %.20q is not one of %s", algorithm, strings.Join(relay.Checksums, ", "))
	}
	var err error
	if d.want, err = base64.StdEncoding.DecodeString(strings.TrimSpace(text)); err != nil || len(d.want) != d.hash.Size() {
		return nil, invalid("Upload-Checksum: the sum is not %d bytes in base64, as %s has", d.hash.Size(), d.algorithm)
	}
	return d, nil
}

// check refuses a body with another sum.
func (d *digest) check() error {
	if got := d.hash.Sum(nil); !bytes.Equal(got, d.want) {
		return refuse(relay.StatusChecksum, "checksum-mismatch", "the %s of what arrived is %s; nothing of it was kept, send it again from the same offset",
			d.algorithm, base64.StdEncoding.EncodeToString(got))
	}
	return nil
}
