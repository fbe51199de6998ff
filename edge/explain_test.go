package edge_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"meridian/edge"
	"meridian/edge/cache/memory"
	"meridian/internal/hop"
	"meridian/internal/signedurl"
	"meridian/internal/sigv4"
	"meridian/metadata"
)

func explainPath(key string) string {
	return hop.ExplainPath + "?" + url.Values{"bucket": {"media"}, "key": {key}}.Encode()
}

// explain asks a node of an object as the metadata role does.
func (n *node) explain(key string) metadata.Holding {
	n.w.t.Helper()
	return n.explainAt(explainPath(key))
}

func (n *node) explainAt(path string) metadata.Holding {
	n.w.t.Helper()
	a := n.request(http.MethodGet, path, asNode())
	var h metadata.Holding
	if err := json.Unmarshal(a.body, &h); a.status != 200 || err != nil {
		n.w.t.Fatalf("%s: %d %s: %v", path, a.status, a.body, err)
	}
	if h.Node != n.id || h.Region != "europe" {
		n.w.t.Errorf("%s: by %s in %s", path, h.Node, h.Region)
	}
	return h
}

// wantMiss fails unless the last miss of a key had this reason and result.
func (n *node) wantMiss(key, reason, result string) {
	n.w.t.Helper()
	n.wantMissOf(n.explain(key), key, reason, result)
}

func (n *node) wantMissOf(h metadata.Holding, what, reason, result string) {
	n.w.t.Helper()
	switch m := h.Miss; {
	case m == nil:
		n.w.t.Errorf("%s: no miss is known, want %s", what, reason)
	case m.Reason != reason || m.Result != result:
		n.w.t.Errorf("%s: last miss %+v, want %s, %s", what, *m, reason, result)
	}
}

func TestExplainTellsWhyItWasAMiss(t *testing.T) {
	t.Parallel()
	w := newWorld(t, metadata.PublicRead)
	clock := newClock()
	w.origin.now = clock.now
	e := w.start(metadata.TierEdge, "edge-europe-1", func(c *edge.Config) { c.Now = clock.now }, w.origin.url)
	for _, key := range []string{"a", "no-store", "no-cache", "short"} {
		var header []string
		switch key {
		case "short":
			header = []string{"Cache-Control", "max-age=60"}
		case "a":
		default:
			header = []string{"Cache-Control", key}
		}
		w.origin.put("media/"+key, []byte(key), header...)
	}
	if h := e.explain("a"); h.Head != nil || h.Miss != nil || h.Slices != nil || !h.Lease {
		t.Errorf("of what nobody asked for: %+v", h)
	}

	e.get("/media/a")
	e.wantMiss("a", "cold", "miss")
	first := e.explain("a")
	if h := first.Head; h == nil || h.Status != 200 || h.Size != 1 || !h.Inline || h.Next != "serve" || h.TTL <= 0 || h.Age < 0 || h.ETag == "" || h.Version == "" {
		t.Errorf("held after a miss: %+v", h)
	}
	wantBody(t, "a hit", e.get("/media/a"), 200, "hit", nil)
	if again := e.explain("a"); !again.Miss.At.Equal(first.Miss.At) {
		t.Errorf("a hit counts as a miss: %+v, before %+v", again.Miss, first.Miss)
	}

	w.written("media/a", e)
	if h := e.explain("a"); h.Head != nil || h.Miss == nil || h.Miss.Reason != "cold" {
		t.Errorf("overwritten, not asked for since: %+v", h)
	}
	e.get("/media/a")
	e.wantMiss("a", "overwritten", "miss")

	purge := func(p metadata.Purge) {
		data, _ := json.Marshal(p)
		w.applied(w.control.emit(metadata.Event{Type: metadata.PurgeAsked, Data: data}), e)
	}
	purge(metadata.Purge{ID: "1", URLs: []string{"/media/a"}})
	e.get("/media/a")
	e.wantMiss("a", "purged", "miss")
	purge(metadata.Purge{ID: "2", URLs: []string{"/media/a"}, Soft: true})
	if h := e.explain("a").Head; h == nil || h.Next != "revalidate" {
		t.Errorf("after a soft purge: %+v", h)
	}
	e.get("/media/a")
	e.wantMiss("a", "purged", "revalidated")

	for range 2 {
		e.get("/media/no-store")
		e.wantMiss("no-store", "bypassed", "miss")
	}
	e.get("/media/no-cache")
	e.get("/media/no-cache")
	e.wantMiss("no-cache", "revalidated", "revalidated")

	e.get("/media/none")
	e.wantMiss("none", "cold", "miss")
	if h := e.explain("none").Head; h == nil || h.Status != 404 {
		t.Errorf("of an object that there is not: %+v", h)
	}

	e.get("/media/short")
	clock.add(61 * time.Second)
	w.control.eventually(t, "the lease is held again", func() bool { return e.explain("short").Lease })
	if h := e.explain("short").Head; h == nil || h.TTL > 0 || time.Duration(h.Age) < time.Minute || h.Next != "revalidate" {
		t.Errorf("past its freshness: %+v", h)
	}
	e.get("/media/short")
	e.wantMiss("short", "expired", "revalidated")

	w.control.cut(true, true, true)
	clock.add(10 * time.Second)
	e.get("/media/a")
	e.wantMiss("a", "no-lease", "revalidated")
	if e.explain("a").Lease {
		t.Error("a lease is held by a node that hears of nothing")
	}
	w.origin.set(func() { w.origin.down = true })
	e.get("/media/a")
	e.wantMiss("a", "no-lease", "failed")
}

func TestExplainTellsWhatWasEvicted(t *testing.T) {
	t.Parallel()
	w := newWorld(t, metadata.PublicRead)
	small, err := memory.New(memory.Config{HeadBytes: 256 << 10, SliceBytes: 4 << 20})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { small.Close() })
	e := w.start(metadata.TierEdge, "edge-europe-1", func(c *edge.Config) { c.Cache = small }, w.origin.url)
	const keys = 40
	for i := range keys {
		w.origin.put(fmt.Sprintf("media/%d", i), random(30<<10, uint64(i)))
		e.get(name(i))
	}
	gone := -1
	for i := range keys {
		if e.explain(fmt.Sprint(i)).Head == nil {
			gone = i
			break
		}
	}
	if gone < 0 {
		t.Fatal("1.2 MB fit into 256 KiB")
	}
	e.get(name(gone))
	e.wantMiss(fmt.Sprint(gone), "evicted", "miss")

	film := random(12*mib, 99)
	w.origin.put("media/film", film)
	wantBody(t, "the film", e.get("/media/film"), 200, "miss", film)
	h := e.explain("film")
	if h.Slices == nil || h.Slices.Total != 12 || h.Slices.Held == 0 || h.Slices.Held > 4 {
		t.Fatalf("12 slices in a cache of 4: %+v", h.Slices)
	}
	missing := int64(0)
	for _, r := range h.Slices.Ranges {
		if missing >= r[0] && missing <= r[1] {
			missing = r[1] + 1
		}
	}
	e.get("/media/film", "Range", fmt.Sprintf("bytes=%d-%d", missing*mib, missing*mib+9))
	switch m := e.explain("film").SliceMiss; {
	case m == nil || m.Slice == nil:
		t.Errorf("slice %d was evicted, and is no miss: %+v", missing, m)
	case m.Reason != "evicted" || *m.Slice != missing:
		t.Errorf("slice %d was evicted, but the last miss is %+v of slice %d", missing, *m, *m.Slice)
	}
}

func TestExplainTellsSlices(t *testing.T) {
	t.Parallel()
	w := newWorld(t, metadata.PublicRead)
	edge, regional := w.pair()
	w.origin.put("media/film", random(5*mib+1, 1))
	edge.get("/media/film", "Range", "bytes=0-9")
	edge.get("/media/film", "Range", fmt.Sprintf("bytes=%d-%d", 3*mib, 5*mib))
	for _, n := range []*node{edge, regional} {
		h := n.explain("film")
		if h.Slices == nil || h.Slices.Total != 6 || h.Slices.Held != 4 || fmt.Sprint(h.Slices.Ranges) != "[[0 0] [3 5]]" {
			t.Errorf("%s holds %+v", n.id, h.Slices)
		}
	}
	if m := edge.explain("film").SliceMiss; m == nil || m.Reason != "cold" || m.Slice == nil || *m.Slice < 3 {
		t.Errorf("last miss of a slice: %+v", m)
	}
}

// A request that waits for the answer another one asked for says so. Whether it
// comes in time is up to the machine, so it is tried until it does.
func TestExplainTellsCollapsed(t *testing.T) {
	t.Parallel()
	w := newWorld(t, metadata.PublicRead)
	e := w.edge(w.origin.url)
	try := 0
	w.control.eventually(t, "a request joins another", func() bool {
		try++
		key := fmt.Sprint(try)
		w.origin.put("media/"+key, []byte("x"))
		release := make(chan struct{})
		w.origin.set(func() { w.origin.hold = func(*http.Request, *object) { <-release } })
		before := w.origin.asked()
		done := make(chan error, 2)
		ask := func() {
			_, err := e.do(context.WithoutCancel(t.Context()), http.MethodGet, "/media/"+key, nil)
			done <- err
		}
		go ask()
		w.control.eventually(t, "the origin is asked", func() bool { return w.origin.asked() > before })
		go ask()
		time.Sleep(20 * time.Millisecond)
		close(release)
		for range 2 {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
		m := e.explain(key).Miss
		return m != nil && m.Reason == "collapsed" && m.Cause == "cold" && m.Result == "miss"
	})
}

// Only nodes are told, and there is nothing else below the path.
func TestExplainIsForNodes(t *testing.T) {
	t.Parallel()
	w := newWorld(t, metadata.PublicRead)
	e := w.edge(w.origin.url)
	w.origin.put("media/a", []byte("a"))
	e.get("/media/a")
	path := explainPath("a")
	for who, change := range map[string]func(*http.Request){
		"nobody": nil, "a reader": signed(userKey, userSecret), "an administrator": signed(adminKey, adminSecret),
		"a wrong secret": signed(hop.NodeAccessKey, "x"), "one who claims to be a node": with(hop.RequestNode, "edge-1"),
		"a node's presigned URL": func(r *http.Request) {
			sigv4.Signer{AccessKey: hop.NodeAccessKey, Secret: clusterSecret}.Presign(r, time.Hour, time.Now())
		},
		"a node that signed something else": func(r *http.Request) { asNode()(r); r.URL.RawQuery = "bucket=media&key=b" },
	} {
		if a := e.request(http.MethodGet, path, change); a.status != 403 || strings.Contains(string(a.body), "edge-europe-1") {
			t.Errorf("by %s: %d %s", who, a.status, a.body)
		}
	}
	for path, want := range map[string]int{
		"/_meridian": 400, "/_meridian/": 400, "/_meridian/other": 404, "/_meridian/explain/": 404, "/_meridian%2Fexplain": 400,
		"/_meridian/explain/x": 404, "//_meridian/explain": 400, "/_meridian//explain": 404, "/media/../_meridian/explain": 404,
		hop.ExplainPath: 400, hop.ExplainPath + "?bucket=media": 400, hop.ExplainPath + "?bucket=_x&key=a": 400,
		path + "&versionId=%00": 400,
	} {
		if a := e.request(http.MethodGet, path, asNode()); a.status != want {
			t.Errorf("GET %s by a node: %d, want %d: %s", path, a.status, want, a.body)
		}
	}
	if a := e.request(http.MethodPost, path, asNode()); a.status != 405 {
		t.Errorf("POST: %d", a.status)
	}
}

func TestDebugHeader(t *testing.T) {
	t.Parallel()
	w := newWorld(t, metadata.PublicRead)
	edge, regional := w.pair()
	w.origin.put("media/film", random(3*mib, 1))
	and := func(changes ...func(*http.Request)) func(*http.Request) {
		return func(r *http.Request) {
			r.Header.Set(hop.Debug, "1")
			for _, c := range changes {
				c(r)
			}
		}
	}
	a := edge.request(http.MethodGet, "/media/film", and(signed(userKey, userSecret)))
	for _, part := range []string{"node=edge-europe-1; lease=true; head=serve; status=200; age=", "; slices=1/3; miss=cold; result=miss; at="} {
		if got := a.header.Get(hop.Debug); !strings.Contains(got, part) {
			t.Errorf("%s: %q lacks %q", hop.Debug, got, part)
		}
	}
	if got := regional.request(http.MethodHead, "/media/film", and(asNode())).header.Get(hop.Debug); !strings.Contains(got, "node=regional-europe-1; ") {
		t.Errorf("on a hop: %q", got)
	}
	if got := edge.request(http.MethodGet, "/media/none", and(signed(userKey, userSecret))).header.Get(hop.Debug); !strings.Contains(got, "status=404") {
		t.Errorf("of what there is not: %q", got)
	}
	for who, change := range map[string]func(*http.Request){
		"nobody": and(), "without being asked": signed(userKey, userSecret),
		"a link": and(func(r *http.Request) { r.URL = signedurl.New(clusterSecret).Sign(r.URL, time.Now().Add(time.Hour)) }),
		"a presigned link": and(func(r *http.Request) {
			r.Header.Del(hop.Debug) // comes with the link, unsigned
			sigv4.Signer{AccessKey: userKey, Secret: userSecret}.Presign(r, time.Hour, time.Now())
			r.Header.Set(hop.Debug, "1")
		}),
	} {
		a := edge.request(http.MethodGet, "/media/film", change)
		if got, told := a.header[hop.Debug]; told || a.status != 200 {
			t.Errorf("%s: %d, %q", who, a.status, got)
		}
	}
}
