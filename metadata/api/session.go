package api

import (
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"sync"
	"time"

	"meridian/internal/seal"
	"meridian/metadata"
)

const (
	sessionTime = 12 * time.Hour
	// Over TLS the name keeps neighbouring hosts from setting the cookie.
	sessionCookie       = "meridian_session"
	sessionCookieSecure = "__Host-meridian_session"
	sessionContext      = "session"
	maxEnded            = 100_000
)

// sessions makes and reads the tokens of session cookies. A token is sealed
// under a key that every process of the role derives from the cluster secret,
// so that any of them takes it, also after a restart. It holds no secret key,
// only a print of it: a token dies with its access key, or when that gets
// another secret.
type sessions struct {
	sealer *seal.Sealer
	now    func() time.Time

	mu sync.Mutex
	// ended are the IDs of tokens whose owner has signed out here, until they
	// would have expired. Elsewhere such a token, if somebody kept it, is good
	// to its end.
	ended map[string]time.Time
}

// token is what a cookie seals.
type token struct {
	ID        string    `json:"i"`
	AccessKey string    `json:"k"`
	Print     []byte    `json:"p"`
	Expires   time.Time `json:"e"`
}

func newSessions(clusterSecret string, now func() time.Time) (*sessions, error) {
	key, err := hkdf.Key(sha256.New, []byte(clusterSecret), nil, "meridian session 1", seal.KeySize)
	if err != nil {
		return nil, fmt.Errorf("derive session key: %w", err)
	}
	sealer, err := seal.New([seal.KeySize]byte(key))
	if err != nil {
		return nil, err
	}
	return &sessions{sealer: sealer, now: now, ended: map[string]time.Time{}}, nil
}

func fingerprint(id, secret string) []byte {
	m := hmac.New(sha256.New, []byte(secret))
	m.Write([]byte("meridian session of " + id))
	return m.Sum(nil)[:16]
}

// begin makes a token for the owner of k.
func (s *sessions) begin(k metadata.AccessKey) (string, time.Time, error) {
	t := token{ID: rand.Text(), AccessKey: k.ID, Print: fingerprint(k.ID, k.Secret), Expires: s.now().Add(sessionTime).UTC()}
	if k.Expires != nil && k.Expires.Before(t.Expires) {
		t.Expires = *k.Expires
	}
	text, err := json.Marshal(t)
	if err != nil {
		return "", time.Time{}, err
	}
	return base64.RawURLEncoding.EncodeToString(s.sealer.Seal(text, sessionContext)), t.Expires, nil
}

// read opens a token that is still good; the access key is the caller's to
// check.
func (s *sessions) read(text string) (token, bool) {
	// Strict: one token has one spelling, so that none but ours is read.
	sealed, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil {
		return token{}, false
	}
	plain, err := s.sealer.Open(sealed, sessionContext)
	var t token
	if err != nil || json.Unmarshal(plain, &t) != nil || !s.now().Before(t.Expires) {
		return token{}, false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	_, ended := s.ended[t.ID]
	return t, !ended
}

func (s *sessions) end(t token) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.ended) < maxEnded {
		s.ended[t.ID] = t.Expires
	}
}

func (s *sessions) prune() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, expires := range s.ended {
		if !s.now().Before(expires) {
			delete(s.ended, id)
		}
	}
}

// overTLS says whether the browser speaks TLS, to us or to a proxy before us.
func (c *call) overTLS() bool {
	if c.secure || c.r.TLS != nil {
		return true
	}
	if c.r.Header.Get("X-Forwarded-Proto") != "https" {
		return false
	}
	peer, err := netip.ParseAddrPort(c.r.RemoteAddr)
	return err == nil && slices.ContainsFunc(c.opts.TrustedProxies, func(p netip.Prefix) bool {
		return p.Contains(peer.Addr().Unmap())
	})
}

func (c *call) cookieName() string {
	if c.overTLS() {
		return sessionCookieSecure
	}
	return sessionCookie
}

func (c *call) setCookie(value string, expires time.Time) {
	cookie := &http.Cookie{
		Name: c.cookieName(), Value: value, Path: "/", Expires: expires,
		HttpOnly: true, SameSite: http.SameSiteStrictMode, Secure: c.overTLS(),
	}
	if value == "" {
		cookie.MaxAge = -1
	}
	http.SetCookie(c.gin.Writer, cookie)
}

// identifySession takes the session cookie. A request that changes something
// must come from a page of ours, which the browser tells.
func (c *call) identifySession() error {
	cookie, err := c.r.Cookie(c.cookieName())
	if err != nil {
		return tell(errCredentials, "send Authorization: Bearer <access-key>:<secret-key>, sign with SigV4, or sign in at /v1/session")
	}
	t, ok := c.sessions.read(cookie.Value)
	if !ok {
		return tell(errCredentials, "the session has ended; sign in again")
	}
	k, err := c.liveKey(c.ctx(), t.AccessKey)
	if errors.Is(err, metadata.ErrNoSuchAccess) || err == nil && !hmac.Equal(t.Print, fingerprint(k.ID, k.Secret)) {
		return tell(errCredentials, "the access key of the session was revoked or changed")
	}
	if err != nil {
		return err
	}
	if err := c.sameOrigin(); err != nil {
		return err
	}
	c.who = principalOf(k)
	c.who.expires = &t.Expires
	return nil
}

// sameOrigin refuses what a page of another site made a browser send, and, as
// only browsers have cookies, what does not say where it comes from.
func (c *call) sameOrigin() error {
	switch c.r.Method {
	case http.MethodGet, http.MethodHead:
		return nil
	}
	if c.r.Header.Get("Sec-Fetch-Site") == "" && c.r.Header.Get("Origin") == "" {
		return fmt.Errorf("%w: it has neither Origin nor Sec-Fetch-Site", errCrossOrigin)
	}
	if c.origins.Check(c.r) != nil {
		return errCrossOrigin
	}
	return nil
}

// login is the body of POST /v1/session.
type login struct {
	AccessKey string `json:"access_key"`
	SecretKey string `json:"secret_key"`
}

// sessionInfo says who is signed in.
type sessionInfo struct {
	AccessKey string     `json:"access_key"`
	User      string     `json:"user"`
	Role      string     `json:"role"`
	Expires   *time.Time `json:"expires,omitempty"`
}

func (c *call) signIn() error {
	if c.origins.Check(c.r) != nil { // a foreign page must not sign its visitor in
		return errCrossOrigin
	}
	var in login
	if err := c.decode(&in); err != nil {
		return err
	}
	k, err := c.checkSecret(in.AccessKey, in.SecretKey)
	if err != nil {
		return err
	}
	if principalOf(k).limited {
		return errLimited
	}
	text, expires, err := c.sessions.begin(k)
	if err != nil {
		return fmt.Errorf("begin session: %w", err)
	}
	c.setCookie(text, expires)
	return c.json(http.StatusOK, sessionInfo{k.ID, k.User, k.Role, &expires})
}

func (c *call) whoAmI() error {
	return c.json(http.StatusOK, sessionInfo{c.who.accessKey, c.who.user, c.who.role, c.who.expires})
}

// signOut needs no session, so that one that has ended can be left as well.
func (c *call) signOut() error {
	if cookie, err := c.r.Cookie(c.cookieName()); err == nil {
		if err := c.sameOrigin(); err != nil {
			return err
		}
		if t, ok := c.sessions.read(cookie.Value); ok {
			c.sessions.end(t)
		}
	}
	c.setCookie("", time.Unix(1, 0))
	return c.noContent()
}
