package faultlink

import (
	"bytes"
	"net"
	"sync"
	"time"
)

// conn is the near end of a link. An answer is what arrives after something was
// sent.
type conn struct {
	net.Conn
	fault  func() Fault
	once   sync.Once
	closed chan struct{}

	mu   sync.Mutex
	sent bool  // since the last read
	got  int64 // of the answer
}

func (c *conn) Write(b []byte) (int, error) {
	if c.fault().Refuse {
		return 0, ErrCut
	}
	c.mu.Lock()
	c.sent = true
	c.mu.Unlock()
	return c.Conn.Write(b)
}

func (c *conn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	f := c.fault()
	if f.Refuse {
		return 0, ErrCut
	}
	if f.Dead {
		<-c.closed
		return 0, net.ErrClosed
	}
	c.mu.Lock()
	first := c.sent
	if first {
		c.sent, c.got = false, 0
	}
	at := f.Corrupt - 1 - c.got // in b
	c.got += int64(n)
	over := c.got - f.CutAfter
	c.mu.Unlock()
	if first && f.Latency > 0 {
		late := time.NewTimer(f.Latency)
		defer late.Stop()
		select {
		case <-late.C:
		case <-c.closed:
			return 0, net.ErrClosed
		}
	}
	if f.CutAfter > 0 && over > 0 {
		_ = c.Conn.Close() // what it says of itself does not matter any more
		if n -= int(over); n <= 0 {
			return 0, ErrCut
		}
		return n, nil
	}
	if at >= 0 && at < int64(n) {
		b[at] ^= 0x55
	}
	if f.Lie && first {
		lie(b[:n])
	}
	return n, err
}

// lie makes the Content-Length in the head of an answer larger, as far as its
// digits allow.
func lie(b []byte) {
	const name = "Content-Length: "
	at := bytes.Index(b, []byte(name))
	if at < 0 || at+len(name) >= len(b) {
		return
	}
	at += len(name)
	if b[at] != '9' {
		b[at] = '9'
		return
	}
	if at++; at < len(b) && b[at] >= '0' && b[at] < '9' {
		b[at]++
	}
}

func (c *conn) Close() error {
	c.once.Do(func() { close(c.closed) })
	return c.Conn.Close()
}
