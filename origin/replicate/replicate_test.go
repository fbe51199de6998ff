package replicate_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"meridian/internal/sse"
	"meridian/metadata"
	"meridian/metadata/postgres"
	"meridian/metadata/postgres/pgtest"
	"meridian/origin"
	"meridian/origin/blob"
	"meridian/origin/blob/disk"
	"meridian/origin/crypt"
	"meridian/origin/replicate"
)

const (
	home   = pgtest.Region
	abroad = "asia"
)

// world is a catalogue, a region that takes writes, and the store of another
// that is to hold copies.
type world struct {
	*testing.T
	catalog     *postgres.Store
	objects     *origin.Objects // of home
	home, there *disk.Store
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{T: t, catalog: pgtest.New(t)}
	open := func() *disk.Store {
		s, err := disk.Open(disk.Config{Dir: t.TempDir(), HeadRoom: -1})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { s.Close() })
		return s
	}
	w.home, w.there = open(), open()
	ring, err := sse.NewRing([sse.KeySize]byte{1})
	if err != nil {
		t.Fatal(err)
	}
	w.objects = origin.New(origin.Options{
		Region: home, Store: w.home, Catalog: w.catalog, Log: slog.New(slog.DiscardHandler), Crypt: &crypt.Keys{Ring: ring},
	})
	_, err = w.catalog.CreateBucket(t.Context(), metadata.Bucket{Name: "photos", Region: home, Owner: "ann", Placement: metadata.Placement{home, abroad}})
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func (w *world) put(key string, body []byte) metadata.Version {
	w.Helper()
	v, err := w.objects.Put(w.Context(), origin.PutInput{
		Template: metadata.Version{Bucket: "photos", Key: key, Owner: "ann", ContentType: "image/jpeg"}, Body: bytes.NewReader(body), Size: int64(len(body)),
	})
	if err != nil {
		w.Fatal(err)
	}
	return v
}

// source reads out of home's store, and may spoil what it reads.
type source struct {
	w     *world
	spoil func(off int64, body io.ReadCloser) (io.ReadCloser, error) // optional

	mu    sync.Mutex
	asked []int64 // offsets
}

func (s *source) OpenStored(ctx context.Context, v metadata.Version, off, n int64) (io.ReadCloser, string, error) {
	s.mu.Lock()
	s.asked = append(s.asked, off)
	spoil := s.spoil
	s.mu.Unlock()
	body, err := s.w.home.Open(ctx, v.Blob, off, n)
	if err == nil && spoil != nil {
		body, err = spoil(off, body)
	}
	return body, home, err
}

func (s *source) heal() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.spoil = nil
}

func (s *source) offsets() []int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.asked)
}

// start runs a replicator of abroad until stop is called, or the test ends.
func (w *world) start(holder string, from *source, change ...func(*replicate.Options)) (stop func()) {
	w.Helper()
	o := replicate.Options{
		Region: abroad, Store: w.there, Catalog: w.catalog, Source: from, Holder: holder,
		Log: slog.New(slog.DiscardHandler), Registry: prometheus.NewRegistry(), FirstPause: 20 * time.Millisecond, LongestPause: 100 * time.Millisecond,
	}
	for _, f := range change {
		f(&o)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- replicate.New(o).Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			w.Errorf("Run = %v", err)
		}
	})
	w.Cleanup(stop)
	return stop
}

func (w *world) backlog() (b metadata.Backlog) {
	w.Helper()
	list, err := w.catalog.Backlogs(w.Context())
	if err != nil {
		w.Fatal(err)
	}
	for _, b := range list {
		if b.Region == abroad {
			return b
		}
	}
	return metadata.Backlog{}
}

func (w *world) until(what string, ok func() bool) {
	w.Helper()
	for limit := time.Now().Add(2 * time.Minute); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(limit) {
			w.Fatalf("waited for %s; backlog %+v", what, w.backlog())
		}
	}
}

func (w *world) drained() { w.until("the last copy", func() bool { return w.backlog().Objects == 0 }) }

// wantCopy checks that the catalogue knows of the copy, and that it is one.
func (w *world) wantCopy(v metadata.Version, want []byte) {
	w.Helper()
	now, err := w.catalog.Lookup(w.Context(), metadata.Ref{Bucket: v.Bucket, Key: v.Key, VersionID: v.ID})
	if err != nil || !slices.Equal(now.Regions, []string{home, abroad}) {
		w.Errorf("%s is in %v, %v", v.Key, now.Regions, err)
	}
	info, err := w.there.Stat(w.Context(), v.Blob)
	if err != nil || info.CRC64 != v.CRC64 || info.Size != v.StoredSize() {
		w.Errorf("the copy of %s: %+v, %v", v.Key, info, err)
		return
	}
	original, err := w.home.Stat(w.Context(), v.Blob)
	delete(info.Meta, "null") // which only the catalogue could tell the copy
	if err != nil || len(info.Meta) == 0 || !maps.Equal(info.Meta, original.Meta) {
		w.Errorf("metadata of the copy of %s: %v, want %v (%v)", v.Key, info.Meta, original.Meta, err)
	}
	body, err := w.there.Open(w.Context(), v.Blob, 0, -1)
	if err != nil {
		w.Fatal(err)
	}
	defer body.Close()
	if got, err := io.ReadAll(body); err != nil || !bytes.Equal(got, want) {
		w.Errorf("the copy of %s has %d bytes, want %d equal ones (%v)", v.Key, len(got), len(want), err)
	}
}

func noise(seed uint64, n int) []byte {
	b := make([]byte, n)
	rnd := rand.New(rand.NewPCG(seed, 7))
	for i := range b {
		b[i] = byte(rnd.Uint32())
	}
	return b
}

func TestCopiesArriveAndMatch(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	bodies := map[string][]byte{}
	var all []metadata.Version
	for i := range 40 {
		key := fmt.Sprintf("dir/%d.jpg", i)
		bodies[key] = noise(uint64(i), i*1000) // the first is empty
		all = append(all, w.put(key, bodies[key]))
	}
	// Several origins of a region share the work.
	src := &source{w: w}
	for i := range 3 {
		w.start(fmt.Sprint("origin-", i), src, func(o *replicate.Options) { o.Parallel = 2 })
	}
	for i := 40; i < 60; i++ { // while they run
		key := fmt.Sprintf("dir/%d.jpg", i)
		bodies[key] = noise(uint64(i), i*1000)
		all = append(all, w.put(key, bodies[key]))
	}
	w.drained()
	for _, v := range all {
		w.wantCopy(v, bodies[v.Key])
	}
	if n := len(src.offsets()); n != len(all) {
		t.Errorf("%d blobs were read %d times", len(all), n)
	}
	known, err := w.catalog.KnownRegions(t.Context())
	if err != nil || !slices.Contains(known, abroad) {
		t.Errorf("known regions %v, %v", known, err)
	}
}

const partSize = 64 << 10

func inParts(o *replicate.Options) { o.PartSize = partSize }

// cut lets n bytes through and then fails.
func cut(n int64) func(int64, io.ReadCloser) (io.ReadCloser, error) {
	return func(_ int64, body io.ReadCloser) (io.ReadCloser, error) {
		return struct {
			io.Reader
			io.Closer
		}{io.MultiReader(io.LimitReader(body, n), iotest.ErrReader(errors.New("connection reset"))), body}, nil
	}
}

func TestALargeCopyGoesOnWhereItBrokeOff(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	body := noise(1, 5*partSize+100)
	v := w.put("video.mp4", body)
	src := &source{w: w, spoil: cut(2*partSize + partSize/2)}
	stop := w.start("first", src, inParts, func(o *replicate.Options) { o.FirstPause, o.LongestPause = time.Second, time.Second })
	w.until("the first try to fail", func() bool { return w.backlog().Failing == 1 })
	stop()
	if b := w.backlog(); b.Objects != 1 || b.Bytes != v.Size || !strings.Contains(b.Error, "connection reset") {
		t.Errorf("backlog %+v", b)
	}
	if got := src.offsets(); !slices.Equal(got, []int64{0}) {
		t.Fatalf("read from %v", got)
	}
	src.heal()
	w.start("second", src, inParts)
	w.drained()
	w.wantCopy(v, body)
	if got := src.offsets(); !slices.Equal(got, []int64{0, 2 * partSize}) {
		t.Errorf("read from %v, want from the start and then behind the parts that were stored", got)
	}
	for u, err := range w.there.Uploads(t.Context(), time.Now().Add(time.Hour)) {
		t.Errorf("left an upload: %+v, %v", u, err)
	}
}

func TestACopyThatIsInterruptedIsGivenBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	body := noise(2, 3*partSize)
	v := w.put("video.mp4", body)
	reading, stall := make(chan struct{}), make(chan struct{})
	src := &source{w: w, spoil: func(_ int64, body io.ReadCloser) (io.ReadCloser, error) {
		return struct {
			io.Reader
			io.Closer
		}{io.MultiReader(io.LimitReader(body, partSize), blocked{reading, stall}, body), body}, nil
	}}
	stop := w.start("first", src, inParts)
	<-reading
	close(stall)
	src.heal()
	stop()
	if b := w.backlog(); b.Failing != 0 {
		t.Errorf("an interrupted copy counts as failed: %+v", b)
	}
	w.start("second", src, inParts) // long before the lease of the first would end
	w.drained()
	w.wantCopy(v, body)
}

// blocked tells that it is read, and ends when it is told to, after a moment.
type blocked struct{ reading, stall chan struct{} }

func (b blocked) Read([]byte) (int, error) {
	close(b.reading)
	<-b.stall
	return 0, io.EOF
}

func TestBadBytesAreNeverPlaced(t *testing.T) {
	t.Parallel()
	for name, size := range map[string]int{"in one piece": 1000, "in parts": 4 * partSize} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			body := noise(3, size)
			v := w.put("a.jpg", body)
			src := &source{w: w, spoil: func(_ int64, body io.ReadCloser) (io.ReadCloser, error) {
				defer body.Close()
				b, err := io.ReadAll(body)
				if len(b) > 0 {
					b[len(b)-1] ^= 1
				}
				return io.NopCloser(bytes.NewReader(b)), err
			}}
			w.start("x", src, inParts)
			w.until("two tries", func() bool { return len(src.offsets()) > 1 && w.backlog().Failing == 1 })
			if b := w.backlog(); !strings.Contains(b.Error, "corrupt") || !strings.Contains(b.Error, home) {
				t.Errorf("the error does not say what is wrong and where: %q", b.Error)
			}
			now, err := w.catalog.Lookup(t.Context(), metadata.Ref{Bucket: "photos", Key: "a.jpg"})
			if err != nil || slices.Contains(now.Regions, abroad) {
				t.Errorf("placed in %v, %v", now.Regions, err)
			}
			src.heal()
			w.drained()
			w.wantCopy(v, body)
		})
	}
}

func TestACopyThatWasMadeButNotRecordedIsFound(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	good, bad := noise(4, 2000), noise(5, 2000)
	v, other := w.put("a.jpg", good), w.put("b.jpg", bad)
	// As a crash between the two leaves it; of the second other bytes are there.
	for _, x := range []metadata.Version{v, other} {
		meta, err := w.home.Stat(t.Context(), x.Blob)
		if err == nil {
			_, err = w.there.Put(t.Context(), x.Blob, 2000, bytes.NewReader(good), meta.Meta)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	w.start("x", &source{w: w})
	w.drained()
	w.wantCopy(v, good)
	w.wantCopy(other, bad)
}

func TestNothingStaysOfWhatWasDeletedMeanwhile(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	v := w.put("a.jpg", noise(6, 3*partSize))
	reading, stall := make(chan struct{}), make(chan struct{})
	src := &source{w: w, spoil: func(_ int64, body io.ReadCloser) (io.ReadCloser, error) {
		return struct {
			io.Reader
			io.Closer
		}{io.MultiReader(blocked{reading, stall}, body), body}, nil
	}}
	w.start("x", src)
	<-reading
	if _, err := w.objects.Delete(t.Context(), metadata.Ref{Bucket: "photos", Key: "a.jpg"}, metadata.Cond{}); err != nil {
		t.Fatal(err)
	}
	close(stall)
	w.until("the copy to be freed, or never to be", func() bool {
		dropped, err := w.catalog.Dropped(t.Context(), abroad, time.Now().Add(time.Hour), 10)
		if err != nil {
			t.Fatal(err)
		}
		_, err = w.there.Stat(t.Context(), v.Blob)
		return len(dropped) == 1 && err == nil || errors.Is(err, fs.ErrNotExist)
	})
	w.drained()
}

func TestAStoreThatFailsIsTriedAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	store := &flaky{Store: w.there, down: true}
	bodies := map[string][]byte{}
	var all []metadata.Version
	for i := range 30 {
		key := fmt.Sprint(i, ".jpg")
		bodies[key] = noise(uint64(i), 500)
		all = append(all, w.put(key, bodies[key]))
	}
	w.start("x", &source{w: w}, func(o *replicate.Options) { o.Store, o.Parallel = store, 4 })
	w.until("a failure", func() bool { return w.backlog().Failing > 4 })
	if b := w.backlog(); b.Objects != 30 || !strings.Contains(b.Error, "connection refused") {
		t.Errorf("backlog %+v", b)
	}
	store.set(false)
	w.drained()
	for _, v := range all {
		w.wantCopy(v, bodies[v.Key])
	}
}

// flaky is a store that may be away.
type flaky struct {
	blob.Store
	mu   sync.Mutex
	down bool
}

func (f *flaky) set(down bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.down = down
}

func (f *flaky) Put(ctx context.Context, key string, size int64, r io.Reader, m blob.Meta) (blob.Info, error) {
	f.mu.Lock()
	down := f.down
	f.mu.Unlock()
	if down {
		return blob.Info{}, errors.New("connection refused")
	}
	return f.Store.Put(ctx, key, size, r, m)
}

func TestALeaseIsKeptWhileACopyTakesLong(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	body := noise(8, 1000)
	v := w.put("a.jpg", body)
	reading, stall := make(chan struct{}), make(chan struct{})
	slow := &source{w: w, spoil: func(_ int64, body io.ReadCloser) (io.ReadCloser, error) {
		return struct {
			io.Reader
			io.Closer
		}{io.MultiReader(blocked{reading, stall}, body), body}, nil
	}}
	const lease = 2 * time.Second // for a busy machine, too, to keep it
	short := func(o *replicate.Options) { o.Lease = lease }
	w.start("slow", slow, short)
	<-reading
	other := &source{w: w}
	w.start("other", other, short)
	time.Sleep(lease * 3 / 2) // it has to be kept
	close(stall)
	w.drained()
	w.wantCopy(v, body)
	if n := len(other.offsets()); n != 0 {
		t.Errorf("another process made the copy %d times", n)
	}
}

// TestEncryptedObjectsAreCopiedAsTheyAre: nobody on the way has, or needs, a key.
func TestEncryptedObjectsAreCopiedAsTheyAre(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	body := bytes.Repeat([]byte("nobody may read this; "), 10_000)
	var all []metadata.Version
	for key, e := range map[string]*metadata.Encryption{
		"by the server": {Kind: metadata.ServerKeys}, "by the customer": {Kind: metadata.CustomerKeys, Customer: &[32]byte{7}},
	} {
		v, err := w.objects.Put(t.Context(), origin.PutInput{
			Template: metadata.Version{Bucket: "photos", Key: key, Owner: "ann", Encryption: e}, Body: bytes.NewReader(body), Size: int64(len(body)),
		})
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, v)
	}
	// In one piece, and in parts.
	for _, size := range []int64{1 << 20, 64 << 10} {
		stop := w.start("holder", &source{w: w}, func(o *replicate.Options) { o.PartSize = size })
		w.drained()
		stop()
		for _, v := range all {
			r, err := w.home.Open(t.Context(), v.Blob, 0, -1)
			if err != nil {
				t.Fatal(err)
			}
			stored, err := io.ReadAll(r)
			if err != nil || bytes.Contains(stored, body[:20]) || r.Close() != nil {
				t.Fatalf("%s: %d bytes, %v", v.Key, len(stored), err)
			}
			w.wantCopy(v, stored)
		}
		if size == 1<<20 {
			all = append(all[:0], w.putEncrypted("in parts", body))
		}
	}
}

func (w *world) putEncrypted(key string, body []byte) metadata.Version {
	w.Helper()
	v, err := w.objects.Put(w.Context(), origin.PutInput{
		Template: metadata.Version{Bucket: "photos", Key: key, Owner: "ann", Encryption: &metadata.Encryption{Kind: metadata.ServerKeys}},
		Body:     bytes.NewReader(body), Size: int64(len(body)),
	})
	if err != nil {
		w.Fatal(err)
	}
	return v
}
