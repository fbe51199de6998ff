package h1

import (
	"math"
	"net"
	"os"
	"runtime"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Listen returns a listener for http.Server, each of whose connections the loop
// looks at first. Those of TCP wait for requests in pollers, and reach the
// http.Server only with a request that is its.
func (l *Loop) Listen(inner net.Listener) net.Listener {
	tcp, ok := inner.(*net.TCPListener)
	if !ok {
		return &plainListener{inner, l}
	}
	p, err := newPolledListener(l, tcp)
	if err != nil { // no descriptors: it works without
		return &plainListener{inner, l}
	}
	l.mu.Lock()
	l.pollers = append(l.pollers, p)
	l.refuses = append(l.refuses, func() { _ = p.refuse() }) // Close tells
	l.mu.Unlock()
	return p
}

// polledListener is a listener with its pollers, one for each processor.
type polledListener struct {
	net.Listener

	loop    *Loop
	fd      int // of the listening socket, for the pollers
	most    int // descriptors from which on connections make way for new ones
	pollers []*poller
	running sync.WaitGroup // connections that wait for the rest of an answer

	mu     sync.Mutex
	come   *sync.Cond
	queue  []*polled // for Accept
	closed bool
	refuse func() error // ends the sockets, once
}

var (
	_ home    = (*polledListener)(nil)
	_ polling = (*polledListener)(nil)
)

func newPolledListener(loop *Loop, inner *net.TCPListener) (_ *polledListener, err error) {
	l := &polledListener{Listener: inner, loop: loop, fd: -1, most: mostDescriptors()}
	l.come = sync.NewCond(&l.mu)
	l.refuse = sync.OnceValue(func() error {
		for _, p := range l.pollers {
			p.do(p.unlisten)
		}
		_ = unix.Close(l.fd)
		return inner.Close()
	})
	if l.fd, err = duplicate(inner); err != nil {
		return nil, err
	}
	// What net sets for each connection that it accepts, these inherit.
	for _, o := range [][3]int{
		{unix.IPPROTO_TCP, unix.TCP_NODELAY, 1}, {unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1},
		{unix.IPPROTO_TCP, unix.TCP_KEEPIDLE, 15}, {unix.IPPROTO_TCP, unix.TCP_KEEPINTVL, 15},
	} {
		if err == nil {
			err = unix.SetsockoptInt(l.fd, o[0], o[1], o[2])
		}
	}
	for i := range runtime.GOMAXPROCS(0) {
		var p *poller
		if err == nil {
			p, err = newPoller(l, i)
		}
		if err == nil {
			l.pollers = append(l.pollers, p)
		}
	}
	if err != nil {
		for _, p := range l.pollers {
			p.closeFiles()
		}
		_ = unix.Close(l.fd)
		return nil, err
	}
	for _, p := range l.pollers {
		l.resume(p)
		go p.run()
	}
	return l, nil
}

// mostDescriptors is how many the process may have, but for some that are left for
// all that it does beside waiting: connections of net/http, files, other servers.
func mostDescriptors() int {
	var limit unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &limit) != nil || limit.Cur > math.MaxInt32 {
		return math.MaxInt32
	}
	return int(limit.Cur - min(limit.Cur/4, 4096)) //nolint:gosec // it is small
}

// duplicate returns another descriptor of a socket.
func duplicate(of syscall.Conn) (fd int, err error) {
	raw, err := of.SyscallConn()
	if err != nil {
		return -1, err
	}
	fd = -1
	if bad := raw.Control(func(old uintptr) { fd, err = unix.FcntlInt(old, unix.F_DUPFD_CLOEXEC, 0) }); bad != nil {
		return -1, bad
	}
	return fd, os.NewSyscallError("fcntl", err)
}

// resume makes p accept connections, unless the listener is closed. It is called
// by p, or before it runs.
func (l *polledListener) resume(p *poller) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed || l.loop.draining.Load() {
		return
	}
	if p.watch(l.fd, unix.EPOLLIN|unix.EPOLLEXCLUSIVE) == nil {
		p.listen = l.fd
	}
}

// place gives a connection that by accepted to the poller that has the fewest.
func (l *polledListener) place(by *poller, c *polled) {
	if l.loop.draining.Load() {
		l.hand(c)
		return
	}
	p := by
	for _, other := range l.pollers {
		if other.held.Load() < p.held.Load() {
			p = other
		}
	}
	p.held.Add(1)
	if p == by {
		p.add(c)
	} else if !p.order(func() {
		if p.add(c) {
			p.partAtEnd(c)
		}
	}) {
		_ = unix.Close(c.fd)
	}
}

// hand gives a connection to Accept.
func (l *polledListener) hand(c *polled) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		_ = unix.Close(c.fd)
		return
	}
	l.queue = append(l.queue, c)
	l.come.Signal()
}

// isEmpty implements polling.
func (l *polledListener) isEmpty() bool {
	for _, p := range l.pollers {
		if p.held.Load() > 0 || p.busy.Load() > 0 {
			return false
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.queue) == 0
}

// Accept implements net.Listener.
func (l *polledListener) Accept() (net.Conn, error) {
	for {
		l.mu.Lock()
		for len(l.queue) == 0 && !l.closed {
			l.come.Wait()
		}
		if len(l.queue) == 0 {
			l.mu.Unlock()
			return nil, net.ErrClosed
		}
		c := l.queue[0]
		l.queue = l.queue[1:]
		l.loop.fresh.Add(1) // before it is out of the queue
		l.mu.Unlock()
		n, err := l.wrap(c)
		if err == nil {
			n.fresh = true
			return n, nil
		}
		l.loop.fresh.Add(-1)
	}
}

// Close implements net.Listener. What has been accepted goes on, and Accept still
// returns what a poller has given it before.
func (l *polledListener) Close() error {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return nil
	}
	l.closed = true
	l.come.Broadcast()
	l.mu.Unlock()
	return l.refuse()
}

// wrap makes a connection of net/http of one of a poller's.
func (l *polledListener) wrap(c *polled) (*conn, error) {
	f := os.NewFile(uintptr(c.fd), "connection") //nolint:gosec // it is not negative
	raw, err := net.FileConn(f)
	_ = f.Close() // raw has a descriptor of its own
	if err != nil {
		return nil, err
	}
	n := newConn(l.loop, raw)
	n.home, n.asked, n.served = l, c.asked, c.served
	n.w = copy(n.buf, c.rest)
	l.loop.add(n)
	return n, nil
}

// takeBack implements home.
func (l *polledListener) takeBack(n *conn) bool {
	raw, ok := n.raw.(syscall.Conn)
	if !ok {
		return false
	}
	fd, err := duplicate(raw)
	if err != nil {
		return false
	}
	c := &polled{fd: fd, remote: n.req.Remote, asked: n.asked, served: n.served, rest: append([]byte(nil), n.buf[n.r:n.w]...)}
	p := l.pollers[n.worker%len(l.pollers)]
	p.held.Add(1)
	if !p.order(func() { p.adopt(c) }) {
		_ = unix.Close(fd)
		return false
	}
	_ = n.raw.Close() // the poller's descriptor keeps it open
	return true
}

// finish sends what is left of an answer of p's, waiting for it, and then gives
// the connection back.
func (l *polledListener) finish(p *poller, c *polled) {
	l.running.Go(func() {
		defer p.busy.Add(-1)
		o := c.out
		n, err := l.wrap(c)
		if err == nil {
			n.begin()
			err = l.loop.opts.Handler.Finish(&o.req, &o.ans, n.raw)
		}
		o.ans.Sent, o.ans.End = max(0, o.ans.Sent), time.Now()
		l.loop.write(l.loop.done(nil, &o.req, &o.ans))
		o.ans.reset()
		switch {
		case n == nil:
		case err != nil:
			n.cut()
		case o.last || n.isEnding():
			n.linger()
			n.end(true)
		case !n.end(false):
			n.mu.Lock()
			n.leaving = true
			n.mu.Unlock()
			_ = n.Close()
		}
	})
}

// drain implements polling.
func (l *polledListener) drain() {
	for _, p := range l.pollers {
		p.do(p.drain)
	}
}

// isBusy implements polling.
func (l *polledListener) isBusy() bool {
	for _, p := range l.pollers {
		if p.busy.Load() > 0 {
			return true
		}
	}
	return false
}

// cut implements polling.
func (l *polledListener) cut() {
	for _, p := range l.pollers {
		p.do(p.cutAll)
	}
}

// stop implements polling.
func (l *polledListener) stop() {
	_ = l.Close()
	l.mu.Lock()
	for _, c := range l.queue { // nobody has called Accept
		_ = unix.Close(c.fd)
	}
	l.queue = nil
	l.mu.Unlock()
	l.running.Wait() // their connections were cut, or are done
	for _, p := range l.pollers {
		p.stop()
	}
}
