package edge_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// confirming is a site whose page is fresh for a second at first, and from then on
// for a minute or as these fields say, which a 304 has, too.
func confirming(t *testing.T, lines ...string) *site {
	t.Helper()
	var changed atomic.Bool
	return newSite(t, func(w http.ResponseWriter, r *http.Request) {
		fields := []string{"Etag: \"a\"", "Cache-Control: max-age=1"}
		if changed.Swap(true) {
			fields = slices.Concat(lines, []string{"Etag: \"a\"", "Cache-Control: max-age=60"})
		}
		if r.Header.Get("If-None-Match") == "" && r.Method == http.MethodGet {
			say("for "+r.Header.Get("Cookie"), fields...)(w, r)
			return
		}
		for _, l := range fields {
			name, value, _ := strings.Cut(l, ": ")
			w.Header().Add(name, value)
		}
		if r.Method == http.MethodGet {
			w.WriteHeader(http.StatusNotModified)
		}
	}, nil)
}

// expire lets what is fresh for a second expire, and the node keep its lease.
func (s *site) expire() { s.ahead.Add(int64(2 * time.Second)) }

// What an answer varies by may be told by the 304 that confirms it, or by an answer
// to HEAD.
func TestZoneVariesByWhatConfirms(t *testing.T) {
	t.Parallel()
	s := confirming(t, "Vary: Cookie")
	wantBody(t, "cold", s.get("/site/", "Cookie", "alice"), 200, "miss", []byte("for alice"))
	s.expire()
	wantBody(t, "confirmed", s.get("/site/", "Cookie", "alice"), 200, "revalidated", []byte("for alice"))
	wantBody(t, "with another cookie", s.get("/site/", "Cookie", "bob"), 200, "miss", []byte("for bob"))
	wantBody(t, "with the first", s.get("/site/", "Cookie", "alice"), 200, "hit", []byte("for alice"))

	s = confirming(t, "Vary: Cookie")
	wantBody(t, "cold", s.get("/site/", "Cookie", "alice"), 200, "miss", []byte("for alice"))
	s.request(http.MethodHead, "/site/", with("Cookie", "alice", "Cache-Control", "no-cache"))
	wantBody(t, "after HEAD", s.get("/site/", "Cookie", "bob"), 200, "miss", []byte("for bob"))
	wantBody(t, "after HEAD", s.get("/site/", "Cookie", "alice"), 200, "hit", []byte("for alice"))
}

// What a 304 says must not be kept any more is not.
func TestZoneForgetsWhatConfirmsForbids(t *testing.T) {
	t.Parallel()
	for _, line := range []string{"Vary: *", "Cache-Control: no-store", "Cache-Control: private"} {
		s := confirming(t, line)
		s.get("/site/", "Cookie", "alice")
		s.expire()
		wantBody(t, line, s.get("/site/", "Cookie", "alice"), 200, "revalidated", []byte("for alice"))
		wantBody(t, line, s.get("/site/", "Cookie", "bob"), 200, "pass", []byte("for bob"))
	}
}

// A 304 that names another body than what is held confirms nothing.
func TestZoneConfirmsNoOtherBody(t *testing.T) {
	t.Parallel()
	now, fresh := "1", "1"
	s := newSite(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Etag", `"`+now+`"`)
		if r.Header.Get("If-None-Match") != "" {
			w.WriteHeader(http.StatusNotModified) // whatever it is
			return
		}
		say("body "+now, "Cache-Control: max-age="+fresh)(w, r)
	}, nil)
	wantBody(t, "cold", s.get("/site/"), 200, "miss", []byte("body 1"))
	now, fresh = "2", "60"
	s.expire()
	a := s.get("/site/")
	wantBody(t, "changed", a, 200, "miss", []byte("body 2"))
	if a.header.Get("Etag") != `"2"` {
		t.Errorf("header %v", a.header)
	}
	wantBody(t, "changed", s.get("/site/"), 200, "hit", []byte("body 2"))
	s.wantAsked(t, "in all", 3)
}

// raw sends text as it is and returns all that comes back.
func (s *site) raw(t *testing.T, text string) string {
	t.Helper()
	c, err := net.Dial("tcp", strings.TrimPrefix(s.node.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := io.WriteString(c, text); err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(bufio.NewReader(c))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// What a client has only this hop get tells no answer apart: the origin does not
// get it, and who sends it without would be given what was not meant for them.
func TestZoneTellsNothingApartByFieldsOfTheConnection(t *testing.T) {
	t.Parallel()
	s := newSite(t, func(w http.ResponseWriter, r *http.Request) {
		say("in "+r.Header.Get("Accept-Language"), "Vary: Accept-Language", "Cache-Control: max-age=60")(w, r)
	}, nil)
	evil := s.raw(t, "GET /site/ HTTP/1.1\r\nHost: x\r\nConnection: close, accept-language\r\nAccept-Language: de\r\n\r\n")
	if !strings.HasSuffix(evil, "\r\n\r\nin ") {
		t.Errorf("got %q", evil)
	}
	wantBody(t, "German", s.get("/site/", "Accept-Language", "de"), 200, "miss", []byte("in de"))
}

// A client of HTTP/1.0 takes an interim answer for the final one.
func TestZoneSpeaksTheProtocolOfItsClients(t *testing.T) {
	t.Parallel()
	s := newSite(t, func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusEarlyHints)
		say("ok", "Cache-Control: max-age=60")(w, r)
	}, nil)
	for _, method := range []string{"GET", "POST"} {
		if got := s.raw(t, method+" /site/ HTTP/1.0\r\n\r\n"); !strings.HasPrefix(got, "HTTP/1.0 200 ") {
			t.Errorf("%s: %q", method, got)
		}
	}
}

// An origin that switches protocols, which nobody has asked it to, has failed.
func TestZonePassesNoSwitchOfProtocols(t *testing.T) {
	t.Parallel()
	s := newSite(t, func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\nHTTP/1.1 200 OK\r\n\r\n")
	}, nil)
	for _, method := range []string{"GET", "POST"} {
		if got := s.raw(t, method+" /site/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"); !strings.HasPrefix(got, "HTTP/1.1 502 ") {
			t.Errorf("%s: %q", method, got)
		}
	}
}

// OPTIONS goes no further than it says.
func TestZoneCountsForwards(t *testing.T) {
	t.Parallel()
	s := newSite(t, say("ok"), nil)
	a := s.request(http.MethodOptions, "/site/", with("Max-Forwards", "0"))
	if a.status != http.StatusNoContent || !strings.Contains(a.header.Get("Allow"), "OPTIONS") || len(s.requests()) != 0 {
		t.Errorf("status %d, %v, asked %d times", a.status, a.header, len(s.requests()))
	}
	for _, sent := range []string{"3", "-1", "x"} {
		s.request(http.MethodOptions, "/site/", with("Max-Forwards", sent))
	}
	var got []string
	for _, r := range s.requests() {
		got = append(got, r.Header.Get("Max-Forwards"))
	}
	if fmt.Sprint(got) != "[2 -1 x]" {
		t.Errorf("the origin got %q", got)
	}
}
