// Package h1 answers plain HTTP/1.1 requests from memory, in front of a server of
// net/http on the same connections. A Loop wraps the connections of a listener:
// between two requests of net/http it reads what comes next, and answers it by
// itself if it understands every byte of it and its Handler has the answer. All
// else goes to net/http with the bytes as they came, and once net/http is done
// with a request whose end the loop knew, the next one is the loop's to see again.
//
// The loop runs inside of the Read with which net/http asks for a request, so
// that a connection has one goroutine, changes hands without waking another, and
// stays in the books of its http.Server.
package h1

import (
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// Handler has answers in memory.
type Handler interface {
	// Answer fills a with the answer to r, if it has all of it and need not
	// wait; otherwise it returns false, and net/http is asked. It is called for
	// many connections at once.
	Answer(r *Request, a *Answer) bool
	// More adds the next pieces of a body of which a.Rest bytes were not added
	// yet, once those before them are out; false if it had to wait for them.
	More(a *Answer) bool
	// Finish sends those bytes to w, waiting for them as it must, after a More
	// that returned false, and adds to a.Sent what went out.
	Finish(r *Request, a *Answer, w Writer) error
	// Done is told what became of an answer, after every Answer that returned
	// true.
	Done(r *Request, a *Answer)
}

// Writer is a connection to write to, under deadlines.
type Writer interface {
	io.Writer
	SetWriteDeadline(t time.Time) error
}

// Request is a request that is understood. Its texts lie in the buffer of the
// connection: they are gone when Done returns.
type Request struct {
	Head   bool   // HEAD rather than GET
	Target []byte // as it came: begins with a slash, printable ASCII
	Host   []byte
	Agent  []byte // User-Agent
	Remote string // address of the client
	ID     []byte // to be told as the request's ID
	Start  time.Time
	Now    time.Time // when Answer is asked, or a moment before
	// Worker is a small number: of two requests that are answered at once, it is
	// mostly another, for what is counted in several places.
	Worker int

	// The fields that conditions and ranges are made of; nil where one is not
	// there. None of them comes twice.
	IfMatch, IfNoneMatch, IfModifiedSince, IfUnmodifiedSince, IfRange, Range []byte
}

// Plain reports whether there is neither a condition nor a range.
func (r *Request) Plain() bool {
	return r.IfMatch == nil && r.IfNoneMatch == nil && r.IfModifiedSince == nil && r.IfUnmodifiedSince == nil &&
		r.IfRange == nil && r.Range == nil
}

// maxPieces is how many pieces of a body there may be at a time.
const maxPieces = 2

// Answer is what a Handler says.
type Answer struct {
	Status int
	// Head is the status line and the fields, each with its line end, to be
	// appended to. The loop adds the empty line, and Connection where it ends.
	Head []byte
	// Cache is the Cache-Status in Head, for the log.
	Cache []byte
	// FromStart says that the body is sent from its first byte on.
	FromStart bool
	// Entry and Pinned are the Handler's own.
	Entry  any
	Pinned int64
	// Rest is how many bytes of the body are not among the pieces yet.
	Rest int64

	// Sent is how much of the body went out, and First when the first byte did,
	// End when the last.
	Sent       int64
	First, End time.Time

	body   [maxPieces][]byte
	pieces int
	length int64
}

// Add adds a piece to the body, which nobody may modify any more. It returns
// false where there are too many.
func (a *Answer) Add(b []byte) bool {
	if a.pieces == maxPieces {
		return false
	}
	a.body[a.pieces] = b
	a.pieces++
	a.length += int64(len(b))
	return true
}

// Pieces is how many pieces there are.
func (a *Answer) Pieces() int { return a.pieces }

// drop lets go of the pieces, which are out or will not be.
func (a *Answer) drop() {
	clear(a.body[:a.pieces])
	a.pieces, a.length = 0, 0
}

func (a *Answer) reset() {
	a.drop()
	*a = Answer{Head: a.Head[:0], body: a.body}
}

// endHead ends the head, after the given fields.
func (a *Answer) endHead(fields string, last bool) {
	a.Head = append(a.Head, fields...)
	if last {
		a.Head = append(a.Head, "Connection: close\r\n"...)
	}
	a.Head = append(a.Head, "\r\n"...)
}

// Options describe a Loop.
type Options struct {
	Handler Handler
	// Line appends the line of a request that was answered; nil: there are none.
	// Lines takes them, one or many at a time.
	Line  func(to []byte, r *Request, a *Answer) []byte
	Lines io.Writer
	// Failed is told of a panic of the Handler, which costs the connection alone.
	Failed func(why any)
	// HeaderTimeout is how long a request may take to arrive, IdleTimeout how
	// long a connection may be silent between two.
	HeaderTimeout, IdleTimeout time.Duration
	// SlowClient is how long a client may take none of the next 64 KiB of an
	// answer before it is cut.
	SlowClient time.Duration
	// SecureFields are added to the head of every answer over TLS, each with its
	// line end.
	SecureFields string
}

// Loop is what the connections of one server have in common.
type Loop struct {
	opts     Options
	draining atomic.Bool
	fresh    atomic.Int64 // connections of which net/http has yet to begin with a request
	workers  atomic.Uint32

	mu      sync.Mutex
	conns   map[*conn]struct{}
	pollers []polling
	refuses []func() // make a listener take no more connections
}

// polling is a listener whose connections wait without a goroutine each.
type polling interface {
	drain()
	isBusy() bool
	isEmpty() bool
	cut()
	stop()
}

// New returns a Loop.
func New(o Options) *Loop { return &Loop{opts: o, conns: map[*conn]struct{}{}} }

// done tells the handler of an answer that is over, and appends its line.
func (l *Loop) done(to []byte, r *Request, a *Answer) []byte {
	l.opts.Handler.Done(r, a)
	if l.opts.Line != nil {
		to = l.opts.Line(to, r, a)
	}
	return to
}

// write writes lines out.
func (l *Loop) write(lines []byte) {
	if len(lines) > 0 {
		_, _ = l.opts.Lines.Write(lines) // as slog does: there is nowhere to tell it
	}
}

// Drain refuses new connections, makes every other end after the answer under way,
// and ends those that wait for another request, once what has come of it by now is
// answered. Those that have asked nothing yet, or not all of it, go to net/http, which
// answers them for as long as it has not been told to shut down: see Settled.
func (l *Loop) Drain() {
	l.draining.Store(true)
	l.mu.Lock()
	refuses := l.refuses
	l.mu.Unlock()
	for _, refuse := range refuses {
		refuse()
	}
	for _, p := range l.polling() {
		p.drain()
	}
	for _, c := range l.all() {
		c.endIfIdle()
	}
}

// Draining reports whether Drain has begun.
func (l *Loop) Draining() bool { return l.draining.Load() }

// Settled reports whether a drain has come so far that net/http may shut down: no
// connection has yet to ask something, be it behind an answer of the loop.
func (l *Loop) Settled() bool {
	for _, p := range l.polling() {
		if !p.isEmpty() {
			return false
		}
	}
	for _, c := range l.all() {
		if c.mayAsk() {
			return false
		}
	}
	return l.fresh.Load() <= 0
}

// Busy reports whether an answer of the loop is on its way.
func (l *Loop) Busy() bool {
	for _, c := range l.all() {
		if c.isBusy() {
			return true
		}
	}
	for _, p := range l.polling() {
		if p.isBusy() {
			return true
		}
	}
	return false
}

// Cut closes every connection, whatever is on its way.
func (l *Loop) Cut() {
	for _, p := range l.polling() {
		p.cut()
	}
	for _, c := range l.all() {
		c.cut()
	}
}

// Close cuts what is left, and waits for the end of all that the loop runs.
func (l *Loop) Close() {
	l.Cut()
	for _, p := range l.polling() {
		p.stop()
	}
}

func (l *Loop) polling() []polling {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.pollers
}

func (l *Loop) all() []*conn {
	l.mu.Lock()
	defer l.mu.Unlock()
	list := make([]*conn, 0, len(l.conns))
	for c := range l.conns {
		list = append(list, c)
	}
	return list
}

func (l *Loop) add(c *conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.conns[c] = struct{}{}
}

func (l *Loop) remove(c *conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.conns, c)
}

// Wrap returns a connection for net/http, in which the loop has the first look at
// every request. raw is a TCP connection, or one of TLS as Secure makes it.
func (l *Loop) Wrap(raw net.Conn) net.Conn {
	c := newConn(l, raw)
	l.add(c)
	if t, ok := raw.(*secure); ok {
		c.held = t.held
		return &secureConn{conn: c, secure: t}
	}
	return c
}
