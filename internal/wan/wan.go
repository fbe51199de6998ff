// Package wan makes connections on one machine feel as if they crossed oceans:
// every byte arrives half a round-trip time later, and a connection takes a
// round trip to open. Bandwidth is not limited beyond what a window of
// unacknowledged bytes allows.
package wan

import (
	"context"
	"io"
	"net"
	"sync"
	"time"
)

// window bounds the bytes under way in one direction, as a TCP window would.
const window = 4 << 20

// DialFunc is the type of net.Dialer.DialContext.
type DialFunc func(ctx context.Context, network, addr string) (net.Conn, error)

// Dialer returns a DialFunc whose connections have the round-trip time that rtt
// tells for their address. Zero leaves a connection as it is.
func Dialer(dial DialFunc, rtt func(addr string) time.Duration) DialFunc {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		d := rtt(addr)
		if d == 0 {
			return dial(ctx, network, addr)
		}
		select {
		case <-time.After(d):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		far, err := dial(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		near, inner := net.Pipe()
		c := &conn{Conn: near, inner: inner, far: far}
		c.pumps.Add(2)
		go c.pump(far, inner, d/2)
		go c.pump(inner, far, d/2)
		return c, nil
	}
}

// conn is the caller's end: net.Pipe gives it deadlines, the two pumps delay.
type conn struct {
	net.Conn
	inner, far net.Conn
	pumps      sync.WaitGroup
}

func (c *conn) LocalAddr() net.Addr  { return c.far.LocalAddr() }
func (c *conn) RemoteAddr() net.Addr { return c.far.RemoteAddr() }

// Close ends both directions and waits for the pumps.
func (c *conn) Close() error {
	err := c.Conn.Close()
	_ = c.inner.Close()
	_ = c.far.Close()
	c.pumps.Wait()
	return err
}

type packet struct {
	due  time.Time
	data []byte
}

// pump moves bytes from src to dst, each delay after it was read.
func (c *conn) pump(dst io.WriteCloser, src io.ReadCloser, delay time.Duration) {
	defer c.pumps.Done()
	const size = 64 << 10
	queue := make(chan packet, window/size)
	var delivered sync.WaitGroup
	delivered.Go(func() {
		for p := range queue {
			time.Sleep(time.Until(p.due))
			if _, err := dst.Write(p.data); err != nil {
				_ = src.Close() // ends the reads below
			}
		}
		_ = dst.Close()
	})
	for {
		buf := make([]byte, size)
		n, err := src.Read(buf)
		if n > 0 {
			queue <- packet{time.Now().Add(delay), buf[:n]}
		}
		if err != nil {
			break
		}
	}
	close(queue)
	delivered.Wait()
}
