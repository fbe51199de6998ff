package session_test

import (
	"encoding/base64"
	"errors"
	"strings"
	"testing"
	"time"

	"meridian/internal/session"
)

var now = time.Date(2026, 3, 4, 23, 30, 0, 0, time.UTC)

func made(t testing.TB, policy string) session.Credentials {
	t.Helper()
	c, err := session.New("AKPARENT", "parent secret", "name", policy, now, now.Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func open(t testing.TB, text, id, secret string, at time.Time) (session.Session, error) {
	t.Helper()
	token, err := session.Read(text)
	if err != nil {
		return session.Session{}, err
	}
	return token.Open(id, session.KeyOf(secret, token.Day), at)
}

func TestSession(t *testing.T) {
	t.Parallel()
	c, other := made(t, `{"Statement":[]}`), made(t, "")
	if !strings.HasPrefix(c.ID, "ASIA") || len(c.ID) != 20 || len(c.Secret) != 40 || c.ID == other.ID || c.Secret == other.Secret {
		t.Errorf("made %+v and %+v", c, other)
	}
	token, err := session.Read(c.Token)
	if err != nil || token.Parent != "AKPARENT" || token.Day != "20260304" {
		t.Fatalf("token %+v, %v", token, err)
	}
	// It holds beyond the midnight after which it was made.
	s, err := open(t, c.Token, c.ID, "parent secret", now.Add(59*time.Minute))
	if err != nil || s.Secret != c.Secret || s.Policy != `{"Statement":[]}` || s.Name != "name" || !s.Expires.Equal(c.Expires) {
		t.Errorf("session %+v, %v", s, err)
	}
	for name, x := range map[string]struct {
		text, id, secret string
		at               time.Time
		want             error
	}{
		"ended":               {c.Token, c.ID, "parent secret", now.Add(time.Hour), session.ErrExpired},
		"of another key":      {c.Token, other.ID, "parent secret", now, session.ErrInvalid},
		"parent is another":   {c.Token, c.ID, "another secret", now, session.ErrInvalid},
		"not base64":          {"%", c.ID, "parent secret", now, session.ErrInvalid},
		"empty":               {"", c.ID, "parent secret", now, session.ErrInvalid},
		"cut":                 {c.Token[:len(c.Token)-5], c.ID, "parent secret", now, session.ErrInvalid},
		"with a line break":   {c.Token + "\n", c.ID, "parent secret", now, session.ErrInvalid},
		"longer than any is":  {strings.Repeat("A", session.MaxToken+4), c.ID, "parent secret", now, session.ErrInvalid},
		"a token of AWS":      {"IQoJb3JpZ2luX2VjEJr//////////wEaCXVzLWVhc3QtMSJHMEUCIQD", c.ID, "parent secret", now, session.ErrInvalid},
		"sealed by other key": {retouched(t, c.Token, 40), c.ID, "parent secret", now, session.ErrInvalid},
	} {
		if _, err := open(t, x.text, x.id, x.secret, x.at); !errors.Is(err, x.want) {
			t.Errorf("%s: %v, want %v", name, err, x.want)
		}
	}
	if _, err := session.New(strings.Repeat("x", 256), "s", "", "", now, now); err == nil {
		t.Error("a parent that does not fit was taken")
	}
}

// retouched is a token with one bit changed.
func retouched(t testing.TB, text string, at int) string {
	t.Helper()
	raw, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	raw[at] ^= 1
	return base64.RawURLEncoding.EncodeToString(raw)
}

// No byte of a token can be changed.
func TestEveryByteCounts(t *testing.T) {
	t.Parallel()
	c := made(t, "policy")
	for i := range base64.RawURLEncoding.DecodedLen(len(c.Token)) {
		if _, err := open(t, retouched(t, c.Token, i), c.ID, "parent secret", now); !errors.Is(err, session.ErrInvalid) {
			t.Errorf("byte %d: %v", i, err)
		}
	}
}

func FuzzRead(f *testing.F) {
	c := made(f, "policy")
	f.Add(c.Token)
	f.Add("")
	f.Add("ATIwMjYwMzA0")
	f.Fuzz(func(t *testing.T, text string) {
		s, err := open(t, text, c.ID, "parent secret", now)
		switch {
		case err == nil && text != c.Token:
			t.Fatalf("%q is taken for a token: %+v", text, s)
		case err != nil && !errors.Is(err, session.ErrInvalid):
			t.Fatalf("%q: %v", text, err)
		}
	})
}
