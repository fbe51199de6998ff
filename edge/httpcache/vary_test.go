package httpcache

import (
	"slices"
	"testing"
)

// RFC 9110, section 12.5.5.
func TestVary(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		lines []string
		names []string
		star  bool
	}{
		{nil, nil, false},
		{[]string{"Vary: foo, Bar", "Vary: FOO,,"}, []string{"Bar", "Foo"}, false},
		{[]string{"Vary: *"}, nil, true},
		{[]string{"Vary: , *"}, nil, true},
		{[]string{"Vary: Foo, *"}, []string{"Foo"}, true},
		{[]string{"Vary:  ", "Vary: *"}, nil, true},
	} {
		if names, star := Vary(header(c.lines...)); !slices.Equal(names, c.names) || star != c.star {
			t.Errorf("%q: %q, %v", c.lines, names, star)
		}
	}
}

// RFC 9111, section 4.1.
func TestVariant(t *testing.T) {
	t.Parallel()
	names := []string{"Accept-Language", "Foo"}
	for _, c := range []struct {
		a, b []string
		same bool
	}{
		{nil, nil, true},
		{[]string{"Foo: 1"}, []string{"Foo: 2"}, false},
		{[]string{"Foo: 1"}, nil, false},
		{[]string{"Foo: "}, nil, false},
		{[]string{"Foo: 1, 2"}, []string{"Foo: 1", "Foo:  2"}, true},
		{[]string{"Foo: 1,2"}, []string{"Foo: 2,1"}, false},
		{[]string{`Foo: "a, b"`}, []string{`Foo: "a,b"`}, false},
		{[]string{"Foo: 1", "Other: 2"}, []string{"Foo: 1", "Other: 3"}, true},
		{[]string{"Accept-Language: en, de"}, []string{"Accept-Language:  De ,eN"}, true},
		{[]string{"Accept-Language: en, de;q=0.5"}, []string{"Accept-Language: de;q=0.50, en;q=1"}, true},
		{[]string{"Accept-Language: en, de;q=0.5"}, []string{"Accept-Language: en;q=0.5, de"}, false},
		{[]string{"Accept-Language: en;q=x"}, []string{"Accept-Language: en"}, false},
		// What one field is must not pass for two.
		{[]string{"Accept-Language: a", "Foo: b"}, []string{"Accept-Language: a\nFoo=b"}, false},
	} {
		if got := Variant(names, header(c.a...)) == Variant(names, header(c.b...)); got != c.same {
			t.Errorf("%q and %q are the same: %v", c.a, c.b, got)
		}
	}
	for field, want := range map[string]string{
		"fr;q=0.5, de;q=1.0": "de", "de": "de", "de, en": "", "*": "", "": "", "de;q=0": "", "*;q=0.1, EN-gb": "en-gb",
	} {
		if got := PreferredLanguage(header("Accept-Language: " + field)); got != want {
			t.Errorf("%q prefers %q, want %q", field, got, want)
		}
	}
}

func FuzzVariant(f *testing.F) {
	f.Add("en, de;q=0.5", "a, \"b, c\"")
	f.Fuzz(func(t *testing.T, language, foo string) {
		h := header()
		h["Accept-Language"], h["Foo"] = []string{language}, []string{foo}
		once := Variant([]string{"Accept-Language", "Foo"}, h)
		h["Foo"] = []string{tidyList([]string{foo})}
		if again := Variant([]string{"Accept-Language", "Foo"}, h); again != once {
			t.Errorf("%q becomes %q", once, again)
		}
	})
}

// RFC 9110, section 8.8.
func TestStrongValidator(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		lines []string
		want  string
	}{
		{[]string{`Etag: "a"`, "Last-Modified: <-100>", "Date: <0>"}, `"a"`},
		{[]string{`Etag: W/"a"`, "Last-Modified: <-100>", "Date: <0>"}, ""},
		{[]string{"Etag: a"}, ""},
		{[]string{"Last-Modified: <-100>", "Date: <0>"}, header("A: <-100>").Get("A")},
		{[]string{"Last-Modified: <-10>", "Date: <0>"}, ""},
		{[]string{"Last-Modified: <-100>"}, ""},
	} {
		if got := StrongValidator(header(c.lines...)); got != c.want {
			t.Errorf("%q: %q, want %q", c.lines, got, c.want)
		}
	}
}
