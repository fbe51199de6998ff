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

// gather copies a short body behind its head.
func (a *Answer) gather(limit int64) {
	if a.length > limit || a.Rest > 0 {
		return
	}
	for _, b := range a.body[:a.pieces] {
		a.Head = append(a.Head, b...)
	}
	a.drop()
}

// send writes an answer and notes how much of its body went out.
func (c *conn) send(a *Answer) error {
	limit := int64(copied)
	if c.held != nil {
		limit = copiedSecure
	}
	head := a.Head
	a.gather(limit)
	a.First = time.Now()
	err := c.sendPieces(a, a.Head)
	a.Sent = max(0, a.Sent-int64(len(head)))
	for err == nil && a.Rest > 0 {
		a.drop()
		if !c.loop.opts.Handler.More(a) {
			err = c.loop.opts.Handler.Finish(&c.req, a, c.raw)
			c.writeBy = time.Time{}
			break
		}
		err = c.sendPieces(a, nil)
	}
	a.End = time.Now()
	return err
}

// sendPieces writes a head, if there is one, and the pieces that there are.
func (c *conn) sendPieces(a *Answer, head []byte) (err error) {
	var sent int64
	if c.held != nil {
		sent, err = c.sendSecure(a, head)
	} else {
		sent, err = c.sendPlain(a, head)
	}
	a.Sent += sent
	return err
}

func (c *conn) sendPlain(a *Answer, head []byte) (sent int64, err error) {
	now := a.First
	if head == nil {
		now = time.Now()
	}
	if by := now.Add(c.loop.opts.SlowClient); by.Sub(c.writeBy) >= time.Second || c.writeBy.After(by) {
		// Moved once a second at most, as the deadline of reads.
		c.writeBy = by
		if err := c.raw.SetWriteDeadline(by); err != nil {
			return 0, err
		}
	}
	if a.pieces == 0 {
		rest := head
		return inTime(c.raw, c.loop.opts.SlowClient, func() (int64, bool, error) {
			n, err := c.raw.Write(rest)
			rest = rest[n:]
			return int64(n), len(rest) == 0, err
		})
	}
	c.vector = append(c.pieces[:0], a.body[:a.pieces]...)
	if head != nil {
		c.vector = append(append(c.pieces[:0], head), a.body[:a.pieces]...)
	}
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
func (c *conn) sendSecure(a *Answer, head []byte) (sent int64, err error) {
	c.held.hold(c.loop.opts.SlowClient)
	defer func() { err = errors.Join(err, c.held.release()) }()
	if head != nil {
		n, err := c.raw.Write(head)
		sent = int64(n)
		if err != nil {
			return sent, err
		}
	}
	for _, b := range a.body[:a.pieces] {
		n, err := c.raw.Write(b)
		sent += int64(n)
		if err != nil {
			return sent, err
		}
	}
	return sent, nil
}
