package peer_test

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	"meridian/origin/peer"
)

func TestNearRegionsComeFirst(t *testing.T) {
	t.Parallel()
	at := func(distance time.Duration) *httptest.Server {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != "/healthz" {
				t.Errorf("asked for %s", r.URL)
			}
			time.Sleep(distance)
		}))
		t.Cleanup(s.Close)
		return s
	}
	far, near, gone := at(time.Second), at(0), at(0)
	urls := map[string][]string{"far": {far.URL}, "near": {near.URL}, "gone": {gone.URL}}
	gone.Close()
	p := peer.New(peer.Options{
		Endpoints: func(region string) []string { return urls[region] }, Secret: secret, Log: slog.New(slog.DiscardHandler),
	})
	d := peer.NewDistances(p, func() []string { return []string{"far", "near", "gone", "unknown"} })
	given := []string{"gone", "new", "far", "near"}
	if got := d.Nearest(given); !slices.Equal(got, given) {
		t.Errorf("nothing is measured, but sorted: %v", got)
	}
	d.Measure(t.Context())
	if got, want := d.Nearest(given), []string{"near", "far", "new", "gone"}; !slices.Equal(got, want) {
		t.Errorf("sorted %v, want %v", got, want)
	}
	// One that comes back counts as near as it is.
	urls["gone"] = []string{near.URL}
	d.Measure(t.Context())
	if got := d.Nearest([]string{"far", "gone"}); got[0] != "gone" {
		t.Errorf("one that came back: %v", got)
	}
}
