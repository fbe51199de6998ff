package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"testing"
	"time"

	"meridian/metadata"
)

// BenchmarkPurge asks for purges of single URLs and waits for all six cache nodes
// of a meridian dev: ms-p50 and ms-p99 are from the request until a node has
// applied it, as the node's own clock and the catalogue's tell, over all nodes.
func BenchmarkPurge(b *testing.B) {
	c := startDev(b)
	c.cli("bucket", "create", "hot", "--visibility", "public-read")
	var took []time.Duration
	n := 0
	for b.Loop() {
		n++
		body := fmt.Sprintf(`{"urls":["%s/hot/%d.jpg"]}`, c.edge(0), n)
		var s metadata.PurgeStatus
		decode(b, c.call(http.MethodPost, "/v1/purge", body, http.StatusAccepted), &s)
		for len(s.Acks) < 6 {
			time.Sleep(time.Millisecond)
			decode(b, c.call(http.MethodGet, "/v1/purge/"+s.ID, "", http.StatusOK), &s)
		}
		for _, a := range s.Acks {
			took = append(took, a.Applied.Sub(s.Asked))
		}
	}
	slices.Sort(took)
	quantile := func(q float64) float64 {
		return float64(took[int(q*float64(len(took)-1))].Microseconds()) / 1000
	}
	b.ReportMetric(quantile(0.5), "ms-p50")
	b.ReportMetric(quantile(0.99), "ms-p99")
}

func decode(t testing.TB, text []byte, v any) {
	t.Helper()
	if err := json.Unmarshal(text, v); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
}
