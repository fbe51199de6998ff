package s3api

import (
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"meridian/internal/httpserve"
)

// sendChunk is how much may be sent between two looks at the clock. It is what
// the slowest client must take within Options.Stall: by default 9 KiB/s. With less,
// files cost more to send, and with more too, as more waits in the socket.
const sendChunk = 512 << 10

// response counts what is sent and gives every piece of it a time to be
// taken. A whole object has no limit: a slow client that goes on is served.
type response struct {
	http.ResponseWriter
	stall   time.Duration // see Options.Stall
	ctl     *http.ResponseController
	metrics *metrics

	held *httpserve.Held // nil, or what holds the answer back

	start  time.Time
	first  time.Duration // to the status line
	status int
	bytes  int64
}

var (
	_ http.ResponseWriter = (*response)(nil)
	_ io.ReaderFrom       = (*response)(nil)
)

func newResponse(w http.ResponseWriter, m *metrics, stall time.Duration) *response {
	return &response{ResponseWriter: w, ctl: http.NewResponseController(w), metrics: m, stall: stall, start: time.Now()}
}

func (w *response) WriteHeader(status int) {
	if w.status == 0 {
		w.status, w.first = status, time.Since(w.start)
	}
	w.ResponseWriter.WriteHeader(status)
}

// allow gives the client time for the next piece. Writers without deadlines
// (tests) do without.
func (w *response) allow() { _ = w.ctl.SetWriteDeadline(time.Now().Add(w.stall)) }

func (w *response) Write(p []byte) (n int, err error) {
	for len(p) > 0 && err == nil {
		w.allow()
		var m int
		m, err = w.ResponseWriter.Write(p[:min(len(p), sendChunk)])
		n += m
		p = p[m:]
		w.sent(int64(m))
	}
	return n, err
}

// ReadFrom copies src piece by piece in a form in which net/http can have the
// kernel send a file: an io.LimitedReader directly over it.
func (w *response) ReadFrom(src io.Reader) (n int64, err error) {
	outer, limited := src.(*io.LimitedReader)
	piece := &io.LimitedReader{R: src}
	if limited {
		piece.R = outer.R
	}
	for {
		piece.N = sendChunk
		if limited {
			piece.N = min(piece.N, outer.N)
		}
		want := piece.N
		if want <= 0 {
			return n, nil
		}
		w.allow()
		m, err := io.Copy(w.ResponseWriter, piece)
		n += m
		w.sent(m)
		if limited {
			outer.N -= m
		}
		if err != nil || m < want {
			return n, err
		}
	}
}

func (w *response) sent(n int64) {
	w.bytes += n
	w.metrics.sent.Add(float64(n))
}

// finish sends what is still buffered under a deadline, and then takes the
// deadline off: the connection goes on to its next request.
func (w *response) finish() {
	if w.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	if w.bytes > 0 {
		w.allow()
		_ = w.ctl.Flush() // an error is the client's, and comes up again
		w.release()
	}
	_ = w.ctl.SetWriteDeadline(time.Time{})
}

// release sends what is held back.
func (w *response) release() { _ = w.held.Release() } // likewise

// sendXML sends a whole document as the answer of a success.
func (w *response) sendXML(d *document) error {
	return w.send(http.StatusOK, d.bytes())
}

func (w *response) send(status int, body []byte) error {
	return w.sendAs("application/xml", status, body)
}

func (w *response) sendAs(contentType string, status int, body []byte) error {
	w.Header().Set("Content-Type", contentType)
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	_, err := w.Write(body)
	return err
}

// fail sends an error: a body only where one may be sent.
func (w *response) fail(r *http.Request, status int, f *failure, requestID string) {
	h := w.Header()
	for name := range h {
		if describesObject(name, f.code) {
			delete(h, name)
		}
	}
	if f.code == errNotModified {
		w.WriteHeader(status)
		return
	}
	if status == http.StatusServiceUnavailable {
		h.Set("Retry-After", "1")
	}
	if f.code == errBadDigest || f.code == errContentSHA256Mismatch {
		// What came is not what was announced, perhaps in length neither: the rest
		// would be taken for the next request.
		h.Set("Connection", "close")
	}
	if r.Method == http.MethodHead {
		h.Set("Content-Type", "application/xml")
		w.WriteHeader(status)
		return
	}
	// The client is told of the refusal, so it does not matter when it does not
	// read it.
	_ = w.send(status, f.document(r.URL.EscapedPath(), requestID, h.Get("X-Amz-Id-2")))
}

// failSTS sends an error of the Security Token Service.
func (w *response) failSTS(status int, f *failure, requestID string) {
	if f.code == errExpiredToken { // which S3 answers otherwise
		status = http.StatusForbidden
	}
	_ = w.sendAs("text/xml", status, f.stsDocument(status, requestID)) // as in fail
}

// describesObject says whether a header, set before the request failed, is about
// an object that is not sent. A 304 keeps those that RFC 9110, section 15.4.5
// names.
func describesObject(name string, k code) bool {
	name = strings.ToLower(name)
	switch name {
	case "etag", "cache-control", "expires":
		return k != errNotModified
	case "last-modified":
		return k != errNotModified && k != errMethodNotAllowed
	case "accept-ranges", "x-amz-tagging-count", "x-amz-storage-class", "x-amz-mp-parts-count":
		return true
	}
	return strings.HasPrefix(name, "content-") || strings.HasPrefix(name, metaPrefix) ||
		strings.HasPrefix(name, checksumPrefix) || strings.HasPrefix(name, "x-amz-server-side-encryption") ||
		strings.HasPrefix(name, "x-amz-object-lock-") || k != errNotModified && slices.Contains(kept, name)
}

// stallReader gives the client Options.Stall for every read of a request's body.
type stallReader struct {
	io.ReadCloser
	ctl     *http.ResponseController
	metrics *metrics
	stall   time.Duration
	set     time.Time // when the deadline was last moved
}

func (s *stallReader) Read(p []byte) (int, error) {
	if now := time.Now(); now.Sub(s.set) > s.stall/64 {
		s.set = now
		_ = s.ctl.SetReadDeadline(now.Add(s.stall)) // connections without deadlines (tests) do without
	}
	n, err := s.ReadCloser.Read(p)
	s.metrics.received.Add(float64(n))
	if err == io.EOF {
		// From here net/http reads ahead to notice that the client leaves, for
		// however long the answer takes.
		_ = s.ctl.SetReadDeadline(time.Time{})
	}
	return n, err
}

// isConnError says whether err came from sending to the client, who left.
func isConnError(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op != "read" && op.Op != "dial"
}

// stalled says whether err means that the client stopped moving.
func stalled(err error) bool { return os.IsTimeout(err) }
