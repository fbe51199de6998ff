package edge_test

import (
	"net/http"
	"strings"
	"testing"

	"meridian/metadata"
)

func TestZoneKeepsNoAnswerToOneRequest(t *testing.T) {
	t.Parallel()
	s := newSite(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "max-age=60")
		switch {
		case r.Header.Get("Range") == "bytes=-0":
			w.WriteHeader(http.StatusRequestedRangeNotSatisfiable)
		case len(r.Header.Get("X-Long")) > 1000:
			w.WriteHeader(http.StatusRequestHeaderFieldsTooLarge)
		case r.Header.Get("If-Match") != "":
			w.WriteHeader(http.StatusPreconditionFailed)
		case r.URL.Path == "/mine":
			say("mine", "Cache-Control: private")(w, r)
		default:
			say("all")(w, r)
		}
	}, nil)
	if a := s.get("/site/range", "Range", "bytes=-0"); a.status != 416 {
		t.Errorf("range: %d", a.status)
	}
	wantBody(t, "after a range", s.get("/site/range"), 200, "miss", []byte("all"))
	if a := s.get("/site/long", "X-Long", strings.Repeat("x", 2000)); a.status != 431 {
		t.Errorf("long: %d", a.status)
	}
	wantBody(t, "after a long field", s.get("/site/long"), 200, "miss", []byte("all"))
	for range 2 { // what was of no use to others is asked for as it is, conditions included
		s.get("/site/mine", "If-Match", `"x"`)
	}
	wantBody(t, "after a condition", s.get("/site/mine"), 200, "pass", []byte("mine"))
}

func TestZoneTTLIsNotThatOfWhatIsMissing(t *testing.T) {
	t.Parallel()
	s := newSite(t, http.NotFound, func(b *metadata.Bucket) { b.Cache.EdgeTTL = metadata.DefaultEdgeTTL })
	s.get("/site/none")
	if got := s.get("/site/none"); got.status != 404 || !strings.Contains(got.header.Get("Cache-Status"), "hit; ttl=4") {
		t.Errorf("%d, Cache-Status %q", got.status, got.header.Get("Cache-Status"))
	}
}
