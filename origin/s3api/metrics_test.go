package s3api_test

import (
	"net"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"meridian/origin/s3api"
)

// counted is the value of meridian_s3_requests_total for an operation and code.
func (w *world) counted(op, code string) float64 {
	w.t.Helper()
	families, err := w.reg.Gather()
	if err != nil {
		w.t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() != "meridian_s3_requests_total" {
			continue
		}
		for _, m := range f.GetMetric() {
			labels := map[string]string{}
			for _, l := range m.GetLabel() {
				labels[l.GetName()] = l.GetValue()
			}
			if labels["op"] == op && labels["code"] == code && labels["region"] == region {
				return m.GetCounter().GetValue()
			}
		}
	}
	return 0
}

func TestRequestsAreCounted(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.must("PUT", "/bkt", nil)
	w.must("PUT", "/bkt/key", []byte("x"))
	w.must("GET", "/bkt/key", nil)
	w.must("GET", "/bkt/key", nil)
	w.refused(root, 404, "NoSuchKey", "GET", "/bkt/missing", nil)
	w.refused(root, 405, "MethodNotAllowed", "DELETE", "/", nil)
	for _, tt := range []struct {
		op, code string
		want     float64
	}{{"PutObject", "OK", 1}, {"GetObject", "OK", 2}, {"GetObject", "NoSuchKey", 1}, {"Unknown", "MethodNotAllowed", 1}} {
		w.eventually(func() bool { return w.counted(tt.op, tt.code) == tt.want }, tt.op+" "+tt.code)
	}
}

// eventually waits for what happens after an answer was sent.
func (w *world) eventually(holds func() bool, what string) {
	w.t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	deadline := time.After(2 * time.Minute)
	for !holds() {
		select {
		case <-tick.C:
		case <-deadline:
			w.t.Fatalf("never: %s", what)
		}
	}
}

// A client that stops reading is cut off, and takes nothing with it.
func TestClientThatStopsReading(t *testing.T) {
	t.Parallel()
	var impatient s3api.Options
	w := newWorld(t, func(o *s3api.Options) { impatient = *o })
	w.must("PUT", "/bkt", nil)
	w.must("PUT", "/bkt/key", pattern(64*mib)) // with patience, for a busy machine
	impatient.Stall, impatient.Registry = 100*time.Millisecond, prometheus.NewRegistry()
	srv := httptest.NewServer(s3api.New(impatient))
	t.Cleanup(srv.Close)
	w.url, w.reg = srv.URL, impatient.Registry.(*prometheus.Registry)
	conn := w.raw(t, w.head(t, root, "GET", "/bkt/key")...)
	if err := conn.(*net.TCPConn).SetReadBuffer(4 << 10); err != nil {
		t.Fatal(err)
	}
	w.eventually(func() bool { return w.counted("GetObject", "Aborted") == 1 }, "the answer is given up")
	if r := w.must("HEAD", "/bkt/key", nil); !strings.Contains(r.header.Get("Content-Length"), "67108864") {
		t.Errorf("%v", r.header)
	}
}
