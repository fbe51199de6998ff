//go:build !amd64 || !gc

package md5lanes

const vector = false

// block is never called.
func block(*states, *[width]*byte, int) {}
