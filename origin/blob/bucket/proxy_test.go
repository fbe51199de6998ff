package bucket_test

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"sync"
	"testing"
)

// fault is what a proxy does to requests of a method.
type fault struct {
	on         string // method; empty: none
	cutAnswer  int64  // the body of an answer ends after so many bytes
	cutRequest int64  // so does that of a request
	lose       int    // so many answers never arrive
	busy       int    // answers 503 to so many requests like one another
}

// proxy is a bad line to a server.
type proxy struct {
	*httptest.Server
	mu    sync.Mutex
	fault fault
	count map[string]int // requests by method
	seen  map[string]int // requests by method and URL, since the fault was set
}

func busyTwice() fault { return fault{on: "*", busy: 2} }

func newProxy(t *testing.T, target string) *proxy {
	t.Helper()
	u, err := url.Parse(target)
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{count: map[string]int{}}
	forward := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(u)
			r.Out.Host = r.In.Host // it is signed
		},
		ErrorHandler: func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) },
		ModifyResponse: func(r *http.Response) error {
			f := p.get()
			if f.on != r.Request.Method {
				return nil
			}
			if f.cutAnswer > 0 && r.ContentLength > f.cutAnswer {
				r.Body = cut{io.LimitReader(r.Body, f.cutAnswer), r.Body}
			}
			if p.once(func(f *fault) *int { return &f.lose }) {
				return errors.New("lost") // after the server has done what it was asked
			}
			return nil
		},
	}
	p.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f := p.get()
		p.mu.Lock()
		p.count[r.Method]++
		p.seen[r.Method+r.URL.String()]++
		tries := p.seen[r.Method+r.URL.String()]
		p.mu.Unlock()
		if f.on == "*" && tries <= f.busy {
			w.Header().Set("Content-Type", "application/xml")
			w.WriteHeader(http.StatusServiceUnavailable)
			if r.Method != http.MethodHead {
				_, _ = io.WriteString(w, "<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>")
			}
			return
		}
		if f.on == r.Method && f.cutRequest > 0 && r.ContentLength > f.cutRequest {
			r.Body = cut{io.LimitReader(r.Body, f.cutRequest), r.Body}
		}
		forward.ServeHTTP(w, r)
	}))
	p.set(fault{})
	t.Cleanup(p.Close)
	return p
}

func (p *proxy) set(f fault) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.fault, p.seen = f, map[string]int{}
}

func (p *proxy) get() fault {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.fault
}

// once takes one from a counter of the fault.
func (p *proxy) once(which func(*fault) *int) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := which(&p.fault)
	if *n == 0 {
		return false
	}
	*n--
	return true
}

func (p *proxy) requests(method string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.count[method]
}

// cut is a body that breaks off.
type cut struct {
	io.Reader
	io.Closer
}

func (c cut) Read(b []byte) (int, error) {
	n, err := c.Reader.Read(b)
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}
