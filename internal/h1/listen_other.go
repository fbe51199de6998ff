//go:build !linux

package h1

import "net"

// Listen returns a listener for http.Server, each of whose connections the loop
// looks at first.
func (l *Loop) Listen(inner net.Listener) net.Listener { return &plainListener{inner, l} }
