package popular_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"meridian/edge/popular"
)

func newCounter(names int) *popular.Counter {
	return popular.New(popular.Config{HalfLife: time.Hour, Names: names, Now: time.Now})
}

// No count is too low, and few are too high by more than the sketch promises.
func TestCountsWithinBounds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const requests, names = 150_000, 1024
		c := newCounter(names)
		zipf := rand.NewZipf(rand.New(rand.NewPCG(1, 1)), 1.1, 4, 100_000)
		truth := map[uint64]float64{}
		for range requests {
			n := zipf.Uint64()
			truth[n]++
			c.Add(fmt.Sprint(n), 1)
		}
		var off int
		bound := math.E / (4 * names) * requests // by Cormode and Muthukrishnan
		for n, want := range truth {
			got := c.Count(fmt.Sprint(n))
			if got < want-1e-6 {
				t.Fatalf("%d was asked for %.0f times, and is said to have been %.1f times", n, want, got)
			}
			if got > want+bound {
				off++
			}
		}
		if share := float64(off) / float64(len(truth)); share > math.Exp(-4) {
			t.Errorf("%.1f %% of the counts are off by more than %.0f", 100*share, bound)
		}
		if got := c.Names(); math.Abs(got/float64(len(truth))-1) > 0.15 {
			t.Errorf("%.0f names, there are %d", got, len(truth))
		}
		// The names asked for most are in order, and counted about right.
		top := c.Top(0.001, 1)
		if want := float64(len(truth)) / 1000; math.Abs(float64(len(top))/want-1) > 0.2 {
			t.Fatalf("%d names are the top 0.1 %% of %d", len(top), len(truth))
		}
		for i, it := range top[:20] {
			var n uint64
			fmt.Sscan(it.Name, &n)
			if math.Abs(it.Count-truth[n]) > 0.05*truth[n] {
				t.Errorf("number %d is %s with %.0f requests, it had %.0f", i, it.Name, it.Count, truth[n])
			}
			if i > 0 && it.Count > top[i-1].Count {
				t.Errorf("number %d was asked for more often than number %d", i, i-1)
			}
		}
	})
}

// What is new pushes out what was, however often that was asked for once.
func TestOldRequestsFade(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newCounter(4)
		c.Add("old", 800)
		if got := c.Count("old"); got != 800 {
			t.Fatalf("%v at once", got)
		}
		time.Sleep(3 * time.Hour)
		if got := c.Count("old"); math.Abs(got-100) > 1e-6 {
			t.Errorf("%v after three half-lives, want 100", got)
		}
		c.Add("new", 101)
		if top := c.Top(0.5, 1); len(top) != 1 || top[0].Name != "new" {
			t.Errorf("half of two names: %v", top)
		}
		if top := c.Top(1, 100.5); len(top) != 1 {
			t.Errorf("asked for 100.5 times or more: %v", top)
		}
		time.Sleep(10 * time.Hour)
		if n := c.Names(); n != 0 || len(c.Top(1, 0)) != 0 {
			t.Errorf("%v names after another ten: %v", n, c.Top(1, 0))
		}
		// Over years nothing overflows.
		for range 50 {
			time.Sleep(60 * time.Hour)
			c.Add("steady", 1)
		}
		if got := c.Count("steady"); math.Abs(got-1) > 1e-6 {
			t.Errorf("once in 60 half-lives: %v", got)
		}
	})
}

// A name that is asked for steadily is found among many that are asked for once.
func TestFindsAmongOneHitWonders(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newCounter(4096)
		for i := range 60_000 {
			c.Add(fmt.Sprintf("once-%d", i), 1)
			if i%100 == 0 {
				c.Add(fmt.Sprintf("steady-%d", i/100%10), 1)
			}
		}
		found := 0
		for _, it := range c.Top(1, 1)[:20] {
			var n int
			if _, err := fmt.Sscanf(it.Name, "steady-%d", &n); err == nil {
				found++
			}
		}
		if found < 8 {
			t.Errorf("%d of 10 are among the first 20", found)
		}
	})
}

// TestMemoryIsBounded adds names by the hundred thousand.
//
//nolint:paralleltest // it looks at the whole heap
func TestMemoryIsBounded(t *testing.T) {
	heap := func() int64 {
		var ms runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&ms)
		return int64(ms.HeapAlloc)
	}
	const names = 4096
	before := heap()
	c := newCounter(names)
	for i := range 300_000 {
		c.Add(fmt.Sprintf("bucket/a/photo/%d.jpg", i), 1)
	}
	grown := heap() - before
	t.Logf("%d KiB for %d names", grown>>10, names)
	if grown > names*(128+150)+256<<10 {
		t.Errorf("%d bytes", grown)
	}
	if n := len(c.Top(1, 0)); n != names {
		t.Errorf("%d names are kept, want %d", n, names)
	}
}

func TestManyAtOnce(t *testing.T) {
	t.Parallel()
	c := newCounter(64)
	var all sync.WaitGroup
	for i := range 4 {
		all.Go(func() {
			for k := range 2000 {
				c.Add(fmt.Sprint(k%100), 1)
				if k%500 == i {
					c.Top(0.1, 1)
					c.Names()
				}
			}
		})
	}
	all.Wait()
	if got := c.Names(); got != 100 {
		t.Errorf("%v names, want 100", got)
	}
	if got := c.Count("7"); math.Abs(got-80) > 0.1 {
		t.Errorf("%v requests, want 80", got)
	}
}

func BenchmarkAdd(b *testing.B) {
	c := newCounter(16 << 10)
	zipf := rand.NewZipf(rand.New(rand.NewPCG(1, 1)), 1.1, 4, 100_000)
	names := make([]string, 1<<16)
	for i := range names {
		names[i] = fmt.Sprintf("bucket/a/photo/%d.jpg", zipf.Uint64())
	}
	i := 0
	for b.Loop() {
		c.Add(names[i%len(names)], 1)
		i++
	}
}
