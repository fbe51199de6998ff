package edge_test

import (
	"bytes"
	"context"
	"crypto/md5"
	"encoding/binary"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"meridian/internal/hop"
	"meridian/internal/sigv4"
	"meridian/metadata"
)

// customerKeyHeader holds the key of an object's owner (SSE-C).
const customerKeyHeader = "X-Amz-Server-Side-Encryption-Customer-Key"

// origin speaks the hop protocol as an origin does, for node-signed requests
// only, and can be told to fail. It counts what it is asked.
type origin struct {
	t   testing.TB
	url string
	srv *httptest.Server

	mu       sync.Mutex
	objects  map[string]*object // current, by bucket/key
	dropped  map[string]*object // by version
	versions int
	requests []string // method, path, range
	// hold, if not nil, is called before a request is answered, after what it
	// is about was looked up.
	hold func(r *http.Request, o *object)
	down bool
	now  func() time.Time
}

type object struct {
	version string
	id      string // as clients see it
	etag    string
	body    []byte
	film    *pattern // instead of body
	header  http.Header
	when    time.Time
	key     string // of its owner's, without which nobody may read it
}

func newOrigin(t testing.TB) *origin {
	o := &origin{now: time.Now, t: t, objects: map[string]*object{}, dropped: map[string]*object{}}
	v := &sigv4.Verifier{Now: func() time.Time { return o.now() }, Keys: func(_ context.Context, s sigv4.Scope) ([]byte, error) {
		if s.AccessKey != hop.NodeAccessKey {
			return nil, sigv4.ErrUnknownAccessKey
		}
		return sigv4.DeriveKey(clusterSecret, s.Date, s.Region, s.Service), nil
	}}
	o.srv = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/readyz" {
			return
		}
		if _, err := v.Verify(r); err != nil {
			t.Errorf("origin: %s %s: %v", r.Method, r.URL, err)
			w.WriteHeader(http.StatusForbidden)
			return
		}
		o.serve(w, r)
	}))
	o.url = o.srv.URL
	t.Cleanup(o.srv.Close)
	return o
}

// put makes body the current version of bucket/key; header are pairs.
func (o *origin) put(name string, body []byte, header ...string) *object {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.versions++
	obj := &object{
		version: fmt.Sprintf("01HVERSN%018d", o.versions), body: body, header: http.Header{},
		etag: fmt.Sprintf("%q", fmt.Sprintf("%x", md5.Sum(body))), when: time.Now().Add(-time.Hour).Truncate(time.Second),
	}
	for i := 0; i < len(header); i += 2 {
		obj.header.Add(header[i], header[i+1])
	}
	if old := o.objects[name]; old != nil {
		o.dropped[old.version] = old
	}
	o.objects[name] = obj
	return obj
}

// pattern is a body too large to be held: a MiB that repeats, each time with its
// number in front.
type pattern struct {
	block []byte
	size  int
}

// putPattern makes a pattern of that size the current version of bucket/key.
func (o *origin) putPattern(name string, size int) *pattern {
	p := &pattern{block: random(mib, uint64(size)), size: size}
	obj := o.put(name, p.block)
	o.set(func() { obj.film = p })
	return p
}

// part returns the bytes from first to before end.
func (p *pattern) part(first, end int) []byte {
	b := make([]byte, 0, end-first)
	for at := first; at < end; {
		block, in := at/mib, at%mib
		var number [8]byte
		binary.BigEndian.PutUint64(number[:], uint64(block))
		from := p.block[in:]
		if in < len(number) {
			from = number[in:]
		}
		from = from[:min(len(from), end-at)]
		b, at = append(b, from...), at+len(from)
	}
	return b
}

// holds says whether b are its bytes from first on.
func (p *pattern) holds(b []byte, first int) bool {
	return first+len(b) <= p.size && bytes.Equal(b, p.part(first, first+len(b)))
}

func (o *origin) remove(name string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	delete(o.objects, name)
}

// sweep frees what was overwritten.
func (o *origin) sweep() {
	o.mu.Lock()
	defer o.mu.Unlock()
	clear(o.dropped)
}

func (o *origin) asked() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.requests)
}

func (o *origin) log() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return strings.Join(o.requests, "\n")
}

func (o *origin) set(f func()) {
	o.mu.Lock()
	defer o.mu.Unlock()
	f()
}

func (o *origin) find(r *http.Request) *object {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.requests = append(o.requests, strings.TrimSpace(r.Method+" "+r.URL.Path+" "+r.Header.Get("Range")+" "+r.Header.Get("If-None-Match")))
	for name := range r.Header {
		switch name {
		case customerKeyHeader:
			if !strings.Contains(r.Header.Get("Authorization"), strings.ToLower(name)) {
				o.t.Errorf("origin: the key of the customer is not signed")
			}
		case "Authorization", "X-Amz-Date", "X-Amz-Content-Sha256", "Range", "If-None-Match", "User-Agent", "Accept-Encoding",
			hop.RequestApplied, hop.RequestNode, hop.RequestVersion, hop.RequestTimeout, hop.RequestAhead:
		default:
			o.t.Errorf("origin: header %s came through to it: %q", name, r.Header[name])
		}
	}
	if o.down {
		panic(http.ErrAbortHandler)
	}
	name := strings.TrimPrefix(r.URL.Path, "/")
	current := o.objects[name]
	if want := r.Header.Get(hop.RequestVersion); want != "" {
		if current != nil && current.version == want {
			return current
		}
		return o.dropped[want]
	}
	if id := r.URL.Query().Get("versionId"); id != "" && (current == nil || current.id != id) {
		return nil
	}
	return current
}

func (o *origin) serve(w http.ResponseWriter, r *http.Request) {
	obj := o.find(r)
	o.mu.Lock()
	hold := o.hold
	o.mu.Unlock()
	if hold != nil {
		hold(r, obj)
	}
	h := w.Header()
	if key := r.Header.Get(customerKeyHeader); obj != nil && key != obj.key {
		h.Set("Content-Type", "application/xml")
		if key == "" || obj.key == "" {
			w.WriteHeader(http.StatusBadRequest)
			_, _ = io.WriteString(w, "<Error><Code>InvalidRequest</Code><Message>The correct parameters must be provided.</Message></Error>")
			return
		}
		w.WriteHeader(http.StatusForbidden)
		_, _ = io.WriteString(w, "<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>")
		return
	}
	if obj == nil {
		h.Set("Content-Type", "application/xml")
		w.WriteHeader(http.StatusNotFound)
		_, _ = io.WriteString(w, "<Error><Code>NoSuchKey</Code></Error>")
		return
	}
	h.Set(hop.Version, obj.version)
	h.Set(hop.Crc64, "12345")
	h.Set("ETag", obj.etag)
	h.Set("Last-Modified", obj.when.UTC().Format(http.TimeFormat))
	h.Set("Accept-Ranges", "bytes")
	h.Set("Date", o.now().UTC().Format(http.TimeFormat))
	h.Set("X-Amz-Request-Id", "ORIGIN")
	h.Set("X-Meridian-Region", "europe")
	if obj.id != "" {
		h.Set("X-Amz-Version-Id", obj.id)
	}
	if h.Get("Content-Type") == "" {
		h.Set("Content-Type", "application/octet-stream")
	}
	if r.Header.Get("If-None-Match") == obj.etag {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	for name, values := range obj.header {
		h[name] = values
	}
	body, size, status := obj.body, len(obj.body), http.StatusOK
	if obj.film != nil {
		size = obj.film.size
	}
	if first, last, ok := rangeOf(r.Header.Get("Range")); ok && size > 0 {
		if first >= size {
			h.Set("Content-Range", fmt.Sprintf("bytes */%d", size))
			w.WriteHeader(http.StatusRequestedRangeNotSatisfiable)
			return
		}
		last = min(last, size-1)
		h.Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", first, last, size))
		if status = http.StatusPartialContent; obj.film != nil {
			body = obj.film.part(first, last+1)
		} else {
			body = body[first : last+1]
		}
		h.Set(hop.Sum, hop.SumOf(body))
	}
	h.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	if r.Method != http.MethodHead {
		_, _ = w.Write(body)
	}
}

func rangeOf(s string) (first, last int, ok bool) {
	n, err := fmt.Sscanf(s, "bytes=%d-%d", &first, &last)
	return first, last, err == nil && n == 2
}

func media(visibility string) metadata.Bucket {
	return metadata.Bucket{Name: "media", Region: "europe", Visibility: visibility}
}
