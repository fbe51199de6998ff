package h1

import (
	"bufio"
	"bytes"
	"net/http"
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	t.Parallel()
	for raw, want := range map[string]kind{
		"GET /a HTTP/1.1\r\nHost: x\r\n\r\n":                              whole,
		"HEAD /a HTTP/1.1\r\nhost:x:80\r\nConnection: Keep-Alive\r\n\r\n": whole,
		"GET /a HTTP/1.1\r\nHost: x\r\nX-New: 1\r\n\r\n":                  foreign,
		"GET /a HTTP/1.1\r\nHost: x\r\nAuthorization: b\r\n\r\n":          foreign,
		"GET /a HTTP/1.1\r\nHost: x\r\nCache-Control: no-cache\r\n\r\n":   foreign,
		"GET /a HTTP/1.1\r\nHost: x\r\nRange: a\r\nRange: b\r\n\r\n":      foreign,
		"GET /a HTTP/1.1\r\nHost: x\r\nConnection: range\r\n\r\n":         odd,
		"GET /a HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n":         odd,
		"GET /a HTTP/1.1\r\nHost: x\r\nHost: x\r\n\r\n":                   odd,
		"GET /a HTTP/1.1\r\nHost: x\r\n folded\r\n\r\n":                   odd,
		"GET /a HTTP/1.1\r\nHost: x\r\nA : b\r\n\r\n":                     odd,
		"GET /a HTTP/1.1\r\nHost: x\r\nA: \x80\r\n\r\n":                   odd,
		"GET /a HTTP/1.1\r\nHost: x\r\nA: a\rb\r\n\r\n":                   odd,
		"GET /a HTTP/1.1\nHost: x\n\n":                                    odd,
		"GET /a HTTP/1.1\r\n\r\n":                                         odd,
		"GET /a HTTP/1.0\r\nHost: x\r\n\r\n":                              odd,
		"GET http://x/a HTTP/1.1\r\nHost: x\r\n\r\n":                      odd,
		"POST /a HTTP/1.1\r\nHost: x\r\n\r\n":                             odd,
		"\r\nGET /a HTTP/1.1\r\nHost: x\r\n\r\n":                          odd,
		"GET /a HTTP/1.1\r\nHost: x\r\n":                                  partial,
		"G":                                                               partial,
		"":                                                                partial,
	} {
		var r Request
		if got, n := parse([]byte(raw), &r); got != want || (got == whole || got == foreign) && n != len(raw) {
			t.Errorf("%q is %d of %d bytes, want %d", raw, got, n, want)
		}
	}
}

// What the loop takes for a request is one to net/http, which sees the same end,
// path and fields.
func FuzzParse(f *testing.F) {
	f.Add([]byte("GET /a HTTP/1.1\r\nHost: x\r\nUser-Agent:  b \r\nRange: c\r\n\r\nrest"))
	f.Add([]byte("HEAD /%zz HTTP/1.1\r\nHost: :\r\nX-Y: \t\r\n\r\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		var r Request
		k, n := parse(b, &r)
		if k != whole && k != foreign {
			return
		}
		in := bytes.NewReader(b)
		br := bufio.NewReaderSize(in, 16)
		req, err := http.ReadRequest(br)
		if err != nil {
			if strings.Contains(err.Error(), "malformed Host") || strings.Contains(err.Error(), "parse ") {
				return // net/http answers 400, with the same bytes before it
			}
			t.Fatalf("%q: %v", b[:n], err)
		}
		if used := len(b) - in.Len() - br.Buffered(); used != n {
			t.Errorf("%q: %d bytes, to net/http %d", b, n, used)
		}
		if req.ContentLength != 0 || len(req.TransferEncoding) > 0 || req.RequestURI != string(r.Target) || req.Host != string(r.Host) ||
			(req.Method == http.MethodHead) != r.Head {
			t.Errorf("%q: %s %q %q, to net/http %+v", b, r.Target, r.Host, r.Agent, req)
		}
		if k == whole && (req.UserAgent() != string(r.Agent) || req.Header.Get("Range") != string(r.Range)) {
			t.Errorf("%q: agent %q, range %q, to net/http %q, %q", b, r.Agent, r.Range, req.UserAgent(), req.Header.Get("Range"))
		}
	})
}
