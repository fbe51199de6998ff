package s3api

import (
	"encoding/base64"
	"errors"
	"io"
	"strings"
	"testing"
	"time"
)

// Whatever a policy says, what it lets through fulfils it: a key that no
// condition allows stays out.
func FuzzPolicy(f *testing.F) {
	f.Add(`{"expiration":"2030-01-01T00:00:00.000Z","conditions":[{"bucket":"b"},["starts-with","$key","u/"],["content-length-range",1,"10"]]}`, "u/x", int64(5))
	f.Add(`{"expiration":"2030-01-01T00:00:00Z","conditions":[["eq","$KEY","k"]]}`, "k", int64(0))
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	f.Fuzz(func(t *testing.T, document, key string, size int64) {
		p, err := parsePolicy(base64.StdEncoding.EncodeToString([]byte(document)))
		if err != nil {
			var refused *failure
			if !errors.As(err, &refused) {
				t.Fatalf("%v is no answer", err)
			}
			return
		}
		if p.check(map[string]string{"key": key, "bucket": "b"}, now) == nil {
			if !strings.Contains(strings.ToLower(document), "key") && !strings.Contains(document, `\u`) {
				t.Fatalf("%q lets in %q", document, key)
			}
			for _, c := range p.conditions {
				if c.field == "key" && !strings.HasPrefix(key, c.value) {
					t.Fatalf("%s lets in %q", c.text, key)
				}
			}
		}
		if size >= 0 && p.allowSize(size, true) == nil && (size < p.least || p.most >= 0 && size > p.most) {
			t.Fatalf("%d bytes pass %d to %d", size, p.least, p.most)
		}
	})
}

func FuzzForm(f *testing.F) {
	f.Add("multipart/form-data; boundary=x", "--x\r\nContent-Disposition: form-data; name=\"key\"\r\n\r\na/${filename}\r\n--x\r\nContent-Disposition: form-data; name=\"file\"; filename=\"C:\\\\p\\\\q\"\r\n\r\nbody\r\n--x--\r\n")
	f.Add("multipart/form-data", "")
	f.Fuzz(func(t *testing.T, contentType, body string) {
		got, err := readForm(contentType, strings.NewReader(body))
		if err != nil {
			failureOf(err)
			return
		}
		for name := range got.fields {
			if name != strings.ToLower(name) || name == "file" || name == "" {
				t.Fatalf("field %q", name)
			}
		}
		if len(got.fields) > maxFields {
			t.Fatalf("%d fields", len(got.fields))
		}
		file, _ := io.ReadAll(got.file)
		if len(file) > len(body) {
			t.Fatalf("a file of %d bytes out of %d", len(file), len(body))
		}
		got.header()
	})
}
