package edge_test

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"meridian/metadata"
)

// Clients that take nothing of their answers hold what may be held of bodies. All
// others get theirs nevertheless, whole, also of what the cache does not hold for
// long.
func TestSlowClientsHoldOnlySoMuch(t *testing.T) {
	t.Parallel()
	w := newWorld(t, metadata.PublicRead)
	e := w.edge(w.origin.url)
	body := random(20<<20+12345, 3) // more than sockets buffer
	w.origin.put("media/film", body)
	wantBody(t, "before", e.get("/media/film"), 200, "miss", body)
	if n := e.metric(t, "meridian_cache_bodies_copied_total"); n != 0 {
		t.Errorf("%v bodies were copied with nobody about", n)
	}

	const slow = 200 // of up to two slices each
	for range slow {
		conn, err := net.Dial("tcp", strings.TrimPrefix(e.url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		if _, err := io.WriteString(conn, "GET /media/film HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(conn, make([]byte, 12)); err != nil {
			t.Fatal(err)
		}
	}
	if e.metric(t, "meridian_cache_bodies_copied_total") == 0 {
		t.Error("200 clients hold two slices each, and nothing was said")
	}
	wantBody(t, "whole", e.get("/media/film"), 200, "hit", body)
	for _, r := range [][2]int{{0, 9}, {1<<20 - 5, 1<<20 + 5}, {3 << 20, 9<<20 + 7}, {len(body) - 1, len(body) - 1}} {
		a := e.get("/media/film", "Range", fmt.Sprintf("bytes=%d-%d", r[0], r[1]))
		if a.status != http.StatusPartialContent || !bytes.Equal(a.body, body[r[0]:r[1]+1]) {
			t.Errorf("bytes %v: %d, %d bytes", r, a.status, len(a.body))
		}
	}
}

// metric is the sum of all series of a name.
func (n *node) metric(t *testing.T, name string) (sum float64) {
	t.Helper()
	families, err := n.reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
		for _, m := range f.GetMetric() {
			sum += m.GetCounter().GetValue() + m.GetGauge().GetValue()
		}
	}
	return sum
}
