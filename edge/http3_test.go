package edge_test

import (
	"bytes"
	"crypto/tls"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/quic-go/quic-go/http3"

	"meridian/edge"
	"meridian/internal/httpserve"
	"meridian/metadata"
)

// serveHTTP3 serves a node as a process does, and by TLS and HTTP/3 at another
// address.
func serveHTTP3(t *testing.T, n *edge.Node, change ...func(*httpserve.Options)) (f *front, secure string) {
	t.Helper()
	cert, key := newCertificate(t)
	certificates, err := httpserve.NewCertificates(slog.New(slog.DiscardHandler), cert, key)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	udp, err := net.ListenPacket("udp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	f = serveNode(t, n, true, func(o *httpserve.Options) {
		o.TLS, o.TLSListener, o.HTTP3 = certificates.Config(), l, udp
		for _, f := range change {
			f(o)
		}
	})
	return f, l.Addr().String()
}

// One edge answers the same by HTTP/3 as by HTTP/1.1 from its hot path and by
// HTTP/2, which tell of it.
func TestHTTP3AnswersAsTheOthersDo(t *testing.T) {
	t.Parallel()
	w, n := hotWorld(t)
	f, secure := serveHTTP3(t, n.node)
	config := &tls.Config{InsecureSkipVerify: true}
	one := &http.Transport{TLSClientConfig: config, DisableCompression: true}
	two := &http.Transport{TLSClientConfig: config, DisableCompression: true, ForceAttemptHTTP2: true}
	three := &http3.Transport{TLSClientConfig: config, DisableCompression: true}
	t.Cleanup(func() { one.CloseIdleConnections(); two.CloseIdleConnections(); three.Close() })
	base := "https://" + secure
	ask := func(by http.RoundTripper, method, url string, header ...string) answer {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), method, url, nil)
		if err != nil {
			t.Fatal(err)
		}
		with(header...)(req)
		resp, err := by.RoundTrip(req)
		if err != nil {
			t.Fatalf("%s %s: %v", method, url, err)
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		return answer{status: resp.StatusCode, header: resp.Header, body: body, err: err}
	}
	etag := ask(one, http.MethodGet, base+"/media/small.txt").header.Get("Etag")
	_, port, _ := net.SplitHostPort(secure)
	tells := `h3=":` + port + `"; ma=86400`
	large := random(2*mib+77, 3)
	for what, c := range map[string]struct {
		method, path string
		header       []string
		status       int
		body         []byte
	}{
		"whole":       {http.MethodGet, "/media/small.txt", nil, 200, random(1000, 1)},
		"large":       {http.MethodGet, "/media/large.bin", nil, 200, large},
		"range":       {http.MethodGet, "/media/large.bin", []string{"Range", "bytes=1048000-1049999"}, 206, large[1048000:1050000]},
		"two ranges":  {http.MethodGet, "/media/large.bin", []string{"Range", "bytes=0-9,1048570-1048580"}, 206, nil},
		"no range":    {http.MethodGet, "/media/small.txt", []string{"Range", "bytes=5000-"}, 416, nil},
		"same":        {http.MethodGet, "/media/small.txt", []string{"If-None-Match", etag}, 304, []byte{}},
		"head":        {http.MethodHead, "/media/large.bin", nil, 200, []byte{}},
		"missing":     {http.MethodGet, "/media/missing", nil, 404, nil},
		"not for all": {http.MethodGet, "/closed/secret.txt", nil, 403, nil},
	} {
		var said []string
		for i, by := range []http.RoundTripper{one, two, three} {
			a := ask(by, c.method, base+c.path, c.header...)
			wantBody(t, what, a, c.status, "", c.body)
			want := tells
			if i == 2 {
				want = ""
			}
			if got := a.header.Get("Alt-Svc"); got != want {
				t.Errorf("%s by HTTP/%d: Alt-Svc %q, want %q", what, i+1, got, want)
			}
			// What differs from one answer to the next, and what the version of
			// HTTP alone decides.
			for _, name := range []string{"Alt-Svc", "Date", "Age", "Server-Timing", "X-Amz-Request-Id"} {
				a.header.Del(name)
			}
			a.header.Set("Cache-Status", ttl.ReplaceAllString(a.header.Get("Cache-Status"), "ttl="))
			if c.body == nil { // an error tells its request ID, ranges their boundary
				for _, name := range []string{"Content-Length", "Content-Type"} {
					a.header.Del(name)
				}
			}
			var text bytes.Buffer
			if err := a.header.Write(&text); err != nil {
				t.Fatal(err)
			}
			said = append(said, text.String())
		}
		if said[0] != said[1] || said[1] != said[2] {
			t.Errorf("%s:\nHTTP/1.1\n%s\nHTTP/2\n%s\nHTTP/3\n%s", what, said[0], said[1], said[2])
		}
	}
	if f.hits.Load() == 0 {
		t.Error("the hot path had no part in it")
	}
	// Beside it the same node speaks plain HTTP, which tells of nothing.
	if a := ask(http.DefaultTransport, http.MethodGet, "http://"+f.addr+"/media/small.txt"); a.status != 200 || a.header.Get("Alt-Svc") != "" {
		t.Errorf("plain: %d %v", a.status, a.header)
	}
	before := w.origin.asked()
	if a := ask(three, http.MethodGet, base+"/media/huge.mp4"); !bytes.Equal(a.body, random(6*mib+5, 4)) || !strings.Contains(a.header.Get("Cache-Status"), "hit") || w.origin.asked() != before {
		t.Errorf("%d bytes, %s", len(a.body), a.header.Get("Cache-Status"))
	}
	if err := f.stop(); err != nil {
		t.Error(err)
	}
}

// One who takes nothing by HTTP/3 is cut, as by the others.
func TestStuckClientsOfHTTP3(t *testing.T) {
	t.Parallel()
	w := newWorld(t, metadata.PublicRead)
	w.origin.put("media/huge.mp4", random(6*mib+5, 4), "Content-Type", "video/mp4")
	n := w.start(metadata.TierEdge, "edge-europe-1", func(c *edge.Config) { c.SlowClient = 200 * time.Millisecond }, w.origin.url)
	over := make(chan struct{}, 2) // an answer is
	_, secure := serveHTTP3(t, n.node, func(o *httpserve.Options) {
		inner := o.Handler
		o.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			defer func() { over <- struct{}{} }()
			inner.ServeHTTP(w, r)
		})
	})
	tr := &http3.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
	t.Cleanup(func() { tr.Close() })
	client := &http.Client{Transport: tr}
	stuck, err := client.Get("https://" + secure + "/media/huge.mp4")
	if err != nil {
		t.Fatal(err)
	}
	defer stuck.Body.Close()
	<-over // it takes no more than its window
	if got, err := io.Copy(io.Discard, stuck.Body); err == nil {
		t.Errorf("one who took nothing was sent all of %d bytes", got)
	}
	// The rest of the connection is as before. It is asked for little, since who is
	// slow on a busy machine would be cut as well.
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://"+secure+"/media/huge.mp4", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Range", "bytes=100-199")
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if body, err := io.ReadAll(resp.Body); err != nil || !bytes.Equal(body, random(6*mib+5, 4)[100:200]) {
		t.Errorf("afterwards, on the same connection: %d bytes, %v", len(body), err)
	}
}
