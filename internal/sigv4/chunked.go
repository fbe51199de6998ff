package sigv4

import (
	"bufio"
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"hash"
	"io"
	"math"
	"net/http"
	"net/textproto"
	"slices"
	"strconv"
	"strings"
)

const (
	// chunkBuffer holds at least a line; larger reads go around it.
	chunkBuffer = 16 << 10
	// minChunk is the least size of a chunk that is not the last.
	minChunk = 8 << 10
	// maxChunkLine bounds a chunk's header line and a line of the trailer.
	maxChunkLine = 4 << 10
	maxTrailers  = 16

	trailerSignature = "x-amz-trailer-signature"
)

// chunkReader decodes aws-chunked, in its three forms: chunks signed, chunks
// and trailer signed, trailer only.
// https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-streaming.html
// https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-streaming-trailers.html
//
// Lines of the trailer may end in a bare line feed, and an empty line may stand
// before the signature of the trailer, because minio-go writes them so.
type chunkReader struct {
	auth     *Auth
	src      *bufio.Reader
	signed   bool // chunks are
	trailing bool // a trailer follows

	announced []string
	left      int64 // of the announced length
	inChunk   int64 // left of the current chunk
	chunks    int   // begun so far, the empty one at the end apart
	last      int64 // size of the one begun last
	least     int64 // size of each but the last
	trailer   http.Header
	err       error

	mac      hash.Hash // keyed with the signing key
	sum      hash.Hash // of the current chunk
	previous [2 * sha256.Size]byte
	claimed  [2 * sha256.Size]byte // signature that the chunk's header gave
}

func newChunkReader(a *Auth, src io.Reader, length int64, announced []string) *chunkReader {
	c := &chunkReader{
		auth:      a,
		src:       bufio.NewReaderSize(src, chunkBuffer),
		signed:    a.PayloadHash != StreamingUnsignedTrailer,
		trailing:  a.PayloadHash != StreamingPayload,
		announced: announced,
		left:      length,
		least:     minChunk,
	}
	if c.signed {
		c.mac, c.sum = hmac.New(sha256.New, a.key), sha256.New()
		copy(c.previous[:], a.signature)
	}
	return c
}

func (c *chunkReader) Read(p []byte) (n int, err error) {
	if c.err != nil {
		return 0, c.err
	}
	if len(p) == 0 {
		return 0, nil
	}
	if c.inChunk == 0 {
		if c.err = c.begin(); c.err != nil {
			return 0, c.err
		}
	}
	if int64(len(p)) > c.inChunk {
		p = p[:c.inChunk]
	}
	n, err = c.src.Read(p)
	if c.signed {
		c.sum.Write(p[:n])
	}
	c.inChunk -= int64(n)
	c.left -= int64(n)
	switch {
	case c.inChunk == 0 && n > 0:
		c.err = c.end()
	case err != nil:
		c.err = readError(err)
	}
	return n, c.err
}

// begin reads a chunk's header. At the last chunk it reads all the rest and
// returns io.EOF.
func (c *chunkReader) begin() error {
	size, err := c.header()
	if err != nil {
		return err
	}
	if size > c.left {
		return c.excess()
	}
	if size > 0 {
		if c.chunks > 0 && c.last < c.least {
			return refuse(ErrChunkSize, "InvalidChunkSizeError", "Only the last chunk is allowed to have a size less than %d bytes", c.least).
				with("Chunk", strconv.Itoa(c.chunks)).with("BadChunkSize", strconv.FormatInt(c.last, 10))
		}
		c.inChunk, c.last = size, size
		c.chunks++
		return nil
	}
	if c.left > 0 {
		return incomplete(nil)
	}
	if c.signed {
		if err := c.verifyChunk(); err != nil {
			return err
		}
	}
	if c.trailing {
		err = c.readTrailer()
	} else {
		err = c.crlf()
	}
	if err != nil {
		return err
	}
	if err := c.drained(); err != nil {
		return err
	}
	c.auth.trailer = c.trailer
	return io.EOF
}

// excess says what is wrong with a chunk that is longer than what is left of the
// announced length: the body is longer, or the chunk ends before its size.
func (c *chunkReader) excess() error {
	if _, err := io.CopyN(io.Discard, c.src, c.left); err != nil {
		return readError(err)
	}
	if next, err := c.src.Peek(1); err != nil || next[0] == '\r' {
		return cutShort("a chunk is shorter than its size")
	}
	return incomplete(errLonger)
}

// header reads "size[;chunk-signature=...]\r\n".
func (c *chunkReader) header() (int64, error) {
	line, err := c.line(ErrInvalidChunk)
	if err != nil {
		return 0, err
	}
	if !bytes.HasSuffix(line, []byte("\r\n")) {
		return 0, invalidChunk("a chunk's header must end in CRLF")
	}
	digits, ext, hasExt := bytes.Cut(line[:len(line)-2], []byte(";"))
	if len(digits) == 0 || len(digits) > 16 {
		return 0, invalidChunk("a chunk's size must have 1 to 16 hexadecimal digits")
	}
	var size uint64
	for _, d := range digits {
		v := fromHex(d)
		if v < 0 {
			return 0, invalidChunk("a chunk's size must be hexadecimal")
		}
		size = size<<4 | uint64(v)
	}
	if size > math.MaxInt64 {
		return 0, invalidChunk("a chunk is too large")
	}
	if !c.signed {
		return int64(size), nil // extensions mean nothing here
	}
	signature, ok := bytes.CutPrefix(ext, []byte("chunk-signature="))
	if !hasExt || !ok || len(signature) != len(c.claimed) {
		return 0, invalidChunk("a chunk's header must give its chunk-signature")
	}
	copy(c.claimed[:], signature)
	return int64(size), nil
}

// end closes a chunk whose last byte was read.
func (c *chunkReader) end() error {
	if err := c.crlf(); err != nil {
		return err
	}
	if c.signed {
		return c.verifyChunk()
	}
	return nil
}

// verifyChunk compares the signature of the chunk that was read with the one
// claimed, and makes it the seed of the next.
func (c *chunkReader) verifyChunk() error {
	var sum [sha256.Size]byte
	c.sum.Sum(sum[:0])
	c.sum.Reset()
	var b [512]byte
	sts := c.appendStringToSign(b[:0], "AWS4-HMAC-SHA256-PAYLOAD\n")
	sts = append(sts, EmptyPayload+"\n"...)
	sts = hex.AppendEncode(sts, sum[:])
	if !c.sameSignature(sts) {
		return mismatch(c.auth.AccessKey, string(sts), "", string(c.claimed[:]))
	}
	c.previous = c.claimed
	return nil
}

// appendStringToSign appends what chunks and trailers have in common.
func (c *chunkReader) appendStringToSign(b []byte, kind string) []byte {
	b = append(b, kind...)
	b = append(c.auth.Time.AppendFormat(b, timeFormat), '\n')
	b = append(c.auth.Scope.appendTo(b), '\n')
	return append(append(b, c.previous[:]...), '\n')
}

func (c *chunkReader) sameSignature(sts []byte) bool {
	c.mac.Reset()
	c.mac.Write(sts)
	var sum [sha256.Size]byte
	var want [2 * sha256.Size]byte
	hex.Encode(want[:], c.mac.Sum(sum[:0]))
	return hmac.Equal(want[:], c.claimed[:])
}

// readTrailer reads the lines behind the last chunk, up to the empty one that
// ends the body.
func (c *chunkReader) readTrailer() error {
	var names, lines []string // "name:value\n", as signed
	trailer := http.Header{}
	sealed, blank := false, 0
	for {
		line, err := c.line(ErrMalformedTrailer)
		if sealed && len(line) == 0 && errors.Is(err, io.ErrUnexpectedEOF) {
			break // the signature has vouched for everything
		}
		if err != nil {
			return err
		}
		text := strings.TrimSuffix(strings.TrimSuffix(string(line), "\n"), "\r")
		if text == "" {
			if !c.signed || sealed {
				break
			}
			if blank++; blank > 2 {
				return malformedTrailer("the trailer has no " + trailerSignature)
			}
			continue
		}
		name, value, ok := strings.Cut(text, ":")
		name, value = strings.ToLower(strings.TrimSpace(name)), strings.TrimSpace(value)
		switch {
		case !ok || !headerName(name) || sealed:
			return malformedTrailer("a line of the trailer is not of the form name:value")
		case name == trailerSignature:
			if !c.signed || len(value) != len(c.claimed) {
				return malformedTrailer(trailerSignature + " is out of place")
			}
			copy(c.claimed[:], value)
			if missing := c.missing(names); missing != nil {
				return missing
			}
			if err := c.verifyTrailer(lines); err != nil {
				return err
			}
			sealed = true
			continue
		case slices.Contains(names, name) || !slices.Contains(c.announced, name):
			return malformedTrailer("the trailer holds " + name + ", which x-amz-trailer does not announce once")
		case len(names) == maxTrailers:
			return malformedTrailer("the trailer has too many lines")
		}
		names = append(names, name)
		lines = append(lines, name+":"+value+"\n")
		trailer[textproto.CanonicalMIMEHeaderKey(name)] = []string{value}
	}
	if missing := c.missing(names); missing != nil {
		return missing
	}
	if !c.signed { // minio-go ends with one empty line too many
		if next, _ := c.src.Peek(2); string(next) == "\r\n" {
			_, _ = c.src.Discard(2)
		}
	}
	if len(trailer) > 0 {
		c.trailer = trailer
	}
	return nil
}

// missing refuses a trailer that lacks an announced name.
func (c *chunkReader) missing(names []string) error {
	for _, name := range c.announced {
		if !slices.Contains(names, name) {
			return malformedTrailer("the trailer lacks " + name + ", which x-amz-trailer announces")
		}
	}
	return nil
}

// verifyTrailer checks the trailer's signature over its lines: in the order in
// which they came, as AWS says, or sorted as canonical headers are, as some SDKs
// sign them.
func (c *chunkReader) verifyTrailer(lines []string) error {
	var sts []byte
	for range 2 {
		sum := sha256.Sum256([]byte(strings.Join(lines, "")))
		sts = c.appendStringToSign(nil, "AWS4-HMAC-SHA256-TRAILER\n")
		sts = hex.AppendEncode(sts, sum[:])
		if c.sameSignature(sts) {
			return nil
		}
		lines = slices.Sorted(slices.Values(lines))
	}
	return mismatch(c.auth.AccessKey, string(sts), "", string(c.claimed[:]))
}

// line reads a line with its ending; too long a one is of the kind given.
func (c *chunkReader) line(kind error) ([]byte, error) {
	line, err := c.src.ReadSlice('\n')
	if errors.Is(err, bufio.ErrBufferFull) || len(line) > maxChunkLine {
		if errors.Is(kind, ErrMalformedTrailer) {
			return nil, malformedTrailer("a line of the trailer is too long")
		}
		return nil, invalidChunk("a chunk's header is too long")
	}
	if err != nil {
		return line, readError(err)
	}
	return line, nil
}

func (c *chunkReader) crlf() error {
	var b [2]byte
	if _, err := io.ReadFull(c.src, b[:]); err != nil {
		return readError(err)
	}
	if b != [2]byte{'\r', '\n'} {
		return invalidChunk("a chunk must end in CRLF")
	}
	return nil
}

// drained makes sure that nothing follows the body.
func (c *chunkReader) drained() error {
	switch _, err := c.src.ReadByte(); {
	case err == nil:
		return invalidChunk("there are bytes behind the last chunk")
	case errors.Is(err, io.EOF):
		return nil
	default:
		return readError(err)
	}
}

// readError makes an end of the source what it is here: a body cut short.
func readError(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		e := cutShort("the body ends amid its chunks")
		e.cause = io.ErrUnexpectedEOF
		return e
	}
	return err
}

// cutShort refuses a body that ends before its last chunk does.
func cutShort(why string) *Error {
	e := refuse(ErrIncompleteBody, "IncompleteBody", "The request body terminated unexpectedly")
	e.cause = errors.New(why)
	return e
}

// invalidChunk refuses a body whose chunks cannot be told apart, of which S3 says
// no more than that it ended; why is for the log.
func invalidChunk(why string) *Error {
	e := refuse(ErrInvalidChunk, "IncompleteBody", "The request body terminated unexpectedly")
	e.cause = errors.New(why)
	return e
}

func malformedTrailer(why string) *Error {
	e := refuse(ErrMalformedTrailer, "MalformedTrailerError",
		"The request contained trailing data that was not well-formed or did not conform to our published schema.")
	e.cause = errors.New(why)
	return e
}
