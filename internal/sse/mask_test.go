package sse_test

import (
	"bytes"
	"testing"

	"meridian/internal/sse"
)

func TestMaskGoesByThePlace(t *testing.T) {
	t.Parallel()
	key, plain := sse.NewDataKey(), text(1000)
	mask := func(at int64, b []byte) []byte {
		t.Helper()
		out, err := sse.Mask(key, at, b)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	const begin = 7
	whole := mask(begin, plain)
	for cut := range plain {
		pieces := append(mask(begin, plain[:cut]), mask(int64(begin+cut), plain[cut:])...)
		if !bytes.Equal(pieces, whole) || !bytes.Equal(mask(int64(begin+cut), whole[cut:]), plain[cut:]) {
			t.Fatalf("cut at %d it is another", cut)
		}
	}
	if other, err := sse.Mask(sse.NewDataKey(), begin, plain); err != nil || bytes.Equal(other, whole) || bytes.Equal(whole, plain) {
		t.Errorf("the key does not count: %v", err)
	}
}
