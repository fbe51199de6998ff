package edge_test

import (
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"meridian/internal/hop"
	"meridian/metadata"
)

// While more slices of a bucket are wanted than are asked for at a time, metrics and
// explanations tell how many wait; afterwards none does.
func TestSlicesThatWaitAreTold(t *testing.T) {
	t.Parallel()
	const slices, atOnce = 40, 32
	w := newWorld(t, metadata.PublicRead)
	w.origin.put("media/film", random(slices*mib, 1))
	w.origin.put("media/page", []byte("page"))
	e := w.edge(w.origin.url)
	e.get("/media/film", "Range", "bytes=0-9")
	var asked atomic.Int64
	release := make(chan struct{})
	w.origin.set(func() {
		w.origin.hold = func(r *http.Request, _ *object) {
			if r.Header.Get("Range") != "" && strings.HasSuffix(r.URL.Path, "/film") {
				asked.Add(1)
				<-release
			}
		}
	})
	var clients sync.WaitGroup
	for i := 1; i < slices; i++ {
		clients.Go(func() {
			at := strconv.Itoa(i * mib)
			a, err := e.do(t.Context(), http.MethodGet, "/media/film", with("Range", "bytes="+at+"-"+at))
			if err != nil || a.status != 206 {
				t.Errorf("slice %d: %d, %v", i, a.status, err)
			}
		})
	}
	w.control.eventually(t, "some slices are asked for, and some wait", func() bool {
		return asked.Load() == atOnce && e.metric(t, "meridian_cache_turns_taken") == atOnce && e.metric(t, "meridian_cache_turns_waiting") == slices-1-atOnce
	})
	if q := e.explain("film").Queue; q == nil || *q != (metadata.Queue{Asking: atOnce, Waiting: slices - 1 - atOnce}) {
		t.Errorf("of an object whose slices wait: %+v", q)
	}
	if a := e.request(http.MethodGet, "/media/page", func(r *http.Request) {
		r.Header.Set(hop.Debug, "1")
		signed(userKey, userSecret)(r)
	}); !strings.Contains(a.header.Get(hop.Debug), "; asking=32; waiting=7") {
		t.Errorf("of another object of the bucket: %q", a.header.Get(hop.Debug))
	}
	close(release)
	clients.Wait()
	w.control.eventually(t, "nobody waits any more", func() bool {
		return e.metric(t, "meridian_cache_turns_taken") == 0 && e.metric(t, "meridian_cache_turns_waiting") == 0
	})
	if q := e.explain("film").Queue; q != nil {
		t.Errorf("afterwards: %+v", q)
	}
	if n := e.waits(t, "ok"); n != slices-1-atOnce {
		t.Errorf("%d waits were noted", n)
	}
}

// waits is how many slices have waited for their turn, with that outcome.
func (n *node) waits(t *testing.T, outcome string) (sum uint64) {
	t.Helper()
	families, err := n.reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() != "meridian_cache_turn_wait_seconds" {
			continue
		}
		for _, m := range f.GetMetric() {
			for _, l := range m.GetLabel() {
				if l.GetName() == "outcome" && l.GetValue() == outcome {
					sum += m.GetHistogram().GetSampleCount()
				}
			}
		}
	}
	return sum
}
