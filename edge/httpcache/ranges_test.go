package httpcache

import (
	"bytes"
	"errors"
	"io"
	"math"
	"mime"
	"mime/multipart"
	"slices"
	"strings"
	"testing"
)

func TestParseRange(t *testing.T) {
	t.Parallel()
	many := "bytes=0-0" + strings.Repeat(",0-0", MaxRanges)
	for _, c := range []struct {
		field string
		size  int64
		want  []Range
		err   error
	}{
		{"bytes=0-0", 10, []Range{{0, 1}}, nil},
		{"bytes=0-9", 10, []Range{{0, 10}}, nil},
		{"bytes=2-", 10, []Range{{2, 8}}, nil},
		{"bytes=-3", 10, []Range{{7, 3}}, nil},
		{"bytes=-30", 10, []Range{{0, 10}}, nil},
		{"bytes=5-99", 10, []Range{{5, 5}}, nil},
		{"bytes=5-99999999999999999999999", 10, []Range{{5, 5}}, nil},
		{"bytes=-99999999999999999999999", 10, []Range{{0, 10}}, nil},
		{"Bytes=1-2", 10, []Range{{1, 2}}, nil},
		{"bytes= 1-2 , 5-6", 10, []Range{{1, 2}, {5, 2}}, nil},
		{"bytes=,1-2,,5-6,", 10, []Range{{1, 2}, {5, 2}}, nil},
		{"bytes=5-6,1-2", 10, []Range{{5, 2}, {1, 2}}, nil}, // as asked for
		{"bytes=1-2,50-60", 10, []Range{{1, 2}}, nil},
		{"bytes=0-1,2-3", 10, []Range{{0, 4}}, nil},
		{"bytes=0-5,2-3", 10, []Range{{0, 6}}, nil},
		{"bytes=8-9,0-1,1-2,-1", 10, []Range{{8, 2}, {0, 3}}, nil},
		{"bytes=0-,0-,0-", 10, []Range{{0, 10}}, nil},
		{"bytes=10-", 10, nil, ErrUnsatisfiable},
		{"bytes=10-20,30-", 10, nil, ErrUnsatisfiable},
		{"bytes=99999999999999999999999-", 10, nil, ErrUnsatisfiable},
		{"bytes=-0", 10, nil, ErrUnsatisfiable},
		{"bytes=0-", 0, nil, ErrUnsatisfiable},
		{"bytes=-1", 0, nil, ErrUnsatisfiable},
		{"bytes=2-1", 10, nil, nil},
		{"bytes=1-2,2-1", 10, nil, nil},
		{"bytes=", 10, nil, nil},
		{"bytes=-", 10, nil, nil},
		{"bytes=1", 10, nil, nil},
		{"bytes=a-b", 10, nil, nil},
		{"bytes=1-2-3", 10, nil, nil},
		{"bytes=+1-2", 10, nil, nil},
		{"bytes=--1", 10, nil, nil},
		{"bytes=1 -2", 10, nil, nil},
		{"bytes 1-2", 10, nil, nil},
		{"items=1-2", 10, nil, nil},
		{"", 10, nil, nil},
		{many, 10, nil, nil},
	} {
		got, err := ParseRange(c.field, c.size)
		if !slices.Equal(got, c.want) || !errors.Is(err, c.err) {
			t.Errorf("%.60q of %d: %v, %v, want %v, %v", c.field, c.size, got, err, c.want, c.err)
		}
	}
}

// The layout of a multipart answer is read as its parts by the parser of the
// standard library, and its length is exact.
func TestMultipart(t *testing.T) {
	t.Parallel()
	body := []byte("0123456789")
	ranges := []Range{{8, 2}, {0, 3}, {5, 1}}
	for _, contentType := range []string{"text/plain", ""} {
		m := NewMultipart(ranges, contentType, 10)
		var wire bytes.Buffer
		for i, r := range ranges {
			wire.WriteString(m.Headers[i])
			wire.Write(body[r.Start:r.End()])
		}
		wire.WriteString(m.End)
		if int64(wire.Len()) != m.Length {
			t.Errorf("announced %d bytes, sent %d", m.Length, wire.Len())
		}
		_, params, err := mime.ParseMediaType(m.ContentType())
		if err != nil {
			t.Fatal(err)
		}
		reader := multipart.NewReader(&wire, params["boundary"])
		for i, want := range []struct{ contentRange, body string }{{"bytes 8-9/10", "89"}, {"bytes 0-2/10", "012"}, {"bytes 5-5/10", "5"}} {
			p, err := reader.NextRawPart()
			if err != nil {
				t.Fatalf("part %d: %v", i, err)
			}
			got, err := io.ReadAll(p)
			if err != nil || string(got) != want.body || p.Header.Get("Content-Range") != want.contentRange || p.Header.Get("Content-Type") != contentType {
				t.Errorf("part %d: %q %v %v", i, got, p.Header, err)
			}
		}
		if _, err := reader.NextRawPart(); !errors.Is(err, io.EOF) {
			t.Errorf("after the last part: %v", err)
		}
	}
	if a, b := NewMultipart(ranges, "", 10), NewMultipart(ranges, "", 10); a.Boundary == b.Boundary {
		t.Error("boundaries repeat")
	}
}

func FuzzParseRange(f *testing.F) {
	for _, s := range []string{"bytes=0-0", "bytes=-5", "bytes=5-", "bytes=0-1,5-6", "bytes=1-2-3", "bytes=,", "bytes=9223372036854775807-", "x=1"} {
		f.Add(s, int64(10))
		f.Add(s, int64(math.MaxInt64))
	}
	f.Fuzz(func(t *testing.T, field string, size int64) {
		if size < 0 {
			return
		}
		ranges, err := ParseRange(field, size)
		if err != nil && len(ranges) > 0 || len(ranges) > MaxRanges {
			t.Fatalf("%v, %v", ranges, err)
		}
		var total int64
		for i, r := range ranges {
			if r.Start < 0 || r.Length < 1 || r.Start > size-r.Length {
				t.Fatalf("%v of %d", r, size)
			}
			for _, o := range ranges[:i] {
				if r.Start <= o.End() && o.Start <= r.End() {
					t.Fatalf("%v and %v overlap or touch", r, o)
				}
			}
			total += r.Length
		}
		if total > size {
			t.Fatalf("%d bytes of %d", total, size)
		}
	})
}
