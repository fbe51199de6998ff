package httpserve

import (
	"context"
	"io"
	"net"
	"sync"
)

// maxHeld is how much of an answer is held back at most: a body of 32 KiB with its
// header.
const maxHeld = 40 << 10

// Held is a connection that keeps back what is written to it. net/http writes an
// answer that does not fit into its 4 KiB in two pieces at least, and each piece
// costs a system call, a packet, and the client a wake-up.
type Held struct {
	*net.TCPConn
	buf *[]byte // nil: nothing is held back
}

var heldBuffers = sync.Pool{New: func() any { b := make([]byte, 0, maxHeld); return &b }}

type heldKey struct{}

// Hold keeps back what is written to the connection of a request, up to 40 KiB,
// until Release. It is nil, and nothing is kept back, where that is not TCP in
// clear, or not served by this package.
func Hold(ctx context.Context) *Held {
	h, _ := ctx.Value(heldKey{}).(*Held)
	if h != nil && h.buf == nil {
		h.buf = heldBuffers.Get().(*[]byte)
	}
	return h
}

// Release sends what was kept back. Its error is that of the connection, on which
// nothing can be sent any more.
func (h *Held) Release() error {
	if h == nil {
		return nil
	}
	return h.release(h.TCPConn.Write)
}

// release has what was kept back sent by write, which writes all or fails.
func (h *Held) release(write func([]byte) (int, error)) error {
	if h.buf == nil {
		return nil
	}
	buf := h.buf
	h.buf = nil
	var err error
	if len(*buf) > 0 {
		_, err = write(*buf)
	}
	*buf = (*buf)[:0]
	heldBuffers.Put(buf)
	return err
}

// Write keeps p back or writes it.
func (h *Held) Write(p []byte) (int, error) {
	if h.buf != nil && len(*h.buf)+len(p) <= maxHeld {
		*h.buf = append(*h.buf, p...)
		return len(p), nil
	}
	if err := h.Release(); err != nil {
		return 0, err
	}
	return h.TCPConn.Write(p)
}

// ReadFrom has the kernel send a file, where r is one. What was kept back goes with
// its first bytes, where the system can do that: a client that is woken for a header
// alone is woken twice.
func (h *Held) ReadFrom(r io.Reader) (int64, error) {
	if err := h.release(func(p []byte) (int, error) { return writeMore(h.TCPConn, p) }); err != nil {
		return 0, err
	}
	return h.TCPConn.ReadFrom(r)
}

// holdable is a listener whose connections can hold back.
type holdable struct{ net.Listener }

func (l holdable) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if tcp, ok := c.(*net.TCPConn); ok {
		return &Held{TCPConn: tcp}, err
	}
	return c, err
}

// withHeld lets Hold find the connection of a request.
func withHeld(ctx context.Context, c net.Conn) context.Context {
	if h, ok := c.(*Held); ok {
		return context.WithValue(ctx, heldKey{}, h)
	}
	return ctx
}
