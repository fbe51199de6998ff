package httpcache

import (
	"slices"
	"testing"
	"time"
)

func TestParseCacheControl(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		lines []string
		name  string
		want  time.Duration
		has   bool
	}{
		{[]string{"max-age=60"}, "max-age", time.Minute, true},
		{[]string{"Max-Age=60"}, "max-age", time.Minute, true},
		{[]string{`max-age="60"`}, "max-age", time.Minute, true},
		{[]string{"public, max-age=60 , immutable"}, "max-age", time.Minute, true},
		{[]string{"public", "max-age=60"}, "max-age", time.Minute, true},
		{[]string{"max-age=60, max-age=5"}, "max-age", time.Minute, true},
		{[]string{`private="a, max-age=5", max-age=60`}, "max-age", time.Minute, true},
		{[]string{`x="a\", max-age=5", max-age=60`}, "max-age", time.Minute, true},
		{[]string{`x="never ends, max-age=5`, "max-age=60"}, "max-age", time.Minute, true},
		{[]string{"max-age=99999999999999999999999"}, "max-age", MaxDelta, true},
		{[]string{"max-age=2147483648"}, "max-age", MaxDelta, true},
		{[]string{"max-age=007"}, "max-age", 7 * time.Second, true},
		{[]string{"max-age=-1"}, "max-age", 0, true},
		{[]string{"max-age=1.5"}, "max-age", 0, true},
		{[]string{"max-age=1e3"}, "max-age", 0, true},
		{[]string{"max-age"}, "max-age", 0, true},
		{[]string{"max-age="}, "max-age", 0, true},
		{[]string{"a max-age=5"}, "max-age", 0, false},
		{[]string{",,, ,"}, "max-age", 0, false},
		{nil, "max-age", 0, false},
	} {
		got, has := ParseCacheControl(c.lines).Seconds(c.name)
		if got != c.want || has != c.has {
			t.Errorf("%q: %s is %v, %v, want %v, %v", c.lines, c.name, got, has, c.want, c.has)
		}
	}
}

func TestQualifiedDirectives(t *testing.T) {
	t.Parallel()
	ds := ParseCacheControl([]string{`private="set-cookie, X-User", no-cache`})
	if got, want := ds.Fields("private"), []string{"Set-Cookie", "X-User"}; !slices.Equal(got, want) {
		t.Errorf("fields of private are %q, want %q", got, want)
	}
	if ds.Unqualified("private") || !ds.Unqualified("no-cache") {
		t.Error("private names fields, no-cache none")
	}
	if ds := ParseCacheControl([]string{`private=""`}); !ds.Unqualified("private") {
		t.Error("a private that names nothing speaks of everything")
	}
	if ds := ParseCacheControl([]string{`private="a", private`}); !ds.Unqualified("private") {
		t.Error("the stricter of two counts")
	}
}

func TestParseTargeted(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		line string
		want Directives
		ok   bool
	}{
		{"max-age=60", Directives{{"max-age", "60", true}}, true},
		{"max-age=60;a=b, no-store", Directives{{"max-age", "60", true}, {"no-store", "", false}}, true},
		{"max-age=5, max-age=60", Directives{{"max-age", "60", true}}, true}, // a dictionary: the last
		{`max-age="60"`, Directives{}, true},
		{"max-age=60.5", Directives{}, true},
		{"max-age=-1", Directives{}, true},
		{"max-age", Directives{}, true},
		{"no-store=?0", Directives{}, true},
		{"private=?1", Directives{{"private", "", false}}, true},
		{"Max-Age=60", nil, false},
		{"max-age=60,", nil, false},
		{"max-age =60", nil, false},
		{"max-age=", nil, false},
		{"max-age=60, &", nil, false},
		{"", nil, false},
	} {
		got, ok := parseTargeted([]string{c.line})
		if ok != c.ok || !slices.Equal(got, c.want) {
			t.Errorf("%q is %v, %v, want %v, %v", c.line, got, ok, c.want, c.ok)
		}
	}
}

func TestParseSurrogate(t *testing.T) {
	t.Parallel()
	ds, ok := parseSurrogate([]string{`content="ESI/1.0", max-age=600+30, no-store;other`})
	age, _ := ds.Seconds("max-age")
	stale, _ := ds.Seconds("stale-while-revalidate")
	if !ok || age != 10*time.Minute || stale != 30*time.Second || ds.Has("no-store") {
		t.Errorf("%v, %v", ds, ok)
	}
}

func FuzzParseCacheControl(f *testing.F) {
	for _, s := range []string{"max-age=60", `private="a,b", no-cache`, `x="\`, `"`, "=", "a=b=c", "max-age=9999999999999"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		for _, d := range ParseCacheControl([]string{s}) {
			if !isToken(d.Name) {
				t.Errorf("directive %q of %q", d.Name, s)
			}
			if sec, ok := ParseCacheControl([]string{s}).Seconds(d.Name); !ok || sec < 0 || sec > MaxDelta {
				t.Errorf("%q: %v", s, sec)
			}
		}
	})
}

func FuzzParseTargeted(f *testing.F) {
	for _, s := range []string{"max-age=60", "a=(1 2);x, b=:YQ==:", `a="x\"y"`, "a=@5", "a=1.25", "*=?1;a;b=2"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		ds, ok := parseTargeted([]string{s})
		if !ok && len(ds) > 0 {
			t.Errorf("%q is malformed, yet says %v", s, ds)
		}
		for _, name := range []string{"max-age", "s-maxage"} {
			if d, ok := ds.Get(name); ok {
				if _, ok := ParseDelta(d.Value); !ok {
					t.Errorf("%q: %v", s, d)
				}
			}
		}
		parseSurrogate([]string{s})
	})
}
