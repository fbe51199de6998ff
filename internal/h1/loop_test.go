package h1_test

import (
	"bufio"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"meridian/internal/h1"
)

// shop has some answers, and no patience with one question.
type shop struct{}

func (shop) Answer(r *h1.Request, a *h1.Answer) bool {
	switch string(r.Target) {
	case "/panic":
		panic("of the handler")
	case "/hot", "/busy":
		if string(r.Target) == "/busy" {
			// Not by sleeping, from which one wakes late where others are busy, too.
			for begun := time.Now(); time.Since(begun) < 100*time.Microsecond; {
			}
		}
		a.Status = http.StatusOK
		a.Head = append(a.Head, "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n"...)
		return a.Add([]byte("hot"))
	}
	return false
}

func (shop) More(*h1.Answer) bool                            { return false }
func (shop) Finish(*h1.Request, *h1.Answer, h1.Writer) error { return io.ErrUnexpectedEOF }
func (shop) Done(*h1.Request, *h1.Answer)                    {}

// ServeHTTP answers /slow by the letter, and /never not at all, unless the client
// goes, of which it tells.
func (shop) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	every := 300 * time.Millisecond
	switch r.URL.Path {
	case "/never":
		every = time.Hour
	case "/slow":
	default:
		_, _ = io.WriteString(w, "cold")
		return
	}
	for _, part := range slow {
		select {
		case <-r.Context().Done():
			_, _ = io.WriteString(w, "gone")
			return
		case <-time.After(every):
			_, _ = io.WriteString(w, string(part))
			_ = http.NewResponseController(w).Flush()
		}
	}
}

// slow takes more than 4 s, by 300 ms the letter.
const slow = "it comes slowly"

func serve(t *testing.T, o h1.Options) (addr string) {
	t.Helper()
	_, addr = serveLoop(t, o, false)
	return addr
}

func serveLoop(t *testing.T, o h1.Options, secure bool) (loop *h1.Loop, addr string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	loop, addr = h1.New(o), l.Addr().String()
	if secure {
		known := httptest.NewTLSServer(nil) // which has a certificate
		l = loop.ListenTLS(l, &tls.Config{Certificates: known.TLS.Certificates})
		known.Close()
	} else {
		l = loop.Listen(l)
	}
	srv := &http.Server{Handler: shop{}, ConnState: h1.ConnState}
	done := make(chan error, 1)
	go func() { done <- srv.Serve(l) }()
	t.Cleanup(func() {
		loop.Drain()
		_ = srv.Close()
		loop.Close()
		<-done
	})
	return loop, addr
}

func dial(t *testing.T, addr string) (net.Conn, *bufio.Reader) {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	_ = c.SetDeadline(time.Now().Add(time.Minute))
	return c, bufio.NewReader(c)
}

func ask(t *testing.T, c net.Conn, r *bufio.Reader, path, want string) {
	t.Helper()
	if _, err := io.WriteString(c, "GET "+path+" HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(r, nil)
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	if body, err := io.ReadAll(resp.Body); err != nil || string(body) != want {
		t.Fatalf("%s: %q, %v", path, body, err)
	}
}

func TestAPanicOfTheHandlerCostsOneConnection(t *testing.T) {
	t.Parallel()
	var failed atomic.Int32
	addr := serve(t, h1.Options{Handler: shop{}, HeaderTimeout: time.Minute, IdleTimeout: time.Minute, SlowClient: time.Minute, Failed: func(any) { failed.Add(1) }})
	c, r := dial(t, addr)
	ask(t, c, r, "/hot", "hot")
	bad, end := dial(t, addr)
	ask(t, bad, end, "/hot", "hot")
	if _, err := io.WriteString(bad, "GET /panic HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	if b, err := end.ReadByte(); err == nil {
		t.Errorf("an answer, beginning with %q", b)
	}
	for range 3 {
		ask(t, c, r, "/hot", "hot")
		ask(t, c, r, "/cold", "cold")
	}
	if failed.Load() == 0 {
		t.Error("nobody was told")
	}
}

// Requests that come in pieces, or many in one, are answered like others, and one
// that does not come to its end is not waited for.
func TestRequestsInPieces(t *testing.T) {
	t.Parallel()
	o := h1.Options{Handler: shop{}, HeaderTimeout: time.Minute, IdleTimeout: time.Minute, SlowClient: time.Minute}
	c, r := dial(t, serve(t, o))
	raw := strings.Repeat("GET /hot HTTP/1.1\r\nHost: x\r\n\r\n", 500) // more than a buffer
	for _, piece := range []string{raw[:7], raw[7:50], raw[50:9000], raw[9000:9001], raw[9001:]} {
		if _, err := io.WriteString(c, piece); err != nil {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Millisecond)
	}
	for i := range 500 {
		resp, err := http.ReadResponse(r, nil)
		if err != nil {
			t.Fatalf("answer %d: %v", i, err)
		}
		if body, err := io.ReadAll(resp.Body); err != nil || string(body) != "hot" {
			t.Fatalf("answer %d: %q, %v", i, body, err)
		}
	}
	o.HeaderTimeout = 3 * time.Second // to be there, too, after it has connected
	addr := serve(t, o)
	c, r = dial(t, addr)
	silent, end := dial(t, addr)
	if _, err := io.WriteString(c, "GET /hot HTTP/1.1\r\nHost: x\r\n\r\nGET /hot HTT"); err != nil {
		t.Fatal(err)
	}
	if resp, err := http.ReadResponse(r, nil); err != nil {
		t.Fatal(err)
	} else if body, err := io.ReadAll(resp.Body); err != nil || string(body) != "hot" {
		t.Fatalf("%q, %v", body, err)
	}
	if b, err := r.ReadByte(); err == nil {
		t.Errorf("an answer to half a request, beginning with %q", b)
	}
	if _, err := end.ReadByte(); err == nil || silent == nil {
		t.Error("one who asks nothing is kept")
	}
}

// Some who ask without a pause, and take all answers, do not keep others waiting.
func TestRequestsWithoutAPauseLeaveOthersTheirTurn(t *testing.T) {
	t.Parallel()
	addr := serve(t, h1.Options{Handler: shop{}, HeaderTimeout: time.Minute, IdleTimeout: time.Minute, SlowClient: time.Minute})
	const many = 20_000 // 2 s and more
	raw := strings.Repeat("GET /busy HTTP/1.1\r\nHost: x\r\n\r\n", many)
	var answered atomic.Int64
	for range runtime.GOMAXPROCS(0) {
		c, r := dial(t, addr)
		go func() { _, _ = io.WriteString(c, raw) }()
		go func() {
			for {
				resp, err := http.ReadResponse(r, nil)
				if err != nil {
					return
				}
				_, _ = io.Copy(io.Discard, resp.Body)
				answered.Add(1)
			}
		}()
	}
	for answered.Load() == 0 {
		time.Sleep(time.Millisecond)
	}
	c, r := dial(t, addr)
	before := answered.Load()
	ask(t, c, r, "/hot", "hot")
	if n := answered.Load() - before; n > many*3/4 {
		t.Errorf("%d requests of others were answered first", n)
	}
}

// Requests of which a part is there when the server shuts down are answered.
func TestADrainAnswersWhatHasBegun(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	loop := h1.New(h1.Options{Handler: shop{}, HeaderTimeout: time.Minute, IdleTimeout: time.Minute, SlowClient: time.Minute})
	srv := &http.Server{Handler: shop{}, ConnState: h1.ConnState}
	served := make(chan error, 1)
	go func() { served <- srv.Serve(loop.Listen(l)) }()
	t.Cleanup(loop.Close)
	const many = 200
	var conns [many]net.Conn
	var answers [many]*bufio.Reader
	for i := range many {
		conns[i], answers[i] = dial(t, l.Addr().String())
		if _, err := io.WriteString(conns[i], "GET /hot HTTP/1.1\r\nHo"); err != nil {
			t.Fatal(err)
		}
	}
	// Connections are taken in the order in which they come: all have been.
	c, r := dial(t, l.Addr().String())
	ask(t, c, r, "/hot", "hot")
	loop.Drain()
	if loop.Settled() {
		t.Error("settled, while requests are only begun")
	}
	for i := range many {
		if _, err := io.WriteString(conns[i], "st: x\r\n\r\n"); err != nil {
			t.Fatalf("connection %d: %v", i, err)
		}
	}
	for i := range many {
		resp, err := http.ReadResponse(answers[i], nil)
		if err != nil {
			t.Fatalf("connection %d: %v", i, err)
		}
		if body, err := io.ReadAll(resp.Body); err != nil || string(body) != "hot" {
			t.Errorf("connection %d: %q, %v", i, body, err)
		}
	}
	for deadline := time.Now().Add(time.Minute); !loop.Settled(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("not settled, and all is answered")
		}
	}
	if err := srv.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	if err := <-served; !errors.Is(err, http.ErrServerClosed) {
		t.Error(err)
	}
}

// late is a shop with an answer of which a part is missing until somebody sends it.
type late struct {
	shop

	asked, missing chan struct{}
}

func (l late) Answer(r *h1.Request, a *h1.Answer) bool {
	if string(r.Target) != "/late" {
		return l.shop.Answer(r, a)
	}
	a.Status, a.Rest = http.StatusOK, 3
	a.Head = append(a.Head, "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n"...)
	return a.Add([]byte("lat"))
}

func (l late) Finish(_ *h1.Request, _ *h1.Answer, to h1.Writer) error {
	close(l.asked)
	<-l.missing
	_, err := io.WriteString(to, "est")
	return err
}

// What was asked behind an answer that had to be waited for is answered, too, when
// a drain began meanwhile: be it asked together with that, or later, and whoever
// holds the connection.
func TestADrainAnswersWhatWasAskedBehindALateAnswer(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ cold, secure, atOnce bool }{
		"at once":                  {atOnce: true},
		"later":                    {},
		"at once, from net/http":   {cold: true, atOnce: true},
		"later, from net/http":     {cold: true},
		"at once, over TLS":        {secure: true, atOnce: true},
		"later, over TLS":          {secure: true},
		"later, cold and over TLS": {cold: true, secure: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := late{asked: make(chan struct{}), missing: make(chan struct{})}
			loop, addr := serveLoop(t, h1.Options{Handler: h, HeaderTimeout: time.Minute, IdleTimeout: time.Minute, SlowClient: time.Minute}, c.secure)
			conn, r := dial(t, addr)
			if c.secure {
				conn = tls.Client(conn, &tls.Config{InsecureSkipVerify: true})
				r = bufio.NewReader(conn)
			}
			if c.cold {
				ask(t, conn, r, "/cold", "cold")
			}
			say := func(text string) {
				t.Helper()
				if _, err := io.WriteString(conn, text); err != nil {
					t.Fatal(err)
				}
			}
			first, second := "GET /late HTTP/1.1\r\nHost: x\r\n\r\n", "GET /hot HTTP/1.1\r\nHost: x\r\n\r\n"
			if c.atOnce {
				say(first + second)
				<-h.asked
			} else {
				say(first)
				<-h.asked
				say(second)
			}
			loop.Drain()
			close(h.missing)
			for _, want := range []string{"latest", "hot"} {
				resp, err := http.ReadResponse(r, nil)
				if err != nil {
					t.Fatalf("%s: %v", want, err)
				}
				if body, err := io.ReadAll(resp.Body); err != nil || string(body) != want {
					t.Errorf("%q, %v, want %q", body, err, want)
				}
			}
			if b, err := r.ReadByte(); !errors.Is(err, io.EOF) {
				t.Errorf("after the last answer: %q, %v", b, err)
			}
		})
	}
}

// Connections that wait for another request end when a drain has come by, whoever
// holds them, and by their end rather than by a reset.
func TestADrainEndsConnectionsThatWait(t *testing.T) {
	t.Parallel()
	for _, secure := range []bool{false, true} {
		for _, path := range []string{"/hot", "/cold"} {
			loop, addr := serveLoop(t, h1.Options{Handler: shop{}, HeaderTimeout: time.Minute, IdleTimeout: time.Minute, SlowClient: time.Minute}, secure)
			conn, r := dial(t, addr)
			if secure {
				conn = tls.Client(conn, &tls.Config{InsecureSkipVerify: true})
				r = bufio.NewReader(conn)
			}
			ask(t, conn, r, path, path[1:])
			loop.Drain()
			if b, err := r.ReadByte(); !errors.Is(err, io.EOF) {
				t.Errorf("TLS: %v, behind %s: %q, %v", secure, path, b, err)
			}
			conn.Close()
			for deadline := time.Now().Add(time.Minute); loop.Busy() || !loop.Settled(); time.Sleep(time.Millisecond) {
				if time.Now().After(deadline) {
					t.Fatalf("TLS: %v, behind %s: not settled", secure, path)
				}
			}
		}
	}
}

// A client that has ended its side, as nc -N does, is answered nevertheless; but not
// waited with for long, where nothing shows that it is still there.
func TestWhoHasNothingMoreToAskIsAnswered(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		path, want string
		slow       time.Duration
	}{{"/slow", slow, time.Minute}, {"/slow", slow, 4 * time.Second}, {"/never", "gone", 50 * time.Millisecond}} {
		t.Run(c.slow.String(), func(t *testing.T) {
			t.Parallel()
			addr := serve(t, h1.Options{Handler: shop{}, HeaderTimeout: time.Minute, IdleTimeout: time.Minute, SlowClient: c.slow})
			client, answer := dial(t, addr)
			if _, err := io.WriteString(client, "GET "+c.path+" HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
				t.Fatal(err)
			}
			if err := client.(*net.TCPConn).CloseWrite(); err != nil {
				t.Fatal(err)
			}
			resp, err := http.ReadResponse(answer, nil)
			if err != nil {
				t.Fatal(err)
			}
			if body, err := io.ReadAll(resp.Body); err != nil || string(body) != c.want {
				t.Errorf("%q, %v, want %q", body, err, c.want)
			}
			if _, err := answer.ReadByte(); !errors.Is(err, io.EOF) {
				t.Errorf("the connection goes on: %v", err)
			}
		})
	}
}
