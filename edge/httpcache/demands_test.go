package httpcache

import (
	"testing"
	"time"
)

// RFC 9111, section 5.2.1, and 5.4 for Pragma.
func TestDemands(t *testing.T) {
	t.Parallel()
	fresh := Head{Status: 200, Received: now.Add(-10 * sec), Freshness: Freshness{Lifetime: 60 * sec, Storable: true}}
	stale := Head{Status: 200, Received: now.Add(-70 * sec), Freshness: Freshness{Lifetime: 60 * sec, Storable: true}}
	strict := stale
	strict.MustRevalidate = true
	for name, c := range map[string]struct {
		request string
		head    Head
		trusted bool
		want    Decision
	}{
		"nothing asked":              {"X: y", fresh, true, Serve},
		"stale":                      {"X: y", stale, true, Revalidate},
		"no-cache":                   {"Cache-Control: no-cache", fresh, true, Revalidate},
		"pragma":                     {"Pragma: no-cache", fresh, true, Revalidate},
		"young enough":               {"Cache-Control: max-age=10", fresh, true, Serve},
		"too old":                    {"Cache-Control: max-age=9", fresh, true, RevalidateOrServe},
		"max-age unreadable":         {"Cache-Control: max-age=soon", fresh, true, RevalidateOrServe},
		"fresh for long enough":      {"Cache-Control: min-fresh=50", fresh, true, Serve},
		"not for long enough":        {"Cache-Control: min-fresh=51", fresh, true, RevalidateOrServe},
		"stale allowed":              {"Cache-Control: max-stale=10", stale, true, Serve},
		"too stale":                  {"Cache-Control: max-stale=9", stale, true, Revalidate},
		"however stale":              {"Cache-Control: max-stale", stale, true, Serve},
		"however stale, not trusted": {"Cache-Control: max-stale", stale, false, Revalidate},
		"must-revalidate wins":       {"Cache-Control: max-stale", strict, true, Revalidate},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := ParseDemands(header(c.request)).Decide(&c.head, now, c.trusted); got != c.want {
				t.Errorf("%s, want %s", got, c.want)
			}
		})
	}
	d := ParseDemands(header("Cache-Control: no-store, only-if-cached", "Pragma: no-cache"))
	if !d.NoStore || !d.OnlyIfCached || d.NoCache || d.MaxAge < time.Hour {
		t.Errorf("%+v: Pragma counts only where there is no Cache-Control", d)
	}
}
