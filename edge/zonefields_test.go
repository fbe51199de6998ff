package edge_test

import (
	"net/http"
	"strings"
	"testing"

	"meridian/metadata"
)

// An origin is told of nothing that the cache does not tell apart.
func TestZoneIsNotMisledByFields(t *testing.T) {
	t.Parallel()
	s := newSite(t, func(w http.ResponseWriter, r *http.Request) {
		say("http://"+r.Header.Get("X-Forwarded-Host")+"/", "Cache-Control: max-age=60")(w, r)
	}, func(b *metadata.Bucket) { b.Pull.Hosts = []string{"a.example", "b.example"} })
	evil := []string{
		"X_Forwarded_Host", "X-Forwarded_Host", "X_forwarded_proto", "X-Forwarded-Ssl", "X-Forwarded-Path", "X-Forwarded-Protocol", "X-Forwarded",
		"Front-End-Https", "X-Url-Scheme", "X_original_url", "Accept_language", "Transfer_encoding",
	}
	var fields []string
	for _, name := range evil {
		fields = append(fields, name, "evil.example")
	}
	s.get("/site/fields", append(fields, "Api-Key", "1", "X-Forwarded-For", "192.0.2.1")...)
	got := s.requests()[0].Header
	for name, values := range got {
		if strings.Contains(strings.Join(values, ""), "evil") {
			t.Errorf("the origin got %s: %q", name, values)
		}
	}
	if got.Get("Api-Key") != "1" || got.Get("X-Forwarded-For") != "192.0.2.1, 127.0.0.1" {
		t.Errorf("the origin got %v", got)
	}
	under := func(host string) answer {
		return s.request(http.MethodGet, "/page", func(r *http.Request) { r.Host = host })
	}
	for range 2 {
		for _, host := range []string{"a.example", "b.example"} {
			wantBody(t, host, under(host), 200, "", []byte("http://"+host+"/"))
		}
		wantBody(t, "by path", s.get("/site/page"), 200, "", []byte("http:///"))
	}
	s.wantAsked(t, "once under each name", 4)
	if h := s.explainTarget("/page"); len(h.Variants) != 3 {
		t.Errorf("variants %+v", h.Variants)
	}
	s.request(http.MethodPost, "/site/page", nil)
	for _, host := range []string{"a.example", "b.example"} {
		wantBody(t, host+" after POST by path", under(host), 200, "miss", nil)
	}
}

// Without anything told of it, the name makes no difference.
func TestZoneHostsShareWhatTheOriginIsNotTold(t *testing.T) {
	t.Parallel()
	s := newSite(t, say("all", "Cache-Control: max-age=60"), func(b *metadata.Bucket) {
		b.Pull.Hosts = []string{"a.example", "b.example"}
		b.Pull.RequestHeaders.Remove = []string{"x-forwarded-host"}
	})
	wantBody(t, "by path", s.get("/site/page"), 200, "miss", nil)
	for _, host := range []string{"a.example", "b.example"} {
		wantBody(t, host, s.request(http.MethodGet, "/page", func(r *http.Request) { r.Host = host }), 200, "hit", nil)
	}
}

// Fields with underscores are passed on where the zone lists them.
func TestZoneListsFieldsWithUnderscores(t *testing.T) {
	t.Parallel()
	s := newSite(t, say("all"), func(b *metadata.Bucket) { b.Pull.ForwardHeaders = []string{"api_key"} })
	s.get("/site/", "Api_Key", "1", "Other_Key", "2")
	if h := s.requests()[0].Header; h.Get("Api_key") != "1" || h.Get("Other_key") != "" {
		t.Errorf("the origin got %v", h)
	}
}
