package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"
	"github.com/minio/minio-go/v7"

	"meridian/console"
	"meridian/metadata"
)

// requireConsole skips where the console was left out of the build: make test
// builds it if Node is there, and installs no Node.
func requireConsole(t *testing.T) {
	t.Helper()
	if _, err := console.New(console.Options{}); errors.Is(err, console.ErrNotBuilt) {
		t.Skip(err)
	}
}

// tab is a tab of a browser that shows the console.
type tab struct {
	t    *testing.T
	ctx  context.Context
	base string

	mu sync.Mutex
	// answers are those of other hosts, the edges.
	answers []*network.Response
	// sent is what the page sent of files, and loaded how much of that before it was
	// loaded last. What a browser repeats of itself, on another connection, is not
	// told.
	sent   []sentBytes
	loaded int
}

// sentBytes are bytes of a file: of which upload, and where they belong in it.
type sentBytes struct{ upload, offset string }

// openConsole shows the console that base serves.
func openConsole(t *testing.T, base string) *tab {
	t.Helper()
	p := &tab{t: t, ctx: newBrowser(t), base: base}
	err := chromedp.Listen(p.ctx, func(event any) {
		p.mu.Lock()
		defer p.mu.Unlock()
		switch e := event.(type) {
		case *network.EventResponseReceived:
			if !strings.HasPrefix(e.Response.URL, base) && strings.HasPrefix(e.Response.URL, "http") {
				p.answers = append(p.answers, e.Response)
			}
		case *network.EventRequestWillBeSent:
			if at, ok := e.Request.Headers["Upload-Offset"].(string); ok {
				p.sent = append(p.sent, sentBytes{e.Request.URL, at})
			}
			if e.Type == network.ResourceTypeDocument {
				p.loaded = len(p.sent)
			}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	p.do(chromedp.EmulateViewport(1280, 900))
	p.goTo("/gallery")
	return p
}

func (p *tab) do(steps ...chromedp.Action[chromedp.Void]) {
	p.t.Helper()
	if err := chromedp.Do(p.ctx, steps...); err != nil {
		p.t.Fatal(err)
	}
}

func (p *tab) goTo(path string) { p.t.Helper(); p.do(chromedp.Navigate(p.base + path)) }

// click clicks into the middle of an element. The queries of chromedp are not
// used here: they read nodes while its events change them.
func (p *tab) click(selector string) {
	p.t.Helper()
	at := p.middle(selector)
	p.do(chromedp.MouseClickXY(at[0], at[1]))
}

// fill types into a field.
func (p *tab) fill(selector, text string) {
	p.t.Helper()
	p.click(selector)
	p.do(chromedp.KeyEvent(text))
}

// middle waits for an element, and for it to rest, and says where it is.
func (p *tab) middle(selector string) [2]float64 {
	p.t.Helper()
	p.until("there is "+selector, fmt.Sprintf(`(async () => {
		const place = () => JSON.stringify(document.querySelector(%q)?.getBoundingClientRect());
		const before = place();
		await new Promise(requestAnimationFrame);
		return before !== undefined && before === place();
	})()`, selector))
	at, err := chromedp.Run(p.ctx, chromedp.Evaluate[[2]float64](fmt.Sprintf(`((r) => [r.x + r.width / 2, r.y + r.height / 2])(document.querySelector(%q).getBoundingClientRect())`, selector)))
	if err != nil {
		p.t.Fatal(err)
	}
	return at
}

// press clicks the button with that text.
func (p *tab) press(label string) {
	p.t.Helper()
	p.until("there is a button "+label, fmt.Sprintf(`(() => {
		const b = [...document.querySelectorAll("button, a.button")].find((b) => b.textContent.trim() === %q && !b.disabled);
		b?.click();
		return Boolean(b);
	})()`, label))
}

// until waits for an expression of the page to become true.
func (p *tab) until(what, expression string) {
	p.t.Helper()
	for deadline := time.Now().Add(60 * time.Second); ; time.Sleep(25 * time.Millisecond) {
		ok, err := chromedp.Run(p.ctx, chromedp.Evaluate[bool](expression, chromedp.EvalAwaitPromise))
		if err == nil && ok {
			return
		}
		if time.Now().After(deadline) {
			text, _ := chromedp.Run(p.ctx, chromedp.Evaluate[string]("document.body.innerText"))
			p.t.Fatalf("not within a minute: %s (%v)\nthe page shows:\n%s", what, err, text)
		}
	}
}

func (p *tab) choose(files ...string) {
	p.t.Helper()
	p.do(chromedp.SetUploadFiles(chromedp.CSS(`[data-testid=files]`), files))
}

func (p *tab) signIn(cred credentials) {
	p.t.Helper()
	p.until("the page asks to sign in", `document.querySelector("input[name=password]") !== null`)
	p.fill("input[name=username]", cred.accessKey)
	p.fill("input[name=password]", cred.secretKey)
	p.click("button[type=submit]")
	p.until("the frame is there", `document.querySelector(".frame") !== null`)
}

// TestConsoleUploadsAndPlays uploads a photo and a video of 100 MB by the page,
// over a connection that is cut three times and a page that is closed in the
// middle, and plays the video from an edge.
func TestConsoleUploadsAndPlays(t *testing.T) {
	t.Parallel()
	requireConsole(t)
	c := startDev(t)
	between := newCuttingProxy(t, strings.TrimPrefix(c.api(), "http://"))
	p := openConsole(t, between.url())

	// A wrong key is told in words, and nobody is in.
	p.until("the page asks to sign in", `document.querySelector("input[name=password]") !== null`)
	p.fill("input[name=username]", c.cred.accessKey)
	p.fill("input[name=password]", "wrong")
	p.click("button[type=submit]")
	p.until("the wrong key is told", `document.querySelector("[role=alert]")?.textContent.includes("is wrong") && !document.querySelector(".frame")`)
	p.goTo("/upload")
	p.signIn(c.cred)

	p.press("New bucket")
	p.fill("dialog input", "cinema")
	p.press("Create bucket")
	p.until("the bucket is chosen", `document.querySelector("select").value === "cinema"`)

	dir := t.TempDir()
	picture, film := photo(t, 7, 900, 600), padded(t, clip(t, 8), 100<<20)
	write := func(name string, content []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, content, 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	beach, wave := write("beach.jpg", picture), write("wave.mp4", film)
	// What the bucket does not take is refused in words; then the rule goes.
	c.call(http.MethodPatch, "/v1/buckets/cinema", `{"upload_rules":{"max_size":1000}}`, http.StatusOK)
	p.choose(beach)
	p.until("the refusal is told", `document.querySelector(".upload[data-state=failed]")?.textContent.includes("max_size")
		&& document.querySelector("[aria-label=Uploads] h2").textContent.includes("1 file failed")`)
	p.until("nothing offers to send it again", `!document.querySelector("[aria-label^='Try the upload'], [aria-label^='Resume']")
		&& ![...document.querySelectorAll("button")].some(b => b.textContent.includes("Resume all"))`)
	c.call(http.MethodPatch, "/v1/buckets/cinema", `{"upload_rules":null}`, http.StatusOK)
	p.choose(beach)
	p.until("the photo has arrived", `document.querySelector(".upload[data-state=done]") !== null`)
	p.press("Clear")

	between.cutAt(20<<20, 45<<20, 75<<20)
	held := between.holdAt(55 << 20)
	p.choose(wave)
	select {
	case <-held:
	case <-time.After(2 * time.Minute):
		t.Fatalf("only %d bytes came by", between.sent())
	}
	p.click("[aria-label^='Pause the upload']")
	p.until("the upload is paused", `document.querySelector(".upload[data-state=paused]") !== null`)
	between.release()
	p.goTo("/upload")
	p.until("the page remembers the upload", `document.querySelector(".upload[data-state=unfinished]")?.textContent.includes("wave.mp4")`)
	p.choose(wave)
	p.until("the video has arrived", `document.querySelector(".upload[data-state=done]") !== null`)
	if cuts := between.cuts(); cuts != 3 {
		t.Errorf("the connection was cut %d times", cuts)
	}
	p.resumes(2) // the photo and the video
	a := c.s3Get("cinema", "wave.mp4")
	if sha256.Sum256(a) != sha256.Sum256(film) {
		t.Errorf("%d bytes arrived, not those of the file", len(a))
	}
	if a := c.s3Get("cinema", "beach.jpg"); !bytes.Equal(a, picture) {
		t.Errorf("%d bytes of the photo arrived, not those of the file", len(a))
	}

	p.press("Show in the gallery")
	p.until("the gallery shows both", `document.querySelectorAll(".tile .drawn").length === 2 && document.querySelector(".tile[data-state=ready] video") !== null`)
	p.plays()
	p.deletes(c)
}

// resumes fails unless the page has begun so many uploads and no more, whatever was
// cut, and has gone on, since it was loaded last, with one of them where it had
// stopped.
func (p *tab) resumes(uploads int) {
	p.t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	begun := map[string]bool{}
	for _, s := range p.sent {
		begun[s.upload] = true
	}
	since := p.sent[p.loaded:]
	if len(begun) != uploads || p.loaded == 0 || len(since) == 0 || since[0].offset == "0" {
		p.t.Errorf("%d uploads were begun, want %d; before the page was loaded again went %v, and then %v", len(begun), uploads, p.sent[:p.loaded], since)
	}
}

// plays opens the video of the gallery and plays it, from its beginning and from
// its last fifth.
func (p *tab) plays() {
	p.t.Helper()
	const video = `document.querySelector(".player video")`
	p.click(".tile:has(video)")
	p.until("the video can be played", video+`?.readyState > 0`)
	p.do(chromedp.KeyEvent("m"), chromedp.KeyEvent("k"))
	p.until("the video plays", video+`.currentTime > 0.5 && !`+video+`.paused`)
	p.do(chromedp.KeyEvent("8")) // to 80 %
	p.until("the video goes on from there", `((v) => !v.seeking && v.currentTime > 0.8 * v.duration + 0.2)(`+video+`)`)
	p.mu.Lock()
	defer p.mu.Unlock()
	parts, hits := 0, 0
	for _, a := range p.answers {
		if a.Status == http.StatusPartialContent {
			parts++
		}
		for name, value := range a.Headers {
			if s, _ := value.(string); strings.EqualFold(name, "Cache-Status") && strings.Contains(s, "meridian-edge-us-west; hit") {
				hits++
			}
		}
	}
	if parts < 2 || hits == 0 {
		p.t.Errorf("of %d answers of edges %d are parts and %d hits", len(p.answers), parts, hits)
	}
}

// deletes removes what is open, after it was asked.
func (p *tab) deletes(c *devCluster) {
	p.t.Helper()
	p.click("[aria-label^=Delete]")
	p.press("Cancel")
	p.until("nothing is asked any more", `!document.querySelector("dialog[open]")`)
	if list := c.media("?bucket=cinema"); len(list) != 2 {
		p.t.Errorf("%d records, although the answer was no", len(list))
	}
	p.click("[aria-label^=Delete]")
	p.press("Delete")
	p.until("the photo is shown instead", `document.querySelector(".stage img") !== null`)
	p.do(chromedp.KeyEvent("\x1b"))
	p.until("one is left", `document.querySelectorAll(".tile").length === 1 && !document.querySelector(".viewer")`)
}

// TestConsoleForReaders is what a key sees that may only read, and that a
// session which has ended asks to sign in again.
func TestConsoleForReaders(t *testing.T) {
	t.Parallel()
	requireConsole(t)
	c := startDev(t)
	var k metadata.AccessKey
	if err := json.Unmarshal(c.call(http.MethodPost, "/v1/keys", `{"role":"readonly"}`, http.StatusCreated), &k); err != nil {
		t.Fatal(err)
	}
	p := openConsole(t, c.api())
	p.signIn(credentials{k.ID, k.Secret})
	p.until("the gallery is empty, and offers no upload", `document.body.innerText.includes("No photos or videos yet") && !document.querySelector("a[href='/upload']")`)
	c.cli("key", "revoke", k.ID)
	p.fill("input[type=search]", "sea")
	p.until("the page asks to sign in again", `document.querySelector("input[name=password]") !== null && document.body.innerText.includes("session has ended")`)
}

// s3Get reads an object as S3 tools do.
func (c *devCluster) s3Get(bucket, key string) []byte {
	c.t.Helper()
	o, err := c.minio(c.s3(0)).GetObject(c.t.Context(), bucket, key, minio.GetObjectOptions{})
	if err != nil {
		c.t.Fatal(err)
	}
	defer o.Close()
	b, err := io.ReadAll(o)
	if err != nil {
		c.t.Fatal(err)
	}
	return b
}

// padded is an MP4 of size bytes: the last of its boxes is free space, which
// holds noise.
func padded(t *testing.T, mp4 []byte, size int) []byte {
	t.Helper()
	free := make([]byte, size-len(mp4))
	_, _ = rand.Read(free) // never fails
	binary.BigEndian.PutUint32(free, uint32(len(free)))
	copy(free[4:], "free")
	return append(mp4, free...)
}

// cuttingProxy passes bytes on, and cuts or holds a connection once a number of
// bytes has gone to the server, over all connections.
type cuttingProxy struct {
	listener net.Listener
	to       string

	mu      sync.Mutex
	total   int64
	at      []int64
	done    int
	hold    int64 // 0: never
	held    chan struct{}
	release func()
	going   chan struct{} // closed where nothing is held
}

func newCuttingProxy(t *testing.T, to string) *cuttingProxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &cuttingProxy{listener: l, to: to, going: make(chan struct{})}
	p.release = sync.OnceFunc(func() { close(p.going) })
	t.Cleanup(func() { p.release(); l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go p.pass(conn)
		}
	}()
	return p
}

func (p *cuttingProxy) url() string { return "http://" + p.listener.Addr().String() }

func (p *cuttingProxy) cutAt(totals ...int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.at = totals
}

// holdAt stops the bytes once total have gone by, until release; the channel is
// closed when it does.
func (p *cuttingProxy) holdAt(total int64) <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.hold, p.held = total, make(chan struct{})
	return p.held
}

func (p *cuttingProxy) sent() int64 { p.mu.Lock(); defer p.mu.Unlock(); return p.total }
func (p *cuttingProxy) cuts() int   { p.mu.Lock(); defer p.mu.Unlock(); return p.done }

func (p *cuttingProxy) pass(client net.Conn) {
	defer client.Close()
	server, err := net.Dial("tcp", p.to)
	if err != nil {
		return
	}
	defer server.Close()
	go func() {
		defer client.Close()
		_, _ = io.Copy(client, server)
	}()
	buf := make([]byte, 64<<10)
	for {
		n, err := client.Read(buf)
		if _, failed := server.Write(buf[:n]); err != nil || failed != nil || p.counts(int64(n)) {
			return
		}
	}
}

// counts bytes that went by and says whether to cut here.
func (p *cuttingProxy) counts(n int64) (cut bool) {
	p.mu.Lock()
	p.total += n
	if len(p.at) > 0 && p.total >= p.at[0] {
		p.at, cut = p.at[1:], true
		p.done++
	}
	hold := p.hold > 0 && p.total >= p.hold
	if hold {
		p.hold = 0
		close(p.held)
	}
	p.mu.Unlock()
	if hold {
		<-p.going
	}
	return cut
}
