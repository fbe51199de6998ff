package main

import (
	"fmt"
	"strconv"
	"strings"
)

// size is a number of bytes that is written "256MiB", "10GB" or "1048576".
type size int64

// UnmarshalText reads binary (KiB, MiB, GiB, TiB) and decimal (kB, MB, GB, TB)
// units.
func (s *size) UnmarshalText(text []byte) error {
	t := strings.TrimSpace(string(text))
	digits := strings.TrimRight(t, "kKMGTiB ")
	unit := strings.TrimSpace(t[len(digits):])
	n, err := strconv.ParseInt(digits, 10, 64)
	if err != nil || n < 0 {
		return fmt.Errorf("%q is no size: write it as 256MiB", t)
	}
	factors := map[string]int64{
		"": 1, "B": 1,
		"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40,
		"kB": 1e3, "KB": 1e3, "MB": 1e6, "GB": 1e9, "TB": 1e12,
	}
	f, ok := factors[unit]
	if !ok || f > 0 && n > (1<<62)/f {
		return fmt.Errorf("%q is no size: units are KiB, MiB, GiB, TiB, kB, MB, GB, TB", t)
	}
	*s = size(n * f)
	return nil
}

// MarshalText writes the largest binary unit that divides s.
func (s size) MarshalText() ([]byte, error) {
	for i, unit := range []string{"TiB", "GiB", "MiB", "KiB"} {
		if f := size(1) << (40 - 10*i); s >= f && s%f == 0 {
			return fmt.Appendf(nil, "%d%s", s/f, unit), nil
		}
	}
	return fmt.Appendf(nil, "%dB", s), nil
}
