package httpserve

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"testing"
)

// TestAHeldAnswerIsOneWrite has answers of all sizes about the bounds come over one
// connection, held back and not.
func TestAHeldAnswerIsOneWrite(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	whole := bytes.Repeat([]byte("meridian"), 3*maxHeld/8)
	file := filepath.Join(t.TempDir(), "whole")
	if err := os.WriteFile(file, whole, 0o600); err != nil {
		t.Fatal(err)
	}
	var body []byte
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		held := Hold(r.Context())
		defer func() { _ = held.Release() }()
		switch r.URL.Path {
		case "/panic":
			panic("oops")
		case "/file", "/together":
			if r.URL.Path == "/together" {
				_ = http.NewResponseController(w).Flush()
				if held.buf == nil || len(*held.buf) == 0 {
					t.Error("the header was written already, or not at all")
				}
			} else {
				_ = held.Release()
			}
			f, err := os.Open(file)
			if err != nil {
				t.Error(err)
				return
			}
			defer f.Close()
			_, _ = io.Copy(w, f)
			return
		}
		_, _ = w.Write(body)
		_ = http.NewResponseController(w).Flush()
		if small := len(body) < maxHeld-1000; small && (held.buf == nil || len(*held.buf) < len(body)) {
			t.Errorf("something of %d bytes was written already", len(body))
		} else if !small && len(body) > maxHeld && held.buf != nil {
			t.Errorf("all of %d bytes is held back", len(body))
		}
	})
	log := slog.New(slog.DiscardHandler)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	s := New(l, Options{Name: "test", Log: log, Handler: Access(log, false, handler)})
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()

	conn, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	in := bufio.NewReader(conn)
	alone := 0 // answers whose header came by itself
	ask := func(path string) (int, []byte) {
		if _, err := io.WriteString(conn, "GET "+path+" HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		if _, err := in.Peek(1); err != nil {
			t.Fatal(err)
		}
		if first, _ := in.Peek(in.Buffered()); bytes.HasSuffix(first, []byte("\r\n\r\n")) {
			alone++
		}
		res, err := http.ReadResponse(in, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		b, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		return res.StatusCode, b
	}
	for _, n := range []int{1, 2000, 4096, 5000, 32 << 10, maxHeld - 100, maxHeld, maxHeld + 1, 3 * maxHeld} {
		body = whole[:n]
		if status, got := ask("/"); status != 200 || !bytes.Equal(got, body) {
			t.Errorf("%d with %d bytes of %d", status, len(got), n)
		}
	}
	const times = 20
	for _, path := range append([]string{"/file"}, slices.Repeat([]string{"/together"}, times)...) {
		if status, got := ask(path); status != 200 || !bytes.Equal(got, whole) {
			t.Errorf("%d with %d bytes of a file of %d", status, len(got), len(whole))
		}
	}
	if runtime.GOOS == "linux" && alone >= times {
		t.Error("the headers of files came by themselves")
	}
	if status, _ := ask("/panic"); status != 500 {
		t.Errorf("a panic is answered with %d", status)
	}
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
