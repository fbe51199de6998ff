package purge_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"

	"meridian/edge/purge"
	"meridian/metadata"
)

type held struct {
	object     purge.Object
	surrogates []string
}

func selects(t purge.Target, h held) bool {
	for _, s := range t.SurrogateKeys {
		if slices.Contains(h.surrogates, s) {
			return true
		}
	}
	t.SurrogateKeys = nil
	return t.Matches(h.object)
}

// The index finds what going through all heads one by one would find.
func TestIndexAgainstModel(t *testing.T) {
	t.Parallel()
	for seed := range uint64(20) {
		rng := rand.New(rand.NewPCG(seed, 1))
		x := purge.NewIndex(1 << 20)
		model := map[string]held{}
		pick := func(s ...string) string { return s[rng.IntN(len(s))] }
		bucket := func() string { return pick("media", "assets", "a.b") }
		dir := func() string { return pick("", "x/", "x/y/", "x/yy/", "xx/", "/", "a//") }
		for range 2000 {
			if rng.IntN(10) > 0 {
				o := purge.Object{Bucket: bucket(), Key: dir() + pick("1", "2", "11", "y", "é")}
				n := o.Bucket + "/" + o.Key + pick("", "\x00v1", "\x00v2", fmt.Sprint("\x00", rng.IntN(30)))
				var s []string
				for _, k := range []string{"red", "blue", "green"} {
					if rng.IntN(3) == 0 {
						s = append(s, k)
					}
				}
				x.Add(o, n, s)
				model[n] = held{o, s}
				continue
			}
			var target purge.Target
			switch rng.IntN(6) {
			case 0:
				target.Objects = []purge.Object{{Bucket: bucket(), Key: dir() + "1"}, {Bucket: bucket(), Key: "x/y/y"}}
			case 1, 2:
				target.Prefixes = []purge.Object{{Bucket: bucket(), Key: pick("", "x", "x/", "x/y", "x/y/", "x/y/1", "/", "a/", "1")}}
			case 3:
				target.SurrogateKeys = []string{pick("red", "blue", "green", "none")}
			case 4:
				target.Bucket = bucket()
			case 5:
				target.Everything = rng.IntN(5) == 0
			}
			var want []string
			for n, h := range model {
				if selects(target, h) {
					want = append(want, n)
				}
			}
			take := rng.IntN(2) == 0
			var got []string
			if take {
				got = x.Take(target)
				for _, n := range want {
					delete(model, n)
				}
			} else {
				got = x.Select(target)
			}
			slices.Sort(want)
			slices.Sort(got)
			if !slices.Equal(got, want) {
				t.Fatalf("seed %d, %+v:\ngot  %q\nwant %q", seed, target, got, want)
			}
			if x.Len() != len(model) {
				t.Fatalf("holds %d heads, want %d", x.Len(), len(model))
			}
		}
	}
}

// What the index lets go it hands to the caller, oldest first.
func TestIndexLimit(t *testing.T) {
	t.Parallel()
	x := purge.NewIndex(100)
	for i := range 100 {
		if out := x.Add(purge.Object{Bucket: "media", Key: strconv.Itoa(i)}, strconv.Itoa(i), []string{"s"}); out != nil {
			t.Fatalf("let go %q below the limit", out)
		}
	}
	x.Add(purge.Object{Bucket: "media", Key: "0"}, "0", nil) // young again
	if out := x.Add(purge.Object{Bucket: "media", Key: "new"}, "new", nil); fmt.Sprint(out) != "[1]" {
		t.Errorf("let go %q", out)
	}
	if got := x.Select(purge.Target{SurrogateKeys: []string{"s"}}); len(got) != 98 || slices.Contains(got, "0") || slices.Contains(got, "1") {
		t.Errorf("%d heads with the surrogate key: %q", len(got), got)
	}
	if got := x.Take(purge.Target{Everything: true}); len(got) != 100 || x.Len() != 0 {
		t.Errorf("took %d, %d are left", len(got), x.Len())
	}
}

// Heads that take much of the index's memory, by surrogate keys or by long names, are
// fewer: a site that sends hundreds of keys with each page must not take the machine.
func TestIndexIsBoundedInMemory(t *testing.T) {
	t.Parallel()
	const limit = 1000
	for what, c := range map[string]struct{ keys, long int }{"surrogate keys": {1000, 0}, "long names": {0, 16 << 10}} {
		x := purge.NewIndex(limit)
		held := map[string]bool{}
		for i := range limit / 2 {
			keys := make([]string, c.keys)
			for k := range keys {
				keys[k] = fmt.Sprintf("page-%d-block-%d", i, k)
			}
			n := fmt.Sprint(i) + strings.Repeat("c", c.long)
			held[n] = true
			for _, out := range x.Add(purge.Object{Bucket: "site", Key: fmt.Sprint(i)}, n, keys) {
				delete(held, out)
			}
		}
		if x.Len() != len(held) || len(held) == 0 || len(held) > limit/10 {
			t.Errorf("%s: %d heads, and all but %d let go", what, x.Len(), len(held))
		}
		if n := len(x.Take(purge.Target{Everything: true})); n == 0 || x.Len() != 0 {
			t.Errorf("%s: took %d, %d are left", what, n, x.Len())
		}
	}
}

// One page may be held for any number of queries, and looking one up takes no longer.
func BenchmarkIndexOfQueries(b *testing.B) {
	for _, names := range []int{100, 100_000} {
		b.Run(fmt.Sprint(names), func(b *testing.B) {
			x, i := purge.NewIndex(names), 0
			add := func() {
				x.Add(purge.Object{Bucket: "site", Key: "page"}, "site/page\x00?q="+strconv.Itoa(i), nil)
				i++
			}
			for range names {
				add()
			}
			for b.Loop() {
				add()
			}
		})
	}
}

func TestTargetOf(t *testing.T) {
	t.Parallel()
	got := purge.TargetOf(metadata.Purge{
		URLs:     []string{"/media/a b", "https://edge.example/media/x%2Fy?versionId=1#f", "media/k", "/media", "/media/", "", "//", "http://[", "/media//k"},
		Prefixes: []string{"/media/dir/", "media", "http://edge/media/di", "/"},
		Soft:     true, SurrogateKeys: []string{"s"},
	})
	o := func(k string) purge.Object { return purge.Object{Bucket: "media", Key: k} }
	if want := []purge.Object{o("a b"), o("x/y"), o("k"), o(""), o("/k")}; !slices.Equal(got.Objects, want) {
		t.Errorf("objects %q, want %q", got.Objects, want)
	}
	if want := []purge.Object{o("dir/"), o(""), o("di")}; !slices.Equal(got.Prefixes, want) {
		t.Errorf("prefixes %q, want %q", got.Prefixes, want)
	}
	if !got.Soft || len(got.SurrogateKeys) != 1 {
		t.Errorf("%+v", got)
	}
}

func FuzzTargetOf(f *testing.F) {
	f.Add("/media/a%20b")
	f.Add("https://host/media/a?x#y")
	f.Fuzz(func(t *testing.T, raw string) {
		got := purge.TargetOf(metadata.Purge{URLs: []string{raw}, Prefixes: []string{raw}})
		for _, o := range append(got.Objects, got.Prefixes...) {
			if o.Bucket == "" || strings.Contains(o.Bucket, "/") {
				t.Fatalf("%q names %+v", raw, o)
			}
		}
	})
}
