package fetch

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"time"
)

// Timeouts bound the steps of an attempt.
type Timeouts struct {
	Dial time.Duration // connecting, and again for the TLS handshake
	// Header is how long a request waits for the header of its answer: from when it
	// was made, or from when the node was last heard answering another.
	Header time.Duration
	Idle   time.Duration // between two reads of a body
	// Late is how long a node may take for a whole answer, where nothing tells how
	// long it should, before the next is asked besides; and a peer at most.
	Late time.Duration
}

// defaultTimeouts suit a node whose upstream is an origin. A node in front of
// such a node must wait longer for a header, or it would give up on an upstream
// that is just trying its second origin.
func defaultTimeouts() Timeouts {
	return Timeouts{Dial: 2 * time.Second, Header: 5 * time.Second, Idle: 10 * time.Second, Late: 3 * time.Second}
}

func (t Timeouts) orDefault() Timeouts {
	or := func(d *time.Duration, v time.Duration) {
		if *d == 0 {
			*d = v
		}
	}
	d := defaultTimeouts()
	or(&t.Dial, d.Dial)
	or(&t.Header, d.Header)
	or(&t.Idle, d.Idle)
	or(&t.Late, d.Late)
	return t
}

// DialFunc is the type of net.Dialer.DialContext.
type DialFunc = func(ctx context.Context, network, addr string) (net.Conn, error)

// newTransport returns a transport for hops between nodes: many connections
// kept to few hosts, direct, bytes as they are. Headers are waited for by await.
func newTransport(t Timeouts, dial DialFunc, trust *tls.Config) *http.Transport {
	if dial == nil {
		dial = (&net.Dialer{Timeout: t.Dial, KeepAlive: 15 * time.Second}).DialContext
	}
	return &http.Transport{
		DialContext:            dial,
		TLSClientConfig:        trust,
		TLSHandshakeTimeout:    t.Dial,
		MaxIdleConns:           512,
		MaxIdleConnsPerHost:    128,
		IdleConnTimeout:        time.Minute,
		MaxResponseHeaderBytes: 64 << 10,
		DisableCompression:     true,
		ReadBufferSize:         64 << 10,
	}
}
