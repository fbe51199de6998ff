package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"meridian/internal/devserver"
)

func TestWordsOfACommand(t *testing.T) {
	t.Parallel()
	r := &round{server: &devserver.Server{}, bucket: "b", dir: "/d"}
	got := r.words("tool --range {first}-{last} {count} {remote}:{bucket}/{key} {home}", subject{key: "a b/{file}", first: 2, last: 4, edge: true})
	want := []string{"tool", "--range", "2-4", "3", "edge:b/a b/{file}", "/d"}
	if !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	if got := quoted([]string{"cp", "it's", "a b", "plain", ""}); got != `cp 'it'\''s' 'a b' plain ''` {
		t.Errorf("quoted: %s", got)
	}
}

func TestVersionsAreFound(t *testing.T) {
	t.Parallel()
	for said, want := range map[string]string{
		"aws-cli/2.9.19 Python/3.11.2 Linux/6.1": "2.9.19", "s3cmd version 2.3.0": "2.3.0",
		"rclone v1.60.1-DEV\n- os/version: debian": "v1.60.1-DEV", "restic 0.14.0 compiled with go1.19": "0.14.0", "none": "?",
	} {
		if got := firstVersion(said); got != want {
			t.Errorf("%q: %s, want %s", said, got, want)
		}
	}
}

func TestChangesAreSeen(t *testing.T) {
	t.Parallel()
	got := changed(map[string]string{"same": "1", "other": "1", "gone": "1"}, map[string]string{"same": "1", "other": "2", "new": "1"})
	if want := []string{"gone", "new", "other"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	if err := same("x", []byte("abc"), []byte("abd")); err == nil || !strings.Contains(err.Error(), "from byte 2") {
		t.Errorf("other bytes: %v", err)
	}
	want, got2 := t.TempDir(), t.TempDir()
	for dir, text := range map[string]string{want: "one", got2: "two"} {
		if err := os.WriteFile(filepath.Join(dir, "f"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if sameTree(want, want) != nil || sameTree(want, got2) == nil || sameTree(want, t.TempDir()) == nil {
		t.Error("trees of other files are taken for the same")
	}
}

// A command that fails tells what it was and what it said; one that is not there,
// that it is not installed. The environment is clean.
func TestCommandsAreRun(t *testing.T) {
	t.Parallel()
	r := &round{client: &client{}, dir: t.TempDir(), path: os.Getenv("PATH")}
	out, err := r.command(t.Context(), strings.NewReader("in"), "sh", "-c", "cat; env")
	if err != nil || !strings.HasPrefix(string(out), "in") || !strings.Contains(string(out), "HOME="+r.dir+"\n") || strings.Contains(string(out), "SSL_CERT_FILE") {
		t.Errorf("%s, %v", out, err)
	}
	_, err = r.command(t.Context(), nil, "sh", "-c", "echo out; echo err >&2; exit 3")
	if err == nil || !strings.Contains(err.Error(), "$ sh -c 'echo out; echo err >&2; exit 3'\nout\nerr\nexit status 3") {
		t.Errorf("failure: %v", err)
	}
	if _, err = r.command(t.Context(), nil, "no-such-client"); err == nil || !strings.Contains(err.Error(), "is not installed") {
		t.Errorf("missing: %v", err)
	}
}

// A client that cannot be installed has failed, for the reason that the installer
// gives; a failed step does not end the round.
func TestRoundsAreCounted(t *testing.T) {
	t.Parallel()
	script := filepath.Join(t.TempDir(), "install.sh")
	if err := os.WriteFile(script, []byte("#!/bin/sh\n[ $2 = good ] || { echo no such package; exit 1; }\n"), 0o700); err != nil { //nolint:gosec // a program
		t.Fatal(err)
	}
	bad := errors.New("broken")
	steps := []step{
		{"one", func(context.Context, *round) error { return bad }},
		{"two", func(context.Context, *round) error { return nil }},
	}
	var out strings.Builder
	o := options{install: script}
	server := &devserver.Server{}
	var results []result
	for _, name := range []string{"good", "lost"} {
		c := client{name: name, install: []string{name}, version: "sh -c true", own: steps, prepare: func(r *round) error {
			r.dir = t.TempDir()
			return nil
		}}
		results = append(results, c.run(t.Context(), &out, o, server))
	}
	if r := results[0]; r.passed != 1 || r.steps != 2 || len(r.failures) != 1 || !errors.Is(r.failures[0].err, bad) {
		t.Errorf("good: %+v", r)
	}
	if r := results[1]; r.passed != 0 || len(r.failures) != 1 || !strings.Contains(r.failures[0].err.Error(), "no such package") {
		t.Errorf("lost: %+v", r)
	}
	if err := report(&out, results); err == nil || !strings.Contains(out.String(), "FAILED good: one\nbroken") {
		t.Errorf("%v\n%s", err, out.String())
	}
	if err := report(&out, []result{{client: "x", steps: 1, passed: 1, took: time.Second}}); err != nil {
		t.Errorf("nothing failed: %v", err)
	}
}

// Whatever a client is excused from must be a name that is tried.
func TestEveryExcuseIsOfAName(t *testing.T) {
	t.Parallel()
	for _, c := range clients() {
		for name, why := range c.unable {
			if !slices.Contains(oddNames(), name) || why == "" {
				t.Errorf("%s is excused from %q: %q", c.name, name, why)
			}
		}
	}
}
