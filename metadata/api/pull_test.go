package api

import (
	"net/http"
	"testing"

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
