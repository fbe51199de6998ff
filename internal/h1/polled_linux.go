package h1

import (
	"bytes"
	"net"
	"net/netip"
	"strconv"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// turn is how much of a long answer is written before others are served.
const turn = 512 << 10

// polled is a connection of a poller. It has no goroutine, and no buffer unless
// part of a request is there.
type polled struct {
	fd        int
	remote    string
	asked     bool      // a request has come
	served    bool      // an answer was given
	begun     bool      // rest is the beginning of a request
	rest      []byte    // was read and is to be looked at again, with more or later
	due       time.Time // when it is closed, for saying or taking nothing
	out       *output   // an answer on its way, or nil
	unread    bool      // more came meanwhile
	queued    bool      // is in poller.again, to write or read more
	lingering bool      // ends: only the client's end is waited for
}

// output is an answer on its way.
type output struct {
	raw  []byte // the request, in which the texts of req lie
	req  Request
	ans  Answer
	id   [16]byte
	head []byte // what is left of it
	last bool   // nothing comes behind it
	mark int64  // ans.Sent when the client's time to take more began
}

// read reads what has come and serves it, a buffer of it at a time: one who sends
// without a pause waits for a turn behind everybody else. ended says that the end
// may have come, of which there would be no other event.
func (p *poller) read(c *polled, ended bool) {
	defer p.save(c)
	for {
		have := copy(p.buf[:], c.rest)
		n, errno := sysRead(c.fd, p.buf[have:])
		switch {
		case errno == unix.EAGAIN:
			return
		case errno == unix.EINTR:
			continue
		case errno != 0, c.lingering && n == 0:
			p.close(c)
			return
		case c.lingering: // what comes now is for nobody
			p.queue(c)
			return
		case n == 0:
			// One cut in the middle is for net/http to answer, which says nothing
			// to less than four bytes of a second request.
			if have >= 4 || have > 0 && !c.served {
				p.handOver(c, p.buf[:have])
			} else {
				p.close(c)
			}
			return
		}
		full := have+n == len(p.buf)
		if !p.serve(c, p.buf[:have+n]) {
			c.unread = c.unread || full || ended // of use if an answer is on its way
			return
		}
		if full || ended {
			p.queue(c)
		}
		return // more would be another event
	}
}

// queue has resume go on with a connection after the others.
func (p *poller) queue(c *polled) {
	if !c.queued {
		c.queued = true
		p.again = append(p.again, c)
	}
}

// save keeps a panic of the handler from the other connections, as net/http does.
func (p *poller) save(c *polled) {
	why := recover()
	if why == nil {
		return
	}
	if p.loop.opts.Failed != nil {
		p.loop.opts.Failed(why)
	}
	p.ans = Answer{}
	if p.conns[c.fd] != c {
		return
	}
	if c.out != nil { // what it was is not to be asked again
		c.out = nil
		p.busy.Add(-1)
	}
	p.close(c)
}

// verdict is what became of a request.
type verdict uint8

const (
	declined verdict = iota // somebody else has to answer
	answered                // the answer is out
	taken                   // it is on its way, or the connection is gone
)

// serve answers the requests in b. It returns false if c is not to be read from
// now.
func (p *poller) serve(c *polled, b []byte) bool {
	c.rest = c.rest[:0]
	for len(b) > 0 {
		p.req = Request{Remote: c.remote, Worker: p.number, Start: p.woke, Now: p.now}
		k, n := parseNext(b, &p.req, c.served)
		if k == partial && len(b) < len(p.buf) {
			c.rest = append(c.rest, b...)
			if !c.begun {
				c.begun, c.due = true, p.now.Add(p.loop.opts.HeaderTimeout)
			}
			return true
		}
		c.asked, c.begun = true, false
		if k != whole {
			p.handOver(c, b)
			return false
		}
		switch p.answer(c, b[:n], b[n:]) {
		case declined:
			p.handOver(c, b)
			return false
		case taken:
			return false
		default:
			c.rest = c.rest[:0]
			b = b[n:]
		}
	}
	c.rest = nil
	c.due = p.now.Add(p.loop.opts.IdleTimeout)
	return true
}

// answer answers the request that was parsed of raw, behind which more has come.
func (p *poller) answer(c *polled, raw, more []byte) verdict {
	a := &p.ans
	p.req.ID = p.ids.next()
	if !p.loop.opts.Handler.Answer(&p.req, a) {
		a.reset()
		return declined
	}
	last := p.loop.draining.Load()
	a.endHead("", last)
	size := int64(len(a.Head))
	a.gather(copied)
	n, errno := p.writePieces(c.fd, a.Head, a)
	p.now = time.Now() // once an answer: what went out by now was the first of it
	a.First, a.End = p.now, p.now
	head := a.took(a.Head, n)
	a.Sent -= size
	switch {
	case errno != 0 && errno != unix.EAGAIN && errno != unix.EINTR:
		p.count(&p.req, a)
		a.reset()
		p.close(c)
		return taken
	case len(head) == 0 && a.pieces == 0 && a.Rest == 0:
		// The usual case: all of it is out at once, and nothing has to be kept.
		p.count(&p.req, a)
		a.reset()
		return p.answered(c, last)
	}
	p.keep(c, raw, head, last)
	c.rest = append(c.rest, more...) // before the connection may be another's
	if errno == 0 {
		p.push(c)
	}
	if c.out == nil && p.conns[c.fd] == c && !c.lingering {
		return answered
	}
	return taken
}

// keep makes the answer one that is on its way, with what is left of its head.
func (p *poller) keep(c *polled, raw, head []byte, last bool) {
	var o *output
	if n := len(p.spare); n > 0 {
		o, p.spare = p.spare[n-1], p.spare[:n-1]
	} else {
		o = &output{}
	}
	o.raw = append(o.raw[:0], raw...)
	o.req = Request{Remote: p.req.Remote, Worker: p.req.Worker, Start: p.req.Start, Now: p.req.Now}
	parse(o.raw, &o.req)
	o.req.ID = append(o.id[:0], p.req.ID...)
	o.ans, p.ans = p.ans, Answer{Head: o.ans.Head[:0]}
	o.head, o.last, o.mark = head, last, o.ans.Sent
	c.out, c.due = o, p.now.Add(p.loop.opts.SlowClient)
	p.busy.Add(1)
}

// adopt takes back a connection that was net/http's.
func (p *poller) adopt(c *polled) {
	c.due = p.now.Add(p.loop.opts.IdleTimeout)
	defer p.save(c)
	if !p.add(c) {
		return
	}
	if len(c.rest) > 0 {
		p.serve(c, p.buf[:copy(p.buf[:], c.rest)])
	}
	p.partAtEnd(c)
}

// partAtEnd parts with a connection that a drain has passed by: it came too late,
// or had an answer on its way.
func (p *poller) partAtEnd(c *polled) {
	if p.loop.draining.Load() {
		p.part(c)
	}
}

// resume writes more of an answer, and goes on with what comes behind it.
func (p *poller) resume(c *polled) {
	defer p.save(c)
	defer p.partAtEnd(c)
	c.queued = false
	switch {
	case p.conns[c.fd] != c:
		return
	case c.out == nil:
		p.read(c, true)
		return
	}
	p.push(c)
	if p.conns[c.fd] != c || c.out != nil || c.lingering {
		return
	}
	unread := c.unread
	c.unread = false
	if len(c.rest) > 0 && !p.serve(c, p.buf[:copy(p.buf[:], c.rest)]) {
		c.unread = unread
		return
	}
	if unread {
		p.read(c, true)
	} else if len(c.rest) == 0 {
		c.due = p.now.Add(p.loop.opts.IdleTimeout)
	}
}

// push writes what the client takes of an answer.
func (p *poller) push(c *polled) {
	o := c.out
	for budget := turn; ; {
		for len(o.head) > 0 || o.ans.pieces > 0 {
			n, errno := p.writePieces(c.fd, o.head, &o.ans)
			switch errno {
			case 0, unix.EINTR:
			case unix.EAGAIN:
				return
			default:
				p.close(c)
				return
			}
			if o.head = o.ans.took(o.head, n); o.ans.Sent-o.mark >= progress {
				o.mark, c.due = o.ans.Sent, p.now.Add(p.loop.opts.SlowClient)
			}
			if budget -= n; budget <= 0 && (len(o.head) > 0 || o.ans.pieces > 0) {
				p.queue(c)
				return
			}
		}
		if o.ans.Rest == 0 {
			break
		}
		if o.ans.drop(); !p.loop.opts.Handler.More(&o.ans) {
			p.finishElsewhere(c)
			return
		}
	}
	last := o.last
	p.settle(c)
	c.out = nil
	p.answered(c, last)
}

// writePieces makes one system call.
func (p *poller) writePieces(fd int, head []byte, a *Answer) (int, unix.Errno) {
	if a.pieces == 0 {
		return sysWrite(fd, head)
	}
	v := p.vector[:0]
	left := turn
	if len(head) > 0 {
		v = append(v, iovec(head))
	}
	for _, b := range a.body[:a.pieces] {
		if len(b) > 0 && left > 0 {
			b = b[:min(left, len(b))]
			left -= len(b)
			v = append(v, iovec(b))
		}
	}
	n, _, errno := unix.RawSyscall(unix.SYS_WRITEV, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(v))), uintptr(len(v))) //nolint:gosec // as the call wants it
	clear(v)
	return written(n, errno)
}

// took notes that n bytes of head and pieces are out, and returns what is left of
// head.
func (a *Answer) took(head []byte, n int) []byte {
	a.Sent += int64(n)
	k := min(n, len(head))
	head, n = head[k:], n-k
	for i, b := range a.body[:a.pieces] {
		k = min(n, len(b))
		a.body[i], n = b[k:], n-k
	}
	if a.pieces > 0 && len(a.body[a.pieces-1]) == 0 {
		a.drop()
	}
	return head
}

// settle accounts for an answer that is over.
func (p *poller) settle(c *polled) {
	o := c.out
	p.now = time.Now()
	o.ans.End = p.now
	p.count(&o.req, &o.ans)
	o.ans.reset()
	o.head = nil
	if len(p.spare) < maxEvents && cap(o.raw) <= 1024 && cap(o.ans.Head) <= bufferSize {
		p.spare = append(p.spare, o)
	}
	p.busy.Add(-1)
}

func (p *poller) count(r *Request, a *Answer) {
	if len(p.lines) == 0 {
		p.oldest = p.now
	}
	a.Sent = max(0, a.Sent) // not even the head, it may be
	p.lines = p.loop.done(p.lines, r, a)
}

// answered goes on behind an answer.
func (p *poller) answered(c *polled, last bool) verdict {
	c.served = true
	if !last {
		return answered
	}
	if unix.Shutdown(c.fd, unix.SHUT_WR) != nil {
		p.close(c)
		return taken
	}
	c.rest = nil
	c.lingering, c.due = true, p.now.Add(lingers)
	p.busy.Add(1)
	p.read(c, true)
	return taken
}

// handOver gives a connection to net/http, with what was read of it.
func (p *poller) handOver(c *polled, b []byte) {
	c.rest = bytes.Clone(b)
	p.forget(c, p.from.hand)
}

// finishElsewhere gives a connection to a goroutine that can wait for what is
// missing of its answer.
func (p *poller) finishElsewhere(c *polled) {
	p.forget(c, func(c *polled) { p.from.finish(p, c) })
}

// sysRead and sysWrite are recv and send, which cost less than read and write do
// of a socket.
func sysRead(fd int, b []byte) (int, unix.Errno) {
	n, _, errno := unix.RawSyscall6(unix.SYS_RECVFROM, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)), 0, 0, 0) //nolint:gosec // as the call wants it
	return written(n, errno)
}

func sysWrite(fd int, b []byte) (int, unix.Errno) {
	n, _, errno := unix.RawSyscall6(unix.SYS_SENDTO, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)), unix.MSG_NOSIGNAL, 0, 0) //nolint:gosec // as the call wants it
	return written(n, errno)
}

// written makes nothing of the -1 of a call that failed.
func written(n uintptr, errno unix.Errno) (int, unix.Errno) {
	if errno != 0 {
		return 0, errno
	}
	return int(n), 0 //nolint:gosec // no more than was given
}

func iovec(b []byte) unix.Iovec {
	return unix.Iovec{Base: unsafe.SliceData(b), Len: uint64(len(b))}
}

// addressOf is an address as net writes it.
func addressOf(a unix.Sockaddr) string {
	switch a := a.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrPortFrom(netip.AddrFrom4(a.Addr), uint16(a.Port)).String() //nolint:gosec // of 16 bits
	case *unix.SockaddrInet6:
		ip := netip.AddrFrom16(a.Addr).Unmap()
		if a.ZoneId != 0 && ip.Is6() {
			zone := strconv.FormatUint(uint64(a.ZoneId), 10)
			if i, err := net.InterfaceByIndex(int(a.ZoneId)); err == nil {
				zone = i.Name
			}
			ip = ip.WithZone(zone)
		}
		return netip.AddrPortFrom(ip, uint16(a.Port)).String() //nolint:gosec // of 16 bits
	}
	return ""
}
