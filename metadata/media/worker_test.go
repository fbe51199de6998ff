package media_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"image"
	"image/jpeg"
	"image/png"
	"io"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/oklog/ulid/v2"

	"meridian/metadata"
	"meridian/metadata/media"
	"meridian/metadata/postgres/pgtest"
)

// catalogue is what the tests change and the worker follows.
type catalogue interface {
	media.Store
	CreateBucket(ctx context.Context, b metadata.Bucket) (metadata.Bucket, error)
	Commit(ctx context.Context, v metadata.Version, c metadata.Cond) (metadata.Version, error)
	Delete(ctx context.Context, r metadata.Ref, c metadata.Cond) (metadata.Version, error)
	Placed(ctx context.Context, blob, region string) error
}

// world is a catalogue with a bucket, the bytes of its versions, and workers.
type world struct {
	t     *testing.T
	store catalogue

	mu    sync.Mutex
	bytes map[string][]byte // by version
	opens map[string]int    // by version
	// hold, if not nil, keeps every file closed until it is closed itself.
	hold chan struct{}
	// fail is how often opening a version fails.
	fail map[string]int
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, store: pgtest.New(t), bytes: map[string][]byte{}, opens: map[string]int{}, fail: map[string]int{}}
	w.bucket("photos", "")
	return w
}

func (w *world) bucket(name, versioning string) {
	w.t.Helper()
	_, err := w.store.CreateBucket(w.t.Context(), metadata.Bucket{
		Name: name, Region: pgtest.Region, Visibility: metadata.Private, Owner: "ann", Versioning: versioning,
		Placement: metadata.Placement{pgtest.Region, "asia"},
	})
	if err != nil {
		w.t.Fatal(err)
	}
}

// start runs a worker until the function it returns is called, or the test ends.
func (w *world) start(store media.Store) (stop func()) {
	w.t.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(w.t.Context()))
	worker := media.New(media.Options{Store: store, Opener: w, Log: slog.New(slog.DiscardHandler), Probers: 2})
	done := make(chan error, 1)
	go func() { done <- worker.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			w.t.Errorf("worker: %v", err)
		}
	})
	w.t.Cleanup(stop)
	return stop
}

// OpenAt implements media.Opener.
func (w *world) OpenAt(ctx context.Context, v metadata.Version) (io.ReaderAt, error) {
	w.mu.Lock()
	b, hold := w.bytes[v.ID], w.hold
	w.opens[v.ID]++
	failing := w.fail[v.ID] > 0
	w.fail[v.ID]--
	w.mu.Unlock()
	if failing {
		return nil, errors.New("origin is down")
	}
	if hold != nil {
		select {
		case <-hold:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	return bytes.NewReader(b), nil
}

func (w *world) put(bucket, key, contentType string, data []byte) metadata.Version {
	w.t.Helper()
	id := ulid.Make().String()
	w.mu.Lock()
	w.bytes[id] = data
	w.mu.Unlock()
	v, err := w.store.Commit(w.t.Context(), metadata.Version{
		Bucket: bucket, Key: key, ID: id, Size: int64(len(data)), ETag: "etag-" + id, ContentType: contentType,
		Modified: time.Now(), Owner: "ann", Blob: bucket + "/" + id, Regions: []string{pgtest.Region},
	}, metadata.Cond{})
	if err != nil {
		w.t.Fatal(err)
	}
	return v
}

func (w *world) remove(bucket, key, version string) metadata.Version {
	w.t.Helper()
	v, err := w.store.Delete(w.t.Context(), metadata.Ref{Bucket: bucket, Key: key, VersionID: version}, metadata.Cond{})
	if err != nil {
		w.t.Fatal(err)
	}
	return v
}

// records are those of a bucket by key.
func (w *world) records(bucket string) map[string]metadata.Media {
	w.t.Helper()
	found := map[string]metadata.Media{}
	for q := (metadata.MediaQuery{Bucket: bucket, Limit: 200}); ; {
		page, err := w.store.ListMedia(w.t.Context(), q)
		if err != nil {
			w.t.Fatal(err)
		}
		for _, m := range page.Media {
			found[m.Key] = m
		}
		if q.Cursor = page.Next; q.Cursor == "" {
			return found
		}
	}
}

// until waits for the records to be as wanted.
func (w *world) until(what, bucket string, ok func(map[string]metadata.Media) bool) map[string]metadata.Media {
	w.t.Helper()
	deadline := time.Now().Add(2 * time.Minute)
	for {
		found := w.records(bucket)
		if ok(found) {
			return found
		}
		if time.Now().After(deadline) {
			w.t.Fatalf("waited for %s; there is %+v", what, found)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// ready waits until a key has a finished record of a version.
func (w *world) ready(v metadata.Version) metadata.Media {
	w.t.Helper()
	return w.until("record of "+v.Key, v.Bucket, func(found map[string]metadata.Media) bool {
		m := found[v.Key]
		return m.VersionID == v.ID && m.State != metadata.MediaProcessing
	})[v.Key]
}

func (w *world) gone(bucket, key string) {
	w.t.Helper()
	w.until("no record of "+key, bucket, func(found map[string]metadata.Media) bool {
		_, ok := found[key]
		return !ok
	})
}

func jpegOf(width, height int) []byte {
	var b bytes.Buffer
	if err := jpeg.Encode(&b, image.NewGray(image.Rect(0, 0, width, height)), nil); err != nil {
		panic(err)
	}
	return b.Bytes()
}

func pngOf(width, height int) []byte {
	var b bytes.Buffer
	if err := png.Encode(&b, image.NewGray(image.Rect(0, 0, width, height))); err != nil {
		panic(err)
	}
	return b.Bytes()
}

func TestRecordFollowsTheObject(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	early := w.put("photos", "early.jpg", "", jpegOf(8, 6)) // before anybody follows
	w.start(w.store)
	w.ready(early)

	v := w.put("photos", "a/b.jpg", "image/jpeg", jpegOf(40, 30))
	m := w.ready(v)
	if m.State != metadata.MediaReady || m.Kind != metadata.KindPhoto || m.Width != 40 || m.Height != 30 || m.Size != v.Size ||
		m.ETag != v.ETag || m.Blob != v.Blob || len(m.Regions) != 1 || m.ContentType != "image/jpeg" {
		t.Errorf("%+v", m)
	}
	// What people wrote stays over an overwrite, what the file said does not.
	if _, err := w.store.UpdateMedia(t.Context(), m.ID, func(m *metadata.Media) error {
		m.Title, m.Tags = "Dunes", []string{"sand"}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	after := w.ready(w.put("photos", "a/b.jpg", "binary/octet-stream", pngOf(20, 10)))
	if after.ID != m.ID || after.Title != "Dunes" || len(after.Tags) != 1 || after.Width != 20 || after.Height != 10 || after.ContentType != "image/png" {
		t.Errorf("%+v", after)
	}
	if err := w.store.Placed(t.Context(), after.Blob, "asia"); err != nil {
		t.Fatal(err)
	}
	w.until("the second region", "photos", func(found map[string]metadata.Media) bool {
		m := found["a/b.jpg"]
		return len(m.Regions) == 2 && m.State == metadata.MediaReady
	})

	// Neither its name nor its type tells, but whoever stored it has looked.
	bare := metadata.Version{
		Bucket: "photos", Key: "d41d8cd9", ID: ulid.Make().String(), ContentType: "binary/octet-stream", Sniffed: "image/png",
		Modified: time.Now(), Owner: "ann", Blob: "photos/bare", Regions: []string{pgtest.Region},
	}
	w.mu.Lock()
	w.bytes[bare.ID] = pngOf(7, 5)
	bare.Size = int64(len(w.bytes[bare.ID]))
	w.mu.Unlock()
	if _, err := w.store.Commit(t.Context(), bare, metadata.Cond{}); err != nil {
		t.Fatal(err)
	}
	if m := w.ready(bare); m.Kind != metadata.KindPhoto || m.Width != 7 || m.ContentType != "image/png" {
		t.Errorf("a photo without a name for it: %+v", m)
	}
	w.remove("photos", "d41d8cd9", "")
	w.gone("photos", "d41d8cd9")

	w.put("photos", "notes.txt", "text/plain", []byte("no photo"))
	w.put("photos", "a/b.jpg", "text/plain", []byte("no photo any more"))
	w.gone("photos", "a/b.jpg")
	w.remove("photos", "early.jpg", "")
	w.gone("photos", "early.jpg")
	if found := w.records("photos"); len(found) != 0 {
		t.Errorf("records left: %+v", found)
	}
}

func TestVersionsAndMarkers(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.bucket("versioned", metadata.VersioningEnabled)
	w.start(w.store)
	first := w.put("versioned", "k.jpg", "image/jpeg", jpegOf(40, 30))
	w.ready(first)
	second := w.put("versioned", "k.jpg", "image/jpeg", jpegOf(20, 10))
	w.ready(second)
	w.remove("versioned", "k.jpg", second.ID) // the first is current again
	if m := w.ready(first); m.Width != 40 {
		t.Errorf("%+v", m)
	}
	marker := w.remove("versioned", "k.jpg", "")
	w.gone("versioned", "k.jpg")
	w.remove("versioned", "k.jpg", marker.ID)
	if m := w.ready(first); m.Width != 40 {
		t.Errorf("%+v", m)
	}
}

func TestFailedFiles(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.start(w.store)
	m := w.ready(w.put("photos", "page.jpg", "image/jpeg", []byte("<html>")))
	if m.State != metadata.MediaFailed || !strings.Contains(m.Error, "image/jpeg") || m.Kind != metadata.KindPhoto {
		t.Errorf("%+v", m)
	}
	m = w.ready(w.put("photos", "page.jpg", "image/jpeg", jpegOf(4, 3)))
	if m.State != metadata.MediaReady || m.Error != "" || m.Width != 4 {
		t.Errorf("%+v", m)
	}
	// A format that nobody here reads is fine all the same.
	m = w.ready(w.put("photos", "tape.ts", "video/mp2t", []byte("G")))
	if m.State != metadata.MediaReady || m.Kind != metadata.KindVideo {
		t.Errorf("%+v", m)
	}
}

// TestSlowFilesDelayNoRecord: with every prober stuck, records still appear,
// and once the files come, they are finished.
func TestSlowFilesDelayNoRecord(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.hold = make(chan struct{})
	w.start(w.store)
	const n = 20
	for i := range n {
		w.put("photos", fmt.Sprintf("%d.jpg", i), "", jpegOf(i+1, 1))
		w.until("the record", "photos", func(found map[string]metadata.Media) bool { return len(found) == i+1 })
	}
	for _, m := range w.records("photos") {
		if m.State != metadata.MediaProcessing {
			t.Errorf("%+v", m)
		}
	}
	close(w.hold)
	w.until("all to be ready", "photos", allReady(n))
}

func allReady(n int) func(map[string]metadata.Media) bool {
	return func(found map[string]metadata.Media) bool {
		for _, m := range found {
			if m.State != metadata.MediaReady {
				return false
			}
		}
		return len(found) == n
	}
}

// TestRestart: what one worker began, the next one finishes, though the events
// are behind its cursor.
func TestRestart(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.hold = make(chan struct{})
	stop := w.start(w.store)
	for i := range 5 {
		w.put("photos", fmt.Sprintf("%d.jpg", i), "", jpegOf(i+1, 1))
	}
	w.until("records", "photos", func(found map[string]metadata.Media) bool { return len(found) == 5 })
	head, err := w.store.Head(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	w.until("the cursor", "photos", func(map[string]metadata.Media) bool {
		at, err := w.store.Cursor(t.Context(), "media")
		return err == nil && at.Compare(head) >= 0
	})
	stop()
	w.mu.Lock()
	w.hold = nil
	w.mu.Unlock()
	w.start(w.store)
	w.until("all to be ready", "photos", allReady(5))
}

// TestUnreadableNow: an origin that is down leaves the record in processing.
func TestUnreadableNow(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	v := w.put("photos", "a.jpg", "", jpegOf(4, 3))
	w.fail[v.ID] = 2
	w.start(w.store)
	if m := w.ready(v); m.State != metadata.MediaReady || m.Width != 4 {
		t.Errorf("%+v", m)
	}
	if w.opens[v.ID] != 3 {
		t.Errorf("opened %d times", w.opens[v.ID])
	}
}

// TestTwoWorkers: two processes on one catalogue, while objects come and go.
func TestTwoWorkers(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.bucket("versioned", metadata.VersioningEnabled)
	w.start(w.store)
	w.start(w.store)
	last := map[string]metadata.Version{}
	for round := range 6 {
		for k := range 8 {
			key := fmt.Sprintf("%d.jpg", k)
			switch {
			case round > 0 && (round+k)%4 == 0 && last[key].ID != "":
				w.remove("versioned", key, last[key].ID) // an older one, or none, is current again
				delete(last, key)
			case (round+k)%5 == 0:
				last[key] = w.put("versioned", key, "text/plain", []byte("x"))
			default:
				last[key] = w.put("versioned", key, "image/jpeg", jpegOf(round+1, k+1))
			}
		}
	}
	w.until("records to agree with objects", "versioned", func(found map[string]metadata.Media) bool {
		page, err := w.store.List(t.Context(), metadata.ListQuery{Bucket: "versioned", Limit: 100})
		if err != nil {
			t.Fatal(err)
		}
		photos := 0
		for _, v := range page.Versions {
			if v.ContentType != "image/jpeg" {
				continue
			}
			photos++
			if m := found[v.Key]; m.VersionID != v.ID || m.State != metadata.MediaReady {
				return false
			}
		}
		return photos == len(found)
	})
}

// gap is a store whose feed has forgotten what came before the first Poll.
type gap struct {
	media.Store
	once sync.Once
}

func (g *gap) Poll(ctx context.Context, after metadata.Seq, limit int) (events []metadata.Event, err error) {
	g.once.Do(func() { err = metadata.ErrFeedGone })
	if err != nil {
		return nil, err
	}
	return g.Store.Poll(ctx, after, limit)
}

// TestFeedGone: a worker that comes too late compares everything.
func TestFeedGone(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	v := w.put("photos", "new.jpg", "", jpegOf(4, 3))
	for key, version := range map[string]string{"gone.jpg": "01A", "pending.jpg": ""} {
		if _, err := w.store.UpsertMedia(t.Context(), "photos", key, func(m *metadata.Media) error {
			m.Kind, m.State, m.VersionID = metadata.KindPhoto, metadata.MediaPending, version
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	w.start(&gap{Store: w.store})
	w.ready(v)
	w.gone("photos", "gone.jpg")
	if _, ok := w.records("photos")["pending.jpg"]; !ok {
		t.Error("a record that waits for its object is gone")
	}
	w.ready(w.put("photos", "later.jpg", "", jpegOf(4, 3))) // and goes on from there
}

// counting counts what is asked of a store about single objects that are not of
// photos.
type counting struct {
	media.Store
	asked atomic.Int64
}

func (c *counting) Lookup(ctx context.Context, r metadata.Ref) (metadata.Version, error) {
	if !strings.HasSuffix(r.Key, ".jpg") {
		c.asked.Add(1)
	}
	return c.Store.Lookup(ctx, r)
}

func (c *counting) DropMedia(ctx context.Context, bucket, key, versionID string) error {
	if !strings.HasSuffix(key, ".jpg") {
		c.asked.Add(1)
	}
	return c.Store.DropMedia(ctx, bucket, key, versionID)
}

// TestOtherObjectsAreNotLookedAt: what is no photo costs nothing of its own, and
// what was one is not forgotten.
func TestOtherObjectsAreNotLookedAt(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	store := &counting{Store: w.store}
	w.start(store)
	for i := range 10 {
		w.put("photos", fmt.Sprintf("notes/%d", i), "text/plain", []byte("note"))
	}
	w.ready(w.put("photos", "a.jpg", "", jpegOf(4, 3)))
	for i := range 10 {
		w.remove("photos", fmt.Sprintf("notes/%d", i), "")
	}
	w.ready(w.put("photos", "b.jpg", "", jpegOf(4, 3)))
	if n := store.asked.Load(); n != 0 {
		t.Errorf("the worker asked %d times about single objects that never were photos", n)
	}
	w.put("photos", "a.jpg", "text/plain", []byte("note"))
	w.gone("photos", "a.jpg")
	w.remove("photos", "b.jpg", "")
	w.gone("photos", "b.jpg")
}

// TestPendingRecordIsTaken: what POST announced becomes the object's record.
func TestPendingRecordIsTaken(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	pending, err := w.store.UpsertMedia(t.Context(), "photos", "a.jpg", func(m *metadata.Media) error {
		m.Kind, m.State, m.Title = metadata.KindPhoto, metadata.MediaPending, "Before"
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	w.start(w.store)
	if m := w.ready(w.put("photos", "a.jpg", "image/jpeg", jpegOf(4, 3))); m.ID != pending.ID || m.Title != "Before" || m.Width != 4 {
		t.Errorf("%+v", m)
	}
}

// TestOverHTTP: a worker that reads from an origin takes a few small ranges of a
// large file.
func TestOverHTTP(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	photo := jpegOf(40, 30)
	data := append(bytes.Clone(photo[:2]), bytes.Repeat(append(binary.BigEndian.AppendUint16([]byte{0xff, 0xe5}, 1002), make([]byte, 1000)...), 10)...)
	data = append(append(data, photo[2:]...), make([]byte, 4<<20)...)
	v := w.put("photos", "large.jpg", "image/jpeg", data)
	o, node := newOrigin(t, pgtest.Region, v, data)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	worker := media.New(media.Options{Store: w.store, Opener: opener(pgtest.Region, secret, node), Log: slog.New(slog.DiscardHandler)})
	go func() { done <- worker.Run(ctx) }()
	if m := w.ready(v); m.State != metadata.MediaReady || m.Width != 40 {
		t.Errorf("%+v", m)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if n := o.asked.Load(); n != 1 {
		t.Errorf("asked %d times", n)
	}
}
