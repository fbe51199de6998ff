package tus

import (
	"io"
	"net/http"
	"sync"
	"time"
)

// body is the body of a request that another one may end: what has come is kept,
// and the rest is not waited for. tusd can do that too, but misses it before it
// has begun to read, and may end the next request of the connection.
type body struct {
	io.ReadCloser
	conn   *http.ResponseController
	header http.Header // of the answer

	mu      sync.Mutex
	reason  error // of the cut
	reading bool
	broken  bool // the connection can carry no other request
}

// Read reads on; once the body is cut the error is the reason.
func (b *body) Read(p []byte) (int, error) {
	b.mu.Lock()
	reason := b.reason
	b.reading = reason == nil
	b.mu.Unlock()
	if reason != nil {
		return 0, reason
	}
	n, err := b.ReadCloser.Read(p)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.reading = false
	if b.broken {
		b.header.Set("Connection", "close")
		err = b.reason
	}
	return n, err
}

// cut ends the body, also for who waits for its next byte. A connection on which
// nobody waits is left alone: it may belong to its next request already.
func (b *body) cut(reason error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.reason != nil {
		return
	}
	b.reason = reason
	if b.reading {
		b.broken = b.conn.SetReadDeadline(time.Now()) == nil // a recorder in a test has none
	}
}

// wait lets the client wait for as long as the work takes: the deadlines that
// tusd has set are those of a body.
func (b *body) wait() {
	_ = b.conn.SetReadDeadline(time.Time{}) // likewise
	_ = b.conn.SetWriteDeadline(time.Time{})
}
