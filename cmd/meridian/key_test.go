package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestParseEnd(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)
	for text, want := range map[string]string{
		"24h": "2026-03-05T05:06:07Z", "90d": "2026-06-02T05:06:07Z", "1h30m": "2026-03-04T06:36:07Z",
		"2027-01-31": "2027-01-31T00:00:00Z", "2026-03-04T06:00:00+01:00": "", "2026-03-04T07:00:00+01:00": "2026-03-04T06:00:00Z",
		"2026-03-04": "", "soon": "", "0d": "", "-1h": "", "d": "", "1.5d": "", "": "", "99999999d": "",
	} {
		got, err := parseEnd(text, now)
		if want == "" && err == nil || want != "" && (err != nil || got.Format(time.RFC3339) != want) {
			t.Errorf("%q: %s, %v, want %q", text, got, err, want)
		}
	}
}

func TestReadPolicy(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	if text, err := readPolicy("writeonly"); err != nil || string(text) != `"writeonly"` {
		t.Errorf("canned: %s, %v", text, err)
	}
	if text, err := readPolicy(file("good", "\n{\"Statement\": []}\n")); err != nil || !json.Valid(text) {
		t.Errorf("file: %s, %v", text, err)
	}
	for _, path := range []string{file("empty", ""), file("text", `"readonly"`), file("broken", "{"), filepath.Join(dir, "none")} {
		if _, err := readPolicy(path); err == nil || !strings.Contains(err.Error(), "policy") {
			t.Errorf("%s: %v", path, err)
		}
	}
}
