package signedurl_test

import (
	"errors"
	"net/url"
	"strings"
	"testing"
	"time"

	"meridian/internal/signedurl"
)

var (
	now    = time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	signer = signedurl.New("cluster secret")
)

func parse(t *testing.T, raw string) *url.URL {
	t.Helper()
	u, err := url.Parse(raw)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func TestPath(t *testing.T) {
	t.Parallel()
	u := signer.Sign(parse(t, "http://edge/media/a%20b/ü.jpg"), now.Add(time.Hour))
	got := parse(t, u.String())
	if err := signer.Verify(got.Path, got.Query(), now); err != nil {
		t.Fatalf("%s: %v", u, err)
	}
	for name, c := range map[string]struct {
		path   string
		change func(url.Values)
		at     time.Time
		want   error
	}{
		"expired":       {got.Path, nil, now.Add(time.Hour), signedurl.ErrExpired},
		"other key":     {"/media/other.jpg", nil, now, signedurl.ErrSignature},
		"below it":      {got.Path + "/x", nil, now, signedurl.ErrSignature},
		"longer life":   {got.Path, func(q url.Values) { q.Set("expires", "99999999999") }, now, signedurl.ErrSignature},
		"a version":     {got.Path, func(q url.Values) { q.Set("versionId", "01H") }, now, signedurl.ErrSignature},
		"as a prefix":   {got.Path, func(q url.Values) { q.Set("prefix", "/media/") }, now, signedurl.ErrSignature},
		"no signature":  {got.Path, func(q url.Values) { q.Set("sig", "") }, now, signedurl.ErrSignature},
		"no expiry":     {got.Path, func(q url.Values) { q.Del("expires") }, now, signedurl.ErrMalformed},
		"expiry twice":  {got.Path, func(q url.Values) { q.Add("expires", "99999999999") }, now, signedurl.ErrMalformed},
		"negative time": {got.Path, func(q url.Values) { q.Set("expires", "-1") }, now, signedurl.ErrMalformed},
	} {
		q := got.Query()
		if c.change != nil {
			c.change(q)
		}
		if err := signer.Verify(c.path, q, c.at); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
	if err := signedurl.New("other").Verify(got.Path, got.Query(), now); !errors.Is(err, signedurl.ErrSignature) {
		t.Errorf("another secret: %v", err)
	}
}

func TestVersion(t *testing.T) {
	t.Parallel()
	u := signer.Sign(parse(t, "http://edge/media/a?versionId=01H"), now.Add(time.Hour))
	if err := signer.Verify(u.Path, u.Query(), now); err != nil {
		t.Fatal(err)
	}
	q := u.Query()
	q.Del("versionId")
	if err := signer.Verify(u.Path, q, now); !errors.Is(err, signedurl.ErrSignature) {
		t.Errorf("the signature of a version opened the current one: %v", err)
	}
}

func TestPrefix(t *testing.T) {
	t.Parallel()
	u, err := signer.SignPrefix(parse(t, "http://edge/media/film/index.m3u8"), "/media/film/", now.Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]error{
		"/media/film/index.m3u8":    nil,
		"/media/film/hi/seg-1.m4s":  nil,
		"/media/film":               signedurl.ErrSignature,
		"/media/filmed/x":           signedurl.ErrSignature,
		"/media/film/../other/x":    signedurl.ErrSignature,
		"/other/media/film/seg.m4s": signedurl.ErrSignature,
	} {
		if err := signer.Verify(path, u.Query(), now); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", path, err, want)
		}
	}
	q := u.Query()
	q.Set("versionId", "01H")
	if err := signer.Verify("/media/film/index.m3u8", q, now); err == nil {
		t.Error("a prefix opened an old version")
	}
	for _, bad := range []string{"", "/", "//", "media/", "/media", "/media/film", "//x/", "/media/../x/"} {
		if _, err := signer.SignPrefix(parse(t, "http://edge/media/x"), bad, now); !errors.Is(err, signedurl.ErrMalformed) {
			t.Errorf("prefix %q: %v", bad, err)
		}
	}
}

func FuzzVerify(f *testing.F) {
	ok := signer.Sign(&url.URL{Path: "/media/a"}, now.Add(time.Hour))
	f.Add(ok.Path, ok.RawQuery)
	f.Add("/media/a", "expires=1&prefix=/media/&sig=x")
	f.Fuzz(func(t *testing.T, path, query string) {
		q, err := url.ParseQuery(query)
		if err != nil {
			return
		}
		if signer.Verify(path, q, now) == nil && (path != ok.Path || q.Get("sig") != ok.Query().Get("sig")) {
			t.Fatalf("forged: %q %q", path, strings.ToValidUTF8(query, "?"))
		}
	})
}

// What is to replace headers of the answer is covered by the exact form alone.
func TestOverrides(t *testing.T) {
	t.Parallel()
	s, now := signedurl.New("secret"), time.Unix(1_700_000_000, 0)
	u := &url.URL{Path: "/photos/a.jpg", RawQuery: "response-content-type=image%2Fjpeg"}
	signed := s.Sign(u, now.Add(time.Hour))
	if err := s.Verify(u.Path, signed.Query(), now); err != nil || !signedurl.Overriding(signed.Query()) {
		t.Errorf("as signed: %v", err)
	}
	for name, change := range map[string]func(url.Values){
		"another":   func(q url.Values) { q.Set("response-content-type", "text/html") },
		"one more":  func(q url.Values) { q.Set("response-content-encoding", "gzip") },
		"empty":     func(q url.Values) { q.Set("response-expires", "") },
		"one less":  func(q url.Values) { q.Del("response-content-type") },
		"as prefix": func(q url.Values) { q.Set("prefix", "/photos/") },
	} {
		q := signed.Query()
		change(q)
		if err := s.Verify(u.Path, q, now); !errors.Is(err, signedurl.ErrSignature) {
			t.Errorf("%s: %v", name, err)
		}
	}
	q := signed.Query()
	q.Add("response-content-type", "text/html")
	if err := s.Verify(u.Path, q, now); !errors.Is(err, signedurl.ErrMalformed) {
		t.Errorf("given twice: %v", err)
	}
	prefixed, err := s.SignPrefix(u, "/photos/", now.Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Verify(u.Path, prefixed.Query(), now); err != nil || signedurl.Overriding(prefixed.Query()) {
		t.Errorf("prefix form: %v, overriding %v", err, signedurl.Overriding(prefixed.Query()))
	}
}
