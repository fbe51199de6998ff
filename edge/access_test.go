package edge_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"meridian/edge"
	"meridian/internal/hop"
	"meridian/internal/signedurl"
	"meridian/internal/sigv4"
	"meridian/metadata"
	"meridian/metadata/access"
)

// withConfig is the bucket media of a visibility with documents by name.
func withConfig(t *testing.T, visibility string, documents map[string]any) metadata.Bucket {
	t.Helper()
	b := media(visibility)
	b.Owner, b.Config = ownerUser, map[string]json.RawMessage{}
	for name, document := range documents {
		text, err := json.Marshal(document)
		if err != nil {
			t.Fatal(err)
		}
		b.Config[name] = text
	}
	return b
}

func withPolicy(t *testing.T, visibility string, statements ...string) metadata.Bucket {
	t.Helper()
	return withConfig(t, visibility, map[string]any{
		access.ConfigPolicy: `{"Version":"2012-10-17","Statement":[{` + strings.Join(statements, "},{") + `}]}`,
	})
}

const (
	letAllRead   = `"Effect":"Allow","Principal":"*","Action":"s3:GetObject","Resource":"arn:aws:s3:::media/*"`
	denySecrets  = `"Effect":"Deny","Principal":"*","Action":"s3:GetObject","Resource":"arn:aws:s3:::media/secret/*"`
	byReferer    = letAllRead + `,"Condition":{"StringLike":{"aws:Referer":"http://app.test/*"}}`
	letOtherRead = `"Effect":"Allow","Principal":{"AWS":"` + otherUser + `"},"Action":"s3:Get*","Resource":"arn:aws:s3:::media/for/${aws:username}/*"`
)

// statuses asks for path as each of several callers, and wants what they get.
func (n *node) statuses(path string, want map[string]int) {
	n.w.t.Helper()
	links := signedurl.New(clusterSecret)
	for name, change := range map[string]func(*http.Request){
		"nobody": nil, "reader": signed(userKey, userSecret), "owner": signed(ownerKey, ownerSecret), "other": signed(otherKey, otherSecret),
		"presigned by the other": func(r *http.Request) {
			sigv4.Signer{AccessKey: otherKey, Secret: otherSecret}.Presign(r, time.Hour, time.Now())
		},
		"link": func(r *http.Request) { r.URL = links.Sign(r.URL, time.Now().Add(time.Hour)) },
	} {
		code, ok := want[name]
		if !ok {
			code = want["all others"]
		}
		for range 2 { // cold, then warm
			a := n.request(http.MethodGet, path, change)
			if a.status != code {
				n.w.t.Errorf("%s at %s by %s: %d, want %d", path, n.id, name, a.status, code)
			}
			if a.header.Get(hop.Access) != "" {
				n.w.t.Errorf("%s tells clients who may read it: %v", path, a.header)
			}
		}
	}
}

// A policy counts at edges and regional caches as soon as its event is applied,
// for what they hold as well.
func TestPolicies(t *testing.T) {
	t.Parallel()
	w := newWorld(t, metadata.Private)
	edge, regional := w.pair()
	for _, key := range []string{"k", "secret/k", "for/" + otherUser + "/k"} {
		w.origin.put("media/"+key, []byte(key))
	}
	for _, step := range []struct {
		bucket metadata.Bucket
		want   map[string]map[string]int // by key and caller
	}{
		{withPolicy(t, metadata.Private, letAllRead), map[string]map[string]int{
			"k": {"all others": 200}, "none": {"all others": 404},
		}},
		{withPolicy(t, metadata.Private, letAllRead, denySecrets), map[string]map[string]int{
			"k": {"all others": 200}, "secret/k": {"all others": 403}, "secret/none": {"all others": 403},
		}},
		{withPolicy(t, metadata.PublicRead, denySecrets), map[string]map[string]int{
			"k": {"all others": 200}, "secret/k": {"all others": 403},
		}},
		{withPolicy(t, metadata.Private, letOtherRead), map[string]map[string]int{
			"k":                       {"all others": 403, "reader": 200, "owner": 200, "link": 200},
			"for/" + otherUser + "/k": {"all others": 200, "nobody": 403},
		}},
		{withConfig(t, metadata.PublicRead, map[string]any{access.ConfigBlock: access.Block{IgnoreACLs: true}}), map[string]map[string]int{
			"k": {"all others": 403, "reader": 200, "owner": 200, "link": 200},
		}},
		{withConfig(t, metadata.PublicRead, map[string]any{access.ConfigPolicy: "{"}), map[string]map[string]int{
			"k": {"all others": 403}, // of which nobody knows what it says
		}},
		{withConfig(t, metadata.Private, nil), map[string]map[string]int{
			"k": {"all others": 403, "reader": 200, "owner": 200, "link": 200}, "secret/k": {"nobody": 403, "other": 403, "presigned by the other": 403, "all others": 200},
		}},
	} {
		w.applied(w.control.putBucket(step.bucket), edge, regional)
		for key, want := range step.want {
			edge.statuses("/media/"+key, want)
			regional.statuses("/media/"+key, want)
		}
	}
}

// What depends on the caller is decided for each, also of what is held.
func TestPolicyConditionsAtEdges(t *testing.T) {
	t.Parallel()
	w := newWorld(t, metadata.Private)
	e := w.edge(w.origin.url)
	w.origin.put("media/k", []byte("k"))
	w.applied(w.control.putBucket(withPolicy(t, metadata.Private, byReferer)), e)
	for range 2 {
		for referer, want := range map[string]int{"http://app.test/page": 200, "http://evil.test/": 403, "": 403} {
			if a := e.request(http.MethodGet, "/media/k", with("Referer", referer)); a.status != want {
				t.Errorf("from %q: %d, want %d", referer, a.status, want)
			}
		}
	}
	w.applied(w.control.putBucket(withPolicy(t, metadata.Private, letAllRead+`,"Condition":{"NotIpAddress":{"aws:SourceIp":["127.0.0.0/8","::1/128"]}}`)), e)
	if a := e.get("/media/k"); a.status != 403 {
		t.Errorf("from an address that is left out: %d", a.status)
	}
}

// A request is what it is at an edge, too: in a region, and with a payload that is
// signed or not.
func TestSignatureAndRegionAtEdges(t *testing.T) {
	t.Parallel()
	w := newWorld(t, metadata.Private)
	e := w.edge(w.origin.url)
	w.origin.put("media/k", []byte("k"))
	denied := strings.Replace(letAllRead, "Allow", "Deny", 1)
	presigned := func(r *http.Request) {
		sigv4.Signer{AccessKey: otherKey, Secret: otherSecret}.Presign(r, time.Hour, time.Now())
	}
	whole := func(r *http.Request) {
		sigv4.Signer{AccessKey: otherKey, Secret: otherSecret}.Sign(r, sigv4.EmptyPayload, time.Now())
	}
	for condition, want := range map[string][2]int{ // presigned, signed in the header
		`{"StringEquals":{"s3:x-amz-content-sha256":"UNSIGNED-PAYLOAD"}}`: {403, 200},
		`{"StringEquals":{"aws:RequestedRegion":"europe"}}`:               {403, 403},
		`{"StringNotEquals":{"aws:RequestedRegion":"europe"}}`:            {200, 200},
	} {
		w.applied(w.control.putBucket(withPolicy(t, metadata.Private, letAllRead, denied+`,"Condition":`+condition)), e)
		for i, change := range []func(*http.Request){presigned, whole} {
			if a := e.request(http.MethodGet, "/media/k", change); a.status != want[i] {
				t.Errorf("%s, %d: %d, want %d", condition, i, a.status, want[i])
			}
		}
	}
}

// Objects have ACLs of their own, which come with their heads, through all tiers,
// and go with them.
func TestObjectACLs(t *testing.T) {
	t.Parallel()
	w := newWorld(t, metadata.Private)
	edge, regional := w.pair()
	open, ok := access.Canned("public-read", ownerUser, ownerUser, true)
	if !ok {
		t.Fatal("no such ACL")
	}
	tell := func(o access.Object) string {
		text, err := o.Encode()
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	w.origin.put("media/open", []byte("open"), hop.Access, tell(access.Object{ACL: open}))
	w.origin.put("media/his", []byte("his"), hop.Access, tell(access.Object{ACL: access.Private(otherUser)}))
	w.origin.put("media/tagged", []byte("tagged"), hop.Access, tell(access.Object{Tags: map[string]string{"open": "yes"}}))
	w.origin.put("media/plain", []byte("plain"))
	nodes := []*node{edge, regional}
	private := map[string]int{"all others": 200, "nobody": 403, "other": 403, "presigned by the other": 403}

	// Before the bucket says that its objects have some, nobody looks.
	w.applied(w.control.putBucket(withConfig(t, metadata.Private, nil)), nodes...)
	asked := w.origin.asked()
	for _, n := range nodes {
		if a := n.get("/media/open"); a.status != 403 {
			t.Errorf("at %s: %d", n.id, a.status)
		}
	}
	if w.origin.asked() != asked {
		t.Errorf("refused requests reached the origin:\n%s", w.origin.log())
	}
	w.applied(w.control.putBucket(withConfig(t, metadata.Private, map[string]any{access.ConfigObjectACLs: true})), nodes...)
	for _, n := range nodes {
		n.statuses("/media/open", map[string]int{"all others": 200})
		n.statuses("/media/plain", private)
		n.statuses("/media/tagged", private)
		n.statuses("/media/his", map[string]int{"all others": 200, "nobody": 403, "owner": 403})
		n.statuses("/media/none", map[string]int{"all others": 403, "owner": 404, "reader": 404, "link": 404})
	}
	if a := edge.request(http.MethodGet, "/media/open", asNode()); a.header.Get(hop.Access) == "" {
		t.Errorf("a node is not told: %v", a.header)
	}
	// The same version, with another ACL.
	w.origin.set(func() { w.origin.objects["media/open"].header.Del(hop.Access) })
	o := w.origin.objects["media/open"]
	w.applied(w.control.emit(metadata.Event{Type: metadata.ObjectUpdated, Bucket: "media", Key: "open", VersionID: o.version}), nodes...)
	for _, n := range nodes {
		n.statuses("/media/open", private)
	}
	w.applied(w.control.putBucket(withConfig(t, metadata.Private, map[string]any{
		access.ConfigPolicy: `{"Version":"2012-10-17","Statement":{` + letAllRead + `,"Condition":{"StringEquals":{"s3:ExistingObjectTag/open":"yes"}}}}`,
	})), nodes...)
	for _, n := range nodes {
		n.statuses("/media/tagged", map[string]int{"all others": 200})
		n.statuses("/media/plain", private)
	}
	// What is hidden for its tags looks as if it were not there.
	w.applied(w.control.putBucket(withPolicy(t, metadata.Private, letAllRead,
		strings.Replace(letAllRead, "Allow", "Deny", 1)+`,"Condition":{"StringEquals":{"s3:ExistingObjectTag/open":"yes"}}`)), nodes...)
	for _, n := range nodes {
		n.statuses("/media/plain", map[string]int{"all others": 200})
		n.statuses("/media/tagged", map[string]int{"all others": 403})
		n.statuses("/media/none", map[string]int{"nobody": 403, "other": 403, "presigned by the other": 403, "link": 404, "owner": 404, "reader": 404})
	}
}

// A node that is cut off from the feed asks before it serves, and learns of an ACL
// that was taken back though the object is the same.
func TestObjectACLWithoutFeed(t *testing.T) {
	t.Parallel()
	w := newWorld(t, metadata.Private)
	clock := newClock()
	e := w.start(metadata.TierEdge, "edge-europe-1", func(c *edge.Config) { c.Now = clock.now }, w.origin.url)
	open, _ := access.Canned("public-read", ownerUser, ownerUser, true)
	text, err := (&access.Object{ACL: open}).Encode()
	if err != nil {
		t.Fatal(err)
	}
	w.origin.put("media/k", []byte("k"), hop.Access, text)
	w.applied(w.control.putBucket(withConfig(t, metadata.Private, map[string]any{access.ConfigObjectACLs: true})), e)
	if a := e.get("/media/k"); a.status != 200 {
		t.Fatalf("open: %d", a.status)
	}
	w.origin.set(func() { w.origin.objects["media/k"].header.Del(hop.Access) })
	w.control.cut(true, true, true)
	clock.add(10 * time.Second)
	if a := e.get("/media/k"); a.status != 403 {
		t.Errorf("taken back: %d", a.status)
	}
}

// Clients of S3 who ask for something else than an object are not given one. In a
// page's own URLs the same names mean nothing.
func TestSubresourcesAreNotObjects(t *testing.T) {
	t.Parallel()
	w := newWorld(t, metadata.PublicRead)
	edge, regional := w.pair()
	w.origin.put("media/k", []byte("k"))
	for _, n := range []*node{edge, regional} {
		for _, query := range []string{"acl", "tagging", "partNumber=2", "uploadId=x"} {
			if a := n.request(http.MethodGet, "/media/k?"+query, signed(userKey, userSecret)); a.status != 501 {
				t.Errorf("%s of an object at %s: %d %q", query, n.id, a.status, a.body)
			}
			if a := n.request(http.MethodGet, "/media/k?"+query, nil); a.status != 200 || string(a.body) != "k" {
				t.Errorf("unsigned, %s at %s: %d %q", query, n.id, a.status, a.body)
			}
		}
	}
}
