package h1

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"syscall"
	"time"
)

// plainListener wraps connections as they are accepted.
type plainListener struct {
	net.Listener

	loop *Loop
}

func (p *plainListener) Accept() (net.Conn, error) {
	raw, err := p.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return p.loop.Wrap(raw), nil
}

// ListenTLS is Listen for TLS. The handshake comes before Accept returns a
// connection, since it decides whose it is: one of HTTP/2 is net/http's alone.
func (l *Loop) ListenTLS(inner net.Listener, config *tls.Config) net.Listener {
	ctx, cancel := context.WithCancel(context.Background())
	t := &tlsListener{Listener: inner, loop: l, config: config, cancel: cancel, ready: make(chan net.Conn), failed: make(chan error, 1)}
	t.running.Go(func() { t.run(ctx) })
	l.mu.Lock()
	l.refuses = append(l.refuses, func() { _ = inner.Close() })
	l.mu.Unlock()
	return t
}

type tlsListener struct {
	net.Listener

	loop    *Loop
	config  *tls.Config
	cancel  context.CancelFunc // of handshakes
	ready   chan net.Conn
	failed  chan error // of the inner Accept, which ends the listener
	running sync.WaitGroup
}

func (t *tlsListener) run(ctx context.Context) {
	for {
		raw, err := t.Listener.Accept()
		if err != nil {
			if passing(err) && ctx.Err() == nil {
				time.Sleep(10 * time.Millisecond) // out of descriptors: some will be back
				continue
			}
			if t.loop.draining.Load() {
				<-ctx.Done() // handshakes go on until Close
			}
			t.failed <- err
			return
		}
		t.running.Go(func() { t.greet(ctx, raw) })
	}
}

// passing reports whether a listener may work again after err.
func passing(err error) bool {
	for _, e := range [...]syscall.Errno{syscall.ECONNABORTED, syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// greet shakes hands and hands the connection over.
func (t *tlsListener) greet(ctx context.Context, raw net.Conn) {
	below := &held{Conn: raw}
	conn := tls.Server(below, t.config)
	shaking, cancel := context.WithTimeout(ctx, t.loop.opts.HeaderTimeout)
	err := conn.HandshakeContext(shaking)
	cancel()
	if err != nil {
		if record, ok := errors.AsType[tls.RecordHeaderError](err); ok && record.Conn != nil && isHTTP(record.RecordHeader) {
			t.answerPlain(raw)
		}
		_ = raw.Close()
		return
	}
	var ready net.Conn = conn
	if conn.ConnectionState().NegotiatedProtocol != "h2" {
		ready = t.loop.Wrap(&secure{conn, below})
	}
	select {
	case t.ready <- ready:
	case <-ctx.Done():
		_ = ready.Close() // refused, as all that come later
	}
}

// isHTTP reports whether what came instead of a TLS record begins a request.
func isHTTP(b [5]byte) bool {
	switch string(b[:]) {
	case "GET /", "HEAD ", "POST ", "PUT /", "OPTIO", "DELET", "PATCH", "PURGE":
		return true
	}
	return false
}

// plainText is for who speaks plain HTTP where TLS is spoken.
const plainText = "This port speaks HTTPS, and the request came by plain HTTP.\n"

// answerPlain says so, and stays for as long as the client might still be sending.
func (t *tlsListener) answerPlain(raw net.Conn) {
	_ = raw.SetDeadline(time.Now().Add(lingers))
	if _, err := fmt.Fprintf(raw, "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s", len(plainText), plainText); err != nil {
		return
	}
	if w, ok := raw.(interface{ CloseWrite() error }); ok && w.CloseWrite() == nil {
		_, _ = io.Copy(io.Discard, raw)
	}
}

func (t *tlsListener) Accept() (net.Conn, error) {
	select {
	case c := <-t.ready:
		return c, nil
	case err := <-t.failed:
		t.failed <- err
		return nil, err
	}
}

// Close implements net.Listener. It waits for handshakes, which it ends.
func (t *tlsListener) Close() error {
	t.cancel()
	err := t.Listener.Close()
	t.running.Wait()
	if t.loop.draining.Load() && errors.Is(err, net.ErrClosed) {
		err = nil // Drain was first
	}
	return err
}
