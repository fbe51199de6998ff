package memory_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"meridian/edge/cache"
	"meridian/edge/cache/cachetest"
	"meridian/edge/cache/memory"
)

func open(tb testing.TB, cfg memory.Config) *memory.Tier {
	tb.Helper()
	m, err := memory.New(cfg)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := m.Close(); err != nil {
			tb.Errorf("Close: %v", err)
		}
	})
	return m
}

func TestConformance(t *testing.T) {
	t.Parallel()
	t.Run("Roomy", func(t *testing.T) {
		t.Parallel()
		cachetest.Run(t, cachetest.Options{Roomy: true}, func(t *testing.T) cache.Tier {
			return open(t, memory.Config{HeadBytes: 8 << 20, SliceBytes: 8 << 20})
		})
	})
	t.Run("Tight", func(t *testing.T) {
		t.Parallel()
		cachetest.Run(t, cachetest.Options{}, func(t *testing.T) cache.Tier {
			return open(t, memory.Config{HeadBytes: 128 << 10, SliceBytes: 2 << 20})
		})
	})
}

func TestRefusesBudgetsThatHoldNothing(t *testing.T) {
	t.Parallel()
	for _, cfg := range []memory.Config{{}, {HeadBytes: 1 << 20}, {SliceBytes: 1 << 20}, memory.Split(1000), {HeadBytes: -1, SliceBytes: 1 << 30}} {
		if m, err := memory.New(cfg); err == nil {
			m.Close()
			t.Errorf("%+v was accepted", cfg)
		}
	}
}

// A value is seen by the next Get, not some time later.
func TestSeesItsOwnPutAtOnce(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	m := open(t, memory.Split(64<<20))
	for i := range 10_000 {
		k := cache.Key{Name: fmt.Sprint(i)}
		if err := m.Put(ctx, k, []byte{byte(i)}); err != nil {
			t.Fatal(err)
		}
		if v, err := m.Get(ctx, k); err != nil || v[0] != byte(i) {
			t.Fatalf("value %d: %v, %v", i, v, err)
		}
	}
	// None of the burst is lost, as some is by Ristretto alone.
	for i := range 10_000 {
		if _, err := m.Get(ctx, cache.Key{Name: fmt.Sprint(i)}); err != nil {
			t.Fatalf("value %d later: %v", i, err)
		}
	}
	if st := m.Stats(); st.Declined != 0 || st.Evictions != 0 || st.Entries != 10_000 {
		t.Errorf("%+v", st)
	}
}

// The classes do not borrow: slices push out no heads.
func TestClassesHaveTheirOwnBudgets(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	m := open(t, memory.Split(16<<20))
	const heads = 500
	for i := range heads {
		m.Put(ctx, cache.Key{Class: cache.Head, Name: fmt.Sprint(i)}, make([]byte, 1000))
	}
	for i := range 100 {
		m.Put(ctx, cache.Key{Class: cache.Slice, Name: fmt.Sprint(i)}, make([]byte, cache.SliceSize))
	}
	for i := range heads {
		if _, err := m.Get(ctx, cache.Key{Class: cache.Head, Name: fmt.Sprint(i)}); err != nil {
			t.Fatalf("head %d: %v", i, err)
		}
	}
	if err := m.Put(ctx, cache.Key{Class: 9}, nil); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("Put of an unknown class: %v", err)
	}
}

// TestOverhead compares what entries are said to cost with what they do.
//
//nolint:paralleltest // it looks at the whole heap
func TestOverhead(t *testing.T) {
	const n = 50_000
	heap := func() int64 {
		var ms runtime.MemStats
		runtime.GC()
		runtime.GC()
		runtime.ReadMemStats(&ms)
		return int64(ms.HeapAlloc)
	}
	for _, size := range []int{0, 1000} {
		m := open(t, memory.Split(4<<30))
		before := heap()
		for i := range n {
			m.Put(t.Context(), cache.Key{Name: fmt.Sprintf("bucket/a/photo/%d.jpg", i)}, make([]byte, size))
		}
		grown, said := heap()-before, m.Stats().Bytes
		t.Logf("values of %d bytes: %d B an entry, said to be %d", size, grown/n, said/n)
		if grown > said*110/100 {
			t.Errorf("values of %d bytes cost %d B each, said to be %d", size, grown/n, said/n)
		}
		runtime.KeepAlive(m)
	}
}

// TestHeapIsBounded churns slices and heads and looks at what is really held.
//
//nolint:paralleltest // it looks at the whole heap
func TestHeapIsBounded(t *testing.T) {
	const budget = 64 << 20
	m := open(t, memory.Split(budget))
	rng := rand.New(rand.NewPCG(5, 5))
	var most uint64
	for i := range 4000 {
		class, size := cache.Slice, cache.SliceSize
		if i%2 == 0 {
			class, size = cache.Head, 500+rng.IntN(32<<10)
		}
		m.Put(t.Context(), cache.Key{Class: class, Name: fmt.Sprint(i)}, make([]byte, size))
		if i%100 == 0 {
			var ms runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&ms)
			most = max(most, ms.HeapAlloc)
		}
	}
	t.Logf("%d MiB held at most, of a budget of %d", most>>20, budget>>20)
	if most > budget*5/4+16<<20 {
		t.Errorf("%d MiB of a budget of %d MiB", most>>20, budget>>20)
	}
}

func BenchmarkGetHit(b *testing.B) {
	m := open(b, memory.Split(1<<30))
	keys := make([]cache.Key, 10_000)
	for i := range keys {
		keys[i] = cache.Key{Class: cache.Head, Name: fmt.Sprintf("bucket/a/photo/%d.jpg", i)}
		m.Put(b.Context(), keys[i], make([]byte, 1500))
	}
	ctx := context.Background()
	b.ReportAllocs()
	b.ResetTimer()
	var seed atomic.Uint64
	b.RunParallel(func(pb *testing.PB) {
		i := int(seed.Add(7919))
		for pb.Next() {
			i = (i + 7) % len(keys)
			if _, err := m.Get(ctx, keys[i]); err != nil {
				b.Error(err)
				return
			}
		}
	})
}

func BenchmarkPut(b *testing.B) {
	m := open(b, memory.Split(64<<20))
	value := make([]byte, 1500)
	ctx := context.Background()
	var n atomic.Uint64
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			m.Put(ctx, cache.Key{Class: cache.Head, Name: fmt.Sprintf("bucket/a/%d", n.Add(1))}, value)
		}
	})
}

// BenchmarkMixed reads mostly and puts what is missing.
func BenchmarkMixed(b *testing.B) {
	m := open(b, memory.Split(64<<20))
	ctx := context.Background()
	var seed atomic.Uint64
	value := make([]byte, 1500)
	b.RunParallel(func(pb *testing.PB) {
		rng := rand.New(rand.NewPCG(seed.Add(1), 1))
		zipf := rand.NewZipf(rng, 1.1, 1, 100_000)
		for pb.Next() {
			k := cache.Key{Class: cache.Head, Name: fmt.Sprintf("bucket/a/%d", zipf.Uint64())}
			if _, err := m.Get(ctx, k); err != nil {
				m.Put(ctx, k, value)
			}
		}
	})
}

// BenchmarkSmallHitsBesideSlices reads small values while garbage is collected,
// with an empty and with a full budget of slices beside them (4 GiB): p99-us is
// what a hit takes, from which the work of the collector should not show.
func BenchmarkSmallHitsBesideSlices(b *testing.B) {
	for _, held := range []int{0, 4096} {
		b.Run(fmt.Sprintf("%d slices", held), func(b *testing.B) {
			m := open(b, memory.Config{HeadBytes: 64 << 20, SliceBytes: 4300 << 20})
			ctx := context.Background()
			for i := range held {
				m.Put(ctx, cache.Key{Class: cache.Slice, Name: fmt.Sprint(i)}, make([]byte, cache.SliceSize))
			}
			keys := make([]cache.Key, 10_000)
			for i := range keys {
				keys[i] = cache.Key{Class: cache.Head, Name: fmt.Sprintf("bucket/a/photo/%d.jpg", i)}
				m.Put(ctx, keys[i], make([]byte, 1500))
			}
			stop := make(chan struct{})
			done := make(chan struct{})
			go func() {
				defer close(done)
				for {
					select {
					case <-stop:
						return
					default:
						runtime.GC()
					}
				}
			}()
			var took []time.Duration
			i := 0
			for b.Loop() {
				i = (i + 7) % len(keys)
				began := time.Now()
				if _, err := m.Get(ctx, keys[i]); err != nil {
					b.Fatal(err)
				}
				took = append(took, time.Since(began))
			}
			close(stop)
			<-done
			slices.Sort(took)
			b.ReportMetric(float64(took[len(took)*99/100].Nanoseconds())/1000, "p99-us")
		})
	}
}

// A reference gives the value as long as a Get of its key does, and no other.
func TestRef(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	m := open(t, memory.Config{HeadBytes: 1 << 20, SliceBytes: 1 << 20})
	key := func(name string) cache.Key { return cache.Key{Class: cache.Head, Name: name} }
	refer := func(name, want string) cache.Ref {
		t.Helper()
		if err := m.Put(ctx, key(name), []byte(want)); err != nil {
			t.Fatal(err)
		}
		v, r, err := m.Refer(ctx, key(name))
		if err != nil || string(v) != want {
			t.Fatalf("%s is %q, %v", name, v, err)
		}
		return r
	}
	is := func(what string, r cache.Ref, want string, held bool) {
		t.Helper()
		if v, ok := r.Get(); ok != held || string(v) != want {
			t.Errorf("%s: %q, %v; want %q, %v", what, v, ok, want, held)
		}
	}
	deleted, replaced, evicted, kept := refer("a", "1"), refer("b", "2"), refer("c", "3"), refer("d", "4")
	time.Sleep(20 * time.Millisecond) // some have gone over to Ristretto, or not: all the same
	runtime.GC()
	for what, r := range map[string]cache.Ref{"1": deleted, "2": replaced, "3": evicted, "4": kept} {
		is("held", r, what, true)
	}
	if err := m.Delete(ctx, key("a")); err != nil {
		t.Fatal(err)
	}
	is("deleted", deleted, "", false)
	again := refer("a", "1")
	is("deleted, and put anew", deleted, "", false)
	is("put anew", again, "1", true)
	second := refer("b", "2") // the same bytes
	is("replaced", replaced, "", false)
	is("replacement", second, "2", true)
	for i := range 10_000 {
		if err := m.Put(ctx, key(fmt.Sprint(i)), make([]byte, 1000)); err != nil {
			t.Fatal(err)
		}
		kept.Get()
	}
	_, err := m.Get(ctx, key("c"))
	if _, ok := evicted.Get(); ok != (err == nil) {
		t.Errorf("Get says %v, the reference %v", err, ok)
	}
	if _, _, err := m.Refer(ctx, key("none")); !errors.Is(err, cache.ErrMiss) {
		t.Errorf("Refer to nothing: %v", err)
	}
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	is("closed", second, "", false)
	is("closed", kept, "", false)
}
