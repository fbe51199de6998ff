package s3api

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/http"
	"strings"

	"meridian/internal/checksum"
	"meridian/internal/sigv4"
)

const checksumPrefix = "x-amz-checksum-"

// digest is what a client says of the bytes that it sends: a Content-MD5, and
// one checksum in a header or announced for the trailer.
type digest struct {
	md5       string // hex; "" where there is none
	algorithm checksum.Algorithm
	want      string // base64; "" until the trailer came, or where none is given
	trailer   bool
	auth      *sigv4.Auth
}

// readDigest reads the headers about the body and refuses malformed ones before
// a byte of the body is read.
func (c *call) readDigest() (*digest, error) {
	auth, err := c.bodyAuth()
	if err != nil {
		return nil, err
	}
	d := &digest{auth: auth}
	if values := c.r.Header.Values("Content-Md5"); len(values) > 0 {
		sum, err := base64.StdEncoding.DecodeString(values[0])
		if err != nil || len(sum) != 16 || len(values) > 1 {
			return nil, refuse(errInvalidDigest, "").with("Content-MD5", asUTF8(values[0]))
		}
		d.md5 = hex.EncodeToString(sum)
	}
	if err := d.readHeaders(c); err != nil {
		return nil, err
	}
	if err := d.readTrailerName(c.r.Header); err != nil {
		return nil, err
	}
	return d, d.checkSDK(c)
}

func (d *digest) readHeaders(c *call) error {
	if !c.namesChecksum() {
		return nil
	}
	for _, alg := range checksum.Algorithms {
		value := c.header(checksumPrefix + string(alg))
		if value == "" && len(c.r.Header.Values(checksumPrefix+string(alg))) == 0 {
			continue
		}
		if d.algorithm != "" {
			return refuse(errInvalidRequest, "Expecting a single x-amz-checksum- header. Multiple checksum Types are not allowed.")
		}
		d.algorithm, d.want = alg, value
	}
	if d.algorithm != "" && !d.algorithm.Valid(d.want) {
		return invalidSum(d.algorithm)
	}
	for name := range c.r.Header {
		name = strings.ToLower(name)
		alg, ok := strings.CutPrefix(name, checksumPrefix)
		if !ok || alg == "type" || alg == "algorithm" || alg == "mode" {
			continue
		}
		if _, known := checksum.Parse(alg); !known {
			return refuse(errInvalidRequest, "The algorithm type you specified in x-amz-checksum- header is invalid.")
		}
	}
	return nil
}

// namesChecksum says whether any x-amz-checksum-* came, which most clients leave
// out: to ask for each by its name takes longer.
func (c *call) namesChecksum() bool {
	is := func(name string) bool {
		return len(name) >= len(checksumPrefix) && strings.EqualFold(name[:len(checksumPrefix)], checksumPrefix)
	}
	for name := range c.r.Header {
		if is(name) {
			return true
		}
	}
	for name := range c.query {
		if is(name) {
			return true
		}
	}
	return false
}

func invalidSum(alg checksum.Algorithm) error {
	return refuse(errInvalidRequest, "Value for %s%s header is invalid.", checksumPrefix, alg)
}

func (d *digest) readTrailerName(h http.Header) error {
	value := strings.ToLower(strings.TrimSpace(h.Get("X-Amz-Trailer")))
	if value == "" {
		return nil
	}
	name, ok := strings.CutPrefix(value, checksumPrefix)
	alg, known := checksum.Parse(name)
	if !ok || !known {
		return refuse(errInvalidRequest, "The value specified in the x-amz-trailer header is not supported")
	}
	if d.algorithm != "" {
		return refuse(errInvalidRequest, "Expecting a single x-amz-checksum- header. Multiple checksum Types are not allowed.")
	}
	d.algorithm, d.trailer = alg, true
	return nil
}

// checkSDK holds x-amz-sdk-checksum-algorithm against the checksum that came. Who
// signs a URL that names an algorithm has no bytes yet, and who uses it sends what
// any HTTP client sends: such a body is kept with that checksum, compared to none.
func (d *digest) checkSDK(c *call) error {
	const name = "X-Amz-Sdk-Checksum-Algorithm"
	value := c.header(name)
	if value == "" {
		return nil
	}
	alg, ok := checksum.Parse(value)
	switch {
	case !ok:
		return refuse(errInvalidRequest, "Value for x-amz-sdk-checksum-algorithm header is invalid.")
	case d.algorithm == "" && c.r.Header.Get(name) == "":
		d.algorithm = alg
	case d.algorithm == "" && d.md5 == "":
		return refuse(errInvalidRequest, "x-amz-sdk-checksum-algorithm specified, but no corresponding x-amz-checksum-* or x-amz-trailer headers were found.")
	case d.algorithm != "" && alg != d.algorithm:
		return refuse(errInvalidRequest, "Value for x-amz-sdk-checksum-algorithm header is invalid.")
	}
	return nil
}

// compares says whether there is, or will be, anything to hold the body against.
func (d *digest) compares() bool { return d.md5 != "" || d.want != "" || d.trailer }

// algorithms is what has to be computed of the body: the client's choice, or
// what S3 takes where there is none.
func (d *digest) algorithms(fallback checksum.Algorithm) []checksum.Algorithm {
	alg := d.algorithm
	if alg == "" {
		alg = fallback
	}
	algs := []checksum.Algorithm{checksum.ETag}
	if alg != "" {
		algs = append(algs, alg)
	}
	return algs
}

// verify compares what was announced with what came. It is called after the
// last byte was read.
func (d *digest) verify(sums map[string]string) error {
	if d.md5 != "" && d.md5 != sums[string(checksum.ETag)] {
		return refuse(errBadDigest, "").with("CalculatedDigest", hexToBase64(sums[string(checksum.ETag)])).with("ExpectedDigest", d.md5)
	}
	if d.trailer {
		value := d.auth.Trailer().Get(checksumPrefix + string(d.algorithm))
		if value == "" {
			return because(errMalformedTrailer, fmt.Errorf("no %s%s in the trailer", checksumPrefix, d.algorithm))
		}
		if !d.algorithm.Valid(value) {
			return refuse(errInvalidRequest, "Value for %s%s trailing header is invalid.", checksumPrefix, d.algorithm)
		}
		d.want = value
	}
	if d.want != "" && d.want != sums[string(d.algorithm)] {
		return refuse(errBadDigest, "The %s you specified did not match the calculated checksum.", strings.ToUpper(string(d.algorithm)))
	}
	return nil
}

// writeChecksums tells of checksums in an answer.
func writeChecksums(h http.Header, sums map[string]string, kind string) {
	for alg, value := range sums {
		h.Set(checksumPrefix+alg, value)
	}
	if len(sums) > 0 && kind != "" {
		h.Set("X-Amz-Checksum-Type", kind)
	}
}

func hexToBase64(s string) string {
	b, err := hex.DecodeString(s)
	if err != nil {
		return s
	}
	return base64.StdEncoding.EncodeToString(b)
}
