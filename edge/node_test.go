package edge_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"

	"meridian/edge/cache"
	"meridian/internal/hop"
	"meridian/metadata"
)

const mib = cache.SliceSize

func TestColdThenWarm(t *testing.T) {
	t.Parallel()
	w := newWorld(t, metadata.PublicRead)
	edge, regional := w.pair()
	for _, size := range []int{0, 1, 1000, 32 << 10, 32<<10 + 1, mib - 1, mib, mib + 1, 3*mib + 17} {
		body := random(size, uint64(size))
		key := fmt.Sprintf("media/dir/photo %d+é.jpg", size)
		w.origin.put(key, body, "Content-Type", "image/jpeg", "X-Amz-Meta-Camera", "box", "Content-Language", "de")
		path := fmt.Sprintf("/media/dir/photo%%20%d+%%C3%%A9.jpg", size)
		asked := w.origin.asked()

		cold := edge.get(path)
		wantBody(t, "cold", cold, 200, "miss", body)
		if got := w.origin.asked() - asked; got > 1+size/mib && got > 1 {
			t.Errorf("%d bytes: origin was asked %d times:\n%s", size, got, w.origin.log())
		}
		status := strings.Join(cold.header["Cache-Status"], ", ")
		if !strings.Contains(status, "meridian-regional-europe; fwd=uri-miss") || !strings.Contains(status, "meridian-edge-europe; fwd=uri-miss") ||
			strings.Index(status, "regional") > strings.Index(status, "edge") {
			t.Errorf("cold Cache-Status %q", status)
		}
		asked = w.origin.asked()
		warm := edge.get(path)
		wantBody(t, "warm", warm, 200, "hit", body)
		if !strings.Contains(strings.Join(warm.header["Cache-Status"], ", "), "meridian-edge-europe; hit") {
			t.Errorf("warm Cache-Status %q", warm.header["Cache-Status"])
		}
		for name, want := range map[string]string{
			"Content-Type": "image/jpeg", "X-Amz-Meta-Camera": "box", "Content-Language": "de", "Accept-Ranges": "bytes",
			"Content-Length": strconv.Itoa(size), "Access-Control-Allow-Origin": "*",
		} {
			if got := warm.header.Get(name); got != want {
				t.Errorf("%s: %q, want %q", name, got, want)
			}
		}
		for _, name := range []string{"ETag", "Last-Modified", "Age", "Server-Timing"} {
			if warm.header.Get(name) == "" {
				t.Errorf("no %s", name)
			}
		}
		for _, name := range []string{hop.Version, hop.Crc64, hop.Region} {
			if v := warm.header.Get(name); v != "" {
				t.Errorf("%s: %s told to a client", name, v)
			}
		}
		head := edge.request(http.MethodHead, path, nil)
		wantBody(t, "head", head, 200, "hit", []byte{})
		if head.header.Get("Content-Length") != strconv.Itoa(size) {
			t.Errorf("HEAD: Content-Length %s", head.header.Get("Content-Length"))
		}
		if w.origin.asked() != asked {
			t.Errorf("warm requests reached the origin:\n%s", w.origin.log())
		}
	}
	// Another edge of the region finds it at the regional cache.
	second := w.start(metadata.TierEdge, "edge-europe-2", nil, regional.url)
	asked := w.origin.asked()
	a := second.get("/media/dir/photo%201000+%C3%A9.jpg")
	wantBody(t, "second edge", a, 200, "miss", random(1000, 1000))
	if w.origin.asked() != asked || !strings.Contains(strings.Join(a.header["Cache-Status"], ", "), "meridian-regional-europe; hit") {
		t.Errorf("the regional cache did not answer: %q", a.header["Cache-Status"])
	}
}

// However many miss at once, the origin is asked once for each slice.
func TestOneFetchForAll(t *testing.T) {
	t.Parallel()
	w := newWorld(t, metadata.PublicRead)
	e := w.edge(w.origin.url)
	const slices, clients = 3, 1000
	body := random(slices*mib-100, 1)
	w.origin.put("media/film.mp4", body)
	gate := make(chan struct{})
	first := sync.OnceFunc(func() { <-gate })
	w.origin.set(func() { w.origin.hold = func(*http.Request, *object) { first() } })
	var wg sync.WaitGroup
	for i := range clients {
		wg.Go(func() {
			// A few want all of it, the others what lies around a border:
			// the machine that tests run on has better to do than copying.
			req, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, e.url+"/media/film.mp4", nil)
			want := body
			if i%100 > 0 {
				border := (1 + i%2) * mib
				req.Header.Set("Range", fmt.Sprintf("bytes=%d-%d", border-50, border+49))
				want = body[border-50 : border+50]
			}
			resp, err := client.Do(req)
			if err != nil {
				t.Error(err)
				return
			}
			defer resp.Body.Close()
			if err := sameBytes(resp.Body, want); err != nil || resp.StatusCode >= 300 {
				t.Errorf("status %d: %v", resp.StatusCode, err)
			}
		})
	}
	w.control.eventually(t, "the origin is asked", func() bool { return w.origin.asked() > 0 })
	close(gate)
	wg.Wait()
	// A machine so slow that the lease runs out makes the node ask whether the
	// head still holds; the slices it has all the same.
	fetched := map[string]int{}
	for _, line := range strings.Split(w.origin.log(), "\n") {
		if f := strings.Fields(line); len(f) == 3 {
			fetched[f[2]]++
		}
	}
	for rng, n := range fetched {
		if n != 1 {
			t.Errorf("%s was fetched %d times", rng, n)
		}
	}
	if len(fetched) != slices {
		t.Errorf("origin was asked for %d of %d slices:\n%s", len(fetched), slices, w.origin.log())
	}
	e.stop()
	sum, _ := w.control.total(e.id)
	if sum.Requests != clients || sum.Hits+sum.Misses+sum.Revalidated != clients || sum.Bytes != int64(clients/100*len(body)+(clients-clients/100)*100) {
		t.Errorf("counted %+v", sum)
	}
}

// sameBytes reads r to its end and compares, without holding it.
func sameBytes(r io.Reader, want []byte) error {
	buf := make([]byte, 32<<10)
	for {
		n, err := r.Read(buf)
		if n > len(want) || !bytes.Equal(buf[:n], want[:n]) {
			return fmt.Errorf("bytes differ, %d before the end", len(want))
		}
		want = want[n:]
		if err == io.EOF && len(want) == 0 {
			return nil
		}
		if err != nil {
			return fmt.Errorf("%d bytes are missing: %w", len(want), err)
		}
	}
}

// The client whose request started the fill leaves; the others are served.
func TestLeaderLeaves(t *testing.T) {
	t.Parallel()
	w := newWorld(t, metadata.PublicRead)
	e := w.edge(w.origin.url)
	body := random(2*mib, 2)
	w.origin.put("media/a", body)
	gate := make(chan struct{})
	w.origin.set(func() { w.origin.hold = func(*http.Request, *object) { <-gate } })
	ctx, leave := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() {
		if a, err := e.do(ctx, http.MethodGet, "/media/a", nil); err == nil {
			t.Errorf("the leader got %d", a.status)
		}
	})
	w.control.eventually(t, "the leader asks", func() bool { return w.origin.asked() == 1 })
	joined := make(chan struct{})
	for range 20 {
		wg.Go(func() {
			joined <- struct{}{}
			a, err := e.do(t.Context(), http.MethodGet, "/media/a", nil)
			if err != nil || !bytes.Equal(a.body, body) {
				t.Errorf("follower: %d, %d bytes, %v", a.status, len(a.body), err)
			}
		})
		<-joined
	}
	leave()
	close(gate)
	wg.Wait()
}

// The only client leaves while the origin is being asked; whoever comes next gets
// what that brings.
func TestLastLeaves(t *testing.T) {
	t.Parallel()
	w := newWorld(t, metadata.PublicRead)
	e, _ := w.pair()
	body := random(4*mib, 2)
	w.origin.put("media/a", body)
	wantBody(t, "the head", e.get("/media/a", "Range", "bytes=0-9"), 206, "miss", body[:10])
	for i, rng := range [][2]int{{mib, 2*mib - 1}, {2*mib + 5, 3*mib + 4}} { // one slice, and two
		gate := make(chan struct{})
		open := sync.OnceFunc(func() { close(gate) })
		defer open()
		w.origin.set(func() { w.origin.hold = func(*http.Request, *object) { <-gate } })
		field := with("Range", fmt.Sprintf("bytes=%d-%d", rng[0], rng[1]))
		ctx, leave := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() {
			if a, err := e.do(ctx, http.MethodGet, "/media/a", field); err == nil {
				t.Errorf("who left got %d", a.status)
			}
		})
		before := float64(1 + 2*i)
		w.control.eventually(t, "the origin is asked", func() bool { return w.origin.asked() > 1+i })
		leave()
		wg.Wait()
		w.control.eventually(t, "the edge has seen it leave", func() bool { return e.metric(t, "meridian_cache_requests_total") == before+1 })
		wg.Go(func() {
			a, err := e.do(t.Context(), http.MethodGet, "/media/a", field)
			if err != nil || a.status != 206 || !bytes.Equal(a.body, body[rng[0]:rng[1]+1]) {
				t.Errorf("who came next: %d, %d bytes, %v", a.status, len(a.body), err)
			}
		})
		open()
		wg.Wait()
	}
	seen := map[string]bool{}
	for line := range strings.SplitSeq(w.origin.log(), "\n") {
		if seen[line] {
			t.Errorf("asked twice: %s", line)
		}
		seen[line] = true
	}
}

func TestRanges(t *testing.T) {
	t.Parallel()
	w := newWorld(t, metadata.PublicRead)
	const size = 4*mib + 1234
	body := random(size, 3)
	type want struct {
		status      int
		first, last int // inclusive
	}
	cases := map[string]want{
		"bytes=0-0":                   {206, 0, 0},
		"bytes=0-":                    {206, 0, size - 1},
		"bytes=5-99":                  {206, 5, 99},
		"bytes=-1":                    {206, size - 1, size - 1},
		"bytes=-5000":                 {206, size - 5000, size - 1},
		"bytes=-99999999":             {206, 0, size - 1},
		"bytes=1048575-1048576":       {206, mib - 1, mib},
		"bytes=1048576-2097151":       {206, mib, 2*mib - 1},
		"bytes=3145728-":              {206, 3 * mib, size - 1},
		"bytes=4194304-4194304":       {206, 4 * mib, 4 * mib},
		"bytes=4195000-99999999":      {206, 4195000, size - 1},
		"bytes=99999999-":             {416, 0, 0},
		"bytes=10-5":                  {200, 0, size - 1},
		"chars=0-5":                   {200, 0, size - 1},
		"bytes=x":                     {200, 0, size - 1},
		"bytes=18446744073709551616-": {416, 0, 0},
	}
	regional := w.start(metadata.TierRegional, "regional-europe-1", nil, w.origin.url)
	i := 0
	for spec, c := range cases {
		i++
		name := fmt.Sprintf("media/%d", i)
		w.origin.put(name, body)
		e := w.start(metadata.TierEdge, fmt.Sprintf("edge-%d", i), nil, regional.url)
		for _, state := range []string{"cold", "warm"} {
			a := e.get("/"+name, "Range", spec)
			if spec == "bytes=18446744073709551616-" && a.status == 200 {
				continue // a number that large may also count as no range at all
			}
			if a.status != c.status || a.err != nil {
				t.Errorf("%s, %s: status %d, want %d (%v)", spec, state, a.status, c.status, a.err)
				continue
			}
			switch c.status {
			case 416:
				if got := a.header.Get("Content-Range"); got != fmt.Sprintf("bytes */%d", size) {
					t.Errorf("%s, %s: Content-Range %q", spec, state, got)
				}
				continue
			case 206:
				if got, want := a.header.Get("Content-Range"), fmt.Sprintf("bytes %d-%d/%d", c.first, c.last, size); got != want {
					t.Errorf("%s, %s: Content-Range %q, want %q", spec, state, got, want)
				}
			}
			if !bytes.Equal(a.body, body[c.first:c.last+1]) {
				t.Errorf("%s, %s: %d bytes differ", spec, state, len(a.body))
			}
		}
		e.stop()
	}
}

// A seek into a cold object fetches what is played, not what was skipped.
func TestSeekIntoCold(t *testing.T) {
	t.Parallel()
	w := newWorld(t, metadata.PublicRead)
	e := w.edge(w.origin.url)
	body := random(9*mib, 4)
	w.origin.put("media/film", body)
	a := e.get("/media/film", "Range", fmt.Sprintf("bytes=%d-%d", 6*mib+5, 7*mib+4))
	wantBody(t, "seek", a, 206, "miss", body[6*mib+5:7*mib+5])
	if got := w.origin.asked(); got != 2 {
		t.Errorf("origin was asked %d times for two slices:\n%s", got, w.origin.log())
	}
	a = e.get("/media/film", "Range", fmt.Sprintf("bytes=%d-%d", 6*mib, 8*mib-1))
	wantBody(t, "around it", a, 206, "hit", body[6*mib:8*mib])
}

func TestMultiRange(t *testing.T) {
	t.Parallel()
	w := newWorld(t, metadata.PublicRead)
	e := w.edge(w.origin.url)
	body := random(3*mib, 5)
	w.origin.put("media/a", body, "Content-Type", "video/mp4")
	a := e.get("/media/a", "Range", fmt.Sprintf("bytes=0-9, %d-%d, -5", mib-3, mib+3))
	wantBody(t, "multi", a, 206, "", nil)
	kind, params, err := mime.ParseMediaType(a.header.Get("Content-Type"))
	if err != nil || kind != "multipart/byteranges" {
		t.Fatalf("Content-Type %q: %v", a.header.Get("Content-Type"), err)
	}
	if a.header.Get("Content-Length") != strconv.Itoa(len(a.body)) {
		t.Errorf("Content-Length %s of %d bytes", a.header.Get("Content-Length"), len(a.body))
	}
	r := multipart.NewReader(bytes.NewReader(a.body), params["boundary"])
	for _, want := range [][2]int{{0, 9}, {mib - 3, mib + 3}, {3*mib - 5, 3*mib - 1}} {
		p, err := r.NextPart()
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(p)
		if err != nil || !bytes.Equal(got, body[want[0]:want[1]+1]) || p.Header.Get("Content-Type") != "video/mp4" ||
			p.Header.Get("Content-Range") != fmt.Sprintf("bytes %d-%d/%d", want[0], want[1], 3*mib) {
			t.Errorf("part %v: %d bytes, %v, %v", want, len(got), p.Header, err)
		}
	}
	if _, err := r.NextPart(); err != io.EOF {
		t.Errorf("after the last part: %v", err)
	}
}

func TestConditions(t *testing.T) {
	t.Parallel()
	w := newWorld(t, metadata.PublicRead)
	e := w.edge(w.origin.url)
	obj := w.origin.put("media/a", random(100, 6))
	modified := obj.when.UTC().Format(http.TimeFormat)
	before := obj.when.Add(-1e9 * 60).UTC().Format(http.TimeFormat)
	for _, c := range []struct {
		name, value string
		status      int
	}{
		{"If-None-Match", obj.etag, 304}, {"If-None-Match", "W/" + obj.etag, 304}, {"If-None-Match", `"x", ` + obj.etag, 304}, {"If-None-Match", "*", 304},
		{"If-None-Match", `"x"`, 200},
		{"If-Match", obj.etag, 200}, {"If-Match", `"x"`, 412}, {"If-Match", "*", 200},
		{"If-Modified-Since", modified, 304}, {"If-Modified-Since", before, 200}, {"If-Modified-Since", "nonsense", 200},
		{"If-Unmodified-Since", modified, 200}, {"If-Unmodified-Since", before, 412},
	} {
		for range 2 { // cold and warm are the same
			if a := e.get("/media/a", c.name, c.value); a.status != c.status || a.err != nil {
				t.Errorf("%s: %s: status %d, want %d", c.name, c.value, a.status, c.status)
			}
		}
	}
	if a := e.get("/media/a", "If-None-Match", obj.etag); a.header.Get("ETag") != obj.etag || a.header.Get("Cache-Status") == "" || len(a.body) > 0 {
		t.Errorf("304 with %v", a.header)
	}
	if a := e.get("/media/a", "Range", "bytes=0-9", "If-Range", `"x"`); a.status != 200 {
		t.Errorf("If-Range of another version: %d", a.status)
	}
	if a := e.get("/media/a", "Range", "bytes=0-9", "If-Range", obj.etag); a.status != 206 {
		t.Errorf("If-Range of this version: %d", a.status)
	}
}

// Nothing a client sends but the URL chooses what is asked of upstream: the
// origin of these tests fails on any header it does not know.
func TestClientHeadersStayOut(t *testing.T) {
	t.Parallel()
	w := newWorld(t, metadata.PublicRead)
	e := w.edge(w.origin.url)
	body := random(10, 7)
	obj := w.origin.put("media/a", body)
	old := obj.version
	w.origin.put("media/a", append(body, 'x'))
	a := e.get("/media/a?cachebuster=1&x-id=GetObject", hop.RequestVersion, old, hop.RequestApplied, "99999999-1", hop.RequestNode, "edge-evil", hop.RequestLocal, "1",
		"X-Forwarded-Host", "evil", "Cookie", "a=b", "X-Original-URL", "/other", "Cache-Control", "no-cache", "Pragma", "no-cache",
		"X-Amz-Meta-X", "y", "Forwarded", "for=1", "Accept-Encoding", "gzip", "Connection", "Range")
	wantBody(t, "request with hop headers", a, 200, "miss", append(body, 'x'))
	wantBody(t, "another query", e.get("/media/a?y=2"), 200, "hit", append(body, 'x'))
	if w.origin.asked() != 1 {
		t.Errorf("origin was asked:\n%s", w.origin.log())
	}
	// A node does get to ask for a version, and is told which it got.
	a = e.request(http.MethodGet, "/media/a", asNode(hop.RequestVersion, old))
	wantBody(t, "an old version for a node", a, 200, "miss", body)
	if a.header.Get(hop.Version) != old {
		t.Errorf("%s is %q", hop.Version, a.header.Get(hop.Version))
	}
	wantBody(t, "the current one, after", e.get("/media/a"), 200, "hit", append(body, 'x'))
	// Headers that were added to a signed request are not obeyed.
	a = e.request(http.MethodGet, "/media/a", func(r *http.Request) {
		asNode()(r)
		r.Header.Set(hop.RequestVersion, old)
	})
	if a.status != http.StatusForbidden {
		t.Errorf("unsigned hop header: %d", a.status)
	}
}

func TestMethods(t *testing.T) {
	t.Parallel()
	w := newWorld(t, metadata.PublicRead)
	e := w.edge(w.origin.url)
	for _, m := range []string{"POST", "PUT", "DELETE", "PATCH", "TRACE", "BREW"} {
		if a := e.request(m, "/media/a", nil); a.status != 405 || !strings.Contains(a.header.Get("Allow"), "GET") {
			t.Errorf("%s: %d, Allow %q", m, a.status, a.header.Get("Allow"))
		}
	}
	if w.origin.asked() != 0 {
		t.Errorf("origin was asked:\n%s", w.origin.log())
	}
}

func TestMissing(t *testing.T) {
	t.Parallel()
	w := newWorld(t, metadata.PublicRead)
	edge, regional := w.pair()
	for _, result := range []string{"miss", "hit"} {
		a := edge.get("/media/none")
		if a.status != 404 || a.result() != result || !bytes.Contains(a.body, []byte("<Code>NoSuchKey</Code>")) || a.header.Get("Content-Type") != "application/xml" {
			t.Errorf("%d, %s, %s", a.status, a.result(), a.body)
		}
	}
	if w.origin.asked() != 1 {
		t.Errorf("origin was asked:\n%s", w.origin.log())
	}
	if a := edge.request(http.MethodHead, "/media/none", nil); a.status != 404 || len(a.body) != 0 {
		t.Errorf("HEAD: %d", a.status)
	}
	// What is created is seen as soon as the feed says so.
	w.origin.put("media/none", []byte("here"))
	w.written("media/none", edge, regional)
	wantBody(t, "created", edge.get("/media/none"), 200, "miss", []byte("here"))

	if a := edge.get("/nobucket/x"); a.status != 404 || !bytes.Contains(a.body, []byte("NoSuchBucket")) {
		t.Errorf("unknown bucket: %d %s", a.status, a.body)
	}
	for _, path := range []string{"/", "/media", "/media/", "/%00/x", "/me%2fdia/a", "/media/%ff"} {
		if a := edge.get(path); a.status < 400 || a.status >= 500 {
			t.Errorf("%s: %d", path, a.status)
		}
	}
}

// Names that nobody has heard of do not make the node ask for each.
func TestUnknownBucketsAreCheap(t *testing.T) {
	t.Parallel()
	w := newWorld(t, metadata.PublicRead)
	e := w.edge(w.origin.url)
	var wg sync.WaitGroup
	for i := range 100 {
		wg.Go(func() {
			if a, err := e.do(t.Context(), http.MethodGet, fmt.Sprintf("/bucket-%d/x", i), nil); err != nil || a.status != 404 {
				t.Errorf("%d, %v", a.status, err)
			}
		})
	}
	wg.Wait()
	w.control.mu.Lock()
	defer w.control.mu.Unlock()
	if w.control.snaps > 20 {
		t.Errorf("%d snapshots", w.control.snaps)
	}
}

func TestVersionID(t *testing.T) {
	t.Parallel()
	w := newWorld(t, metadata.PublicRead)
	e := w.edge(w.origin.url)
	obj := w.origin.put("media/a", []byte("one"))
	w.origin.set(func() { obj.id = obj.version })
	for _, result := range []string{"miss", "hit"} {
		a := e.get("/media/a?versionId=" + obj.id)
		wantBody(t, "by version", a, 200, result, []byte("one"))
		if a.header.Get("X-Amz-Version-Id") != obj.id {
			t.Errorf("version ID %q", a.header.Get("X-Amz-Version-Id"))
		}
	}
	if a := e.get("/media/a?versionId=01ARZ3NDEKTSV4RRFFQ69G5FAV"); a.status != 404 {
		t.Errorf("unknown version: %d", a.status)
	}
	wantBody(t, "current", e.get("/media/a"), 200, "miss", []byte("one"))
	for _, q := range []string{"versionId=", "versionId=other", "versionId=a&versionId=b", "versionId=%zz"} {
		if a := e.get("/media/a?" + q); a.status != 400 {
			t.Errorf("%s: %d", q, a.status)
		}
	}
}
