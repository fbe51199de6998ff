package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"meridian/metadata"
)

// silence is how long a feed may say nothing before its connection counts as
// dead: the other side beats every second.
const silence = 3 * time.Second

var errSilent = errors.New("feed is silent")

// Follow implements metadata.Follower. It ends when the stream does; whoever
// wants to go on calls it again with the Seq of the last event that fn took.
func (c *Client) Follow(ctx context.Context, after metadata.Seq, fn func(metadata.Event) error) error {
	delivered := false
	var broke error
	err := c.failover(ctx, func(base string) error {
		opened, err := c.follow(ctx, base, after, fn)
		if opened {
			delivered, broke = true, err
			return nil // the next one is the caller's to ask: events were taken
		}
		return err
	})
	if delivered {
		err = broke
	}
	if ctx.Err() != nil {
		err = ctx.Err()
	}
	return fmt.Errorf("follow feed after %s: %w", after, err)
}

// follow reads one stream to its end. opened says whether there was one.
func (c *Client) follow(ctx context.Context, base string, after metadata.Seq, fn func(metadata.Event) error) (opened bool, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	// The watchdog runs while we wait for the network only, not while fn works.
	watchdog := time.AfterFunc(silence, func() { cancel(errSilent) })
	defer watchdog.Stop()

	resp, err := c.do(ctx, http.MethodGet, base+"/v1/feed?after="+url.QueryEscape(after.String()), nil)
	if err != nil {
		return false, cause(ctx, err)
	}
	defer resp.Body.Close() // not drained: a stream has no end

	stream := newStream(resp.Body)
	for {
		watchdog.Reset(silence)
		m, err := stream.next(func() { watchdog.Reset(silence) })
		if err != nil {
			return true, cause(ctx, err)
		}
		watchdog.Stop()
		var e metadata.Event
		if err := json.Unmarshal(m.data, &e); err != nil {
			return true, fmt.Errorf("event %q: %w", m.id, err)
		}
		if m.id != "" && m.id != e.Seq.String() {
			return true, fmt.Errorf("event with the ID %q says it is %s", m.id, e.Seq)
		}
		if e.Seq.Compare(after) <= 0 {
			continue // told before
		}
		if err := fn(e); err != nil {
			return true, err
		}
		after = e.Seq
	}
}

func cause(ctx context.Context, err error) error {
	if c := context.Cause(ctx); errors.Is(c, errSilent) {
		return c
	}
	return err
}
