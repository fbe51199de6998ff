package api

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"meridian/internal/hop"
	"meridian/internal/sigv4"
	"meridian/metadata"
)

// answering is a cache node whose answer is do's.
func (w *world) answering(id, tier string, do http.HandlerFunc) metadata.Node {
	w.Helper()
	v := &sigv4.Verifier{Now: time.Now, Keys: func(_ context.Context, s sigv4.Scope) ([]byte, error) {
		return sigv4.DeriveKey(clusterSecret, s.Date, s.Region, s.Service), nil
	}}
	srv := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if auth, err := v.Verify(r); err != nil || auth.AccessKey != hop.NodeAccessKey || r.URL.Path != hop.ExplainPath {
			w.Errorf("%s is asked %s by %q: %v", id, r.URL, auth.AccessKey, err)
		}
		do(rw, r)
	}))
	w.Cleanup(srv.Close)
	n := someNode(id, tier, "europe")
	n.URL = srv.URL + "/" // a slash too many is no other place
	return n
}

func TestExplain(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.bucket("photos", metadata.Private)
	v := w.object("photos", "a b.jpg", "image/jpeg")
	var asked []string
	good := w.answering("edge-1", metadata.TierEdge, func(rw http.ResponseWriter, r *http.Request) {
		q := r.URL.Query()
		asked = append(asked, q.Get("bucket")+"/"+q.Get("key")+"?"+q.Get("versionId"))
		slice := int64(2)
		_ = json.NewEncoder(rw).Encode(metadata.Holding{
			Node: "somebody else", Tier: metadata.TierEdge, Lease: true, Head: &metadata.HeldHead{Status: 200, Version: v.ID, Next: "serve"},
			SliceMiss: &metadata.Miss{Reason: metadata.MissEvicted, Result: metadata.AskedMiss, Slice: &slice},
		})
	})
	done := make(chan struct{})
	t.Cleanup(func() { close(done) })
	hanging := w.answering("edge-2", metadata.TierEdge, func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-r.Context().Done():
		case <-done:
		}
	})
	refusing := w.answering("regional-1", metadata.TierRegional, func(rw http.ResponseWriter, _ *http.Request) { rw.WriteHeader(http.StatusNotFound) })
	nonsense := w.answering("regional-2", metadata.TierRegional, func(rw http.ResponseWriter, _ *http.Request) { _, _ = rw.Write([]byte("<html>")) })
	gone := someNode("regional-3", metadata.TierRegional, "asia")
	gone.URL = "http://127.0.0.1:1"
	w.nodes(good, hanging, refusing, nonsense, gone, someNode("origin-1", metadata.TierOrigin, "europe"))

	explain := func(raw string) metadata.Explanation {
		return as[metadata.Explanation](t, w.do(http.StatusOK, metadata.RoleReadOnly, http.MethodGet, "/v1/cache/explain?url="+url.QueryEscape(raw), ""))
	}
	e := explain("/photos/a%20b.jpg")
	if e.Bucket != "photos" || e.Key != "a b.jpg" || e.Version != v.ID || e.Size != v.Size || len(e.Nodes) != 1 {
		t.Fatalf("explained %+v", e)
	}
	if h := e.Nodes[0]; h.Node != "edge-1" || h.Region != "europe" || h.Head == nil || h.Head.Version != v.ID || h.SliceMiss == nil || *h.SliceMiss.Slice != 2 {
		t.Errorf("of a node that answers: %+v", h)
	}
	silent := map[string]string{}
	for _, s := range e.Silent {
		silent[s.Node] = s.Error
	}
	for node, why := range map[string]string{
		"edge-2": "did not answer within 2s", "regional-1": "answered 404 Not Found", "regional-2": "answered nonsense", "regional-3": "cannot be reached",
	} {
		if !strings.Contains(silent[node], why) {
			t.Errorf("%s is said to be silent for %q, want %q", node, silent[node], why)
		}
	}
	if len(silent) != 4 {
		t.Errorf("silent are %v", silent)
	}
}

// A pull zone is asked for by path and query, as they came, under its own host
// or below its bucket; a purge, too, finds it by either.
func TestExplainAndPurgeOfPullZones(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.do(http.StatusCreated, metadata.RoleAdmin, http.MethodPost, "/v1/buckets",
		`{"name":"zone","pull":{"origins":["http://web.internal"],"hosts":["www.example.com"]}}`)
	var asked []string
	w.nodes(w.answering("edge-1", metadata.TierEdge, func(rw http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.URL.Query().Get("bucket")+" "+r.URL.Query().Get("target"))
		_ = json.NewEncoder(rw).Encode(metadata.Holding{Variants: []metadata.HeldVariant{{Scheme: "http", Fields: []string{"Accept=a"}}}})
	}))
	for raw, want := range map[string]string{
		"/zone": "zone /?", "https://WWW.example.com:8443/": "zone /?", "http://www.example.com": "zone /?",
		"/zone/a%2Fb//c?x=%20&versionId=3": "zone /a%2Fb//c?x=%20&versionId=3", "http://www.example.com/a%2Fb?q": "zone /a%2Fb?q",
	} {
		asked = nil
		e := as[metadata.Explanation](t, w.do(http.StatusOK, metadata.RoleReadOnly, http.MethodGet, "/v1/cache/explain?url="+url.QueryEscape(raw), ""))
		if len(asked) != 1 || asked[0] != want || e.Pull != "http://web.internal" || len(e.Nodes) != 1 || len(e.Nodes[0].Variants) != 1 {
			t.Errorf("%s: the node is asked for %q, want %q: %+v", raw, asked, want, e)
		}
	}
	for raw, want := range map[string]string{
		"http://www.example.com": "/zone/", "https://www.example.com/a%20b?q": "/zone/a%20b?q", "/zone/": "/zone/", "http://edge.example/zone/a": "http://edge.example/zone/a",
	} {
		body, _ := json.Marshal(metadata.Purge{URLs: []string{raw}, Prefixes: []string{raw}})
		p := as[metadata.PurgeStatus](t, w.do(http.StatusAccepted, metadata.RoleAdmin, http.MethodPost, "/v1/purge", strings.Replace(string(body), `"id":"",`, "", 1)))
		if p.URLs[0] != want || p.Prefixes[0] != want {
			t.Errorf("a purge of %s is one of %q and %q, want %q", raw, p.URLs, p.Prefixes, want)
		}
	}
}

func TestExplainReadsURLs(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.bucket("photos", metadata.Private)
	v := w.object("photos", "a/b c", "image/jpeg")
	w.nodes(func() metadata.Node {
		n := someNode("origin-1", metadata.TierOrigin, "europe")
		n.PublicURL = "https://s3.example.com:9001"
		return n
	}())
	path := func(raw string) string { return "/v1/cache/explain?url=" + url.QueryEscape(raw) }
	for raw, version := range map[string]string{
		"/photos/a/b%20c": v.ID, "photos/a/b%20c": v.ID, "/photos/a%2Fb c": v.ID, "https://s3.example.com:9001/photos/a/b%20c?X-Amz-Date=1": v.ID,
		"HTTP://ORIGIN-1.internal/photos/a/b%20c": v.ID, "/photos/none": "", "/photos/a/b%20c?versionId=01J00000000000000000000000": "",
	} {
		e := as[metadata.Explanation](t, w.do(http.StatusOK, metadata.RoleReadOnly, http.MethodGet, path(raw), ""))
		if e.Version != version || e.Bucket != "photos" || e.Nodes == nil || e.Silent == nil {
			t.Errorf("%s is %+v", raw, e)
		}
	}
	for _, raw := range []string{
		"", "/", "/photos", "/photos/", "//photos/a", "/Photos/a", "/_meridian/explain", "/pho%2Ftos/a", "ftp://s3.example.com:9001/photos/a", "https:///photos/a",
		"https://s3.example.com/photos/a", "https://elsewhere.example.com/photos/a", "/photos/%zz", "/photos/a?versionId=%00", "/photos/" + strings.Repeat("x", 1025), "/photos/%FF",
	} {
		w.refused(w.do(http.StatusBadRequest, metadata.RoleReadOnly, http.MethodGet, path(raw), ""), "url")
	}
	if p := w.problem(w.do(http.StatusNotFound, metadata.RoleReadOnly, http.MethodGet, path("/nowhere/a"), "")); !strings.Contains(p.Type, "no-such-bucket") {
		t.Errorf("an unknown bucket: %+v", p)
	}
	w.do(http.StatusUnauthorized, nobody, http.MethodGet, path("/photos/a"), "")
}
