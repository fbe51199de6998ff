package catalogtest

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"sync"
	"testing"
	"time"

	"meridian/metadata"
)

// Nodes checks metadata.Nodes and Purges.
func Nodes(t *testing.T, open func(t *testing.T) metadata.Store) {
	for name, test := range map[string]func(*testing.T, metadata.Store){
		"PushRegisters":                testPushRegisters,
		"PushIsAppliedOnce":            testPushOnce,
		"ConcurrentPushes":             testConcurrentPushes,
		"TheLastStartedProcessIsHeard": testNodeReplaced,
		"RefusedPushes":                testRefusedPushes,
		"ReplyTellsTheHead":            testPushHead,
		"ReplyTellsThatNodesCome":      testPushCluster,
		"SnapshotHoldsItsChanges":      testSnapshot,
		"DayKeysVerifySignatures":      testDayKeys,
		"PurgesAreAcknowledged":        testPurges,
		"ChangesOfZonesAreTold":        testZoneChanges,
		"RefusedPurges":                testRefusedPurges,
		"WarmsAreTold":                 testWarms,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, open(t))
		})
	}
}

func node(id, tier, region string) metadata.Node {
	return metadata.Node{
		ID: id, Boot: "boot-of-" + id, Tier: tier, Region: region, Version: "test",
		URL: "http://" + id + ".internal", PublicURL: "https://" + id + ".example.com",
		Started: time.Now().Truncate(time.Millisecond),
	}
}

func push(t *testing.T, s metadata.Store, p metadata.Push) metadata.PushReply {
	t.Helper()
	reply, err := s.Push(t.Context(), p)
	if err != nil {
		t.Fatalf("Push %d of %s: %v", p.Number, p.Node.ID, err)
	}
	return reply
}

func snapshot(t *testing.T, s metadata.Store) metadata.Snapshot {
	t.Helper()
	snap, err := s.Snapshot(t.Context())
	if err != nil {
		t.Fatalf("Snapshot: %v", err)
	}
	return snap
}

func testPushRegisters(t *testing.T, s metadata.Store) {
	edge, origin := node("edge-1", metadata.TierEdge, "europe"), node("origin-1", metadata.TierOrigin, "asia")
	edge.Applied = metadata.Seq{Xid: 1<<64 - 1, ID: 5}
	origin.BlobBase = "s3://meridian-asia/"
	push(t, s, metadata.Push{Node: edge, Number: 1})
	push(t, s, metadata.Push{Node: origin, Number: 1})
	nodes := snapshot(t, s).Nodes
	if len(nodes) != 2 {
		t.Fatalf("nodes = %+v, want both", nodes)
	}
	for i, want := range []metadata.Node{edge, origin} {
		got := nodes[i]
		if !got.Live || got.LastSeen.IsZero() || !got.Started.Equal(want.Started) {
			t.Errorf("node = %+v, want it alive since %s", got, want.Started)
		}
		got.Live, got.LastSeen, got.Started = false, time.Time{}, want.Started
		if got != want {
			t.Errorf("node = %+v, want %+v", got, want)
		}
	}
	edge.URL = "http://moved.internal"
	push(t, s, metadata.Push{Node: edge, Number: 2})
	if nodes := snapshot(t, s).Nodes; len(nodes) != 2 || nodes[0].URL != edge.URL {
		t.Errorf("after a move nodes = %+v", nodes)
	}
}

// counter is n requests in the running minute, half of them hits.
func counter(bucket, class string, n int64) metadata.Counter {
	c := metadata.Counter{
		Minute: time.Now().UTC().Truncate(time.Minute), Bucket: bucket, Class: class,
		Requests: n, Hits: n / 2, Misses: n - n/2, Bytes: 100 * n, HitBytes: 100 * (n / 2),
	}
	for range n {
		c.Latency.Add(time.Millisecond)
	}
	return c
}

// edgeRequests is how many requests the report knows of at edges.
func edgeRequests(t *testing.T, s metadata.Store) int64 {
	t.Helper()
	r := report(t, s, metadata.ReportQuery{Window: 10 * time.Minute, By: []string{"tier"}})
	return r.Tiers[0].Requests
}

func testPushCluster(t *testing.T, s metadata.Store) {
	first := node("edge-a", metadata.TierEdge, "asia")
	alone := push(t, s, metadata.Push{Node: first, Number: 1}).Cluster
	if again := push(t, s, metadata.Push{Node: first, Number: 2}).Cluster; again != alone {
		t.Error("the cluster is told to have changed, and has not")
	}
	second := node("regional-a", metadata.TierRegional, "asia")
	both := push(t, s, metadata.Push{Node: second, Number: 1}).Cluster
	if both == alone {
		t.Error("a node came, and the cluster is told to be the same")
	}
	second.URL += ":81"
	if moved := push(t, s, metadata.Push{Node: second, Number: 2}).Cluster; moved == both {
		t.Error("a node moved, and the cluster is told to be the same")
	}
}

func testPushOnce(t *testing.T, s metadata.Store) {
	n := node("edge-1", metadata.TierEdge, "europe")
	one := metadata.Push{Node: n, Number: 1, Counters: []metadata.Counter{
		counter("photos", metadata.ClassPhoto, 10), counter("photos", metadata.ClassPhoto, 5),
	}}
	two := metadata.Push{Node: n, Number: 2, Counters: []metadata.Counter{counter("photos", metadata.ClassPhoto, 100)}}
	for _, p := range []metadata.Push{one, one, two, one, two} {
		push(t, s, p)
	}
	if got := edgeRequests(t, s); got != 115 {
		t.Errorf("%d requests were counted, want 115", got)
	}
	// Another boot numbers from 1 again.
	one.Node.Boot, one.Node.Started = "later", one.Node.Started.Add(time.Second)
	push(t, s, one)
	push(t, s, one)
	if got := edgeRequests(t, s); got != 130 {
		t.Errorf("%d requests were counted after a restart, want 130", got)
	}
}

func testConcurrentPushes(t *testing.T, s metadata.Store) {
	const nodes, pushes, copies = 4, 8, 3
	day := time.Now().UTC().Truncate(24 * time.Hour)
	var wg sync.WaitGroup
	for i := range nodes {
		n := node(fmt.Sprintf("edge-%d", i), metadata.TierEdge, "europe")
		for range copies { // every push arrives three times, at the same moment
			wg.Go(func() {
				for number := range uint64(pushes) {
					// All begin with days that nobody has counted in yet.
					old := counter("photos", metadata.ClassVideo, 1)
					old.Minute = day.AddDate(0, 0, -int(number))
					p := metadata.Push{Node: n, Number: number + 1, Counters: []metadata.Counter{
						counter("photos", metadata.ClassPhoto, 2), old,
					}}
					if _, err := s.Push(t.Context(), p); err != nil {
						t.Error(err)
					}
				}
			})
		}
	}
	wg.Wait()
	r := report(t, s, metadata.ReportQuery{Window: 20 * 24 * time.Hour, By: []string{"class"}})
	got := map[string]int64{}
	for _, row := range r.Classes {
		got[row.Class] += row.Requests
	}
	// A copy that comes after a later push of its node changes nothing, and its
	// own push was applied before: the sum is exact.
	if got[metadata.ClassPhoto] != 2*nodes*pushes || got[metadata.ClassVideo] != nodes*pushes {
		t.Errorf("counted %v, want %d photos and %d videos", got, 2*nodes*pushes, nodes*pushes)
	}
}

func testNodeReplaced(t *testing.T, s metadata.Store) {
	older := node("edge-1", metadata.TierEdge, "europe")
	newer := older
	newer.Boot, newer.Started = "newer", older.Started.Add(time.Second)
	c := []metadata.Counter{counter("photos", metadata.ClassPhoto, 1)}
	push(t, s, metadata.Push{Node: older, Number: 1, Counters: c})
	push(t, s, metadata.Push{Node: newer, Number: 1, Counters: c})
	_, err := s.Push(t.Context(), metadata.Push{Node: older, Number: 2, Counters: c})
	wantError(t, "a push of the older process", err, metadata.ErrNodeReplaced)
	push(t, s, metadata.Push{Node: newer, Number: 2, Counters: c})
	if got := edgeRequests(t, s); got != 3 {
		t.Errorf("%d requests were counted, want 3 without those of the refused push", got)
	}
	if nodes := snapshot(t, s).Nodes; len(nodes) != 1 || nodes[0].Boot != "newer" {
		t.Errorf("nodes = %+v, want the newer process", nodes)
	}
}

func testRefusedPushes(t *testing.T, s metadata.Store) {
	for name, spoil := range map[string]func(*metadata.Push){
		"no ID":          func(p *metadata.Push) { p.Node.ID = "" },
		"no boot":        func(p *metadata.Push) { p.Node.Boot = "" },
		"no start":       func(p *metadata.Push) { p.Node.Started = time.Time{} },
		"tier":           func(p *metadata.Push) { p.Node.Tier = "middle" },
		"number":         func(p *metadata.Push) { p.Number = 0 },
		"text":           func(p *metadata.Push) { p.Node.URL = "\x00" },
		"future":         func(p *metadata.Push) { p.Counters[0].Minute = time.Now().Add(4 * time.Minute) },
		"distant past":   func(p *metadata.Push) { p.Counters[0].Minute = time.Now().AddDate(-1, 0, 0) },
		"zero minute":    func(p *metadata.Push) { p.Counters[0].Minute = time.Time{} },
		"sum":            func(p *metadata.Push) { p.Counters[0].Hits++ },
		"negative":       func(p *metadata.Push) { p.Counters[0].Hits, p.Counters[0].Misses = -1, 11 },
		"answered":       func(p *metadata.Push) { p.Counters[0].AnsweredRegional, p.Counters[0].AnsweredOrigin = 6, 5 },
		"hit bytes":      func(p *metadata.Push) { p.Counters[0].HitBytes = 1 << 40 },
		"class":          func(p *metadata.Push) { p.Counters[0].Class = "song" },
		"histogram":      func(p *metadata.Push) { p.Counters[0].Latency = make(metadata.Histogram, metadata.LatencyBuckets+1) },
		"negative views": func(p *metadata.Push) { p.Views = []metadata.View{{Bucket: "b", Key: "k", Count: -1}} },
	} {
		p := metadata.Push{
			Node: node("edge-1", metadata.TierEdge, "europe"), Number: 1,
			Counters: []metadata.Counter{counter("photos", metadata.ClassPhoto, 10), counter("photos", metadata.ClassVideo, 10)},
		}
		spoil(&p)
		_, err := s.Push(t.Context(), p)
		wantError(t, name, err, metadata.ErrInvalid)
	}
	if nodes := snapshot(t, s).Nodes; len(nodes) != 0 {
		t.Errorf("refused pushes registered %+v", nodes)
	}
	if got := edgeRequests(t, s); got != 0 {
		t.Errorf("refused pushes left %d requests", got)
	}
	// A clock that is a little ahead is no reason to refuse.
	c := counter("photos", metadata.ClassPhoto, 1)
	c.Minute = time.Now().Add(time.Minute)
	push(t, s, metadata.Push{Node: node("edge-1", metadata.TierEdge, "europe"), Number: 1, Counters: []metadata.Counter{c}})
	if got := edgeRequests(t, s); got != 1 {
		t.Errorf("%d requests were counted of a clock that is ahead, want 1", got)
	}
}

func testPushHead(t *testing.T, s metadata.Store) {
	n := node("edge-1", metadata.TierEdge, "europe")
	for number := range uint64(5) {
		written := write(t, s, fmt.Sprint("event-", number))
		p := metadata.Push{Node: n, Number: number + 1}
		for range 2 { // a repeated push hears of what was written since, too
			if reply := push(t, s, p); reply.Head.Compare(written) < 0 {
				t.Errorf("a push was told the head %s after event %s was acknowledged", reply.Head, written)
			}
			written = write(t, s, "another")
		}
	}
}

func testSnapshot(t *testing.T, s metadata.Store) {
	ctx := t.Context()
	const n = 30
	var wg sync.WaitGroup
	wg.Go(func() {
		for i := range n {
			_, err := s.CreateBucket(ctx, metadata.Bucket{
				Name: fmt.Sprintf("bucket-%02d", i), Region: "europe", Visibility: metadata.Private, Owner: "ann",
			})
			if err != nil {
				t.Error(err)
			}
		}
	})
	for i := range n {
		wg.Go(func() {
			if err := s.PutKey(ctx, accessKey(fmt.Sprintf("AKIA%02d", i))); err != nil {
				t.Error(err)
			}
		})
	}
	snaps := make([]metadata.Snapshot, 0, 10)
	for range 10 {
		snaps = append(snaps, snapshot(t, s))
	}
	wg.Wait()
	snaps = append(snaps, snapshot(t, s))

	// Whoever starts from a snapshot and follows the feed knows everything.
	all := events(t, s, metadata.Seq{})
	for i, snap := range snaps {
		known := map[string]bool{}
		for _, b := range snap.Buckets {
			known[b.Name] = true
		}
		for _, k := range snap.Keys {
			known[k.AccessKey] = true
		}
		for _, e := range all {
			name := e.Bucket
			if e.Type == metadata.KeyChanged {
				var data metadata.KeyData
				if err := json.Unmarshal(e.Data, &data); err != nil {
					t.Fatal(err)
				}
				name = data.AccessKey
			}
			if e.Seq.Compare(snap.Seq) <= 0 && !known[name] {
				t.Errorf("snapshot %d at %s lacks %s of event %s", i, snap.Seq, name, e.Seq)
			}
		}
	}
	last := snaps[len(snaps)-1]
	if len(last.Buckets) != n {
		t.Errorf("the last snapshot has %d buckets, want %d", len(last.Buckets), n)
	}
}

func testDayKeys(t *testing.T, s metadata.Store) {
	ctx := t.Context()
	expires := time.Now().Add(time.Hour)
	k, temporary, limited := accessKey("AKIAONE"), accessKey("AKIATWO"), accessKey("AKIALIMITED")
	limited.Policy = json.RawMessage(`{"Statement":[]}`)
	temporary.Expires = &expires
	past := time.Now().Add(-time.Hour)
	expired := accessKey("AKIAOLD")
	expired.Expires = &past
	for _, k := range []metadata.AccessKey{k, temporary, limited, expired} {
		if err := s.PutKey(ctx, k); err != nil {
			t.Fatal(err)
		}
	}
	push(t, s, metadata.Push{Node: node("edge-1", metadata.TierEdge, "europe"), Number: 1})
	push(t, s, metadata.Push{Node: node("origin-1", metadata.TierOrigin, "asia"), Number: 1})

	type scope struct{ key, date, region string }
	got := map[scope]metadata.DayKey{}
	now := time.Now().UTC()
	snap := snapshot(t, s)
	for _, d := range snap.Keys {
		got[scope{d.AccessKey, d.Date, d.Region}] = d
		if bytes.Contains(d.Key, []byte("secret")) {
			t.Errorf("a day key holds the secret: %q", d.Key)
		}
	}
	for days := -7; days <= 1; days++ {
		date := now.AddDate(0, 0, days).Format("20060102")
		for _, region := range []string{"europe", "asia", "us-east-1"} {
			d := got[scope{k.ID, date, region}]
			if !bytes.Equal(d.Key, signingKey(k.Secret, date, region)) || d.Role != k.Role || d.User != k.User || d.Expires != nil {
				t.Errorf("day key of %s on %s in %s = %+v", k.ID, date, region, d)
			}
			if d := got[scope{limited.ID, date, region}]; d.Role != "" || d.User != limited.User || len(d.Key) == 0 {
				t.Errorf("day key of a key with a policy = %+v, want it without a role", d)
			}
			if d := got[scope{temporary.ID, date, region}]; d.Expires == nil || d.Expires.Sub(expires).Abs() > time.Millisecond {
				t.Errorf("day key of a temporary key = %+v, want it to expire at %s", d, expires)
			}
		}
	}
	if want := 3 * 9 * 3; len(got) != want {
		t.Errorf("%d day keys, want %d and none of the expired key", len(got), want)
	}
	if len(snap.Policies) != 1 || string(snap.Policies[limited.ID]) != string(limited.Policy) {
		t.Errorf("policies %s, want the one there is", snap.Policies)
	}
	sessions := map[scope]bool{}
	for _, x := range snap.Sessions {
		sessions[scope{x.AccessKey, x.Date, ""}] = len(x.Key) == 32 && !bytes.Contains(x.Key, []byte("secret"))
	}
	for days := -2; days <= 1; days++ { // as long as they live, and a day ahead
		date := now.AddDate(0, 0, days).Format("20060102")
		if !sessions[scope{k.ID, date, ""}] || sessions[scope{expired.ID, date, ""}] {
			t.Errorf("session keys of %s: %v", date, sessions)
		}
	}
}

// signingKey is what AWS documents for Signature Version 4:
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
func signingKey(secret, date, region string) []byte {
	key := []byte("AWS4" + secret)
	for _, part := range []string{date, region, "s3", "aws4_request"} {
		mac := hmac.New(sha256.New, key)
		mac.Write([]byte(part))
		key = mac.Sum(nil)
	}
	return key
}
