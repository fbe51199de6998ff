//go:build gc

package md5lanes

import "golang.org/x/sys/cpu"

// vector says whether this processor, and the system on it, can run block.
var vector = cpu.X86.HasAVX512F

// block runs n blocks of 64 bytes, n at least one, of every lane through its
// state. It needs AVX-512.
//
//go:noescape
func block(s *states, in *[width]*byte, n int)
