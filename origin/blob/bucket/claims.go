package bucket

import "sync"

// claims are the keys that this process is writing, where the server would let
// two writers of a key replace each other.
type claims struct {
	mu   sync.Mutex
	keys map[string]bool
}

// take is false where the key is taken already.
func (c *claims) take(key string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.keys[key] {
		return false
	}
	if c.keys == nil {
		c.keys = map[string]bool{}
	}
	c.keys[key] = true
	return true
}

func (c *claims) free(key string) {
	c.mu.Lock()
	delete(c.keys, key)
	c.mu.Unlock()
}
