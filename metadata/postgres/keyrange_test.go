package postgres

import (
	"strings"
	"testing"

	"meridian/metadata"
)

func FuzzAfterAll(f *testing.F) {
	for _, s := range []string{"", "a", "a/", "\ud7ff", "\U0010FFFF", "a\U0010FFFF\U0010FFFF", "é"} {
		for _, k := range []string{"", "b", "\U0010FFFF", "\ue000", "a"} {
			f.Add(s, k)
		}
	}
	f.Fuzz(func(t *testing.T, s, other string) {
		if !isText(s) || !isText(other) || len(s)+len(other) > metadata.MaxKeyLength {
			t.Skip()
		}
		end := afterAll(s)
		if !isText(end) {
			t.Fatalf("afterAll(%q) = %q, which Postgres cannot keep", s, end)
		}
		if s+other >= end {
			t.Errorf("%q begins with %q and does not lie before %q", s+other, s, end)
		}
		if other > s && !strings.HasPrefix(other, s) && other < end && !strings.HasSuffix(end, beyondKeys) {
			t.Errorf("%q lies between %q and %q and does not begin with it", other, s, end)
		}
	})
}
