package sse_test

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"testing"

	"meridian/internal/seal"
	"meridian/internal/sse"
)

func TestRotation(t *testing.T) {
	t.Parallel()
	a, b := [32]byte{1}, [32]byte{2}
	ring := func(keys ...[32]byte) *sse.Ring {
		t.Helper()
		r, err := sse.NewRing(keys...)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	before, during, after := ring(a), ring(b, a), ring(b)
	key := sse.NewDataKey()
	old := before.Wrap(key, "bkt/1")
	if got, err := during.Unwrap(old, "bkt/1"); got != key || err != nil {
		t.Errorf("the older key unwraps: %v", err)
	}
	if !bytes.HasPrefix(old, before.Marks()[0]) || bytes.HasPrefix(old, during.Marks()[0]) {
		t.Error("it cannot be seen under which key it was wrapped")
	}
	renewed := during.Wrap(key, "bkt/1")
	if got, err := after.Unwrap(renewed, "bkt/1"); got != key || err != nil {
		t.Errorf("wrapped anew: %v", err)
	}
	if _, err := after.Unwrap(old, "bkt/1"); !errors.Is(err, sse.ErrNoMasterKey) {
		t.Errorf("without the older key: %v", err)
	}
	if _, err := during.Unwrap(renewed, "bkt/2"); !errors.Is(err, seal.ErrDamaged) {
		t.Errorf("in another place: %v", err)
	}
}

func TestCustomerKeys(t *testing.T) {
	t.Parallel()
	mine, other, key := sse.CustomerKey{1}, sse.CustomerKey{2}, sse.NewDataKey()
	one, err := mine.Wrap(key, "bkt/1")
	if err != nil {
		t.Fatal(err)
	}
	two, err := mine.Wrap(key, "bkt/1")
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i+9 <= len(one); i++ {
		if bytes.Contains(two, one[i:i+9]) {
			t.Fatal("that two objects have the same key can be seen")
		}
	}
	if got, err := mine.Unwrap(one, "bkt/1"); got != key || err != nil {
		t.Errorf("unwrap: %v", err)
	}
	if _, err := other.Unwrap(one, "bkt/1"); !errors.Is(err, sse.ErrWrongKey) {
		t.Errorf("another key: %v", err)
	}
	if _, err := mine.Unwrap(one, "bkt/2"); !errors.Is(err, seal.ErrDamaged) {
		t.Errorf("another place: %v", err)
	}
	for i := range one {
		if _, err := mine.Unwrap(one[:i], "bkt/1"); err == nil {
			t.Errorf("cut off at %d bytes it still unwraps", i)
		}
	}
}

func TestKeysStayOutOfLogs(t *testing.T) {
	t.Parallel()
	k := bytes.Repeat([]byte{'k'}, 32)
	type holder struct {
		D sse.DataKey
		C sse.CustomerKey
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s"} {
		if s := fmt.Sprintf(verb, holder{sse.DataKey(k), sse.CustomerKey(k)}); strings.Contains(s, "107") || strings.Contains(s, "kkk") || strings.Contains(s, "6b") {
			t.Errorf("%s prints %s", verb, s)
		}
	}
}

func TestParseRing(t *testing.T) {
	t.Parallel()
	one, two := strings.Repeat("ab", 32), base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{7}, 32))
	want, err := sse.ParseRing(one)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []string{one + "," + two, "# of 2026\n" + one + " # current\n\n" + two + "\n", one + "\r\n" + two} {
		r, err := sse.ParseRing(s)
		if err != nil || !bytes.Equal(r.Marks()[0], want.Marks()[0]) {
			t.Errorf("%q: %v", s, err)
			continue
		}
		old, _ := sse.ParseRing(two)
		if _, err := r.Unwrap(old.Wrap(sse.DataKey{}, ""), ""); err != nil {
			t.Errorf("%q: the second key: %v", s, err)
		}
	}
	for _, s := range []string{"", "# none", "abcd", one + "," + one, one + " passphrase", one[:62]} {
		if _, err := sse.ParseRing(s); err == nil {
			t.Errorf("%q is a ring", s)
		} else if strings.Contains(err.Error(), "abab") {
			t.Errorf("the error tells the key: %v", err)
		}
	}
}
