package edge_test

import (
	"bytes"
	"encoding/json"
	"net/http"
	"testing"
	"time"

	"meridian/internal/session"
	"meridian/internal/sigv4"
	"meridian/metadata"
)

// setKey changes an access key and waits until the nodes know.
func (w *world) setKey(id, policy string, revoked bool, nodes ...*node) {
	w.t.Helper()
	w.control.change(func() {
		w.control.policies = map[string]json.RawMessage{}
		if policy != "" {
			w.control.policies[id] = json.RawMessage(policy)
		}
		w.control.revoked = map[string]bool{id: revoked}
	})
	w.applied(w.control.emit(metadata.Event{Type: metadata.KeyChanged}), nodes...)
}

const (
	onlyMine = `{"Statement":[{"Effect":"Allow","Action":"s3:GetObject","Resource":"arn:aws:s3:::media/mine/*"}]}`
	nothing  = `{"Statement":[{"Effect":"Deny","Action":"*","Resource":"*"}]}`
)

// A key that has a policy reads what that allows, also of what nodes hold, and a
// change of it counts when its event is applied.
func TestKeysWithPolicies(t *testing.T) {
	t.Parallel()
	w := newWorld(t, metadata.Private)
	edge, regional := w.pair()
	w.origin.put("media/mine/k", []byte("mine"))
	w.origin.put("media/k", []byte("k"))
	for _, step := range []struct {
		id, secret, policy string
		mine, other        int
		purges             bool
	}{
		{adminKey, adminSecret, "", 200, 200, true},
		{adminKey, adminSecret, onlyMine, 200, 403, false},
		{adminKey, adminSecret, nothing, 403, 403, false},
		{adminKey, adminSecret, `{"Statement":7}`, 403, 403, false},
		{ownerKey, ownerSecret, onlyMine, 200, 403, false},
		{otherKey, otherSecret, onlyMine, 200, 403, false},
		{otherKey, otherSecret, "", 403, 403, false},
	} {
		w.setKey(step.id, step.policy, false, edge, regional)
		for _, n := range []*node{edge, regional} {
			for path, want := range map[string]int{"/media/mine/k": step.mine, "/media/k": step.other} {
				if a := n.request(http.MethodGet, path, signed(step.id, step.secret)); a.status != want {
					t.Errorf("%s with %s at %s: %d, want %d: %s", path, step.policy, n.id, a.status, want, a.body)
				}
			}
			if a := n.request("PURGE", "/media/mine/k", signed(step.id, step.secret)); (a.status != 403) != step.purges {
				t.Errorf("purge with %s at %s: %d %s", step.policy, n.id, a.status, a.body)
			}
		}
	}
	// Where everybody may read, a key that denies it to its holder still does.
	w.setKey(otherKey, nothing, false, edge)
	w.applied(w.control.putBucket(media(metadata.PublicRead)), edge)
	if a := edge.request(http.MethodGet, "/media/k", signed(otherKey, otherSecret)); a.status != 403 {
		t.Errorf("denied to the key, public: %d", a.status)
	}
	if a := edge.get("/media/k"); a.status != 200 {
		t.Errorf("nobody, public: %d", a.status)
	}
}

// Temporary credentials are verified here without asking anyone.
func TestSessions(t *testing.T) {
	t.Parallel()
	w := newWorld(t, metadata.Private)
	edge, regional := w.pair()
	w.origin.put("media/mine/k", []byte("mine"))
	w.origin.put("media/k", []byte("k"))
	now := time.Now()
	begin := func(parent, secret, policy string, made, expires time.Time) session.Credentials {
		c, err := session.New(parent, secret, "", policy, made, expires)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	signer := func(c session.Credentials) sigv4.Signer { return sigv4.Signer{AccessKey: c.ID, Secret: c.Secret} }
	header := func(c session.Credentials) func(*http.Request) {
		return func(r *http.Request) {
			r.Header.Set("X-Amz-Security-Token", c.Token)
			signer(c).Sign(r, sigv4.UnsignedPayload, now)
		}
	}
	presigned := func(c session.Credentials) func(*http.Request) {
		return func(r *http.Request) {
			q := r.URL.Query()
			q.Set("X-Amz-Security-Token", c.Token)
			r.URL.RawQuery = q.Encode()
			signer(c).Presign(r, time.Hour, now)
		}
	}
	full := begin(userKey, userSecret, "", now, now.Add(time.Hour))
	within := begin(userKey, userSecret, onlyMine, now, now.Add(time.Hour))
	old := begin(userKey, userSecret, "", now.Add(-35*time.Hour), now.Add(time.Hour))
	ended := begin(userKey, userSecret, "", now.Add(-time.Hour), now.Add(-time.Second))
	ancient := begin(userKey, userSecret, "", now.Add(-96*time.Hour), now.Add(time.Hour))
	forged := begin(userKey, "another secret", "", now, now.Add(time.Hour))
	stranger := begin("AKNONE", userSecret, "", now, now.Add(time.Hour))
	others := full
	others.Token = within.Token
	bare := full
	bare.Token = ""
	admin := begin(adminKey, adminSecret, onlyMine, now, now.Add(time.Hour))
	check := func(name string, c session.Credentials, path string, status int, code string) {
		t.Helper()
		for _, n := range []*node{edge, regional} {
			for how, change := range map[string]func(*http.Request){"header": header(c), "presigned": presigned(c)} {
				if c.Token == "" && how == "presigned" {
					continue
				}
				a := n.request(http.MethodGet, path, change)
				if a.status != status || code != "" && !bytes.Contains(a.body, []byte("<Code>"+code+"</Code>")) {
					t.Errorf("%s, %s, %s at %s: %d %s, want %d %s", name, how, path, n.id, a.status, a.body, status, code)
				}
			}
		}
	}
	check("unlimited", full, "/media/k", 200, "")
	check("made the day before", old, "/media/k", 200, "")
	check("within a policy", within, "/media/mine/k", 200, "")
	check("beyond the policy", within, "/media/k", 403, "AccessDenied")
	check("ended", ended, "/media/k", 400, "ExpiredToken")
	check("of a day too long ago", ancient, "/media/k", 400, "InvalidToken")
	check("forged", forged, "/media/k", 400, "InvalidToken")
	check("of a key that is none", stranger, "/media/k", 403, "InvalidAccessKeyId")
	check("with another's token", others, "/media/k", 400, "InvalidToken")
	check("without a token", bare, "/media/k", 403, "InvalidAccessKeyId")
	check("of an administrator, within a policy", admin, "/media/mine/k", 200, "")
	for name, c := range map[string]session.Credentials{"admin": admin, "reader": full} {
		if a := edge.request("PURGE", "/media/mine/k", header(c)); a.status != 403 {
			t.Errorf("purge by a session of the %s: %d %s", name, a.status, a.body)
		}
	}
	w.setKey(userKey, onlyMine, false, edge, regional)
	check("its key was limited", full, "/media/k", 403, "AccessDenied")
	check("its key was limited", full, "/media/mine/k", 200, "")
	w.setKey(userKey, "", true, edge, regional)
	check("its key was revoked", full, "/media/k", 403, "InvalidAccessKeyId")
}
