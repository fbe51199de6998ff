package api

import (
	"net/http"
	"net/url"
	"testing"
	"time"

	"meridian/internal/signedurl"
	"meridian/metadata"
)

func TestPullZones(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.refused(w.do(http.StatusBadRequest, metadata.RoleAdmin, http.MethodPost, "/v1/buckets",
		`{"name":"site","pull":{"origins":["ftp://www.example.com","http://169.254.169.254/"],"query":"some"}}`),
		"pull.origins", "pull.origins", "pull.query")
	w.refused(w.do(http.StatusBadRequest, metadata.RoleAdmin, http.MethodPost, "/v1/buckets",
		`{"name":"site","pull":{"orgins":["http://www.example.com"]}}`), "pull.orgins")
	made := as[metadata.Bucket](t, w.do(http.StatusCreated, metadata.RoleAdmin, http.MethodPost, "/v1/buckets",
		`{"name":"site","pull":{"origins":["http://www.example.com"],"hosts":["cdn.example.com"]}}`))
	if made.Visibility != metadata.PublicRead || len(made.Pull.Hosts) != 1 {
		t.Errorf("made %+v", made)
	}
	w.refused(w.do(http.StatusBadRequest, metadata.RoleAdmin, http.MethodPost, "/v1/buckets",
		`{"name":"other","pull":{"origins":["http://b.example"],"hosts":["cdn.example.com"]}}`), "pull.hosts")
	// A zone is replaced as a whole, and may keep its own hosts.
	got := as[metadata.Bucket](t, w.do(http.StatusOK, metadata.RoleAdmin, http.MethodPatch, "/v1/buckets/site",
		`{"pull":{"origins":["https://b.example/base"],"hosts":["cdn.example.com"],"query":"listed","query_params":["v"]}}`)).Pull
	if len(got.Origins) != 1 || got.Origins[0] != "https://b.example/base" || got.QueryParams[0] != "v" {
		t.Errorf("patched %+v", got)
	}
	w.refused(w.do(http.StatusBadRequest, metadata.RoleAdmin, http.MethodPatch, "/v1/buckets/site", `{"pull":{"hosts":["a.example"]}}`), "pull.origins")
	if got := as[metadata.Bucket](t, w.do(http.StatusOK, metadata.RoleAdmin, http.MethodPatch, "/v1/buckets/site", `{"pull":null}`)); !got.Pull.IsZero() {
		t.Errorf("after null %+v", got.Pull)
	}
}

// What a private pull zone answers can be linked to, though the catalogue has no
// such object.
func TestLinksIntoPrivatePullZones(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.nodes(someNode("edge-europe", metadata.TierEdge, "europe"))
	w.do(http.StatusCreated, metadata.RoleAdmin, http.MethodPost, "/v1/buckets",
		`{"name":"site","visibility":"private","pull":{"origins":["http://www.example.com"]}}`)
	l := as[links](t, w.do(http.StatusOK, metadata.RoleReadOnly, http.MethodPost, "/v1/links", `{"bucket":"site","key":"a b/c"}`))
	u, err := url.Parse(l.Sources[0].URL)
	if err != nil || l.Expires == nil || u.Path != "/site/a b/c" || signedurl.New(clusterSecret).Verify(u.Path, u.Query(), time.Now()) != nil {
		t.Errorf("link %+v, %v", l, err)
	}
	w.refused(w.do(http.StatusBadRequest, metadata.RoleReadOnly, http.MethodPost, "/v1/links", `{"bucket":"site","key":"a","download":true}`), "download")
	w.refused(w.do(http.StatusBadRequest, metadata.RoleReadOnly, http.MethodPost, "/v1/links",
		`{"bucket":"site","key":"a","version_id":"01ARZ3NDEKTSV4RRFFQ69G5FAV"}`), "version_id")
}
