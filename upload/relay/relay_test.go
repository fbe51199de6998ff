package relay

import (
	"encoding/base64"
	"errors"
	"maps"
	"net/http"
	"strings"
	"testing"

	"meridian/metadata"
)

func TestParseMetadata(t *testing.T) {
	t.Parallel()
	for header, want := range map[string]map[string]string{
		"":                                {},
		"  ":                              {},
		"bucket ZmlsbXM=":                 {"bucket": "films"},
		"bucket ZmlsbXM=, key w7w= ,x":    {"bucket": "films", "key": "ü", "x": ""},
		"bucket ZmlsbXM=,":                nil,
		"bucket ZmlsbXM=,bucket ZmlsbXM=": nil,
		"bucket films":                    nil,
		"bucket ZmlsbXM= extra":           nil,
		"bucket /w==":                     nil,
		"bucket AA==":                     nil,
	} {
		got, err := ParseMetadata(header)
		if want == nil {
			if !errors.Is(err, metadata.ErrInvalid) {
				t.Errorf("%q: %v, %v, want a refusal", header, got, err)
			}
		} else if err != nil || !maps.Equal(got, want) {
			t.Errorf("%q: %v, %v, want %v", header, got, err, want)
		}
	}
}

// FuzzParseMetadata holds what is read to what the header says.
func FuzzParseMetadata(f *testing.F) {
	for _, s := range []string{"", "a", "a YQ==", "a YQ==,b", "a YQ==, b Yg==", ",", "a  YQ==", "\xff YQ=="} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, header string) {
		got, err := ParseMetadata(header)
		if err != nil {
			return
		}
		for key, value := range got {
			if strings.ContainsAny(key, " ,") || key == "" {
				t.Errorf("%q has the key %q", header, key)
			}
			// The last character may have bits that say nothing.
			text := strings.TrimRight(base64.StdEncoding.EncodeToString([]byte(value)), "=")
			if text != "" && !strings.Contains(header, text[:len(text)-1]) && !strings.ContainsAny(header, "\r\n") {
				t.Errorf("%q does not say %q", header, value)
			}
		}
	})
}

func TestUploadID(t *testing.T) {
	t.Parallel()
	for path, want := range map[string]string{"/v1/tus": "", "/v1/tus/": "", "/v1/tus/a": "a", "/v1/tus/a/b": "a/b", "/v1/tusk": "no", "/v1": "no", "/": "no"} {
		id, ok := UploadID(path)
		if !ok {
			id = "no"
		}
		if id != want {
			t.Errorf("%s: %q, want %q", path, id, want)
		}
	}
}

func TestCallersSurviveAHop(t *testing.T) {
	t.Parallel()
	for _, c := range []Caller{{"ada", false}, {"root", true}, {"a b/ü%\u00a0", false}} {
		r := &http.Request{Header: http.Header{}}
		c.write(r.Header)
		if got, ok := CallerOf(r); !ok || got != c {
			t.Errorf("%+v became %+v, %v", c, got, ok)
		}
	}
	if _, ok := CallerOf(&http.Request{Header: http.Header{}}); ok {
		t.Error("a request without a user has one")
	}
}
