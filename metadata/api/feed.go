package api

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"meridian/metadata"
)

const (
	feedBeat = time.Second
	// feedStall is how long a subscriber may take none of what is sent. It is
	// cut off then, and goes on elsewhere at its position.
	feedStall = 10 * time.Second
)

// feed streams the events after a position until the client goes, falls
// silent, or may no longer listen.
func (c *call) feed() error {
	after, err := c.feedPosition()
	if err != nil {
		return err
	}
	// The first look decides whether there is a stream at all.
	frames, woken, err := c.hub.next(c.ctx(), after)
	if errors.Is(err, errHubEnded) {
		return tell(context.Canceled, "%s", err)
	}
	if err != nil {
		return err
	}
	c.setHeader("Content-Type", "text/event-stream")
	c.setHeader("X-Accel-Buffering", "no") // proxies shall not hold events back
	c.setHeader("Connection", "close")     // it ends with a deadline set
	c.gin.Writer.WriteHeader(http.StatusOK)
	if c.r.Method == http.MethodHead {
		c.gin.Writer.WriteHeaderNow()
		return nil
	}
	c.metrics.subscribers.Inc()
	defer c.metrics.subscribers.Dec()
	s := subscriber{call: c, after: after}
	reason := s.run(frames, woken)
	c.metrics.cut.WithLabelValues(reason.label).Inc()
	c.log.DebugContext(c.ctx(), "feed stream ended", "reason", reason.label, "after", s.after.String(), "who", c.who.accessKey, "error", reason.err)
	return nil
}

// feedPosition is where the client wants to go on. What a browser adds when it
// connects again is newer than what its page once asked for.
func (c *call) feedPosition() (metadata.Seq, error) {
	text, field := c.r.Header.Get("Last-Event-ID"), "Last-Event-ID"
	if text == "" {
		if text, field = c.query("after"), "after"; text == "" {
			return c.hub.position(c.ctx())
		}
	}
	after, err := metadata.ParseSeq(text)
	if err != nil {
		return metadata.Seq{}, badField(field, "%.60q is no position in the feed", text)
	}
	return after, nil
}

// subscriber is one open stream.
type subscriber struct {
	*call
	after metadata.Seq
}

// streamEnd says why a stream ended.
type streamEnd struct {
	label string
	err   error
}

func (s *subscriber) run(frames []frame, woken <-chan struct{}) streamEnd {
	beat := time.NewTicker(feedBeat)
	defer beat.Stop()
	var expired <-chan time.Time
	if s.who.expires != nil {
		t := time.NewTimer(s.who.expires.Sub(s.now()))
		defer t.Stop()
		expired = t.C
	}
	if err := s.send([]byte("retry: 1000\nid: " + s.after.String() + "\n\n: beat\n\n")); err != nil {
		return streamEnd{"client", err}
	}
	for {
		revoked, err := s.sendAll(frames)
		switch {
		case err != nil:
			return streamEnd{"client", err}
		case revoked:
			return streamEnd{"key changed", nil}
		}
		if len(frames) == 0 {
			select {
			case <-s.ctx().Done():
				return streamEnd{"client", nil}
			case <-expired:
				return streamEnd{"expired", nil}
			case <-woken:
			case <-beat.C:
				if err := s.send([]byte(": beat\n\n")); err != nil {
					return streamEnd{"client", err}
				}
			}
		}
		frames, woken, err = s.hub.next(s.ctx(), s.after)
		switch {
		case errors.Is(err, errHubEnded):
			return streamEnd{"shutdown", nil}
		case err != nil:
			// The feed no longer holds what comes next, or the catalogue fails:
			// the client hears which when it comes again.
			return streamEnd{"feed", err}
		}
	}
}

// sendAll sends frames at once. Who has which access key is told to
// administrators and nodes only, and so is what clients of pull zones send to their
// origins: queries may hold secrets. Others get the position without the event. A
// change of the subscriber's own key ends the stream, unless the key is still
// what it was when the stream began.
func (s *subscriber) sendAll(frames []frame) (revoked bool, err error) {
	var text []byte
	for _, f := range frames {
		if !f.inside || s.who.caller()&(admin|node) != 0 {
			text = append(text, f.text...)
		} else {
			text = append(text, "id: "+f.seq.String()+"\n\n"...)
		}
		s.after = f.seq
		if f.accessKey != "" && f.accessKey == s.who.accessKey {
			if revoked, err = s.revoked(); revoked || err != nil {
				break
			}
		}
		if len(text) > 1<<20 {
			if err := s.send(text); err != nil {
				return false, err
			}
			text = text[:0]
		}
	}
	if len(text) > 0 {
		err = errors.Join(err, s.send(text))
	}
	return revoked, err
}

func (s *subscriber) revoked() (bool, error) {
	k, err := s.liveKey(s.ctx(), s.who.accessKey)
	if errors.Is(err, metadata.ErrNoSuchAccess) {
		return true, nil
	}
	return principalOf(k).role != s.who.role || !bytes.Equal(s.who.print, fingerprint(k.ID, k.Secret)), err
}

func (s *subscriber) send(text []byte) error {
	rc := s.controller()
	if err := ignoreUnsupported(rc.SetWriteDeadline(time.Now().Add(s.stall))); err != nil {
		return fmt.Errorf("set deadline: %w", err)
	}
	if _, err := s.gin.Writer.Write(text); err != nil {
		return err
	}
	return rc.Flush()
}
