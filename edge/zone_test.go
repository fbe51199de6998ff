package edge_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/textproto"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"meridian/edge"
	"meridian/metadata"
)

// site is a web server that notes what it is asked, in front of which stands a
// pull zone.
type site struct {
	*node
	url   string
	mu    sync.Mutex
	asked []*http.Request
	ahead atomic.Int64 // how far the node's clock is ahead
}

// newSite runs an edge with the pull zone "site" before handle.
func newSite(t *testing.T, handle http.HandlerFunc, change func(*metadata.Bucket)) *site {
	t.Helper()
	s := &site{}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		s.asked = append(s.asked, r.Clone(context.Background()))
		s.mu.Unlock()
		handle(w, r)
	}))
	t.Cleanup(srv.Close)
	s.url = srv.URL
	w := newWorld(t, metadata.PublicRead)
	b := metadata.Bucket{Name: "site", Region: "europe", Visibility: metadata.PublicRead, Pull: metadata.Pull{Origins: []string{srv.URL}}}
	if change != nil {
		change(&b)
	}
	w.control.putBucket(b)
	s.node = w.start(metadata.TierEdge, "edge-europe-1", func(c *edge.Config) {
		c.Upstreams = []string{w.origin.url}
		c.Now = func() time.Time { return time.Now().Add(time.Duration(s.ahead.Load())) }
	})
	return s
}

func (s *site) requests() []*http.Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]*http.Request(nil), s.asked...)
}

func (s *site) wantAsked(t *testing.T, what string, n int) {
	t.Helper()
	if got := len(s.requests()); got != n {
		t.Errorf("%s: the origin was asked %d times, want %d", what, got, n)
	}
}

// say makes a handler that sends header lines and a body.
func say(body string, lines ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		for _, l := range lines {
			name, value, _ := strings.Cut(l, ": ")
			w.Header().Add(name, value)
		}
		_, _ = io.WriteString(w, body)
	}
}

func TestZoneServesFromTheCache(t *testing.T) {
	t.Parallel()
	s := newSite(t, func(w http.ResponseWriter, r *http.Request) {
		say(r.RequestURI, "Cache-Control: max-age=60", "Etag: \"a\"", "Connection: X-Private", "X-Private: 1", "X-Public: 2")(w, r)
	}, func(b *metadata.Bucket) { b.Pull.Hosts = []string{"www.example.com"} })
	path := "/a%2Fb/%7Ec//d?x=%20&y"
	wantBody(t, "cold", s.get("/site"+path), 200, "miss", []byte(path))
	warm := s.get("/site" + path)
	wantBody(t, "warm", warm, 200, "hit", []byte(path))
	if warm.header.Get("X-Private") != "" || warm.header.Get("X-Public") != "2" || warm.header.Get("Age") == "" {
		t.Errorf("header %v", warm.header)
	}
	if st := warm.header.Get("Cache-Status"); !strings.HasPrefix(st, "meridian-edge-europe; hit; ttl=") {
		t.Errorf("Cache-Status %q", st)
	}
	asHost := func(r *http.Request) { r.Host = "WWW.example.com:80" }
	wantBody(t, "by host", s.request(http.MethodGet, path, asHost), 200, "miss", []byte(path))
	wantBody(t, "other escapes", s.get("/site/a/b/%7Ec//d?x=%20&y"), 200, "miss", nil)
	wantBody(t, "other query", s.get("/site/a%2Fb/%7Ec//d?x=+&y"), 200, "miss", nil)
	wantBody(t, "root", s.get("/site"), 200, "miss", []byte("/"))
	wantBody(t, "condition", s.get("/site"+path, "If-None-Match", `"a"`), 304, "hit", nil)
	wantBody(t, "range", s.get("/site"+path, "Range", "bytes=1-3"), 206, "hit", []byte(path[1:4]))
	wantBody(t, "HEAD", s.request(http.MethodHead, "/site"+path, nil), 200, "hit", []byte{})
	wantBody(t, "only-if-cached", s.get("/site/none", "Cache-Control", "only-if-cached"), 504, "", nil)
	s.wantAsked(t, "in all", 5)
	if got := s.get("/media/nothing"); got.status != 404 || len(s.requests()) != 5 {
		t.Errorf("a bucket of objects: status %d", got.status)
	}
}

func TestZoneAnswersManyWithOneRequest(t *testing.T) {
	t.Parallel()
	go1 := make(chan struct{})
	s := newSite(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/shared":
			<-go1
			say("all", "Cache-Control: max-age=60")(w, r)
		case "/private":
			say(r.Header.Get("Cookie"), "Cache-Control: private, max-age=60", "Set-Cookie: id="+r.Header.Get("Cookie"))(w, r)
		case "/guess":
			say(r.Header.Get("Cookie"), "Last-Modified: Wed, 01 Jan 2020 00:00:00 GMT", "Set-Cookie: id="+r.Header.Get("Cookie"))(w, r)
		case "/vary":
			say(r.Header.Get("Cookie"), "Cache-Control: max-age=60", "Vary: Cookie")(w, r)
		}
	}, nil)
	var wg sync.WaitGroup
	for range 40 {
		wg.Go(func() { wantBody(t, "shared", s.get("/site/shared"), 200, "", []byte("all")) })
	}
	s.w.control.eventually(t, "the origin is asked", func() bool { return len(s.requests()) > 0 })
	close(go1)
	wg.Wait()
	s.wantAsked(t, "what all may have", 1)
	for i := range 40 {
		wg.Go(func() {
			cookie := strconv.Itoa(i)
			for _, path := range []string{"/site/private", "/site/guess", "/site/vary"} {
				wantBody(t, path, s.get(path, "Cookie", cookie), 200, "", []byte(cookie))
			}
		})
	}
	wg.Wait()
	s.wantAsked(t, "what is for one", 1+3*40)
}

func TestZoneVaries(t *testing.T) {
	t.Parallel()
	s := newSite(t, func(w http.ResponseWriter, r *http.Request) {
		lang, _, _ := strings.Cut(r.Header.Get("Accept-Language"), ",")
		say(lang, "Cache-Control: max-age=60", "Vary: Accept-Language", "Content-Language: "+lang)(w, r)
	}, nil)
	wantBody(t, "de", s.get("/site/", "Accept-Language", "de, en;q=0.5"), 200, "miss", []byte("de"))
	wantBody(t, "fr", s.get("/site/", "Accept-Language", "fr"), 200, "miss", []byte("fr"))
	wantBody(t, "de again", s.get("/site/", "Accept-Language", "en;q=0.5,DE"), 200, "hit", []byte("de"))
	wantBody(t, "de before others", s.get("/site/", "Accept-Language", "it;q=0.1, de"), 200, "hit", []byte("de"))
	wantBody(t, "fr again", s.get("/site/", "Accept-Language", "fr"), 200, "hit", []byte("fr"))
	s.wantAsked(t, "in all", 2)
}

func TestZoneLargeBodies(t *testing.T) {
	t.Parallel()
	body := random(5*mib+17, 3)
	var etag atomic.Value
	etag.Store(`"one"`)
	s := newSite(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "max-age=60")
		if r.URL.Path == "/chunked" {
			for part := body[:3*mib+5]; len(part) > 0; part = part[min(len(part), 100_000):] {
				_, _ = w.Write(part[:min(len(part), 100_000)])
			}
			return
		}
		w.Header().Set("Etag", etag.Load().(string))
		http.ServeContent(w, r, "film.mp4", time.Time{}, bytes.NewReader(body))
	}, nil)
	tail := s.get("/site/film.mp4", "Range", fmt.Sprintf("bytes=%d-", 4*mib+5))
	wantBody(t, "cold tail", tail, 206, "miss", body[4*mib+5:])
	for _, r := range s.requests() {
		if r.Header.Get("Range") == "" {
			t.Errorf("all of a film was asked for, where its end was wanted")
		}
	}
	wantBody(t, "tail again", s.get("/site/film.mp4", "Range", "bytes=-10"), 206, "hit", body[len(body)-10:])
	wantBody(t, "whole", s.get("/site/film.mp4"), 200, "miss", body)
	asked := len(s.requests())
	wantBody(t, "whole again", s.get("/site/film.mp4"), 200, "hit", body)
	wantBody(t, "no length", s.get("/site/chunked"), 200, "miss", body[:3*mib+5])
	wantBody(t, "no length, held", s.get("/site/chunked", "Range", "bytes=2000000-2000009"), 206, "hit", body[2000000:2000010])
	s.wantAsked(t, "after the film was whole", asked+1)

	// A film that is another one by now is not patched together.
	wantBody(t, "part of another", s.get("/site/other.mp4", "Range", "bytes=0-9"), 206, "miss", body[:10])
	etag.Store(`"two"`)
	got := s.get("/site/other.mp4", "Range", "bytes=3000000-3000009")
	wantBody(t, "after it changed", got, 206, "miss", body[3000000:3000010])
	if got.header.Get("Etag") != `"two"` {
		t.Errorf("ETag %s", got.header.Get("Etag"))
	}
}

// An origin that knows nothing of If-Range does not have two bodies mixed.
func TestZonePartsAreOfOneBody(t *testing.T) {
	t.Parallel()
	bodies := [][]byte{random(3*mib, 1), random(3*mib, 2)}
	var version atomic.Int64
	s := newSite(t, func(w http.ResponseWriter, r *http.Request) {
		r.Header.Del("If-Range")
		w.Header().Set("Cache-Control", "max-age=60")
		n := version.Load()
		http.ServeContent(w, r, "film.mp4", time.Unix(1e9+n, 0), bytes.NewReader(bodies[n]))
	}, nil)
	wantBody(t, "the beginning", s.get("/site/film.mp4", "Range", "bytes=0-9"), 206, "miss", bodies[0][:10])
	version.Store(1)
	a := s.get("/site/film.mp4", "Range", "bytes=2000000-2000009")
	wantBody(t, "the middle", a, 206, "miss", bodies[1][2000000:2000010])
	if got, want := a.header.Get("Last-Modified"), time.Unix(1e9+1, 0).UTC().Format(http.TimeFormat); got != want {
		t.Errorf("the middle is of %s, want %s", got, want)
	}
	wantBody(t, "the beginning again", s.get("/site/film.mp4", "Range", "bytes=0-9"), 206, "", bodies[1][:10])
}

func TestZoneClientsShareABodyThatArrives(t *testing.T) {
	t.Parallel()
	body, half := random(3*mib, 4), make(chan struct{})
	s := newSite(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Cache-Control", "max-age=60")
		w.Header().Set("Content-Length", strconv.Itoa(len(body)))
		_, _ = w.Write(body[:1000])
		_ = http.NewResponseController(w).Flush()
		<-half
		_, _ = w.Write(body[1000:])
	}, nil)
	// Who began it leaves in the middle; the others get all of it.
	ctx, leave := context.WithCancel(t.Context())
	first := make(chan struct{})
	go func() {
		defer close(first)
		_, _ = s.do(ctx, http.MethodGet, "/site/a", nil)
	}()
	s.w.control.eventually(t, "the origin is asked", func() bool { return len(s.requests()) > 0 })
	var wg sync.WaitGroup
	begun := make(chan struct{}, 10)
	for range 10 {
		wg.Go(func() {
			trace := &httptrace.ClientTrace{GotFirstResponseByte: func() { begun <- struct{}{} }}
			a, err := s.do(httptrace.WithClientTrace(t.Context(), trace), http.MethodGet, "/site/a", nil)
			if err != nil || !bytes.Equal(a.body, body) {
				t.Errorf("%d bytes, %v", len(a.body), err)
			}
		})
	}
	for range 10 {
		<-begun
	}
	leave()
	<-first
	close(half)
	wg.Wait()
	s.wantAsked(t, "by eleven", 1)
}

func TestZoneCutsWhatTheOriginCut(t *testing.T) {
	t.Parallel()
	s := newSite(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "max-age=60")
		if r.URL.Path == "/length" {
			w.Header().Set("Content-Length", "1000")
		}
		if r.URL.Path != "/nothing" {
			_, _ = io.WriteString(w, "a part")
			_ = http.NewResponseController(w).Flush()
		}
		panic(http.ErrAbortHandler)
	}, nil)
	for _, path := range []string{"/site/length", "/site/chunked"} {
		for range 2 { // and nothing is kept of it
			if a, err := s.do(t.Context(), http.MethodGet, path, nil); err == nil && a.err == nil {
				t.Errorf("%s: passed for whole: %q", path, a.body)
			}
		}
	}
	wantBody(t, "no answer", s.get("/site/nothing"), 502, "", nil)
	a := s.request(http.MethodPost, "/site/nothing", nil)
	wantBody(t, "no answer to POST", a, 502, "", nil)
	s.wantAsked(t, "without retries", 6)
}

func TestZonePassesUnsafeRequests(t *testing.T) {
	t.Parallel()
	s := newSite(t, func(w http.ResponseWriter, r *http.Request) {
		got, _ := io.ReadAll(r.Body)
		switch {
		case r.URL.Path == "/search":
			say("found "+string(got), "Cache-Control: max-age=60", "Content-Location: /search")(w, r)
		case r.Method == http.MethodGet:
			say(fmt.Sprint(len(got)), "Cache-Control: max-age=60")(w, r)
		case r.Header.Get("X-Fail") != "":
			w.WriteHeader(http.StatusInternalServerError)
		default:
			w.Header().Set("Location", "/b")
			w.WriteHeader(http.StatusCreated)
			_, _ = fmt.Fprint(w, r.Method, len(got))
		}
	}, nil)
	hit := func(what, path, result string) {
		t.Helper()
		wantBody(t, what, s.get(path), 200, result, nil)
	}
	post := func(path string, size int, header ...string) answer {
		return s.request(http.MethodPost, path, func(r *http.Request) {
			with(header...)(r)
			r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(random(size, 1))), -1
		})
	}
	for _, path := range []string{"/site/a", "/site/a?q", "/site/b"} {
		hit("cold", path, "miss")
	}
	if a := post("/site/a", 3*mib, "X-Fail", "1"); a.status != 500 {
		t.Errorf("status %d", a.status)
	}
	hit("after a failure", "/site/a", "hit")
	wantBody(t, "POST", post("/site/a", 3*mib), 201, "pass", []byte("POST3145728"))
	hit("the target", "/site/a", "miss")
	hit("another query", "/site/a?q", "hit")
	hit("what Location names", "/site/b", "miss")
	if a := post("/site/search", 3); a.status != 200 {
		t.Errorf("status %d", a.status)
	}
	hit("what POST said a GET would bring", "/site/search", "hit")
	if a := s.request("PURGE", "/site/a", nil); a.status != 403 {
		t.Errorf("PURGE by anybody: %d", a.status)
	}
	if a := s.get("/site/a", "Connection", "Upgrade", "Upgrade", "WebSocket"); a.status != 501 || !bytes.Contains(a.body, []byte("WebSocket")) {
		t.Errorf("a WebSocket: %d %s", a.status, a.body)
	}
	if a := s.request(http.MethodTrace, "/site/a", nil); a.status != 405 {
		t.Errorf("TRACE: %d", a.status)
	}
}

func TestZonePurges(t *testing.T) {
	t.Parallel()
	var version atomic.Int64
	hold := make(chan chan struct{}, 1)
	s := newSite(t, func(w http.ResponseWriter, r *http.Request) {
		body := strconv.FormatInt(version.Load(), 10)
		select {
		case h := <-hold:
			<-h
		default:
		}
		say(body, "Cache-Control: max-age=60", "Surrogate-Key: all of-"+strings.Trim(r.URL.Path, "/"))(w, r)
	}, nil)
	for i, p := range []metadata.Purge{
		{URLs: []string{"/site/a"}}, {Prefixes: []string{"site/"}}, {SurrogateKeys: []string{"of-a"}}, {Bucket: "site"}, {Everything: true},
	} {
		s.get("/site/a?x")
		version.Add(1)
		p.ID = fmt.Sprint("purge", i)
		s.w.applied(s.w.purge(p), s.node)
		wantBody(t, p.ID, s.get("/site/a?x"), 200, "miss", []byte(strconv.FormatInt(version.Load(), 10)))
	}
	// One that comes while the old answer is on its way.
	release := make(chan struct{})
	hold <- release
	done := make(chan struct{})
	asked := len(s.requests())
	go func() { defer close(done); s.get("/site/late") }()
	s.w.control.eventually(t, "the origin is asked", func() bool { return len(s.requests()) > asked })
	version.Add(1)
	s.w.applied(s.w.purge(metadata.Purge{ID: "late", URLs: []string{"/site/late"}}), s.node)
	wantBody(t, "while it runs", s.get("/site/late"), 200, "miss", []byte(strconv.FormatInt(version.Load(), 10)))
	close(release)
	<-done
	wantBody(t, "after it", s.get("/site/late"), 200, "", []byte(strconv.FormatInt(version.Load(), 10)))
}

func TestZoneStandsInForItsOrigin(t *testing.T) {
	t.Parallel()
	var down atomic.Bool
	s := newSite(t, func(w http.ResponseWriter, r *http.Request) {
		if down.Load() {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		say(r.URL.Path, "Cache-Control: max-age=60"+strings.ReplaceAll(r.URL.Path, "/", ", "))(w, r)
	}, nil)
	paths := []string{"/x", "/soft", "/must-revalidate", "/s-maxage=60", "/no-cache"}
	for _, path := range paths {
		wantBody(t, path, s.get("/site"+path), 200, "miss", []byte(path))
	}
	s.w.purgeSoftly("/site/soft", s.node)
	down.Store(true)
	s.ahead.Store(int64(5 * time.Minute))
	wantBody(t, "stale", s.get("/site/x"), 200, "stale", []byte("/x"))
	for _, path := range paths[1:] { // known to be wrong, or forbidden
		wantBody(t, path, s.get("/site"+path), 503, "", nil)
	}
	s.ahead.Store(int64(2 * time.Hour))
	wantBody(t, "too stale", s.get("/site/x"), 503, "", nil)
}

func TestZoneRenewsBehindTheClient(t *testing.T) {
	t.Parallel()
	var version atomic.Int64
	s := newSite(t, func(w http.ResponseWriter, r *http.Request) {
		say(strconv.FormatInt(version.Load(), 10), "Cache-Control: max-age=60, stale-while-revalidate=600")(w, r)
	}, func(b *metadata.Bucket) { b.Pull.ResponseHeaders.Remove = []string{"Date"} })
	wantBody(t, "cold", s.get("/site/"), 200, "miss", []byte("0"))
	s.get("/site/long", "Cache-Control", "max-stale")
	version.Store(1)
	s.ahead.Store(int64(2 * time.Minute))
	// The clock jumped over the lease, without which everything is asked for.
	s.w.control.eventually(t, "there is a lease again", func() bool {
		return s.get("/site/long", "Cache-Control", "max-stale, only-if-cached").status == 200
	})
	wantBody(t, "stale", s.get("/site/"), 200, "stale", []byte("0"))
	// By one request: the server's clock, which has not jumped, is not asked.
	s.w.control.eventually(t, "the new one", func() bool { return string(s.get("/site/").body) == "1" })
	s.wantAsked(t, "in all", 3)
}

func TestZoneRequestsAreClean(t *testing.T) {
	t.Parallel()
	s := newSite(t, say("ok"), func(b *metadata.Bucket) {
		b.Pull.Origins[0] += "/base"
		b.Pull.Host = "inner.example"
		b.Pull.RequestHeaders = metadata.HeaderRules{Remove: []string{"X-Drop"}, Set: map[string]string{"X-Token": "secret"}}
		b.Pull.Query, b.Pull.QueryParams = metadata.QueryListed, []string{"v"}
		b.Pull.Rewrites = []metadata.PathRewrite{{From: "/old/", To: "/new/"}}
	})
	s.get("/site/old/a?utm=1&v=2", "X-Drop", "1", "X-Forwarded-Host", "evil.example", "X-Original-Url", "/admin", "Connection", "X-Hop", "X-Hop", "1",
		"X-Meridian-Node", "me", "Authorization", "Basic abc", "X-Keep", "1")
	r := s.requests()[0]
	if r.RequestURI != "/base/new/a?v=2" || r.Host != "inner.example" {
		t.Errorf("asked for %s of %s", r.RequestURI, r.Host)
	}
	for name, want := range map[string]string{
		"X-Drop": "", "X-Forwarded-Host": "", "X-Original-Url": "", "X-Hop": "", "X-Meridian-Node": "", "X-Keep": "1", "X-Token": "secret",
		"Authorization": "Basic abc", "Via": "1.1 meridian", "X-Forwarded-Proto": "http", "X-Forwarded-For": "127.0.0.1", "Accept-Encoding": "",
	} {
		if got := r.Header.Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	for _, path := range []string{"/site/../secret", "/site/%2e%2e/secret", "/site/a/..%2f..%2fsecret", "/site/..%5csecret"} {
		if a := s.get(path); a.status != 400 {
			t.Errorf("%s: status %d", path, a.status)
		}
	}
	if a := s.get("/site/a", "CDN-Loop", r.Header.Get("Cdn-Loop")); a.status != http.StatusLoopDetected {
		t.Errorf("a loop: status %d", a.status)
	}
	s.wantAsked(t, "in all", 1)
}

func TestZoneMayBePrivate(t *testing.T) {
	t.Parallel()
	s := newSite(t, say("ok", "Cache-Control: max-age=60"), func(b *metadata.Bucket) { b.Visibility = metadata.Private })
	if a := s.get("/site/a"); a.status != 403 {
		t.Errorf("anybody: status %d", a.status)
	}
	wantBody(t, "a user", s.request(http.MethodGet, "/site/a", signed(userKey, userSecret)), 200, "miss", []byte("ok"))
	wantBody(t, "again", s.request(http.MethodGet, "/site/a", signed(userKey, userSecret)), 200, "hit", []byte("ok"))
	if a := s.get("/site/a"); a.status != 403 {
		t.Errorf("anybody, once it is held: status %d", a.status)
	}
	if got := s.requests()[0].Header.Get("Authorization"); got != "" {
		t.Errorf("the origin was told %q", got)
	}
}

func TestZonePassesInterimAnswers(t *testing.T) {
	t.Parallel()
	s := newSite(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Link", "</a.css>; rel=preload")
		w.WriteHeader(http.StatusEarlyHints)
		w.Header().Del("Link")
		say("ok", "Cache-Control: max-age=60")(w, r)
	}, nil)
	hints := func() (got []string) {
		trace := &httptrace.ClientTrace{Got1xxResponse: func(status int, h textproto.MIMEHeader) error {
			got = append(got, fmt.Sprint(status, h.Get("Link"), len(h)))
			return nil
		}}
		a, err := s.do(httptrace.WithClientTrace(t.Context(), trace), http.MethodGet, "/site/", nil)
		if err != nil || a.header.Get("Link") != "" || string(a.body) != "ok" {
			t.Errorf("%v %v", a, err)
		}
		return got
	}
	if got := hints(); len(got) != 1 || got[0] != "103</a.css>; rel=preload1" {
		t.Errorf("interim answers %q", got)
	}
	if got := hints(); len(got) != 0 {
		t.Errorf("from the cache: %q", got)
	}
}

// purge asks for a purge through the feed.
func (w *world) purge(p metadata.Purge) metadata.Seq {
	w.t.Helper()
	data, err := json.Marshal(p)
	if err != nil {
		w.t.Fatal(err)
	}
	return w.control.emit(metadata.Event{Type: metadata.PurgeAsked, Data: data})
}

func (w *world) purgeSoftly(url string, nodes ...*node) {
	w.t.Helper()
	w.applied(w.purge(metadata.Purge{ID: "soft", URLs: []string{url}, Soft: true}), nodes...)
}
