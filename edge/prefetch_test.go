package edge_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"testing"
	"time"

	"meridian/edge"
	"meridian/edge/cache"
	"meridian/edge/cache/memory"
	"meridian/internal/hop"
	"meridian/internal/sigv4"
	"meridian/metadata"
)

// prefetching has a node act on what is asked for, every few milliseconds.
func prefetching(c *edge.Config) {
	c.Prefetch = edge.Prefetch{On: true, Every: 20 * time.Millisecond}
}

// What the edges of a region answer by themselves is brought to one that is new,
// before anybody asks it.
func TestColdEdgeIsWarmed(t *testing.T) {
	t.Parallel()
	w := newWorld(t, metadata.Private)
	regional := w.start(metadata.TierRegional, "regional-europe-1", prefetching, w.origin.url)
	first := w.start(metadata.TierEdge, "edge-europe-1", prefetching, regional.url)
	hot, film := random(1000, 1), random(2*mib+5, 2)
	w.origin.put("media/hot", hot, "Content-Type", "image/jpeg")
	w.origin.put("media/film", film, "Content-Type", "video/mp4")
	for i := range 10 {
		w.origin.put(name(i)[1:], random(100, uint64(i)))
		first.request(http.MethodGet, name(i), signed(userKey, userSecret))
	}
	for i := range 9 {
		wantBody(t, "hot", first.request(http.MethodGet, "/media/hot", signed(userKey, userSecret)), http.StatusOK, "", hot)
		if i%2 > 0 {
			continue
		}
		first.request(http.MethodGet, "/media/film", func(r *http.Request) {
			r.Header.Set("Range", fmt.Sprintf("bytes=%d-", 2*mib))
			signed(userKey, userSecret)(r)
		})
	}
	asked := w.origin.asked()

	second := w.start(metadata.TierEdge, "edge-europe-2", prefetching, regional.url)
	var got metadata.Counter
	w.control.eventually(t, "the new edge fetches ahead", func() bool {
		got, _ = w.control.total(second.id)
		return got.Prefetch.FetchedBytes >= int64(len(hot))+mib+5
	})
	if n := w.origin.asked() - asked; n > 1 {
		t.Errorf("the origin was asked %d times, want once at most, for the beginning of the film:\n%s", n, w.origin.log())
	}
	if got.Requests != 0 {
		t.Errorf("%d requests are counted, nobody made any", got.Requests)
	}
	if a := second.get("/media/hot"); a.status != http.StatusForbidden {
		t.Errorf("what is private was told to anybody: %d", a.status)
	}
	wantBody(t, "hot", second.request(http.MethodGet, "/media/hot", signed(userKey, userSecret)), http.StatusOK, "hit", hot)
	wantBody(t, "hot", second.request(http.MethodGet, "/media/hot", signed(userKey, userSecret)), http.StatusOK, "hit", hot)
	a := second.request(http.MethodGet, "/media/film", func(r *http.Request) {
		r.Header.Set("Range", fmt.Sprintf("bytes=%d-", 2*mib))
		signed(userKey, userSecret)(r)
	})
	wantBody(t, "film", a, http.StatusPartialContent, "hit", film[2*mib:])

	// Overwritten before anybody has read it.
	w.written("media/film", second)
	w.control.eventually(t, "what was won is told", func() bool {
		got, _ = w.control.total(second.id)
		return got.Prefetch.Won == 2
	})
	if p := got.Prefetch; p.WonBytes != int64(len(hot))+5 || p.Fetched != 3 {
		t.Errorf("%+v, want the object and the end of the film won", p)
	}
	second.stop()
	first.stop()
	regional.stop()
	if sum, _ := w.control.total(regional.id); sum.Requests != 12 {
		t.Errorf("the regional cache counts %d requests, want those of the first edge's clients", sum.Requests)
	}
}

// What was fetched for nothing is told, and not fetched again.
func TestUselessPrefetchIsTold(t *testing.T) {
	t.Parallel()
	w := newWorld(t, metadata.PublicRead)
	regional := w.start(metadata.TierRegional, "regional-europe-1", prefetching, w.origin.url)
	first := w.start(metadata.TierEdge, "edge-europe-1", prefetching, regional.url)
	w.origin.put("media/hot", random(1000, 1))
	for range 5 {
		first.get("/media/hot")
	}
	second := w.start(metadata.TierEdge, "edge-europe-2", prefetching, regional.url)
	total := func() metadata.Prefetch {
		sum, _ := w.control.total(second.id)
		return sum.Prefetch
	}
	w.control.eventually(t, "it is fetched ahead", func() bool { return total().Fetched == 1 })
	w.written("media/hot", second, regional)
	w.control.eventually(t, "it is told to be wasted", func() bool { return total().Wasted == 1 })
	for range 20 {
		first.get("/media/hot")
	}
	second.stop()
	if got := total(); got != (metadata.Prefetch{Fetched: 1, FetchedBytes: 1000, Wasted: 1, WastedBytes: 1000}) {
		t.Errorf("%+v", got)
	}
}

// A regional cache holds on to what edges answer, while a scan goes through it.
func TestRegionalKeepsWhatEdgesAnswer(t *testing.T) {
	t.Parallel()
	held := map[bool]bool{}
	for _, on := range []bool{false, true} {
		w := newWorld(t, metadata.PublicRead)
		config := func(c *edge.Config) { c.Prefetch = edge.Prefetch{On: on, Every: 5 * time.Millisecond} }
		small, err := memory.New(memory.Config{HeadBytes: 1 << 20, SliceBytes: 4 << 20})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { small.Close() })
		regional := w.start(metadata.TierRegional, "regional-europe-1", func(c *edge.Config) {
			config(c)
			c.Cache = small
		}, w.origin.url)
		first := w.start(metadata.TierEdge, "edge-europe-1", config, regional.url)
		w.origin.put("media/hot", make([]byte, 200<<10))
		for range 10 {
			first.get("/media/hot")
		}
		k := cache.Key{Class: cache.Slice, Name: "media/hot\x00" + w.origin.objects["media/hot"].version + "\x000"}
		if !small.Holds(k) {
			t.Fatal("the regional cache has never held it")
		}
		scan := w.start(metadata.TierEdge, "edge-europe-2", nil, regional.url)
		for i := range 30 {
			time.Sleep(10 * time.Millisecond) // hints are given by time
			w.origin.put(name(i)[1:], make([]byte, 500<<10))
			scan.get(name(i))
		}
		held[on] = small.Holds(k)
	}
	if held[false] || !held[true] {
		t.Errorf("held without hints: %v, with hints: %v", held[false], held[true])
	}
}

// Nobody but nodes learns what is asked for, and nobody makes anything popular.
func TestPopularityIsForNodes(t *testing.T) {
	t.Parallel()
	w := newWorld(t, metadata.PublicRead)
	regional := w.start(metadata.TierRegional, "regional-europe-1", prefetching, w.origin.url)
	edgeNode := w.start(metadata.TierEdge, "edge-europe-1", prefetching, regional.url)
	body := []byte(`{"things":[{"bucket":"media","key":"a","count":1000}]}`)
	post := func(n *node, sign func(*http.Request)) int {
		return n.request(http.MethodPost, hop.PopularPath, func(r *http.Request) {
			r.Body, r.ContentLength = http.NoBody, 0
			if sign != nil {
				sign(r)
			}
			r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
		}).status
	}
	for what, c := range map[string]struct {
		n    *node
		sign func(*http.Request)
		want int
	}{
		"nobody":                {regional, nil, http.StatusForbidden},
		"an administrator":      {regional, signed(adminKey, adminSecret), http.StatusForbidden},
		"an unsigned body":      {regional, asNode(), http.StatusForbidden},
		"an edge is asked":      {edgeNode, payloadSigned(body), http.StatusBadRequest},
		"a body that was added": {regional, payloadSigned(nil), http.StatusForbidden},
		"a node":                {regional, payloadSigned(body), http.StatusOK},
	} {
		if got := post(c.n, c.sign); got != c.want {
			t.Errorf("%s: %d, want %d", what, got, c.want)
		}
	}
	if a := regional.request(http.MethodGet, hop.PopularPath, asNode()); a.status != http.StatusMethodNotAllowed {
		t.Errorf("GET: %d", a.status)
	}
}

// payloadSigned signs as a node, with the hash of a body.
func payloadSigned(body []byte) func(*http.Request) {
	return func(r *http.Request) {
		sum := sha256.Sum256(body)
		sigv4.Signer{AccessKey: hop.NodeAccessKey, Secret: clusterSecret}.Sign(r, hex.EncodeToString(sum[:]), time.Now())
	}
}
