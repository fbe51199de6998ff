package sigv4

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"testing/iotest"
	"time"
)

func decodeDoc(request string) (string, error) {
	r := httptest.NewRequest(http.MethodPut, "/", nil)
	head, body, _ := strings.Cut(request, "\r\n\r\n")
	for line := range strings.SplitSeq(head, "\r\n") {
		if name, value, ok := strings.Cut(line, ": "); ok {
			r.Header.Set(name, value)
		}
	}
	r.Method, r.Host, r.RequestURI = "PUT", r.Header.Get("Host"), "/examplebucket/chunkObject.txt"
	auth, err := docVerifier(docTime()).Verify(r)
	if err != nil {
		return "", err
	}
	r.Body = io.NopCloser(iotest.HalfReader(strings.NewReader(body)))
	decoded, _, err := auth.Body(r)
	if err != nil {
		return "", err
	}
	got, err := io.ReadAll(decoded)
	if (err == nil) != (auth.Trailer() != nil) && strings.Contains(request, "x-amz-trailer:") {
		return "", errors.New("trailer does not go with io.EOF")
	}
	return string(got), err
}

// TestChunkTampering changes a signed stream in every way that a hop on the way
// could: none may end in a clean io.EOF.
func TestChunkTampering(t *testing.T) {
	t.Parallel()
	trailer := func(last string) string { return trailerPut(signedTrailer(last)) }
	sealed := docTrailer + "\r\n" + docTrailerSignature + "\r\n"
	for _, c := range []struct {
		name, request, old, repl string
		want                     error
	}{
		{"nothing", chunkedPut(signedChunks()), "a", "a", nil},
		{"first byte", chunkedPut(signedChunks()), "\r\naaa", "\r\nbaa", ErrSignatureMismatch},
		{"last byte", chunkedPut(signedChunks()), "a\r\n0;", "b\r\n0;", ErrSignatureMismatch},
		{"chunk signature", chunkedPut(signedChunks()), "=ad80", "=ad81", ErrSignatureMismatch},
		{"last chunk's signature", chunkedPut(signedChunks()), "=b6c6", "=b6c7", ErrSignatureMismatch},
		{"no chunk signature", chunkedPut(signedChunks()), "0;chunk-signature=b6c6", "0;x=b6c6", ErrInvalidChunk},
		{"no extension", chunkedPut(signedChunks()), "400;chunk-signature=0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497", "400", ErrInvalidChunk},
		{"size", chunkedPut(signedChunks()), "\r\n400;", "\r\n3ff;", ErrInvalidChunk},
		{"size too large", chunkedPut(signedChunks()), "\r\n400;", "\r\n401;", ErrIncompleteBody},
		{"size negative", chunkedPut(signedChunks()), "\r\n400;", "\r\n-400;", ErrInvalidChunk},
		{"size overflows", chunkedPut(signedChunks()), "\r\n400;", "\r\nffffffffffffffff;", ErrInvalidChunk},
		{"size missing", chunkedPut(signedChunks()), "\r\n400;", "\r\n;", ErrInvalidChunk},
		{"last chunk gone", chunkedPut(signedChunks()), "0;chunk-signature=b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9\r\n\r\n", "", ErrIncompleteBody},
		{"last line gone", chunkedPut(signedChunks()), "9df9\r\n\r\n", "9df9\r\n", ErrIncompleteBody},
		{"bytes behind", chunkedPut(signedChunks()), "9df9\r\n\r\n", "9df9\r\n\r\nx", ErrInvalidChunk},
		{"bare line feed", chunkedPut(signedChunks()), "9df9\r\n\r\n", "9df9\n\r\n", ErrInvalidChunk},
		{"no CRLF behind data", chunkedPut(signedChunks()), "a\r\n0;", "a\n0;", ErrInvalidChunk},
		{"endless header", chunkedPut(signedChunks()), "\r\n400;", "\r\n400;" + strings.Repeat("x", 20000), ErrInvalidChunk},

		{"trailer value", trailer(sealed + "\r\n"), "sOO8", "sOO9", ErrSignatureMismatch},
		{"trailer signature differs", trailer(sealed + "\r\n"), ":d81f", ":d81e", ErrSignatureMismatch},
		{"trailer signature gone", trailer(sealed + "\r\n"), docTrailerSignature + "\r\n", "", ErrIncompleteBody},
		{"trailer signature gone, more lines", trailer(sealed + "\r\n"), docTrailerSignature, "\r\n\r\n", ErrMalformedTrailer},
		{"trailer gone", trailer(sealed + "\r\n"), sealed, "", ErrIncompleteBody},
		{"trailer not announced", trailer(sealed + "\r\n"), docTrailer, "x-amz-checksum-crc32:AAAAAA==\r\n" + docTrailer, ErrMalformedTrailer},
		{"trailer twice", trailer(sealed + "\r\n"), docTrailer, docTrailer + "\r\n" + docTrailer, ErrMalformedTrailer},
		{"line behind the seal", trailer(sealed + "\r\n"), docTrailerSignature, docTrailerSignature + "\r\nx-amz-a:b", ErrMalformedTrailer},
		{"no colon", trailer(sealed + "\r\n"), "crc32c:", "crc32c=", ErrMalformedTrailer},
		{"endless trailer", trailer(sealed + "\r\n"), "sOO8", strings.Repeat("sOO8", 2000), ErrMalformedTrailer},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			got, err := decodeDoc(strings.Replace(c.request, c.old, c.repl, 1))
			if !errors.Is(err, c.want) {
				t.Fatalf("got %v, want %v", err, c.want)
			}
			if err == nil && len(got) != 66560 {
				t.Fatalf("got %d bytes", len(got))
			}
		})
	}
}

// TestCutShort cuts a stream everywhere near a border: no cut may look complete.
func TestCutShort(t *testing.T) {
	t.Parallel()
	whole := trailerPut(signedTrailer(docTrailer + "\r\n" + docTrailerSignature + "\r\n\r\n"))
	head := strings.Index(whole, "\r\n\r\n") + 4
	for cut := head; cut < len(whole)-2; cut++ { // the very last line may be missing
		if cut == head+200 {
			cut = len(whole) - 600
		}
		if _, err := decodeDoc(whole[:cut]); err == nil {
			t.Fatalf("cut at %d of %d: no error", cut, len(whole))
		}
	}
}

// encodeUnsigned writes body in chunks of the given size.
func encodeUnsigned(body string, size int, last string) string {
	var b strings.Builder
	for len(body) > 0 {
		n := min(size, len(body))
		b.WriteString(strconv.FormatInt(int64(n), 16) + "\r\n" + body[:n] + "\r\n")
		body = body[n:]
	}
	return b.String() + "0\r\n" + last
}

func decodeUnsigned(wire, announced string, length int, src func(io.Reader) io.Reader) (string, http.Header, error) {
	r := httptest.NewRequest(http.MethodPut, "/b/k", nil)
	r.Header.Set("X-Amz-Decoded-Content-Length", strconv.Itoa(length))
	if announced != "" {
		r.Header.Set("X-Amz-Trailer", announced)
	}
	signer().Sign(r, StreamingUnsignedTrailer, docTime())
	auth, err := verifier().Verify(r)
	if err != nil {
		return "", nil, err
	}
	r.Body = io.NopCloser(src(strings.NewReader(wire)))
	body, _, err := auth.Body(r)
	if err != nil {
		return "", nil, err
	}
	got, err := io.ReadAll(body)
	return string(got), auth.Trailer(), err
}

func plainSource(r io.Reader) io.Reader { return r }

func TestUnsignedTrailer(t *testing.T) {
	t.Parallel()
	const crc, line = "X-Amz-Checksum-Crc32", "x-amz-checksum-crc32:AAAAAA=="
	body := strings.Repeat("Meridian ", 20000)
	for _, c := range []struct {
		name, last, announced string
		length                int
		want                  error
	}{
		{"AWS SDKs", line + "\r\n\r\n", crc, len(body), nil},
		{"minio-go", line + "\n\r\n\r\n", crc, len(body), nil},
		{"spaces", "x-amz-checksum-CRC32 : AAAAAA== \r\n\r\n", crc, len(body), nil},
		{"none announced", "\r\n", "", len(body), nil},
		{"unannounced", line + "\r\n\r\n", "", len(body), ErrMalformedTrailer},
		{"missing", "\r\n", crc, len(body), ErrMalformedTrailer},
		{"signed by whom", docTrailerSignature + "\r\n\r\n", crc, len(body), ErrMalformedTrailer},
		{"no end", line + "\r\n", crc, len(body), ErrIncompleteBody},
		{"bytes behind", line + "\r\n\r\nGET", crc, len(body), ErrInvalidChunk},
		{"too few bytes", line + "\r\n\r\n", crc, len(body) + 1, ErrIncompleteBody},
		{"too many bytes", line + "\r\n\r\n", crc, len(body) - 1, ErrIncompleteBody},
	} {
		for name, src := range map[string]func(io.Reader) io.Reader{
			"whole": plainSource, "bytewise": iotest.OneByteReader, "data and EOF": iotest.DataErrReader,
		} {
			t.Run(c.name+", "+name, func(t *testing.T) {
				t.Parallel()
				for _, size := range []int{minChunk, 16 << 10, 1 << 20} {
					got, trailer, err := decodeUnsigned(encodeUnsigned(body, size, c.last), c.announced, c.length, src)
					if !errors.Is(err, c.want) {
						t.Fatalf("chunks of %d: got %v, want %v", size, err, c.want)
					}
					if err != nil {
						if trailer != nil {
							t.Error("a trailer without io.EOF")
						}
						continue
					}
					if got != body {
						t.Errorf("chunks of %d: got %d bytes", size, len(got))
					}
					if c.announced != "" && trailer.Get(crc) != "AAAAAA==" {
						t.Errorf("trailer %v", trailer)
					}
				}
			})
		}
	}
}

func TestDecodedLengthIsNeeded(t *testing.T) {
	t.Parallel()
	for _, length := range []string{"", "-1", "x"} {
		r := httptest.NewRequest(http.MethodPut, "/b/k", nil)
		if length != "" {
			r.Header.Set("X-Amz-Decoded-Content-Length", length)
		}
		signer().Sign(r, StreamingUnsignedTrailer, docTime())
		auth, err := verifier().Verify(r)
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := auth.Body(r); !errors.Is(err, ErrMissingContentLength) {
			t.Errorf("%q: %v", length, err)
		}
	}
}

// TestReadErrorIsKept: what broke a read is told as it is.
func TestReadErrorIsKept(t *testing.T) {
	t.Parallel()
	reset := errors.New("connection reset")
	_, _, err := decodeUnsigned(encodeUnsigned("Meridian", 8, ""), "", 8, func(r io.Reader) io.Reader {
		return io.MultiReader(r, iotest.ErrReader(reset))
	})
	if !errors.Is(err, reset) || errors.Is(err, ErrIncompleteBody) {
		t.Fatal(err)
	}
}

// signChunks encodes body as a client would that signs chunks and trailer,
// written apart from the decoder.
func signChunks(key []byte, seed string, s Scope, now time.Time, body []byte, size int, trailer string) []byte {
	var out bytes.Buffer
	hexSum := func(b []byte) string { sum := sha256.Sum256(b); return hex.EncodeToString(sum[:]) }
	head := "\n" + now.Format("20060102T150405Z") + "\n" + s.Date + "/" + s.Region + "/" + s.Service + "/aws4_request\n"
	for last := false; !last; {
		n := min(size, len(body))
		last = n == 0
		seed = hex.EncodeToString(hmacSHA256(key, []byte("AWS4-HMAC-SHA256-PAYLOAD"+head+seed+"\n"+hexSum(nil)+"\n"+hexSum(body[:n]))))
		out.WriteString(strconv.FormatInt(int64(n), 16) + ";chunk-signature=" + seed + "\r\n")
		out.Write(body[:n])
		if !last || trailer == "" {
			out.WriteString("\r\n")
		}
		body = body[n:]
	}
	if trailer != "" {
		seed = hex.EncodeToString(hmacSHA256(key, []byte("AWS4-HMAC-SHA256-TRAILER"+head+seed+"\n"+hexSum([]byte(trailer)))))
		out.WriteString(strings.ReplaceAll(trailer, "\n", "\r\n") + trailerSignature + ":" + seed + "\r\n\r\n")
	}
	return out.Bytes()
}

// TestTrailerOrder: two trailers, signed as sent or as sorted.
func TestTrailerOrder(t *testing.T) {
	t.Parallel()
	for _, swap := range []bool{false, true} {
		auth := &Auth{Scope: Scope{AccessKey: docKey, Date: "20130524", Region: "europe", Service: "s3"}, Time: docTime(), PayloadHash: StreamingPayloadTrailer, signature: EmptyPayload}
		auth.key = DeriveKey(docSecret, "20130524", "europe", "s3")
		wire := string(signChunks(auth.key, auth.signature, auth.Scope, auth.Time, []byte("Meridian"), 8, "x-amz-a:1\nx-amz-b:2\n"))
		if swap {
			wire = strings.Replace(wire, "x-amz-a:1\r\nx-amz-b:2\r\n", "x-amz-b:2\r\nx-amz-a:1\r\n", 1)
		}
		got, err := io.ReadAll(newChunkReader(auth, strings.NewReader(wire), 8, []string{"x-amz-a", "x-amz-b"}))
		if err != nil || string(got) != "Meridian" || auth.Trailer().Get("x-amz-b") != "2" {
			t.Errorf("swapped %v: %q, %v, %v", swap, got, auth.Trailer(), err)
		}
	}
}

// TestChunksThatAreTooSmall: only the last one may have less than 8 KiB.
func TestChunksThatAreTooSmall(t *testing.T) {
	t.Parallel()
	body := strings.Repeat("M", 20_000)
	for sizes, ok := range map[[3]int]bool{
		{minChunk, 20_000 - minChunk, 0}: true, {20_000 - 1, 1, 0}: true, {minChunk - 1, 20_000 - minChunk + 1, 0}: false, {minChunk, 10, 20_000 - minChunk - 10}: false,
	} {
		wire, rest := "", body
		for _, n := range sizes {
			if n > 0 {
				wire, rest = wire+strconv.FormatInt(int64(n), 16)+"\r\n"+rest[:n]+"\r\n", rest[n:]
			}
		}
		_, _, err := decodeUnsigned(wire+"0\r\n\r\n", "", len(body), plainSource)
		var refused *Error
		if ok && err != nil || !ok && (!errors.Is(err, ErrChunkSize) || !errors.As(err, &refused) || refused.Fields[0].Name != "Chunk") {
			t.Errorf("chunks of %v: %v", sizes, err)
		}
	}
}

func BenchmarkChunkReader(b *testing.B) {
	for name, hash := range map[string]string{"signed": StreamingPayload, "unsigned": StreamingUnsignedTrailer} {
		b.Run(name, func(b *testing.B) {
			auth := &Auth{Scope: Scope{AccessKey: docKey, Date: "20130524", Region: "europe", Service: "s3"}, Time: docTime(), PayloadHash: hash, signature: EmptyPayload}
			auth.key = DeriveKey(docSecret, "20130524", "europe", "s3")
			body := make([]byte, 4<<20)
			wire := []byte(encodeUnsigned(string(body), 64<<10, "\r\n"))
			if hash == StreamingPayload {
				wire = signChunks(auth.key, auth.signature, auth.Scope, auth.Time, body, 64<<10, "")
			}
			b.SetBytes(int64(len(body)))
			b.ReportAllocs()
			buf := make([]byte, 128<<10)
			for b.Loop() {
				if _, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, newChunkReader(auth, bytes.NewReader(wire), int64(len(body)), nil), buf); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
