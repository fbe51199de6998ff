package memory

import "fmt"

// Config is the size of a Tier, in bytes, bookkeeping included. The classes do
// not borrow from each other: a film that many watch must not push out the
// heads that answer most requests.
type Config struct {
	HeadBytes  int64
	SliceBytes int64
}

// Split is the default division of a memory cache of total bytes: a quarter for
// heads and small bodies, the rest for slices.
func Split(total int64) Config {
	heads := total / 4
	return Config{HeadBytes: heads, SliceBytes: total - heads}
}

// MinClassBytes is the least budget of a class.
const MinClassBytes = 64 << 10

// Validate reports budgets that no tier can keep.
func (c Config) Validate() error {
	if c.HeadBytes < MinClassBytes || c.SliceBytes < MinClassBytes {
		return fmt.Errorf("memory cache: %d bytes for heads and %d for slices: each needs %d or more",
			c.HeadBytes, c.SliceBytes, MinClassBytes)
	}
	return nil
}
