package api

import (
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"meridian/metadata"
)

// clock is a clock that a test moves.
type clock struct {
	mu sync.Mutex
	t  time.Time
}

func newClock() *clock { return &clock{t: time.Now()} }

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

func (c *clock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
}

// signIn returns the cookie, and the header that set it.
func (w *world) signIn(role string, headers ...string) (cookie, header string) {
	w.Helper()
	k := w.keys[role]
	a := w.do(http.StatusOK, nobody, http.MethodPost, "/v1/session", `{"access_key":"`+k.ID+`","secret_key":"`+k.Secret+`"}`, headers...)
	header = a.header.Get("Set-Cookie")
	cookie, _, _ = strings.Cut(header, ";")
	return cookie, header
}

func TestSession(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	cookie, header := w.signIn(metadata.RoleReadWrite)
	for _, want := range []string{"HttpOnly", "SameSite=Strict", "Path=/"} {
		if !strings.Contains(header, want) {
			t.Errorf("cookie lacks %s: %s", want, header)
		}
	}
	who := as[sessionInfo](t, w.do(http.StatusOK, nobody, http.MethodGet, "/v1/session", "", "Cookie", cookie))
	if who.User != "readwrite-user" || who.Role != metadata.RoleReadWrite || who.Expires == nil {
		t.Errorf("signed in as %+v", who)
	}
	w.do(http.StatusForbidden, nobody, http.MethodGet, "/v1/keys", "", "Cookie", cookie)
	// Another process of the role takes the cookie as well.
	other := newWorld(t, func(o *Options) { o.Store = w.store })
	other.do(http.StatusOK, nobody, http.MethodGet, "/v1/session", "", "Cookie", cookie)

	a := w.do(http.StatusNoContent, nobody, http.MethodDelete, "/v1/session", "", "Cookie", cookie, "Sec-Fetch-Site", "same-origin")
	if !strings.Contains(a.header.Get("Set-Cookie"), "Max-Age=0") {
		t.Errorf("sign-out leaves the cookie: %s", a.header.Get("Set-Cookie"))
	}
	w.do(http.StatusUnauthorized, nobody, http.MethodGet, "/v1/session", "", "Cookie", cookie)
	w.do(http.StatusNoContent, nobody, http.MethodDelete, "/v1/session", "", "Cookie", cookie, "Sec-Fetch-Site", "same-origin")
	w.do(http.StatusNoContent, nobody, http.MethodDelete, "/v1/session", "")

	for _, body := range []string{
		`{"access_key":"KEY-OF-admin","secret_key":"wrong"}`, `{"access_key":"","secret_key":""}`, `{}`,
		`{"access_key":"meridian-node","secret_key":"` + clusterSecret + `"}`,
	} {
		w.do(http.StatusUnauthorized, nobody, http.MethodPost, "/v1/session", body)
	}
}

func TestSessionEndsWithItsKey(t *testing.T) {
	t.Parallel()
	clock := newClock()
	w := newWorld(t, func(o *Options) { o.Now = clock.now })
	cookie, _ := w.signIn(metadata.RoleAdmin)
	k := w.keys[metadata.RoleAdmin]
	k.Secret = "another secret"
	if err := w.store.PutKey(t.Context(), k); err != nil {
		t.Fatal(err)
	}
	w.do(http.StatusUnauthorized, nobody, http.MethodGet, "/v1/session", "", "Cookie", cookie)
	cookie, _ = w.signIn(metadata.RoleReadOnly)
	if err := w.store.DeleteKey(t.Context(), w.keys[metadata.RoleReadOnly].ID); err != nil {
		t.Fatal(err)
	}
	w.do(http.StatusUnauthorized, nobody, http.MethodGet, "/v1/session", "", "Cookie", cookie)
	cookie, _ = w.signIn(metadata.RoleReadWrite)
	clock.add(sessionTime - time.Second)
	w.do(http.StatusOK, nobody, http.MethodGet, "/v1/session", "", "Cookie", cookie)
	clock.add(time.Second)
	w.do(http.StatusUnauthorized, nobody, http.MethodGet, "/v1/session", "", "Cookie", cookie)
}

func TestForgedCookies(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	cookie, _ := w.signIn(metadata.RoleAdmin)
	name, value, _ := strings.Cut(cookie, "=")
	for i := 0; i < len(value); i += 7 {
		flipped := []byte(value)
		if flipped[i] ^= 1; flipped[i] == value[i] {
			t.Fatal("nothing flipped")
		}
		a := w.send(w.request(nobody, http.MethodGet, "/v1/session", "", "Cookie", name+"="+string(flipped)))
		if a.status != http.StatusUnauthorized {
			t.Errorf("a cookie changed at %d is taken: %d", i, a.status)
		}
	}
	foreign, err := newSessions("another cluster's secret", time.Now)
	if err != nil {
		t.Fatal(err)
	}
	forged, _, err := foreign.begin(w.keys[metadata.RoleAdmin])
	if err != nil {
		t.Fatal(err)
	}
	w.do(http.StatusUnauthorized, nobody, http.MethodGet, "/v1/session", "", "Cookie", name+"="+forged)
}

func TestRequestsFromOtherSites(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(o *Options) { o.PublicURL = "http://console.example.com" })
	cookie, _ := w.signIn(metadata.RoleReadWrite)
	host := strings.TrimPrefix(w.url, "http://")
	for _, c := range []struct {
		want    int
		headers []string
	}{
		{http.StatusForbidden, nil},
		{http.StatusForbidden, []string{"Sec-Fetch-Site", "cross-site"}},
		{http.StatusForbidden, []string{"Sec-Fetch-Site", "same-site"}},
		{http.StatusForbidden, []string{"Origin", "http://evil.example.com"}},
		{http.StatusForbidden, []string{"Origin", "null"}},
		{http.StatusAccepted, []string{"Sec-Fetch-Site", "same-origin"}},
		{http.StatusAccepted, []string{"Origin", "http://" + host}},
		{http.StatusAccepted, []string{"Origin", "http://console.example.com", "Sec-Fetch-Site", "cross-site"}},
	} {
		w.do(c.want, nobody, http.MethodPost, "/v1/purge", `{"everything":true}`, append([]string{"Cookie", cookie}, c.headers...)...)
	}
	// Who brings credentials of their own is no browser that was tricked.
	w.do(http.StatusAccepted, metadata.RoleReadWrite, http.MethodPost, "/v1/purge", `{"everything":true}`, "Origin", "http://evil.example.com")
	// Nor may another site sign its visitor in, or out.
	w.do(http.StatusForbidden, nobody, http.MethodPost, "/v1/session", `{}`, "Origin", "http://evil.example.com")
	w.do(http.StatusForbidden, nobody, http.MethodDelete, "/v1/session", "", "Cookie", cookie, "Sec-Fetch-Site", "cross-site")
	w.do(http.StatusOK, nobody, http.MethodGet, "/v1/session", "", "Cookie", cookie)
}

func TestCookieBehindTLS(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(o *Options) { o.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")} })
	cookie, header := w.signIn(metadata.RoleReadOnly, "X-Forwarded-Proto", "https")
	if !strings.HasPrefix(cookie, "__Host-") || !strings.Contains(header, "Secure") {
		t.Errorf("behind TLS the cookie is %s", header)
	}
	w.do(http.StatusOK, nobody, http.MethodGet, "/v1/session", "", "Cookie", cookie, "X-Forwarded-Proto", "https")
	untrusting := newWorld(t)
	if _, header := untrusting.signIn(metadata.RoleReadOnly, "X-Forwarded-Proto", "https"); strings.Contains(header, "Secure") {
		t.Errorf("anybody may say that there is TLS: %s", header)
	}
}
