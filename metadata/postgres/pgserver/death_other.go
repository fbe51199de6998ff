//go:build !linux

package pgserver

import "syscall"

// dieWithUs does nothing: only Linux tells a process of the death of its parent.
func dieWithUs(*syscall.SysProcAttr) {}
