package catalogtest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"meridian/metadata"
)

func testPurges(t *testing.T, s metadata.Store) {
	ctx := t.Context()
	nodes := []metadata.Node{
		node("edge-1", metadata.TierEdge, "europe"), node("origin-1", metadata.TierOrigin, "europe"),
		node("regional-1", metadata.TierRegional, "europe"),
	}
	for _, n := range nodes {
		push(t, s, metadata.Push{Node: n, Number: 1})
	}
	start, err := s.Head(ctx)
	if err != nil {
		t.Fatal(err)
	}
	want := metadata.Purge{
		URLs: []string{"/photos/a b.jpg", "https://edge.example.com/photos/%C3%A9.jpg"}, Prefixes: []string{"/photos/2026/"},
		SurrogateKeys: []string{"product-7"}, Bucket: "photos", Soft: true,
	}
	status, seq, err := s.AskPurge(ctx, want)
	if err != nil || status.ID == "" || status.Asked.IsZero() {
		t.Fatalf("AskPurge = %+v, %s, %v", status, seq, err)
	}
	want.ID = status.ID
	told := events(t, s, start)
	if len(told) != 1 || told[0].Seq != seq || told[0].Type != metadata.PurgeAsked {
		t.Fatalf("the purge gave the events %+v", told)
	}
	var data metadata.Purge
	if err := json.Unmarshal(told[0].Data, &data); err != nil || !samePurge(data, want) {
		t.Errorf("the event carries %+v, %v; want %+v", data, err, want)
	}
	// Origins hold no cache: nobody waits for them.
	if !slices.Equal(status.Waiting, []string{"edge-1", "regional-1"}) || len(status.Acks) != 0 {
		t.Errorf("at first status = %+v", status)
	}

	applied := time.Now().Add(-time.Second).Truncate(time.Millisecond)
	ack := metadata.PurgeAck{ID: want.ID, Applied: applied, Entries: 3, Node: "somebody else"}
	push(t, s, metadata.Push{Node: nodes[0], Number: 2, Purges: []metadata.PurgeAck{ack, ack, {ID: "unknown", Applied: applied}}})
	ack.Entries = 0 // found nothing the second time, which says nothing
	push(t, s, metadata.Push{Node: nodes[0], Number: 3, Purges: []metadata.PurgeAck{ack}})
	status, err = s.PurgeStatus(ctx, want.ID)
	if err != nil || !samePurge(status.Purge, want) || !slices.Equal(status.Waiting, []string{"regional-1"}) || len(status.Acks) != 1 {
		t.Fatalf("after one acknowledgement status = %+v, %v", status, err)
	}
	if a := status.Acks[0]; a.Node != "edge-1" || a.ID != want.ID || a.Entries != 3 || !a.Applied.Equal(applied) {
		t.Errorf("acknowledgement = %+v", a)
	}
	_, err = s.PurgeStatus(ctx, "01ARZ3NDEKTSV4RRFFQ69G5FAV")
	wantError(t, "an unknown purge", err, metadata.ErrNoSuchPurge)
	_, err = s.PurgeStatus(ctx, "\x00")
	wantError(t, "an impossible purge", err, metadata.ErrNoSuchPurge)
}

func samePurge(a, b metadata.Purge) bool {
	one, errA := json.Marshal(a)
	two, errB := json.Marshal(b)
	return errors.Join(errA, errB) == nil && bytes.Equal(one, two)
}

func testRefusedPurges(t *testing.T, s metadata.Store) {
	start, err := s.Head(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range []metadata.Purge{
		{},
		{Soft: true},
		{URLs: []string{"/photos/a.jpg", ""}},
		{URLs: []string{"photos/a.jpg"}},
		{URLs: []string{"/photos"}},
		{URLs: []string{"//photos/a.jpg"}},
		{URLs: []string{"ftp://host/photos/a.jpg"}},
		{URLs: []string{"http:///photos/a.jpg"}},
		{URLs: []string{"/photos/%zz"}},
		{URLs: []string{"/%00/a"}},
		{Prefixes: []string{"/"}},
		{Prefixes: []string{"photos/"}},
		{SurrogateKeys: []string{""}},
		{SurrogateKeys: []string{"two words"}},
		{Bucket: "No_Bucket"},
		{URLs: slices.Repeat([]string{"/photos/a"}, metadata.MaxPurgeSelectors+1)},
	} {
		_, _, err := s.AskPurge(t.Context(), p)
		wantError(t, fmt.Sprintf("purge %.80v", p), err, metadata.ErrInvalid)
	}
	if told := events(t, s, start); len(told) != 0 {
		t.Errorf("refused purges gave %d events", len(told))
	}
}

func testZoneChanges(t *testing.T, s metadata.Store) {
	ctx := t.Context()
	n := node("edge-1", metadata.TierEdge, "europe")
	push(t, s, metadata.Push{Node: n, Number: 1})
	start, err := s.Head(ctx)
	if err != nil {
		t.Fatal(err)
	}
	changed := []metadata.ZoneTarget{{Bucket: "site", Target: "/a%2Fb?x=é"}, {Bucket: "site", Target: "/"}}
	for range 2 { // the second time it is the same push
		if r := push(t, s, metadata.Push{Node: n, Number: 2, Changed: changed}); r.Head.Compare(start) <= 0 {
			t.Errorf("head %s does not include the change", r.Head)
		}
	}
	told := events(t, s, start)
	var data metadata.ZoneData
	if len(told) != 1 || told[0].Type != metadata.ZoneChanged || told[0].Region != "europe" || json.Unmarshal(told[0].Data, &data) != nil ||
		data.Node != "edge-1" || !slices.Equal(data.Targets, changed) {
		t.Errorf("the change gave the events %+v", told)
	}
	// As much as a push may tell of, in bytes that JSON makes most of, is one event
	// that can be followed; more is none.
	var most []metadata.ZoneTarget
	for i := range metadata.MaxZoneBytes / metadata.MaxZoneTargetBytes {
		target := fmt.Sprintf("/%0*d", metadata.MaxZoneTargetBytes/2-1, i) + strings.Repeat(`"`, metadata.MaxZoneTargetBytes/2)
		most = append(most, metadata.ZoneTarget{Bucket: "site", Target: target})
	}
	push(t, s, metadata.Push{Node: n, Number: 3, Changed: most})
	told = events(t, s, told[0].Seq)
	if len(told) != 1 || json.Unmarshal(told[0].Data, &data) != nil || !slices.Equal(data.Targets, most) {
		t.Errorf("the most that a push may tell of gave %d events", len(told))
	}
	for what, bad := range map[string][]metadata.ZoneTarget{
		"no bucket": {{Bucket: "No_Bucket", Target: "/"}},
		"a NUL":     {{Bucket: "site", Target: "/\x00"}},
		"too long":  {{Bucket: "site", Target: "/" + strings.Repeat("x", metadata.MaxZoneTargetBytes)}},
		"too much":  append(most, metadata.ZoneTarget{Bucket: "site", Target: "/"}),
		"too many":  make([]metadata.ZoneTarget, metadata.MaxZoneTargets+1),
	} {
		_, err := s.Push(ctx, metadata.Push{Node: n, Number: 4, Changed: bad})
		wantError(t, what, err, metadata.ErrInvalid)
	}
}
