package pgserver

import "syscall"

// dieWithUs has the kernel interrupt Postgres, which stops it fast, when the
// thread that started it ends, be it by kill -9.
func dieWithUs(attr *syscall.SysProcAttr) { attr.Pdeathsig = syscall.SIGINT }
