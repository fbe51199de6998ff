package httpserve_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"meridian/internal/h1"
	"meridian/internal/httpserve"
)

// large is more than the buffers of a connection hold.
var large = make([]byte, 32<<20)

// stock has two answers in memory.
type stock struct{}

func (stock) Answer(r *h1.Request, a *h1.Answer) bool {
	body := []byte("hot")
	switch string(r.Target) {
	case "/hot":
	case "/large":
		body = large
	default:
		return false
	}
	a.Status = http.StatusOK
	a.Head = fmt.Appendf(a.Head, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n", len(body))
	return a.Add(body)
}

func (stock) More(*h1.Answer) bool                            { return false }
func (stock) Finish(*h1.Request, *h1.Answer, h1.Writer) error { return io.ErrUnexpectedEOF }
func (stock) Done(*h1.Request, *h1.Answer)                    {}

// Who has asked before a server drains is answered, by whomever: behind an answer
// that is on its way, whoever holds the connection, or after only a part of the
// request was there.
func TestADrainAnswersWhatWasAsked(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	cold := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "cold") })
	srv := httpserve.New(l, httpserve.Options{Name: "test", Handler: cold, Hot: stock{}, Log: slog.New(slog.DiscardHandler), Drain: time.Minute, SlowClient: time.Minute})
	ctx, drain := context.WithCancel(t.Context())
	over := make(chan error, 1)
	go func() { over <- srv.Run(ctx) }()
	for _, c := range []struct{ before, rest, want, first, behind string }{
		{"GET /cold HTTP/1.1\r\nHo", "st: x\r\n\r\n", "cold", "GET /cold HTTP/1.1\r\nHost: x\r\n\r\n", ""}, // the last to go on
		{"GET /large HTTP/1.1\r\nHost: x\r\n\r\nGET /cold HTTP/1.1\r\nHost: x\r\n\r\n", "", "cold", "", ""},
		{"GET /large HTTP/1.1\r\nHost: x\r\n\r\nGET /hot HTTP/1.1\r\nHost: x\r\n\r\n", "", "hot", "", ""},
		{"GET /large HTTP/1.1\r\nHost: x\r\n\r\nGET /cold HTTP/1.1\r\nHo", "st: x\r\n\r\n", "cold", "", ""},
		{"GET /large HTTP/1.1\r\nHost: x\r\n\r\n", "", "", "", ""},
		{"GET /cold HTTP/1.1\r\nHo", "st: x\r\n\r\n", "cold", "", ""},
		{"GET /hot HTTP/1.1\r\nHo", "st: x\r\n\r\n", "hot", "", ""},
		{"GET /large HTTP/1.1\r\nHost: x\r\n\r\n", "", "cold", "GET /cold HTTP/1.1\r\nHost: x\r\n\r\n", "GET /cold HTTP/1.1\r\nHost: x\r\n\r\n"},
		{"GET /large HTTP/1.1\r\nHost: x\r\n\r\n", "", "hot", "GET /cold HTTP/1.1\r\nHost: x\r\n\r\n", "GET /hot HTTP/1.1\r\nHost: x\r\n\r\n"},
	} {
		conn, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		_ = conn.SetDeadline(time.Now().Add(time.Minute))
		answer, begun := bufio.NewReader(conn), strings.HasPrefix(c.before, "GET /large")
		if c.first != "" { // by which net/http has the connection
			if _, err := io.WriteString(conn, c.first); err != nil {
				t.Fatal(err)
			}
			wantBytes(t, c.first, answer, len("cold"))
		}
		if _, err := io.WriteString(conn, c.before); err != nil {
			t.Fatal(err)
		}
		if begun {
			if _, err := answer.Peek(1); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := io.WriteString(conn, c.behind); err != nil {
			t.Fatal(err)
		}
		defer func() {
			if begun {
				wantBytes(t, c.before, answer, len(large))
			}
			if _, err := io.WriteString(conn, c.rest); err != nil {
				t.Errorf("%q: %v", c.before, err)
			}
			if c.want == "" {
				return
			}
			resp, err := http.ReadResponse(answer, nil)
			if err != nil {
				t.Errorf("%q: %v", c.before, err)
				return
			}
			if body, err := io.ReadAll(resp.Body); err != nil || string(body) != c.want || !resp.Close {
				t.Errorf("%q: %q, %v; the last: %v", c.before, body, err, resp.Close)
			}
		}()
	}
	// Connections are taken in the order in which they come: all have been.
	if _, _, body := get(t, "http://"+l.Addr().String()+"/cold"); body != "cold" {
		t.Fatalf("before the drain: %q", body)
	}
	drain()
	for {
		conn, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			break // it takes no connections any more
		}
		conn.Close()
	}
	t.Cleanup(func() {
		if err := <-over; err != nil {
			t.Error(err)
		}
	})
}

func wantBytes(t *testing.T, what string, r *bufio.Reader, n int) {
	t.Helper()
	resp, err := http.ReadResponse(r, nil)
	if err != nil {
		t.Errorf("%q: %v", what, err)
		return
	}
	if got, err := io.Copy(io.Discard, resp.Body); err != nil || got != int64(n) {
		t.Errorf("%q: %d bytes, %v", what, got, err)
	}
}
