package main

import (
	"bytes"
	"context"
	"fmt"
	"html"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"
	"github.com/minio/minio-go/v7"

	"meridian/metadata"
)

// newBrowser is a headless Chromium that ends with the test.
func newBrowser(t *testing.T) context.Context {
	t.Helper()
	chromium, err := exec.LookPath("chromium")
	if err != nil {
		missing(t, "chromium is not installed: apt-get install chromium")
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(chromium), chromedp.NoSandbox, chromedp.DisableGPU,
		chromedp.Flag("disable-background-networking", true), chromedp.Flag("autoplay-policy", "no-user-gesture-required"))
	ctx, cancel := chromedp.NewExecAllocator(t.Context(), options...)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	return ctx
}

// playing is what the page tells of its video.
type playing struct {
	Started  float64 `json:"started"`
	Sought   float64 `json:"sought"`
	Duration float64 `json:"duration"`
	Width    int     `json:"width"`
	Lit      bool    `json:"lit"` // a frame of it was drawn and read
}

// TestBrowserPlaysFromAnEdge plays, in a page of another origin, a private video
// that has its index at the end and was stored without a type.
func TestBrowserPlaysFromAnEdge(t *testing.T) {
	t.Parallel()
	browser := newBrowser(t)
	c := startDev(t)
	c.cli("bucket", "create", "cinema")
	film := clip(t, 20)
	if _, err := c.minio(c.s3(0)).PutObject(t.Context(), "cinema", "film.mp4", bytes.NewReader(film), int64(len(film)), minio.PutObjectOptions{}); err != nil {
		t.Fatal(err)
	}
	var m metadata.Media
	eventually(t, time.Minute, "the video has a rendition", func() bool {
		if list := c.media("?bucket=cinema"); len(list) == 1 {
			m = list[0]
		}
		return len(m.Renditions) == 1 && m.Renditions[0].State == metadata.RenditionReady
	})
	sources := c.playback(m.ID, "?region=europe").Sources
	page := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprintf(w, `<video muted crossorigin="anonymous" preload="auto" src="%s"></video>`, html.EscapeString(r.FormValue("src")))
	}))
	t.Cleanup(page.Close)

	var mu sync.Mutex
	statuses, hits := map[int64]int{}, 0
	err := chromedp.Listen(browser, func(event any) {
		if e, ok := event.(*network.EventResponseReceived); ok && strings.HasPrefix(e.Response.URL, c.edge(1)) {
			mu.Lock()
			defer mu.Unlock()
			statuses[e.Response.Status]++
			for name, value := range e.Response.Headers {
				if s, _ := value.(string); strings.EqualFold(name, "Cache-Status") && strings.Contains(s, "meridian-edge-europe; hit") {
					hits++
				}
			}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, source := range []struct{ kind, url string }{{"faststart", sources[0].URL}, {"original", sources[len(devRegions)].URL}} {
		if source.kind == "original" { // cold before, and warm now
			get(t, source.url)
		}
		if err := chromedp.Do(browser, chromedp.Navigate(page.URL+"/?src="+url.QueryEscape(source.url))); err != nil {
			t.Fatalf("%s: %v", source.kind, err)
		}
		got, err := chromedp.Run(browser, chromedp.Evaluate[playing](`(async () => {
				const v = document.querySelector("video");
				const when = (ok) => new Promise((done, fail) => {
					const end = Date.now() + 30000;
					(function look() {
						if (v.error) fail(new Error("video error " + v.error.code + ": " + v.error.message));
						else if (ok()) done();
						else if (Date.now() > end) fail(new Error("stuck at " + v.currentTime));
						else setTimeout(look, 20);
					})();
				});
				await v.play();
				await when(() => v.currentTime > 0.3);
				const started = v.currentTime;
				v.currentTime = 0.8 * v.duration;
				await when(() => !v.seeking && v.currentTime > 0.8 * v.duration + 0.2);
				const canvas = document.createElement("canvas");
				canvas.width = canvas.height = 8;
				const pen = canvas.getContext("2d");
				pen.drawImage(v, 0, 0, 8, 8);
				const pixels = pen.getImageData(0, 0, 8, 8).data; // refused without CORS
				return {started, sought: v.currentTime, duration: v.duration, width: v.videoWidth, lit: pixels.some((p, i) => i % 4 < 3 && p > 0)};
			})()`, chromedp.EvalAwaitPromise))
		if err != nil {
			t.Fatalf("%s: %v", source.kind, err)
		}
		if got.Width != 640 || got.Duration < 19 || got.Sought < 16 || !got.Lit {
			t.Errorf("%s played as %+v", source.kind, got)
		}
	}
	mu.Lock()
	defer mu.Unlock()
	if statuses[http.StatusPartialContent] < 3 || statuses[http.StatusOK] != 0 || hits == 0 {
		t.Errorf("answers by status %v, of them hits %d", statuses, hits)
	}
	eventually(t, time.Minute, "the views are counted", func() bool { return c.media("?bucket=cinema")[0].Views >= 2 })
}
