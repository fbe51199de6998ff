package httpserve

import (
	"net/http"
	"net/netip"
	"slices"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
)

// Metrics need no credentials, and a port that serves the public serves them, too.
// What they tell of single buckets and webhooks is for machines of the same
// network; to others the sums over all are told.

// namingLabels are the labels whose values people have chosen.
var namingLabels = []string{"bucket", "webhook"}

// shared are addresses of carriers' networks, and of overlays that use them
// (RFC 6598).
var shared = netip.MustParsePrefix("100.64.0.0/10")

// outsider says whether r comes from elsewhere than this machine's networks, or
// through a proxy that speaks for somebody.
func outsider(r *http.Request) bool {
	if r.Header.Get("X-Forwarded-For") != "" || r.Header.Get("Forwarded") != "" || r.Header.Get("Via") != "" {
		return true
	}
	at, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return true
	}
	a := at.Addr().Unmap()
	return !a.IsLoopback() && !a.IsPrivate() && !a.IsLinkLocalUnicast() && !shared.Contains(a)
}

// withoutNames gathers what reg has, without the labels that name something.
func withoutNames(reg prometheus.Gatherer) prometheus.Gatherer {
	return prometheus.GathererFunc(func() ([]*dto.MetricFamily, error) {
		all, err := reg.Gather()
		for i, f := range all {
			if slices.ContainsFunc(f.GetMetric(), func(m *dto.Metric) bool { return slices.ContainsFunc(m.GetLabel(), names) }) {
				all[i] = &dto.MetricFamily{Name: f.Name, Help: f.Help, Type: f.Type, Unit: f.Unit, Metric: summed(f.GetMetric())}
			}
		}
		return slices.DeleteFunc(all, func(f *dto.MetricFamily) bool { return len(f.GetMetric()) == 0 }), err
	})
}

func names(l *dto.LabelPair) bool { return slices.Contains(namingLabels, l.GetName()) }

// summed adds up what differs in naming labels only. Histograms that have some are
// left out.
func summed(metrics []*dto.Metric) (sums []*dto.Metric) {
	at := map[string]*dto.Metric{}
	for _, m := range metrics {
		labels := slices.DeleteFunc(slices.Clone(m.GetLabel()), names)
		var key strings.Builder
		for _, l := range labels {
			key.WriteString(l.GetName() + "\x00" + l.GetValue() + "\x00")
		}
		sum := at[key.String()]
		if sum == nil {
			sum = &dto.Metric{Label: labels}
			at[key.String()] = sum
			if m.Counter != nil || m.Gauge != nil {
				sums = append(sums, sum)
			}
		}
		switch {
		case m.Counter != nil:
			value := sum.GetCounter().GetValue() + m.Counter.GetValue()
			sum.Counter = &dto.Counter{Value: &value}
		case m.Gauge != nil:
			value := sum.GetGauge().GetValue() + m.Gauge.GetValue()
			sum.Gauge = &dto.Gauge{Value: &value}
		}
	}
	return sums
}
