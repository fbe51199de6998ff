package edge

import (
	"context"
	"encoding/xml"
	"errors"
	"net/http"
	"strconv"

	"meridian/edge/fetch"
	"meridian/edge/limit"
	"meridian/internal/httpserve"
	"meridian/internal/sigv4"
)

// apiError is an answer that is an S3 error document.
type apiError struct {
	status  int
	code    string
	message string
	header  http.Header // more to send, or nil
}

func (e *apiError) Error() string { return e.code + ": " + e.message }

// errDenied says the same whether what was asked for exists or not.
func errDenied() *apiError {
	return &apiError{status: http.StatusForbidden, code: "AccessDenied", message: "Access Denied"}
}

func errNoSuchBucket() *apiError {
	return &apiError{status: http.StatusNotFound, code: "NoSuchBucket", message: "The specified bucket does not exist"}
}

func errNotReady() *apiError {
	return &apiError{status: http.StatusServiceUnavailable, code: "ServiceUnavailable",
		message: "This cache node has not learned of any bucket yet.", header: http.Header{"Retry-After": {"1"}}}
}

func errInvalidToken() *apiError {
	return &apiError{status: http.StatusBadRequest, code: "InvalidToken", message: "The provided token is malformed or otherwise invalid."}
}

func errExpiredToken() *apiError {
	return &apiError{status: http.StatusBadRequest, code: "ExpiredToken", message: "The provided token has expired."}
}

func errMethod() *apiError {
	return &apiError{status: http.StatusMethodNotAllowed, code: "MethodNotAllowed",
		message: "The specified method is not allowed against this resource.", header: http.Header{"Allow": {"GET, HEAD, OPTIONS, PURGE"}}}
}

func errLoop() *apiError {
	return &apiError{status: http.StatusLoopDetected, code: "LoopDetected", message: "The origin of this pull zone asks the zone itself."}
}

func errInvalid(message string) *apiError {
	return &apiError{status: http.StatusBadRequest, code: "InvalidRequest", message: message}
}

// isRefusal says whether err is an answer that tells of the object.
func isRefusal(err error) bool {
	var api *apiError
	return errors.As(err, &api) && api.status < http.StatusInternalServerError
}

// asAPIError is the one place that turns errors into answers.
func asAPIError(err error) *apiError {
	var api *apiError
	var sig *sigv4.Error
	switch {
	case errors.As(err, &api):
		return api
	case errors.As(err, &sig):
		status := http.StatusForbidden
		switch sig.Code {
		case "AuthorizationHeaderMalformed", "AuthorizationQueryParametersError", "InvalidRequest", "InvalidArgument":
			status = http.StatusBadRequest
		}
		return &apiError{status: status, code: sig.Code, message: sig.Message}
	case errors.Is(err, limit.ErrBusy):
		return &apiError{status: http.StatusServiceUnavailable, code: "SlowDown",
			message: "Too many requests to the upstream are under way. Try again.", header: http.Header{"Retry-After": {"1"}}}
	case fetch.IsTimeout(err):
		return &apiError{status: http.StatusGatewayTimeout, code: "GatewayTimeout", message: "The upstream did not answer in time."}
	case errors.Is(err, fetch.ErrClosed), errors.Is(err, context.Canceled):
		return &apiError{status: http.StatusServiceUnavailable, code: "ServiceUnavailable", message: "This cache node is stopping."}
	case errors.Is(err, fetch.ErrUnavailable), errors.Is(err, fetch.ErrBadAnswer):
		return &apiError{status: http.StatusBadGateway, code: "BadGateway", message: "No upstream gave a usable answer."}
	}
	return &apiError{status: http.StatusInternalServerError, code: "InternalError", message: "We encountered an internal error. Please try again."}
}

// writeError sends an error document and returns how many bytes it has.
func writeError(w http.ResponseWriter, r *http.Request, e *apiError) int64 {
	doc, err := xml.Marshal(struct {
		XMLName   xml.Name `xml:"Error"`
		Code      string
		Message   string
		Resource  string
		RequestID string `xml:"RequestId"`
	}{Code: e.code, Message: e.message, Resource: r.URL.Path, RequestID: httpserve.RequestID(r.Context())})
	if err != nil {
		doc = nil // a document of four strings cannot fail
	}
	doc = append([]byte(xml.Header), doc...)
	h := w.Header()
	for name, values := range e.header {
		h[name] = values
	}
	h.Set("Content-Type", "application/xml")
	h.Set("Content-Length", strconv.Itoa(len(doc)))
	h.Set("X-Content-Type-Options", "nosniff")
	if h.Get("Cache-Control") == "" {
		h.Set("Cache-Control", "no-store") // ours to cache, not the next cache's
	}
	w.WriteHeader(e.status)
	if r.Method == http.MethodHead {
		return 0
	}
	n, _ := w.Write(doc) // a client that is gone needs no document
	return int64(n)
}
