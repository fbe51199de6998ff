package edge_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"meridian/edge"
	"meridian/metadata"
)

// What a node pushes is exactly what it was asked, though answers of pushes get
// lost.
func TestCounters(t *testing.T) {
	t.Parallel()
	w := newWorld(t, metadata.PublicRead)
	edge, regional := w.pair()
	w.control.change(func() { w.control.lostAcks = 3 })
	small, large := random(1000, 1), random(3*mib, 2)
	w.origin.put("media/photo", small, "Content-Type", "image/jpeg")
	w.origin.put("media/film", large, "Content-Type", "video/mp4")

	edge.get("/media/photo")                                                      // miss, a view
	edge.get("/media/photo")                                                      // hit, a view
	edge.request(http.MethodHead, "/media/photo", nil)                            // hit
	edge.get("/media/photo", "If-None-Match", "*")                                // hit, 304
	edge.get("/media/film", "Range", "bytes=0-99")                                // miss: slice 0, a view
	edge.get("/media/film", "Range", "bytes=50-99")                               // hit
	edge.get("/media/film")                                                       // miss: two of three slices, a view
	edge.get("/media/film")                                                       // hit, a view
	edge.get("/media/none")                                                       // miss
	edge.get("/media/none")                                                       // hit
	edge.request(http.MethodPost, "/media/photo", nil)                            // not counted
	edge.get("/nobucket/x")                                                       // not counted
	edge.request(http.MethodGet, "/media/photo", signed(userKey, "wrong secret")) // not counted
	edge.request(http.MethodGet, "/media/photo", asNode())                        // hit, no view
	edge.stop()
	regional.stop()

	got, views := w.control.total(edge.id)
	if got.Requests != 11 || got.Hits != 7 || got.Misses != 4 || got.Stale+got.Revalidated+got.Pass != 0 {
		t.Errorf("edge counted %+v", got)
	}
	if got.AnsweredOrigin != 4 || got.AnsweredRegional != 0 {
		t.Errorf("answered by origin %d, regional %d", got.AnsweredOrigin, got.AnsweredRegional)
	}
	var latencies int64
	for _, n := range got.Latency {
		latencies += n
	}
	if latencies != 11 {
		t.Errorf("%d latencies", latencies)
	}
	if views != 5 {
		t.Errorf("%d views", views)
	}
	// Bodies of errors count as they are sent; take them off.
	bytes, hitBytes := photoAndFilm(w, edge.id)
	wantBytes := int64(3*1000 + 100 + 50 + 2*len(large))
	wantHit := int64(2*1000 + 50 + mib + len(large))
	if bytes != wantBytes || hitBytes != wantHit {
		t.Errorf("bytes %d, hit bytes %d; want %d, %d", bytes, hitBytes, wantBytes, wantHit)
	}
	got, views = w.control.total(regional.id)
	if got.Requests != 5 || got.Misses != 5 || views != 0 {
		t.Errorf("regional counted %+v, %d views", got, views)
	}
}

func photoAndFilm(w *world, node string) (bytes, hitBytes int64) {
	w.control.mu.Lock()
	defer w.control.mu.Unlock()
	for _, p := range w.control.pushes {
		for _, c := range p.Counters {
			if p.Node.ID == node && c.Class != metadata.ClassOther {
				bytes += c.Bytes
				hitBytes += c.HitBytes
			}
		}
	}
	return bytes, hitBytes
}

// Which tier answered, as the edge tells it.
func TestAnsweredBy(t *testing.T) {
	t.Parallel()
	w := newWorld(t, metadata.PublicRead)
	first, regional := w.pair()
	second := w.start(metadata.TierEdge, "edge-europe-2", nil, regional.url)
	w.origin.put("media/a", random(2*mib, 1))
	first.get("/media/a")
	second.get("/media/a")
	second.get("/media/a")
	first.stop()
	second.stop()
	a, _ := w.control.total(first.id)
	b, _ := w.control.total(second.id)
	if a.AnsweredOrigin != 1 || a.AnsweredRegional != 0 || b.AnsweredOrigin != 0 || b.AnsweredRegional != 1 || b.Hits != 1 {
		t.Errorf("first %+v, second %+v", a, b)
	}
}

// A client that goes away in mid-body counts once, with what it took.
func TestClientAborts(t *testing.T) {
	t.Parallel()
	w := newWorld(t, metadata.PublicRead)
	e := w.edge(w.origin.url)
	body := random(64*mib, 1)
	w.origin.put("media/film", body)
	ctx, leave := context.WithCancel(t.Context())
	req, _ := http.NewRequestWithContext(ctx, http.MethodGet, e.url+"/media/film", nil)
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 1000)
	if _, err := resp.Body.Read(buf); err != nil {
		t.Fatal(err)
	}
	leave()
	_ = resp.Body.Close()
	w.control.eventually(t, "the request is counted", func() bool { c, _ := w.control.total(e.id); return c.Requests == 1 })
	c, _ := w.control.total(e.id)
	if c.Misses != 1 || c.Bytes <= 0 || c.Bytes >= int64(len(body)) {
		t.Errorf("counted %+v", c)
	}
	wantBody(t, "the next client", e.get("/media/film", "Range", "bytes=0-99"), 206, "hit", body[:100])
}

// A client that takes nothing is cut.
func TestSlowClientIsCut(t *testing.T) {
	t.Parallel()
	w := newWorld(t, metadata.PublicRead)
	e := w.start(metadata.TierEdge, "edge-europe-1", func(c *edge.Config) { c.SlowClient = 50 * time.Millisecond }, w.origin.url)
	w.origin.put("media/film", random(64*mib, 1))
	resp, err := client.Get(e.url + "/media/film")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	w.control.eventually(t, "the request is over", func() bool { c, _ := w.control.total(e.id); return c.Requests == 1 })
}

func TestMetrics(t *testing.T) {
	t.Parallel()
	w := newWorld(t, metadata.PublicRead)
	e := w.edge(w.origin.url)
	w.origin.put("media/a", []byte("a"))
	wantBody(t, "cold", e.get("/media/a"), 200, "miss", []byte("a"))
	wantBody(t, "warm", e.get("/media/a"), 200, "hit", []byte("a"))
	families, err := e.reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			var labels []string
			for _, l := range m.GetLabel() {
				labels = append(labels, l.GetName()+"="+l.GetValue())
			}
			v := m.GetCounter().GetValue() + m.GetGauge().GetValue()
			got[f.GetName()+"{"+strings.Join(labels, ",")+"}"] = v
		}
	}
	for name, want := range map[string]float64{
		"meridian_cache_requests_total{bucket=media,class=other,region=europe,result=hit,tier=edge}":  1,
		"meridian_cache_requests_total{bucket=media,class=other,region=europe,result=miss,tier=edge}": 1,
		"meridian_cache_bytes_total{bucket=media,class=other,region=europe,result=hit,tier=edge}":     1,
		"meridian_cache_fills_total{kind=head,outcome=ok,region=europe,tier=edge}":                    1,
		"meridian_cache_indexed_heads{region=europe,tier=edge}":                                       1,
	} {
		if got[name] != want {
			t.Errorf("%s = %v, want %v", name, got[name], want)
		}
	}
	if got["meridian_cache_lease_seconds{region=europe,tier=edge}"] <= 0 {
		t.Error("no lease")
	}
}

// The index is bounded, and what it cannot find any more is not held.
func TestHeadsAreBounded(t *testing.T) {
	t.Parallel()
	w := newWorld(t, metadata.PublicRead)
	e := w.start(metadata.TierEdge, "edge-europe-1", func(c *edge.Config) { c.MaxHeads = 10 }, w.origin.url)
	for i := range 50 {
		w.origin.put(fmt.Sprintf("media/%d", i), []byte{1})
		e.get(name(i))
	}
	if got := e.cache.Stats().Entries; got > 10 { // the objects ride in their heads
		t.Errorf("%d heads are held", got)
	}
	wantBody(t, "the newest", e.get(name(49)), 200, "hit", []byte{1})
}
