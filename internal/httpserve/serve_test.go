package httpserve_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"meridian/internal/httpserve"
)

// start serves h on a free port and returns its URL, a function that stops it
// and waits, and what Run returned.
func start(t *testing.T, h http.Handler) (url string, stop func() error) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := httpserve.New(l, httpserve.Options{Name: "test", Handler: h, Log: slog.New(slog.DiscardHandler)})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	stopped := false
	stop = func() error {
		stopped = true
		cancel()
		return <-done
	}
	t.Cleanup(func() {
		if !stopped {
			_ = stop()
		}
	})
	return "http://" + s.Addr().String(), stop
}

func get(t *testing.T, url string) (int, http.Header, string) {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, resp.Header, string(b)
}

// A proxy that went by a Content-Length beside the chunks would take what comes
// next on the connection for another request.
func TestAChunkedRequestIsTheLastOfItsConnection(t *testing.T) {
	t.Parallel()
	url, _ := start(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "answer") }))
	conn, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_, err = io.WriteString(conn, "GET /a HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /b HTTP/1.1\r\nHost: x\r\n\r\n")
	if err != nil {
		t.Fatal(err)
	}
	said, err := io.ReadAll(conn)
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(said), "HTTP/1.1 200 OK"); n != 1 || !strings.Contains(string(said), "Connection: close") {
		t.Errorf("%d answers: %q", n, said)
	}
}

func TestShutdownLetsARunningRequestFinish(t *testing.T) {
	t.Parallel()
	entered, release := make(chan struct{}), make(chan struct{})
	url, stop := start(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		close(entered)
		<-release
		_, _ = io.WriteString(w, "whole")
	}))
	body := make(chan string, 1)
	go func() {
		resp, err := http.Get(url)
		if err != nil {
			body <- err.Error()
			return
		}
		defer resp.Body.Close()
		b, _ := io.ReadAll(resp.Body)
		body <- string(b)
	}()
	<-entered
	stopped := make(chan error, 1)
	go func() { stopped <- stop() }()
	close(release)
	if got := <-body; got != "whole" {
		t.Errorf("body after shutdown began = %q, want it whole", got)
	}
	if err := <-stopped; err != nil {
		t.Errorf("Run = %v", err)
	}
}

func TestAccessLogHasNoQueryAndTheRequestIDOfTheAnswer(t *testing.T) {
	t.Parallel()
	var buf bytes.Buffer
	log := slog.New(slog.NewTextHandler(&buf, nil))
	var inside string
	h := httpserve.Access(log, true, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		inside = httpserve.RequestID(r.Context())
		w.WriteHeader(http.StatusTeapot)
	}))
	url, stop := start(t, h)
	_, header, _ := get(t, url+"/b/k?X-Amz-Signature=sesame")
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	id := header.Get(httpserve.RequestIDHeader)
	line := buf.String()
	if id == "" || inside != id || !strings.Contains(line, id) {
		t.Errorf("request ID in answer %q, context %q, log %q: want one and the same", id, inside, line)
	}
	if strings.Contains(line, "sesame") {
		t.Errorf("access log tells a signature: %s", line)
	}
	if !strings.Contains(line, "status=418") {
		t.Errorf("access log lacks the status: %s", line)
	}
}

func TestWhatMachinesAskAllTheTimeIsNotLoggedUnlessItFails(t *testing.T) {
	t.Parallel()
	var lines bytes.Buffer
	h := httpserve.Access(slog.New(slog.NewTextHandler(&lines, nil)), true, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.RawQuery == "fail" {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}))
	for _, target := range []string{"/readyz", "/metrics", "/v1/nodes/push", "/readyz?fail", "/bucket/readyz"} {
		h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, target, nil))
	}
	if n := strings.Count(lines.String(), "\n"); n != 2 || !strings.Contains(lines.String(), "path=/bucket/readyz") || !strings.Contains(lines.String(), "status=503") {
		t.Errorf("%d lines: %s", n, lines.String())
	}
}

func TestPanicIsA500AndTheServerGoesOn(t *testing.T) {
	t.Parallel()
	h := httpserve.Access(slog.New(slog.DiscardHandler), true, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/panic" {
			panic("boom")
		}
	}))
	url, _ := start(t, h)
	if code, _, body := get(t, url+"/panic"); code != http.StatusInternalServerError || strings.Contains(body, "boom") {
		t.Errorf("panic answered %d %q, want 500 without its text", code, body)
	}
	if code, _, _ := get(t, url+"/"); code != http.StatusOK {
		t.Errorf("after a panic: %d", code)
	}
}

func TestOps(t *testing.T) {
	t.Parallel()
	notReady := errors.New("waiting for the first snapshot")
	reg := prometheus.NewRegistry()
	reg.MustRegister(prometheus.NewGauge(prometheus.GaugeOpts{Name: "meridian_test", Help: "A test."}))
	h := httpserve.Ops(reg, func() error { return notReady }, http.NotFoundHandler())
	url, _ := start(t, h)
	for path, want := range map[string]int{"/healthz": 200, "/readyz": 503, "/metrics": 200, "/healthz/x": 404} {
		if code, _, _ := get(t, url+path); code != want {
			t.Errorf("GET %s = %d, want %d", path, code, want)
		}
	}
	if _, _, body := get(t, url+"/readyz"); !strings.Contains(body, "first snapshot") {
		t.Errorf("/readyz does not say what is missing: %s", body)
	}
	notReady = nil
	if code, _, _ := get(t, url+"/readyz"); code != http.StatusOK {
		t.Errorf("/readyz when ready = %d", code)
	}
	if _, _, body := get(t, url+"/metrics"); !strings.Contains(body, "meridian_test 0") {
		t.Errorf("/metrics lacks the registry's metric")
	}
}

// Whoever asks from elsewhere learns nothing of what others call theirs.
func TestMetricsTellNoNamesToOutsiders(t *testing.T) {
	t.Parallel()
	reg := prometheus.NewRegistry()
	requests := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "requests_total", Help: "Requests."}, []string{"bucket", "result"})
	queued := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "queued", Help: "Queued."}, []string{"webhook"})
	took := prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "took", Help: "Took."}, []string{"bucket"})
	plain := prometheus.NewCounter(prometheus.CounterOpts{Name: "plain_total", Help: "Plain."})
	reg.MustRegister(requests, queued, took, plain)
	requests.WithLabelValues("secret-plans", "hit").Add(2)
	requests.WithLabelValues("payroll", "hit").Add(3)
	requests.WithLabelValues("payroll", "miss").Add(4)
	queued.WithLabelValues("hr").Set(1)
	queued.WithLabelValues("legal").Set(2)
	took.WithLabelValues("payroll").Observe(1)
	plain.Add(7)
	h := httpserve.Ops(reg, func() error { return nil }, http.NotFoundHandler())
	for address, c := range map[string]struct {
		header  string
		outside bool
	}{
		"127.0.0.1:1": {}, "[::1]:1": {}, "10.1.2.3:1": {}, "[fd00::1]:1": {}, "100.64.1.1:1": {}, "[::ffff:192.168.0.1]:1": {},
		"203.0.113.9:1": {"", true}, "[2001:db8::1]:1": {"", true}, "127.0.0.1:2": {"X-Forwarded-For", true}, "?": {"", true},
	} {
		r := httptest.NewRequest(http.MethodGet, "/metrics", nil)
		r.RemoteAddr = address
		if c.header != "" {
			r.Header.Set(c.header, "203.0.113.9")
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		body := w.Body.String()
		for _, name := range []string{"secret-plans", "payroll", "hr", "legal"} {
			if strings.Contains(body, `"`+name+`"`) == c.outside {
				t.Errorf("%s: %q is told: %t", address, name, !c.outside)
			}
		}
		want := []string{`requests_total{bucket="payroll",result="hit"} 3`, "plain_total 7"}
		if c.outside {
			want = []string{`requests_total{result="hit"} 5`, `requests_total{result="miss"} 4`, "queued 3", "plain_total 7"}
		}
		for _, line := range want {
			if w.Code != http.StatusOK || !strings.Contains(body, "\n"+line+"\n") {
				t.Errorf("%s: %d, without %s:\n%s", address, w.Code, line, body)
			}
		}
	}
}
