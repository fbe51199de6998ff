package api

import (
	"net/http"
	"strings"
	"testing"

	"meridian/metadata"
)

// An app in a page of another origin uses the API with an access key, and reads
// its answers and errors; the visitor's session is no business of it.
func TestAppsOfOtherOrigins(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const app = "https://app.example.com"
	a := w.send(w.request(nobody, http.MethodOptions, "/v1/media/1", "",
		"Origin", app, "Access-Control-Request-Method", "PATCH", "Access-Control-Request-Headers", "authorization,content-type"))
	if a.status != http.StatusNoContent || a.header.Get("Access-Control-Allow-Origin") != "*" ||
		!strings.Contains(a.header.Get("Access-Control-Allow-Methods"), "PATCH") ||
		a.header.Get("Access-Control-Allow-Headers") != "authorization,content-type" {
		t.Errorf("preflight: %d %v", a.status, a.header)
	}
	for _, a := range []answer{
		a,
		w.do(http.StatusOK, metadata.RoleReadOnly, http.MethodGet, "/v1/buckets", "", "Origin", app),
		w.do(http.StatusUnauthorized, nobody, http.MethodGet, "/v1/buckets", "", "Origin", app),
		w.do(http.StatusNotFound, metadata.RoleReadOnly, http.MethodGet, "/v1/nothing", "", "Origin", app),
	} {
		if a.header.Get("Access-Control-Allow-Origin") != "*" || !strings.Contains(a.header.Get("Access-Control-Expose-Headers"), "ETag") {
			t.Errorf("answer %d cannot be read: %v", a.status, a.header)
		}
		if a.header.Get("Access-Control-Allow-Credentials") != "" {
			t.Error("credentials are let in")
		}
	}
	a = w.send(w.request(nobody, http.MethodOptions, "/v1/session", "", "Origin", app, "Access-Control-Request-Method", "POST"))
	if a.status < 400 || a.header.Get("Access-Control-Allow-Origin") != "" {
		t.Errorf("the session is open to other origins: %d %v", a.status, a.header)
	}
	a = w.do(http.StatusOK, metadata.RoleReadOnly, http.MethodGet, "/v1/buckets", "")
	if a.header.Get("Access-Control-Allow-Origin") != "" {
		t.Error("an answer to nobody's page speaks of origins")
	}
}
