package main

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/minio/minio-go/v7"

	"meridian/metadata"
)

// shown is what the cache page shows, each figure as it is written and as the
// number behind it.
type shown struct {
	At     string                            `json:"at"` // generated_at of the report on the page
	Tiers  map[string]map[string]shownFigure `json:"tiers"`
	Shares map[string]shownFigure            `json:"shares"`
	// Groups are requests at edges and shares by tier.
	Groups map[string]map[string]shownFigure `json:"groups"`
	Nodes  map[string]map[string]shownFigure `json:"nodes"`
	Ahead  map[string]map[string]shownFigure `json:"ahead"` // of edges, by region and "all"
	Drawn  bool                              `json:"drawn"` // whether there is a chart
}

type shownFigure struct {
	Value string `json:"value"`
	Text  string `json:"text"`
}

const readCachePage = `(() => {
	const figures = (root, by, name) => Object.fromEntries([...root.querySelectorAll(by)].map((d) =>
		[name(d), {value: d.value || d.querySelector("data").value, text: (d.value ? d : d.querySelector("data")).textContent.trim()}]));
	const all = (by, name, of) => Object.fromEntries([...document.querySelectorAll(by)].map((e) => [name(e), of(e)]));
	return {
		at: document.querySelector("[data-generated]")?.dataset.generated ?? "",
		tiers: all("[data-tier]", (e) => e.dataset.tier, (e) => figures(e, "data[data-figure]", (d) => d.dataset.figure)),
		shares: figures(document, "li[data-share]", (d) => d.dataset.share),
		groups: all("[data-group]", (e) => e.dataset.group, (e) => ({
			...figures(e, "data[data-figure]", (d) => d.dataset.figure), ...figures(e, "data[data-share]", (d) => d.dataset.share)})),
		nodes: all("[data-node]", (e) => e.dataset.node, (e) => figures(e, "data[data-figure]", (d) => d.dataset.figure)),
		ahead: all("[data-ahead]", (e) => e.dataset.ahead, (e) => figures(e, "data[data-figure]", (d) => d.dataset.figure)),
		drawn: document.querySelector(".chart canvas")?.width > 0,
	};
})()`

// TestCachePageEqualsTheReport lets browsers of three regions read, and holds
// what the cache page shows to what the report says.
func TestCachePageEqualsTheReport(t *testing.T) {
	t.Parallel()
	browser := newBrowser(t)
	c := startDev(t)
	c.consoleBuilt()
	c.cli("bucket", "create", "album", "--visibility", "public-read")
	c.cli("bucket", "create", "papers", "--visibility", "public-read")
	for i := range 4 {
		for bucket, kind := range map[string]string{"album": "image/jpeg", "papers": "text/plain"} {
			body := bytes.Repeat([]byte{byte(i)}, 1000*(i+1))
			if _, err := c.minio(c.s3(i%3)).PutObject(t.Context(), bucket, fmt.Sprint(i), bytes.NewReader(body), int64(len(body)), minio.PutObjectOptions{ContentType: kind}); err != nil {
				t.Fatal(err)
			}
		}
	}
	var asked int64
	for region := range devRegions {
		for i := range 4 {
			for n := range 2 + i + region { // so that all numbers are different
				get(t, c.edge(region)+fmt.Sprintf("/album/%d", i))
				if asked++; n == 0 {
					get(t, c.edge(region)+fmt.Sprintf("/papers/%d", i))
					asked++
				}
			}
		}
	}
	report := func() (r metadata.Report) {
		if err := json.Unmarshal(c.call(http.MethodGet, "/v1/cache/report?window=15m", "", http.StatusOK), &r); err != nil {
			t.Fatal(err)
		}
		return r
	}
	eventually(t, time.Minute, "all requests are counted", func() bool {
		r := report()
		return r.Tiers[0].Requests == asked && r.Tiers[1].Requests > 0 && r.Tiers[2].Requests > 0
	})

	signIn := fmt.Sprintf(`fetch("/v1/session", {method: "POST", headers: {"Content-Type": "application/json"},
		body: JSON.stringify({access_key: %q, secret_key: %q})}).then((r) => r.status)`, c.cred.accessKey, c.cred.secretKey)
	if err := chromedp.Do(browser, chromedp.Navigate(c.api()+"/sign-in")); err != nil {
		t.Fatal(err)
	}
	if status, err := chromedp.Run(browser, chromedp.Evaluate[int](signIn, chromedp.EvalAwaitPromise)); err != nil || status != http.StatusOK {
		t.Fatalf("sign in: %d, %v", status, err)
	}
	if err := chromedp.Do(browser, chromedp.Navigate(c.api()+"/cache")); err != nil {
		t.Fatal(err)
	}
	// Origins tell of what edges asked a moment later: the page and the report
	// are compared once neither changes any more.
	var page shown
	var want metadata.Report
	eventually(t, time.Minute, "the page shows the report", func() bool {
		before := report()
		var err error
		if page, err = chromedp.Run(browser, chromedp.Evaluate[shown](readCachePage)); err != nil {
			t.Fatal(err)
		}
		want = report()
		at, err := time.Parse(time.RFC3339Nano, page.At)
		return err == nil && time.Since(at) < time.Minute && page.Drawn && len(page.Nodes) == 9 &&
			reflect.DeepEqual(before.Tiers, want.Tiers) && page.Tiers["origin"]["requests"].Value == fmt.Sprint(want.Tiers[2].Requests) &&
			page.Tiers["edge"]["requests"].Value == fmt.Sprint(want.Tiers[0].Requests) &&
			cmp.Or(page.Ahead["all"]["fetched"].Value, "0") == fmt.Sprint(want.Tiers[0].Prefetch.Fetched)
	})
	page.compare(t, want)
}

// consoleBuilt skips where the program was built without the console, except in
// CI.
func (c *devCluster) consoleBuilt() {
	c.t.Helper()
	if a := get(c.t, c.api()+"/cache"); a.status != http.StatusOK || !strings.Contains(string(a.body), `<div id="root">`) {
		missing(c.t, "the console was not built: make console")
	}
}

func (p shown) compare(t *testing.T, r metadata.Report) {
	t.Helper()
	same := func(what string, got shownFigure, want float64) {
		if v, err := strconv.ParseFloat(got.Value, 64); err != nil || v != want {
			t.Errorf("%s: the page has %q, the report %v", what, got.Value, want)
		}
	}
	sum := 0.0
	for _, row := range r.Tiers {
		f := p.Tiers[row.Tier]
		for name, want := range map[string]float64{
			"requests": float64(row.Requests), "hits": float64(row.Hits), "misses": float64(row.Misses), "stale": float64(row.Stale),
			"revalidated": float64(row.Revalidated), "pass": float64(row.Pass), "bytes": float64(row.Bytes), "hit_ratio": row.HitRatio,
			"byte_hit_ratio": row.ByteHitRatio, "p50": row.LatencyMS.P50, "p99": row.LatencyMS.P99,
		} {
			same(row.Tier+" "+name, f[name], want)
		}
		if got, want := f["hit_ratio"].Text, fmt.Sprintf("%.1f %%", 100*row.HitRatio); got != want {
			t.Errorf("hit ratio of %s is written %q, want %q", row.Tier, got, want)
		}
		if got, want := strings.ReplaceAll(f["requests"].Text, ",", ""), fmt.Sprint(row.Requests); got != want {
			t.Errorf("requests of %s are written %q, want %s", row.Tier, got, want)
		}
		same("share of "+row.Tier, p.Shares[row.Tier], row.Share)
		share, err := strconv.ParseFloat(strings.TrimSuffix(p.Shares[row.Tier].Text, " %"), 64)
		if err != nil || math.Abs(share-100*row.Share) > 0.1 {
			t.Errorf("share of %s is written %q, want %v", row.Tier, p.Shares[row.Tier].Text, row.Share)
		}
		sum += share
	}
	if math.Abs(sum-100) > 1e-9 {
		t.Errorf("the shares that are written add up to %v", sum)
	}
	for _, row := range r.Regions {
		if row.Tier == metadata.TierEdge {
			same("requests of "+row.Region, p.Groups[row.Region]["requests"], float64(row.Requests))
			same("bytes of "+row.Region, p.Groups[row.Region]["bytes"], float64(row.Bytes))
		}
		same("share of "+row.Tier+" in "+row.Region, p.Groups[row.Region][row.Tier], row.Share)
	}
	for _, row := range slices.Concat(r.Tiers, r.Regions) {
		if row.Tier == metadata.TierEdge && row.Prefetch != (metadata.Prefetch{}) {
			f, region := p.Ahead[cmp.Or(row.Region, "all")], cmp.Or(row.Region, "all regions")
			same("fetched ahead in "+region, f["fetched"], float64(row.Prefetch.Fetched))
			same("of that won in "+region, f["won"], float64(row.Prefetch.Won))
			same("of that wasted in "+region, f["wasted"], float64(row.Prefetch.Wasted))
		}
	}
	for _, row := range r.Nodes {
		if row.Requests > 0 {
			same("requests of "+row.Node, p.Nodes[row.Node]["requests"], float64(row.Requests))
			same("hit ratio of "+row.Node, p.Nodes[row.Node]["hit_ratio"], row.HitRatio)
		}
	}
}
