package s3api

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"

	"meridian/internal/checksum"
	"meridian/internal/sigv4"
)

// Limits of XML bodies: a thousand keys of a kilobyte, each byte escaped, or
// ten thousand parts, fit the great one.
const (
	smallXML = 64 << 10
	greatXML = 8 << 20
)

// body is a request's payload: decoded, verified while it is read, and cut off
// when the client stalls.
type body struct {
	io.Reader
	size int64
	err  error // that the reader ended with, other than io.EOF
}

// openBody prepares the payload; it sends no "100 Continue" yet.
func (c *call) openBody(limit int64) (*body, error) {
	// A copy: net/http looks at the Body of its own request to see whether the
	// client still waits to be asked for it.
	r := *c.r
	if r.Body == nil {
		r.Body = http.NoBody
	}
	r.Body = &stallReader{ReadCloser: r.Body, ctl: c.w.ctl, stall: c.opts.Stall, metrics: c.w.metrics}
	auth, err := c.bodyAuth()
	if err != nil {
		return nil, err
	}
	payload, size, err := auth.Body(&r)
	if err != nil {
		return nil, err
	}
	switch {
	case size < 0:
		return nil, errMissingContentLength
	case size > limit:
		return nil, refuse(errEntityTooLarge, "").
			with("ProposedSize", strconv.FormatInt(size, 10)).
			with("MaxSizeAllowed", strconv.FormatInt(limit, 10))
	}
	return &body{Reader: payload, size: size}, nil
}

// bodyAuth says how the body is framed and what it must be: by the signature, or
// as it is where nobody signed.
func (c *call) bodyAuth() (*sigv4.Auth, error) {
	if c.auth != nil {
		return c.auth, nil
	}
	if c.unsigned == nil {
		var err error
		if c.unsigned, err = sigv4.Unsigned(c.r.Header.Get("X-Amz-Content-Sha256")); err != nil {
			return nil, err
		}
	}
	return c.unsigned, nil
}

func (b *body) Read(p []byte) (int, error) {
	n, err := b.Reader.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		b.err = err
	}
	return n, err
}

// blame is err, or why the body could not be read, if that is behind it: stores
// do not all pass on what their reader said.
func (b *body) blame(err error) error {
	if err == nil || b.err == nil {
		return err
	}
	if stalled(b.err) {
		return because(errRequestTimeout, b.err)
	}
	return b.err
}

// readXML reads a whole small body, verifies its digests and parses it.
func (c *call) readXML(limit int64, digests digestRule, root string, v any) error {
	data, err := c.readAll(limit, digests)
	if err != nil {
		return err
	}
	if len(data) == 0 {
		return errMissingRequestBody
	}
	return parseXML(data, root, v)
}

// digestRule is what the x-amz-checksum-* headers of an XML body mean.
type digestRule int

const (
	digestAllowed  digestRule = iota
	digestRequired            // one, or a Content-MD5
	digestOfObject            // they are about an object, not about the body
)

func (c *call) readAll(limit int64, rule digestRule) ([]byte, error) {
	if c.auth != nil && strings.HasPrefix(c.auth.PayloadHash, "STREAMING-") {
		return nil, refuse(errInvalidRequest, "The value of x-amz-content-sha256 header is invalid.")
	}
	d := &digest{}
	var err error
	if rule != digestOfObject {
		d, err = c.readDigest()
	}
	if err != nil {
		return nil, err
	}
	if rule == digestRequired && !d.compares() {
		return nil, refuse(errInvalidRequest, "Missing required header for this request: Content-MD5 OR x-amz-checksum-*")
	}
	b, err := c.openBody(limit)
	var f *failure
	if errors.As(err, &f) && f.code == errEntityTooLarge {
		return nil, because(errMalformedXML, err)
	}
	if err != nil {
		return nil, err
	}
	set := checksum.NewSet(d.algorithms("")...)
	var buf bytes.Buffer
	if _, err := io.Copy(io.MultiWriter(&buf, set), io.LimitReader(b, limit+1)); err != nil {
		return nil, b.blame(err)
	}
	if int64(buf.Len()) > limit {
		return nil, errMalformedXML
	}
	if err := d.verify(set.Sums()); err != nil {
		return nil, err
	}
	return buf.Bytes(), nil
}
