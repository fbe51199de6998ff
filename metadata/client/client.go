// Package client asks the metadata role over HTTP on behalf of a node: it
// pushes what the node counted, fetches snapshots and follows the feed. It
// implements metadata.Nodes and metadata.Follower; package metadata/api answers.
package client

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"meridian/internal/hop"
	"meridian/internal/sigv4"
	"meridian/metadata"
)

const (
	pushTimeout     = 2 * time.Second
	snapshotTimeout = 10 * time.Second
	// maxAnswer bounds what is read of an answer: a snapshot of 100,000
	// buckets has about 40 MB.
	maxAnswer  = 256 << 20
	maxProblem = 8 << 10
)

// Options describe a Client.
type Options struct {
	// URLs of the metadata role, at least one. The one that answered last is
	// asked first.
	URLs   []string
	Secret string // of the cluster
	Node   string // ID of the asking node, for the other side's logs
	Now    func() time.Time
	// Dial connects; a net.Dialer does where it is nil.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)
	// TLS says whose certificates are believed where a URL is https; the system's
	// authorities are where it is nil.
	TLS *tls.Config
}

// Client is a connection to the metadata role. Its methods may run at once.
type Client struct {
	bases  []string
	node   string
	signer sigv4.Signer
	now    func() time.Time
	http   *http.Client
	last   atomic.Int64 // index of the base that answered last
}

var (
	_ metadata.Nodes    = (*Client)(nil)
	_ metadata.Follower = (*Client)(nil)
)

// New returns a Client; nothing is asked yet.
func New(o Options) (*Client, error) {
	if len(o.URLs) == 0 {
		return nil, metadata.Invalidf("no URL of the metadata role")
	}
	c := &Client{
		node:   o.Node,
		signer: sigv4.Signer{AccessKey: hop.NodeAccessKey, Secret: o.Secret},
		now:    o.Now,
	}
	if c.now == nil {
		c.now = time.Now
	}
	if o.Dial == nil {
		o.Dial = (&net.Dialer{Timeout: 2 * time.Second, KeepAlive: 15 * time.Second}).DialContext
	}
	for _, raw := range o.URLs {
		u, err := url.Parse(raw)
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.RawQuery != "" {
			return nil, metadata.Invalidf("%q is not the URL of a metadata role", raw)
		}
		c.bases = append(c.bases, strings.TrimRight(raw, "/"))
	}
	c.http = &http.Client{
		Transport: &http.Transport{
			DialContext:         o.Dial,
			TLSClientConfig:     o.TLS,
			TLSHandshakeTimeout: 3 * time.Second,
			MaxIdleConnsPerHost: 4,
			IdleConnTimeout:     time.Minute,
			// No Proxy: hops between nodes are direct.
		},
		// A signed request must not wander.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return c, nil
}

// Close closes idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Push implements metadata.Nodes.
func (c *Client) Push(ctx context.Context, p metadata.Push) (metadata.PushReply, error) {
	var reply metadata.PushReply
	if err := c.call(ctx, pushTimeout, http.MethodPost, "/v1/nodes/push", p, &reply); err != nil {
		return metadata.PushReply{}, fmt.Errorf("push %d of node %s: %w", p.Number, p.Node.ID, err)
	}
	return reply, nil
}

// Snapshot implements metadata.Nodes.
func (c *Client) Snapshot(ctx context.Context) (metadata.Snapshot, error) {
	var s metadata.Snapshot
	if err := c.call(ctx, snapshotTimeout, http.MethodGet, "/v1/nodes/snapshot", nil, &s); err != nil {
		return metadata.Snapshot{}, fmt.Errorf("snapshot: %w", err)
	}
	return s, nil
}

// AskPurge asks for a purge in all nodes and returns the answer of the API as
// it came: a metadata.PurgeStatus in JSON.
func (c *Client) AskPurge(ctx context.Context, p metadata.Purge) (json.RawMessage, error) {
	var answer json.RawMessage
	if err := c.call(ctx, pushTimeout, http.MethodPost, "/v1/purge", p, &answer); err != nil {
		return nil, fmt.Errorf("ask for purge: %w", err)
	}
	return answer, nil
}

// StatusError is an answer of the metadata role that is not a success.
type StatusError struct {
	Status int
	Detail string // of the problem document, or the start of the body
}

func (e *StatusError) Error() string {
	return fmt.Sprintf("metadata role answered %d: %s", e.Status, e.Detail)
}

// Unwrap gives the error of the catalogue that the status stands for, so that
// callers need not know of HTTP.
func (e *StatusError) Unwrap() error {
	switch e.Status {
	case http.StatusBadRequest, http.StatusUnprocessableEntity, http.StatusRequestEntityTooLarge:
		return metadata.ErrInvalid
	case http.StatusConflict:
		return metadata.ErrNodeReplaced
	case http.StatusGone:
		return metadata.ErrFeedGone
	}
	return nil
}

// call tries the bases in turn, from the one that answered last, until one
// gives an answer that another would not better.
func (c *Client) call(ctx context.Context, timeout time.Duration, method, path string, in, out any) error {
	var body []byte
	if in != nil {
		var err error
		if body, err = json.Marshal(in); err != nil {
			return fmt.Errorf("encode: %w", err)
		}
	}
	return c.failover(ctx, func(base string) error {
		ctx, cancel := context.WithTimeout(ctx, timeout)
		defer cancel()
		resp, err := c.do(ctx, method, base+path, body) //nolint:bodyclose // drain closes it
		if err != nil {
			return err
		}
		defer drain(resp.Body)
		if err := json.NewDecoder(io.LimitReader(resp.Body, maxAnswer)).Decode(out); err != nil {
			return fmt.Errorf("%s %s: decode: %w", method, path, err)
		}
		return nil
	})
}

func (c *Client) failover(ctx context.Context, try func(base string) error) error {
	var errs []error
	first := int(c.last.Load())
	for i := range c.bases {
		at := (first + i) % len(c.bases)
		err := try(c.bases[at])
		if err == nil || final(err) {
			c.last.Store(int64(at))
			return err
		}
		errs = append(errs, err)
		if ctx.Err() != nil {
			break
		}
	}
	// Where all failed, the next call begins with another one.
	c.last.Store(int64((first + 1) % len(c.bases)))
	return errors.Join(errs...)
}

// final says whether an error is the role's own judgement rather than its
// failure, so that asking another instance is no use.
func final(err error) bool {
	var s *StatusError
	return errors.Is(err, metadata.ErrFeedGone) || errors.As(err, &s) && s.Status < 500 && s.Status != http.StatusTooManyRequests
}

// do sends a signed request and returns the answer if it is a success.
func (c *Client) do(ctx context.Context, method, target string, body []byte) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, target, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	hash := sigv4.EmptyPayload
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
		sum := sha256.Sum256(body)
		hash = hex.EncodeToString(sum[:])
	} else {
		req.Body, req.GetBody, req.ContentLength = http.NoBody, nil, 0
	}
	if c.node != "" {
		req.Header.Set(hop.RequestNode, c.node)
	}
	c.signer.Sign(req, hash, c.now())
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode >= 200 && resp.StatusCode < 300 {
		return resp, nil
	}
	defer drain(resp.Body)
	return nil, &StatusError{Status: resp.StatusCode, Detail: problem(resp.Body)}
}

func problem(r io.Reader) string {
	b, _ := io.ReadAll(io.LimitReader(r, maxProblem)) // what came tells enough
	var p struct{ Title, Detail string }
	if json.Unmarshal(b, &p) == nil && p.Title+p.Detail != "" {
		return strings.TrimPrefix(p.Title+": "+p.Detail, ": ")
	}
	return strings.ToValidUTF8(string(b[:min(len(b), 200)]), "?")
}

// drain lets the connection be used again where little is left to read.
func drain(body io.ReadCloser) {
	_, _ = io.CopyN(io.Discard, body, maxProblem) // only for the connection's sake
	_ = body.Close()
}
