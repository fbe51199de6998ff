package seal_test

import (
	"bytes"
	"errors"
	"testing"

	"meridian/internal/seal"
)

func sealer(t testing.TB, first byte) *seal.Sealer {
	t.Helper()
	s, err := seal.New([seal.KeySize]byte{first})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestOpenReturnsWhatWasSealed(t *testing.T) {
	t.Parallel()
	// Two Sealers of one key, since what one process seals another one opens.
	a, b := sealer(t, 1), sealer(t, 1)
	for _, secret := range []string{"", "wJalrXUtnFEMI/K7MDENG", string(make([]byte, 5000))} {
		one, two := a.Seal([]byte(secret), "AKIA"), a.Seal([]byte(secret), "AKIA")
		if bytes.Equal(one, two) {
			t.Error("sealing twice gave the same bytes: the nonce is not random")
		}
		if secret != "" && bytes.Contains(one, []byte(secret)) {
			t.Error("the sealed bytes hold the secret")
		}
		got, err := b.Open(one, "AKIA")
		if err != nil || string(got) != secret {
			t.Errorf("Open = %q, %v; want %q", got, err, secret)
		}
	}
}

func TestOpenRefusesWhatItDidNotSeal(t *testing.T) {
	t.Parallel()
	s := sealer(t, 1)
	sealed := s.Seal([]byte("secret"), "AKIA")
	if _, err := sealer(t, 2).Open(sealed, "AKIA"); !errors.Is(err, seal.ErrWrongKey) {
		t.Errorf("under another key: %v, want ErrWrongKey", err)
	}
	if _, err := s.Open(sealed, "AKIB"); !errors.Is(err, seal.ErrDamaged) {
		t.Errorf("for another context: %v, want ErrDamaged", err)
	}
	for i := range sealed {
		bent := bytes.Clone(sealed)
		bent[i] ^= 0x10
		if _, err := s.Open(bent, "AKIA"); err == nil {
			t.Errorf("a flipped bit in byte %d went unnoticed", i)
		}
		if _, err := s.Open(sealed[:i], "AKIA"); err == nil {
			t.Errorf("cut off at %d bytes it still opened", i)
		}
	}
}

func FuzzOpen(f *testing.F) {
	s := sealer(f, 1)
	f.Add(s.Seal([]byte("secret"), "AKIA"), "AKIB")
	f.Add([]byte{1}, "")
	f.Fuzz(func(t *testing.T, sealed []byte, context string) {
		if got, err := s.Open(sealed, context); err == nil {
			t.Errorf("opened a forgery as %q", got)
		}
	})
}
