package catalogtest

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"meridian/metadata"
)

func testWarms(t *testing.T, s metadata.Store) {
	ctx := t.Context()
	objects := []metadata.WarmObject{{Bucket: "photos", Key: "a"}, {Bucket: "photos", Key: "b"}}
	ask := metadata.Warm{URLs: []string{"/photos/a", "/photos/b"}, Regions: []string{"europe"}, Tiers: []string{metadata.TierEdge}}
	refused := func(what string, w metadata.Warm, list []metadata.WarmObject) {
		t.Helper()
		_, _, err := s.AskWarm(ctx, w, list)
		wantError(t, what, err, metadata.ErrInvalid)
	}
	refused("no node", ask, objects)
	first, second := node("edge-1", metadata.TierEdge, "europe"), node("edge-2", metadata.TierEdge, "europe")
	for _, n := range []metadata.Node{first, second, node("regional-1", metadata.TierRegional, "europe"), node("edge-3", metadata.TierEdge, "asia")} {
		push(t, s, metadata.Push{Node: n, Number: 1})
	}
	refused("no selector", metadata.Warm{}, objects)
	refused("no object", ask, nil)
	refused("a tier that caches nothing", metadata.Warm{URLs: ask.URLs, Tiers: []string{metadata.TierOrigin}}, objects)
	refused("a region without nodes", metadata.Warm{URLs: ask.URLs, Regions: []string{"us-west"}}, objects)
	refused("long names", ask, []metadata.WarmObject{{Bucket: "photos", Key: strings.Repeat("a", metadata.MaxWarmBytes)}})

	start, err := s.Head(ctx)
	if err != nil {
		t.Fatal(err)
	}
	status, seq, err := s.AskWarm(ctx, ask, objects)
	if err != nil || status.ID == "" || status.Asked.IsZero() || status.Objects != 2 || status.Done {
		t.Fatalf("AskWarm = %+v, %s, %v", status, seq, err)
	}
	told := events(t, s, start)
	var data metadata.WarmData
	if len(told) != 1 || told[0].Seq != seq || told[0].Type != metadata.WarmAsked || json.Unmarshal(told[0].Data, &data) != nil ||
		data.ID != status.ID || len(data.Objects) != 2 || !data.Concerns(metadata.TierEdge, "europe") || data.Concerns(metadata.TierEdge, "asia") {
		t.Fatalf("the warm-up gave the events %+v", told)
	}
	states := func() (list []string, status metadata.WarmStatus) {
		t.Helper()
		status, err := s.WarmStatus(ctx, data.ID)
		if err != nil {
			t.Fatal(err)
		}
		for _, n := range status.Nodes {
			list = append(list, n.Node+" "+n.State)
		}
		return list, status
	}
	want := func(what string, list ...string) {
		t.Helper()
		if got, _ := states(); fmt.Sprint(got) != fmt.Sprint(list) {
			t.Errorf("%s: %q, want %q", what, got, list)
		}
	}
	want("at first", "edge-1 waiting", "edge-2 waiting")

	p := metadata.WarmProgress{ID: data.ID, Objects: 2, Fetched: 1, Bytes: 10, At: time.Now()}
	push(t, s, metadata.Push{Node: first, Number: 2, Warms: []metadata.WarmProgress{p, {ID: "unknown"}}})
	want("after a while", "edge-1 running", "edge-2 waiting")
	p.Failed, p.Done = 1, true
	p.Failures = []metadata.WarmFailure{{WarmObject: objects[1], Error: "gone"}}
	push(t, s, metadata.Push{Node: first, Number: 3, Warms: []metadata.WarmProgress{p}})
	second.Boot, second.Started = "another", second.Started.Add(time.Second)
	push(t, s, metadata.Push{Node: second, Number: 1})
	want("at the end", "edge-1 done", "edge-2 interrupted")
	_, status = states()
	if got := status.Nodes[0]; !status.Done || got.Tier != metadata.TierEdge || got.Region != "europe" || got.Progress.Bytes != 10 ||
		len(got.Progress.Failures) != 1 || got.Progress.Failures[0] != p.Failures[0] || status.Nodes[1].Progress != nil {
		t.Errorf("status = %+v", status)
	}
	for _, id := range []string{"01ARZ3NDEKTSV4RRFFQ69G5FAV", "\x00"} {
		_, err = s.WarmStatus(ctx, id)
		wantError(t, "an unknown warm-up", err, metadata.ErrNoSuchWarm)
	}
}
