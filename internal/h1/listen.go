package h1

import (
	"context"
	"crypto/tls"
	"errors"
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
		_ = raw.Close() // who does not speak TLS is not worth a word
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
