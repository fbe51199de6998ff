package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"meridian/internal/httpserve"
	"meridian/internal/sigv4"
	"meridian/metadata"
	"meridian/upload/presign"
)

// Problem is the body of every error answer (RFC 9457).
type Problem struct {
	Type     string       `json:"type"` // urn:meridian:problem:<name>
	Title    string       `json:"title"`
	Status   int          `json:"status"`
	Detail   string       `json:"detail,omitempty"`
	Instance string       `json:"instance,omitempty"` // urn:meridian:request:<request ID>
	Errors   []FieldError `json:"errors,omitempty"`
}

// FieldError says what is wrong with one field of a request, or one parameter.
type FieldError struct {
	Field  string `json:"field"`
	Detail string `json:"detail"`
}

// Errors of requests, beside those of the catalogue.
var (
	errNoRoute      = errors.New("there is nothing at this path; /openapi.json lists what there is")
	errNoMethod     = errors.New("the path exists, but not for this method")
	errCredentials  = errors.New("credentials are missing or do not hold")
	errForbidden    = errors.New("these credentials do not allow that")
	errCrossOrigin  = errors.New("a request with a session cookie must come from a page of this host")
	errTooMany      = errors.New("too many failed attempts with this access key")
	errTooLarge     = errors.New("request body is too large")
	errContentType  = errors.New("request body must be JSON")
	errNoObject     = errors.New("the object has not arrived yet")
	errNotMedia     = errors.New("neither photo nor video")
	errNoSuchRegion = errors.New("no such region")
	errIncomplete   = errors.New("the upload is not complete")
	errDiffers      = errors.New("what arrived is not what was announced")
	errComplete     = errors.New("the upload is complete")
	errBody         = errors.New("request body could not be read")
	errNoRules      = errors.New("there are no lifecycle rules")
	errSystemBucket = errors.New("this bucket is the system's own")
)

// fieldErrors is a refusal that names what is wrong. It is a
// metadata.ErrInvalid.
type fieldErrors []FieldError

func (e fieldErrors) Error() string {
	if len(e) == 1 {
		return e[0].Field + ": " + e[0].Detail
	}
	return fmt.Sprintf("%d fields are wrong, the first of them %s: %s", len(e), e[0].Field, e[0].Detail)
}

func (fieldErrors) Unwrap() error { return metadata.ErrInvalid }

func badField(field, format string, args ...any) error {
	return fieldErrors{{Field: field, Detail: fmt.Sprintf(format, args...)}}
}

// told is an error whose text is for the client in place of that of its cause.
type told struct {
	cause  error
	detail string
}

func (e told) Error() string { return e.detail }
func (e told) Unwrap() error { return e.cause }

func tell(cause error, format string, args ...any) error {
	return told{cause, fmt.Sprintf(format, args...)}
}

// problemKind is how errors that wrap err are answered.
type problemKind struct {
	err    error
	status int
	name   string // of Problem.Type
	title  string
}

// problemKinds is the one table of errors. The first that fits counts.
func problemKinds() []problemKind {
	return []problemKind{
		{errNoRoute, http.StatusNotFound, "no-such-path", "No such path"},
		{errNoMethod, http.StatusMethodNotAllowed, "method-not-allowed", "Method not allowed"},
		{errCredentials, http.StatusUnauthorized, "credentials-required", "Valid credentials are required"},
		{errForbidden, http.StatusForbidden, "forbidden", "Not allowed"},
		{errCrossOrigin, http.StatusForbidden, "cross-origin", "Request from another site"},
		{errTooMany, http.StatusTooManyRequests, "too-many-attempts", "Too many failed attempts"},
		{errTooLarge, http.StatusRequestEntityTooLarge, "too-large", "Request body too large"},
		{errContentType, http.StatusUnsupportedMediaType, "not-json", "Unsupported media type"},
		{errNoObject, http.StatusConflict, "no-object-yet", "Object has not arrived yet"},
		{errIncomplete, http.StatusConflict, "upload-incomplete", "Upload is not complete"},
		{errDiffers, http.StatusUnprocessableEntity, "upload-differs", "What arrived is not what was announced"},
		{errWebhookUsed, http.StatusConflict, "webhook-used", "Webhook is in use"},
		{errNoRules, http.StatusConflict, "no-lifecycle-rules", "No lifecycle rules"},
		{errComplete, http.StatusConflict, "upload-complete", "Upload is complete"},
		{presign.ErrUnavailable, http.StatusServiceUnavailable, "origin-unavailable", "Origin is unavailable"},
		{errNotMedia, http.StatusUnprocessableEntity, "not-media", "Neither photo nor video"},
		{errNoSuchRegion, http.StatusNotFound, "no-such-region", "No such region"},
		{errBody, http.StatusBadRequest, "incomplete-body", "Request body could not be read"},
		{errSystemBucket, http.StatusForbidden, "system-bucket", "Bucket of the system"},
		{metadata.ErrNoSuchBucket, http.StatusNotFound, "no-such-bucket", "No such bucket"},
		{metadata.ErrBucketExists, http.StatusConflict, "bucket-exists", "Bucket already exists"},
		{metadata.ErrBucketNotEmpty, http.StatusConflict, "bucket-not-empty", "Bucket is not empty"},
		{metadata.ErrNoSuchKey, http.StatusNotFound, "no-such-key", "No such object"},
		{metadata.ErrNoSuchVersion, http.StatusNotFound, "no-such-version", "No such version"},
		{metadata.ErrDeleteMarker, http.StatusNotFound, "delete-marker", "Version is a delete marker"},
		{metadata.ErrNoSuchUpload, http.StatusNotFound, "no-such-upload", "No such upload"},
		{metadata.ErrInvalidPart, http.StatusBadRequest, "invalid-part", "Invalid part"},
		{metadata.ErrTooLarge, http.StatusRequestEntityTooLarge, "object-too-large", "Object is larger than the bucket takes"},
		{metadata.ErrTypeRefused, http.StatusUnsupportedMediaType, "type-refused", "Object is of a type that the bucket does not take"},
		{metadata.ErrQuota, http.StatusForbidden, "quota-exceeded", "Quota of the bucket is used up"},
		{metadata.ErrPullZone, http.StatusConflict, "pull-zone", "Bucket is a pull zone"},
		{metadata.ErrPrecondition, http.StatusPreconditionFailed, "precondition-failed", "Precondition failed"},
		{metadata.ErrLocked, http.StatusForbidden, "locked", "Version is locked"},
		{metadata.ErrResidency, http.StatusUnprocessableEntity, "residency", "The bucket may not be kept in this region"},
		{metadata.ErrNoSuchMedia, http.StatusNotFound, "no-such-media", "No such media record"},
		{metadata.ErrNoSuchAccess, http.StatusNotFound, "no-such-access-key", "No such access key"},
		{metadata.ErrNoSuchWebhook, http.StatusNotFound, "no-such-webhook", "No such webhook"},
		{metadata.ErrWebhookExists, http.StatusConflict, "webhook-exists", "Webhook already exists"},
		{metadata.ErrNoSuchPurge, http.StatusNotFound, "no-such-purge", "No such purge"},
		{metadata.ErrNoSuchWarm, http.StatusNotFound, "no-such-warm", "No such warm-up"},
		{metadata.ErrNodeReplaced, http.StatusConflict, "node-replaced", "Node was replaced"},
		{metadata.ErrFeedGone, http.StatusGone, "feed-gone", "Feed position is no longer retained"},
		{metadata.ErrInvalid, http.StatusBadRequest, "invalid", "Invalid request"},
		{sigv4.ErrContentSHA256, http.StatusBadRequest, "body-differs", "Body is not what was signed"},
		{sigv4.ErrIncompleteBody, http.StatusBadRequest, "incomplete-body", "Request body could not be read"},
		{sigv4.ErrInvalidChunk, http.StatusBadRequest, "body-differs", "Body is not what was signed"},
		{sigv4.ErrMalformedTrailer, http.StatusBadRequest, "body-differs", "Body is not what was signed"},
		{sigv4.ErrMissingContentLength, http.StatusLengthRequired, "length-required", "Length required"},
		{sigv4.ErrSignatureMismatch, http.StatusForbidden, "body-differs", "Body is not what was signed"},
		{context.DeadlineExceeded, http.StatusServiceUnavailable, "timeout", "Took too long"},
		{context.Canceled, http.StatusServiceUnavailable, "stopped", "Request was given up"},
	}
}

// uploadRefused tells of an answer of an origin that refuses an upload, in the
// words of S3.
func uploadRefused(err error) (Problem, bool) {
	var refused *presign.RefusedError
	if !errors.As(err, &refused) {
		return Problem{}, false
	}
	return Problem{
		Type: "urn:meridian:problem:upload-refused", Title: "Upload was refused by the origin",
		Status: http.StatusUnprocessableEntity, Detail: refused.Error(),
	}, true
}

// problemOf turns any error into what the client is told. What is not in the
// table is nobody's business but the log's.
func problemOf(err error) (p Problem, known bool) {
	if p, ok := uploadRefused(err); ok {
		return p, true
	}
	for _, k := range problemKinds() {
		if !errors.Is(err, k.err) {
			continue
		}
		p := Problem{Type: "urn:meridian:problem:" + k.name, Title: k.title, Status: k.status, Detail: err.Error()}
		var fields fieldErrors
		if errors.As(err, &fields) {
			p.Errors = fields
		}
		if k.status == http.StatusServiceUnavailable && k.name != "origin-unavailable" {
			p.Detail = "The catalogue did not answer in time; try again."
		}
		return p, true
	}
	return Problem{
		Type: "urn:meridian:problem:internal", Title: "Internal error", Status: http.StatusInternalServerError,
		Detail: "Something went wrong here. The log has it under the request ID.",
	}, false
}

// retryLaterError is how long a client should wait.
type retryLaterError struct {
	error
	wait time.Duration
}

func (e retryLaterError) Unwrap() error { return e.error }

// fail answers err, and logs it where the client is not told.
func (c *call) fail(err error) {
	p, known := problemOf(err)
	id := httpserve.RequestID(c.r.Context())
	if !known || p.Status >= http.StatusInternalServerError && c.r.Context().Err() == nil {
		c.log.ErrorContext(c.r.Context(), "request failed", "request_id", id, "method", c.r.Method, "path", c.r.URL.Path, "error", err)
	}
	if c.gin.Writer.Written() {
		panic(http.ErrAbortHandler) // the client must not take the rest for the whole
	}
	if id != "" {
		p.Instance = "urn:meridian:request:" + id
	}
	h := c.gin.Writer.Header()
	var wait retryLaterError
	switch {
	case errors.As(err, &wait):
		h.Set("Retry-After", strconv.Itoa(int(max(1, (wait.wait+time.Second-1)/time.Second))))
	case p.Status == http.StatusServiceUnavailable:
		h.Set("Retry-After", "1")
	case p.Status == http.StatusUnauthorized:
		h.Set("WWW-Authenticate", `Bearer realm="meridian"`)
		h.Add("WWW-Authenticate", "AWS4-HMAC-SHA256")
	}
	h.Del("Location")
	body, err := json.Marshal(p)
	if err != nil {
		body = []byte("{}") // strings and numbers cannot fail
	}
	c.write(p.Status, "application/problem+json", body)
}
