package edge_test

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"meridian/internal/hop"
	"meridian/metadata"
)

// explainTarget asks a node of a pull zone as the metadata role does.
func (n *node) explainTarget(target string) metadata.Holding {
	n.w.t.Helper()
	return n.explainAt(hop.ExplainPath + "?" + url.Values{"bucket": {"site"}, "target": {target}}.Encode())
}

func (n *node) wantZoneMiss(target, reason, result string) {
	n.w.t.Helper()
	n.wantMissOf(n.explainTarget(target), target, reason, result)
}

func TestZoneTellsWhyItWasAMiss(t *testing.T) {
	t.Parallel()
	s := newSite(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Etag", `"a"`)
		switch r.URL.Path {
		case "/no-store", "/no-cache":
			w.Header().Set("Cache-Control", r.URL.Path[1:])
		default:
			w.Header().Set("Cache-Control", "max-age=60")
		}
		if r.Header.Get("If-None-Match") != "" {
			w.WriteHeader(http.StatusNotModified)
			return
		}
		say(r.URL.Path)(w, r)
	}, nil)
	if h := s.explainTarget("/a?x"); h.Head != nil || h.Miss != nil || len(h.Variants) > 0 || !h.Lease {
		t.Errorf("of what nobody asked for: %+v", h)
	}
	s.get("/site/a?x")
	s.wantZoneMiss("/a?x", "cold", "miss")
	h := s.explainTarget("/a?x")
	if h.Head == nil || h.Head.Next != "serve" || h.Head.TTL <= 0 || !h.Head.Inline || len(h.Variants) != 1 || h.Variants[0].Scheme != "http" || h.Variants[0].Fields != nil {
		t.Errorf("held after a miss: %+v", h)
	}
	if other := s.explainTarget("/a"); other.Head != nil || other.Miss != nil {
		t.Errorf("of another query: %+v", other)
	}
	s.get("/site/a?x", "Cache-Control", "no-cache")
	s.wantZoneMiss("/a?x", "demanded", "revalidated")
	s.w.applied(s.w.purge(metadata.Purge{ID: "hard", URLs: []string{"/site/a"}}), s.node)
	s.get("/site/a?x")
	s.wantZoneMiss("/a?x", "purged", "miss")
	s.w.purgeSoftly("/site/a", s.node)
	s.get("/site/a?x")
	s.wantZoneMiss("/a?x", "purged", "revalidated")
	s.request(http.MethodPost, "/site/a?x", nil)
	s.get("/site/a?x")
	s.wantZoneMiss("/a?x", "overwritten", "miss")
	for range 2 {
		s.get("/site/no-store")
		s.wantZoneMiss("/no-store", "bypassed", "miss")
	}
	s.get("/site/no-cache")
	s.get("/site/no-cache")
	s.wantZoneMiss("/no-cache", "revalidated", "revalidated")
	s.request(http.MethodHead, "/site/head", nil)
	s.wantZoneMiss("/head", "cold", "miss")

	s.ahead.Store(int64(5 * time.Minute))
	s.w.control.eventually(t, "the lease is held again", func() bool { return s.explainTarget("/a?x").Lease })
	if h := s.explainTarget("/a?x").Head; h == nil || h.TTL > 0 {
		t.Errorf("past its freshness: %+v", h)
	}
	s.get("/site/a?x")
	s.wantZoneMiss("/a?x", "expired", "revalidated")
}

func TestZoneTellsVariants(t *testing.T) {
	t.Parallel()
	film := random(3*mib, 1)
	s := newSite(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/film" {
			w.Header().Set("Etag", `"film"`)
			w.Header().Set("Cache-Control", "max-age=60")
			http.ServeContent(w, r, "film.mp4", time.Time{}, strings.NewReader(string(film)))
			return
		}
		say("x", "Cache-Control: max-age=60", "Vary: Accept-Language, Cookie")(w, r)
	}, nil)
	s.get("/site/", "Accept-Language", "de")
	s.get("/site/", "Accept-Language", "fr", "Cookie", "id=secret")
	s.wantZoneMiss("/", "varied", "miss")
	h := s.explainTarget("/")
	var told []string
	for _, v := range h.Variants {
		told = append(told, strings.Join(v.Fields, " "))
		if v.Miss == nil || v.Head.TTL <= 0 {
			t.Errorf("variant %+v", v)
		}
	}
	if got := fmt.Sprint(told); len(told) != 2 || !strings.Contains(got, "Accept-Language=de Cookie") || !strings.Contains(got, "Accept-Language=fr Cookie=…") {
		t.Errorf("variants %q", told)
	}
	wantBody(t, "the film", s.get("/site/film", "Range", "bytes=1048576-1048585"), 206, "miss", nil)
	if h := s.explainTarget("/film"); h.Slices == nil || h.Slices.Total != 3 || fmt.Sprint(h.Slices.Ranges) != "[[1 1]]" {
		t.Errorf("slices %+v", h.Slices)
	}
	s.get("/site/film", "Range", "bytes=0-9")
	if m := s.explainTarget("/film").SliceMiss; m == nil || m.Reason != "cold" || m.Slice == nil || *m.Slice != 0 {
		t.Errorf("last miss of a slice: %+v", m)
	}
	debug := func(change func(*http.Request)) string {
		return s.request(http.MethodGet, "/site/film", func(r *http.Request) {
			r.Header.Set(hop.Debug, "1")
			r.Header.Set("Range", "bytes=0-9")
			if change != nil {
				change(r)
			}
		}).header.Get(hop.Debug)
	}
	if got := debug(signed(userKey, userSecret)); !strings.Contains(got, "node=edge-europe-1; lease=true; head=serve") || !strings.Contains(got, "slices=2/3") {
		t.Errorf("the debug header says %q", got)
	}
	if got := debug(nil) + debug(with("Authorization", "Basic abc")); got != "" {
		t.Errorf("anybody is told %q", got)
	}
	for _, query := range []string{"bucket=media&target=/a", "bucket=site&target=a", "bucket=none&target=/"} {
		if a := s.request(http.MethodGet, hop.ExplainPath+"?"+query, asNode()); a.status != 400 {
			t.Errorf("%s: status %d", query, a.status)
		}
	}
}

// Names of web servers need not be UTF-8.
func TestZoneNamesOfAnyBytesArePurged(t *testing.T) {
	t.Parallel()
	s := newSite(t, say("page", "Cache-Control: max-age=60"), nil)
	for _, path := range []string{"/site/caf%E9", "/site/%00", "/site/a%2Fb//c%20d"} {
		s.get(path)
		wantBody(t, "before", s.get(path), 200, "hit", nil)
		p := metadata.Purge{ID: path, URLs: []string{path}}
		if err := p.Check(); err != nil {
			t.Fatal(err)
		}
		s.w.applied(s.w.purge(p), s.node)
		wantBody(t, path, s.get(path), 200, "miss", nil)
	}
}

// The front page of a zone has no key.
func TestZoneRootIsPurged(t *testing.T) {
	t.Parallel()
	s := newSite(t, say("front", "Cache-Control: max-age=60"), nil)
	for _, url := range []string{"/site/", "http://edge.example/site/"} {
		s.get("/site/")
		wantBody(t, "before", s.get("/site/"), 200, "hit", nil)
		s.w.applied(s.w.purge(metadata.Purge{ID: url, URLs: []string{url}}), s.node)
		wantBody(t, url, s.get("/site/"), 200, "miss", nil)
	}
}
