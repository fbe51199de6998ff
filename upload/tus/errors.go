package tus

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"syscall"

	tusd "github.com/tus/tusd/v2/pkg/handler"

	"meridian/internal/httpserve"
	"meridian/metadata"
	"meridian/origin/blob"
	"meridian/upload"
	"meridian/upload/relay"
)

// refuse is an answer to the client. name is the end of the problem's type.
func refuse(status int, name, format string, args ...any) error {
	return tusd.NewError("ERR_"+strings.ToUpper(strings.ReplaceAll(name, "-", "_")), fmt.Sprintf(format, args...), status)
}

func invalid(format string, args ...any) error {
	return refuse(http.StatusBadRequest, "invalid", format, args...)
}

var errNoSuchUpload = refuse(http.StatusNotFound, "no-such-upload", "there is no such upload; it may have expired")

// errorKinds is the one table of errors. The first that fits counts.
var errorKinds = []struct {
	err    error
	status int
	name   string
	detail string // the error's own text where it is empty
}{
	{blob.ErrUnavailable, http.StatusServiceUnavailable, "store-unavailable", "the store of the region that takes this upload cannot be reached at the moment; go on from the offset that HEAD tells, or begin anew in another region"},
	{metadata.ErrNoSuchUpload, http.StatusNotFound, "no-such-upload", "there is no such upload; it may have expired"},
	{metadata.ErrNotHeld, http.StatusLocked, "upload-locked", "another request has taken over this upload; ask for its offset by HEAD"},
	{metadata.ErrNoSuchBucket, http.StatusNotFound, "no-such-bucket", ""},
	{metadata.ErrInvalid, http.StatusBadRequest, "invalid", ""},
	{metadata.ErrTooLarge, http.StatusRequestEntityTooLarge, "object-too-large", ""},
	{metadata.ErrTypeRefused, http.StatusUnsupportedMediaType, "type-refused", ""},
	{metadata.ErrQuota, http.StatusForbidden, "quota-exceeded", ""},
	{metadata.ErrPullZone, http.StatusConflict, "pull-zone", ""},
	{metadata.ErrResidency, http.StatusUnprocessableEntity, "residency", ""},
	{upload.ErrTooLarge, http.StatusRequestEntityTooLarge, "too-large", ""},
	{upload.ErrWrongRegion, http.StatusMisdirectedRequest, "wrong-region", ""},
	{blob.ErrNoSpace, http.StatusInsufficientStorage, "no-space", "the region has no room for more"},
	{syscall.ENOSPC, http.StatusInsufficientStorage, "no-space", "the region has no room for more"},
}

// answer turns an error into what the client is told. What is not in the table
// is nobody's business but the log's.
func answer(err error) error {
	var told tusd.Error
	if err == nil || errors.As(err, &told) {
		return err
	}
	for _, k := range errorKinds {
		if errors.Is(err, k.err) {
			detail := k.detail
			if detail == "" {
				detail = err.Error()
			}
			return refuse(k.status, k.name, "%s", detail)
		}
	}
	return err
}

// problems turns the errors that tusd writes, "<code>: <message>" as plain text,
// into problem documents.
type problems struct {
	http.ResponseWriter
	request *http.Request
	log     *slog.Logger
	status  int // of an error whose text is still to come
}

// Unwrap is for http.ResponseController.
func (p *problems) Unwrap() http.ResponseWriter { return p.ResponseWriter }

// WriteHeader holds back the status of an error until its text comes, which HEAD
// never does.
func (p *problems) WriteHeader(status int) {
	if status < http.StatusBadRequest {
		p.ResponseWriter.WriteHeader(status)
		return
	}
	h := p.Header()
	h.Del("Content-Length")
	h.Del("Location")
	if p.request.Method == http.MethodHead {
		p.send(status, "")
		return
	}
	p.status = status
}

func (p *problems) Write(b []byte) (int, error) {
	if p.status == 0 {
		return p.ResponseWriter.Write(b)
	}
	p.send(p.status, strings.TrimSuffix(string(b), "\n"))
	p.status = 0
	return len(b), nil
}

func (p *problems) send(status int, text string) {
	code, detail, ok := strings.Cut(text, ": ")
	name := strings.ToLower(strings.ReplaceAll(strings.TrimPrefix(code, "ERR_"), "_", "-"))
	if !ok || !strings.HasPrefix(code, "ERR_") {
		name, detail = strings.ToLower(strings.ReplaceAll(http.StatusText(status), " ", "-")), text
	}
	if name == "internal-server-error" {
		p.log.ErrorContext(p.request.Context(), "tus request failed", "request_id", httpserve.RequestID(p.request.Context()),
			"method", p.request.Method, "path", p.request.URL.Path, "error", detail)
		detail = "Something went wrong here. The log has it under the request ID."
	}
	relay.Problem(p.ResponseWriter, p.request, status, name, detail)
}
