package s3api

import (
	"io"
	"net/http/httptest"

	"github.com/prometheus/client_golang/prometheus"
)

type limited = io.LimitedReader

func testMetrics() *metrics { return newMetrics("test", prometheus.NewRegistry()) }

// onlyReader hides all methods but Read, as a file does for our purpose.
type onlyReader struct{ io.Reader }

// readFromRecorder notes what it is given to read from.
type readFromRecorder struct {
	*httptest.ResponseRecorder
	sources []io.Reader
}

func (r *readFromRecorder) ReadFrom(src io.Reader) (int64, error) {
	if l, ok := src.(*io.LimitedReader); ok {
		r.sources = append(r.sources, l.R)
	}
	return io.Copy(struct{ io.Writer }{r.ResponseRecorder}, src)
}
