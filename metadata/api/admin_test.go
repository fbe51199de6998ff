package api

import (
	"cmp"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"meridian/internal/hop"
	"meridian/metadata"
	"meridian/metadata/access"
)

func TestBuckets(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(o *Options) { o.Regions = []string{"us-west", "asia"} })
	const path, root = "/v1/buckets", metadata.RoleAdmin
	a := w.do(http.StatusCreated, root, http.MethodPost, path, `{"name":"photos","region":"us-west","visibility":"public-read","placement":["asia","us-west"],"cache":{"edge_ttl":"90s"}}`)
	b := as[metadata.Bucket](t, a)
	if a.header.Get("Location") != path+"/photos" || b.Region != "us-west" || b.Owner != "admin-user" || b.Visibility != metadata.PublicRead ||
		b.Cache.EdgeTTL != metadata.Duration(90*time.Second) || len(b.Placement) != 2 {
		t.Errorf("created %+v", b)
	}
	if b := as[metadata.Bucket](t, w.do(http.StatusCreated, root, http.MethodPost, path, `{"name":"plain"}`)); b.Region != "europe" || b.Visibility != metadata.Private || b.Placement[0] != "home" {
		t.Errorf("created with defaults %+v", b)
	}
	w.do(http.StatusConflict, root, http.MethodPost, path, `{"name":"photos"}`)
	for body, field := range map[string]string{
		`{"name":"Photos"}`: "name", `{"name":"10.0.0.1"}`: "name", `{}`: "name",
		`{"name":"abc","region":"eruope"}`:                                    "region",
		`{"name":"abc","visibility":"open"}`:                                  "visibility",
		`{"name":"abc","versioning":"on"}`:                                    "versioning",
		`{"name":"abc","placement":"everywhere"}`:                             "placement",
		`{"name":"abc","placement":["asia","asia"]}`:                          "placement",
		`{"name":"abc","placement":["home","asia"]}`:                          "placement",
		`{"name":"abc","placement":["mars"]}`:                                 "placement",
		`{"name":"abc","residency":["mars"]}`:                                 "residency",
		`{"name":"abc","residency":["asia"]}`:                                 "residency", // without the home
		`{"name":"abc","residency":["europe"],"placement":["europe","asia"]}`: "residency",
		`{"name":"abc","cache":{"edge_ttl":"-1s"}}`:                           "cache.edge_ttl",
		`{"name":"abc","cache":{"stale_if_error":"900000h"}}`:                 "cache.stale_if_error",
		`{"name":"abc","owner":"me"}`:                                         "owner",
	} {
		a := w.do(http.StatusBadRequest, root, http.MethodPost, path, body)
		w.refused(a, field)
		if field == "region" && !strings.Contains(string(a.body), `did you mean \"europe\"`) {
			t.Errorf("the nearest region is not named: %s", a.body)
		}
		if strings.Contains(body, "mars") && !strings.Contains(string(a.body), "known are asia, europe, us-west") {
			t.Errorf("the known regions are not named: %s", a.body)
		}
	}
	list := as[bucketList](t, w.do(http.StatusOK, metadata.RoleReadOnly, http.MethodGet, path, "")).Buckets
	if len(list) != 2 || list[0].Name != "photos" || list[1].Name != "plain" {
		t.Errorf("list %+v", list)
	}

	patch := func(body string) metadata.Bucket {
		return as[metadata.Bucket](t, w.do(http.StatusOK, root, http.MethodPatch, path+"/photos", body))
	}
	if b = patch(`{"cache":{"negative_ttl":"1s"},"versioning":"Enabled"}`); b.Cache.EdgeTTL != metadata.Duration(90*time.Second) ||
		b.Cache.NegativeTTL != metadata.Duration(time.Second) || b.Versioning != metadata.VersioningEnabled || b.Visibility != metadata.PublicRead {
		t.Errorf("patched %+v", b)
	}
	if b = patch(`{"cache":{"edge_ttl":null},"visibility":null,"placement":"all"}`); b.Cache.EdgeTTL != 0 || b.Cache.NegativeTTL == 0 || b.Visibility != metadata.Private || b.Placement[0] != "all" {
		t.Errorf("patched %+v", b)
	}
	if b = patch(`{"cache":null,"placement":null,"versioning":"Suspended"}`); b.Cache != (metadata.CacheRules{}) || b.Placement[0] != "home" {
		t.Errorf("patched %+v", b)
	}
	w.refused(w.do(http.StatusBadRequest, root, http.MethodPatch, path+"/photos", `{"region":"asia","cache":{"edge":"1s"},"visibility":"x"}`), "cache.edge", "region")
	w.refused(w.do(http.StatusBadRequest, root, http.MethodPatch, path+"/photos", `{"visibility":"x"}`), "visibility")
	w.do(http.StatusBadRequest, root, http.MethodPatch, path+"/photos", `{"versioning":null}`)
	// Its public access block stands.
	if _, err := w.store.UpdateBucket(t.Context(), "photos", func(b *metadata.Bucket) error {
		b.Config[access.ConfigBlock] = json.RawMessage(`{"block_public_acls":true}`)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	w.refused(w.do(http.StatusBadRequest, root, http.MethodPatch, path+"/photos", `{"visibility":"public-read"}`), "visibility")
	w.do(http.StatusNotFound, root, http.MethodPatch, path+"/none", `{}`)

	w.object("photos", "a.jpg", "image/jpeg")
	w.do(http.StatusConflict, root, http.MethodDelete, path+"/photos", "")
	w.do(http.StatusNoContent, root, http.MethodDelete, path+"/plain", "")
	w.do(http.StatusNotFound, root, http.MethodDelete, path+"/plain", "")
	w.do(http.StatusNotFound, root, http.MethodGet, path+"/plain", "")
}

// Where nobody has said which regions there are, a bucket may be in any.
func TestBucketBeforeAnyNode(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.do(http.StatusCreated, metadata.RoleAdmin, http.MethodPost, "/v1/buckets", `{"name":"first","region":"asia"}`)
	w.nodes(someNode("origin-us", metadata.TierOrigin, "us-west"))
	w.do(http.StatusCreated, metadata.RoleAdmin, http.MethodPost, "/v1/buckets", `{"name":"second","region":"us-west"}`)
	w.refused(w.do(http.StatusBadRequest, metadata.RoleAdmin, http.MethodPost, "/v1/buckets", `{"name":"third","region":"asia"}`), "region")
}

func TestABucketIsGivenAway(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.bucket("photos", metadata.Private)
	const path = "/v1/buckets/photos"
	if b := as[metadata.Bucket](t, w.do(http.StatusOK, metadata.RoleAdmin, http.MethodPatch, path, `{"owner":"ann"}`)); b.Owner != "ann" {
		t.Errorf("given to ann: %+v", b)
	}
	w.refused(w.do(http.StatusBadRequest, metadata.RoleAdmin, http.MethodPatch, path, `{"owner":""}`), "owner")
	w.do(http.StatusForbidden, metadata.RoleReadWrite, http.MethodPatch, path, `{"owner":"eve"}`)
	if b := as[metadata.Bucket](t, w.do(http.StatusOK, metadata.RoleReadOnly, http.MethodGet, path, "")); b.Owner != "ann" {
		t.Errorf("afterwards: %+v", b)
	}
}

func TestAccessKeys(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const path, root = "/v1/keys", metadata.RoleAdmin
	expires := time.Now().Add(time.Hour).UTC().Truncate(time.Second)
	a := w.do(http.StatusCreated, root, http.MethodPost, path, `{"role":"readwrite","user":"ann","expires":"`+expires.Format(time.RFC3339)+`"}`)
	k := as[metadata.AccessKey](t, a)
	if len(k.ID) != 20 || len(k.Secret) != 40 || k.User != "ann" || k.Role != metadata.RoleReadWrite || !k.Expires.Equal(expires) || a.header.Get("Location") != path+"/"+k.ID {
		t.Errorf("made %+v", k)
	}
	w.keys["ann"] = k
	w.do(http.StatusOK, "ann", http.MethodGet, "/v1/media", "")
	other := as[metadata.AccessKey](t, w.do(http.StatusCreated, root, http.MethodPost, path, `{"role":"admin"}`))
	if other.User != other.ID || other.Expires != nil || other.ID == k.ID || other.Secret == k.Secret {
		t.Errorf("made with defaults %+v", other)
	}
	a = w.do(http.StatusOK, root, http.MethodGet, path, "")
	if list := as[keyList](t, a).Keys; len(list) != 5 || strings.Contains(string(a.body), `"secret"`) {
		t.Errorf("list %s", a.body)
	}
	a = w.do(http.StatusOK, root, http.MethodGet, path+"/"+k.ID, "")
	if strings.Contains(string(a.body), `"secret"`) || as[metadata.AccessKey](t, a).User != "ann" {
		t.Errorf("one key %s", a.body)
	}
	// Its end can be moved, and taken off.
	one := path + "/" + k.ID
	later := expires.Add(time.Hour)
	if a := w.do(http.StatusOK, root, http.MethodPatch, one, `{"expires":"`+later.Format(time.RFC3339)+`"}`); !as[metadata.AccessKey](t, a).Expires.Equal(later) {
		t.Errorf("a later end: %s", a.body)
	}
	w.refused(w.do(http.StatusBadRequest, root, http.MethodPatch, one, `{"expires":"2020-01-01T00:00:00Z"}`), "expires")
	w.refused(w.do(http.StatusBadRequest, root, http.MethodPatch, one, `{"expires":"soon"}`), "expires")
	for _, body := range []string{`{}`, `{"policy":null}`} {
		if a := w.do(http.StatusOK, root, http.MethodPatch, one, body); !as[metadata.AccessKey](t, a).Expires.Equal(later) {
			t.Errorf("the end after %s: %s", body, a.body)
		}
	}
	if a := w.do(http.StatusOK, root, http.MethodPatch, one, `{"expires":null}`); as[metadata.AccessKey](t, a).Expires != nil || strings.Contains(string(a.body), `"secret"`) {
		t.Errorf("without end: %s", a.body)
	}
	w.do(http.StatusOK, "ann", http.MethodGet, "/v1/media", "")
	for body, field := range map[string]string{
		`{}`: "role", `{"role":"god"}`: "role", `{"role":"admin","user":"root"}`: "user", `{"role":"admin","expires":"2020-01-01T00:00:00Z"}`: "expires",
		`{"role":"admin","expires":"soon"}`: "expires", `{"role":"admin","secret":"mine"}`: "secret", `{"role":"admin","user":"` + strings.Repeat("x", 300) + `"}`: "user",
	} {
		w.refused(w.do(http.StatusBadRequest, root, http.MethodPost, path, body), field)
	}
	// A key of another server, brought along.
	const brought = `{"role":"readwrite","id":"AKIAEXAMPLE","secret":"its secret","user":"bob"}`
	w.keys["bob"] = as[metadata.AccessKey](t, w.do(http.StatusCreated, root, http.MethodPost, path, brought))
	w.do(http.StatusOK, "bob", http.MethodGet, "/v1/media", "")
	if w.keys["bob"].ID != "AKIAEXAMPLE" || w.keys["bob"].Secret != "its secret" {
		t.Errorf("brought along %+v", w.keys["bob"])
	}
	for body, field := range map[string]string{
		brought: "id", `{"role":"admin","id":"AKIAOTHER"}`: "secret", `{"role":"admin","id":"AKIAOTHER","secret":"short"}`: "secret",
		`{"role":"admin","id":"a/b","secret":"long enough"}`: "id", `{"role":"admin","id":"meridian-node","secret":"long enough"}`: "id",
	} {
		w.refused(w.do(http.StatusBadRequest, root, http.MethodPost, path, body), field)
	}
	w.do(http.StatusNoContent, root, http.MethodDelete, path+"/"+k.ID, "")
	w.do(http.StatusNotFound, root, http.MethodDelete, path+"/"+k.ID, "")
	w.do(http.StatusUnauthorized, "ann", http.MethodGet, "/v1/media", "")
}

func TestNodesAndRegions(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(o *Options) {
		o.Regions = []string{"asia"}
		o.Store = silent{o.Store, map[string]bool{"origin-asia": true}}
	})
	w.nodes(someNode("origin-europe", metadata.TierOrigin, "europe"), someNode("edge-europe", metadata.TierEdge, "europe"),
		someNode("origin-asia", metadata.TierOrigin, "asia"), someNode("edge-asia", metadata.TierEdge, "asia"))
	nodes := as[nodeList](t, w.do(http.StatusOK, metadata.RoleReadOnly, http.MethodGet, "/v1/nodes", "")).Nodes
	if len(nodes) != 4 || nodes[0].ID != "edge-asia" || !nodes[0].Live || nodes[2].ID != "origin-asia" || nodes[2].Live {
		t.Errorf("nodes %+v", nodes)
	}
	regions := as[regionList](t, w.do(http.StatusOK, metadata.RoleReadOnly, http.MethodGet, "/v1/regions", "")).Regions
	if len(regions) != 2 || regions[0].Live || len(regions[0].S3) != 0 || regions[0].Nodes["origin"] != 1 || regions[0].LiveNodes["edge"] != 1 ||
		!regions[1].Live || regions[1].S3[0] != "https://origin-europe.example.com" || regions[1].Edges[0] != "https://edge-europe.example.com" {
		t.Errorf("regions %+v", regions)
	}
	if r := as[region](t, w.do(http.StatusOK, metadata.RoleReadOnly, http.MethodGet, "/v1/regions/europe", "")); r.Name != "europe" {
		t.Errorf("region %+v", r)
	}
	w.do(http.StatusNotFound, metadata.RoleReadOnly, http.MethodGet, "/v1/regions/mars", "")
}

func TestRegionsTellWhatTheyHaveToCopy(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, r := range []string{"europe", "asia"} {
		if err := w.store.AddRegion(t.Context(), r); err != nil {
			t.Fatal(err)
		}
	}
	root := metadata.RoleAdmin
	w.bucket("photos", metadata.Private)
	b := as[metadata.Bucket](t, w.do(http.StatusOK, root, http.MethodPatch, "/v1/buckets/photos", `{"placement":["europe","asia"],"residency":["europe","asia"]}`))
	if len(b.Placement) != 2 || len(b.Residency) != 2 {
		t.Errorf("patched %+v", b)
	}
	before := as[region](t, w.do(http.StatusOK, metadata.RoleReadOnly, http.MethodGet, "/v1/regions/asia", "")).Replication
	if before.Objects != 0 || before.Oldest != nil || before.FailedAt != nil {
		t.Errorf("nothing waits, but %+v", before)
	}
	v := w.object("photos", "a.jpg", "image/jpeg")
	taken, err := w.store.TakeCopies(t.Context(), "asia", "me", 1, time.Hour)
	if err != nil || len(taken) != 1 {
		t.Fatal(taken, err)
	}
	if err := w.store.CopyFailed(t.Context(), taken[0], "no route", time.Hour); err != nil {
		t.Fatal(err)
	}
	a := w.do(http.StatusOK, metadata.RoleReadOnly, http.MethodGet, "/v1/regions", "")
	for _, r := range as[regionList](t, a).Regions {
		got := r.Replication
		switch r.Name {
		case "asia":
			if got.Objects != 1 || got.Bytes != v.Size || got.Lag < 0 || got.Oldest == nil || got.Failing != 1 || got.LastError != "no route" || got.FailedAt == nil {
				t.Errorf("asia: %s", a.body)
			}
		default:
			if got.Objects != 0 || got.Failing != 0 {
				t.Errorf("%s has to copy something: %s", r.Name, a.body)
			}
		}
	}
	if b := as[metadata.Bucket](t, w.do(http.StatusOK, root, http.MethodPatch, "/v1/buckets/photos", `{"placement":null,"residency":null}`)); b.Placement.Mode() != metadata.PlacedHome || len(b.Residency) != 0 {
		t.Errorf("reset %+v", b)
	}
}

func TestPushesAndSnapshot(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.bucket("photos", metadata.Private)
	m := w.record(w.object("photos", "a.jpg", "image/jpeg"))
	push := metadata.Push{Node: someNode("edge-1", metadata.TierEdge, "europe"), Number: 1,
		Counters: []metadata.Counter{{Minute: time.Now().UTC().Truncate(time.Minute), Bucket: "photos", Class: metadata.ClassPhoto, Requests: 10, Hits: 7, Misses: 3, Bytes: 100, HitBytes: 70, AnsweredOrigin: 3}},
		Views:    []metadata.View{{Bucket: "photos", Key: "a.jpg", Count: 4}},
	}
	send := func(want int) answer {
		body, err := json.Marshal(push)
		if err != nil {
			t.Fatal(err)
		}
		// A newer node may tell more than we know.
		text := strings.Replace(string(body), `{`, `{"mood":"good",`, 1)
		return w.do(want, aNode, http.MethodPost, "/v1/nodes/push", text)
	}
	for range 3 { // lost answers make a node repeat
		reply := as[metadata.PushReply](t, send(http.StatusOK))
		if head, err := w.store.Head(t.Context()); err != nil || reply.Head != head {
			t.Errorf("push answered head %s, want %s (%v)", reply.Head, head, err)
		}
	}
	r := as[metadata.Report](t, w.do(http.StatusOK, metadata.RoleReadOnly, http.MethodGet, "/v1/cache/report?window=5m&by=bucket,tier", ""))
	if r.Window != "5m0s" || r.Tiers[0].Requests != 10 || r.Tiers[0].Hits != 7 || len(r.Buckets) == 0 || len(r.Nodes) != 0 {
		t.Errorf("report of a push that came three times: %+v", r)
	}
	if m, err := w.store.Media(t.Context(), m.ID); err != nil || m.Views != 4 {
		t.Errorf("%d views, %v", m.Views, err)
	}
	push.Number, push.Node.Tier = 2, "moon"
	send(http.StatusBadRequest)
	push.Node.Tier, push.Node.Boot, push.Node.Started = metadata.TierEdge, "later", push.Node.Started.Add(time.Minute)
	send(http.StatusOK)
	push.Node.Boot, push.Node.Started = "earlier", push.Node.Started.Add(-time.Hour)
	send(http.StatusConflict)
	w.do(http.StatusBadRequest, aNode, http.MethodPost, "/v1/nodes/push", `{"number":"one"}`)

	a := w.do(http.StatusOK, aNode, http.MethodGet, "/v1/nodes/snapshot", "")
	s := as[metadata.Snapshot](t, a)
	if len(s.Buckets) != 1 || len(s.Nodes) != 1 || len(s.Keys) == 0 {
		t.Errorf("snapshot of %d buckets, %d nodes, %d keys", len(s.Buckets), len(s.Nodes), len(s.Keys))
	}
	for _, k := range w.keys {
		if strings.Contains(string(a.body), k.Secret) {
			t.Error("the snapshot holds a secret key")
		}
	}
}

func TestPurge(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	edge := someNode("edge-1", metadata.TierEdge, "europe")
	w.nodes(edge)
	for _, caller := range []string{metadata.RoleReadWrite, aNode} {
		a := w.do(http.StatusAccepted, caller, http.MethodPost, "/v1/purge", `{"id":"","urls":["/photos/a.jpg"],"soft":true}`)
		asked := as[metadata.PurgeStatus](t, a)
		if asked.ID == "" || !asked.Soft || len(asked.Waiting) != 1 || asked.Acks == nil || a.header.Get("Location") != "/v1/purge/"+asked.ID {
			t.Errorf("asked: %s", a.body)
		}
		if seq, err := metadata.ParseSeq(a.header.Get(hop.Seq)); err != nil || seq.IsZero() {
			t.Errorf("event of the purge: %q", a.header.Get(hop.Seq))
		}
		n := uint64(2)
		if caller == aNode {
			n = 3
		}
		body, err := json.Marshal(metadata.Push{Node: edge, Number: n, Purges: []metadata.PurgeAck{{ID: asked.ID, Applied: time.Now(), Entries: 3}}})
		if err != nil {
			t.Fatal(err)
		}
		w.do(http.StatusOK, aNode, http.MethodPost, "/v1/nodes/push", string(body))
		done := as[metadata.PurgeStatus](t, w.do(http.StatusOK, metadata.RoleReadOnly, http.MethodGet, "/v1/purge/"+asked.ID, ""))
		if len(done.Acks) != 1 || done.Acks[0].Node != "edge-1" || done.Acks[0].Entries != 3 || len(done.Waiting) != 0 {
			t.Errorf("status: %+v", done)
		}
	}
	w.do(http.StatusNotFound, metadata.RoleReadOnly, http.MethodGet, "/v1/purge/none", "")
	w.refused(w.do(http.StatusBadRequest, metadata.RoleReadWrite, http.MethodPost, "/v1/purge", `{"url":["/a/b"]}`), "url")
	w.refused(w.do(http.StatusBadRequest, metadata.RoleReadWrite, http.MethodPost, "/v1/purge", `{"id":"mine","everything":true}`), "id")
	for _, body := range []string{`{}`, `{"soft":true}`, `{"urls":["nonsense"]}`, `{"surrogate_keys":["a b"]}`} {
		w.do(http.StatusBadRequest, metadata.RoleReadWrite, http.MethodPost, "/v1/purge", body)
	}
	w.do(http.StatusNotFound, metadata.RoleReadWrite, http.MethodPost, "/v1/purge", `{"bucket":"photos"}`)
	w.bucket("photos", metadata.Private)
	w.do(http.StatusAccepted, metadata.RoleReadWrite, http.MethodPost, "/v1/purge", `{"bucket":"photos"}`)
}

func TestReportRefusesNonsense(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for query, field := range map[string]string{
		"window=59s": "window", "window=721h": "window", "window=5": "window", "window=-5m": "window", "window=x": "window",
		"by=planet": "by", "by=tier,,node": "by",
	} {
		a := w.do(http.StatusBadRequest, metadata.RoleReadOnly, http.MethodGet, "/v1/cache/report?"+query, "")
		w.refused(a, field)
		if value := strings.SplitN(query, "=", 2)[1]; field == "window" && !strings.Contains(string(a.body), value) {
			t.Errorf("refusal of %s does not name the value: %s", query, a.body)
		}
	}
	r := as[metadata.Report](t, w.do(http.StatusOK, metadata.RoleReadOnly, http.MethodGet, "/v1/cache/report?window=720h", ""))
	if len(r.Tiers) != 3 || r.Regions == nil || r.Classes == nil {
		t.Errorf("empty report: %+v", r)
	}
}

// How far behind the feed a node is is told where it says so and is heard of.
func TestNodesBehindTheFeed(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(o *Options) { o.Store = silent{o.Store, map[string]bool{"edge-silent": true}} })
	w.bucket("photos", metadata.Private)
	before, err := w.store.Head(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	w.object("photos", "a.jpg", "image/jpeg")
	head, err := w.store.Head(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	late, current, mute := someNode("edge-late", metadata.TierEdge, "europe"), someNode("edge-current", metadata.TierEdge, "europe"), someNode("edge-silent", metadata.TierEdge, "asia")
	late.Applied, current.Applied, mute.Applied = before, head, before
	w.nodes(late, current, mute, someNode("origin-europe", metadata.TierOrigin, "europe"))
	// Nobody is late for an event that an older transaction, of another test
	// here, still withholds.
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		if events, err := w.store.Poll(t.Context(), before, 1); err != nil || time.Now().After(deadline) {
			t.Fatalf("the event of the object is not delivered: %v", err)
		} else if len(events) > 0 {
			break
		}
	}
	for _, n := range as[nodeList](t, w.do(http.StatusOK, metadata.RoleReadOnly, http.MethodGet, "/v1/nodes", "")).Nodes {
		told := n.BehindSeconds != nil
		switch n.ID {
		case "edge-late":
			if !told || *n.BehindSeconds <= 0 || *n.BehindSeconds > 3600 {
				t.Errorf("a node that is late is told of: %v, behind by %v s", told, *cmp.Or(n.BehindSeconds, new(float64)))
			}
		case "edge-current":
			if !told || *n.BehindSeconds != 0 {
				t.Errorf("a node that has applied all is told of: %v", told)
			}
		default:
			if told {
				t.Errorf("%s: behind by %v", n.ID, *n.BehindSeconds)
			}
		}
	}
}

func TestSeries(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const path = "/v1/cache/series?"
	s := as[metadata.Series](t, w.do(http.StatusOK, metadata.RoleReadOnly, http.MethodGet, path+"window=15m&tier=edge&class=photo", ""))
	if s.Window != "15m0s" || s.Step != "1m0s" || len(s.Tiers) != 1 || s.Tiers[0].Tier != metadata.TierEdge || len(s.Tiers[0].Points) != 16 {
		t.Errorf("empty series: %+v", s)
	}
	for query, field := range map[string]string{
		"window=721h": "window", "window=x": "window", "step=1s": "step", "step=90s": "step", "step=25h": "step", "tier=moon": "tier",
		"class=song": "class", "tiers=edge": "tiers",
	} {
		w.refused(w.do(http.StatusBadRequest, metadata.RoleReadOnly, http.MethodGet, path+query, ""), field)
	}
	a := w.do(http.StatusBadRequest, metadata.RoleReadOnly, http.MethodGet, path+"window=720h&step=1m", "")
	if !strings.Contains(string(a.body), "more than 1500 points") {
		t.Errorf("refusal of too many points: %s", a.body)
	}
}

func FuzzWindowAndGroups(f *testing.F) {
	f.Add("5m", "tier,region")
	f.Add("1h1ns", " node , class")
	f.Add("9223372036854775807ns", ",")
	f.Fuzz(func(t *testing.T, window, by string) {
		if d, err := parseDuration("window", window, minWindow, maxWindow); err == nil && (d < minWindow || d > maxWindow) {
			t.Errorf("window %q is %s", window, d)
		}
		groups, err := parseGroups(by)
		if err != nil {
			return
		}
		for _, g := range groups {
			if !strings.Contains(by, g) {
				t.Errorf("%q names %q", by, g)
			}
		}
	})
}

// The system's own bucket is nobody's to see or to change.
func TestSystemBucket(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const name, path = metadata.RenditionBucket, "/v1/buckets/" + metadata.RenditionBucket
	w.refused(w.do(http.StatusBadRequest, metadata.RoleAdmin, http.MethodPost, "/v1/buckets", `{"name":"`+name+`"}`), "name")
	if _, err := w.store.CreateBucket(t.Context(), metadata.Bucket{Name: name, Region: "europe", Owner: metadata.SystemOwner}); err != nil {
		t.Fatal(err)
	}
	w.bucket("photos", metadata.Private)
	names := func(caller, query string) (list []string) {
		for _, b := range as[bucketList](t, w.do(http.StatusOK, caller, http.MethodGet, "/v1/buckets"+query, "")).Buckets {
			list = append(list, b.Name)
		}
		return list
	}
	for query, want := range map[string]string{"": "photos", "?system=false": "photos", "?system=true": name + " photos"} {
		if got := strings.Join(names(metadata.RoleAdmin, query), " "); got != want {
			t.Errorf("buckets%s: %s", query, got)
		}
	}
	w.refused(w.do(http.StatusBadRequest, metadata.RoleAdmin, http.MethodGet, "/v1/buckets?system=1", ""), "system")
	w.do(http.StatusForbidden, metadata.RoleReadWrite, http.MethodGet, "/v1/buckets?system=true", "")
	w.do(http.StatusForbidden, metadata.RoleReadWrite, http.MethodGet, path, "")
	w.do(http.StatusOK, metadata.RoleAdmin, http.MethodGet, path, "")
	w.do(http.StatusForbidden, metadata.RoleAdmin, http.MethodPatch, path, `{"visibility":"public-read"}`)
	w.do(http.StatusForbidden, metadata.RoleAdmin, http.MethodDelete, path, "")
	w.refused(w.do(http.StatusBadRequest, metadata.RoleReadWrite, http.MethodPost, "/v1/media", `{"bucket":"`+name+`","key":"a.mp4"}`), "bucket")
	s, err := w.store.Snapshot(t.Context())
	if err != nil || len(s.Buckets) != 2 {
		t.Errorf("edges are told of %d buckets: %v", len(s.Buckets), err)
	}
}
