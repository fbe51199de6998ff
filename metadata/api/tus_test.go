package api

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"meridian/internal/hop"
	"meridian/internal/sigv4"
	"meridian/metadata"
	"meridian/upload/relay"
)

// newTusWorld is an API that hands tus requests on to an origin, which answers
// who it was told is calling.
func newTusWorld(t *testing.T) *world {
	t.Helper()
	origin := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		v := sigv4.Verifier{Regions: []string{sigv4.DefaultRegion}, Service: sigv4.DefaultService, Now: time.Now, Keys: nodeKeys}
		if _, err := v.Verify(r); err != nil {
			t.Errorf("the hop is not signed: %v", err)
		}
		who, ok := relay.CallerOf(r)
		if !ok || r.Header.Get("Cookie") != "" {
			t.Errorf("the hop carries %v", r.Header)
		}
		relay.Headers(w.Header())
		w.Header().Set("X-Test-Caller", who.User)
		if who.Admin {
			w.Header().Set("X-Test-Admin", "yes")
		}
		body, _ := io.ReadAll(r.Body)
		w.Header().Set("X-Test-Body", string(body))
		w.WriteHeader(http.StatusCreated)
	}))
	t.Cleanup(origin.Close)
	return newWorld(t, func(o *Options) {
		o.Tus = relay.New(relay.Options{
			Catalog: o.Store.(relay.Catalog), Region: "europe", Secret: clusterSecret, Transport: http.DefaultTransport, Log: slog.New(slog.DiscardHandler),
			Nodes: o.Store.ListNodes,
		})
		n := someNode("origin-europe", metadata.TierOrigin, "europe")
		n.URL = origin.URL
		if _, err := o.Store.Push(t.Context(), metadata.Push{Node: n, Number: 1}); err != nil {
			t.Fatal(err)
		}
	})
}

func TestWhoMayUploadByTus(t *testing.T) {
	t.Parallel()
	w := newTusWorld(t)
	const path = "/v1/tus/"
	spoof := []string{hop.RequestUser, "root", hop.RequestRole, metadata.RoleAdmin, "Tus-Resumable", "1.0.0"}
	a := w.do(http.StatusCreated, metadata.RoleReadWrite, http.MethodPost, path, "bytes", append(spoof, "Content-Type", "application/offset+octet-stream")...)
	if a.header.Get("X-Test-Caller") != "readwrite-user" || a.header.Get("X-Test-Admin") != "" || a.header.Get("X-Test-Body") != "bytes" {
		t.Errorf("handed on as %v", a.header)
	}
	for name, values := range a.header {
		if len(values) > 1 {
			t.Errorf("%s is there twice: %q", name, values)
		}
	}
	a = w.do(http.StatusCreated, metadata.RoleAdmin, http.MethodPost, strings.TrimSuffix(path, "/"), "", spoof...)
	if a.header.Get("X-Test-Caller") != "admin-user" || a.header.Get("X-Test-Admin") != "yes" {
		t.Errorf("handed on as %v", a.header)
	}
	for caller, want := range map[string]int{nobody: http.StatusUnauthorized, metadata.RoleReadOnly: http.StatusForbidden, aNode: http.StatusForbidden} {
		a := w.do(want, caller, http.MethodPost, path, "")
		if a.header.Get("Access-Control-Allow-Origin") != "*" {
			t.Errorf("a script cannot read why %s is refused: %v", caller, a.header)
		}
	}
	w.do(http.StatusNotFound, metadata.RoleReadWrite, http.MethodHead, path+"01M8A9ZPT87NWG09PBMVWAN38C", "")

	// A browser that has signed in, on our own pages only.
	cookie, _ := w.signIn(metadata.RoleReadWrite)
	a = w.do(http.StatusCreated, nobody, http.MethodPost, path, "", "Cookie", cookie, "Sec-Fetch-Site", "same-origin")
	if a.header.Get("X-Test-Caller") != "readwrite-user" {
		t.Errorf("handed on as %v", a.header)
	}
	w.do(http.StatusForbidden, nobody, http.MethodPost, path, "", "Cookie", cookie, "Sec-Fetch-Site", "cross-site", "Origin", "https://evil.example")

	// A signature over a body cannot be kept for a body that may break off.
	k := w.keys[metadata.RoleReadWrite]
	for hash, want := range map[string]int{sigv4.UnsignedPayload: http.StatusCreated, sigv4.EmptyPayload: http.StatusBadRequest} {
		req := w.request(nobody, http.MethodPost, path, "bytes")
		sigv4.Signer{AccessKey: k.ID, Secret: k.Secret}.Sign(req, hash, time.Now())
		if a := w.send(req); a.status != want {
			t.Errorf("signed with %s: %d %s, want %d", hash, a.status, a.body, want)
		}
	}
}

func TestTusPreflightsNeedNoCredentials(t *testing.T) {
	t.Parallel()
	w := newTusWorld(t)
	for _, path := range []string{"/v1/tus", "/v1/tus/", "/v1/tus/x"} {
		a := w.do(http.StatusNoContent, nobody, http.MethodOptions, path, "", "Origin", "https://app.example",
			"Access-Control-Request-Method", "PATCH", "Access-Control-Request-Headers", "tus-resumable,upload-offset")
		if a.header.Get("Access-Control-Allow-Origin") != "*" || !strings.Contains(a.header.Get("Access-Control-Allow-Methods"), "PATCH") ||
			a.header.Get("Access-Control-Allow-Headers") != "tus-resumable,upload-offset" {
			t.Errorf("%s: %v", path, a.header)
		}
		// One that is no preflight asks what the server can do.
		if a := w.do(http.StatusNoContent, nobody, http.MethodOptions, path, ""); a.header.Get("Tus-Version") != "1.0.0" {
			t.Errorf("%s: %v", path, a.header)
		}
	}
}

func nodeKeys(_ context.Context, s sigv4.Scope) ([]byte, error) {
	if s.AccessKey != hop.NodeAccessKey {
		return nil, sigv4.ErrUnknownAccessKey
	}
	return sigv4.DeriveKey(clusterSecret, s.Date, s.Region, s.Service), nil
}
