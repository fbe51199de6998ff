package disk

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"meridian/edge/cache"
)

func openOn(t testing.TB, cfg Config) *Tier {
	t.Helper()
	d, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

func slice(i int) cache.Key { return cache.Key{Class: cache.Slice, Name: fmt.Sprint(i)} }

// settle waits until the writer has nothing to do, and has looked at the disk.
func settle(t testing.TB, d *Tier, done func() bool) {
	t.Helper()
	for !done() {
		if t.Context().Err() != nil {
			t.Fatalf("never settled: %+v", d.Stats())
		}
		runtime.Gosched()
	}
}

// volume is a disk of some size that holds the cache's files and something else.
type volume struct {
	size, others atomic.Int64
}

func (v *volume) free(dir string) (int64, error) {
	free := v.size.Load() - v.others.Load()
	paths, err := filepath.Glob(filepath.Join(dir, "[0-9a-f][0-9a-f]", "s*"))
	for _, p := range paths {
		if info, err := os.Stat(p); err == nil {
			free -= info.Size()
		}
	}
	return free, err
}

func TestHeadroomIsLeft(t *testing.T) {
	t.Parallel()
	var v volume
	v.size.Store(20 << 20)
	const headroom = 8 << 20
	cfg := Config{Dir: t.TempDir(), HeadBytes: minClassBytes, SliceBytes: 1 << 30, Headroom: headroom, free: v.free}
	d := openOn(t, cfg)
	least := func() int64 {
		free, err := v.free(cfg.Dir)
		if err != nil {
			t.Fatal(err)
		}
		return free
	}
	for i := range 30 {
		d.Put(t.Context(), slice(i), make([]byte, cache.SliceSize))
		if free := least(); free < headroom {
			t.Fatalf("%d bytes are left free", free)
		}
	}
	settle(t, d, func() bool { s := d.Stats(); return s.Entries > 5 && s.Entries <= 12 && s.Bytes < 13<<20 })

	// Somebody else takes room: the cache makes way, down to nothing.
	v.others.Store(6 << 20)
	settle(t, d, func() bool { return least() >= headroom && d.Stats().Entries > 0 })
	v.others.Store(15 << 20)
	settle(t, d, func() bool { return d.Stats().Entries == 0 && least() >= 5<<20 })
	before := d.Stats()
	d.Put(t.Context(), slice(100), make([]byte, cache.SliceSize))
	settle(t, d, func() bool {
		s := d.Stats()
		return s.Entries == 0 && s.Declined+s.Evictions == before.Declined+before.Evictions+1
	})

	// And takes it again when it can.
	v.others.Store(0)
	settle(t, d, func() bool {
		d.Put(t.Context(), slice(101), make([]byte, cache.SliceSize))
		return least() < 20<<20
	})
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	d = openOn(t, cfg)
	if _, err := d.Get(t.Context(), slice(101)); err != nil {
		t.Errorf("put when there was room again: %v", err)
	}
}

// A disk that hangs holds up nobody who puts or reads what waits for it.
func TestHangingDiskDeclines(t *testing.T) {
	t.Parallel()
	gate := make(chan struct{})
	release := sync.OnceFunc(func() { close(gate) })
	t.Cleanup(release) // before Close
	d := openOn(t, Config{
		Dir: t.TempDir(), HeadBytes: minClassBytes, SliceBytes: 1 << 30,
		free: func(string) (int64, error) { <-gate; return 1 << 40, nil },
	})
	t.Cleanup(release)
	for i := range 200 {
		d.Put(t.Context(), slice(i), make([]byte, cache.SliceSize))
	}
	s := d.Stats()
	if s.Puts != 200 || s.Declined != 200-maxPending/cache.SliceSize || s.Entries != maxPending/cache.SliceSize {
		t.Errorf("while the disk hangs: %+v", s)
	}
	if _, err := d.Get(t.Context(), slice(0)); err != nil {
		t.Errorf("what waits for the disk: %v", err)
	}
	// A Put over one that waits takes its place, and one over one that waits in
	// vain is gone.
	d.Put(t.Context(), slice(0), make([]byte, 10))
	if v, err := d.Get(t.Context(), slice(0)); err != nil || len(v) != 10 {
		t.Errorf("put over what waits: %d bytes, %v", len(v), err)
	}
	d.Put(t.Context(), slice(1), make([]byte, 2*cache.SliceSize))
	if _, err := d.Get(t.Context(), slice(1)); !errors.Is(err, cache.ErrMiss) {
		t.Errorf("an old value is seen after one was put that had to be declined: %v", err)
	}
	release()
	settle(t, d, func() bool {
		d.queue.mu.Lock()
		defer d.queue.mu.Unlock()
		return d.queue.pending == 0
	})
	if v, err := d.Get(t.Context(), slice(0)); err != nil || len(v) != 10 {
		t.Errorf("when it was written: %d bytes, %v", len(v), err)
	}
}

// A deleted value must not come back after a crash, whether the writer had come
// to the files of the values before it or not.
func TestDeleteRemovesWhatWaitsForRemoval(t *testing.T) {
	t.Parallel()
	var hang atomic.Bool
	gate := make(chan struct{})
	release := sync.OnceFunc(func() { close(gate) })
	dir := t.TempDir()
	d := openOn(t, Config{
		Dir: dir, HeadBytes: minClassBytes, SliceBytes: minClassBytes,
		free: func(string) (int64, error) {
			if hang.Load() {
				<-gate
			}
			return 1 << 40, nil
		},
	})
	t.Cleanup(release)
	count := func() int {
		paths, err := filepath.Glob(filepath.Join(dir, "[0-9a-f][0-9a-f]", "s*"))
		if err != nil {
			t.Fatal(err)
		}
		return len(paths)
	}
	v := make([]byte, 900<<10)
	d.Put(t.Context(), slice(1), v)
	d.Put(t.Context(), slice(2), v)
	settle(t, d, func() bool { return count() == 2 })
	hang.Store(true)
	d.Put(t.Context(), cache.Key{Class: cache.Head, Name: "stops the writer"}, nil)
	settle(t, d, func() bool {
		d.queue.mu.Lock()
		defer d.queue.mu.Unlock()
		return len(d.queue.writes) == 0
	})
	d.Put(t.Context(), slice(1), []byte("newer")) // replaces one
	d.Put(t.Context(), slice(3), v)
	d.Put(t.Context(), slice(4), v) // evicts the other
	for i := 1; i <= 2; i++ {
		if err := d.Delete(t.Context(), slice(i)); err != nil {
			t.Fatal(err)
		}
	}
	if n := count(); n != 0 {
		t.Errorf("%d files are left of deleted values while the writer waits", n)
	}
}

// A full disk or a quota shows as an error of a write only: here, of a volume
// that takes no file.
func TestFailingWritesDecline(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	d := openOn(t, Config{Dir: dir, HeadBytes: minClassBytes, SliceBytes: minClassBytes, Headroom: -1})
	if err := os.RemoveAll(filepath.Join(dir, draftDir)); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, draftDir), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	d.Put(t.Context(), slice(1), []byte("value"))
	settle(t, d, func() bool { s := d.Stats(); return s.Declined == 1 && s.Entries == 0 && s.Bytes == 0 })
	if err := os.Remove(filepath.Join(dir, draftDir)); err != nil {
		t.Fatal(err)
	}
	d.Put(t.Context(), slice(1), []byte("value"))
	settle(t, d, func() bool {
		paths, _ := filepath.Glob(filepath.Join(dir, "[0-9a-f][0-9a-f]", "s*"))
		return len(paths) == 1
	})
}

// fill makes a directory of n slices as a tier would leave it, but for their
// bytes: nothing may need them.
func fill(t testing.TB, dir string, n int) {
	t.Helper()
	shell := openOn(t, Config{Dir: dir, HeadBytes: minClassBytes, SliceBytes: minClassBytes, Headroom: -1})
	if err := shell.Close(); err != nil {
		t.Fatal(err)
	}
	for i := range n {
		k := slice(i)
		f := stored{id: idOf(k), class: k.Class, seq: uint64(i + 1), length: cache.SliceSize + int64(len(k.Name)) + footerSize}
		if err := os.WriteFile(shell.path(&f), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func TestOpensWithoutReadingValues(t *testing.T) {
	t.Parallel()
	n := 3000
	if os.Getenv("TEST_LONG") != "" {
		n = 100_000 // a hundred GiB
	}
	dir := t.TempDir()
	fill(t, dir, n)
	d := openOn(t, Split(dir, 200<<30))
	if s := d.Stats(); s.Entries != int64(n) || s.Bytes < int64(n)*cache.SliceSize {
		t.Errorf("%d slices of a MiB: %+v", n, s)
	}
}

//nolint:paralleltest // it looks at the whole heap
func TestMemoryOfAnEntry(t *testing.T) {
	heap := func() int64 {
		var ms runtime.MemStats
		runtime.GC()
		runtime.GC()
		runtime.ReadMemStats(&ms)
		return int64(ms.HeapAlloc)
	}
	const n = 5000
	dir := t.TempDir()
	fill(t, dir, n)
	before := heap()
	d := openOn(t, Split(dir, 200<<30))
	each := (heap() - before) / n
	t.Logf("%d bytes an entry", each)
	if each > 300 {
		t.Errorf("%d bytes an entry", each)
	}
	runtime.KeepAlive(d)
}

// BenchmarkOpen opens a cache that holds a hundred GiB.
func BenchmarkOpen(b *testing.B) {
	dir := b.TempDir()
	fill(b, dir, 100_000)
	for b.Loop() {
		d, err := Open(Split(dir, 200<<30))
		if err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		if n := d.Stats().Entries; n != 100_000 {
			b.Fatalf("%d entries", n)
		}
		d.Close()
		b.StartTimer()
	}
}

func BenchmarkGetSlice(b *testing.B) {
	d := openOn(b, Config{Dir: b.TempDir(), HeadBytes: minClassBytes, SliceBytes: 64 << 20, Headroom: -1})
	for i := range 16 {
		d.Put(b.Context(), slice(i), make([]byte, cache.SliceSize))
	}
	settle(b, d, func() bool {
		d.queue.mu.Lock()
		defer d.queue.mu.Unlock()
		return d.queue.pending == 0
	})
	b.SetBytes(cache.SliceSize)
	for i := 0; b.Loop(); i++ {
		if _, err := d.Get(b.Context(), slice(i%16)); err != nil {
			b.Fatal(err)
		}
	}
}

func FuzzParseName(f *testing.F) {
	good := stored{id: idOf(slice(1)), class: cache.Slice, seq: 7, length: 1 << 20}
	f.Add(string(good.appendName(nil)))
	f.Add("h00000000000000000000000000000000-1-20")
	f.Add("s-1-2")
	f.Fuzz(func(t *testing.T, name string) {
		got, ok := parseName(name)
		if !ok {
			return
		}
		if again := string(got.appendName(nil)); again != name {
			t.Errorf("%q is read as %+v, which is called %q", name, got, again)
		}
		if got.cost() < got.length || got.length < footerSize {
			t.Errorf("%q: %+v costs %d", name, got, got.cost())
		}
	})
}

func FuzzReadRecord(f *testing.F) {
	f.Add([]byte("value"), "name", uint64(3))
	f.Add([]byte{}, "", uint64(0))
	f.Add(appendTrailer([]byte("v"), 3, "name", []byte("v")), "name", uint64(3))
	f.Fuzz(func(t *testing.T, b []byte, name string, seq uint64) {
		path := filepath.Join(t.TempDir(), "f")
		// As it is, it is hardly a record; what is read of it must be one.
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		file := stored{seq: seq, length: int64(len(b))}
		if v, err := readRecord(path, &file, name); err == nil {
			if again := appendTrailer(v, seq, name, v); string(again) != string(b) {
				t.Errorf("%q is read as %q", b, v)
			}
		}
		// As a value, it comes back.
		if err := writeRecord(path, seq, name, b); err != nil {
			t.Fatal(err)
		}
		file.length = int64(len(b)+len(name)) + footerSize
		if v, err := readRecord(path, &file, name); err != nil || string(v) != string(b) {
			t.Errorf("%q came back as %q, %v", b, v, err)
		}
		if _, err := readRecord(path, &file, name+"x"); err == nil {
			t.Error("read under another name")
		}
	})
}

func FuzzParseHits(f *testing.F) {
	f.Add([]byte(hitsMagic))
	f.Fuzz(func(t *testing.T, b []byte) {
		if hits, err := parseHits(b); err == nil && len(hits) > (len(b)-len(hitsMagic)-4)/hitSize {
			t.Errorf("%d hits in %d bytes", len(hits), len(b))
		}
	})
}

func TestHitsComeBack(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	cfg := Config{Dir: dir, HeadBytes: minClassBytes, SliceBytes: 8 << 20, Headroom: -1}
	d := openOn(t, cfg)
	want := map[uint64]uint8{}
	for i := range 20 {
		d.Put(t.Context(), slice(i), []byte("value"))
		for range i {
			d.Get(t.Context(), slice(i))
		}
		if i > 0 {
			want[idOf(slice(i)).hash()] = uint8(min(i, 15))
		}
	}
	d.Close()
	b, err := os.ReadFile(filepath.Join(dir, hitsName))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := parseHits(b); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%v, %v; want %v", got, err, want)
	}
	// Damaged, they are forgotten, and nothing else.
	b[20] ^= 1
	if err := os.WriteFile(filepath.Join(dir, hitsName), b, 0o600); err != nil {
		t.Fatal(err)
	}
	if s := openOn(t, cfg).Stats(); s.Entries != 20 {
		t.Errorf("%+v", s)
	}
}
