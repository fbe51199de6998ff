package httpcache

import (
	"slices"
	"testing"
	"time"
)

func TestStatus(t *testing.T) {
	t.Parallel()
	ttl := func(s Status, d time.Duration) Status { s.SetTTL(d); return s }
	for _, c := range []struct {
		status Status
		want   string
	}{
		{ttl(Status{Cache: "meridian-edge-europe", Hit: true}, 86392*time.Second), "meridian-edge-europe; hit; ttl=86392"},
		{ttl(Status{Cache: "a", Hit: true}, -1500*time.Millisecond), "a; hit; ttl=-2"},
		{ttl(Status{Cache: "a", Hit: true}, 1500*time.Millisecond), "a; hit; ttl=1"},
		{Status{Cache: "a", Forward: ForwardURIMiss, Stored: true}, "a; fwd=uri-miss; stored"},
		{Status{Cache: "a", Forward: ForwardStale, ForwardStatus: 304, Collapsed: true}, "a; fwd=stale; fwd-status=304; collapsed"},
		{Status{Cache: "a b", Key: `x"y`, Detail: "slice missing"}, `"a b"; key="x\"y"; detail="slice missing"`},
		{Status{Cache: "a", Key: "ä", Detail: "ok"}, `a; key="%C3%A4"; detail=ok`},
		{Status{Cache: "1a"}, `"1a"`},
		{Status{}, `""`},
	} {
		if got := c.status.String(); got != c.want {
			t.Errorf("got %s, want %s", got, c.want)
		}
		if c.status.Key == "ä" {
			continue // cannot be told as it is
		}
		if back, err := ParseStatus([]string{c.want}); err != nil || len(back) != 1 || back[0] != c.status {
			t.Errorf("%s reads as %+v, %v", c.want, back, err)
		}
	}
}

func TestAppendStatus(t *testing.T) {
	t.Parallel()
	own := Status{Cache: "edge", Hit: true}
	for _, c := range []struct {
		upstream []string
		want     string
	}{
		{nil, "edge; hit"},
		{[]string{"regional; fwd=miss"}, "regional; fwd=miss, edge; hit"},
		{[]string{"a; hit", "b;hit,"}, "a; hit, b;hit, edge; hit"},
		{[]string{" "}, "edge; hit"},
	} {
		if got := AppendStatus(c.upstream, own); got != c.want {
			t.Errorf("%q: got %s, want %s", c.upstream, got, c.want)
		}
	}
}

func TestParseStatus(t *testing.T) {
	t.Parallel()
	got, err := ParseStatus([]string{`OriginCache; hit; ttl=1100, "CDN Here"; fwd=stale; fwd-status=304; ttl=-3; x=1`, "edge;hit=?0;stored;ttl=a;fwd-status=70000;detail=:YQ==:, 5;hit"})
	want := []Status{
		{Cache: "OriginCache", Hit: true, TTL: 1100, HasTTL: true},
		{Cache: "CDN Here", Forward: ForwardStale, ForwardStatus: 304, TTL: -3, HasTTL: true},
		{Cache: "edge", Stored: true},
	}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("got  %+v, %v\nwant %+v", got, err, want)
	}
	for _, bad := range []string{"a,", "a b", "a;", "a; =1", `"a`, "a;ttl=", "(a", "a;ttl=1.2345", "é", "a;ttl=9999999999999999"} {
		if got, err := ParseStatus([]string{bad}); err == nil {
			t.Errorf("%q reads as %+v", bad, got)
		}
	}
	if got, err := ParseStatus(nil); err != nil || len(got) != 0 {
		t.Errorf("nothing reads as %v, %v", got, err)
	}
}

func FuzzParseStatus(f *testing.F) {
	for _, s := range []string{"a; hit; ttl=5", `"a b"; fwd=uri-miss; stored, c; hit`, "(a b);x, c", "a;key=\"\\\"\"", "a;ttl=-5;detail=:YQ==:"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		members, err := ParseStatus([]string{s})
		if err != nil {
			return
		}
		for _, m := range members {
			back, err := ParseStatus([]string{m.String()})
			if err != nil || len(back) != 1 || back[0] != m {
				t.Fatalf("%+v is told as %s and read as %+v, %v", m, m, back, err)
			}
		}
		if all, err := ParseStatus([]string{AppendStatus([]string{s}, Status{Cache: "own", Hit: true})}); err != nil || len(all) != len(members)+1 {
			t.Fatalf("%q with one more reads as %v, %v", s, all, err)
		}
	})
}
