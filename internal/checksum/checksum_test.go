package checksum_test

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/iotest"

	"meridian/internal/checksum"
)

// TestSumsOfTheCheckString compares with the published check values of
// "123456789".
func TestSumsOfTheCheckString(t *testing.T) {
	t.Parallel()
	s := checksum.NewSet(checksum.CRC32, checksum.CRC32C, checksum.CRC64NVME, checksum.SHA1, checksum.SHA256, checksum.SHA512, checksum.MD5,
		checksum.ETag, checksum.ETag)
	_, _ = s.Write([]byte("1234"))
	_, _ = s.Write([]byte("56789"))
	want := map[string]string{
		"crc32":     "y/Q5Jg==",     // cbf43926
		"crc32c":    "4waSgw==",     // e3069283
		"crc64nvme": "rosUhgp5mIg=", // ae8b14860a799888
		"sha1":      "98O8HYCOBHMq32eZZczDTKeuNEE=",
		"sha256":    "FeKw08M4keuw8e9gnsQZQgwg4yDOlMZfvIwzEkSOsiU=",
		"sha512":    "2eZ2LdHI6vbWGzxhkvxAjU1tXxF20MKRabwk5xw/J0rSf81YEbMT1oH35V7ALXPUmclUVba1u1A6z1dPuo/+hQ==",
		"md5":       "JfnnlDI7RTiF9RgfG2JNCw==",
		"etag":      "25f9e794323b453885f5181f1b624d0b",
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

// TestSumsAsSDKsMakeThem compares with what is known of S3's form of the sums for
// "abcdefg", byte order included.
func TestSumsAsSDKsMakeThem(t *testing.T) {
	t.Parallel()
	for a, want := range map[checksum.Algorithm]string{
		checksum.XXHash64: "GGCUDikCgi0=", checksum.XXHash3: "WkDcP9RMBS8=", checksum.XXHash128: "Kq/YOGmlnDE/55jA7aptxg==",
		checksum.MD5: "esZsDxSN6VGbi9JkMSxNZA==", checksum.CRC64NVME: "SmzZ/LTp1CA=",
	} {
		s := checksum.NewSet(a)
		_, _ = s.Write([]byte("abcdefg"))
		if got := s.Sums()[string(a)]; got != want || !a.Valid(got) {
			t.Errorf("%s = %s, want %s", a, got, want)
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
	if _, ok := checksum.Parse("etag"); ok {
		t.Error("etag can be chosen")
	}
	if checksum.SHA1.Valid("y/Q5Jg==") || !checksum.CRC32.Valid("y/Q5Jg==") {
		t.Error("Valid confuses lengths")
	}
}

func second(_ string, err error) error { return err }

func BenchmarkSet(b *testing.B) {
	buf := make([]byte, 1<<20)
	for _, set := range [][]checksum.Algorithm{{checksum.ETag}, {checksum.ETag, checksum.CRC64NVME}, {checksum.SHA256}, {checksum.XXHash3}} {
		b.Run(string(set[len(set)-1]), func(b *testing.B) {
			b.SetBytes(int64(len(buf)))
			for b.Loop() {
				_, _ = checksum.NewSet(set...).Write(buf)
			}
		})
	}
}

func TestCombineOverGreatSizes(t *testing.T) {
	t.Parallel()
	// Zero bytes carried over in one step or in many must come to the same.
	const whole = 5<<40 + 12345
	one := checksum.CombineCRC64(42, 0, whole)
	many := uint64(42)
	for left := int64(whole); left > 0; {
		step := min(left, 700_000_000_001)
		many, left = checksum.CombineCRC64(many, 0, step), left-step
	}
	if one != many {
		t.Errorf("%016x in one step, %016x in many", one, many)
	}
}

func TestReaderRefusesInPlaceOfTheEnd(t *testing.T) {
	t.Parallel()
	refused := errors.New("refused")
	var asked int
	check := func(sums map[string]string) error {
		asked++
		if sums["etag"] != "900150983cd24fb0d6963f7d28e17f72" || sums["crc32"] == "" {
			return refused
		}
		return nil
	}
	good := checksum.NewReader(iotest.OneByteReader(strings.NewReader("abc")), check, checksum.ETag, checksum.CRC32)
	if b, err := io.ReadAll(good); string(b) != "abc" || err != nil {
		t.Errorf("%q, %v", b, err)
	}
	if sums, err := good.Finish(); len(sums) != 2 || err != nil || asked != 1 {
		t.Errorf("%v, %v, checked %d times", sums, err, asked)
	}
	bad := checksum.NewReader(iotest.DataErrReader(strings.NewReader("abd")), check, checksum.ETag, checksum.CRC32)
	if _, err := io.ReadAll(bad); !errors.Is(err, refused) {
		t.Errorf("a body that the check refuses ends with %v", err)
	}
	if _, err := bad.Read(make([]byte, 1)); !errors.Is(err, refused) {
		t.Errorf("and then with %v", err)
	}
	// Somebody who knows the size may stop there.
	unread := checksum.NewReader(strings.NewReader("abd"), check, checksum.ETag, checksum.CRC32)
	if _, err := io.ReadFull(unread, make([]byte, 3)); err != nil {
		t.Error(err)
	}
	if _, err := unread.Finish(); !errors.Is(err, refused) {
		t.Errorf("Finish = %v", err)
	}
	cut := checksum.NewReader(iotest.TimeoutReader(strings.NewReader("abc")), check, checksum.ETag)
	asked = 0
	if _, err := io.ReadAll(cut); err == nil || asked != 0 {
		t.Errorf("a body cut short ends with %v, checked %d times", err, asked)
	}
}
