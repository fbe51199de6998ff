package api

import (
	"net/http"
	"strings"
)

// What pages of other origins may do with the API, and read of its answers. They
// come with an access key of their own (Bearer): never with the session cookie,
// which browsers keep back where any origin is allowed.
const (
	crossMethods = "GET, HEAD, POST, PUT, PATCH, DELETE"
	crossExpose  = "*, Location, Link, ETag, Retry-After, X-Request-Id, X-Meridian-Seq, " +
		"Tus-Resumable, Tus-Version, Tus-Extension, Tus-Max-Size, Upload-Offset, Upload-Length, Upload-Expires, Upload-Metadata"
	crossMaxAge = "3600" // seconds
)

// allowOrigins lets apps in pages of other origins use next, apart from the
// session, which is the console's own.
func allowOrigins(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		open := strings.HasPrefix(r.URL.Path, "/v1/") && r.URL.Path != "/v1/session" || r.URL.Path == "/openapi.json"
		if !open || r.Header.Get("Origin") == "" {
			next.ServeHTTP(w, r)
			return
		}
		h := w.Header()
		h.Set("Access-Control-Allow-Origin", "*")
		h.Set("Access-Control-Expose-Headers", crossExpose)
		if r.Method != http.MethodOptions || r.Header.Get("Access-Control-Request-Method") == "" {
			next.ServeHTTP(w, r)
			return
		}
		h.Set("Access-Control-Allow-Methods", crossMethods)
		h.Set("Access-Control-Max-Age", crossMaxAge)
		h.Set("Vary", "Access-Control-Request-Headers")
		// Authorization must be named: a wildcard does not stand for it.
		if names := r.Header.Get("Access-Control-Request-Headers"); names != "" {
			h.Set("Access-Control-Allow-Headers", names)
		}
		w.WriteHeader(http.StatusNoContent)
	})
}
