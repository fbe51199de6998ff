package edge_test

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"testing"
	"time"

	"meridian/edge"
	"meridian/metadata"
)

// What prefetch is worth: two edges over one regional cache, 4000 objects asked for
// by zipf, of which some are replaced all the time by such as nobody has asked for
// yet. It is measured over the first requests of an edge that is cold, and of both
// while popularity drifts.
func TestPrefetchPays(t *testing.T) {
	if os.Getenv("TEST_LONG") == "" {
		t.Skip("TEST_LONG=1 measures")
	}
	t.Parallel()
	type figures struct{ cold, steady float64 }
	measure := func(on bool) (f figures, p metadata.Prefetch) {
		w := newWorld(t, metadata.PublicRead)
		config := func(c *edge.Config) { c.Prefetch = edge.Prefetch{On: on, Every: 100 * time.Millisecond} }
		regional := w.start(metadata.TierRegional, "regional-europe-1", config, w.origin.url)
		const objects, drifts = 4000, 50
		for i := range objects + drifts*40 {
			w.origin.put(fmt.Sprintf("media/%d", i), random(2000, uint64(i)))
		}
		rng := rand.New(rand.NewPCG(1, 2))
		zipf := rand.NewZipf(rng, 1.1, 8, objects-1)
		names := rng.Perm(objects)
		next := objects
		ask := func(n *node) bool {
			r := httptest.NewRequest(http.MethodGet, name(names[zipf.Uint64()]), nil)
			rec := httptest.NewRecorder()
			n.node.ServeHTTP(rec, r)
			if rec.Code != http.StatusOK {
				t.Fatalf("%s: %d", r.URL, rec.Code)
			}
			return answer{header: rec.Header()}.result() == "hit"
		}
		load := func(requests int, nodes ...*node) float64 {
			hits := 0
			for i := range requests {
				if ask(nodes[i%len(nodes)]) {
					hits++
				}
			}
			return float64(hits) / float64(requests)
		}
		first := w.start(metadata.TierEdge, "edge-europe-1", config, regional.url)
		load(20_000, first)
		time.Sleep(300 * time.Millisecond)
		second := w.start(metadata.TierEdge, "edge-europe-2", config, regional.url)
		time.Sleep(time.Second)
		f.cold = load(1000, second)
		load(10_000, first, second)
		sum := 0.0
		for range drifts {
			for range 10 { // among the most popular
				names[rng.IntN(100)] = next
				next++
			}
			sum += load(400, first, second)
			time.Sleep(150 * time.Millisecond)
		}
		f.steady = sum / drifts
		for _, n := range []*node{first, second, regional} {
			n.stop()
			total, _ := w.control.total(n.id)
			p.Add(total.Prefetch)
		}
		return f, p
	}
	off, _ := measure(false)
	on, p := measure(true)
	t.Logf("hits of the first 1000 requests of a cold edge: %.1f %% without, %.1f %% with prefetch", 100*off.cold, 100*on.cold)
	t.Logf("of two edges under drift: %.1f %% without, %.1f %% with", 100*off.steady, 100*on.steady)
	t.Logf("fetched ahead %d (%d bytes), won %d, wasted %d", p.Fetched, p.FetchedBytes, p.Won, p.Wasted)
	if on.cold < off.cold+0.02 {
		t.Errorf("prefetch gains nothing at a cold edge")
	}
}
