package wan_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"testing"
	"time"

	"meridian/internal/wan"
)

// echo answers every connection with what it sends.
func echo(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				_, _ = io.Copy(c, c)
			}()
		}
	}()
	return l.Addr().String()
}

func TestBytesArriveWholeAndNotBeforeTheirTime(t *testing.T) {
	t.Parallel()
	const rtt = 60 * time.Millisecond
	addr := echo(t)
	var d net.Dialer
	dial := wan.Dialer(d.DialContext, func(string) time.Duration { return rtt })
	start := time.Now()
	c, err := dial(context.Background(), "tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if took := time.Since(start); took < rtt {
		t.Errorf("connected after %v, before a round trip of %v", took, rtt)
	}
	sent := make([]byte, 3<<20)
	rnd := rand.NewChaCha8([32]byte{1})
	_, _ = rnd.Read(sent)
	start = time.Now()
	go func() { _, _ = c.Write(sent) }()
	got := make([]byte, len(sent))
	if _, err := io.ReadFull(c, got[:1]); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(start); took < rtt {
		t.Errorf("first byte back after %v, before a round trip of %v", took, rtt)
	}
	if _, err := io.ReadFull(c, got[1:]); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, sent) {
		t.Error("bytes changed on the way")
	}
}

func TestDeadlinesAndCloseWork(t *testing.T) {
	t.Parallel()
	addr := echo(t)
	var d net.Dialer
	dial := wan.Dialer(d.DialContext, func(string) time.Duration { return time.Millisecond })
	c, err := dial(context.Background(), "tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.SetReadDeadline(time.Now().Add(-time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("read past its deadline: %v", err)
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Write([]byte("x")); err == nil {
		t.Error("write after close succeeded")
	}
}

func TestZeroIsAnOrdinaryConnection(t *testing.T) {
	t.Parallel()
	addr := echo(t)
	var d net.Dialer
	c, err := wan.Dialer(d.DialContext, func(string) time.Duration { return 0 })(context.Background(), "tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, ok := c.(*net.TCPConn); !ok {
		t.Errorf("got a %T", c)
	}
}
