package sigv4

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"hash"
	"io"
	"net/http"
	"strconv"
	"strings"
)

// Body returns the payload of r: decoded where it is aws-chunked, and verified
// while it is read. Where anything differs from what was signed or announced
// (the SHA-256, a chunk's or the trailer's signature, the length) the reader
// returns an *Error in place of io.EOF, so bytes read before are to be trusted
// only once io.EOF came. It holds a buffer of 16 KiB, whatever the chunk sizes.
//
// decodedLength is the length of the payload, or -1 where it is unknown.
func (a *Auth) Body(r *http.Request) (body io.Reader, decodedLength int64, err error) {
	src := r.Body
	if src == nil {
		src = http.NoBody
	}
	switch a.PayloadHash {
	case StreamingPayload, StreamingPayloadTrailer, StreamingUnsignedTrailer:
		n, err := decodedContentLength(r)
		if err != nil {
			return nil, 0, err
		}
		return newChunkReader(a, src, n, announcedTrailers(r)), n, nil
	}
	p := &plainReader{src: src, left: r.ContentLength}
	if a.bodyHash != "" {
		p.hash, p.want = sha256.New(), strings.ToLower(a.bodyHash)
	}
	return p, r.ContentLength, nil
}

// Unsigned is the Auth of a request that nobody signed, for its body: that may say
// of itself what it hashes to, or be in unsigned chunks, but not in signed ones.
func Unsigned(payloadHash string) (*Auth, error) {
	a := &Auth{PayloadHash: payloadHash}
	switch {
	case payloadHash == "", payloadHash == UnsignedPayload, payloadHash == StreamingUnsignedTrailer:
	case !strings.HasPrefix(payloadHash, "STREAMING-"):
		a.bodyHash = payloadHash // a body never hashes to what is no hash
	default:
		return nil, refuse(ErrInvalidContentSHA256, "InvalidRequest", "Anonymous requests don't support this x-amz-content-sha256 value. Please use UNSIGNED-PAYLOAD or STREAMING-UNSIGNED-PAYLOAD-TRAILER.")
	}
	return a, nil
}

// Trailer is the trailer of an aws-chunked body, under canonical names, once the
// reader of Body has returned io.EOF; nil before, and where there was none.
func (a *Auth) Trailer() http.Header { return a.trailer }

func decodedContentLength(r *http.Request) (int64, error) {
	v := r.Header.Get("X-Amz-Decoded-Content-Length")
	if v == "" {
		return 0, refuse(ErrMissingContentLength, "MissingContentLength", "You must provide the Content-Length HTTP header.")
	}
	n, err := strconv.ParseInt(v, 10, 64)
	if err != nil || n < 0 {
		return 0, refuse(ErrMissingContentLength, "MissingContentLength", "You must provide the Content-Length HTTP header.")
	}
	return n, nil
}

// announcedTrailers are the names in X-Amz-Trailer, in lower case.
func announcedTrailers(r *http.Request) []string {
	var names []string
	for _, v := range r.Header["X-Amz-Trailer"] {
		for name := range strings.SplitSeq(v, ",") {
			if name = strings.ToLower(strings.TrimSpace(name)); name != "" {
				names = append(names, name)
			}
		}
	}
	return names
}

// incomplete is the error of a body that is shorter or longer than was announced.
func incomplete(cause error) *Error {
	e := refuse(ErrIncompleteBody, "IncompleteBody", "You did not provide the number of bytes specified by the Content-Length HTTP header")
	e.cause = cause
	return e
}

var errLonger = errors.New("the body is longer than announced")

// plainReader reads a body as it is.
type plainReader struct {
	src  io.Reader
	left int64 // -1 if unknown
	hash hash.Hash
	want string
	err  error
}

func (p *plainReader) Read(b []byte) (int, error) {
	if p.err != nil {
		return 0, p.err
	}
	n, err := p.src.Read(b)
	if p.hash != nil {
		p.hash.Write(b[:n])
	}
	if p.left >= 0 {
		if p.left -= int64(n); p.left < 0 {
			p.err = incomplete(errLonger)
			return 0, p.err
		}
	}
	switch {
	case err == nil:
		return n, nil
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF) && p.left > 0:
		err = incomplete(io.ErrUnexpectedEOF)
	case errors.Is(err, io.EOF) && p.hash != nil:
		if got := hex.EncodeToString(p.hash.Sum(nil)); got != p.want {
			err = refuse(ErrContentSHA256, "XAmzContentSHA256Mismatch", "The provided 'x-amz-content-sha256' header does not match what was computed.").
				with("ClientComputedContentSHA256", p.want).with("S3ComputedContentSHA256", got)
		}
	}
	p.err = err
	return n, err
}
