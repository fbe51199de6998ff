// Package faultlink makes links between the parts of a test that can be slow,
// cut, dead, change bytes, or lie about lengths, and mended again. A Net dials through other
// links, or keeps listeners of its own in memory, whose time a synctest bubble
// can run.
package faultlink

import (
	"context"
	"errors"
	"net"
	"sync"
	"time"
)

// DialFunc is the type of net.Dialer.DialContext.
type DialFunc = func(ctx context.Context, network, addr string) (net.Conn, error)

// Fault is what is wrong with the links to an address. The zero Fault is none.
type Fault struct {
	Refuse bool // no new connections, and those that are open are reset
	// Dead links take what is sent, and nothing ever comes back: the other end
	// lost its power.
	Dead bool
	// Latency is how long every answer takes to arrive.
	Latency time.Duration
	// CutAfter is after how many bytes an answer breaks off; zero is never.
	CutAfter int64
	// Corrupt is which byte of an answer arrives changed, counted from one; zero
	// is none.
	Corrupt int64
	// Lie makes every answer promise more bytes than it has.
	Lie bool
}

// ErrRefused is a connection that a fault does not let come about, and ErrCut one
// that it ended.
var (
	ErrRefused = errors.New("connection refused by a fault")
	ErrCut     = errors.New("connection cut by a fault")
)

// Net is a set of links. Faults take effect at once, on connections that are open
// too.
type Net struct {
	dial DialFunc // nil: to own listeners only

	mu        sync.Mutex
	faults    map[string]Fault
	listeners map[string]*listener
}

// New returns a Net that dials through dial, where that is not nil, what it has
// no listener for.
func New(dial DialFunc) *Net {
	return &Net{dial: dial, faults: map[string]Fault{}, listeners: map[string]*listener{}}
}

// Set makes f the fault of the links to addr, a host and port.
func (n *Net) Set(addr string, f Fault) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.faults[addr] = f
}

func (n *Net) fault(addr string) Fault {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.faults[addr]
}

// Dial is a DialFunc.
func (n *Net) Dial(ctx context.Context, network, addr string) (net.Conn, error) {
	if n.fault(addr).Refuse {
		return nil, &net.OpError{Op: "dial", Net: network, Err: ErrRefused}
	}
	n.mu.Lock()
	l := n.listeners[addr]
	n.mu.Unlock()
	var far net.Conn
	var err error
	switch {
	case l != nil:
		far, err = l.connect(ctx)
	case n.dial != nil:
		far, err = n.dial(ctx, network, addr)
	default:
		err = ErrRefused
	}
	if err != nil {
		return nil, &net.OpError{Op: "dial", Net: network, Err: err}
	}
	return &conn{Conn: far, fault: func() Fault { return n.fault(addr) }, closed: make(chan struct{})}, nil
}

// Listen listens in memory on addr, any name.
func (n *Net) Listen(addr string) net.Listener {
	l := &listener{addr: address(addr), conns: make(chan net.Conn), closed: make(chan struct{})}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.listeners[addr] = l
	return l
}

type address string

func (address) Network() string  { return "memory" }
func (a address) String() string { return string(a) }

type listener struct {
	addr   address
	conns  chan net.Conn
	once   sync.Once
	closed chan struct{}
}

func (l *listener) Addr() net.Addr { return l.addr }

func (l *listener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *listener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

func (l *listener) connect(ctx context.Context) (net.Conn, error) {
	near, far := net.Pipe()
	select {
	case l.conns <- far:
		return near, nil
	case <-l.closed:
		return nil, ErrRefused
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}
