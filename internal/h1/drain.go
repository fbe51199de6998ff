package h1

import "time"

// lastLook is how long a connection that a drain ends is looked at before: what was
// asked by then is answered.
const lastLook = 100 * time.Millisecond

// setWaiting notes that the connection waits for a request, and reports whether
// it has ended.
func (c *conn) setWaiting(waiting bool) (ended bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.waiting, c.used = waiting, c.asked
	c.begun = c.begun && !waiting
	if c.loop.draining.Load() {
		c.lookOnce()
	}
	return c.ending
}

// lookOnce has a connection that was used, and waits for another request, end after
// a last look, with c.mu held. Were it closed with that request unread, what is on
// its way of the answer before would be lost, too. One that has asked nothing yet is
// left to net/http, which gives it a moment.
func (c *conn) lookOnce() {
	if c.waiting && c.used && !c.ending {
		c.parting = true
		_ = c.raw.SetReadDeadline(time.Now().Add(lastLook)) // it fails as the Read will
	}
}

// part ends a connection of which the last look has found nothing, and reports
// whether that was one.
func (c *conn) part() bool {
	if !c.isParting() || !c.begin() {
		return false
	}
	c.linger()
	return c.end(true)
}

func (c *conn) setBegun() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.begun = true
}

// mayAsk reports whether something may still be asked, or be there and unread, that
// net/http knows nothing of.
func (c *conn) mayAsk() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.parting || c.begun || c.busy
}

func (c *conn) isParting() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.parting
}

// endIfIdle ends a connection that was used and waits for another request.
func (c *conn) endIfIdle() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.lookOnce()
}
