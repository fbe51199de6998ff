package tus

import (
	"net/http"
	"testing"

	"meridian/upload"
	"meridian/upload/relay"
)

// TestEveryLengthFits counts the parts of objects that come in one piece, and of
// one whose length is told at the end.
func TestEveryLengthFits(t *testing.T) {
	t.Parallel()
	for _, length := range []int64{1, defaultPart, 80 << 30, 80<<30 + 1, 1 << 40, relay.MaxSize - 1, relay.MaxSize} {
		for _, told := range []int64{length, -1} {
			at, parts := int64(0), 0
			for at < length {
				size := min(partSize(defaultPart, parts, at, told), length-at)
				if size > maxPart || size < upload.MinPartSize && at+size < length {
					t.Fatalf("part %d of %d bytes has %d", parts+1, length, size)
				}
				at += size
				parts++
			}
			if parts > upload.MaxParts {
				t.Errorf("%d bytes (told: %d) need %d parts", length, told, parts)
			}
		}
	}
	// Short parts are made up for by long ones.
	if size := partSize(defaultPart, upload.MaxParts-10, 50<<30, 100<<30); size*10 < 50<<30 {
		t.Errorf("ten parts of %d bytes do not hold 50 GiB", size)
	}
}

func FuzzParseChecksum(f *testing.F) {
	for _, s := range []string{"", "sha1 qvTGHdzF6KLavt4PO0gs2a6pQ00=", "SHA1 x", "md5", "crc32 AAAAAA==", " ", "sha256  "} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, header string) {
		d, err := parseChecksum(header)
		switch {
		case err == nil && (d == nil) != (header == ""):
			t.Errorf("%q: a digest %v", header, d)
		case d != nil && len(d.want) != d.hash.Size():
			t.Errorf("%q: a sum of %d bytes", header, len(d.want))
		}
	})
}

func TestKeysBecomePaths(t *testing.T) {
	t.Parallel()
	for key, want := range map[string]string{"a": "/b/a", "a b/ü": "/b/a%20b/%C3%BC", "/x//..?#%": "/b//x//..%3F%23%25"} {
		if got := objectPath("b", key); got != want {
			t.Errorf("%q is at %s, want %s", key, got, want)
		}
		if r, err := http.NewRequest(http.MethodGet, "http://x"+want, nil); err != nil || r.URL.Path != "/b/"+key {
			t.Errorf("%s is read as %v, %v", want, r, err)
		}
	}
}
