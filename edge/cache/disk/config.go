package disk

import (
	"errors"
	"fmt"
	"log/slog"
)

// Config describes a Tier. The sizes are in bytes and count what files cost a
// file system. As in memory, the classes do not borrow from each other.
type Config struct {
	// Dir is made where it is missing. What lies in it and is not the cache's is
	// left alone.
	Dir        string
	HeadBytes  int64
	SliceBytes int64
	// Headroom is the free space that the cache leaves to others: below it,
	// nothing is written, and what is held makes way. DefaultHeadroom where it
	// is zero, none where it is negative.
	Headroom int64
	// Log is told of damaged values and of a disk that fails; nobody where nil.
	Log *slog.Logger

	// free tells the free space of a directory, in bytes; the system does where
	// it is nil.
	free func(dir string) (int64, error)
}

// DefaultHeadroom is what Config.Headroom is where it is zero.
const DefaultHeadroom = 1 << 30

// MinBytes is the least size of a disk cache.
const MinBytes = 64 << 20

// minClassBytes is the least budget of a class: a value of a slice's size, and
// as much again.
const minClassBytes = 2 << 20

// Split returns a Config of total bytes in dir: a sixteenth for heads and small
// bodies, the rest for slices. A disk is large and heads are small; each of them
// takes memory for its entry all the same.
func Split(dir string, total int64) Config {
	heads := total / 16
	return Config{Dir: dir, HeadBytes: heads, SliceBytes: total - heads}
}

// Validate reports what no tier can work with.
func (c *Config) Validate() error {
	if c.Dir == "" {
		return errors.New("disk cache: no directory is given")
	}
	if c.HeadBytes < minClassBytes || c.SliceBytes < minClassBytes {
		return fmt.Errorf("disk cache: %d bytes for heads and %d for slices: each needs %d or more, %d together where they are split by Split",
			c.HeadBytes, c.SliceBytes, minClassBytes, int64(MinBytes))
	}
	return nil
}

func (c *Config) applyDefaults() {
	if c.Headroom == 0 {
		c.Headroom = DefaultHeadroom
	}
	c.Headroom = max(c.Headroom, 0)
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.free == nil {
		c.free = freeBytes
	}
}
