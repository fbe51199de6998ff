package edge_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"meridian/edge"
	"meridian/internal/h1"
	"meridian/internal/httpserve"
	"meridian/metadata"
)

// front serves a node as a process does, with its hot path or without.
type front struct {
	t    testing.TB
	addr string
	hits atomic.Int64 // answers of the hot path
	stop func() error
}

// counted counts the answers of a hot path.
type counted struct {
	h1.Handler

	hits *atomic.Int64
}

func (c counted) Answer(r *h1.Request, a *h1.Answer) bool {
	ok := c.Handler.Answer(r, a)
	if ok {
		c.hits.Add(1)
	}
	return ok
}

func serveNode(t testing.TB, n *edge.Node, hot bool, change func(*httpserve.Options)) *front {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f := &front{t: t, addr: l.Addr().String()}
	log := slog.New(slog.DiscardHandler)
	o := httpserve.Options{Name: "front", Handler: httpserve.Access(log, false, n), Log: log, Drain: 20 * time.Second}
	if hot {
		o.Hot = counted{n.Hot(), &f.hits}
	}
	if change != nil {
		change(&o)
	}
	s := httpserve.New(l, o)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	f.stop = sync.OnceValue(func() error {
		cancel()
		return <-done
	})
	t.Cleanup(func() {
		if err := f.stop(); err != nil {
			t.Error(err)
		}
	})
	return f
}

func (f *front) dial() net.Conn {
	f.t.Helper()
	c, err := net.Dial("tcp", f.addr)
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() { c.Close() })
	return c
}

// say sends raw and returns what comes back until the server closes, which it is
// asked to do by the end of what is sent.
func (f *front) say(raw string) ([]byte, error) {
	c, err := net.Dial("tcp", f.addr)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		return nil, err
	}
	go func() {
		_, _ = io.WriteString(c, raw)
		_ = c.(*net.TCPConn).CloseWrite()
	}()
	b, err := io.ReadAll(c)
	var op *net.OpError
	if errors.As(err, &op) && !op.Timeout() {
		err = nil // a server that refuses may reset
	}
	return b, err
}

// hotWorld is an edge with objects in its memory.
func hotWorld(t testing.TB) (*world, *node) {
	t.Helper()
	w := newWorld(t, metadata.PublicRead)
	closed := media(metadata.Private)
	closed.Name = "closed"
	w.control.putBucket(closed)
	w.origin.put("media/small.txt", random(1000, 1), "Content-Type", "text/plain", "X-Amz-Meta-Colour", "blue", "Cache-Control", "max-age=3600")
	w.origin.put("media/a b/é.jpg", random(20_000, 2), "Content-Type", "image/jpeg")
	w.origin.put("media/large.bin", random(2*mib+77, 3), "Content-Type", "application/octet-stream")
	w.origin.put("media/huge.mp4", random(6*mib+5, 4), "Content-Type", "video/mp4")
	w.origin.put("media/empty", nil, "Content-Type", "text/plain")
	w.origin.put("media/untyped", random(100, 5))
	w.origin.put("media/gz.css", random(500, 6), "Content-Type", "text/css", "Content-Encoding", "gzip")
	w.origin.put("closed/secret.txt", random(100, 7), "Content-Type", "text/plain")
	n := w.edge(w.origin.url)
	for _, path := range hotPaths {
		wantBody(t, path, n.get(path), 200, "", nil)
	}
	n.get("/media/missing")
	return w, n
}

var hotPaths = []string{
	"/media/small.txt", "/media/a%20b/%C3%A9.jpg", "/media/large.bin", "/media/huge.mp4", "/media/empty", "/media/untyped", "/media/gz.css",
}

// reply is an answer, without what differs between any two.
type reply struct {
	status int
	header string
	body   string
	age    int // in seconds
}

// ttl is the number at the end of a node's own word in Cache-Status.
var ttl = regexp.MustCompile(`ttl=(-?\d+)$`)

// replies reads the answers to requests of the given methods; what comes after
// the first thing that is none is one more, as it is.
func replies(t testing.TB, raw []byte, heads []bool) (list []reply) {
	t.Helper()
	r := bufio.NewReader(bytes.NewReader(raw))
	for i := 0; ; i++ {
		method := http.MethodGet
		if i < len(heads) && heads[i] {
			method = http.MethodHead
		}
		if _, err := r.Peek(1); err != nil {
			return list
		}
		resp, err := http.ReadResponse(r, &http.Request{Method: method})
		if err != nil {
			rest, _ := io.ReadAll(r)
			return append(list, reply{header: err.Error(), body: string(rest)})
		}
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			body = append(body, "cut: "+err.Error()...)
		}
		id := resp.Header.Get(httpserve.RequestIDHeader)
		if _, ours := resp.Header["Server-Timing"]; ours && len(id) != 16 {
			t.Errorf("answer %d has request ID %q", i, id)
		}
		text := string(body)
		if id != "" {
			text = strings.ReplaceAll(text, id, "ID")
		}
		if _, boundary, ok := strings.Cut(resp.Header.Get("Content-Type"), "boundary="); ok {
			text = strings.ReplaceAll(text, boundary, "BOUNDARY")
			resp.Header.Set("Content-Type", "multipart")
		}
		// Age and ttl change by the second, but not what they add up to. An error
		// has no Age.
		age, noAge := strconv.Atoi(resp.Header.Get("Age"))
		if status := resp.Header.Get("Cache-Status"); age > 0 || ttl.MatchString(status) {
			resp.Header.Set("Age", "")
			resp.Header.Set("Cache-Status", ttl.ReplaceAllStringFunc(status, func(s string) string {
				if noAge != nil {
					return "lifetime"
				}
				left, _ := strconv.Atoi(strings.TrimPrefix(s, "ttl="))
				return fmt.Sprintf("lifetime=%d", left+age)
			}))
		}
		resp.Header.Set(httpserve.RequestIDHeader, "")
		if resp.Header.Get("Date") != "" {
			resp.Header.Set("Date", "")
		}
		var h bytes.Buffer
		if err := resp.Header.Write(&h); err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&h, "length %d close %v te %v", resp.ContentLength, resp.Close, resp.TransferEncoding)
		list = append(list, reply{resp.StatusCode, h.String(), text, age})
	}
}

// smuggling are requests on which servers are known to disagree, and other odd
// ones. %s stands for a path that is in memory.
var smuggling = []string{
	"POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nG",
	"POST %s HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n5c\r\nGPOST / HTTP/1.1\r\n\r\n0\r\n\r\n",
	"GET %s HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!GET %[1]s HTTP/1.1\r\nHost: x\r\n\r\n",
	"GET %s HTTP/1.1\r\nHost: x\r\nContent-Length: 5, 5\r\n\r\nhello",
	"GET %s HTTP/1.1\r\nHost: x\r\nContent-Length: +5\r\n\r\nhello",
	"GET %s HTTP/1.1\r\nHost: x\r\nContent-Length : 5\r\n\r\nhello",
	"GET %s HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\nGET %[1]s HTTP/1.1\r\nHost: x\r\n\r\n",
	"GET %s HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
	"GET %s HTTP/1.1\r\nHost: x\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
	"GET %s HTTP/1.1\r\nHost: x\r\nTransfer-Encoding:\tchunked\r\n\r\n0\r\n\r\nGET %[1]s HTTP/1.1\r\nHost: x\r\n\r\n",
	"GET %s HTTP/1.1\r\nHost: x\r\nX: y\r\n Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
	"GET %s HTTP/1.1\r\nHost: x\r\nX: y\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
	"GET %s HTTP/1.1\r\nHost: x\r\nX: y\rTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
	"GET %s HTTP/1.1\r\nHost: x\r\nX: a\x00b\r\n\r\n",
	"GET %s HTTP/1.1\nHost: x\n\n",
	"GET %s HTTP/1.1\r\nHost: x\r\n\n",
	"\r\nGET %s HTTP/1.1\r\nHost: x\r\n\r\n",
	"GET %s HTTP/1.1\r\n\r\n",
	"GET %s HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n",
	"GET %s HTTP/1.1\r\nHost:\r\n\r\n",
	"GET %s HTTP/1.1\r\nHost: a b\r\n\r\n",
	"GET %s HTTP/1.1\r\nHost : x\r\n\r\n",
	"GET %s HTTP/1.1\r\n Host: x\r\n\r\n",
	"GET %s HTTP/1.1\r\nHost: x\r\n: y\r\n\r\n",
	"GET %s HTTP/1.1\r\nHost: x\r\nno colon\r\n\r\n",
	"GET http://x%s HTTP/1.1\r\nHost: x\r\n\r\n",
	"GET http://y%s HTTP/1.1\r\nHost: x\r\n\r\n",
	"GET  %s HTTP/1.1\r\nHost: x\r\n\r\n",
	"GET %s  HTTP/1.1\r\nHost: x\r\n\r\n",
	"GET %s HTTP/1.1 \r\nHost: x\r\n\r\n",
	"GET\t%s HTTP/1.1\r\nHost: x\r\n\r\n",
	"GET %s HTTP/1.0\r\nHost: x\r\n\r\n",
	"GET %s HTTP/1.0\r\nHost: x\r\nConnection: keep-alive\r\n\r\nGET %[1]s HTTP/1.1\r\nHost: x\r\n\r\n",
	"GET %s HTTP/1.2\r\nHost: x\r\n\r\n",
	"GET %s HTTP/2.0\r\nHost: x\r\n\r\n",
	"GET %s\r\n\r\n",
	"get %s HTTP/1.1\r\nHost: x\r\n\r\n",
	"GET %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\nGET %[1]s HTTP/1.1\r\nHost: x\r\n\r\n",
	"GET %s HTTP/1.1\r\nHost: x\r\nConnection: Keep-Alive\r\n\r\nGET %[1]s HTTP/1.1\r\nHost: x\r\n\r\n",
	"GET %s HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n",
	"GET %s HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n\r\n",
	"GET %s HTTP/1.1\r\nHost: x\r\nX-Unknown: 1\r\n\r\nGET %[1]s HTTP/1.1\r\nHost: x\r\n\r\nGET %[1]s HTTP/1.1\r\nHost: x\r\n\r\n",
	"GET %s HTTP/1.1\r\nHost: x\r\nAuthorization: AWS4-HMAC-SHA256 nonsense\r\n\r\nGET %[1]s HTTP/1.1\r\nHost: x\r\n\r\n",
	"GET %s HTTP/1.1\r\nHost: x\r\nCookie: a=b\r\nOrigin: https://page\r\n\r\n",
	"GET %s HTTP/1.1\r\nHost: x\r\nUser-Agent: caf\xe9\r\n\r\n",
	"GET %s?versionId=null HTTP/1.1\r\nHost: x\r\n\r\nGET %[1]s? HTTP/1.1\r\nHost: x\r\n\r\n",
	"GET %s#part HTTP/1.1\r\nHost: x\r\n\r\n",
	"GET /%s HTTP/1.1\r\nHost: x\r\n\r\n",
	"GET /media/%%zz HTTP/1.1\r\nHost: x\r\n\r\nGET %s HTTP/1.1\r\nHost: x\r\n\r\n",
	"GET /media/../media/small.txt HTTP/1.1\r\nHost: x\r\n\r\nGET /media/small%%2Etxt HTTP/1.1\r\nHost: x\r\n\r\nGET %s HTTP/1.1\r\nHost: x\r\n\r\n",
	"GET /closed/secret.txt HTTP/1.1\r\nHost: x\r\n\r\nGET %s HTTP/1.1\r\nHost: x\r\n\r\n",
	"GET /media/missing HTTP/1.1\r\nHost: x\r\n\r\nGET %s HTTP/1.1\r\nHost: x\r\n\r\n",
	"HEAD %s HTTP/1.1\r\nHost: x\r\n\r\nGET %[1]s HTTP/1.1\r\nHost: x\r\n\r\nHEAD %[1]s HTTP/1.1\r\nHost: x\r\nX: 1\r\n\r\n",
	"OPTIONS %s HTTP/1.1\r\nHost: x\r\nOrigin: https://page\r\nAccess-Control-Request-Method: GET\r\n\r\nGET %[1]s HTTP/1.1\r\nHost: x\r\n\r\n",
	"PUT %s HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabcGET %[1]s HTTP/1.1\r\nHost: x\r\n\r\n",
	"GET %s HTTP/1.1\r\nHost: x\r\nRange: bytes=0-9\r\n\r\nGET %[1]s HTTP/1.1\r\nHost: x\r\nRange: bytes=-5\r\n\r\nGET %[1]s HTTP/1.1\r\nHost: x\r\nRange: bytes=7-\r\n\r\n",
	"GET %s HTTP/1.1\r\nHost: x\r\nRange: bytes=99999999-\r\n\r\nGET %[1]s HTTP/1.1\r\nHost: x\r\nRange: lines=1\r\n\r\n",
	"HEAD %s HTTP/1.1\r\nHost: x\r\nRange: bytes=0-9\r\n\r\nGET %[1]s HTTP/1.1\r\nHost: x\r\nRange: bytes=0-1\r\nRange: bytes=2-3\r\n\r\n",
	"GET %s HTTP/1.1\r\nHost: x\r\nIf-None-Match: *\r\n\r\nGET %[1]s HTTP/1.1\r\nHost: x\r\nIf-None-Match: \"x\"\r\n\r\nGET %[1]s HTTP/1.1\r\nHost: x\r\nIf-Match: \"x\"\r\n\r\n",
	"GET %s HTTP/1.1\r\nHost: x\r\nIf-Modified-Since: Fri, 31 Dec 2100 23:59:59 GMT\r\n\r\nGET %[1]s HTTP/1.1\r\nHost: x\r\nIf-Unmodified-Since: Thu, 01 Jan 1970 00:00:00 GMT\r\n\r\n",
	"GET %s HTTP/1.1\r\nHost: x\r\nRange: bytes=0-9\r\nIf-Range: \"x\"\r\n\r\nGET %[1]s HTTP/1.1\r\nHost: x\r\nIf-None-Match:\r\n\r\n",
	"GET %s HTTP/1.1\r\nHost: x\r\nRange: bytes=5-5, 7-8\r\n\r\n",
	"GET %s HTTP/1.1\r\nHost: x\r\n\r\n0\n",
	"GET %s HTTP/1.1\r\nHost: x\r\n\r\n0\n\n\n\n",
	"GET %s HTTP/1.1\r\nHo",
	"GET %s HTTP/1.1",
	"GET",
	"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
}

// A client that sends the same bytes gets the same from a node, hot or not.
func TestTheHotPathAnswersAsNetHTTPDoes(t *testing.T) {
	t.Parallel()
	_, n := hotWorld(t)
	hot, cold := serveNode(t, n.node, true, nil), serveNode(t, n.node, false, nil)
	for _, form := range smuggling {
		for i, path := range hotPaths {
			if i > 0 && !strings.Contains(form, "Range:") && !strings.Contains(form, "HEAD") {
				continue
			}
			raw := form
			if strings.Contains(form, "%") {
				raw = fmt.Sprintf(form, path)
			}
			same(t, hot, cold, raw)
		}
	}
	giant := "GET /media/small.txt HTTP/1.1\r\nHost: x\r\nCookie: " + strings.Repeat("c", 10<<10) + "\r\n\r\n"
	same(t, hot, cold, giant+giant)
	same(t, hot, cold, "GET /media/small.txt HTTP/1.1\r\nHost: x\r\nCookie: "+strings.Repeat("c", 80<<10)+"\r\n\r\n")
	same(t, hot, cold, "GET /media/small.txt HTTP/1.1\r\nHost: x\r\n"+strings.Repeat("Accept: a\r\n", 100)+"\r\n")
	if hot.hits.Load() < 50 {
		t.Errorf("the hot path answered %d requests only", hot.hits.Load())
	}
}

// same sends raw to both, again where the first has made a hit of a miss.
func same(t testing.TB, hot, cold *front, raw string) {
	t.Helper()
	heads := make([]bool, 0, 8)
	for _, line := range strings.Split(raw, "\r\n") {
		if i := strings.LastIndex(line, " HTTP/"); i >= 0 {
			heads = append(heads, strings.Contains(line, "HEAD /"))
		}
	}
	var a, b []reply
	for range 3 {
		began := time.Now()
		x, err := hot.say(raw)
		if err != nil {
			t.Fatalf("hot: %v to %.200q", err, raw)
		}
		y, err := cold.say(raw)
		if err != nil {
			t.Fatalf("cold: %v to %.200q", err, raw)
		}
		a, b = replies(t, x, heads), replies(t, y, heads)
		for i := range min(len(a), len(b)) {
			if d := b[i].age - a[i].age; d >= 0 && d <= int(time.Since(began)/time.Second)+1 {
				b[i].age = a[i].age
			}
		}
		if slices.Equal(a, b) {
			return
		}
	}
	for i := range max(len(a), len(b)) {
		var p, q reply
		if i < len(a) {
			p = a[i]
		}
		if i < len(b) {
			q = b[i]
		}
		if p != q {
			t.Errorf("%.300q: answer %d of %d and %d:\nhot  %d %s %.200q\ncold %d %s %.200q", raw, i, len(a), len(b), p.status, p.header, p.body, q.status, q.header, q.body)
			return
		}
	}
}

// The same of whatever bytes.
func FuzzHotPath(f *testing.F) {
	for _, form := range smuggling {
		raw := form
		if strings.Contains(form, "%") {
			raw = fmt.Sprintf(form, "/media/small.txt")
		}
		f.Add([]byte(raw))
		f.Add([]byte("GET /media/small.txt HTTP/1.1\r\nHost: x\r\n\r\n" + raw))
	}
	_, n := hotWorld(f)
	hot, cold := serveNode(f, n.node, true, nil), serveNode(f, n.node, false, nil)
	f.Fuzz(func(t *testing.T, raw []byte) { same(t, hot, cold, string(raw)) })
}

// Requests of all kinds on one connection are answered in order.
func TestHotAndColdRequestsShareAConnection(t *testing.T) {
	t.Parallel()
	w, n := hotWorld(t)
	f := serveNode(t, n.node, true, nil)
	var raw strings.Builder
	var want [][]byte
	for i := range 60 {
		switch i % 4 {
		case 0, 1:
			raw.WriteString("GET /media/small.txt HTTP/1.1\r\nHost: x\r\n\r\n")
			want = append(want, random(1000, 1))
		case 2:
			raw.WriteString("GET /media/large.bin HTTP/1.1\r\nHost: x\r\nX-Other: 1\r\n\r\n")
			want = append(want, random(2*mib+77, 3))
		default:
			w.origin.put(fmt.Sprintf("media/cold %d", i), random(500, uint64(i)), "Content-Type", "text/plain")
			fmt.Fprintf(&raw, "GET /media/cold%%20%d HTTP/1.1\r\nHost: x\r\n\r\n", i)
			want = append(want, random(500, uint64(i)))
		}
	}
	c := f.dial()
	go func() { _, _ = io.WriteString(c, raw.String()) }()
	r := bufio.NewReader(c)
	for i, body := range want {
		resp, err := http.ReadResponse(r, nil)
		if err != nil {
			t.Fatalf("answer %d: %v", i, err)
		}
		got, err := io.ReadAll(resp.Body)
		if err != nil || !bytes.Equal(got, body) {
			t.Fatalf("answer %d: %v, %d bytes, want %d", i, err, len(got), len(body))
		}
	}
	if got := f.hits.Load(); got != 30 {
		t.Errorf("%d hot answers, want 30: those behind a cold one, too", got)
	}
}

// Whoever asks after a purge or an overwrite was applied sees nothing older, on
// the connection where it was hot a moment ago.
func TestPurgeBeatsTheHotPath(t *testing.T) {
	t.Parallel()
	w, n := hotWorld(t)
	f := serveNode(t, n.node, true, nil)
	var asking sync.WaitGroup
	var floor atomic.Int64 // version that is acknowledged
	stop := make(chan struct{})
	w.origin.put("media/counter", []byte("0"), "Content-Type", "text/plain")
	for range 4 {
		asking.Go(func() {
			c := f.dial()
			r := bufio.NewReader(c)
			for {
				select {
				case <-stop:
					return
				default:
				}
				least := floor.Load()
				if _, err := io.WriteString(c, "GET /media/counter HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
					t.Error(err)
					return
				}
				resp, err := http.ReadResponse(r, nil)
				if err != nil {
					t.Error(err)
					return
				}
				body, err := io.ReadAll(resp.Body)
				got, bad := strconv.ParseInt(string(body), 10, 64)
				if err != nil || bad != nil || got < least {
					t.Errorf("got %q after version %d was acknowledged: %v", body, least, err)
					return
				}
			}
		})
	}
	for i := range int64(30) {
		w.origin.put("media/counter", []byte(strconv.FormatInt(i+1, 10)), "Content-Type", "text/plain")
		w.written("media/counter", n)
		floor.Store(i + 1)
		before := f.hits.Load()
		w.control.eventually(t, "hot answers", func() bool { return f.hits.Load() > before+5 })
	}
	close(stop)
	asking.Wait()
}

func TestHotAnswersAreCounted(t *testing.T) {
	t.Parallel()
	w, n := hotWorld(t)
	f := serveNode(t, n.node, true, nil)
	var size int64
	for _, path := range hotPaths {
		size += int64(len(n.get(path).body))
	}
	raw := strings.Repeat("GET /media/small.txt HTTP/1.1\r\nHost: x\r\n\r\n", 7) + "HEAD /media/small.txt HTTP/1.1\r\nHost: x\r\n\r\n" +
		"GET /media/huge.mp4 HTTP/1.1\r\nHost: x\r\nRange: bytes=0-99\r\n\r\n"
	if _, err := f.say(raw); err != nil {
		t.Fatal(err)
	}
	if got := f.hits.Load(); got != 9 {
		t.Errorf("%d hot answers", got)
	}
	n.stop()
	got, views := w.control.total(n.id)
	paths := int64(len(hotPaths)) // asked by hotWorld, and again above
	if got.Requests != 2*paths+1+9 || got.Hits != paths+9 || got.HitBytes != size+7100 {
		t.Errorf("counted %+v, of %d bytes", got, size)
	}
	if views != 5 { // of the photo and the film twice, and of the film once more
		t.Errorf("%d views", views)
	}
}

// A shutdown lets a hot answer finish, and ends the connections that wait.
func TestShutdownLetsAHotAnswerFinish(t *testing.T) {
	t.Parallel()
	_, n := hotWorld(t)
	f := serveNode(t, n.node, true, nil)
	waiting, busy := f.dial(), f.dial()
	_ = busy.(*net.TCPConn).SetReadBuffer(64 << 10)
	for _, c := range []net.Conn{waiting, busy} {
		if _, err := io.WriteString(c, "GET /media/small.txt HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
	}
	readers := map[net.Conn]*bufio.Reader{waiting: bufio.NewReader(waiting), busy: bufio.NewReader(busy)}
	for c, r := range readers {
		resp, err := http.ReadResponse(r, nil)
		if err != nil {
			t.Fatal(c.LocalAddr(), err)
		}
		if _, err := io.Copy(io.Discard, resp.Body); err != nil {
			t.Fatal(err)
		}
	}
	for range 4 { // more than the sockets hold
		if _, err := io.WriteString(busy, "GET /media/large.bin HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
	}
	resp, err := http.ReadResponse(readers[busy], nil)
	if err != nil {
		t.Fatal(err)
	}
	stopped := make(chan error, 1)
	go func() { stopped <- f.stop() }()
	if _, err := readers[waiting].ReadByte(); !errors.Is(err, io.EOF) {
		t.Errorf("a connection that waits: %v, want its end", err)
	}
	for last := false; !last; {
		body, err := io.ReadAll(resp.Body)
		if err != nil || len(body) != 2*mib+77 {
			t.Fatalf("answer at shutdown: %d bytes, %v", len(body), err)
		}
		if resp, err = http.ReadResponse(readers[busy], nil); err != nil {
			last = true
		}
	}
	if err := <-stopped; err != nil {
		t.Error(err)
	}
}

// cutting tells of answers that were not sent whole.
type cutting struct {
	h1.Handler

	size int64
	cut  chan struct{}
}

func (c cutting) Done(r *h1.Request, a *h1.Answer) {
	if a.Sent < c.size {
		c.cut <- struct{}{}
	}
	c.Handler.Done(r, a)
}

// One who takes nothing is cut, one who is slow is not.
func TestSlowClientsOfTheHotPath(t *testing.T) {
	t.Parallel()
	_, n := hotWorld(t)
	cut := make(chan struct{}, 8)
	f := serveNode(t, n.node, true, func(o *httpserve.Options) {
		o.SlowClient = 3 * time.Second
		o.Hot = cutting{o.Hot, 2*mib + 77, cut}
	})
	slow, stuck := f.dial(), f.dial()
	for _, c := range []net.Conn{slow, stuck} {
		_ = c.(*net.TCPConn).SetReadBuffer(64 << 10)
		if _, err := io.WriteString(c, strings.Repeat("GET /media/large.bin HTTP/1.1\r\nHost: x\r\n\r\n", 4)); err != nil {
			t.Fatal(err)
		}
	}
	total, piece := 0, make([]byte, 256<<10)
	for total < 4*(2*mib+77) {
		k, err := io.ReadFull(slow, piece[:min(len(piece), 4*(2*mib+77)-total)])
		total += k
		if err != nil {
			t.Fatalf("slow client cut after %d bytes: %v", total, err)
		}
		time.Sleep(120 * time.Millisecond) // of all of it, more than it may take for a part
	}
	// What the one that is stuck finds is what the sockets hold, and then the end.
	<-cut
	got, _ := io.Copy(io.Discard, stuck)
	if got >= 4*(2*mib+77) {
		t.Errorf("one who took nothing was sent %d bytes", got)
	}
	before := f.hits.Load()
	if _, err := f.say("GET /media/small.txt HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil || f.hits.Load() == before {
		t.Errorf("afterwards: %v", err)
	}
}

func TestHotPathOverTLS(t *testing.T) {
	t.Parallel()
	_, n := hotWorld(t)
	cert, key := newCertificate(t)
	certificates, err := httpserve.NewCertificates(slog.New(slog.DiscardHandler), cert, key)
	if err != nil {
		t.Fatal(err)
	}
	f := serveNode(t, n.node, true, func(o *httpserve.Options) { o.TLS = certificates.Config() })
	resp, err := http.Post("http://"+f.addr+"/media/small.txt", "text/plain", strings.NewReader(strings.Repeat("x", 1000)))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if body, err := io.ReadAll(resp.Body); err != nil || resp.StatusCode != http.StatusBadRequest || !strings.Contains(string(body), "HTTPS") {
		t.Errorf("plain HTTP to the port of HTTPS: %d %q, %v", resp.StatusCode, body, err)
	}
	for _, h2 := range []bool{false, true} {
		tr := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, ForceAttemptHTTP2: h2, DisableCompression: true}
		c := &http.Client{Transport: tr}
		before := f.hits.Load()
		for path, size := range map[string]int{"/media/small.txt": 1000, "/media/a%20b/%C3%A9.jpg": 20_000, "/media/large.bin": 2*mib + 77, "/media/huge.mp4": 6*mib + 5} {
			for range 3 {
				resp, err := c.Get("https://" + f.addr + path)
				if err != nil {
					t.Fatal(err)
				}
				body, err := io.ReadAll(resp.Body)
				resp.Body.Close()
				if err != nil || len(body) != size || resp.StatusCode != http.StatusOK || (resp.ProtoMajor == 2) != h2 {
					t.Fatalf("%s: %s %d, %d bytes, %v", path, resp.Proto, resp.StatusCode, len(body), err)
				}
			}
		}
		tr.CloseIdleConnections()
		if hot := f.hits.Load() > before; hot == h2 {
			t.Errorf("h2 %v: hot %v", h2, hot)
		}
	}
}

// newCertificate makes a certificate of its own for this machine.
func newCertificate(t testing.TB) (certFile, keyFile string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	template := x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: now.Add(-time.Hour), NotAfter: now.Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	cert, err := x509.CreateCertificate(rand.Reader, &template, &template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	certFile, keyFile = filepath.Join(t.TempDir(), "cert.pem"), filepath.Join(t.TempDir(), "key.pem")
	for file, block := range map[string]*pem.Block{certFile: {Type: "CERTIFICATE", Bytes: cert}, keyFile: {Type: "PRIVATE KEY", Bytes: private}} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return certFile, keyFile
}

// BenchmarkHotPath answers small hits over a socket, with a line for each.
func BenchmarkHotPath(b *testing.B) {
	_, n := hotWorld(b)
	lines := httpserve.NewLines(io.Discard, false)
	f := serveNode(b, n.node, true, func(o *httpserve.Options) { o.HotLines = lines })
	c := f.dial()
	r := bufio.NewReader(c)
	ask := []byte("GET /media/small.txt HTTP/1.1\r\nHost: 127.0.0.1:9021\r\nUser-Agent: bench\r\n\r\n")
	if _, err := c.Write(ask); err != nil {
		b.Fatal(err)
	}
	first, err := http.ReadResponse(r, nil)
	if err != nil {
		b.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, first.Body); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := c.Write(ask); err != nil {
			b.Fatal(err)
		}
		for line := []byte{0}; len(line) > 0; {
			if line, _, err = r.ReadLine(); err != nil {
				b.Fatal(err)
			}
		}
		if _, err := r.Discard(1000); err != nil {
			b.Fatal(err)
		}
	}
}

// What is hot under one name is not what a pull zone has under its own.
func TestTheHotPathLeavesPullZonesAlone(t *testing.T) {
	t.Parallel()
	s := newSite(t, say("of the site", "Content-Type: text/plain", "Cache-Control: max-age=60"), func(b *metadata.Bucket) { b.Pull.Hosts = []string{"www.example.com"} })
	s.w.origin.put("media/page", []byte("of the bucket"), "Content-Type", "text/plain")
	f := serveNode(t, s.node.node, true, nil)
	of := func(host, path, want string) {
		t.Helper()
		c := f.dial()
		defer c.Close()
		if _, err := io.WriteString(c, "GET "+path+" HTTP/1.1\r\nHost: "+host+"\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		resp, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			t.Fatal(err)
		}
		if body, err := io.ReadAll(resp.Body); err != nil || string(body) != want {
			t.Errorf("%s of %s: %v, %q", path, host, err, body)
		}
	}
	for range 3 {
		of("edge", "/media/page", "of the bucket")
		of("www.example.com", "/media/page", "of the site")
		of("WWW.example.com:80", "/media/page", "of the site")
		of("edge", "/site/media/page", "of the site")
	}
	if got := f.hits.Load(); got != 2 {
		t.Errorf("%d hot answers, want those of the bucket but the first", got)
	}
}
