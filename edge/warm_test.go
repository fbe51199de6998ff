package edge_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"meridian/edge"
	"meridian/edge/cache/memory"
	"meridian/metadata"
)

// warm asks for objects to be fetched, and waits until a node is done.
func (w *world) warm(id string, ask metadata.Warm, n *node, names ...string) (p metadata.WarmProgress) {
	w.t.Helper()
	data := metadata.WarmData{Warm: ask}
	data.ID = id
	for _, name := range names {
		bucket, key, _ := strings.Cut(name, "/")
		data.Objects = append(data.Objects, metadata.WarmObject{Bucket: bucket, Key: key})
	}
	body, err := json.Marshal(data)
	if err != nil {
		w.t.Fatal(err)
	}
	w.control.emit(metadata.Event{Type: metadata.WarmAsked, Data: body})
	w.control.eventually(w.t, n.id+" is done", func() bool {
		w.control.mu.Lock()
		defer w.control.mu.Unlock()
		for _, push := range w.control.pushes {
			for _, told := range push.Warms {
				if push.Node.ID == n.id && told.ID == id {
					p = told
				}
			}
		}
		return p.Done
	})
	return p
}

// What was warmed is a hit, whole; what cannot be is told with its reason.
func TestWarm(t *testing.T) {
	t.Parallel()
	w := newWorld(t, metadata.Private)
	e, regional := w.pair()
	small, film := random(1000, 1), random(3*mib+5, 2)
	w.origin.put("media/small", small)
	w.origin.put("media/film", film, "Content-Type", "video/mp4")

	got := w.warm("first", metadata.Warm{Tiers: []string{metadata.TierEdge}}, e, "media/small", "media/film", "media/none", "other/x")
	if got.Objects != 4 || got.Fetched != 2 || got.Failed != 2 || got.Bytes != int64(len(small)+len(film)) || len(got.Failures) != 2 {
		t.Errorf("%+v", got)
	}
	for _, f := range got.Failures {
		if want := map[string]string{"media": "NoSuchKey", "other": "NoSuchBucket"}[f.Bucket]; !strings.Contains(f.Error, want) {
			t.Errorf("%s/%s failed with %q, want %s", f.Bucket, f.Key, f.Error, want)
		}
	}
	asked := w.origin.asked()
	if a := e.get("/media/film"); a.status != http.StatusForbidden {
		t.Errorf("what is private was told to anybody: %d", a.status)
	}
	wantBody(t, "small", e.request(http.MethodGet, "/media/small", signed(userKey, userSecret)), http.StatusOK, "hit", small)
	wantBody(t, "film", e.request(http.MethodGet, "/media/film", signed(userKey, userSecret)), http.StatusOK, "hit", film)
	if n := w.origin.asked(); n != asked {
		t.Errorf("the origin was asked %d times more:\n%s", n-asked, w.origin.log())
	}
	if got = w.warm("again", metadata.Warm{}, e, "media/film"); got.Held != 1 || got.Bytes != 0 {
		t.Errorf("again: %+v", got)
	}
	if got = w.warm("there", metadata.Warm{}, regional, "media/film"); got.Held != 1 || got.Objects != 1 {
		t.Errorf("at the regional cache, by way of which it came: %+v", got)
	}
	regional.stop()
	if sum, _ := w.control.total(regional.id); sum.Requests != 0 {
		t.Errorf("%d requests are counted, of which no client made any", sum.Requests)
	}
}

// A regional cache fetches its own share; a warm-up that does not fit says so.
func TestWarmShares(t *testing.T) {
	t.Parallel()
	w := newWorld(t, metadata.PublicRead)
	tiny, err := memory.New(memory.Config{HeadBytes: 1 << 20, SliceBytes: 3 << 20})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { tiny.Close() })
	a := w.start(metadata.TierRegional, "regional-europe-1", nil, w.origin.url)
	b := w.start(metadata.TierRegional, "regional-europe-2", func(c *edge.Config) { c.Cache = tiny }, w.origin.url)
	// A snapshot from after both have come, so that they know each other.
	w.applied(w.control.putBucket(media(metadata.PublicRead)), a, b)
	var names []string
	for i := range 20 {
		names = append(names, name(i)[1:])
		w.origin.put(names[i], make([]byte, 500<<10))
	}
	ofA := w.warm("all", metadata.Warm{}, a, names...)
	ofB := w.warm("all", metadata.Warm{}, b, names...)
	if ofA.Objects == 0 || ofB.Objects == 0 || ofA.Objects+ofB.Objects != len(names) {
		t.Fatalf("shares of %d and %d, want %d together", ofA.Objects, ofB.Objects, len(names))
	}
	if ofA.Fetched != ofA.Objects {
		t.Errorf("%+v", ofA)
	}
	if ofB.Failed == 0 || ofB.Fetched > 4 || !strings.Contains(ofB.Failures[0].Error, "does not fit") {
		t.Errorf("into 4 MiB: %+v", ofB)
	}
}
