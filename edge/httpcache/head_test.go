package httpcache

import (
	"bytes"
	"errors"
	"net/http"
	"reflect"
	"slices"
	"testing"
	"time"
)

func sampleHead() *Head {
	return &Head{
		Status: 200, Size: 5, Body: []byte("hello"), Inline: true, VersionID: "01JC0000000000000000000000", Vary: []string{"Accept"},
		Fields: StoredFields(header(
			"Content-Type: image/jpeg", `ETag: "0123456789abcdef0123456789abcdef"`, "Last-Modified: <-1000>", "Cache-Control: max-age=60",
			"X-Amz-Meta-A: 1", "Surrogate-Key: cats  kittens", "Cache-Tag: c, d e", "Cache-Status: regional; hit", "Cache-Status: other; hit")),
		Received: time.Unix(1_800_000_000, 123), Age: 3 * time.Second,
		Freshness: Freshness{Lifetime: time.Minute, StaleWhileRevalidate: time.Second, StaleIfError: time.Hour, MustRevalidate: true, Storable: true},
		Run:       -1 << 62,
		Suspect:   true,
		Ahead:     true,
	}
}

func encode(t testing.TB, h *Head) []byte {
	t.Helper()
	b, err := h.AppendBinary(nil)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestHeadComesBack(t *testing.T) {
	t.Parallel()
	for name, h := range map[string]*Head{
		"full":     sampleHead(),
		"large":    {Status: 200, Size: 10 << 30, VersionID: "v", Fields: Fields{}, Received: now.Local(), Freshness: Freshness{NoCache: true}},
		"empty":    {Status: 200, Inline: true, Body: []byte{}, Fields: Fields{}, Received: now.Local()},
		"negative": {Status: 404, Code: "NoSuchKey", Fields: Fields{}, Received: now.Local()},
	} {
		b := encode(t, h)
		got, err := ParseHead(b)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if !got.Received.Equal(h.Received) {
			t.Errorf("%s: received %v, want %v", name, got.Received, h.Received)
		}
		got.Received = h.Received
		if !reflect.DeepEqual(got, h) {
			t.Errorf("%s:\ngot  %+v\nwant %+v", name, got, h)
		}
		// Any piece missing is noticed, and nothing is read beyond the end.
		for n := range b {
			if short, err := ParseHead(b[:n:n]); err == nil {
				t.Errorf("%s: %d of %d bytes read as %+v", name, n, len(b), short)
			}
		}
		if _, err := ParseHead(append(b[:len(b):len(b)], 0)); err == nil {
			t.Errorf("%s: a byte too many is not noticed", name)
		}
		b[0]++
		if _, err := ParseHead(b); !errors.Is(err, ErrHead) {
			t.Errorf("%s: another format: %v", name, err)
		}
	}
}

func TestHeadRefusesABodyOfAnotherSize(t *testing.T) {
	t.Parallel()
	for _, h := range []*Head{
		{Status: 200, Size: 5, Inline: true, Body: []byte("four")},
		{Status: 200, Size: 4, Body: []byte("four")},
		{Status: 200, Size: 4, Inline: true},
	} {
		if _, err := h.AppendBinary(nil); !errors.Is(err, ErrHead) {
			t.Errorf("%+v: %v", h, err)
		}
	}
}

func TestHeadTells(t *testing.T) {
	t.Parallel()
	h := sampleHead()
	if got, want := h.SurrogateKeys(), []string{"c", "d e", "cats", "kittens"}; !slices.Equal(got, want) {
		t.Errorf("surrogate keys %q, want %q", got, want)
	}
	v := h.Validators()
	if v.ETag != `"0123456789abcdef0123456789abcdef"` || !v.LastModified.Equal(now.Add(-1000*time.Second)) {
		t.Errorf("%+v", v)
	}
}

func TestStoredFields(t *testing.T) {
	t.Parallel()
	got := StoredFields(header(
		"Content-Type: a/b", "Connection: close, X-Hop", "X-Hop: 1", "Keep-Alive: 5", "Transfer-Encoding: chunked", "Trailer: X",
		"Upgrade: h2c", "Te: trailers", "Proxy-Authenticate: x", `Alt-Svc: h3=":443"`, "Age: 5", "Content-Length: 3", "Server: s",
		`Cache-Control: max-age=5, no-cache="X-User", private="set-cookie"`, "X-User: u", "Set-Cookie: a=b", "Via: a", "Via: b",
	), "Server")
	want := Fields{
		{"Cache-Control", `max-age=5, no-cache="X-User", private="set-cookie"`}, {"Content-Type", "a/b"}, {"Via", "a"}, {"Via", "b"},
	}
	if !slices.Equal(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
	if got.Get("Via") != "a" || got.Get("Server") != "" || !slices.Equal(got.Values("Via"), []string{"a", "b"}) {
		t.Errorf("values of %v", got)
	}
	h := http.Header{"Via": {"old"}, "Date": {"today"}}
	got.CopyTo(h)
	wantHeader := http.Header{"Via": {"a", "b"}, "Date": {"today"}, "Content-Type": {"a/b"}, "Cache-Control": {want[0].Value}}
	if !reflect.DeepEqual(h, wantHeader) {
		t.Errorf("got %v, want %v", h, wantHeader)
	}
	// One field grown in place must not run into the next.
	h["Cache-Control"] = append(h["Cache-Control"], "more")
	if h.Get("Content-Type") != "a/b" {
		t.Error("fields share memory")
	}
}

func TestUpdate(t *testing.T) {
	t.Parallel()
	stored := Fields{{"Content-Type", "image/png"}, {"Etag", `"a"`}, {"Via", "a"}, {"Via", "b"}, {"X-Kept", "1"}}
	got := stored.Update(Fields{{"Cache-Control", "max-age=9"}, {"Content-Type", "text/html"}, {"Via", "c"}})
	want := Fields{{"Cache-Control", "max-age=9"}, {"Content-Type", "image/png"}, {"Etag", `"a"`}, {"Via", "c"}, {"X-Kept", "1"}}
	if !slices.Equal(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
}

func FuzzParseHead(f *testing.F) {
	f.Add(encode(f, sampleHead()))
	f.Add(encode(f, &Head{Status: 404, Code: "NoSuchKey"}))
	f.Add([]byte{headFormat, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		before := bytes.Clone(b)
		h, err := ParseHead(b)
		if !bytes.Equal(b, before) {
			t.Fatal("the bytes were changed")
		}
		if err != nil {
			return
		}
		again, err := h.AppendBinary(nil)
		if err != nil {
			t.Fatalf("%+v: %v", h, err)
		}
		back, err := ParseHead(again)
		if err != nil || !reflect.DeepEqual(back, h) {
			t.Fatalf("%+v comes back as %+v, %v", h, back, err)
		}
	})
}

func BenchmarkParseHead(b *testing.B) {
	enc := encode(b, sampleHead())
	b.ReportAllocs()
	for b.Loop() {
		if _, err := ParseHead(enc); err != nil {
			b.Fatal(err)
		}
	}
}
