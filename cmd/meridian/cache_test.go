package main

import (
	"errors"
	"io"
	"log/slog"
	"strings"
	"testing"

	"meridian/edge"
	"meridian/edge/cache"
	"meridian/edge/cache/disk"
)

// diskOptionsOf reads options of a disk cache as `meridian edge` does.
func diskOptionsOf(t *testing.T, args ...string) diskOptions {
	t.Helper()
	s := newSettings("edge", func(string) (string, bool) { return "", false }, io.Discard)
	o := diskOptions{size: 16 << 30}
	o.declare(s)
	if _, err := s.parse(args); err != nil {
		t.Fatal(err)
	}
	return o
}

func TestDiskCacheIsBelowMemory(t *testing.T) {
	t.Parallel()
	c := edgeConfig{memory: 16 << 20, disk: diskOptionsOf(t, "--cache-disk", t.TempDir(), "--cache-disk-size", "128MiB", "--cache-disk-headroom", "0")}
	if err := c.disk.check(); err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.DiscardHandler)
	tier, media, err := newCache(c, log)
	if err != nil {
		t.Fatal(err)
	}
	if len(media) != 2 || media[0].Name != edge.MediumMemory || media[1].Name != edge.MediumDisk || media[1].Tier.Stats().Capacity != 128<<20 {
		t.Errorf("made of %+v", media)
	}
	if _, _, err := newCache(c, log); !errors.Is(err, disk.ErrInUse) {
		t.Errorf("a second node in the same directory: %v", err)
	}
	k := cache.Key{Class: cache.Slice, Name: "slice"}
	if err := tier.Put(t.Context(), k, []byte("bytes")); err != nil {
		t.Fatal(err)
	}
	if err := tier.Close(); err != nil {
		t.Fatal(err)
	}
	if tier, _, err = newCache(c, log); err != nil {
		t.Fatal(err)
	}
	defer tier.Close()
	if v, err := tier.Get(t.Context(), k); err != nil || string(v) != "bytes" {
		t.Errorf("after a restart: %q, %v", v, err)
	}
}

func TestDiskCacheIsRefusedBeforeAnythingStarts(t *testing.T) {
	t.Parallel()
	small := diskOptionsOf(t, "--cache-disk", "d", "--cache-disk-size", "1MiB")
	if err := small.check(); err == nil || !strings.Contains(err.Error(), "64MiB or more") {
		t.Errorf("a size that is too small: %v", err)
	}
	none := diskOptionsOf(t)
	if err := none.check(); err != nil || none.memory() != 0 {
		t.Errorf("no disk cache: %v, takes %d bytes", err, none.memory())
	}
}

func TestAMemoryCacheOfNothingIsRefused(t *testing.T) {
	t.Parallel()
	for args, want := range map[string]string{
		"edge --region europe --metadata http://127.0.0.1:1 --cluster-secret 0123456789abcdef --cache-memory 100": "--cache-memory is 100 bytes",
		"dev --edge-memory 0":        "--edge-memory is 0 bytes",
		"dev --regional-memory 1KiB": "--regional-memory is 1024 bytes",
	} {
		var errs strings.Builder
		if code := run(t.Context(), strings.Fields(args), process{stdout: io.Discard, stderr: &errs, env: noEnv}); code == 0 || !strings.Contains(errs.String(), want) {
			t.Errorf("%s: %d %q", args, code, errs.String())
		}
	}
}
