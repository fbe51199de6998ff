package edge

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"meridian/edge/cache"
	"meridian/metadata"
	"meridian/metadata/tally"
)

// ahead remembers what was fetched before anybody asked for it, until it is asked
// for or gone: the body of a small object, or a slice.
type ahead struct {
	tally *tally.Tally
	now   func() time.Time
	// pieces and bytes count what was fetched, won and wasted, as metadata.Prefetch
	// does.
	pieces, bytes *prometheus.CounterVec

	count  atomic.Int64 // of unread
	mu     sync.Mutex
	unread map[cache.Key]early
	held   int64 // bytes of unread
	// useless is until when what was fetched for nothing is not fetched again.
	useless map[cache.Key]time.Time
}

// early is one thing that was fetched ahead.
type early struct {
	bucket, class string
	bytes         int64
}

// maxEarly is how many things that were fetched ahead are remembered, and how many
// that were useless.
const maxEarly = 64 << 10

func newAhead(cfg *Config, t *tally.Tally) *ahead {
	labels := prometheus.Labels{"region": cfg.Region, "tier": cfg.Tier}
	counter := func(name, help string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: "meridian_cache_" + name, Help: help, ConstLabels: labels}, []string{"lot"})
	}
	return &ahead{
		tally: t, now: cfg.Now, unread: map[cache.Key]early{}, useless: map[cache.Key]time.Time{},
		pieces: counter("ahead_total", "Small objects and slices fetched before anybody asked for them (fetched), then asked for (won), or gone without (wasted)."),
		bytes:  counter("ahead_bytes_total", "Bytes of them, likewise."),
	}
}

func (a *ahead) any() bool { return a.count.Load() > 0 }

// fetched notes that k was.
func (a *ahead) fetched(k cache.Key, e early) {
	a.tell(e, "fetched", metadata.Prefetch{Fetched: 1, FetchedBytes: e.bytes})
	a.mu.Lock()
	former, again := a.unread[k]
	if again {
		a.drop(k)
	}
	if len(a.unread) < maxEarly {
		a.unread[k] = e
		a.held += e.bytes
		a.count.Store(int64(len(a.unread)))
	}
	a.mu.Unlock()
	if again { // it was lost, and nobody looked since
		a.tell(former, "wasted", metadata.Prefetch{Wasted: 1, WastedBytes: former.bytes})
	}
}

// drop forgets k, under the lock.
func (a *ahead) drop(k cache.Key) {
	a.held -= a.unread[k].bytes
	delete(a.unread, k)
	a.count.Store(int64(len(a.unread)))
}

// won notes that somebody asked for k while it was held. Only the first time
// counts: without the fetch ahead, that would have been a miss, and no later one.
func (a *ahead) won(k cache.Key) {
	a.mu.Lock()
	e, waits := a.unread[k]
	if waits {
		a.drop(k)
	}
	a.mu.Unlock()
	if waits {
		a.tell(e, "won", metadata.Prefetch{Won: 1, WonBytes: e.bytes})
	}
}

// sweep looks what has left the cache unread. It is not to be fetched again for a
// while.
func (a *ahead) sweep(holds func(cache.Key) bool) {
	now := a.now()
	a.mu.Lock()
	var gone []early
	for k, e := range a.unread {
		if !holds(k) {
			gone = append(gone, e)
			a.drop(k)
			a.spurnLocked(k, now)
		}
	}
	for k, until := range a.useless {
		if now.After(until) {
			delete(a.useless, k)
		}
	}
	a.mu.Unlock()
	for _, e := range gone {
		a.tell(e, "wasted", metadata.Prefetch{Wasted: 1, WastedBytes: e.bytes})
	}
}

// spurn has k left alone for a while.
func (a *ahead) spurn(k cache.Key) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.spurnLocked(k, a.now())
}

func (a *ahead) spurnLocked(k cache.Key, now time.Time) {
	if len(a.useless) < maxEarly {
		a.useless[k] = now.Add(heatHalfLife / 2)
	}
}

// spurned reports whether k, which is not held, is to be left alone: also where it
// was fetched, and the next sweep will find it gone.
func (a *ahead) spurned(k cache.Key) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	_, useless := a.useless[k]
	_, gone := a.unread[k]
	return useless || gone
}

// waiting is how many bytes nobody has asked for yet.
func (a *ahead) waiting() int64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.held
}

func (a *ahead) tell(e early, lot string, p metadata.Prefetch) {
	a.tally.Prefetched(a.now(), e.bucket, e.class, p)
	a.pieces.WithLabelValues(lot).Inc()
	a.bytes.WithLabelValues(lot).Add(float64(e.bytes))
}
