// Package session makes and reads temporary credentials: an access key ID and a
// secret that are good for some hours, and a session token that goes with every
// request of theirs. Nothing is kept of them: the token says whose they are, until
// when and for what, sealed under a key that is derived from the secret of the
// access key that asked for them. Whoever knows that key of the day can verify
// them, so a cache node can without holding the secret; and they end with the
// access key.
//
// A token is the base64url of
//
//	version (1 byte, 1) | day (8 bytes) | length of parent (1 byte) | parent | sealed
//
// where sealed is what package seal makes of the rest, bound to what precedes it.
package session

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"meridian/internal/seal"
)

const (
	// Longest is the longest life of temporary credentials.
	Longest = 36 * time.Hour
	// Prefix is how their access key IDs begin.
	Prefix = "ASIA"

	// MaxToken is the length of the longest token that is looked at.
	MaxToken = 16 << 10

	version   = 1
	dayFormat = "20060102"
	// maxParent is the length of the longest access key ID.
	maxParent = 255
)

var (
	// ErrInvalid says that a token is not one, or not of this access key.
	ErrInvalid = errors.New("session token is invalid")
	// ErrExpired says that the credentials have ended.
	ErrExpired = errors.New("session token has expired")
)

// Credentials are temporary.
type Credentials struct {
	ID, Secret, Token string
	Expires           time.Time
}

// Session is what a token holds.
type Session struct {
	Secret  string
	Policy  string // what it is limited to, as JSON; empty for no limit
	Name    string
	Expires time.Time
}

// sealed is what only those read who have the key of the day.
type sealed struct {
	ID      string `json:"i"`
	Expires int64  `json:"e"` // seconds
	Policy  string `json:"p,omitempty"`
	Name    string `json:"n,omitempty"`
}

// Day names the day of t as KeyOf and a Token have it.
func Day(t time.Time) string { return t.UTC().Format(dayFormat) }

// KeyOf derives from the secret of an access key what verifies the sessions that
// were made with it on a day.
func KeyOf(secret, day string) []byte { return mac([]byte("MERIDIAN session"+secret), day) }

func mac(key []byte, text string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(text))
	return h.Sum(nil)
}

// New makes credentials of the access key parent, that end at expires. Name is
// what the caller calls them; policy may be empty.
func New(parent, secret, name, policy string, now, expires time.Time) (Credentials, error) {
	if parent == "" || len(parent) > maxParent {
		return Credentials{}, fmt.Errorf("session of an access key ID of %d bytes", len(parent))
	}
	c := Credentials{ID: Prefix + rand.Text()[:16], Expires: expires.UTC().Truncate(time.Second)}
	day := Day(now)
	key := KeyOf(secret, day)
	text, err := json.Marshal(sealed{ID: c.ID, Expires: c.Expires.Unix(), Policy: policy, Name: name})
	if err != nil {
		return Credentials{}, fmt.Errorf("session: %w", err)
	}
	sealer, err := seal.New([seal.KeySize]byte(key))
	if err != nil {
		return Credentials{}, fmt.Errorf("session: %w", err)
	}
	head := append([]byte{version}, day...)
	head = append(append(head, byte(len(parent))), parent...)
	c.Token = base64.RawURLEncoding.EncodeToString(append(head, sealer.Seal(text, string(head))...))
	c.Secret = secretOf(key, c.ID)
	return c, nil
}

// secretOf is as long as the secrets of AWS.
func secretOf(key []byte, id string) string {
	return base64.StdEncoding.EncodeToString(mac(key, "secret of "+id))[:40]
}

// Token is a token of which nothing is proved yet.
type Token struct {
	Parent string // the access key that the session is of
	Day    string // on which it was made

	head   string
	sealed []byte
}

// Read reads a token; ErrInvalid where it is none.
func Read(text string) (Token, error) {
	if len(text) > MaxToken {
		return Token{}, ErrInvalid
	}
	// Strictly, so that there is one text of a token.
	raw, err := base64.RawURLEncoding.Strict().DecodeString(text)
	const fixed = 1 + len(dayFormat) + 1
	if err != nil || strings.ContainsAny(text, "\r\n") || len(raw) < fixed || raw[0] != version {
		return Token{}, ErrInvalid
	}
	day, n := string(raw[1:fixed-1]), int(raw[fixed-1])
	if _, err := time.Parse(dayFormat, day); err != nil || n == 0 || len(raw) < fixed+n {
		return Token{}, ErrInvalid
	}
	return Token{Parent: string(raw[fixed : fixed+n]), Day: day, head: string(raw[:fixed+n]), sealed: raw[fixed+n:]}, nil
}

// Open says what the token holds, by the KeyOf its parent and day: ErrInvalid if
// it was not made with that or is not of the access key id, ErrExpired if it has
// ended.
func (t Token) Open(id string, key []byte, now time.Time) (Session, error) {
	if len(key) != seal.KeySize {
		return Session{}, fmt.Errorf("%w: no key of %s", ErrInvalid, t.Day)
	}
	sealer, err := seal.New([seal.KeySize]byte(key))
	if err != nil {
		return Session{}, fmt.Errorf("session: %w", err)
	}
	text, err := sealer.Open(t.sealed, t.head)
	if err != nil {
		return Session{}, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	var in sealed
	if err := json.Unmarshal(text, &in); err != nil || in.ID != id {
		return Session{}, fmt.Errorf("%w: it is of another access key", ErrInvalid)
	}
	s := Session{Secret: secretOf(key, id), Policy: in.Policy, Name: in.Name, Expires: time.Unix(in.Expires, 0).UTC()}
	if !now.Before(s.Expires) {
		return Session{}, ErrExpired
	}
	return s, nil
}
