package checksum_test

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"meridian/internal/checksum"
)

// TestSumsOfTheCheckString compares with the published check values of
// "123456789".
func TestSumsOfTheCheckString(t *testing.T) {
	t.Parallel()
	s := checksum.NewSet(checksum.CRC32, checksum.CRC32C, checksum.CRC64NVME, checksum.SHA1, checksum.SHA256, checksum.MD5, checksum.MD5)
	_, _ = s.Write([]byte("1234"))
	_, _ = s.Write([]byte("56789"))
	want := map[string]string{
		"crc32":     "y/Q5Jg==",     // cbf43926
		"crc32c":    "4waSgw==",     // e3069283
		"crc64nvme": "rosUhgp5mIg=", // ae8b14860a799888
		"sha1":      "98O8HYCOBHMq32eZZczDTKeuNEE=",
		"sha256":    "FeKw08M4keuw8e9gnsQZQgwg4yDOlMZfvIwzEkSOsiU=",
		"md5":       "25f9e794323b453885f5181f1b624d0b",
	}
	got := s.Sums()
	if len(got) != len(want) || s.Size() != 9 {
		t.Errorf("%d sums of %d bytes, want %d of 9", len(got), s.Size(), len(want))
	}
	for a, w := range want {
		if got[a] != w {
			t.Errorf("%s = %s, want %s", a, got[a], w)
		}
	}
}

func TestCombinedCRCIsThatOfTheWhole(t *testing.T) {
	t.Parallel()
	rnd := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		var whole []byte
		parts := make([][]byte, rnd.IntN(6))
		for i := range parts {
			parts[i] = make([]byte, rnd.IntN(3)*rnd.IntN(100_000)) // often empty
			for j := range parts[i] {
				parts[i][j] = byte(rnd.Uint32())
			}
			whole = append(whole, parts[i]...)
		}
		for _, a := range []checksum.Algorithm{checksum.CRC32, checksum.CRC32C, checksum.CRC64NVME} {
			var sums []checksum.PartSum
			for _, p := range parts {
				s := checksum.NewSet(a)
				_, _ = s.Write(p)
				sums = append(sums, checksum.PartSum{Sum: s.Sums()[string(a)], Size: int64(len(p))})
			}
			got, err := checksum.CombineCRC(a, sums)
			s := checksum.NewSet(a)
			_, _ = bytes.NewReader(whole).WriteTo(s)
			if want := s.Sums()[string(a)]; err != nil || got != want {
				t.Fatalf("%s of %d parts with %d bytes: %s, %v, want %s", a, len(parts), len(whole), got, err, want)
			}
		}
	}
}

func TestCompositeAndMalformedSums(t *testing.T) {
	t.Parallel()
	if got, err := checksum.Composite(checksum.CRC32, []string{"y/Q5Jg==", "y/Q5Jg=="}); err != nil || got[len(got)-2:] != "-2" || !checksum.CRC32.Valid(got[:len(got)-2]) {
		t.Errorf("composite = %q, %v", got, err)
	}
	for name, err := range map[string]error{
		"composite of CRC64NVME": second(checksum.Composite(checksum.CRC64NVME, nil)),
		"short sum":              second(checksum.Composite(checksum.SHA256, []string{"y/Q5Jg=="})),
		"no base64":              second(checksum.CombineCRC(checksum.CRC32, []checksum.PartSum{{Sum: "!", Size: 1}})),
		"combined SHA-1":         second(checksum.CombineCRC(checksum.SHA1, nil)),
	} {
		if err == nil {
			t.Errorf("%s was accepted", name)
		}
	}
	if _, ok := checksum.Parse("CRC32C"); !ok {
		t.Error("CRC32C is not known")
	}
	if _, ok := checksum.Parse("md5"); ok {
		t.Error("md5 can be chosen")
	}
	if checksum.SHA1.Valid("y/Q5Jg==") || !checksum.CRC32.Valid("y/Q5Jg==") {
		t.Error("Valid confuses lengths")
	}
}

func second(_ string, err error) error { return err }

func BenchmarkSet(b *testing.B) {
	buf := make([]byte, 1<<20)
	for _, set := range [][]checksum.Algorithm{{checksum.MD5}, {checksum.MD5, checksum.CRC64NVME}, {checksum.SHA256}} {
		b.Run(string(set[len(set)-1]), func(b *testing.B) {
			b.SetBytes(int64(len(buf)))
			for b.Loop() {
				_, _ = checksum.NewSet(set...).Write(buf)
			}
		})
	}
}
