package edge_test

import (
	"net/http"
	"strings"
	"testing"
)

// What an origin has for one client only reaches that client, and nobody else: on
// the way through two caches, of an answer that is kept, passed on or confirmed.
func TestZoneOwnFieldsReachTheirClientAlone(t *testing.T) {
	t.Parallel()
	x := newTiers(t, func(w http.ResponseWriter, r *http.Request) {
		own := r.Header.Get("X-Me")
		switch {
		case r.Method == http.MethodPost:
			say("in", `Cache-Control: no-cache="set-cookie, x-user"`, "Set-Cookie: id="+own, "X-User: "+own)(w, r)
		case strings.HasPrefix(r.URL.Path, "/named"):
			say("all", `Cache-Control: max-age=60, private="x-user"`, "X-User: "+own)(w, r)
		case r.Header.Get("If-None-Match") != "":
			w.Header().Set("Set-Cookie", "id="+own)
			w.Header().Set("X-User", own)
			w.WriteHeader(http.StatusNotModified)
		case strings.HasPrefix(r.URL.Path, "/life"):
			say("all", `Cache-Control: max-age=60, no-cache="X-User"`, `Etag: "a"`)(w, r)
		default:
			say("all", `Etag: "a"`, "Last-Modified: Wed, 01 Jan 2020 00:00:00 GMT", `Cache-Control: private="X-User"`)(w, r)
		}
	}, nil)
	want := func(what string, a answer, cookie, user string) {
		t.Helper()
		if a.status != 200 || a.header.Get("Set-Cookie") != cookie || a.header.Get("X-User") != user || a.header.Get("X-Meridian-Zone-Own") != "" {
			t.Errorf("%s: %d, %v", what, a.status, a.header)
		}
	}
	post := x.request(http.MethodPost, "/site/login", with("X-Me", "ann"))
	want("passed on", post, "id=ann", "ann")

	want("kept", x.get("/site/named", "X-Me", "ann"), "", "ann")
	want("from the cache", x.get("/site/named", "X-Me", "bob"), "", "")
	want("from the regional cache", x.other.get("/site/named", "X-Me", "bob"), "", "")

	for _, path := range []string{"/site/life", "/site/guess"} {
		want("kept", x.get(path), "", "")
		want("confirmed", x.get(path, "X-Me", "ann", "Cache-Control", "no-cache"), "id=ann", "ann")
		want("from the cache", x.get(path), "", "")
		// It has nothing to confirm, but the regional cache has.
		want("confirmed between", x.other.get(path, "X-Me", "bob", "Cache-Control", "no-cache"), "id=bob", "bob")
		want("from the other cache", x.other.get(path), "", "")
		want("from the cache again", x.get(path), "", "")
	}
}
