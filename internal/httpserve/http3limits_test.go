package httpserve

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"
)

// Connections are bounded, and who asks for nothing loses its place.
func TestConnectionsOfHTTP3AreBounded(t *testing.T) {
	t.Parallel()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := x509.Certificate{SerialNumber: big.NewInt(1)}
	cert, err := x509.CreateCertificate(rand.Reader, &template, &template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	socket, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	config := &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{cert}, PrivateKey: key}}}
	s := newHTTP3(&Options{
		HTTP3: socket, HTTP3Connections: 1, TLS: config, Handler: http.NotFoundHandler(), Log: slog.New(slog.DiscardHandler),
	})
	served := make(chan error, 1)
	go func() { served <- s.serve() }()
	t.Cleanup(func() {
		if err := errors.Join(s.close(), <-served); !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
	})
	client := &tls.Config{InsecureSkipVerify: true, NextProtos: []string{http3.NextProtoH3}}
	dial := func() (*quic.Conn, error) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		return quic.DialAddr(ctx, socket.LocalAddr().String(), client, nil)
	}
	until := func(what string, ok func() bool) {
		for deadline := time.Now().Add(time.Minute); !ok(); time.Sleep(5 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatal(what)
			}
		}
	}
	first, err := dial()
	if err != nil {
		t.Fatal(err)
	}
	var refused *quic.TransportError
	if _, err := dial(); !errors.As(err, &refused) || refused.ErrorCode != quic.ConnectionRefused {
		t.Errorf("one connection too many: %v", err)
	}
	until("the connection is not known", func() bool { return len(s.idle(time.Now().Add(time.Hour))) == 1 })
	if n := len(s.idle(time.Now().Add(headerTimeout / 2))); n != 0 {
		t.Errorf("%d connections to close that have just come", n)
	}
	if n := len(s.idle(time.Now().Add(headerTimeout + time.Second))); n != 1 {
		t.Errorf("%d connections to close, want the one that asks nothing", n)
	}
	if err := first.CloseWithError(0, ""); err != nil {
		t.Fatal(err)
	}
	until("nobody else is let in", func() bool {
		c, err := dial()
		if err != nil {
			return false
		}
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://x/", nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := (&http3.Transport{}).NewClientConn(c).RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		return true
	})
	until("a request has not ended", func() bool { return len(s.idle(time.Now().Add(time.Hour))) == 1 })
	if n := len(s.idle(time.Now().Add(headerTimeout + time.Second))); n != 0 {
		t.Errorf("%d connections to close that have asked", n)
	}
	// At a drain they stay for as long as something comes or goes.
	now := time.Now().Add(2 * farewell)
	if s.quiet(now, now.Add(-2*farewell)) {
		t.Error("quiet, and packets have moved since somebody looked")
	}
	until("something moves all the time", func() bool {
		begun := now
		now = now.Add(farewell)
		return s.quiet(now, begun)
	})
}
