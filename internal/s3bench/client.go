package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"meridian/internal/sigv4"
)

// The root key of every server.
const (
	accessKey = "benchmark"
	secretKey = "benchmark-secret" //nolint:gosec // of servers of our own
	region    = "us-east-1"
)

var errWrongAnswer = errors.New("wrong answer")

var signer = sigv4.Signer{AccessKey: accessKey, Secret: secretKey, Region: region}

// client is one connection. It does without net/http's transport, whose
// goroutines would take from the servers what they need.
type client struct {
	host string
	conn net.Conn
	in   *bufio.Reader
	out  *bufio.Writer
	buf  []byte
}

func dial(ctx context.Context, host string) (*client, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", host)
	if err != nil {
		return nil, err
	}
	return &client{
		host: host, conn: conn, in: bufio.NewReaderSize(conn, 64<<10), out: bufio.NewWriterSize(conn, 16<<10),
		buf: make([]byte, 256<<10),
	}, nil
}

func (c *client) close() { _ = c.conn.Close() } // everything was read

// answer is what the client looks at.
type answer struct {
	status int
	etag   string
	bytes  int64
}

// do sends a signed request and reads its answer to the end, into body if that is
// not nil. The body that it sends is not bound to the signature, as over TLS.
func (c *client) do(ctx context.Context, method, target string, send []byte, body *bytes.Buffer) (answer, error) {
	req, err := http.NewRequestWithContext(ctx, method, "http://"+c.host+target, bytes.NewReader(send))
	if err != nil {
		return answer{}, err
	}
	hash := sigv4.UnsignedPayload
	if len(send) == 0 {
		hash = sigv4.EmptyPayload
	}
	signer.Sign(req, hash, time.Now())
	if err := c.conn.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		return answer{}, err
	}
	if err := req.Write(c.out); err != nil {
		return answer{}, err
	}
	if err := c.out.Flush(); err != nil {
		return answer{}, err
	}
	resp, err := http.ReadResponse(c.in, req)
	if err != nil {
		return answer{}, fmt.Errorf("%s %s: %w", method, target, err)
	}
	defer resp.Body.Close()
	got := answer{status: resp.StatusCode, etag: resp.Header.Get("Etag")}
	for {
		n, err := resp.Body.Read(c.buf)
		got.bytes += int64(n)
		if body != nil {
			body.Write(c.buf[:n])
		}
		if err == io.EOF {
			break
		}
		if err != nil {
			return got, fmt.Errorf("%s %s: %w", method, target, err)
		}
	}
	if resp.Close {
		return got, fmt.Errorf("%w: the connection was closed after %s %s, status %d", errWrongAnswer, method, target, got.status)
	}
	return got, nil
}

// expect does a request of which only the status counts.
func (c *client) expect(ctx context.Context, method, target string, send []byte, status int) error {
	var said bytes.Buffer
	got, err := c.do(ctx, method, target, send, &said)
	if err == nil && got.status != status {
		err = fmt.Errorf("%w: %d for %s %s: %.300s", errWrongAnswer, got.status, method, target, said.Bytes())
	}
	return err
}
