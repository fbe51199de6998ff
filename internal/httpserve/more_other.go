//go:build !linux

package httpserve

import "net"

// writeMore writes p to c.
func writeMore(c *net.TCPConn, p []byte) (int, error) { return c.Write(p) }
