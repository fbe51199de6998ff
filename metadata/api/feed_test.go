package api

import (
	"bufio"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"meridian/metadata"
	"meridian/metadata/client"
	"meridian/metadata/postgres"
	"meridian/metadata/postgres/pgtest"
)

// streamPatience is how long a stream may take to say all that a test asks of it.
const streamPatience = 5 * time.Minute

// stream opens the feed and returns a function that gives the next line that is
// neither empty nor a beat, or "" at the end.
func (w *world) stream(caller, path string, headers ...string) (next func() string, end func()) {
	w.Helper()
	ctx, cancel := context.WithTimeout(w.Context(), streamPatience)
	resp, err := http.DefaultClient.Do(w.request(caller, http.MethodGet, path, "", headers...).WithContext(ctx))
	if err != nil {
		w.Fatal(err)
	}
	if ct := resp.Header.Get("Content-Type"); resp.StatusCode != http.StatusOK || ct != "text/event-stream" {
		w.Fatalf("GET %s = %d, %s", path, resp.StatusCode, ct)
	}
	lines := bufio.NewScanner(resp.Body)
	lines.Buffer(nil, 8<<20)
	end = func() { cancel(); resp.Body.Close() }
	w.Cleanup(end)
	return func() string {
		for lines.Scan() {
			if text := lines.Text(); text != "" && text != ": beat" {
				return text
			}
		}
		if ctx.Err() != nil {
			w.Fatalf("the feed has not said it within %v", streamPatience)
		}
		return ""
	}, end
}

func (w *world) client() *client.Client {
	w.Helper()
	c, err := client.New(client.Options{URLs: []string{w.url}, Secret: clusterSecret, Node: "edge-1"})
	if err != nil {
		w.Fatal(err)
	}
	w.Cleanup(c.Close)
	return c
}

// value is what a counter or gauge says.
func value(t *testing.T, m prometheus.Metric) float64 {
	t.Helper()
	var d dto.Metric
	if err := m.Write(&d); err != nil {
		t.Fatal(err)
	}
	return d.GetCounter().GetValue() + d.GetGauge().GetValue()
}

// events are all that the catalogue has. It waits for those that a transaction
// elsewhere on the server withholds.
func (w *world) events() []metadata.Event {
	w.Helper()
	head, err := w.store.Head(w.Context())
	if err != nil {
		w.Fatal(err)
	}
	for {
		all, err := w.store.Poll(w.Context(), metadata.Seq{}, 100_000)
		if err != nil {
			w.Fatal(err)
		}
		if len(all) > 0 && all[len(all)-1].Seq.Compare(head) >= 0 {
			return all
		}
		if err := w.store.Wait(w.Context()); err != nil {
			w.Fatal(err)
		}
	}
}

func TestFeedOnTheWire(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.bucket("first", metadata.Private)
	w.bucket("second", metadata.Private)
	all := w.events()
	first, second := all[len(all)-2], all[len(all)-1]
	check := func(next func() string, e metadata.Event) {
		t.Helper()
		got := next() + "|" + next() + "|" + next()
		want := fmt.Sprintf("id: %s|event: %s|data: {\"seq\":%q", e.Seq, e.Type, e.Seq)
		if !strings.HasPrefix(got, want) || !strings.Contains(got, `"bucket":"`+e.Bucket+`"`) {
			t.Errorf("event is %q, want %q", got, want)
		}
	}
	begin := func(next func() string, after metadata.Seq) {
		t.Helper()
		if got := next() + "|" + next(); got != "retry: 1000|id: "+after.String() {
			t.Errorf("stream begins with %q", got)
		}
	}
	before := all[len(all)-3].Seq
	next, _ := w.stream(aNode, "/v1/feed?after="+before.String())
	begin(next, before)
	check(next, first)
	check(next, second)
	// A browser that comes again says where it was; that is newer.
	next, _ = w.stream(metadata.RoleReadOnly, "/v1/feed?after="+before.String(), "Last-Event-ID", first.Seq.String())
	begin(next, first.Seq)
	check(next, second)
	w.bucket("third", metadata.Private)
	all = w.events()
	check(next, all[len(all)-1])

	w.refused(w.do(http.StatusBadRequest, aNode, http.MethodGet, "/v1/feed?after=x", ""), "after")
	w.refused(w.do(http.StatusBadRequest, aNode, http.MethodGet, "/v1/feed", "", "Last-Event-ID", "1-"), "Last-Event-ID")
	w.do(http.StatusOK, aNode, http.MethodHead, "/v1/feed?after=0", "")
	w.do(http.StatusGone, aNode, http.MethodGet, "/v1/feed?after=99999999999-1", "")
}

// Whoever follows, from wherever, while many write, and however often the
// stream breaks, gets every event after their position once and in order.
func TestFollowersMissNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.bucket("photos", metadata.Private)
	const writers, each, followers = 4, 60, 6
	var writing, following sync.WaitGroup
	written := make(chan struct{})
	for i := range writers {
		writing.Go(func() {
			for n := range each {
				w.object("photos", fmt.Sprintf("%d/%d.jpg", i, n), "image/jpeg")
			}
		})
	}
	go func() { writing.Wait(); close(written) }()
	results := make([][]metadata.Event, followers)
	starts := make([]metadata.Seq, followers)
	cut := errors.New("cut")
	for i := range followers {
		// One from the beginning, the others from where things are now.
		if i > 0 {
			events := w.events()
			starts[i] = events[len(events)-1].Seq
		}
		c := w.client()
		following.Go(func() {
			after := starts[i]
			for last := false; !last; {
				n := 0
				ctx, cancel := context.WithCancel(t.Context())
				err := c.Follow(ctx, after, func(e metadata.Event) error {
					results[i] = append(results[i], e)
					after = e.Seq
					if last = e.Bucket == "the-end"; last {
						cancel()
					}
					if n++; n == 37+i {
						return cut
					}
					return nil
				})
				cancel()
				if !last && !errors.Is(err, cut) {
					t.Errorf("follower %d: %v", i, err)
					return
				}
			}
		})
	}
	<-written
	w.bucket("the-end", metadata.Private)
	following.Wait()
	for i := range followers {
		want, err := w.store.Poll(t.Context(), starts[i], 100_000)
		if err != nil {
			t.Fatal(err)
		}
		if len(results[i]) != len(want) {
			t.Errorf("follower %d got %d events, want %d", i, len(results[i]), len(want))
			continue
		}
		for j := range want {
			if results[i][j].Seq != want[j].Seq {
				t.Errorf("follower %d: event %d is %s, want %s", i, j, results[i][j].Seq, want[j].Seq)
				break
			}
		}
	}
	if n := value(t, w.api.metrics.subscribers); n > followers {
		t.Errorf("%v streams are open", n)
	}
}

func TestFeedThatForgot(t *testing.T) {
	t.Parallel()
	c := pgtest.Config(t)
	c.Retention.Events = time.Nanosecond
	store, err := postgres.Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	if _, err := store.CreateBucket(t.Context(), metadata.Bucket{Name: "photos", Region: "europe", Owner: "root"}); err != nil {
		t.Fatal(err)
	}
	head, err := store.Head(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	// Transactions elsewhere on the server hold up the removal. It is done
	// before there is an API, which would rightly serve what it heard of before.
	for gone := error(nil); !errors.Is(gone, metadata.ErrFeedGone); _, gone = store.Poll(t.Context(), metadata.Seq{}, 1) {
		if err := store.Maintain(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	w := newEmptyWorld(t, func(o *Options) { o.Store = store })
	w.do(http.StatusGone, aNode, http.MethodGet, "/v1/feed?after=0", "")
	if err := w.client().Follow(t.Context(), metadata.Seq{}, func(metadata.Event) error { return errors.New("an event") }); !errors.Is(err, metadata.ErrFeedGone) {
		t.Errorf("follow: %v", err)
	}
	// Who was at the head goes on, and so does who begins now.
	for _, path := range []string{"/v1/feed?after=" + head.String(), "/v1/feed"} {
		next, _ := w.stream(aNode, path)
		if next(); next() != "id: "+head.String() {
			t.Errorf("%s does not begin at the head", path)
		}
	}
}

// A subscriber that takes nothing is cut off; the others do not notice.
func TestSlowSubscriberIsCutOff(t *testing.T) {
	t.Parallel()
	reg := prometheus.NewRegistry()
	w := newWorld(t, func(o *Options) { o.Registry = reg })
	w.api.stall = 200 * time.Millisecond
	after := w.events()[0].Seq
	conn, err := net.Dial("tcp", strings.TrimPrefix(w.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.(*net.TCPConn).SetReadBuffer(4096); err != nil {
		t.Fatal(err)
	}
	k := w.keys[metadata.RoleReadOnly]
	fmt.Fprintf(conn, "GET /v1/feed?after=%s HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s:%s\r\n\r\n", after, k.ID, k.Secret)

	next, _ := w.stream(aNode, "/v1/feed?after="+after.String())
	big := make([]string, 800)
	for i := range big {
		big[i] = `"/photos/` + strings.Repeat("x", 1000) + `"`
	}
	body := `{"urls":[` + strings.Join(big, ",") + `]}`
	deadline := time.Now().Add(streamPatience)
	sent := 0
	for value(t, w.api.metrics.cut.WithLabelValues("client")) == 0 {
		if time.Now().After(deadline) {
			t.Fatalf("the slow subscriber is still there after %d MB", sent*8/10)
		}
		w.do(http.StatusAccepted, metadata.RoleReadWrite, http.MethodPost, "/v1/purge", body)
		sent++
		for !strings.HasPrefix(next(), "event: purge") { // this one keeps up
		}
	}
}

func TestStreamsEndAtShutdown(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	next, _ := w.stream(aNode, "/v1/feed?after=0")
	for !strings.Contains(next(), "KEY-OF-readonly") {
	}
	w.stop() // waits for all requests
	if got := next(); got != "" {
		t.Errorf("after the end the stream says %q", got)
	}
}

func TestRevokedKeyEndsItsStream(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.bucket("photos", metadata.Private)
	// That a key was made, in what is told anew, is no reason to end.
	reader, _ := w.stream(metadata.RoleReadOnly, "/v1/feed?after=0")
	administrator, _ := w.stream(metadata.RoleAdmin, "/v1/feed?after=0")
	for !strings.HasPrefix(reader(), "event: "+metadata.BucketCreated) {
	}
	if err := w.store.DeleteKey(t.Context(), w.keys[metadata.RoleReadWrite].ID); err != nil {
		t.Fatal(err)
	}
	if err := w.store.DeleteKey(t.Context(), w.keys[metadata.RoleReadOnly].ID); err != nil {
		t.Fatal(err)
	}
	events := w.events()
	var heard strings.Builder
	for line := reader(); line != ""; line = reader() {
		heard.WriteString(line + "\n")
	}
	if strings.Contains(heard.String(), metadata.KeyChanged) || !strings.Contains(heard.String(), "id: "+events[len(events)-1].Seq.String()+"\n") {
		t.Errorf("a reader hears of access keys, or does not learn its position: %s", &heard)
	}
	for seen := 0; seen < 2; { // made, revoked
		line := administrator()
		if line == "" {
			t.Fatal("the administrator's stream ended with another's key")
		}
		if strings.Contains(line, w.keys[metadata.RoleReadOnly].ID) {
			seen++
		}
	}
}

// What clients of pull zones ask for may hold secrets.
func TestReadersHearNothingOfRequests(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	reader, _ := w.stream(metadata.RoleReadWrite, "/v1/feed?after=0")
	administrator, _ := w.stream(metadata.RoleAdmin, "/v1/feed?after=0")
	n := metadata.Node{ID: "edge-1", Boot: "boot", Tier: metadata.TierEdge, Region: "europe", Started: time.Now()}
	changed := []metadata.ZoneTarget{{Bucket: "site", Target: "/reset?token=secret"}}
	if _, err := w.store.Push(t.Context(), metadata.Push{Node: n, Number: 1, Changed: changed}); err != nil {
		t.Fatal(err)
	}
	w.bucket("photos", metadata.Private)
	for _, c := range []struct {
		who  string
		next func() string
		want bool
	}{{"an administrator", administrator, true}, {"a reader", reader, false}} {
		heard := false
		for line := c.next(); line != "event: "+metadata.BucketCreated; line = c.next() {
			heard = heard || strings.Contains(line, "secret")
		}
		if heard != c.want {
			t.Errorf("%s hears of it: %t", c.who, heard)
		}
	}
}

func TestStreamEndsWithItsSession(t *testing.T) {
	t.Parallel()
	// By the clock of the API the key has a second when its stream begins, however
	// long it takes to come to that.
	const left = time.Second
	expires := time.Now().Add(time.Hour)
	w := newWorld(t, func(o *Options) { o.Now = func() time.Time { return expires.Add(-left) } })
	after := w.events()[2].Seq
	w.keys["soon"] = metadata.AccessKey{ID: "SOON", Secret: "secret of soon", User: "u", Role: metadata.RoleReadOnly, Expires: &expires}
	if err := w.store.PutKey(t.Context(), w.keys["soon"]); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	next, _ := w.stream("soon", "/v1/feed?after="+after.String())
	for next() != "" {
	}
	if took := time.Since(began); took < left {
		t.Errorf("the stream ended after %v, and its key after %v", took, left)
	}
}

// fakeFeed is a feed of numbered events, to look at what the hub asks of it.
type fakeFeed struct {
	mu     sync.Mutex
	events []metadata.Event
	polls  int
	more   chan struct{}
	gone   bool
}

func (f *fakeFeed) add(n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for range n {
		f.events = append(f.events, metadata.Event{Seq: metadata.Seq{Xid: 1, ID: uint64(len(f.events) + 1)}, Type: metadata.ObjectCreated})
	}
	close(f.more)
	f.more = make(chan struct{})
}

func (f *fakeFeed) Head(context.Context) (metadata.Seq, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return metadata.Seq{Xid: 1, ID: uint64(len(f.events))}, nil
}

func (f *fakeFeed) Poll(_ context.Context, after metadata.Seq, limit int) ([]metadata.Event, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.polls++
	if f.gone || after.ID > uint64(len(f.events)) {
		return nil, metadata.ErrFeedGone
	}
	rest := f.events[after.ID:]
	return rest[:min(len(rest), limit)], nil
}

func (f *fakeFeed) Wait(ctx context.Context) error {
	f.mu.Lock()
	more := f.more
	f.mu.Unlock()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-more:
	case <-time.After(10 * time.Millisecond):
	}
	return nil
}

func (f *fakeFeed) Follow(ctx context.Context, after metadata.Seq, fn func(metadata.Event) error) error {
	return metadata.FollowFeed(ctx, f, after, fn)
}

func TestHubForgetsTheOldestAndAsksTheStoreForIt(t *testing.T) {
	t.Parallel()
	feed := &fakeFeed{more: make(chan struct{})}
	feed.add(10)
	h := newHub(feed, slog.New(slog.DiscardHandler), newMetrics(prometheus.NewRegistry()))
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { h.run(ctx); close(done) }()
	at := func(id int) metadata.Seq { return metadata.Seq{Xid: 1, ID: uint64(id)} }
	await := func(pos metadata.Seq) {
		t.Helper()
		for after := pos; ; {
			_, woken, err := h.next(ctx, after)
			h.mu.Lock()
			reached := h.running && h.pos == pos
			h.mu.Unlock()
			if reached {
				return
			}
			if err != nil && !errors.Is(err, metadata.ErrFeedGone) {
				t.Fatal(err)
			}
			select {
			case <-woken:
			case <-time.After(10 * time.Millisecond):
			}
		}
	}
	await(at(10))
	total := 10 + hubEvents + 500
	feed.add(hubEvents + 500)
	await(at(total))
	h.mu.Lock()
	kept, base := len(h.recent), h.base
	h.mu.Unlock()
	if kept != hubEvents || base != at(total-hubEvents) {
		t.Errorf("the hub keeps %d events after %s", kept, base)
	}
	// From the very beginning to the end, across what the hub keeps.
	var got int
	for after := (metadata.Seq{}); after != at(total); {
		frames, _, err := h.next(ctx, after)
		if err != nil || len(frames) == 0 {
			t.Fatalf("after %s: %d frames, %v", after, len(frames), err)
		}
		for _, f := range frames {
			if got++; f.seq != at(got) {
				t.Fatalf("frame %d is of %s", got, f.seq)
			}
			after = f.seq
		}
	}
	// A subscriber at the end costs the store nothing.
	feed.mu.Lock()
	before := feed.polls
	feed.mu.Unlock()
	for range 1000 {
		if frames, _, err := h.next(ctx, at(total)); err != nil || len(frames) > 0 {
			t.Fatalf("%d frames after the last, %v", len(frames), err)
		}
	}
	feed.mu.Lock()
	if n := feed.polls - before; n > 500 {
		t.Errorf("1000 looks cost %d polls", n)
	}
	// The catalogue is put back to an earlier state: nobody is told old news.
	feed.events = feed.events[:5]
	feed.mu.Unlock()
	await(at(5))
	if _, _, err := h.next(ctx, at(total)); !errors.Is(err, metadata.ErrFeedGone) {
		t.Errorf("a position of the lost future: %v", err)
	}
	cancel()
	<-done
	if _, _, err := h.next(t.Context(), at(5)); !errors.Is(err, errHubEnded) {
		t.Errorf("after the end: %v", err)
	}
}

func TestHubKeepsNoMoreBytesThanItMay(t *testing.T) {
	t.Parallel()
	h := newHub(nil, nil, newMetrics(prometheus.NewRegistry()))
	text := make([]byte, 1<<20)
	for i := range 100 {
		h.append(frame{seq: metadata.Seq{Xid: 1, ID: uint64(i + 1)}, text: text})
	}
	if h.bytes > hubBytes || len(h.recent) != hubBytes>>20 || h.base.ID != 100-hubBytes>>20 {
		t.Errorf("%d bytes in %d frames after %s", h.bytes, len(h.recent), h.base)
	}
}

func FuzzFrame(f *testing.F) {
	f.Add("a\nb\r\n\u2028", "text/html; <b>&amp;")
	f.Fuzz(func(t *testing.T, key, bucket string) {
		sum := sha256.Sum256([]byte(key))
		fr, err := newFrame(metadata.Event{Seq: metadata.Seq{Xid: 1, ID: 2}, Type: metadata.ObjectCreated, Key: key, Bucket: bucket, VersionID: fmt.Sprintf("%x", sum)})
		if err != nil {
			t.Fatal(err)
		}
		// Nothing in an event may end it early: three lines and an empty one.
		if n := strings.Count(string(fr.text), "\n"); n != 4 || strings.Contains(string(fr.text), "\r") || !strings.HasSuffix(string(fr.text), "}\n\n") {
			t.Errorf("frame %q", fr.text)
		}
	})
}
