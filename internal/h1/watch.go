package h1

import (
	"errors"
	"io"
	"os"
	"time"
)

// watch is net/http's look at whether the client is still there while a handler
// runs. What comes meanwhile is kept for the loop; behind it the client's leaving
// is not seen, as net/http itself would not.
//
// A client that ends its side may have left, or only have nothing more to ask, as
// nc -N: which of the two, a write shows. So that end is kept from net/http, which
// would take it for a reason to stop, until the answer is out or for a while.
func (c *conn) watch() error {
	gone := false
	if c.r == c.w {
		c.r, c.w = 0, 0
		n, err := c.raw.Read(c.buf)
		c.w = n
		if n == 0 {
			if gone = errors.Is(err, io.EOF); !gone {
				return err
			}
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	given := false // up
	if gone {
		defer c.whenSilent(func() { given = true })()
	}
	for !c.aborted && !c.ending && !given {
		c.wake.Wait()
	}
	if given {
		return io.EOF
	}
	return os.ErrDeadlineExceeded
}

// whenSilent calls do, with c.mu held, when for all of SlowClient nothing has been
// written, or taken by the client, unless stop is called before, with c.mu held, too.
func (c *conn) whenSilent(do func()) (stop func()) {
	before, over := c.wrote.Load(), false
	var timer *time.Timer
	timer = time.AfterFunc(c.loop.opts.SlowClient, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		now := c.wrote.Load()
		switch {
		case over:
		case now != before:
			before = now
			timer.Reset(c.loop.opts.SlowClient)
		default:
			do()
			c.wake.Broadcast()
		}
	})
	return func() {
		over = true
		timer.Stop()
	}
}
