package h1

import (
	"errors"
	"os"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// sweepEvery is how often connections are looked at whose time is over.
	sweepEvery = 500 * time.Millisecond
	// breathEvery is how long a poller may keep a processor from looking at the
	// connections of everybody else.
	breathEvery = time.Millisecond
	// lineBytes and lineDelay bound the access lines that a poller keeps.
	lineBytes = 16 << 10
	lineDelay = 100 * time.Millisecond
	// maxEvents is how many connections are told of at once.
	maxEvents = 128
	// acceptsAtOnce is how many connections are taken before others have a turn.
	acceptsAtOnce = 32
	// shedPart and shedLeast are how many connections end at once where there are
	// too many: of those that wait one in so many, but so many if there are.
	shedPart, shedLeast = 16, 8
)

// poller serves the connections that wait for requests the loop knows the answers
// of, all in one goroutine: epoll says which of them have something to read, and
// one system call reads it and one writes the answer. All that may take its time
// is done elsewhere.
//
// All of it but what mu guards belongs to that goroutine.
type poller struct {
	loop   *Loop
	from   *polledListener
	number int
	epoll  int // descriptors
	wake   int
	listen int // -1: none is accepted any more, or not for a moment

	conns []*polled // by descriptor
	held  atomic.Int64
	busy  atomic.Int64 // answers on their way, and ends that linger
	again []*polled    // have more to write or read, after the others

	buf    [bufferSize]byte
	req    Request
	ans    Answer
	spare  []*output
	ids    ids
	vector [maxPieces + 1]unix.Iovec

	lines   []byte
	oldest  time.Time // of the lines
	woke    time.Time // when the events came that are looked at
	now     time.Time // when an answer was over last
	swept   time.Time
	breathe *breath
	breathd time.Time

	mu     sync.Mutex
	orders []func()
	ended  bool
	over   chan struct{}
}

func newPoller(l *polledListener, number int) (*poller, error) {
	p := &poller{loop: l.loop, from: l, number: number, epoll: -1, wake: -1, listen: -1, over: make(chan struct{})}
	var err error
	if p.epoll, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err == nil {
		p.wake, err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	}
	if err == nil {
		err = p.watch(p.wake, unix.EPOLLIN)
	}
	if err == nil {
		p.breathe, err = newBreath()
	}
	if err != nil {
		p.closeFiles()
		return nil, err
	}
	return p, nil
}

func (p *poller) closeFiles() {
	for _, fd := range []int{p.epoll, p.wake} {
		if fd >= 0 {
			_ = unix.Close(fd)
		}
	}
	if p.breathe != nil {
		_ = p.breathe.bell.Close()
	}
}

func (p *poller) watch(fd int, events uint32) error {
	return unix.EpollCtl(p.epoll, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: events, Fd: int32(fd)}) //nolint:gosec // descriptors are small
}

// run serves until stop.
func (p *poller) run() {
	defer close(p.over)
	var events [maxEvents]unix.EpollEvent
	p.woke = time.Now()
	p.swept, p.breathd = p.woke, p.woke
	for {
		n, err := unix.EpollWait(p.epoll, events[:], p.patience())
		if err != nil && !errors.Is(err, unix.EINTR) {
			panic("h1: epoll_wait: " + err.Error()) // of a descriptor of ours: a mistake
		}
		p.woke = time.Now()
		p.now = p.woke
		again := p.again
		p.again = nil
		for _, c := range again {
			p.resume(c)
		}
		for i := range max(0, n) {
			p.look(&events[i])
		}
		if len(p.lines) > 0 && (len(p.lines) >= lineBytes || p.now.Sub(p.oldest) >= lineDelay) {
			p.flush()
		}
		if p.now.Sub(p.swept) >= sweepEvery {
			p.sweep()
		}
		if p.now.Sub(p.breathd) >= breathEvery {
			p.breathe.take()
			p.breathd = p.now
		}
		if p.isOver() {
			return
		}
	}
}

// patience is how long to wait for events, in ms.
func (p *poller) patience() int {
	wait := time.Duration(-1)
	if p.held.Load() > 0 || p.listen < 0 {
		wait = p.swept.Add(sweepEvery).Sub(p.now)
	}
	switch {
	case len(p.again) > 0:
		return 0
	case len(p.lines) > 0:
		wait = lineDelay - p.now.Sub(p.oldest)
	case wait < 0 && p.held.Load() == 0 && p.listen >= 0:
		return -1
	}
	return int(max(0, (wait+time.Millisecond-1)/time.Millisecond))
}

// look does what an event is about.
func (p *poller) look(e *unix.EpollEvent) {
	fd := int(e.Fd)
	switch {
	case fd == p.wake:
		p.obey()
		return
	case fd == p.listen:
		p.accept()
		return
	}
	c := p.conns[fd]
	switch {
	case c == nil:
	case c.out != nil:
		if e.Events&(unix.EPOLLIN|unix.EPOLLRDHUP) != 0 {
			c.unread = true
		}
		if e.Events&(unix.EPOLLOUT|unix.EPOLLHUP|unix.EPOLLERR) != 0 && !c.queued {
			p.resume(c)
		}
	case e.Events&^unix.EPOLLOUT != 0 && !c.queued:
		p.read(c, e.Events&unix.EPOLLRDHUP != 0)
	}
}

// do has f run by the poller, unless that is over, and waits for its end.
func (p *poller) do(f func()) {
	done := make(chan struct{})
	if p.order(func() { f(); close(done) }) {
		<-done
	}
}

// order has f run by the poller; false if the poller is over.
func (p *poller) order(f func()) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ended {
		return false
	}
	p.orders = append(p.orders, f)
	if len(p.orders) == 1 {
		ring(p.wake)
	}
	return true
}

func (p *poller) obey() {
	hush(p.wake)
	p.mu.Lock()
	orders := p.orders
	p.orders = nil
	p.mu.Unlock()
	for _, f := range orders {
		f()
	}
}

// isOver reports whether the poller has ended, by an order, which then closes
// what it has.
func (p *poller) isOver() bool {
	p.mu.Lock()
	ended := p.ended
	p.mu.Unlock()
	if ended {
		p.obey() // what came before the end
		p.cutAll()
		p.flush()
		p.closeFiles()
	}
	return ended
}

// stop ends the poller, with all its connections, and waits for it.
func (p *poller) stop() {
	p.order(func() {
		p.mu.Lock()
		p.ended = true
		p.mu.Unlock()
	})
	<-p.over
}

func (p *poller) flush() {
	p.loop.write(p.lines)
	p.lines = p.lines[:0]
}

// add takes a connection; false if it could not, and closed it.
func (p *poller) add(c *polled) bool {
	if err := p.watch(c.fd, unix.EPOLLIN|unix.EPOLLOUT|unix.EPOLLRDHUP|unix.EPOLLET); err != nil {
		_ = unix.Close(c.fd) // no memory for it
		p.held.Add(-1)
		return false
	}
	if c.fd >= len(p.conns) {
		p.conns = append(p.conns, make([]*polled, max(64, c.fd+1-len(p.conns), len(p.conns)/2))...)
	}
	p.conns[c.fd] = c
	return true
}

// forget lets go of a connection, which stays open, for another to take.
func (p *poller) forget(c *polled, take func(*polled)) {
	_ = unix.EpollCtl(p.epoll, unix.EPOLL_CTL_DEL, c.fd, nil) // it is there
	p.conns[c.fd] = nil
	take(c)
	p.held.Add(-1)
}

// close ends a connection. Its answer, if there is one, is over.
func (p *poller) close(c *polled) {
	if c.out != nil {
		p.settle(c)
	}
	if c.lingering {
		p.busy.Add(-1)
	}
	p.conns[c.fd] = nil
	_ = unix.Close(c.fd)
	p.held.Add(-1)
}

func (p *poller) cutAll() {
	for _, c := range p.conns {
		if c != nil {
			p.close(c)
		}
	}
	p.again = nil
}

// sweep ends the connections whose time is over.
func (p *poller) sweep() {
	p.swept = p.now
	for _, c := range p.conns {
		if c != nil && p.now.After(c.due) {
			p.close(c)
		}
	}
	if p.listen < 0 {
		p.from.resume(p)
	}
}

// drain ends the connections that were used and wait for a request, and gives
// those that have asked nothing yet, or not all of it, to net/http.
func (p *poller) drain() {
	for _, c := range p.conns {
		if c != nil {
			p.part(c)
		}
	}
}

// part does so with one connection, unless more is to be read of it or an answer
// is on its way. What has been asked by now is answered first: were it left unread,
// what is still on its way of the answer before it would be lost.
func (p *poller) part(c *polled) {
	if p.conns[c.fd] == c && c.out == nil && !c.lingering && !c.queued && c.served && len(c.rest) == 0 {
		p.read(c, false)
	}
	switch {
	case p.conns[c.fd] != c, c.out != nil, c.lingering, c.queued:
	case c.served && len(c.rest) == 0:
		p.close(c)
	default:
		p.handOver(c, c.rest)
	}
}

// accept takes the connections that wait at the listener.
func (p *poller) accept() {
	for range acceptsAtOnce {
		fd, from, err := unix.Accept4(p.listen, unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
		switch {
		case err == nil:
			p.from.place(p, &polled{fd: fd, remote: addressOf(from), due: p.now.Add(p.loop.opts.HeaderTimeout)})
			if fd >= p.from.most && !p.shed() {
				p.unlisten()
				return
			}
		case errors.Is(err, unix.EINTR), errors.Is(err, unix.ECONNABORTED):
		case errors.Is(err, unix.EAGAIN):
			return
		default:
			// Out of descriptors, most likely: some will be back.
			p.unlisten()
			return
		}
	}
}

// shed ends some of the connections that wait for a request, those first whose
// time would be over first, and reports whether there were any.
func (p *poller) shed() bool {
	var idle []*polled
	fresh := p.now.Add(p.loop.opts.HeaderTimeout - time.Second) // it will ask in a moment
	for _, c := range p.conns {
		if c != nil && c.out == nil && !c.lingering && !c.queued && len(c.rest) == 0 && (c.asked || c.due.Before(fresh)) {
			idle = append(idle, c)
		}
	}
	slices.SortFunc(idle, func(a, b *polled) int { return a.due.Compare(b.due) })
	for _, c := range idle[:min(len(idle), max(len(idle)/shedPart, shedLeast))] {
		p.close(c)
	}
	return len(idle) > 0
}

func (p *poller) unlisten() {
	if p.listen >= 0 {
		_ = unix.EpollCtl(p.epoll, unix.EPOLL_CTL_DEL, p.listen, nil)
		p.listen = -1
	}
}

// breath lets everybody else have the processor. A goroutine that only yields
// does not make the scheduler look at the network while it finds others to run;
// one that waits for the network does.
type breath struct {
	bell *os.File
	raw  syscall.RawConn
}

func newBreath() (*breath, error) {
	fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		return nil, os.NewSyscallError("eventfd", err)
	}
	b := &breath{bell: os.NewFile(uintptr(fd), "bell")} //nolint:gosec // it is not negative
	b.raw, err = b.bell.SyscallConn()
	return b, err
}

func (b *breath) take() {
	rung := false
	err := b.raw.Read(func(fd uintptr) bool {
		// Not before Read, which forgets what the bell said until then.
		if !rung {
			ring(int(fd)) //nolint:gosec // it was one
			rung = true
			return false
		}
		hush(int(fd)) //nolint:gosec // likewise
		return true
	})
	if err != nil {
		runtime.Gosched()
	}
}

// ring makes an eventfd readable.
func ring(fd int) {
	one := [8]byte{1}
	_, _ = unix.Write(fd, one[:]) // it cannot be full
}

func hush(fd int) {
	var count [8]byte
	_, _ = unix.Read(fd, count[:]) // nothing there is fine, too
}
