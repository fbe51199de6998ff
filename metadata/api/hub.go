package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sort"
	"sync"
	"time"

	"meridian/metadata"
)

// What the hub keeps of the feed for those who are a little behind.
const (
	hubEvents = 8192
	hubBytes  = 32 << 20
)

// feedStore is the feed as the hub reads it.
type feedStore interface {
	metadata.Feed
	metadata.Follower
}

// hub follows the feed once for all subscribers. It keeps the last events, in
// order and without a gap; each subscriber has a position of its own and takes
// from there what comes after it, or, where the hub no longer or not yet has
// it, asks the store. So nothing is lost or reordered where the two meet, and a
// subscriber costs no buffer.
type hub struct {
	store   feedStore
	log     *slog.Logger
	metrics *metrics

	mu sync.Mutex
	// recent are the events after base, up to pos. Where running is false there
	// are none and the positions mean nothing.
	running   bool
	base, pos metadata.Seq
	recent    []frame
	bytes     int
	woken     chan struct{} // closed when there may be more; nil if nobody waits
	ended     bool
}

// frame is an event as it is sent.
type frame struct {
	seq       metadata.Seq
	accessKey string // of key.changed
	inside    bool   // for nodes and administrators only
	text      []byte
}

func newHub(store feedStore, log *slog.Logger, m *metrics) *hub {
	return &hub{store: store, log: log, metrics: m}
}

// run follows until ctx ends, and ends all streams then.
func (h *hub) run(ctx context.Context) {
	defer h.end()
	const least, most = 100 * time.Millisecond, 5 * time.Second
	for pause := least; ; pause = min(2*pause, most) {
		began := time.Now()
		err := h.follow(ctx)
		if ctx.Err() != nil {
			return
		}
		if time.Since(began) > most {
			pause = least
		}
		h.log.WarnContext(ctx, "feed hub: following the feed", "error", err, "again_in", pause)
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
	}
}

// follow goes on at the hub's position, or begins at the head. What older
// transactions may yet commit below the head is nothing the hub has: whoever
// asks from below it is served by the store.
func (h *hub) follow(ctx context.Context) error {
	after, err := h.begin(ctx)
	if err != nil {
		return err
	}
	err = h.store.Follow(ctx, after, func(e metadata.Event) error {
		f, err := newFrame(e)
		if err != nil {
			return err
		}
		h.append(f)
		return nil
	})
	if errors.Is(err, metadata.ErrFeedGone) {
		h.forget()
	}
	return err
}

func (h *hub) begin(ctx context.Context) (metadata.Seq, error) {
	h.mu.Lock()
	after, running := h.pos, h.running
	h.mu.Unlock()
	if running {
		return after, nil
	}
	head, err := h.store.Head(ctx)
	if err != nil {
		return metadata.Seq{}, err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.running, h.base, h.pos = true, head, head
	return head, nil
}

func (h *hub) append(f frame) {
	h.metrics.events.Inc()
	h.mu.Lock()
	defer h.mu.Unlock()
	h.recent = append(h.recent, f)
	h.pos = f.seq
	h.bytes += len(f.text)
	for len(h.recent) > hubEvents || h.bytes > hubBytes {
		h.bytes -= len(h.recent[0].text)
		h.base = h.recent[0].seq
		h.recent[0] = frame{}
		h.recent = h.recent[1:]
	}
	h.wake()
}

// forget drops everything: the feed is not the one it was.
func (h *hub) forget() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.running, h.recent, h.bytes = false, nil, 0
	h.wake()
}

func (h *hub) end() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ended = true
	h.wake()
}

func (h *hub) wake() {
	if h.woken != nil {
		close(h.woken)
		h.woken = nil
	}
}

// hubBatch is how many events a subscriber takes at once.
const hubBatch = 500

var errHubEnded = errors.New("feed is shutting down")

// next returns what comes after a position; none is not an error. The channel
// is closed when there may be more than there was at the call.
func (h *hub) next(ctx context.Context, after metadata.Seq) ([]frame, <-chan struct{}, error) {
	frames, woken, ok, err := h.take(after)
	if ok || err != nil {
		return frames, woken, err
	}
	events, err := h.store.Poll(ctx, after, hubBatch)
	if err != nil {
		return nil, nil, err
	}
	for _, e := range events {
		f, err := newFrame(e)
		if err != nil {
			return nil, nil, err
		}
		frames = append(frames, f)
	}
	return frames, woken, nil
}

// take looks for after in what the hub has; ok says whether it is there.
func (h *hub) take(after metadata.Seq) (frames []frame, woken <-chan struct{}, ok bool, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.ended {
		return nil, nil, false, errHubEnded
	}
	if h.woken == nil {
		h.woken = make(chan struct{})
	}
	if !h.running || after.Compare(h.base) < 0 || after.Compare(h.pos) > 0 {
		return nil, h.woken, false, nil
	}
	i := sort.Search(len(h.recent), func(i int) bool { return h.recent[i].seq.Compare(after) > 0 })
	rest := h.recent[i:]
	return append([]frame(nil), rest[:min(len(rest), hubBatch)]...), h.woken, true, nil
}

// position is where a subscriber begins that wants what happens from now on.
func (h *hub) position(ctx context.Context) (metadata.Seq, error) {
	h.mu.Lock()
	pos, running := h.pos, h.running
	h.mu.Unlock()
	if running {
		return pos, nil
	}
	return h.store.Head(ctx)
}

// newFrame writes an event as a server-sent one. HTML in keys is left as it is:
// escaped, a large purge would grow sixfold.
func newFrame(e metadata.Event) (frame, error) {
	f := frame{seq: e.Seq, inside: e.Type == metadata.KeyChanged || e.Type == metadata.ZoneChanged}
	if e.Type == metadata.KeyChanged {
		var d metadata.KeyData
		if err := json.Unmarshal(e.Data, &d); err != nil {
			return f, fmt.Errorf("event %s: %w", e.Seq, err)
		}
		f.accessKey = d.AccessKey
	}
	b := bytes.NewBuffer(make([]byte, 0, 1<<10))
	fmt.Fprintf(b, "id: %s\nevent: %s\ndata: ", e.Seq, e.Type)
	enc := json.NewEncoder(b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(e); err != nil { // which ends the line
		return f, fmt.Errorf("event %s: %w", e.Seq, err)
	}
	b.WriteByte('\n')
	f.text = bytes.Clone(b.Bytes()) // the hub keeps thousands of them
	return f, nil
}
