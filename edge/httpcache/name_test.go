package httpcache

import (
	"errors"
	"net/url"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestParsePath(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("a", MaxKeyLength)
	for _, c := range []struct{ path, bucket, key string }{
		{"/b/k", "b", "k"},
		{"/b/a/b/c.jpg", "b", "a/b/c.jpg"},
		{"/b//k", "b", "/k"},
		{"/b/a//k/", "b", "a//k/"},
		{"/b/./../k", "b", "./../k"},
		{"/b/..", "b", ".."},
		{"/b/%2e%2E/k", "b", "../k"},
		{"/b/a%2Fb", "b", "a/b"},
		{"/b/a%20b+c", "b", "a b+c"},
		{"/b/%C3%A4", "b", "ä"},
		{"/b/ä", "b", "ä"},
		{"/b/%25", "b", "%"},
		{"/b/%2500", "b", "%00"},
		{"/b/%01", "b", "\x01"},
		{"/%62/k", "b", "k"},
		{"/b/" + long, "b", long},
	} {
		bucket, key, err := ParsePath(c.path)
		if err != nil || bucket != c.bucket || key != c.key {
			t.Errorf("%.50q is %q, %q, %v, want %q, %q", c.path, bucket, key, err, c.bucket, c.key)
		}
	}
	for _, path := range []string{
		"", "b/k", "/", "/b", "/b/", "//k", "/b/%", "/b/%2", "/b/%2g", "/b/%g2", "/b/%00", "/b/a\x00", "/b%00/k",
		"/b/%ff", "/b/\xff", "/b/%C3", "/b/%ED%A0%80", "/b%2Fc/k", "/%2F/k", "/b/" + long + "a",
	} {
		if bucket, key, err := ParsePath(path); !errors.Is(err, ErrPath) {
			t.Errorf("%.50q is %q, %q, %v", path, bucket, key, err)
		}
	}
}

func TestHeadKey(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name Name
		want string
	}{
		{Name{Bucket: "b", Key: "a/k"}, "b/a/k"},
		{Name{Bucket: "b", Key: "k", VersionID: "v"}, "b/k\x00v"},
		{Name{Bucket: "b", Key: "k", Variant: "gzip"}, "b/k\x00\x00gzip"},
		{Name{Bucket: "b", Key: "k", VersionID: "v", Variant: "gzip"}, "b/k\x00v\x00gzip"},
	} {
		if got := c.name.HeadKey(); got != c.want {
			t.Errorf("%+v is %q, want %q", c.name, got, c.want)
		}
	}
	// What runs together in one is parted differently in the other.
	for _, pair := range [][2]Name{
		{{Bucket: "a/b", Key: "c"}, {Bucket: "a", Key: "b/c"}},
		{{Bucket: "a", Key: "b", VersionID: "c"}, {Bucket: "a", Key: "b\x00c"}},
		{{Bucket: "a", Key: "b", VersionID: "c\x00d"}, {Bucket: "a", Key: "b", VersionID: "c", Variant: "d"}},
		{{Bucket: "a", Key: "b\x00"}, {Bucket: "a", Key: "b\x010"}},
		{{Bucket: "a\x012", Key: "b"}, {Bucket: "a/", Key: "b"}},
	} {
		if a, b := pair[0].HeadKey(), pair[1].HeadKey(); a == b {
			t.Errorf("%+v and %+v are both %q", pair[0], pair[1], a)
		}
	}
	if got, want := SliceKey("b", "k", "v", 7), "b/k\x00v\x007"; got != want {
		t.Errorf("slice key %q, want %q", got, want)
	}
}

func FuzzParsePath(f *testing.F) {
	for _, s := range []string{"/b/k", "/b//../k", "/b/%2F%00", "/b/%", "/b/%C3%A4"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, path string) {
		bucket, key, err := ParsePath(path)
		if err != nil {
			return
		}
		if strings.ContainsAny(bucket, "/\x00") || strings.Contains(key, "\x00") || bucket == "" || key == "" || !utf8.ValidString(bucket+key) {
			t.Fatalf("%q is %q, %q", path, bucket, key)
		}
		// Escaped as net/url does it, it is the same object.
		b, k, err := ParsePath("/" + url.PathEscape(bucket) + "/" + url.PathEscape(key))
		if err != nil || b != bucket || k != key {
			t.Fatalf("%q, %q came back as %q, %q, %v", bucket, key, b, k, err)
		}
	})
}

func FuzzHeadKey(f *testing.F) {
	f.Add("b", "k", "v", "x")
	f.Add("a/b", "k\x00", "\x01", "\x010")
	f.Add("", "", "", "")
	f.Fuzz(func(t *testing.T, bucket, key, version, variant string) {
		n := Name{bucket, key, version, variant}
		// A key that can be read back is no other name's key.
		if back, ok := ParseHeadKey(n.HeadKey()); !ok || back != n {
			t.Fatalf("%+v is %q, which is %+v, %v", n, n.HeadKey(), back, ok)
		}
		if m, ok := ParseHeadKey(key); ok && m.HeadKey() != key {
			t.Fatalf("%q reads as %+v", key, m)
		}
	})
}

func FuzzSliceKey(f *testing.F) {
	f.Add("bucket", "a/b", "01JC0000000000000000000000", int64(3))
	f.Add("a/b", "\x00", "\x01", int64(-1))
	f.Add("bucket", "k\x00v\x001", "", int64(0))
	f.Fuzz(func(t *testing.T, bucket, key, version string, index int64) {
		s := SliceKey(bucket, key, version, index)
		b, k, v, i, ok := ParseSliceKey(s)
		if !ok || b != bucket || k != key || v != version || i != index {
			t.Fatalf("%q came back as %q, %q, %q, %d, %v", s, b, k, v, i, ok)
		}
	})
}
