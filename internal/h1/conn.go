package h1

import (
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// bufferSize is how long a request may be that the loop looks at.
const bufferSize = 8 << 10

// phase is whose the bytes are that come next.
type phase uint8

const (
	// ours: a request begins, and the loop looks at it first.
	ours phase = iota
	// theirs: net/http has been given a request of which the end is known, and
	// what comes behind it waits.
	theirs
	// open: net/http has everything until the connection ends.
	open
)

// conn is a connection as net/http sees it. Read, and what it calls, runs in one
// goroutine at a time: that of the connection, or while a handler runs the one
// with which net/http watches for the client's leaving.
type conn struct {
	loop *Loop
	raw  net.Conn
	held *held // under TLS: what gathers its records; else nil
	home home  // where it may return to when it waits; nil: it stays

	phase phase
	fresh bool   // net/http has yet to begin with what it is given
	buf   []byte // bytes read from raw, not yet given away: buf[r:w]
	r, w  int
	give  int // how many of them are the rest of the request that is net/http's

	asked   bool // a request has come
	req     Request
	ans     Answer
	vector  net.Buffers
	pieces  [maxPieces + 1][]byte
	ids     ids
	line    []byte
	worker  int
	streak  int       // answers of the loop since net/http had a request
	now     time.Time // a moment ago
	readBy  time.Time // the deadlines that are set, or zero
	writeBy time.Time

	wrote atomic.Int64 // writes of net/http that took something

	mu      sync.Mutex
	wake    *sync.Cond
	aborted bool // net/http wants the Read under way to end
	busy    bool // an answer of the loop is on its way
	served  bool // the loop has answered once at least
	waiting bool // for a request
	used    bool // and had one before
	begun   bool // part of one is there
	parting bool // a drain has come by: it ends unless something is asked at once
	ending  bool // closed, or to be when the answer is out
	closed  bool
	leaving bool // for home
}

// home takes back connections that have nothing to say to net/http.
type home interface {
	// takeBack takes the connection below c, or returns false.
	takeBack(c *conn) bool
}

var _ net.Conn = (*conn)(nil)

func newConn(l *Loop, raw net.Conn) *conn {
	c := &conn{loop: l, raw: raw, buf: make([]byte, bufferSize)}
	c.worker = int(l.workers.Add(1))
	c.wake = sync.NewCond(&c.mu)
	c.req.Remote = raw.RemoteAddr().String()
	return c
}

// ConnState is a hook of http.Server: it tells where requests end.
func ConnState(nc net.Conn, s http.ConnState) {
	c, ok := nc.(*conn)
	if t, secured := nc.(*secureConn); secured {
		c, ok = t.conn, true
	}
	if !ok {
		return
	}
	c.setFresh(s == http.StateNew)
	switch {
	case s == http.StateHijacked:
		c.phase = open
	case s == http.StateIdle && c.phase == theirs && c.give == 0:
		c.phase = ours
	}
}

func (c *conn) setFresh(fresh bool) {
	switch {
	case fresh == c.fresh:
		return
	case fresh:
		c.loop.fresh.Add(1)
	default:
		c.loop.fresh.Add(-1)
	}
	c.fresh = fresh
}

// Read implements net.Conn for net/http.
func (c *conn) Read(p []byte) (int, error) {
	if c.phase == ours {
		if err := c.serve(); err != nil {
			return 0, err
		}
	}
	switch {
	case c.phase == theirs && c.give == 0:
		return 0, c.watch()
	case c.r == c.w: // open
		return c.raw.Read(p)
	}
	n := c.w - c.r
	if c.phase == theirs {
		n = c.give
	}
	n = copy(p, c.buf[c.r:c.r+n])
	c.r += n
	c.give = max(0, c.give-n)
	return n, nil
}

// serve answers requests until one comes that is net/http's, which it leaves in
// the buffer, or the connection ends.
func (c *conn) serve() error {
	for {
		n, k, err := c.next()
		if err != nil {
			return err
		}
		c.asked = true
		if k == whole {
			answered, err := c.answer()
			if err != nil {
				return err
			}
			if answered {
				c.r += n
				if c.streak++; c.streak >= homely && c.leave() {
					return io.EOF
				}
				continue
			}
		}
		if k == odd {
			c.phase = open
		} else {
			c.phase, c.give = theirs, n
		}
		return c.handOver()
	}
}

const (
	// homely is how many answers of the loop in a row make a connection one for a
	// home: changing hands costs a few.
	homely = 8
	// settled is how long one waits for a request before it returns.
	settled = time.Second
)

// leave makes net/http close c, by which it returns home, if it has one and
// nothing is left to read.
func (c *conn) leave() bool {
	if c.home == nil || c.r < c.w || c.loop.draining.Load() {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.leaving = !c.ending
	return c.leaving
}

// handOver leaves the deadlines as net/http expects them.
func (c *conn) handOver() error {
	c.setFresh(true)
	c.mu.Lock()
	c.parting, c.begun = false, false
	c.mu.Unlock()
	if !c.writeBy.IsZero() {
		c.writeBy = time.Time{}
		if err := c.raw.SetWriteDeadline(c.writeBy); err != nil {
			return err
		}
	}
	c.readBy, c.streak = time.Time{}, 0
	return c.raw.SetReadDeadline(time.Now().Add(c.loop.opts.HeaderTimeout))
}

// next waits for a request and parses it; n is its length.
func (c *conn) next() (n int, k kind, err error) {
	begun := false // part of it is there
	for {
		if c.r < c.w {
			c.now = time.Now()
			c.req = Request{Remote: c.req.Remote, Worker: c.worker, Start: c.now, Now: c.now}
			if k, n = parseNext(c.buf[c.r:c.w], &c.req, c.served); k != partial {
				return n, k, nil
			}
			if c.r > 0 {
				c.w = copy(c.buf, c.buf[c.r:c.w])
				c.r = 0
			}
			if c.w == len(c.buf) {
				return 0, odd, nil
			}
			if !begun {
				begun = true
				c.setBegun()
				if err := c.setReadBy(c.req.Start.Add(c.loop.opts.HeaderTimeout)); err != nil {
					return 0, odd, err
				}
			}
		} else {
			c.r, c.w = 0, 0
			if err := c.idle(); err != nil {
				return 0, odd, err
			}
		}
		n, err := c.raw.Read(c.buf[c.w:])
		c.w += n
		c.setWaiting(false)
		if n == 0 && err != nil {
			if c.r == c.w && errors.Is(err, os.ErrDeadlineExceeded) && (c.leave() || c.part()) {
				return 0, odd, io.EOF
			}
			// One cut in the middle is for net/http to answer, which says
			// nothing to less than four bytes of a second request.
			if errors.Is(err, io.EOF) && (c.w-c.r >= 4 || c.r < c.w && !c.served) {
				return 0, odd, nil
			}
			return 0, odd, err
		}
	}
}

// idle prepares the wait for the next request. The deadline is moved once a
// second at most, which is a good part of the price of a small answer otherwise.
func (c *conn) idle() error {
	patience := c.loop.opts.IdleTimeout
	if !c.asked {
		patience = c.loop.opts.HeaderTimeout // who connects has something to ask
	}
	if c.home != nil && c.asked {
		patience = settled
	}
	if by := time.Now().Add(patience); by.Sub(c.readBy) >= time.Second || c.readBy.After(by) {
		if err := c.setReadBy(by); err != nil {
			return err
		}
	}
	if c.setWaiting(true) {
		return io.EOF
	}
	return nil
}

func (c *conn) setReadBy(t time.Time) error {
	c.readBy = t
	return c.raw.SetReadDeadline(t)
}

// answer answers the request that was parsed, if the handler can.
func (c *conn) answer() (bool, error) {
	if !c.begin() {
		return false, io.EOF
	}
	c.req.ID = c.ids.next()
	defer c.ans.reset() // an idle connection keeps no body alive
	if !c.loop.opts.Handler.Answer(&c.req, &c.ans) {
		if c.end(false) {
			return false, io.EOF
		}
		return false, nil
	}
	last := c.loop.draining.Load()
	fields := ""
	if c.held != nil {
		fields = c.loop.opts.SecureFields
	}
	c.ans.endHead(fields, last)
	err := c.send(&c.ans)
	c.line = c.loop.done(c.line[:0], &c.req, &c.ans)
	c.loop.write(c.line)
	switch {
	case err != nil:
		c.end(true)
		return true, err
	case last || c.isEnding():
		c.linger()
		last = true
	}
	if c.end(last) {
		return true, io.EOF
	}
	return true, nil
}

// lingers is how long a connection stays half open behind its last answer. Were
// it closed with something of the client's unread, the answer could be lost.
const lingers = 500 * time.Millisecond

func (c *conn) linger() {
	if c.CloseWrite() != nil || c.raw.SetReadDeadline(time.Now().Add(lingers)) != nil {
		return
	}
	for err := error(nil); err == nil; {
		_, err = c.raw.Read(c.buf) // for net/http this is over
	}
}

func (c *conn) begin() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ending {
		return false
	}
	c.busy = true
	return true
}

// end notes that the answer is out, and reports whether that was the last one;
// then the connection is closed.
func (c *conn) end(last bool) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.busy, c.served = false, true
	if last || c.ending {
		c.shut()
	}
	return c.ending
}

func (c *conn) isEnding() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.ending
}

func (c *conn) isBusy() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.busy
}

func (c *conn) cut() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.shut()
}

// shut closes the connection, once, with c.mu held. What a client that is gone
// makes of it is of no interest.
func (c *conn) shut() {
	if c.closed {
		return
	}
	c.ending, c.closed = true, true
	c.wake.Broadcast()
	if c.held != nil && c.busy {
		_ = c.held.Close() // without TLS's word of goodbye, amid another
	} else {
		_ = c.raw.Close()
	}
	c.loop.remove(c)
}

// Close implements net.Conn. An http.Server that shuts down closes what it takes
// for idle, which may be in the middle of an answer of the loop: that is finished
// first.
func (c *conn) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.leaving && !c.ending && c.home.takeBack(c) {
		c.ending, c.closed = true, true
		c.loop.remove(c)
		return nil
	}
	c.ending = true
	if !c.busy {
		c.shut()
	}
	return nil
}

// Write implements net.Conn for net/http.
func (c *conn) Write(p []byte) (int, error) {
	n, err := c.raw.Write(p)
	if n > 0 {
		c.wrote.Add(1)
	}
	return n, err
}

// CloseWrite lets net/http say that nothing more will come while it still reads.
func (c *conn) CloseWrite() error {
	if w, ok := c.raw.(interface{ CloseWrite() error }); ok {
		return w.CloseWrite()
	}
	return errors.ErrUnsupported
}

// LocalAddr implements net.Conn.
func (c *conn) LocalAddr() net.Addr { return c.raw.LocalAddr() }

// RemoteAddr implements net.Conn.
func (c *conn) RemoteAddr() net.Addr { return c.raw.RemoteAddr() }

// SetDeadline implements net.Conn.
func (c *conn) SetDeadline(t time.Time) error {
	return errors.Join(c.SetReadDeadline(t), c.SetWriteDeadline(t))
}

// SetReadDeadline implements net.Conn. One in the past is how net/http ends the
// Read of another goroutine.
func (c *conn) SetReadDeadline(t time.Time) error {
	c.mu.Lock()
	c.aborted = !t.IsZero() && t.Before(time.Now())
	c.wake.Broadcast()
	c.mu.Unlock()
	return c.raw.SetReadDeadline(t)
}

// SetWriteDeadline implements net.Conn.
func (c *conn) SetWriteDeadline(t time.Time) error { return c.raw.SetWriteDeadline(t) }
