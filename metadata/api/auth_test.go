package api

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"strings"
	"testing"
	"time"

	"meridian/internal/hop"
	"meridian/internal/sigv4"
	"meridian/metadata"
)

// rules are who may do what, said once more than in the table of routes: a
// route that has no rule here fails the test.
func rules() map[string]string {
	const read, write, administer = "readonly readwrite admin", "readwrite admin", "admin"
	const everybody = "anonymous readonly readwrite admin node"
	return map[string]string{
		"GET /v1/media": read, "POST /v1/media": write, "GET /v1/media/:id": read, "PATCH /v1/media/:id": write,
		"DELETE /v1/media/:id": write, "GET /v1/media/:id/playback": read,
		"GET /v1/buckets": read, "POST /v1/buckets": administer, "GET /v1/buckets/:name": read,
		"PATCH /v1/buckets/:name": administer, "DELETE /v1/buckets/:name": administer,
		"GET /v1/buckets/:name/objects": read, "GET /v1/buckets/:name/object": read, "DELETE /v1/buckets/:name/object": write,
		"GET /v1/webhooks": administer, "POST /v1/webhooks": administer, "GET /v1/webhooks/:id": administer, "PATCH /v1/webhooks/:id": administer,
		"DELETE /v1/webhooks/:id": administer, "POST /v1/webhooks/:id/test": administer, "GET /v1/webhooks/:id/deliveries": administer,
		"POST /v1/webhooks/:id/redeliver":      administer,
		"GET /v1/buckets/:name/lifecycle/runs": read, "POST /v1/buckets/:name/lifecycle/runs": administer,
		"POST /v1/links":   read,
		"POST /v1/uploads": write, "GET /v1/uploads/:id": write, "POST /v1/uploads/:id/complete": write, "DELETE /v1/uploads/:id": write,
		"GET /v1/keys": administer, "POST /v1/keys": administer, "GET /v1/keys/:id": administer, "PATCH /v1/keys/:id": administer, "DELETE /v1/keys/:id": administer,
		"GET /v1/regions": read, "GET /v1/regions/:name": read, "GET /v1/nodes": read,
		"POST /v1/purge": write + " node", "GET /v1/purge/:id": read, "POST /v1/warm": write, "GET /v1/warm/:id": read, "GET /v1/cache/report": read, "GET /v1/cache/series": read, "GET /v1/cache/explain": read,
		"GET /v1/feed": read + " node", "POST /v1/nodes/push": "node", "GET /v1/nodes/snapshot": "node",
		"POST /v1/session": everybody, "GET /v1/session": read, "DELETE /v1/session": everybody,
		"GET /healthz": everybody, "GET /readyz": everybody, "GET /metrics": everybody, "GET /openapi.json": everybody, "GET /": everybody,
	}
}

// Every route, asked by everybody. Those who may are answered something about
// what they asked; nothing they ask for exists.
func TestWhoMayDoWhat(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	rules := rules()
	for _, r := range w.api.routes() {
		name := r.method + " " + r.path
		rule, ok := rules[name]
		if !ok {
			t.Errorf("%s has no rule", name)
			continue
		}
		delete(rules, name)
		path := strings.NewReplacer(":id", "none", ":name", "none").Replace(r.path)
		if r.stream {
			path += "?after=nonsense" // refused after the caller was judged
		}
		methods := []string{r.method}
		if r.method == http.MethodGet {
			methods = append(methods, http.MethodHead)
		}
		for _, caller := range []string{nobody, metadata.RoleReadOnly, metadata.RoleReadWrite, metadata.RoleAdmin, aNode} {
			for _, method := range methods {
				a := w.send(w.request(caller, method, path, ""))
				want := "something else than 401 and 403"
				good := a.status != http.StatusUnauthorized && a.status != http.StatusForbidden
				switch {
				case strings.Contains(" "+rule+" ", " "+caller+" "):
				case caller == nobody:
					want, good = "401 with a challenge", a.status == http.StatusUnauthorized && len(a.header.Values("WWW-Authenticate")) == 2
				default:
					want, good = "403", a.status == http.StatusForbidden
				}
				if !good {
					t.Errorf("%s %s by %s = %d %s, want %s", method, path, caller, a.status, a.body, want)
				}
				if a.status >= 500 {
					t.Errorf("%s %s by %s = %d %s", method, path, caller, a.status, a.body)
				}
			}
		}
	}
	for name := range rules {
		t.Errorf("there is a rule for %s, but no route", name)
	}
}

func TestCredentialsThatDoNotHold(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	past := time.Now().Add(-time.Minute)
	expired := metadata.AccessKey{ID: "EXPIRED", Secret: "secret secret", User: "u", Role: metadata.RoleAdmin, Expires: &past}
	if err := w.store.PutKey(t.Context(), expired); err != nil {
		t.Fatal(err)
	}
	admin := w.keys[metadata.RoleAdmin]
	for name, header := range map[string]string{
		"wrong secret":     "Bearer " + admin.ID + ":wrong",
		"empty secret":     "Bearer " + admin.ID + ":",
		"no colon":         "Bearer " + admin.ID,
		"unknown key":      "Bearer nobody:" + admin.Secret,
		"expired key":      "Bearer " + expired.ID + ":" + expired.Secret,
		"the node's":       "Bearer " + hop.NodeAccessKey + ":" + clusterSecret,
		"longer secret":    "Bearer " + admin.ID + ":" + admin.Secret + "x",
		"Basic":            "Basic a2V5OnNlY3JldA==",
		"malformed SigV4":  "AWS4-HMAC-SHA256 nonsense",
		"SigV2":            "AWS " + admin.ID + ":c2lnbmF0dXJl",
		"nothing":          "Bearer",
		"only a separator": "Bearer :",
	} {
		w.do(http.StatusUnauthorized, nobody, http.MethodGet, "/v1/keys", "", "Authorization", header)
		if t.Failed() {
			t.Fatalf("with %s", name)
		}
	}
	// Case of the scheme does not matter, and secrets may hold colons.
	w.do(http.StatusOK, nobody, http.MethodGet, "/v1/keys", "", "Authorization", "bearer "+admin.ID+":"+admin.Secret)
	// A revoked key ends at once.
	w.do(http.StatusNoContent, metadata.RoleAdmin, http.MethodDelete, "/v1/keys/"+w.keys[metadata.RoleReadOnly].ID, "")
	w.do(http.StatusUnauthorized, metadata.RoleReadOnly, http.MethodGet, "/v1/media", "")
}

func TestSignedRequests(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.bucket("photos", metadata.Private)
	k := w.keys[metadata.RoleReadWrite]
	sign := func(s sigv4.Signer, body, sent string, now time.Time) answer {
		s.AccessKey, s.Secret = k.ID, k.Secret
		req := w.request(nobody, http.MethodPost, "/v1/media", sent)
		sum := sha256.Sum256([]byte(body))
		s.Sign(req, hex.EncodeToString(sum[:]), now)
		return w.send(req)
	}
	const body = `{"bucket":"photos","key":"a.jpg","title":"one"}`
	if a := sign(sigv4.Signer{}, body, body, time.Now()); a.status != http.StatusCreated {
		t.Errorf("signed for us-east-1: %d %s", a.status, a.body)
	}
	for _, s := range []sigv4.Signer{{Region: "asia"}, {Region: "europe", Service: "meridian"}} {
		if a := sign(s, body, body, time.Now()); a.status != http.StatusOK {
			t.Errorf("signed for %s, %s: %d %s", s.Region, s.Service, a.status, a.body)
		}
	}
	if a := sign(sigv4.Signer{Service: "ec2"}, body, body, time.Now()); a.status != http.StatusUnauthorized {
		t.Errorf("signed for another service: %d %s", a.status, a.body)
	}
	if a := sign(sigv4.Signer{}, body, strings.Replace(body, "one", "two", 1), time.Now()); a.status != http.StatusBadRequest {
		t.Errorf("another body than was signed: %d %s", a.status, a.body)
	}
	a := sign(sigv4.Signer{}, body, body, time.Now().Add(-time.Hour))
	if a.status != http.StatusUnauthorized || !strings.Contains(w.problem(a).Detail, "time") {
		t.Errorf("signed an hour ago: %d %s", a.status, a.body)
	}
	if m := as[mediaPage](t, w.do(http.StatusOK, metadata.RoleReadOnly, http.MethodGet, "/v1/media", "")).Media; len(m) != 1 || m[0].Title != "one" {
		t.Errorf("records after all: %+v", m)
	}

	// A presigned URL reads, and no more.
	s := sigv4.Signer{AccessKey: k.ID, Secret: k.Secret}
	get := w.request(nobody, http.MethodGet, "/v1/media?kind=photo", "")
	s.Presign(get, time.Minute, time.Now())
	if a := w.send(get); a.status != http.StatusOK {
		t.Errorf("presigned GET: %d %s", a.status, a.body)
	}
	del := w.request(nobody, http.MethodDelete, "/v1/media/x", "")
	s.Presign(del, time.Minute, time.Now())
	if a := w.send(del); a.status != http.StatusUnauthorized {
		t.Errorf("presigned DELETE: %d %s", a.status, a.body)
	}
}

func TestGuessingIsSlowedDown(t *testing.T) {
	t.Parallel()
	clock := newClock()
	w := newWorld(t, func(o *Options) { o.Now = clock.now })
	admin := w.keys[metadata.RoleAdmin]
	for range attemptBurst {
		w.do(http.StatusUnauthorized, nobody, http.MethodGet, "/v1/keys", "", "Authorization", "Bearer "+admin.ID+":wrong")
	}
	// Now also the right secret has to wait, by whichever way it comes.
	a := w.do(http.StatusTooManyRequests, metadata.RoleAdmin, http.MethodGet, "/v1/keys", "")
	if a.header.Get("Retry-After") == "" {
		t.Error("429 does not say how long")
	}
	w.do(http.StatusTooManyRequests, nobody, http.MethodPost, "/v1/session", `{"access_key":"`+admin.ID+`","secret_key":"`+admin.Secret+`"}`)
	// Other keys do not.
	w.do(http.StatusOK, metadata.RoleReadOnly, http.MethodGet, "/v1/media", "")
	w.do(http.StatusOK, aNode, http.MethodGet, "/v1/nodes/snapshot", "")
	clock.add(attemptEvery)
	w.do(http.StatusOK, metadata.RoleAdmin, http.MethodGet, "/v1/keys", "")
}

func TestAttemptsAreForgottenAndBounded(t *testing.T) {
	t.Parallel()
	clock := newClock()
	a := newAttempts(clock.now)
	for range attemptBurst {
		a.failed("k", "2001:db8::1")
	}
	if a.allow("k", "2001:db8::ffff") == nil {
		t.Error("another address of the same network gets a burst of its own")
	}
	if err := a.allow("k", "2001:db8:0:1::1"); err != nil {
		t.Errorf("another network is held up: %v", err)
	}
	if err := a.allow("other", "2001:db8::1"); err != nil {
		t.Errorf("another key is held up: %v", err)
	}
	clock.add(attemptBurst * attemptEvery)
	a.prune()
	if len(a.spent) != 0 {
		t.Errorf("%d pairs are remembered after all was forgiven", len(a.spent))
	}
	for i := range maxAttempts + 100 {
		a.failed("k", string(rune('0'+i%10))+"x"+strings.Repeat("y", i%3))
		a.failed("key"+hex.EncodeToString([]byte{byte(i >> 16), byte(i >> 8), byte(i)}), "10.0.0.1")
	}
	if len(a.spent) > maxAttempts {
		t.Errorf("%d pairs are remembered", len(a.spent))
	}
}

// Whatever is done, no secret is told twice, nor logged.
func TestSecretsStaySecret(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	made := as[metadata.AccessKey](t, w.do(http.StatusCreated, metadata.RoleAdmin, http.MethodPost, "/v1/keys", `{"role":"readonly"}`))
	secrets := []string{clusterSecret, made.Secret}
	for _, k := range w.keys {
		secrets = append(secrets, k.Secret)
	}
	w.nodes(someNode("edge-1", metadata.TierEdge, "europe"))
	for _, r := range w.api.routes() {
		if r.stream {
			continue
		}
		path := strings.NewReplacer(":id", made.ID, ":name", "none").Replace(r.path)
		for _, caller := range []string{nobody, metadata.RoleReadOnly, metadata.RoleAdmin, aNode} {
			for _, body := range []string{"", `{"secret_key":"` + made.Secret + `","access_key":7}`} {
				if r.method == http.MethodDelete {
					continue
				}
				a := w.send(w.request(caller, r.method, path, body))
				for _, s := range secrets {
					if strings.Contains(string(a.body), s) {
						t.Errorf("%s %s by %s tells a secret: %s", r.method, path, caller, a.body)
					}
				}
			}
		}
	}
	login := w.do(http.StatusOK, nobody, http.MethodPost, "/v1/session", `{"access_key":"`+made.ID+`","secret_key":"`+made.Secret+`"}`)
	cookie := strings.SplitN(login.header.Get("Set-Cookie"), ";", 2)[0]
	secrets = append(secrets, strings.SplitN(cookie, "=", 2)[1])
	w.do(http.StatusOK, nobody, http.MethodGet, "/v1/session", "", "Cookie", cookie)
	w.do(http.StatusUnauthorized, nobody, http.MethodGet, "/v1/media", "", "Authorization", "Bearer nobody:"+made.Secret)
	w.do(http.StatusUnauthorized, nobody, http.MethodGet, "/v1/media", "", "Authorization", "Basic "+made.Secret)
	w.do(http.StatusBadRequest, metadata.RoleAdmin, http.MethodGet, "/v1/media?secret="+made.Secret[:20], "")
	secrets = append(secrets, made.Secret[:20])
	log := w.log.String()
	if !strings.Contains(log, "path=/v1/session") {
		t.Fatalf("the log is not that of these requests: %.500s", log)
	}
	for _, s := range secrets {
		if strings.Contains(log, s) {
			t.Errorf("the log tells %q", s)
		}
	}
}
