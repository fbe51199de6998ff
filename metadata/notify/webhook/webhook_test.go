package webhook

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/oklog/ulid/v2"
	"github.com/prometheus/client_golang/prometheus"

	"meridian/metadata"
	"meridian/metadata/notify"
	"meridian/metadata/postgres"
	"meridian/metadata/postgres/pgtest"
)

// message is a request that a receiver has taken.
type message struct {
	id, event, key, versionID string
	record                    notify.Record
}

// receiver is a web server that takes messages, and answers as it is told.
type receiver struct {
	t      *testing.T
	secret string
	url    string

	mu     sync.Mutex
	answer func(key string, try int) int
	tries  map[string]int // by key
	ids    map[string]bool
	taken  []message
}

func newReceiver(t *testing.T) *receiver {
	t.Helper()
	r := &receiver{t: t, secret: NewSecret(), tries: map[string]int{}, ids: map[string]bool{}, answer: func(string, int) int { return http.StatusNoContent }}
	srv := httptest.NewServer(r)
	t.Cleanup(srv.Close)
	r.url = srv.URL + "/hook?token=very-secret"
	return r
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	body, err := io.ReadAll(req.Body)
	if err != nil {
		r.t.Error(err)
	}
	var seconds int64
	if _, err := fmt.Sscan(req.Header.Get("Webhook-Timestamp"), &seconds); err != nil {
		r.t.Errorf("Webhook-Timestamp: %v", err)
	}
	id := req.Header.Get("Webhook-Id")
	if want, err := Sign(r.secret, id, time.Unix(seconds, 0), body); err != nil || req.Header.Get("Webhook-Signature") != want {
		r.t.Errorf("signature %q, want %q, %v", req.Header.Get("Webhook-Signature"), want, err)
	}
	var records notify.Records
	if err := json.Unmarshal(body, &records); err != nil || len(records.Records) != 1 {
		r.t.Errorf("message %s: %v", body, err)
		return
	}
	rec := records.Records[0]
	key := rec.S3.Object.Key
	r.mu.Lock()
	r.tries[key]++
	answer, try := r.answer, r.tries[key]
	r.ids[id] = true
	r.mu.Unlock()
	status := answer(key, try)
	r.mu.Lock()
	defer r.mu.Unlock()
	if status < 300 {
		r.taken = append(r.taken, message{id, rec.EventName, key, rec.S3.Object.VersionID, rec})
	}
	w.WriteHeader(status)
}

func (r *receiver) set(answer func(key string, try int) int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.answer = answer
}

func (r *receiver) messages() []message {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.taken)
}

// await waits until n messages were taken.
func (r *receiver) await(n int) []message {
	r.t.Helper()
	for deadline := time.Now().Add(2 * time.Minute); ; time.Sleep(2 * time.Millisecond) {
		if list := r.messages(); len(list) >= n {
			return list
		}
		if time.Now().After(deadline) {
			r.t.Fatalf("%d messages have come, want %d", len(r.messages()), n)
		}
	}
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(2 * time.Minute); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not yet: %s", what)
		}
	}
}

// world is a catalogue with a job that can be stopped and started.
type world struct {
	*testing.T
	store *postgres.Store
	log   *logBuffer
}

type logBuffer struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func newWorld(t *testing.T) *world {
	t.Helper()
	return &world{t, pgtest.New(t), &logBuffer{}}
}

// start lets a job work, and returns what stops it.
func (w *world) start(change ...func(*Options)) (stop func()) {
	w.Helper()
	o := Options{
		Store: w.store, Holder: ulid.Make().String(), Client: NewClient(true), Registry: prometheus.NewRegistry(),
		Log:        slog.New(slog.NewTextHandler(w.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
		FirstPause: 10 * time.Millisecond, Lease: time.Second,
	}
	for _, f := range change {
		f(&o)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(w.Context()))
	done := make(chan error, 1)
	go func() { done <- New(o).Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			w.Errorf("Run = %v", err)
		}
	})
	w.Cleanup(stop)
	return stop
}

func (w *world) hook(id string, r *receiver) {
	w.Helper()
	if _, err := w.store.CreateWebhook(w.Context(), metadata.Webhook{ID: id, URL: r.url, Secret: r.secret}); err != nil {
		w.Fatal(err)
	}
}

// bucket makes a bucket that tells webhooks of events.
func (w *world) bucket(rules ...notify.Rule) string {
	w.Helper()
	document, err := json.Marshal(notify.Config{Queues: rules})
	if err != nil {
		w.Fatal(err)
	}
	b, err := w.store.CreateBucket(w.Context(), metadata.Bucket{
		Name: "b" + strings.ToLower(ulid.Make().String()), Region: pgtest.Region, Owner: "ada", Versioning: metadata.VersioningEnabled,
		Config: map[string]json.RawMessage{notify.ConfigName: document},
	})
	if err != nil {
		w.Fatal(err)
	}
	return b.Name
}

func everything(id string) notify.Rule {
	return notify.Rule{ID: "all", Queue: notify.ARN(id), Events: []string{"s3:ObjectCreated:*", "s3:ObjectRemoved:*"}}
}

func (w *world) put(bucket, key string) metadata.Version {
	w.Helper()
	id := ulid.Make().String()
	v, err := w.store.Commit(w.Context(), metadata.Version{
		Bucket: bucket, Key: key, ID: id, Size: 3, ETag: "e" + id, Modified: time.Now(), Blob: bucket + "/" + id, Regions: []string{pgtest.Region},
	}, metadata.Cond{By: metadata.Cause{User: "bob", Address: "192.0.2.7", Request: "REQ"}})
	if err != nil {
		w.Fatal(err)
	}
	return v
}

func (w *world) state(id string) metadata.Webhook {
	w.Helper()
	h, err := w.store.Webhook(w.Context(), id)
	if err != nil {
		w.Fatal(err)
	}
	return h
}

func TestAWebhookIsToldOfWhatItAskedFor(t *testing.T) {
	t.Parallel()
	w, r := newWorld(t), newReceiver(t)
	w.start()
	w.hook("app", r)
	b := w.bucket(notify.Rule{
		ID: "photos", Queue: notify.ARN("app"), Events: []string{"s3:ObjectCreated:*"},
		Filter: &notify.Filter{Rules: []notify.FilterRule{{Name: "suffix", Value: ".jpg"}}},
	}, notify.Rule{ID: "gone", Topic: notify.ARN("app"), Events: []string{"s3:ObjectRemoved:DeleteMarkerCreated"}})
	w.put(b, "a.txt")
	v := w.put(b, "a.jpg")
	marker, err := w.store.Delete(t.Context(), metadata.Ref{Bucket: b, Key: "a.jpg"}, metadata.Cond{})
	if err != nil {
		t.Fatal(err)
	}
	w.put(b, "last.jpg")
	got := r.await(3)
	var order []string
	for _, m := range got {
		if m.key == "a.jpg" {
			order = append(order, m.event+" "+m.versionID)
		}
	}
	if want := []string{"ObjectCreated:Put " + v.ID, "ObjectRemoved:DeleteMarkerCreated " + marker.ID}; !slices.Equal(order, want) {
		t.Errorf("of a.jpg it is told %q, want %q", order, want)
	}
	if len(got) != 3 {
		t.Errorf("it is told of %d events, want 3", len(got))
	}
	rec := got[0].record
	if rec.S3.Bucket.Name != b || rec.S3.Bucket.Owner.ID != "ada" || rec.User.ID != "bob" || rec.RequestParameters.Address != "192.0.2.7" ||
		rec.ResponseElements.Request != "REQ" || rec.S3.Rule != "photos" || *rec.S3.Object.Size != 3 || rec.Region != pgtest.Region {
		t.Errorf("record %+v", rec)
	}
	eventually(t, "the queue is empty", func() bool { h := w.state("app"); return h.Queued == 0 && h.Delivered != nil && h.Error == "" })
}

func TestWhatFailsIsTriedAgainInOrder(t *testing.T) {
	t.Parallel()
	w, r := newWorld(t), newReceiver(t)
	r.set(func(key string, try int) int {
		if key == "k" && try < 4 {
			return http.StatusInternalServerError
		}
		return http.StatusOK
	})
	w.hook("app", r)
	b := w.bucket(everything("app"))
	w.start()
	eventually(t, "the job follows the feed", func() bool { w.put(b, "warm"); return len(r.messages()) > 0 })
	var want []string
	for range 5 {
		want = append(want, w.put(b, "k").ID)
	}
	w.put(b, "other")
	var got []string
	ids := map[string]bool{}
	eventually(t, "all have come", func() bool {
		got = nil
		for _, m := range r.messages() {
			if m.key == "k" {
				got = append(got, m.versionID)
				ids[m.id] = true
			}
		}
		return len(got) == len(want)
	})
	if !slices.Equal(got, want) {
		t.Errorf("versions came as %q, want %q", got, want)
	}
	if len(ids) != len(want) {
		t.Errorf("%d messages have %d IDs", len(want), len(ids))
	}
	if h := w.state("app"); h.Failed == nil {
		t.Errorf("it is not told that tries failed: %+v", h.WebhookState)
	}
	w.log.mu.Lock()
	defer w.log.mu.Unlock()
	if log := w.log.b.String(); strings.Contains(log, "very-secret") || strings.Contains(log, r.secret) || !strings.Contains(log, "did not take") {
		t.Errorf("the log tells what is secret, or not what failed: %s", log)
	}
}

// TestADeadWebhookHoldsUpNobody: one that never answers, and one that nobody
// listens at.
func TestADeadWebhookHoldsUpNobody(t *testing.T) {
	t.Parallel()
	w, hanging, closed, good := newWorld(t), newReceiver(t), newReceiver(t), newReceiver(t)
	release := make(chan struct{})
	hanging.set(func(string, int) int { <-release; return http.StatusOK })
	closed.url = "http://127.0.0.1:1/?token=very-secret"
	w.start()
	defer close(release)
	w.hook("hanging", hanging)
	w.hook("closed", closed)
	w.hook("good", good)
	bad := w.bucket(everything("hanging"))
	worse := w.bucket(everything("closed"))
	b := w.bucket(everything("good"))
	const n = 50
	for i := range n {
		for _, name := range []string{bad, worse, b} {
			w.put(name, fmt.Sprint(i))
		}
	}
	if got := good.await(n); len(got) != n {
		t.Errorf("%d messages, want %d", len(got), n)
	}
	eventually(t, "it is told why", func() bool { return strings.Contains(w.state("closed").Error, "refused") })
	if h := w.state("closed"); strings.Contains(h.Error, "very-secret") || h.Queued != n || h.Oldest == nil {
		t.Errorf("state %+v", h.WebhookState)
	}
}

func TestGivenUpIsKeptAndCanBeSentAgain(t *testing.T) {
	t.Parallel()
	w, r := newWorld(t), newReceiver(t)
	var broken atomic.Bool
	broken.Store(true)
	r.set(func(key string, _ int) int {
		if broken.Load() && strings.HasPrefix(key, "bad") {
			return http.StatusBadRequest
		}
		return http.StatusOK
	})
	w.hook("app", r)
	b := w.bucket(everything("app"))
	w.start(func(o *Options) { o.Patience = 2 * time.Second })
	w.put(b, "good")
	r.await(1)
	w.put(b, "bad1")
	w.put(b, "bad2")
	eventually(t, "both are given up", func() bool { return w.state("app").Dead == 2 })
	dead, err := w.store.Deliveries(t.Context(), "app", true, 0, 10)
	if err != nil || len(dead) != 2 || dead[0].Key != "bad2" || dead[1].Status != http.StatusBadRequest || dead[1].Tries < 1 || !strings.Contains(dead[1].Error, "400") {
		t.Fatalf("given up are %+v, %v", dead, err)
	}
	broken.Store(false)
	if n, err := w.store.Redeliver(t.Context(), "app", []int64{dead[1].ID}); n != 1 || err != nil {
		t.Fatalf("Redeliver = %d, %v", n, err)
	}
	if got := r.await(2); got[1].key != "bad1" {
		t.Errorf("sent again: %q", got[1].key)
	}
	if n, err := w.store.Redeliver(t.Context(), "app", nil); n != 1 || err != nil {
		t.Fatalf("Redeliver all = %d, %v", n, err)
	}
	r.await(3)
	if _, err := w.store.Redeliver(t.Context(), "none", nil); !errors.Is(err, metadata.ErrNoSuchWebhook) {
		t.Errorf("of no webhook: %v", err)
	}
}

func TestAQueueIsBounded(t *testing.T) {
	t.Parallel()
	w, r := newWorld(t), newReceiver(t)
	r.set(func(string, int) int { return http.StatusServiceUnavailable })
	w.hook("app", r)
	b := w.bucket(everything("app"))
	w.start(func(o *Options) { o.QueueLimit = 3 })
	const n = 10
	for i := range n {
		w.put(b, fmt.Sprint(i))
	}
	eventually(t, "what is too much is counted", func() bool { h := w.state("app"); return h.Queued == 3 && h.Dropped == n-3 })
}

// TestNothingIsLostBetweenProcesses: jobs come and go while a receiver fails at
// random.
func TestNothingIsLostBetweenProcesses(t *testing.T) {
	t.Parallel()
	w, r := newWorld(t), newReceiver(t)
	r.set(func(_ string, try int) int {
		if try%3 == 1 {
			return http.StatusBadGateway
		}
		return http.StatusOK
	})
	w.hook("app", r)
	b := w.bucket(everything("app"))
	stop := w.start()
	want := map[string]bool{}
	for i := range 60 {
		key := fmt.Sprint(i)
		w.put(b, key)
		want[key] = true
		if i%20 == 10 {
			stop()
			stop = w.start()
		}
	}
	eventually(t, "all have come", func() bool {
		got := map[string]bool{}
		for _, m := range r.messages() {
			got[m.key] = true
		}
		return len(got) == len(want)
	})
}

// TestNobodyIsToldOfWhatCameBefore: a webhook is told of what happens from its
// configuration on.
func TestNobodyIsToldOfWhatCameBefore(t *testing.T) {
	t.Parallel()
	w, r := newWorld(t), newReceiver(t)
	b := w.bucket(everything("app"))
	w.put(b, "before")
	w.start()
	eventually(t, "what came before has settled", func() bool {
		head, err := w.store.Head(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		at, err := w.store.SettledFeed(t.Context())
		return err == nil && at.Compare(head) >= 0
	})
	w.hook("app", r)
	w.put(b, "after")
	if got := r.await(1); got[0].key != "after" {
		t.Errorf("it is told of %q first", got[0].key)
	}
	if err := w.store.DeleteWebhook(t.Context(), "app"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "its queue is gone", func() bool {
		_, err := w.store.Deliveries(t.Context(), "app", false, 0, 1)
		return errors.Is(err, metadata.ErrNoSuchWebhook)
	})
}

func TestLocalAddressesAreRefused(t *testing.T) {
	t.Parallel()
	r := newReceiver(t)
	c := NewClient(false)
	hook := metadata.Webhook{ID: "app", URL: r.url, Secret: r.secret}
	if _, err := c.Send(t.Context(), hook, metadata.Delivery{Body: json.RawMessage(`{}`)}); !errors.Is(err, ErrLocal) {
		t.Errorf("loopback: %v", err)
	}
	// By a name too, whatever it is made to mean.
	hook.URL = strings.Replace(r.url, "127.0.0.1", "localhost", 1)
	if _, err := c.Send(t.Context(), hook, metadata.Delivery{Body: json.RawMessage(`{}`)}); !errors.Is(err, ErrLocal) {
		t.Errorf("localhost: %v", err)
	}
	if len(r.messages()) != 0 {
		t.Error("a request came through")
	}
	for url, fine := range map[string]bool{
		"https://example.com/x": true, "http://10.1.2.3:8080/": true, "https://[2001:db8::1]/": true,
		"http://127.0.0.1/": false, "http://localhost:8080/": false, "http://a.localhost/": false, "http://[::1]/": false, "http://[::ffff:127.0.0.1]/": false,
		"http://169.254.169.254/latest": false, "http://[fe80::1]/": false, "http://0.0.0.0/": false, "http://[fd00:ec2::254]/": false, "http://[64:ff9b::7f00:1]/": false,
		"ftp://example.com/": false, "example.com": false, "http://": false, "https://user:secret@example.com/": false, "https://example.com/#x": false,
	} {
		if err := c.CheckURL(url); (err == nil) != fine {
			t.Errorf("%s: %v", url, err)
		}
	}
}

// Whoever allows webhooks on their own machine does not mean what hands out the
// machine's credentials.
func TestMetadataServicesAreRefusedAlways(t *testing.T) {
	t.Parallel()
	for _, local := range []bool{false, true} {
		c := NewClient(local)
		for _, host := range []string{
			"169.254.169.254", "169.254.170.2", "[::ffff:169.254.169.254]", "[64:ff9b::a9fe:a9fe]", "168.63.129.16", "192.0.0.192", "100.100.100.200",
			"[fd00:ec2::254]", "[fd20:ce::254]",
		} {
			if err := c.CheckURL("http://" + host + "/latest"); err == nil {
				t.Errorf("local %t: %s is taken", local, host)
			}
			if err := c.checkAddress(host + ":80"); strings.Contains(host, ".") && !strings.Contains(host, ":") && !errors.Is(err, ErrMetadata) {
				t.Errorf("local %t: a name that leads to %s: %v", local, host, err)
			}
		}
	}
	if err := NewClient(true).CheckURL("http://localhost.:8080/"); err != nil {
		t.Errorf("this machine, where that is allowed: %v", err)
	}
	if err := NewClient(false).CheckURL("http://LocalHost.:8080/"); err == nil {
		t.Error("this machine by a name with a dot at its end")
	}
}

func TestARedirectIsNotFollowed(t *testing.T) {
	t.Parallel()
	r := newReceiver(t)
	srv := httptest.NewServer(http.RedirectHandler(r.url, http.StatusTemporaryRedirect))
	t.Cleanup(srv.Close)
	status, err := NewClient(true).Send(t.Context(), metadata.Webhook{URL: srv.URL, Secret: r.secret}, metadata.Delivery{Body: json.RawMessage(`{}`)})
	if status != http.StatusTemporaryRedirect || err == nil || len(r.messages()) != 0 {
		t.Errorf("Send = %d, %v; %d messages", status, err, len(r.messages()))
	}
}

// TestSign is the example of the specification of Standard Webhooks.
func TestSign(t *testing.T) {
	t.Parallel()
	got, err := Sign("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "msg_p5jXN8AQM9LWM0D4loKWxJek", time.Unix(1614265330, 0), []byte(`{"test": 2432232314}`))
	if err != nil || got != "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=" {
		t.Errorf("Sign = %s, %v", got, err)
	}
	if CheckSecret(NewSecret()) != nil || CheckSecret("whsec_") == nil || CheckSecret("secret") == nil || CheckSecret("whsec_c2hvcnQ=") == nil {
		t.Error("secrets are not told from others")
	}
}

func TestPausesGrowAndVary(t *testing.T) {
	t.Parallel()
	for n := 1; n < 70; n++ {
		full := min(time.Second<<min(n-1, 20), time.Minute)
		if d := backoff(n, time.Second, time.Minute); d < full/2 || d > full {
			t.Errorf("after %d failures: %s, want %s to %s", n, d, full/2, full)
		}
	}
}

func TestAWebhookIsToldOfMediaRecords(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	got := make(chan notify.MediaMessage, 10)
	srv := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		var m notify.MediaMessage
		if err := json.NewDecoder(r.Body).Decode(&m); err != nil {
			t.Error(err)
		}
		got <- m
	}))
	t.Cleanup(srv.Close)
	_, err := w.store.CreateWebhook(t.Context(), metadata.Webhook{ID: "app", URL: srv.URL, Secret: NewSecret(), Events: []string{metadata.MediaDone}})
	if err != nil {
		t.Fatal(err)
	}
	w.start()
	b := w.bucket()
	record := func(key, state string) metadata.Media {
		m, err := w.store.UpsertMedia(t.Context(), b, key, func(m *metadata.Media) error {
			m.Kind, m.State, m.VersionID = metadata.KindPhoto, state, "V"
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	record("broken.jpg", metadata.MediaFailed)
	record("a.jpg", metadata.MediaProcessing)
	m := record("a.jpg", metadata.MediaReady)
	if _, err := w.store.UpdateMedia(t.Context(), m.ID, func(m *metadata.Media) error { m.Title = "A"; return nil }); err != nil {
		t.Fatal(err)
	}
	last := record("last.jpg", metadata.MediaReady)
	want := map[string]metadata.Media{m.ID: m, last.ID: last} // those of different objects come in any order
	for range 2 {
		told := <-got
		m, ok := want[told.Data.ID]
		if delete(want, told.Data.ID); !ok || told.Type != "media.ready" || told.Data.Bucket != b || told.Data.Key != m.Key || told.Data.VersionID != "V" || told.Data.Kind != metadata.KindPhoto {
			t.Errorf("told %+v", told)
		}
	}
}
