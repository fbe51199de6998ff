package fetch

import (
	"fmt"
	"net/url"
	"testing"
)

func FuzzContentRange(f *testing.F) {
	for _, s := range []string{"bytes 0-9/10", "bytes 5-5/6", "bytes */10", "bytes 0-9/*", "bytes -1-2/3", "bytes 0-9/9", "bytes 00-1/2"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		first, last, size, ok := parseContentRange(s)
		if ok && (first < 0 || last < first || size <= last) {
			t.Fatalf("%q: %d-%d/%d", s, first, last, size)
		}
		if ok {
			again := fmt.Sprintf("bytes %d-%d/%d", first, last, size)
			if a, b, c, ok := parseContentRange(again); !ok || a != first || b != last || c != size {
				t.Fatalf("%q does not survive as %q", s, again)
			}
		}
	})
}

func FuzzEscapePath(f *testing.F) {
	f.Add("/b/ü %2F?#")
	f.Fuzz(func(t *testing.T, p string) {
		got, err := url.PathUnescape(escapePath(p))
		if err != nil || got != p {
			t.Fatalf("%q became %q: %v", p, got, err)
		}
	})
}
