package edge_test

import (
	"bytes"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"meridian/edge"
	"meridian/internal/hop"
	"meridian/internal/signedurl"
	"meridian/internal/sigv4"
	"meridian/metadata"
)

func TestPrivate(t *testing.T) {
	t.Parallel()
	w := newWorld(t, metadata.Private)
	edge, regional := w.pair()
	w.control.putBucket(metadata.Bucket{Name: "pub", Visibility: metadata.PublicRead})
	body := random(100, 1)
	w.origin.put("media/k", body)
	w.origin.put("pub/k", []byte("public"))

	presign := func(key, secret string, expires time.Duration, when time.Time) func(*http.Request) {
		return func(r *http.Request) {
			sigv4.Signer{AccessKey: key, Secret: secret}.Presign(r, expires, when)
		}
	}
	links := signedurl.New(clusterSecret)
	link := func(s *signedurl.Signer, expires time.Time) func(*http.Request) {
		return func(r *http.Request) { r.URL = s.Sign(r.URL, expires) }
	}
	now := time.Now()
	allowed := map[string]func(*http.Request){
		"header":        signed(userKey, userSecret),
		"presigned":     presign(userKey, userSecret, time.Hour, now),
		"admin":         signed(adminKey, adminSecret),
		"signed URL":    link(links, now.Add(time.Hour)),
		"node":          asNode(),
		"signed prefix": func(r *http.Request) { r.URL, _ = links.SignPrefix(r.URL, "/media/", now.Add(time.Hour)) },
	}
	refused := map[string]func(*http.Request){
		"anonymous":              nil,
		"wrong secret":           signed(userKey, "wrong"),
		"unknown key":            signed("AKNONE", userSecret),
		"role that may not read": signed(writerOnlyKey, userSecret),
		"expired":                presign(userKey, userSecret, time.Minute, now.Add(-time.Hour)),
		"old date": func(r *http.Request) {
			sigv4.Signer{AccessKey: userKey, Secret: userSecret}.Sign(r, sigv4.UnsignedPayload, now.Add(-time.Hour))
		},
		"presigned by a node": presign(hop.NodeAccessKey, clusterSecret, time.Hour, now),
		"node, wrong secret":  signed(hop.NodeAccessKey, "wrong"),
		"signed URL, expired": link(links, now.Add(-time.Second)),
		"signed URL, other":   link(signedurl.New("other"), now.Add(time.Hour)),
		"bearer":              with("Authorization", "Bearer "+userKey+":"+userSecret),
		"claims of a node":    with(hop.RequestNode, "edge-1", hop.RequestVersion, "x"),
		"signature of another key": func(r *http.Request) {
			u := *r.URL
			u.Path = "/media/other"
			r.URL.RawQuery = links.Sign(&u, now.Add(time.Hour)).RawQuery
		},
	}
	for _, n := range []*node{edge, regional} {
		for name, change := range refused {
			for _, path := range []string{"/media/k", "/media/none"} { // refused alike, whether it exists or not
				for _, method := range []string{http.MethodGet, http.MethodHead} {
					a := n.request(method, path, change)
					if a.status != 403 {
						t.Errorf("%s, %s %s at %s: %d %s", name, method, path, n.id, a.status, a.body)
					}
					if bytes.Contains(a.body, body) || a.header.Get("ETag") != "" || a.header.Get("Cache-Status") != "" {
						t.Errorf("%s at %s tells of the object: %v", name, n.id, a.header)
					}
				}
			}
		}
	}
	if w.origin.asked() != 0 {
		t.Errorf("refused requests reached the origin:\n%s", w.origin.log())
	}
	for _, n := range []*node{edge, regional} {
		for name, change := range allowed {
			a := n.request(http.MethodGet, "/media/k", change)
			wantBody(t, name+" at "+n.id, a, 200, "", body)
			// A link is itself the right to read; credentials are their owner's.
			link := name == "presigned" || name == "signed URL" || name == "signed prefix"
			if open := a.header.Get("Access-Control-Allow-Origin") != ""; open != link {
				t.Errorf("%s: a private object is open to all sites: %v", name, open)
			}
			if got := a.header.Get(hop.Version) != ""; got != (name == "node") {
				t.Errorf("%s: told of the version: %v", name, got)
			}
		}
		// Now that it is held: still refused.
		if a := n.get("/media/k"); a.status != 403 {
			t.Errorf("anonymous, warm, at %s: %d", n.id, a.status)
		}
	}
	for _, path := range []string{
		"/pub/../media/k", "/pub/..%2fmedia/k", "/pub/%2e%2e/media/k", "/pub%2f..%2fmedia/k", "/pub//media/k", "//media/k",
		"/pub/./../media/k", "/./media/k", "/pub/k/../../media/k", "/pub%5c..%5cmedia%5ck", "/pub\\..\\media\\k", "/media%2fk", "/pub;/media/k",
	} {
		raw := func(r *http.Request) { r.URL.Opaque = "//" + r.URL.Host + path; r.URL.RawQuery = "" }
		for _, n := range []*node{edge, regional} {
			a := n.request(http.MethodGet, "/", raw)
			if a.status != 403 && a.status != 404 && a.status != 400 || bytes.Contains(a.body, body) {
				t.Errorf("%s at %s: %d", path, n.id, a.status)
			}
		}
	}
}

// A bucket that turns private is closed as soon as the event is applied, and
// one that turns public is open.
func TestVisibilityChanges(t *testing.T) {
	t.Parallel()
	w := newWorld(t, metadata.PublicRead)
	e := w.edge(w.origin.url)
	w.origin.put("media/k", []byte("k"))
	for range 3 {
		w.applied(w.control.putBucket(media(metadata.PublicRead)), e)
		wantBody(t, "public", e.get("/media/k"), 200, "", []byte("k"))
		w.applied(w.control.putBucket(media(metadata.Private)), e)
		if a := e.get("/media/k"); a.status != 403 {
			t.Errorf("private: %d", a.status)
		}
	}
	// A bucket that is deleted and made again does not show what it held.
	w.control.change(func() { delete(w.control.buckets, "media") })
	w.applied(w.control.emit(metadata.Event{Type: metadata.BucketDeleted, Bucket: "media"}), e)
	if a := e.get("/media/k"); a.status != 404 || !strings.Contains(string(a.body), "NoSuchBucket") {
		t.Errorf("deleted: %d %s", a.status, a.body)
	}
	w.origin.remove("media/k")
	w.applied(w.control.putBucket(media(metadata.PublicRead)), e)
	if a := e.get("/media/k"); a.status != 404 || !strings.Contains(string(a.body), "NoSuchKey") {
		t.Errorf("made again: %d %s", a.status, a.body)
	}
}

func TestBadSignatureOnPublic(t *testing.T) {
	t.Parallel()
	w := newWorld(t, metadata.PublicRead)
	e := w.edge(w.origin.url)
	w.origin.put("media/k", []byte("k"))
	if a := e.request(http.MethodGet, "/media/k", signed(userKey, "wrong")); a.status != 403 || !bytes.Contains(a.body, []byte("SignatureDoesNotMatch")) {
		t.Errorf("%d %s", a.status, a.body)
	}
}

// Overrides of headers count in signed requests only, and change one answer,
// not what is held.
func TestResponseOverrides(t *testing.T) {
	t.Parallel()
	w := newWorld(t, metadata.PublicRead)
	e := w.edge(w.origin.url)
	w.origin.put("media/k", []byte("k"), "Content-Type", "image/png")
	q := url.Values{"response-content-type": {"text/html"}, "response-content-disposition": {"attachment; filename=x"}}.Encode()
	a := e.request(http.MethodGet, "/media/k?"+q, signed(userKey, userSecret))
	if a.status != 200 || a.header.Get("Content-Type") != "text/html" || a.header.Get("Content-Disposition") != "attachment; filename=x" {
		t.Errorf("signed: %d %v", a.status, a.header)
	}
	a = e.get("/media/k?" + q)
	if a.status != 200 || a.result() != "hit" || a.header.Get("Content-Type") != "image/png" || a.header.Get("Content-Disposition") != "" {
		t.Errorf("unsigned: %d %v", a.status, a.header)
	}
}

func TestMalformedRequests(t *testing.T) {
	t.Parallel()
	w := newWorld(t, metadata.Private)
	e := w.edge(w.origin.url)
	for _, q := range []string{"X-Amz-Algorithm=AWS4-HMAC-SHA256", "X-Amz-Signature=x", "AWSAccessKeyId=x&Signature=y&Expires=1", "sig=", "expires=x&sig=y", "a=%zz"} {
		a := e.get("/media/k?" + q)
		if a.status != 400 && a.status != 403 {
			t.Errorf("%s: %d", q, a.status)
		}
		if !bytes.Contains(a.body, []byte("<Error><Code>")) {
			t.Errorf("%s: not an S3 error: %s", q, a.body)
		}
	}
}

// What the system keeps for itself is read by nodes and by signed URLs, by no
// user's own right.
func TestSystemBucket(t *testing.T) {
	t.Parallel()
	w := newWorld(t, metadata.PublicRead)
	w.control.putBucket(metadata.Bucket{Name: metadata.RenditionBucket, Visibility: metadata.Private})
	e := w.edge(w.origin.url)
	const path = "/" + metadata.RenditionBucket + "/media/01A/faststart.mp4"
	body := random(100, 1)
	w.origin.put(path[1:], body, "Content-Type", "video/mp4")
	links := signedurl.New(clusterSecret)
	for name, c := range map[string]struct {
		change func(*http.Request)
		want   int
	}{
		"anonymous":     {nil, 403},
		"administrator": {signed(adminKey, adminSecret), 403},
		"presigned": {func(r *http.Request) {
			sigv4.Signer{AccessKey: adminKey, Secret: adminSecret}.Presign(r, time.Hour, time.Now())
		}, 403},
		"signed URL": {func(r *http.Request) { r.URL = links.Sign(r.URL, time.Now().Add(time.Hour)) }, 200},
		"node":       {asNode(), 200},
	} {
		if a := e.request(http.MethodGet, path, c.change); a.status != c.want || (c.want == 200) != bytes.Equal(a.body, body) {
			t.Errorf("%s: %d %q", name, a.status, a.body)
		}
	}
}

// Names that nobody has can be made up by anybody: they must not cost the metadata
// role a snapshot each, nor keep a new one from being found.
func TestMadeUpNamesAreAskedForLessAndLess(t *testing.T) {
	t.Parallel()
	w := newWorld(t, metadata.PublicRead)
	clock := newClock()
	e := w.start(metadata.TierEdge, "edge-europe-1", func(c *edge.Config) { c.Now = clock.now }, w.origin.url)
	snaps := func() int {
		w.control.mu.Lock()
		defer w.control.mu.Unlock()
		return w.control.snaps
	}
	before := snaps()
	for i := range 60 {
		clock.add(500 * time.Millisecond)
		path, change := fmt.Sprintf("/made-up-%d/k", i), (func(*http.Request))(nil)
		if i%2 == 1 {
			path, change = "/media/k", signed(fmt.Sprintf("AKMADEUP%d", i), userSecret)
		}
		if a := e.request(http.MethodGet, path, change); a.status != 404 && a.status != 403 {
			t.Fatalf("%s: %d", path, a.status)
		}
	}
	if n := snaps() - before; n > 15 {
		t.Errorf("60 names that nobody has cost %d snapshots", n)
	}
	w.control.mu.Lock()
	w.control.buckets["fresh"] = metadata.Bucket{Name: "fresh", Visibility: metadata.PublicRead}
	w.control.mu.Unlock()
	clock.add(11 * time.Second)
	w.origin.put("fresh/k", []byte("k"))
	if a := e.get("/fresh/k"); a.status != 200 {
		t.Errorf("a bucket of which the feed has not told yet: %d %s", a.status, a.body)
	}
}
