package httpserve

import (
	"bufio"
	"context"
	"crypto/rand"
	"encoding/base32"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"runtime/debug"
	"slices"
	"time"
)

// RequestIDHeader carries the request ID in every answer, as S3 clients expect.
const RequestIDHeader = "X-Amz-Request-Id"

type requestIDKey struct{}

// RequestID is the ID that Access gave the request of ctx, or "".
func RequestID(ctx context.Context) string {
	id, _ := ctx.Value(requestIDKey{}).(string)
	return id
}

// Access gives every request an ID, which ends up in the answer and in errors,
// logs a line for it when it is done, if lines are wanted, and turns a panic
// into a 500 and a logged stack. http.ErrAbortHandler passes through: it is how
// a handler cuts a connection on purpose.
func Access(log *slog.Logger, lines bool, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		start := time.Now()
		id := newRequestID()
		w.Header().Set(RequestIDHeader, id)
		rec := &recorder{ResponseWriter: w}
		defer func() {
			p := recover()
			err, _ := p.(error)
			aborted := errors.Is(err, http.ErrAbortHandler)
			if p != nil && !aborted {
				log.Error("panic", "request_id", id, "method", r.Method, "path", r.URL.Path, "panic", p, "stack", string(debug.Stack()))
				if rec.status == 0 {
					http.Error(rec, "Internal Server Error", http.StatusInternalServerError)
				}
			}
			if lines {
				logRequest(log, r, rec, id, start)
			}
			if aborted {
				panic(p)
			}
		}()
		next.ServeHTTP(rec, r.WithContext(context.WithValue(r.Context(), requestIDKey{}, id)))
	})
}

// routine are the paths that machines ask every few seconds: health checks,
// Prometheus, the counters of every node. Lines of them would drown all others.
var routine = []string{"/healthz", "/readyz", "/metrics", "/v1/nodes/push"}

// logRequest leaves the query out: presigned URLs carry signatures in it.
func logRequest(log *slog.Logger, r *http.Request, rec *recorder, id string, start time.Time) {
	status := rec.status
	if status == 0 {
		status = http.StatusOK
	}
	level := slog.LevelInfo
	if status < 400 && slices.Contains(routine, r.URL.Path) {
		level = slog.LevelDebug
	}
	log.LogAttrs(r.Context(), level, "request",
		slog.String("request_id", id),
		slog.String("method", r.Method),
		slog.String("proto", r.Proto),
		slog.String("host", r.Host),
		slog.String("path", r.URL.EscapedPath()),
		slog.Int("status", status),
		slog.Int64("bytes", rec.bytes),
		slog.Duration("took", time.Since(start)),
		slog.String("remote", r.RemoteAddr),
		slog.String("cache", rec.Header().Get("Cache-Status")),
		slog.String("agent", r.UserAgent()))
}

func newRequestID() string {
	var b [10]byte
	_, _ = rand.Read(b[:]) // never fails: crypto/rand ends the program instead
	return base32.StdEncoding.EncodeToString(b[:])
}

// recorder counts what is sent. It forwards ReadFrom, so that a file still goes
// to the socket by sendfile, and Unwrap for http.ResponseController.
type recorder struct {
	http.ResponseWriter
	status int
	bytes  int64
}

var (
	_ io.ReaderFrom = (*recorder)(nil)
	_ http.Flusher  = (*recorder)(nil)
	_ http.Hijacker = (*recorder)(nil)
)

func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }

func (r *recorder) WriteHeader(code int) {
	if r.status == 0 && code >= 200 {
		r.status = code
	}
	r.ResponseWriter.WriteHeader(code)
}

func (r *recorder) Write(p []byte) (int, error) {
	n, err := r.ResponseWriter.Write(p)
	r.bytes += int64(n)
	return n, err
}

func (r *recorder) ReadFrom(src io.Reader) (int64, error) {
	n, err := io.Copy(r.ResponseWriter, src)
	r.bytes += n
	return n, err
}

func (r *recorder) Flush() {
	if f, ok := r.ResponseWriter.(http.Flusher); ok {
		f.Flush()
	}
}

func (r *recorder) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	h, ok := r.ResponseWriter.(http.Hijacker)
	if !ok {
		return nil, nil, errors.New("connection cannot be taken over")
	}
	return h.Hijack()
}
