package pull

import (
	"net/url"
	"testing"

	"meridian/metadata"
)

func newZone(t *testing.T, p metadata.Pull) *Zone {
	t.Helper()
	z, err := New(&metadata.Bucket{Name: "site", Pull: p})
	if err != nil {
		t.Fatal(err)
	}
	return z
}

func TestTarget(t *testing.T) {
	t.Parallel()
	plain := metadata.Pull{Origins: []string{"http://a.example"}}
	none, listed, below := plain, plain, plain
	none.Query = metadata.QueryNone
	listed.Query, listed.QueryParams = metadata.QueryListed, []string{"v", "a b"}
	below.Origins = []string{"http://a.example/base"}
	for name, c := range map[string]struct {
		pull        metadata.Pull
		path, query string
		want, key   string // want is empty where it is refused
	}{
		"as it came":          {plain, "/a%2fb//%7E", "b&a=%20", "/a%2fb//%7E?b&a=%20", "a/b//~"},
		"dots, at the root":   {plain, "/../a", "", "/../a", "../a"},
		"no query":            {none, "/a", "b=1", "/a", "a"},
		"listed":              {listed, "/a", "b=1&v=2&a+b=3&c&v=4", "/a?v=2&a+b=3&v=4", "a"},
		"below":               {below, "/a/b", "", "/a/b", "a/b"},
		"climbs":              {below, "/a/../../b", "", "", ""},
		"climbs in escapes":   {below, "/%2E%2e/b", "", "", ""},
		"climbs by backslash": {below, "/..%5cb", "", "", ""},
		"climbs by a name":    {below, "/a/..;x=1/..;/b", "", "", ""},
		"bad escape":          {plain, "/%zz", "", "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := newZone(t, c.pull).Target(c.path, c.query, nil)
			if err != nil && c.want != "" || err == nil && (got.Name() != c.want || got.Key != c.key) {
				t.Errorf("%q (key %q), %v", got.Name(), got.Key, err)
			}
		})
	}
}

func TestSameOrigin(t *testing.T) {
	t.Parallel()
	z := newZone(t, metadata.Pull{Origins: []string{"http://inner.example:8080"}, Rewrites: []metadata.PathRewrite{{From: "/old/", To: "/new/"}}})
	target, err := z.Target("/old/a", "", nil)
	if err != nil {
		t.Fatal(err)
	}
	for ref, want := range map[string]string{
		"b": "/old/b", "/new/c?d": "/old/c?d", "http://www.example.com/new/e": "/old/e", "http://inner.example:8080/f": "/f", "": "/old/a",
		"http://evil.example/new/e": "", "//evil.example/": "", "http://[": "",
	} {
		got, ok := z.SameOrigin(target, "www.example.com", ref)
		if ok != (want != "") || got.Name() != want {
			t.Errorf("%q: %q, want %q", ref, got.Name(), want)
		}
	}
}

func FuzzTarget(f *testing.F) {
	f.Add("/a/../b%2f..", "v=1&w")
	f.Fuzz(func(t *testing.T, path, query string) {
		z := newZone(t, metadata.Pull{Origins: []string{"http://a.example/base"}, Query: metadata.QueryListed, QueryParams: []string{"v"}})
		got, err := z.Target(path, query, nil)
		if err != nil {
			return
		}
		if key, err := url.PathUnescape(got.Path); err != nil || climbs(key) {
			t.Errorf("%q leads out by %q", path, key)
		}
		if again, err := z.Target(got.Path, got.Query, nil); err != nil || again.Name() != got.Name() {
			t.Errorf("%q becomes %q", got.Name(), again.Name())
		}
	})
}
