package httpserve

import (
	"net"
	"os"

	"golang.org/x/sys/unix"
)

// writeMore writes p to c as something that more follows at once: the kernel sends it
// with that, or after 200 ms.
func writeMore(c *net.TCPConn, p []byte) (n int, err error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return 0, err
	}
	var failed error
	err = raw.Write(func(fd uintptr) bool {
		for n < len(p) && failed == nil {
			m, err := unix.SendmsgN(int(fd), p[n:], nil, nil, unix.MSG_MORE|unix.MSG_NOSIGNAL)
			switch err {
			case nil:
				n += m
			case unix.EAGAIN:
				return false // to be called again when there is room, until the deadline
			case unix.EINTR:
			default:
				failed = &net.OpError{Op: "write", Net: "tcp", Source: c.LocalAddr(), Addr: c.RemoteAddr(), Err: os.NewSyscallError("sendmsg", err)}
			}
		}
		return true
	})
	if err == nil {
		err = failed
	}
	return n, err
}
