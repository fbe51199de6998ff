package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
)

// insecure is a client that takes the certificate made for the bench.
var insecure = &http.Client{Transport: &http.Transport{
	TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, MaxIdleConnsPerHost: 32, DisableCompression: true, //nolint:gosec // it is our own
}, Timeout: time.Minute}

// result is what one run of wrk, or the median of several, says.
type result struct {
	perSecond float64
	cpu       float64 // microseconds a request
	p50, p99  time.Duration
}

// measure asks all servers in rounds and prints a table of ratios.
func (m *machine) measure(ctx context.Context, w io.Writer, list []*server, c benchCase) error {
	script, err := m.file(strings.ReplaceAll(c.name, " ", "-")+".lua", c.script())
	if err != nil {
		return err
	}
	var asked []*server
	for _, s := range list {
		if c.tls && s.tls == 0 || c.piece > 0 && !s.ranges {
			continue
		}
		asked = append(asked, s)
	}
	runs := make([][]result, len(asked))
	for range m.o.rounds {
		for i, s := range asked {
			r, err := m.wrk(ctx, s, c, script)
			if err != nil {
				return fmt.Errorf("%s: %w", s.name, err)
			}
			runs[i] = append(runs[i], r)
		}
	}
	fmt.Fprintf(w, "\n%s (%d objects)\n", c.name, c.kind.count)
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, "server\trequests/s\tedge is\tCPU us/request\tp50\tp99")
	var edge float64
	for i, s := range asked {
		r := median(runs[i])
		if i == 0 {
			edge = r.perSecond
		}
		fmt.Fprintf(tw, "%s\t%.0f\t%.2f x\t%.1f\t%v\t%v\n", s.name, r.perSecond, edge/r.perSecond, r.cpu, r.p50, r.p99)
	}
	return tw.Flush()
}

// wrk runs wrk once.
func (m *machine) wrk(ctx context.Context, s *server, c benchCase, script string) (result, error) {
	url := fmt.Sprintf("http://127.0.0.1:%d", s.port)
	if c.tls {
		url = fmt.Sprintf("https://127.0.0.1:%d", s.tls)
	}
	args := []string{"wrk", "-t1", "-c64", "-d" + strconv.Itoa(max(1, int(m.o.each.Seconds()))), "--timeout", "30s", "--latency", "-s", script, url}
	if m.pinned {
		args = append([]string{"taskset", "-c", "1"}, args...)
	}
	before, err := s.root.cpu()
	if err != nil {
		return result{}, err
	}
	out, err := exec.CommandContext(ctx, args[0], args[1:]...).CombinedOutput() //nolint:gosec // names of our own
	if err != nil {
		return result{}, fmt.Errorf("wrk: %w: %s", err, out)
	}
	after, err := s.root.cpu()
	if err != nil {
		return result{}, err
	}
	return parse(string(out), after-before)
}

var (
	totals   = regexp.MustCompile(`(\d+) requests in `)
	rates    = regexp.MustCompile(`Requests/sec:\s+([0-9.]+)`)
	latency  = regexp.MustCompile(`(?m)^\s+(50|99)%\s+(\S+)$`)
	failures = regexp.MustCompile(`(?m)^\s*(Non-2xx or 3xx responses|Socket errors):.*$`)
)

// parse reads what wrk prints.
func parse(out string, cpu time.Duration) (r result, err error) {
	if bad := failures.FindString(out); bad != "" {
		return r, fmt.Errorf("%w: %s", errWrongAnswer, strings.TrimSpace(bad))
	}
	total, rate := totals.FindStringSubmatch(out), rates.FindStringSubmatch(out)
	if total == nil || rate == nil {
		return r, fmt.Errorf("wrk said: %s", out)
	}
	requests, err := strconv.ParseFloat(total[1], 64)
	if err != nil {
		return r, err
	}
	if r.perSecond, err = strconv.ParseFloat(rate[1], 64); err != nil {
		return r, err
	}
	r.cpu = float64(cpu.Microseconds()) / requests
	for _, l := range latency.FindAllStringSubmatch(out, -1) {
		d, err := time.ParseDuration(l[2])
		if err != nil {
			return r, err
		}
		if l[1] == "50" {
			r.p50 = d
		} else {
			r.p99 = d
		}
	}
	return r, nil
}

// median is the run in the middle by requests a second.
func median(runs []result) result {
	slices.SortFunc(runs, func(a, b result) int {
		switch {
		case a.perSecond < b.perSecond:
			return -1
		case a.perSecond > b.perSecond:
			return 1
		}
		return 0
	})
	return runs[len(runs)/2]
}
