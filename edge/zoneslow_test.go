package edge_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"meridian/edge"
	"meridian/edge/cache/memory"
	"meridian/metadata"
)

// stuck asks for a path, and takes no more than the head of the answer, and some of
// the body, until read.
func (n *node) stuck(t *testing.T, path string) (read func() ([]byte, error)) {
	t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(n.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(time.Minute))
	if _, err := io.WriteString(conn, "GET "+path+" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	return func() ([]byte, error) { return io.ReadAll(resp.Body) }
}

// However many bodies wait for slow clients while they arrive, others are kept; and
// all clients get theirs.
func TestZoneSlowClientsKeepNoRoom(t *testing.T) {
	t.Parallel()
	film := random(9*mib+5, 1)
	s := newSite(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "max-age=600")
		w.Header().Set("Etag", `"film"`)
		http.ServeContent(w, r, "film.mp4", time.Time{}, bytes.NewReader(film))
	}, nil)
	reads := map[string]func() ([]byte, error){}
	for i := range 40 {
		path := fmt.Sprintf("/site/film%d", i)
		reads[path] = s.stuck(t, path)
	}
	wantBody(t, "one more", s.get("/site/film"), 200, "miss", film)
	if a := s.get("/site/film-range", "Range", "bytes=0-9"); a.status != 206 || !bytes.Equal(a.body, film[:10]) {
		t.Errorf("a range: %d", a.status)
	}
	wantBody(t, "it was kept", s.get("/site/film"), 200, "hit", film)
	for _, path := range []string{"/site/film0", "/site/film20", "/site/film39"} {
		if got, err := reads[path](); err != nil || !bytes.Equal(got, film) {
			t.Errorf("%s: %d bytes, %v", path, len(got), err)
		}
	}
}

// Of bodies of which no piece can be asked for again, slow clients keep no more
// alive than of objects: many may read the same one, but not each one of their own.
func TestZoneSlowClientsHoldOnlySoMuch(t *testing.T) {
	t.Parallel()
	page := random(8*mib, 2)
	s := newSite(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Cache-Control", "max-age=600")
		w.Header().Set("Content-Length", strconv.Itoa(len(page)))
		_, _ = w.Write(page)
	}, nil)
	bypassed := false
	for i := range 8 {
		path := fmt.Sprintf("/site/page%d", i)
		s.get(path)
		for range 4 {
			s.stuck(t, path)
		}
		a := s.get(path)
		wantBody(t, path, a, 200, "", page)
		if i == 0 && a.result() != "hit" {
			t.Errorf("read by five: %v", a.header)
		}
		bypassed = bypassed || strings.Contains(a.header.Get("Cache-Status"), "fwd=bypass")
	}
	if !bypassed {
		t.Error("32 slow clients hold 64 MiB, and nothing was said")
	}
}

// Clients that leave while their answer waits for room leave nothing behind: were the
// requests to the origin counted on, there would be none left in the end.
func TestZoneClientsThatLeaveGiveTheirPlaceBack(t *testing.T) {
	t.Parallel()
	page := random(8*mib, 2)
	sent := make(chan struct{}, 1)
	s := newSite(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "max-age=600")
		w.Header().Set("Content-Length", strconv.Itoa(len(page)))
		_ = http.NewResponseController(w).Flush()
		if strings.HasPrefix(r.URL.Path, "/late") {
			sent <- struct{}{}
		}
		_, _ = w.Write(page)
	}, nil)
	var reads []func() ([]byte, error)
	for i := range 16 { // all the room there is
		reads = append(reads, s.stuck(t, fmt.Sprintf("/site/page%d", i)))
	}
	for i := range 5 {
		conn, err := net.Dial("tcp", strings.TrimPrefix(s.node.url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := fmt.Fprintf(conn, "GET /site/late%d HTTP/1.1\r\nHost: x\r\n\r\n", i); err != nil {
			t.Fatal(err)
		}
		<-sent
		time.Sleep(10 * time.Millisecond) // the edge has the header, and waits
		_ = conn.(*net.TCPConn).SetLinger(0)
		conn.Close()
	}
	for i, read := range reads { // on a slow machine they may have been cut, for the room that was wanted
		if got, err := read(); err == nil && !bytes.Equal(got, page) {
			t.Errorf("page %d: %d bytes of others", i, len(got))
		}
	}
	s.w.control.eventually(t, "nothing is asked of the origin", func() bool { return s.metric(t, "meridian_cache_upstream_requests") == 0 })
}

// Who falls behind in a body of unknown length finds the rest in the cache.
func TestZoneSlowerReaderOfAnUnknownLength(t *testing.T) {
	t.Parallel()
	body := random(9*mib+5, 3)
	first := make(chan struct{})
	s := newSite(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Cache-Control", "max-age=600")
		_, _ = w.Write(body[:mib])
		_ = http.NewResponseController(w).Flush()
		<-first
		_, _ = w.Write(body[mib:])
	}, nil)
	read := s.stuck(t, "/site/a")
	fast := make(chan answer, 1)
	go func() { fast <- s.get("/site/a") }()
	time.Sleep(20 * time.Millisecond) // it joins; a miss of its own is as good
	close(first)
	wantBody(t, "the faster", <-fast, 200, "", body)
	if got, err := read(); err != nil || !bytes.Equal(got, body) {
		t.Errorf("the slower: %d bytes, %v", len(got), err)
	}
	s.wantAsked(t, "by both", 1)
}

// newThrashingSite runs an edge, whose cache holds two slices and no more, before
// handle.
func newThrashingSite(t *testing.T, handle http.HandlerFunc) *site {
	t.Helper()
	s := newSite(t, handle, nil)
	s.stop()
	s.node = s.w.start(metadata.TierEdge, "edge-europe-2", func(c *edge.Config) {
		tier, err := memory.New(memory.Config{HeadBytes: 1 << 20, SliceBytes: 2 << 20})
		if err != nil {
			t.Fatal(err)
		}
		c.Cache = tier
		c.Now = func() time.Time { return time.Now().Add(time.Duration(s.ahead.Load())) }
	})
	return s
}

// Of a body of which no piece can be asked for again, all who want it get all,
// whenever they come and however slow they are, though the cache keeps next to
// nothing.
func TestZoneAllGetAllWhereTheCacheKeepsNothing(t *testing.T) {
	t.Parallel()
	body := random(9*mib+5, 3)
	for name, length := range map[string]string{"of known length": strconv.Itoa(len(body)), "of unknown length": ""} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			most, rest := make(chan struct{}), make(chan struct{})
			s := newThrashingSite(t, func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Cache-Control", "max-age=600")
				if length != "" {
					w.Header().Set("Content-Length", length)
				}
				_, _ = w.Write(body[:mib])
				_ = http.NewResponseController(w).Flush()
				<-most
				_, _ = w.Write(body[mib : 8*mib])
				_ = http.NewResponseController(w).Flush()
				<-rest
				_, _ = w.Write(body[8*mib:])
			})
			slow := s.stuck(t, "/site/a")
			first := s.begin(t, "/site/a")
			s.wantAsked(t, "by two at a time", 1)
			close(most)
			if got, err := first(7 * mib); err != nil || !bytes.Equal(got, body[:7*mib]) {
				t.Fatalf("the first: %d bytes, %v", len(got), err)
			}
			late := []func(int) ([]byte, error){s.begin(t, "/site/a"), s.begin(t, "/site/a")}
			close(rest)
			if got, err := slow(); err != nil || !bytes.Equal(got, body) {
				t.Errorf("the slower: %d bytes, %v", len(got), err)
			}
			if got, err := first(len(body) - 7*mib); err != nil || !bytes.Equal(got, body[7*mib:]) {
				t.Errorf("the first, in the end: %d bytes, %v", len(got), err)
			}
			for _, read := range late {
				if got, err := read(len(body)); err != nil || !bytes.Equal(got, body) {
					t.Errorf("who came late: %d bytes, %v", len(got), err)
				}
			}
			if n := len(s.requests()); n < 2 || n > 3 {
				t.Errorf("the origin was asked %d times by two, and two who came late", n)
			}
		})
	}
}

// begin asks for a path and returns when the header of the answer is there. read
// reads so many bytes of the body.
func (n *node) begin(t *testing.T, path string) (read func(bytes int) ([]byte, error)) {
	t.Helper()
	resp, err := client.Get(n.url + path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { resp.Body.Close() })
	return func(bytes int) ([]byte, error) {
		b := make([]byte, bytes)
		k, err := io.ReadFull(resp.Body, b)
		return b[:k], err
	}
}

// What the origin confirms, and the cache has lost in part, is asked for anew.
func TestZoneConfirmedAndLostInPart(t *testing.T) {
	t.Parallel()
	body := random(3*mib, 3)
	s := newThrashingSite(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "max-age=60")
		w.Header().Set("Etag", `W/"a"`)
		if r.Header.Get("If-None-Match") != "" {
			w.WriteHeader(http.StatusNotModified)
			return
		}
		w.Header().Set("Content-Length", strconv.Itoa(len(body)))
		_, _ = w.Write(body)
	})
	wantBody(t, "cold", s.get("/site/a"), 200, "", body)
	s.ahead.Store(int64(2 * time.Minute))
	s.w.control.eventually(t, "it holds a lease again", func() bool { return s.explainTarget("/").Lease })
	wantBody(t, "confirmed", s.get("/site/a"), 200, "", body)
}
