package main

import (
	"errors"
	"log/slog"

	"meridian/edge"
	"meridian/edge/cache"
	"meridian/edge/cache/disk"
	"meridian/edge/cache/memory"
)

// diskOptions describe the disk cache of a node; there is none where dir is
// empty.
type diskOptions struct {
	dir            string
	size, headroom size
}

func (o *diskOptions) declare(s *settings) {
	s.flags.StringVar(&o.dir, "cache-disk", "", "`directory` of a disk cache below that in memory, kept over restarts (default: none)")
	s.flags.TextVar(&o.size, "cache-disk-size", o.size, "`size` of the disk cache, with what files cost the file system")
	s.flags.TextVar(&o.headroom, "cache-disk-headroom", o.headroom, "free `space` below which the disk cache gives way to others")
}

// check refuses what newCache would, before anything is started.
func (o *diskOptions) check() error {
	if o.dir != "" && o.size < disk.MinBytes {
		return usagef("--cache-disk-size is %d bytes; it must be %s or more", o.size, sizeText(disk.MinBytes))
	}
	return nil
}

func sizeText(n int64) string {
	text, _ := size(n).MarshalText() // it never fails
	return string(text)
}

// memory is what the disk cache takes of it, in bytes: values that wait to be
// written, and the index, which is largest where all values are a few KiB.
func (o *diskOptions) memory() int64 {
	if o.dir == "" {
		return 0
	}
	return 32<<20 + int64(o.size)/1024
}

// checkMemory refuses a memory cache that would hold nothing to speak of.
func checkMemory(option string, n size) error {
	c := memory.Split(int64(n))
	if err := c.Validate(); err != nil {
		return usagef("%s is %d bytes, which is too little for a cache: write it as 256MiB", option, int64(n))
	}
	return nil
}

// newCache makes the cache of a node: memory, and under it a disk where one is
// given.
func newCache(c edgeConfig, log *slog.Logger) (cache.Tier, []edge.Medium, error) {
	m, err := memory.New(memory.Split(int64(c.memory)))
	if err != nil {
		return nil, nil, err
	}
	media := []edge.Medium{{Name: edge.MediumMemory, Tier: m}}
	if c.disk.dir == "" {
		return m, media, nil
	}
	cfg := disk.Split(c.disk.dir, int64(c.disk.size))
	cfg.Log, cfg.Headroom = log, int64(c.disk.headroom)
	if cfg.Headroom == 0 {
		cfg.Headroom = -1 // none is wanted
	}
	d, err := disk.Open(cfg)
	if err != nil {
		return nil, nil, errors.Join(err, m.Close())
	}
	held := d.Stats()
	log.Info("disk cache", "dir", c.disk.dir, "entries", held.Entries, "bytes", held.Bytes, "capacity", held.Capacity)
	return cache.NewChain(m, d), append(media, edge.Medium{Name: edge.MediumDisk, Tier: d}), nil
}
