package metadata

import (
	"errors"
	"net/url"
	"strings"
	"testing"
)

func TestPurgePath(t *testing.T) {
	t.Parallel()
	for raw, want := range map[string]string{
		"/photos/a.jpg":                  "photos",
		"/photos/":                       "photos", // the front page of a pull zone
		"/photos/a b/é?x=1":              "photos",
		"https://edge.example.com/p/a":   "edge.example.com",
		"http://[::1]:9021/p/a":          "::1",
		"HTTPS://edge.example.com/p":     "edge.example.com",
		"/photos":                        "", // names no key
		"/":                              "",
		"":                               "",
		"photos/a.jpg":                   "",
		"//photos/a.jpg":                 "",
		"https://edge.example.com":       "",
		"https:///photos/a.jpg":          "",
		"https:photos/a.jpg":             "",
		"ftp://edge.example.com/p/a":     "",
		"/photos/%00":                    "photos",
		"/photos/%ff":                    "photos", // as a pull zone may have it
		"/%ff/a":                         "",
		"/%00/a":                         "",
		"/photos/\xff":                   "",
		"/photos/a\nb":                   "",
		"/p/" + strings.Repeat("x", 9e3): "",
	} {
		bucket, ok := purgePath(raw)
		if !ok {
			bucket = ""
		}
		if bucket != want {
			t.Errorf("purgePath(%.40q) = %q, want %q", raw, bucket, want)
		}
	}
}

func FuzzPurgePath(f *testing.F) {
	f.Add("/photos/a.jpg")
	f.Add("https://edge.example.com/photos/%20")
	f.Fuzz(func(t *testing.T, raw string) {
		bucket, ok := purgePath(raw)
		if bucket == "" || !ok {
			return
		}
		u, err := url.Parse(raw)
		if err != nil || !strings.HasPrefix(u.Path, "/") {
			t.Errorf("purgePath accepts %q, which has no path: %v", raw, err)
		}
		if err := (Purge{URLs: []string{raw}}).Check(); err != nil {
			t.Errorf("Check refuses %q: %v", raw, err)
		}
	})
}

func TestMediaCheckAcceptsWhatItAllows(t *testing.T) {
	t.Parallel()
	m := Media{Kind: KindVideo, State: MediaFailed, Key: "a", Title: strings.Repeat("x", MaxTitle), Tags: []string{"t"}}
	if err := m.Check(); err != nil {
		t.Error(err)
	}
	m.Duration = -1
	if err := m.Check(); !errors.Is(err, ErrInvalid) {
		t.Errorf("a negative duration: %v, want ErrInvalid", err)
	}
}
