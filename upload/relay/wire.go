package relay

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"meridian/internal/hop"
	"meridian/internal/httpserve"
	"meridian/metadata"
)

// Path is where tus uploads are made; an upload is at Path + its ID.
const Path = "/v1/tus/"

// MaxSize is the greatest object, in bytes, that may be uploaded by tus.
const MaxSize = 5 << 40

// Checksums are the algorithms of Upload-Checksum, best known first: the
// protocol demands SHA-1.
var Checksums = []string{"sha1", "sha256", "md5", "crc32"}

// UploadID splits the path of a request: the ID is empty for Path itself, and ok
// says whether the path is one of tus at all.
func UploadID(path string) (id string, ok bool) {
	if path+"/" == Path {
		return "", true
	}
	id, ok = strings.CutPrefix(path, Path)
	return id, ok
}

// Caller is who sent a request to the first endpoint, which has checked it.
type Caller struct {
	User  string
	Admin bool // may touch the uploads of others
}

// CallerOf reads who sent a request that another endpoint handed on. The request
// must be known to come from a node.
func CallerOf(r *http.Request) (Caller, bool) {
	user, err := url.PathUnescape(r.Header.Get(hop.RequestUser))
	if err != nil || user == "" {
		return Caller{}, false
	}
	return Caller{User: user, Admin: r.Header.Get(hop.RequestRole) == metadata.RoleAdmin}, true
}

func (c Caller) write(h http.Header) {
	h.Set(hop.RequestUser, url.PathEscape(c.User))
	role := metadata.RoleReadWrite
	if c.Admin {
		role = metadata.RoleAdmin
	}
	h.Set(hop.RequestRole, role)
}

// exposed are the headers of answers that scripts of other sites may read.
var exposed = strings.Join([]string{
	"Location", "Upload-Offset", "Upload-Length", "Upload-Defer-Length", "Upload-Metadata", "Upload-Expires", "Upload-Concat",
	"Tus-Version", "Tus-Resumable", "Tus-Max-Size", "Tus-Extension", "Tus-Checksum-Algorithm",
	"ETag", "Retry-After", httpserve.RequestIDHeader, hop.Object, hop.Version, hop.Seq, hop.Region,
}, ", ")

// allowed are the headers that scripts of other sites may send; Authorization is
// not in what "*" stands for.
var allowed = strings.Join([]string{
	"Authorization", "Content-Type", "Tus-Resumable", "Upload-Length", "Upload-Defer-Length", "Upload-Offset", "Upload-Metadata",
	"Upload-Checksum", "Upload-Concat", "X-HTTP-Method-Override", "X-Requested-With", "X-Request-ID", "Origin",
	"X-Amz-Date", "X-Amz-Content-Sha256", "X-Meridian-Client-Region",
}, ", ")

// common are the headers of every answer. Any site may try: what lets a request
// in is a key, never a cookie that a browser adds.
var common = map[string]string{
	"Access-Control-Allow-Origin":   "*",
	"Access-Control-Expose-Headers": exposed,
	"Cache-Control":                 "no-store",
	"Tus-Resumable":                 "1.0.0",
	"X-Content-Type-Options":        "nosniff",
}

// Headers writes the headers that every answer has.
func Headers(h http.Header) {
	for name, value := range common {
		h.Set(name, value)
	}
}

// Describe answers OPTIONS: what the server can do, and what a browser asks
// before it sends a script's request to another site. It needs no credentials,
// which browsers do not send then.
func Describe(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	Headers(h)
	h.Set("Tus-Version", "1.0.0")
	h.Set("Tus-Extension", "creation,creation-with-upload,creation-defer-length,termination,checksum,expiration")
	h.Set("Tus-Max-Size", strconv.FormatInt(MaxSize, 10))
	h.Set("Tus-Checksum-Algorithm", strings.Join(Checksums, ","))
	if r.Header.Get("Origin") != "" {
		h.Set("Access-Control-Allow-Methods", "POST, HEAD, PATCH, DELETE, OPTIONS")
		h.Set("Access-Control-Allow-Headers", allowed)
		h.Set("Access-Control-Max-Age", "86400")
	}
	w.WriteHeader(http.StatusNoContent)
}

// Problem answers an error as a problem document (RFC 9457). name is the end of
// its type.
func Problem(w http.ResponseWriter, r *http.Request, status int, name, detail string) {
	h := w.Header()
	Headers(h)
	h.Set("Content-Type", "application/problem+json")
	switch status {
	case http.StatusUnauthorized:
		h.Set("WWW-Authenticate", `Bearer realm="meridian"`)
		h.Add("WWW-Authenticate", "AWS4-HMAC-SHA256")
	case http.StatusLocked, http.StatusServiceUnavailable, http.StatusBadGateway:
		h.Set("Retry-After", "1")
	}
	problem := struct {
		Type     string `json:"type"`
		Title    string `json:"title"`
		Status   int    `json:"status"`
		Detail   string `json:"detail,omitempty"`
		Instance string `json:"instance,omitempty"`
	}{Type: "urn:meridian:problem:" + name, Title: http.StatusText(status), Status: status, Detail: detail}
	if status == StatusChecksum {
		problem.Title = "Checksum Mismatch"
	}
	if id := httpserve.RequestID(r.Context()); id != "" {
		problem.Instance = "urn:meridian:request:" + id
	}
	body, err := json.Marshal(problem)
	if err != nil {
		body = []byte("{}") // strings and numbers cannot fail
	}
	h.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	if r.Method != http.MethodHead {
		_, _ = w.Write(body) // a client that is gone cannot be told
	}
}

// StatusChecksum is tus' own status of bytes that are not what Upload-Checksum
// says.
const StatusChecksum = 460
