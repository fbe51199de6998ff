package h1

import (
	"crypto/tls"
	"net"
	"sync"
	"time"
)

// secure is a TLS connection whose records are gathered while the loop writes:
// crypto/tls writes each one by itself, which costs a system call per 16 KiB.
type secure struct {
	*tls.Conn

	held *held
}

// secureConn is a conn that tells net/http of its TLS.
type secureConn struct {
	*conn

	secure *secure
}

// ConnectionState is what net/http makes Request.TLS of.
func (c *secureConn) ConnectionState() tls.ConnectionState { return c.secure.ConnectionState() }

// gathered is how much is written at once.
const gathered = 128 << 10

var gathers = sync.Pool{New: func() any {
	b := make([]byte, 0, gathered+17<<10)
	return &b
}}

// held is the connection below TLS. Between hold and release it gathers what is
// written; otherwise it writes at once. It is used by whoever writes to the TLS
// connection, one at a time.
type held struct {
	net.Conn

	slow time.Duration
	buf  *[]byte // nil: nothing is held
	err  error   // of an earlier write
}

func (h *held) hold(slow time.Duration) {
	h.slow = slow
	h.buf = gathers.Get().(*[]byte)
}

// release writes what was gathered.
func (h *held) release() error {
	h.flush()
	gathers.Put(h.buf)
	h.buf = nil
	return h.err
}

// Write implements net.Conn.
func (h *held) Write(p []byte) (int, error) {
	if h.err != nil {
		return 0, h.err
	}
	if h.buf == nil {
		return h.Conn.Write(p)
	}
	*h.buf = append(*h.buf, p...)
	if len(*h.buf) >= gathered {
		h.flush()
	}
	return len(p), h.err
}

func (h *held) flush() {
	rest := *h.buf
	*h.buf = (*h.buf)[:0]
	if h.err != nil || len(rest) == 0 {
		return
	}
	if h.err = h.SetWriteDeadline(time.Now().Add(h.slow)); h.err != nil {
		return
	}
	_, h.err = inTime(h.Conn, h.slow, func() (int64, bool, error) {
		n, err := h.Conn.Write(rest)
		rest = rest[n:]
		return int64(n), len(rest) == 0, err
	})
	if h.err == nil {
		h.err = h.SetWriteDeadline(time.Time{})
	}
}
