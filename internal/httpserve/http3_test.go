package httpserve_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/quic-go/quic-go/http3"

	"meridian/internal/httpserve"
)

// everywhere is a server of plain HTTP, TLS and HTTP/3.
type everywhere struct {
	plain, secure string // URLs; HTTP/3 is at that of TLS
	reg           *prometheus.Registry
	stop          func() error
}

func startEverywhere(t *testing.T, h http.Handler, change func(*httpserve.Options)) *everywhere {
	t.Helper()
	listen := func() net.Listener {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	cert, key := filepath.Join(t.TempDir(), "cert.pem"), filepath.Join(t.TempDir(), "key.pem")
	writePair(t, cert, key, 1)
	certificates, err := httpserve.NewCertificates(slog.New(slog.DiscardHandler), cert, key)
	if err != nil {
		t.Fatal(err)
	}
	e := &everywhere{reg: prometheus.NewRegistry()}
	plain, secure := listen(), listen()
	udp, err := net.ListenPacket("udp", secure.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	o := httpserve.Options{
		Name: "test", Handler: h, Log: slog.New(slog.DiscardHandler),
		TLS: certificates.Config(), TLSListener: secure, HTTP3: udp, Registry: e.reg,
	}
	if change != nil {
		change(&o)
	}
	s := httpserve.New(plain, o)
	e.plain, e.secure = "http://"+plain.Addr().String(), "https://"+secure.Addr().String()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	e.stop = sync.OnceValue(func() error { cancel(); return <-done })
	t.Cleanup(func() {
		if err := e.stop(); err != nil {
			t.Error(err)
		}
	})
	return e
}

// over is a client of HTTP/1.1, 2 or 3 that believes every certificate.
func over(t *testing.T, version int) *http.Client {
	t.Helper()
	config := &tls.Config{InsecureSkipVerify: true}
	if version == 3 {
		tr := &http3.Transport{TLSClientConfig: config}
		t.Cleanup(func() { tr.Close() })
		return &http.Client{Transport: tr}
	}
	tr := &http.Transport{TLSClientConfig: config, ForceAttemptHTTP2: version == 2}
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr}
}

func TestOneHandlerOverEveryProtocol(t *testing.T) {
	t.Parallel()
	e := startEverywhere(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "%s %t", r.Proto, r.TLS != nil)
	}), nil)
	_, port, _ := net.SplitHostPort(strings.TrimPrefix(e.secure, "https://"))
	tells := `h3=":` + port + `"; ma=86400`
	for _, c := range []struct {
		url             string
		version         int
		answer, altered string
	}{
		{e.plain, 1, "HTTP/1.1 false", ""},
		{e.secure, 1, "HTTP/1.1 true", tells},
		{e.secure, 2, "HTTP/2.0 true", tells},
		{e.secure, 3, "HTTP/3.0 true", ""},
	} {
		resp, err := over(t, c.version).Get(c.url)
		if err != nil {
			t.Fatalf("%s by HTTP/%d: %v", c.url, c.version, err)
		}
		body, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if string(body) != c.answer || resp.Header.Get("Alt-Svc") != c.altered {
			t.Errorf("%s by HTTP/%d: %q, Alt-Svc %q, want %q and %q", c.url, c.version, body, resp.Header.Get("Alt-Svc"), c.answer, c.altered)
		}
	}
	families, err := e.reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == "meridian_http3_requests_total" && f.GetMetric()[0].GetCounter().GetValue() == 1 {
			return
		}
	}
	t.Errorf("the request by HTTP/3 is not counted: %v", families)
}

// Who reaches the server through something that changes ports needs the outer one.
func TestAltSvcNamesThePortThatClientsReach(t *testing.T) {
	t.Parallel()
	e := startEverywhere(t, http.NotFoundHandler(), func(o *httpserve.Options) { o.HTTP3Port = 443 })
	resp, err := over(t, 1).Get(e.secure)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if got := resp.Header.Get("Alt-Svc"); got != `h3=":443"; ma=86400` {
		t.Errorf("Alt-Svc %q", got)
	}
}

func TestShutdownLetsARequestByHTTP3Finish(t *testing.T) {
	t.Parallel()
	body := bytes.Repeat([]byte("0123456789abcdef"), 128<<10)
	entered, release := make(chan struct{}), make(chan struct{})
	e := startEverywhere(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			close(entered)
			<-release
		}
		_, _ = w.Write(body)
	}), func(o *httpserve.Options) { o.Drain = time.Minute })
	got := make(chan error, 1)
	c := over(t, 3)
	go func() {
		resp, err := c.Get(e.secure + "/slow")
		if err != nil {
			got <- err
			return
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		if err == nil && !bytes.Equal(b, body) {
			err = fmt.Errorf("%d bytes of %d", len(b), len(body))
		}
		got <- err
	}()
	<-entered
	stopped := make(chan error, 1)
	go func() { stopped <- e.stop() }()
	for late := over(t, 3); ; {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, e.secure, nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := late.Do(req)
		cancel()
		if err != nil {
			break // refused, once the server has begun to stop
		}
		resp.Body.Close()
	}
	select {
	case err := <-stopped:
		t.Fatalf("stopped amid a request: %v", err)
	default:
	}
	close(release)
	if err := <-got; err != nil {
		t.Errorf("the answer after shutdown began: %v", err)
	}
	if err := <-stopped; err != nil {
		t.Errorf("Run = %v", err)
	}
}

func TestWhatDoesNotEndIsCut(t *testing.T) {
	t.Parallel()
	entered, left := make(chan struct{}), make(chan struct{})
	e := startEverywhere(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		close(entered)
		<-r.Context().Done()
		close(left)
	}), func(o *httpserve.Options) { o.Drain = 50 * time.Millisecond })
	failed := make(chan error, 1)
	c := over(t, 3)
	go func() {
		resp, err := c.Get(e.secure)
		if err == nil {
			resp.Body.Close()
			err = errors.New("answered " + resp.Status)
		}
		failed <- err
	}()
	<-entered
	if err := e.stop(); err != nil {
		t.Error(err)
	}
	<-left
	if err := <-failed; err == nil || strings.Contains(err.Error(), "answered") {
		t.Errorf("the client of a request that was cut: %v", err)
	}
}
