package miniotest

import (
	"os/exec"
	"syscall"
)

// dieWithUs has the kernel kill the server when this process ends.
func dieWithUs(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }
