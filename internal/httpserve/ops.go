package httpserve

import (
	"encoding/json"
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Ops answers /healthz, /readyz and /metrics, which every role has, and leaves
// all other paths to next. Who asks for metrics from elsewhere than this network is
// told no names. ready returns nil once the role can do its work, and
// otherwise what it still waits for.
func Ops(reg *prometheus.Registry, ready func() error, next http.Handler) http.Handler {
	metrics := promhttp.HandlerFor(reg, promhttp.HandlerOpts{})
	sums := promhttp.HandlerFor(withoutNames(reg), promhttp.HandlerOpts{})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			next.ServeHTTP(w, r)
			return
		}
		switch r.URL.Path {
		case "/healthz":
			state(w, http.StatusOK, "ok", "")
		case "/readyz":
			if err := ready(); err != nil {
				state(w, http.StatusServiceUnavailable, "not ready", err.Error())
				return
			}
			state(w, http.StatusOK, "ready", "")
		case "/metrics":
			if outsider(r) {
				sums.ServeHTTP(w, r)
				return
			}
			metrics.ServeHTTP(w, r)
		default:
			next.ServeHTTP(w, r)
		}
	})
}

func state(w http.ResponseWriter, code int, status, reason string) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(code)
	answer := struct {
		Status string `json:"status"`
		Reason string `json:"reason,omitempty"`
	}{status, reason}
	_ = json.NewEncoder(w).Encode(answer) // the client is gone: nothing to tell it
}
