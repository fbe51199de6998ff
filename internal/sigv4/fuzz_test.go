package sigv4

import (
	"bytes"
	"errors"
	"io"
	"net/url"
	"sort"
	"strings"
	"testing"
	"testing/iotest"
)

// FuzzParseHeader: what parses holds a usable claim, whatever came.
func FuzzParseHeader(f *testing.F) {
	f.Add(signedGet().Header.Get("Authorization"))
	f.Add("AWS4-HMAC-SHA256 Credential=a/b/c/20130524/r/s3/aws4_request,SignedHeaders=host,Signature=" + EmptyPayload)
	f.Add("AWS4-HMAC-SHA256 Credential=a/2013 524/r/s3/aws4_request,SignedHeaders=host,Signature=" + EmptyPayload)
	f.Add("AWS4-HMAC-SHA256 Credential=,,=,Signature")
	f.Fuzz(func(t *testing.T, header string) {
		c, err := parseHeader(header)
		var e *Error
		if err != nil {
			if !errors.As(err, &e) || e.Code == "" {
				t.Fatalf("%v is no refusal", err)
			}
			return
		}
		if c.AccessKey == "" || len(c.signature) != 64 || c.signs("host") != 1 {
			t.Fatalf("%q gave %+v", header, c)
		}
		v := Verifier{Regions: []string{c.Region}, Service: c.Service}
		if v.checkScope(&c.Scope, c.place) == nil && len(c.Date) != 8 {
			t.Fatalf("%q is of the day %q", header, c.Date)
		}
	})
}

// FuzzCanonicalQuery compares with net/url where both understand the query.
func FuzzCanonicalQuery(f *testing.F) {
	f.Add("prefix=J&max-keys=2")
	f.Add("a=b=c&a=&a&b+c=%2b+%20&%7e=~&=x&&")
	f.Add("X-Amz-Signature=1&X-Amz-Signature2=2")
	f.Fuzz(func(t *testing.T, query string) {
		_, _ = parseQuery(query)
		got, ok := appendQuery(nil, query)
		values, err := url.ParseQuery(query)
		if strings.Contains(query, ";") {
			return // net/url refuses them, S3 does not
		}
		if ok != (err == nil) {
			t.Fatalf("%q: ok %v, net/url says %v", query, ok, err)
		}
		if !ok {
			return
		}
		values.Del("X-Amz-Signature")
		var pairs [][2]string
		for name, vs := range values {
			for _, v := range vs {
				esc := func(s string) string { return strings.ReplaceAll(url.QueryEscape(s), "+", "%20") }
				pairs = append(pairs, [2]string{esc(name), esc(v)})
			}
		}
		sort.Slice(pairs, func(i, j int) bool {
			if pairs[i][0] != pairs[j][0] {
				return pairs[i][0] < pairs[j][0]
			}
			return pairs[i][1] < pairs[j][1]
		})
		var want []string
		for _, p := range pairs {
			want = append(want, p[0]+"="+p[1])
		}
		if string(got) != strings.Join(want, "&") {
			t.Fatalf("%q: %q, want %q", query, got, strings.Join(want, "&"))
		}
	})
}

// simpleDecode decodes a body of unsigned chunks without a trailer, held in
// memory: slow and plain.
func simpleDecode(wire []byte) (body []byte, ok bool) {
	for {
		head, rest, found := bytes.Cut(wire, []byte("\n"))
		if !found || len(head) > maxChunkLine-1 || !bytes.HasSuffix(head, []byte("\r")) {
			return nil, false
		}
		digits, _, _ := strings.Cut(string(head[:len(head)-1]), ";")
		if digits == "" || len(digits) > 16 {
			return nil, false
		}
		size := 0
		for _, d := range digits {
			v := strings.IndexRune("0123456789abcdef", d|0x20)
			if d > 'f' || d < '0' || v < 0 || size > 1<<40 {
				return nil, false
			}
			size = size*16 + v
		}
		if size == 0 {
			return body, string(rest) == "\r\n" || string(rest) == "\r\n\r\n" || string(rest) == "\n" || string(rest) == "\n\r\n"
		}
		if len(rest) < size+2 || string(rest[size:size+2]) != "\r\n" {
			return nil, false
		}
		body, wire = append(body, rest[:size]...), rest[size+2:]
	}
}

// FuzzChunkReader compares the streaming decoder with the simple one, read in
// large and in small pieces.
func FuzzChunkReader(f *testing.F) {
	f.Add([]byte(encodeUnsigned("Meridian", 3, "\r\n")))
	f.Add([]byte("3;x=y\r\nabc\r\n0\r\n\r\n"))
	f.Add([]byte("3\r\nabc\r\n00\r\n\n"))
	f.Add([]byte("3\r\nabc\r\n0\r\n\r\r\n"))
	f.Fuzz(func(t *testing.T, wire []byte) {
		want, ok := simpleDecode(wire)
		for _, src := range []io.Reader{bytes.NewReader(wire), iotest.OneByteReader(bytes.NewReader(wire))} {
			auth := &Auth{PayloadHash: StreamingUnsignedTrailer}
			chunks := newChunkReader(auth, src, int64(len(want)), nil)
			chunks.least = 0
			got, err := io.ReadAll(chunks)
			if ok != (err == nil) {
				t.Fatalf("%q: %v, the simple decoder says %v", wire, err, ok)
			}
			if ok && !bytes.Equal(got, want) {
				t.Fatalf("%q: %q, want %q", wire, got, want)
			}
		}
	})
}

// FuzzSignedChunks: no stream but the one that was signed ends in io.EOF.
func FuzzSignedChunks(f *testing.F) {
	scope, now := Scope{AccessKey: docKey, Date: "20130524", Region: "europe", Service: "s3"}, docTime()
	key := DeriveKey(docSecret, scope.Date, scope.Region, scope.Service)
	good := signChunks(key, EmptyPayload, scope, now, []byte("Meridian"), 3, "x-amz-checksum-crc32:AAAAAA==\n")
	f.Add(good)
	f.Add(bytes.Replace(good, []byte("Mer"), []byte("mer"), 1))
	f.Add(bytes.Replace(good, []byte("==\r\n"), []byte("==\n\r\n"), 1))
	f.Fuzz(func(t *testing.T, wire []byte) {
		auth := &Auth{Scope: scope, Time: now, PayloadHash: StreamingPayloadTrailer, signature: EmptyPayload, key: key}
		chunks := newChunkReader(auth, bytes.NewReader(wire), 8, []string{"x-amz-checksum-crc32"})
		chunks.least = 0
		got, err := io.ReadAll(chunks)
		if err == nil && (string(got) != "Meridian" || auth.Trailer().Get("X-Amz-Checksum-Crc32") != "AAAAAA==") {
			t.Fatalf("%q gave %q, %v", wire, got, auth.Trailer())
		}
	})
}

// FuzzSignVerify: whatever path and query a signer signs, the verifier agrees.
func FuzzSignVerify(f *testing.F) {
	f.Add("/b/a b+c//./../ü%2F", "prefix=a+b&acl")
	f.Fuzz(func(t *testing.T, path, query string) {
		u := &url.URL{Scheme: "http", Host: "s3.test", Path: "/" + strings.TrimLeft(path, "/"), RawQuery: query}
		if _, err := url.ParseRequestURI(u.RequestURI()); err != nil || strings.Contains(strings.ToLower(query), "amz") ||
			strings.Contains(query, "AWSAccessKeyId") || strings.ContainsAny(query, " #\r\n\x00") {
			return
		}
		if _, ok := appendQuery(nil, query); !ok {
			return
		}
		r := parse(t, "GET "+u.RequestURI()+" HTTP/1.1\r\nHost: s3.test\r\n\r\n")
		signer().Sign(r, UnsignedPayload, docTime())
		if _, err := verifier().Verify(r); err != nil {
			t.Fatalf("%s: %v", u.RequestURI(), err)
		}
	})
}
