package main

import (
	"fmt"
	"strings"
)

// kind is objects of one size, of which one in turn is asked for.
type kind struct {
	name  string
	size  int
	count int
}

var (
	small  = kind{"1k", 1 << 10, 10_000}
	photo  = kind{"16k", 16 << 10, 1000}
	large  = kind{"100k", 100 << 10, 100}
	slice  = kind{"1m", 1 << 20, 16}
	film   = kind{"10m", 10 << 20, 4}
	kinds  = []kind{small, photo, large, slice, film}
	bucket = "bench"
)

func (k kind) path(i int) string { return fmt.Sprintf("/%s/%s/%d", bucket, k.name, i) }

// benchCase is one line of the table.
type benchCase struct {
	name  string
	kind  kind
	piece int // of a range; 0 is the whole
	tls   bool
}

var cases = []benchCase{
	{name: "1 KiB", kind: small},
	{name: "16 KiB", kind: photo},
	{name: "100 KiB", kind: large},
	{name: "64 KiB range", kind: slice, piece: 64 << 10},
	{name: "1 MiB", kind: slice},
	{name: "10 MiB", kind: film},
	{name: "1 KiB TLS", kind: small, tls: true},
	{name: "100 KiB TLS", kind: large, tls: true},
}

// script is what wrk asks for: objects, and ranges of them, in a fixed order
// that jumps about.
func (c benchCase) script() string {
	var b strings.Builder
	fmt.Fprintf(&b, "local n = 0\nlocal ready = {}\n")
	if c.piece > 0 {
		fmt.Fprintf(&b, "local pieces = %d\n", c.kind.size/c.piece)
	}
	fmt.Fprintf(&b, "function init(args)\n  for i = 0, %d do\n", c.kind.count-1)
	if c.piece > 0 {
		fmt.Fprintf(&b, "    local from = (i * 7 %% pieces) * %d\n    wrk.headers[\"Range\"] = string.format(\"bytes=%%d-%%d\", from, from + %d)\n", c.piece, c.piece-1)
	}
	fmt.Fprintf(&b, "    ready[i] = wrk.format(\"GET\", \"/%s/%s/\" .. i)\n  end\nend\n", bucket, c.kind.name)
	fmt.Fprintf(&b, "function request()\n  n = (n + 7919) %% %d\n  return ready[n]\nend\n", c.kind.count)
	return b.String()
}
