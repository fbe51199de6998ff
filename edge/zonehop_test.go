package edge_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"meridian/edge"
	"meridian/edge/fetch"
	"meridian/internal/faultlink"
	"meridian/internal/hop"
	"meridian/metadata"
)

// tiers are a site behind an edge (its own node), a second one, and a regional
// node of the same region.
type tiers struct {
	*site
	other, regional *node
}

func newTiers(t *testing.T, handle http.HandlerFunc, change func(*metadata.Bucket)) *tiers {
	t.Helper()
	s := newSite(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/ready" {
			say("ready", "Cache-Control: no-store")(w, r)
			return
		}
		handle(w, r)
	}, change)
	ahead := func(c *edge.Config) {
		c.Now = func() time.Time { return time.Now().Add(time.Duration(s.ahead.Load())) }
	}
	x := &tiers{site: s}
	x.regional = s.w.start(metadata.TierRegional, "regional-europe-1", ahead, s.w.origin.url)
	x.other = s.w.start(metadata.TierEdge, "edge-europe-2", ahead)
	s.stop()
	x.node = s.w.start(metadata.TierEdge, "edge-europe-1", ahead)
	for _, n := range []*node{x.node, x.other} {
		s.w.control.eventually(t, n.id+" knows the regional node", func() bool {
			a := n.request(http.MethodGet, "/site/ready", signed(userKey, userSecret))
			return strings.HasPrefix(a.header.Get("Cache-Status"), "meridian-regional-europe; ")
		})
	}
	s.mu.Lock()
	s.asked = nil
	s.mu.Unlock()
	return x
}

// leap moves the clocks of all nodes on, and waits until they hold leases again.
func (x *tiers) leap(d time.Duration) {
	x.ahead.Store(int64(d))
	for _, n := range []*node{x.node, x.other, x.regional} {
		x.w.control.eventually(x.w.t, n.id+" holds a lease again", func() bool { return n.explainTarget("/").Lease })
	}
}

func TestZoneRegionsAskOnce(t *testing.T) {
	t.Parallel()
	film := random(3*mib+9, 8)
	x := newTiers(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "max-age=60")
		switch r.URL.Path {
		case "/film":
			w.Header().Set("Etag", `"film"`)
			http.ServeContent(w, r, "film.mp4", time.Time{}, bytes.NewReader(film))
		default:
			say(r.RequestURI+r.Header.Get("Accept-Language"), "Vary: Accept-Language", "X-Amz-Request-Id: of the origin", "Surrogate-Control: max-age=600")(w, r)
		}
	}, nil)
	const path = "/a%2Fb/%7Ec//d?x=%20&y"
	wantBody(t, "cold", x.get("/site"+path, "Authorization", "Basic abc", "X-Meridian-Node", "me", "X-Amz-Date", "mine"), 200, "pass", []byte(path))
	first := x.requests()[0]
	for name, want := range map[string]string{
		"Authorization": "Basic abc", "X-Amz-Date": "mine", "X-Meridian-Node": "", hop.RequestTarget: "", "Via": "1.1 meridian",
		"X-Forwarded-For": "127.0.0.1", "X-Forwarded-Proto": "http", "X-Amz-Content-Sha256": "",
	} {
		if got := first.Header.Get(name); got != want {
			t.Errorf("the origin got %s: %q, want %q", name, got, want)
		}
	}
	wantBody(t, "cold, for all", x.get("/site"+path), 200, "", []byte(path))
	asked := len(x.requests()) // an answer to credentials may not be kept
	x.leap(10 * time.Second)
	at := x.other.get("/site" + path)
	wantBody(t, "the other edge", at, 200, "miss", []byte(path))
	if got := at.header.Get("Cache-Status"); !strings.HasPrefix(got, "meridian-regional-europe; hit; ttl=") || !strings.HasSuffix(got, ", meridian-edge-europe; fwd=uri-miss; stored") {
		t.Errorf("Cache-Status %q", got)
	}
	if age, err := strconv.Atoi(at.header.Get("Age")); err != nil || age < 9 || age > 30 {
		t.Errorf("Age %q of what was fetched ten seconds ago", at.header.Get("Age"))
	}
	if at.header.Get("X-Amz-Request-Id") != "of the origin" || at.header.Get("Surrogate-Control") == "" || at.header.Get(hop.Zone) != "" {
		t.Errorf("header %v", at.header)
	}
	wantBody(t, "again", x.other.get("/site"+path), 200, "hit", nil)
	x.wantAsked(t, "by two edges", asked)
	wantBody(t, "a variant", x.get("/site"+path, "Accept-Language", "fr"), 200, "miss", []byte(path+"fr"))
	wantBody(t, "a variant, at the other", x.other.get("/site"+path, "Accept-Language", "fr"), 200, "miss", []byte(path+"fr"))
	x.wantAsked(t, "for a variant", asked+1)
	wantBody(t, "a condition", x.other.get("/site/film", "If-None-Match", `"film"`), 304, "miss", nil)

	asked = len(x.requests())
	wantBody(t, "the end of a film", x.get("/site/film", "Range", "bytes=3145728-"), 206, "", film[3*mib:])
	wantBody(t, "the film", x.get("/site/film"), 200, "", film)
	wantBody(t, "the film, at the other", x.other.get("/site/film"), 200, "", film)
	if n := len(x.requests()) - asked; n > 4 {
		t.Errorf("four slices took %d requests", n)
	}
	x.wantMissOf(t, "/film")
}

// wantMissOf fails unless both tiers tell of a target.
func (x *tiers) wantMissOf(t *testing.T, target string) {
	t.Helper()
	for _, n := range []*node{x.node, x.other, x.regional} {
		if h := n.explainTarget(target); h.Head == nil || h.Miss == nil || h.Head.Age < 0 {
			t.Errorf("%s tells of %s: %+v", n.id, target, h)
		}
	}
}

func TestZoneTiersFollowChanges(t *testing.T) {
	t.Parallel()
	var version atomic.Int64
	x := newTiers(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			version.Add(1)
			w.Header().Set("Location", "/b")
			w.WriteHeader(http.StatusCreated)
			return
		}
		say(strconv.FormatInt(version.Load(), 10), "Cache-Control: max-age=60")(w, r)
	}, nil)
	now := func() []byte { return []byte(strconv.FormatInt(version.Load(), 10)) }
	second := x.w.start(metadata.TierRegional, "regional-europe-2", nil, x.w.origin.url)
	for _, path := range []string{"/site/a", "/site/b"} {
		for _, n := range []*node{x.node, x.other} {
			wantBody(t, "cold", n.get(path), 200, "miss", now())
		}
	}
	if a := x.request(http.MethodPost, "/site/a", nil); a.status != 201 {
		t.Errorf("POST: %d", a.status)
	}
	// The edge that passed it on, and both regional nodes, whichever owns what.
	wantBody(t, "the target", x.get("/site/a"), 200, "miss", now())
	wantBody(t, "what Location names", x.get("/site/b"), 200, "miss", now())
	_ = second

	for _, p := range []metadata.Purge{{URLs: []string{"/site/a"}}, {URLs: []string{"/site/a"}, Soft: true}} {
		version.Add(1)
		p.ID = fmt.Sprint(version.Load())
		// Who comes as soon as the edge has heard of it must not get what a
		// regional node has not yet dropped.
		x.w.applied(x.w.purge(p), x.node)
		wantBody(t, "after a purge", x.get("/site/a"), 200, "", now())
	}
	x.mu.Lock()
	x.asked = nil
	x.mu.Unlock()
	var wg sync.WaitGroup
	for i := range 40 {
		wg.Go(func() { wantBody(t, "many", []*node{x.node, x.other}[i%2].get("/site/many"), 200, "", now()) })
	}
	wg.Wait()
	x.wantAsked(t, "by many at two edges", 1)
}

// What an unsafe request has changed the nodes of other regions, and other edges of
// the same, forget soon after: just that, and the node itself no second time.
func TestZoneChangesReachAllNodes(t *testing.T) {
	t.Parallel()
	s := newSite(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			w.Header().Set("Location", "/made?by=post")
		}
		say(r.RequestURI, "Cache-Control: max-age=60")(w, r)
	}, func(b *metadata.Bucket) { b.Pull.Tier, b.Pull.Hosts = metadata.TierEdge, []string{"www.example.com"} })
	far := s.w.start(metadata.TierEdge, "edge-asia-1", func(c *edge.Config) { c.Region = "asia" }, s.w.origin.url)
	near := s.w.start(metadata.TierEdge, "edge-europe-2", nil, s.w.origin.url)
	asHost := func(r *http.Request) { r.Host = "www.example.com" }
	for _, n := range []*node{s.node, far, near} {
		for _, path := range []string{"/a?x=1", "/a?x=2", "/made?by=post"} {
			wantBody(t, "cold", n.get("/site"+path), 200, "miss", nil)
			wantBody(t, "cold, by host", n.request(http.MethodGet, path, asHost), 200, "miss", nil)
		}
	}
	s.request(http.MethodPost, "/site/a?x=1", nil)
	wantBody(t, "where it was changed", s.get("/site/a?x=1"), 200, "miss", nil)
	for _, n := range []*node{far, near} {
		s.w.control.eventually(t, n.id+" hears of it", func() bool { return n.get("/site/a?x=1").result() == "miss" })
		wantBody(t, "by host", n.request(http.MethodGet, "/a?x=1", asHost), 200, "miss", nil)
		wantBody(t, "what Location names", n.get("/site/made?by=post"), 200, "miss", nil)
		wantBody(t, "another query", n.get("/site/a?x=2"), 200, "hit", nil)
	}
	wantBody(t, "where it was changed, after all have heard", s.get("/site/a?x=1"), 200, "hit", nil)
}

// Where a regional cache was not told at once, the edge may have got what was changed
// once more from there: it forgets it when that does.
func TestZoneChangesThatARegionalCacheMissed(t *testing.T) {
	t.Parallel()
	var version atomic.Int64
	s := newSite(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			version.Add(1)
			w.Header().Set("Location", "/made"+strings.TrimPrefix(r.URL.Path, "/make"))
			w.WriteHeader(http.StatusCreated)
			return
		}
		say(strconv.FormatInt(version.Load(), 10), "Cache-Control: max-age=600")(w, r)
	}, nil)
	for _, id := range []string{"regional-europe-1", "regional-europe-2"} {
		s.w.start(metadata.TierRegional, id, func(c *edge.Config) { c.URL = deafToForget(t, c.URL) }, s.w.origin.url)
	}
	e := s.w.start(metadata.TierEdge, "edge-europe-2", nil)
	const pages = 12 // of which some belong to the node that has not passed the request on
	for i := range pages {
		e.get("/site/made" + strconv.Itoa(i))
	}
	for i := range pages {
		if a := e.request(http.MethodPost, "/site/make"+strconv.Itoa(i), nil); a.status != 201 {
			t.Fatalf("POST: %d", a.status)
		}
		e.get("/site/made" + strconv.Itoa(i))
	}
	for i := range pages {
		s.w.control.eventually(t, fmt.Sprintf("page %d is one that was made", i), func() bool {
			return string(e.get("/site/made"+strconv.Itoa(i)).body) != "0"
		})
	}
}

// deafToForget is the base of a node that cannot be told to forget anything.
func deafToForget(t *testing.T, node string) (base string) {
	t.Helper()
	to, err := url.Parse(node)
	if err != nil {
		t.Fatal(err)
	}
	proxy := &httputil.ReverseProxy{FlushInterval: -1, Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(to)
		r.Out.Host = r.In.Host // which is signed
	}}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get(hop.RequestForget) != "" {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(srv.Close)
	return srv.URL
}

// Of a page all variants are forgotten whose query was named, whatever its path, and
// none of other queries, however many are named at once.
func TestZoneChangesOfManyTargets(t *testing.T) {
	t.Parallel()
	s := newSite(t, func(w http.ResponseWriter, r *http.Request) {
		say(r.Header.Get("Accept-Language"), "Cache-Control: max-age=60", "Vary: Accept-Language")(w, r)
	}, nil)
	var data metadata.ZoneData
	each := func(what string, result func(query int) string) {
		for _, path := range []string{"/a", "/b%0A%0Ac", "/%00d"} {
			for query := range 20 {
				target := path + "?q=" + strconv.Itoa(query)
				if query%2 == 0 {
					data.Targets = append(data.Targets, metadata.ZoneTarget{Bucket: "site", Target: target})
				}
				for _, language := range []string{"de", "fr"} {
					wantBody(t, what, s.get("/site"+target, "Accept-Language", language), 200, result(query), []byte(language))
				}
			}
		}
	}
	each("cold", func(int) string { return "miss" })
	body, err := json.Marshal(data)
	if err != nil {
		t.Fatal(err)
	}
	s.w.applied(s.w.control.emit(metadata.Event{Type: metadata.ZoneChanged, Data: body}), s.node)
	each("after changes", func(query int) string { return []string{"miss", "hit"}[query%2] })
}

// However many clients want what expires all the time, a region asks the origin
// once for each time it has expired, and no client is sent back in time.
func TestZoneExpiringForMany(t *testing.T) {
	t.Parallel()
	var version, answered atomic.Int64
	x := newTiers(t, func(w http.ResponseWriter, _ *http.Request) {
		say(strconv.FormatInt(version.Add(1), 10), "Cache-Control: max-age=1")(w, nil)
	}, nil)
	began := time.Now()
	var wg sync.WaitGroup
	for i := range 16 {
		wg.Go(func() {
			last := 0
			for time.Since(began) < 2500*time.Millisecond {
				a := []*node{x.node, x.other}[i%2].get("/site/clock")
				got, err := strconv.Atoi(string(a.body))
				if a.status != 200 || err != nil || got < last {
					t.Errorf("%d %q after version %d", a.status, a.body, last)
				}
				last = got
				answered.Add(1)
			}
		})
	}
	wg.Wait()
	// A lease that is late makes nodes ask at other times, too.
	if asked, most := len(x.requests()), 5+3*int(time.Since(began)/time.Second); asked > most {
		t.Errorf("the origin was asked %d times for %d answers, want %d at most", asked, answered.Load(), most)
	}
}

func TestZoneTiersFail(t *testing.T) {
	t.Parallel()
	var down, cut atomic.Bool
	x := newTiers(t, func(w http.ResponseWriter, r *http.Request) {
		switch {
		case cut.Load():
			panic(http.ErrAbortHandler)
		case down.Load():
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		say(r.URL.Path, "Cache-Control: max-age=60")(w, r)
	}, nil)
	wantBody(t, "cold", x.get("/site/a"), 200, "miss", nil)
	x.ahead.Store(int64(5 * time.Minute))
	cut.Store(true)
	a := x.get("/site/a")
	wantBody(t, "stale, by either tier", a, 200, "", []byte("/a"))
	asked := len(x.requests())
	wantBody(t, "nothing to stand in", x.get("/site/b"), 502, "", nil)
	x.wantAsked(t, "without retries", asked+1)
	cut.Store(false)
	down.Store(true)
	wantBody(t, "the origin's own failure", x.get("/site/b"), 503, "", nil)
	down.Store(false)
	x.regional.stop()
	got := x.get("/site/c")
	wantBody(t, "without a regional node", got, 200, "miss", []byte("/c"))
	if s := got.header.Get("Cache-Status"); strings.Contains(s, "regional") {
		t.Errorf("Cache-Status %q", s)
	}
	if a := x.request(http.MethodPost, "/site/c", with("Content-Type", "text/plain")); a.status != 200 {
		t.Errorf("POST without a regional node: %d %s", a.status, a.body)
	}
}

// What nodes tell each other means nothing from anybody else.
func TestZoneHopsAreForNodes(t *testing.T) {
	t.Parallel()
	x := newTiers(t, say("secret", "Cache-Control: max-age=60"), func(b *metadata.Bucket) { b.Visibility = metadata.Private })
	wantBody(t, "a user", x.request(http.MethodGet, "/site/a", signed(userKey, userSecret)), 200, "miss", []byte("secret"))
	if got := x.requests()[0].Header.Get("Authorization"); got != "" {
		t.Errorf("the origin was told %q", got)
	}
	hopTo := []string{hop.RequestTarget, "/a", hop.RequestBase, "http://x", hop.RequestClient, "127.0.0.1:1"}
	for _, n := range []*node{x.node, x.regional} {
		for who, change := range map[string]func(*http.Request){
			"nobody": with(hopTo...), "a user": func(r *http.Request) { with(hopTo...)(r); signed(userKey, userSecret)(r) },
			"one who signed something else": func(r *http.Request) { asNode()(r); with(hopTo...)(r) },
		} {
			if a := n.request(http.MethodGet, hop.ZonePath+"site", change); a.status != 403 {
				t.Errorf("%s by %s: %d %s", n.id, who, a.status, a.body)
			}
		}
		if a := n.get("/site/a"); a.status != 403 {
			t.Errorf("%s by anybody: %d", n.id, a.status)
		}
	}
	wantBody(t, "a node", x.regional.request(http.MethodGet, hop.ZonePath+"site", asNode(hopTo...)), 200, "", []byte("secret"))
	for path, change := range map[string][]string{
		hop.ZonePath + "none": hopTo, hop.ZonePath + "media": hopTo, hop.ZonePath + "site": {hop.RequestTarget, "a"},
	} {
		if a := x.regional.request(http.MethodGet, path, asNode(change...)); a.status < 400 || a.header.Get(hop.Zone) != "" {
			t.Errorf("%s: %d, %s", path, a.status, a.header.Get(hop.Zone))
		}
	}
}

func TestZoneEdgesMayAskThemselves(t *testing.T) {
	t.Parallel()
	s := newSite(t, say("ok", "Cache-Control: max-age=60"), func(b *metadata.Bucket) { b.Pull.Tier = metadata.TierEdge })
	regional := s.w.start(metadata.TierRegional, "regional-europe-1", nil, s.w.origin.url)
	other := s.w.start(metadata.TierEdge, "edge-europe-2", nil, regional.url)
	for _, n := range []*node{s.node, other} {
		if got := n.get("/site/").header.Get("Cache-Status"); got != "meridian-edge-europe; fwd=uri-miss; stored" {
			t.Errorf("Cache-Status %q", got)
		}
	}
	s.wantAsked(t, "by two edges", 2)
}

// A regional node that takes requests and answers none, not even whether it is
// there, does not hold a page up for as long as a slow origin would.
func TestZoneRegionalIsSilent(t *testing.T) {
	t.Parallel()
	x := newTiers(t, say("page", "Cache-Control: max-age=60"), nil)
	links := faultlink.New((&net.Dialer{}).DialContext)
	x.stop()
	e := x.w.start(metadata.TierEdge, "edge-europe-1", func(c *edge.Config) {
		c.Dial, c.Timeouts = links.Dial, fetch.Timeouts{Late: 200 * time.Millisecond}
	})
	x.w.control.eventually(t, "the edge knows the regional node", func() bool {
		a := e.request(http.MethodGet, "/site/ready", signed(userKey, userSecret))
		return strings.HasPrefix(a.header.Get("Cache-Status"), "meridian-regional-europe; ")
	})
	links.Set(host(t, x.regional.url), faultlink.Fault{Dead: true})
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second) // less than the wait for a header
	defer cancel()
	a, err := e.do(ctx, http.MethodGet, "/site/page", signed(userKey, userSecret))
	if err != nil || a.status != 200 || string(a.body) != "page" || strings.Contains(a.header.Get("Cache-Status"), "regional") {
		t.Errorf("%+v, %v", a, err)
	}
}
