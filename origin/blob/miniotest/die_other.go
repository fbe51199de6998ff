//go:build !linux

package miniotest

import "os/exec"

// dieWithUs does nothing: only Linux tells a process of the death of its parent.
func dieWithUs(*exec.Cmd) {}
