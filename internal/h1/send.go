package h1

import (
	"errors"
	"net"
	"os"
	"time"
)

const (
	// progress is how much a client has to take within Options.SlowClient.
	progress = 64 << 10
	// copied is how large a body may be that is copied behind its head rather
	// than handed to the kernel in a piece of its own: below it, the copy costs
	// less. Under TLS it saves a record.
	copied, copiedSecure = 4 << 10, 16 << 10
)

// send writes an answer and notes how much of its body went out.
func (c *conn) send(a *Answer) error {
	limit := int64(copied)
	if c.held != nil {
		limit = copiedSecure
	}
	head := int64(len(a.Head))
	if a.length <= limit {
		for _, b := range a.body[:a.pieces] {
			a.Head = append(a.Head, b...)
		}
		a.length, a.pieces = 0, 0
	}
	a.First = time.Now()
	var sent int64
	var err error
	if c.held != nil {
		sent, err = c.sendSecure(a)
	} else {
		sent, err = c.sendPlain(a)
	}
	a.Sent = max(0, sent-head)
	return err
}

func (c *conn) sendPlain(a *Answer) (sent int64, err error) {
	if by := a.First.Add(c.loop.opts.SlowClient); by.Sub(c.writeBy) >= time.Second || c.writeBy.After(by) {
		// Moved once a second at most, as the deadline of reads.
		c.writeBy = by
		if err := c.raw.SetWriteDeadline(by); err != nil {
			return 0, err
		}
	}
	if a.pieces == 0 {
		rest := a.Head
		return inTime(c.raw, c.loop.opts.SlowClient, func() (int64, bool, error) {
			n, err := c.raw.Write(rest)
			rest = rest[n:]
			return int64(n), len(rest) == 0, err
		})
	}
	c.pieces[0] = a.Head
	copy(c.pieces[1:], a.body[:a.pieces])
	c.vector = c.pieces[:a.pieces+1]
	sent, err = inTime(c.raw, c.loop.opts.SlowClient, func() (int64, bool, error) {
		n, err := c.vector.WriteTo(c.raw)
		return n, len(c.vector) == 0, err
	})
	clear(c.pieces[:])
	return sent, err
}

// inTime writes until all is written. A write that has met its deadline goes on
// if the client took enough meanwhile.
func inTime(to net.Conn, slow time.Duration, write func() (n int64, all bool, err error)) (sent int64, err error) {
	for {
		n, all, err := write()
		sent += n
		if all || err == nil {
			return sent, err
		}
		if !errors.Is(err, os.ErrDeadlineExceeded) || n < progress {
			return sent, err
		}
		if err := to.SetWriteDeadline(time.Now().Add(slow)); err != nil {
			return sent, err
		}
	}
}

// sendSecure writes an answer through TLS. The records are gathered below it.
func (c *conn) sendSecure(a *Answer) (sent int64, err error) {
	c.held.hold(c.loop.opts.SlowClient)
	defer func() { err = errors.Join(err, c.held.release()) }()
	n, err := c.raw.Write(a.Head)
	sent = int64(n)
	for _, b := range a.body[:a.pieces] {
		if err != nil {
			return sent, err
		}
		n, err = c.raw.Write(b)
		sent += int64(n)
	}
	return sent, err
}
