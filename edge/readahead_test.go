package edge_test

import (
	"bytes"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"meridian/metadata"
)

// A client that is faster than upstream has several slices fetched at a time,
// each once, and none that it did not ask for.
func TestReadAheadOfAFastClient(t *testing.T) {
	t.Parallel()
	w := newWorld(t, metadata.PublicRead)
	e := w.edge(w.origin.url)
	body := random(24*mib+5, 7)
	w.origin.put("media/film", body)
	var running, most atomic.Int64
	w.origin.set(func() {
		w.origin.hold = func(*http.Request, *object) {
			now := running.Add(1)
			for was := most.Load(); now > was && !most.CompareAndSwap(was, now); was = most.Load() {
			}
			time.Sleep(50 * time.Millisecond)
			running.Add(-1)
		}
	})
	const last = 20*mib - 1 // four slices more are not asked for
	a := e.get("/media/film", "Range", fmt.Sprintf("bytes=0-%d", last))
	wantBody(t, "the film", a, 206, "miss", body[:last+1])
	if got := most.Load(); got < 3 || got > 9 {
		t.Errorf("%d requests at a time upstream, want several and no more than 9", got)
	}
	seen := map[string]bool{}
	for line := range strings.SplitSeq(w.origin.log(), "\n") {
		if seen[line] {
			t.Errorf("fetched twice: %s", line)
		}
		seen[line] = true
	}
	if len(seen) != 20 {
		t.Errorf("%d requests for 20 slices", len(seen))
	}
	if e.metric(t, "meridian_cache_slices_ahead_total") == 0 {
		t.Error("nothing is said of it")
	}
	wantBody(t, "again", e.get("/media/film", "Range", fmt.Sprintf("bytes=0-%d", last)), 206, "hit", body[:last+1])
}

// Many fast clients of many films share what may be read ahead, and none of it is
// lost when they leave: those who come later read ahead again.
func TestReadAheadIsBounded(t *testing.T) {
	t.Parallel()
	w := newWorld(t, metadata.PublicRead)
	e := w.edge(w.origin.url)
	body := random(8*mib, 8)
	const films = 20 // more than the cache holds
	for i := range films {
		w.origin.put(fmt.Sprintf("media/%d", i), body)
	}
	var running, most atomic.Int64
	w.origin.set(func() {
		w.origin.hold = func(*http.Request, *object) {
			now := running.Add(1)
			for was := most.Load(); now > was && !most.CompareAndSwap(was, now); was = most.Load() {
			}
			time.Sleep(20 * time.Millisecond)
			running.Add(-1)
		}
	})
	for range 2 {
		var all sync.WaitGroup
		for i := range films {
			all.Go(func() {
				if a, err := e.do(t.Context(), http.MethodGet, name(i), nil); err != nil || a.status != 200 || !bytes.Equal(a.body, body) {
					t.Errorf("film %d: %d, %d bytes, %v", i, a.status, len(a.body), err)
				}
			})
		}
		all.Wait()
	}
	// One slice of each, and of all together 16 and a 64th of the cache's 144.
	if got := most.Load(); got > films+16+144/64 {
		t.Errorf("%d requests at a time for %d clients", got, films)
	}
}
