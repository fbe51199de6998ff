package tus_test

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"meridian/internal/hop"
	"meridian/internal/httpserve"
	"meridian/internal/sigv4"
	"meridian/metadata"
	"meridian/upload/relay"
	"meridian/upload/tus"
)

// front is an endpoint that has checked that ada is calling, as the API does.
func (w *world) front(region string) string {
	r := w.relay(region, "metadata-"+region)
	srv := httptest.NewServer(httpserve.Access(slog.New(slog.DiscardHandler), false, http.HandlerFunc(func(rw http.ResponseWriter, req *http.Request) {
		relay.Headers(rw.Header())
		r.Serve(rw, req, "ada", false)
	})))
	w.Cleanup(func() {
		srv.CloseClientConnections()
		srv.Close()
	})
	return srv.URL
}

// swap is the same upload at another endpoint.
func swap(upload, endpoint string) string {
	_, id, _ := strings.Cut(upload, relay.Path)
	return endpoint + relay.Path + id
}

func TestThroughAnyNode(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	europe, asia := w.start("europe", "origin-europe"), w.start("asia", "origin-asia")
	front := w.front("us-west")
	body := content(1, 20*partSize+7)
	a := w.ask("", http.MethodPost, front+"/v1/tus/", nil, headers{
		"Upload-Length", strconv.Itoa(len(body)), "Upload-Metadata", meta("bucket", "films", "key", "a b/ü"), "X-Meridian-Client-Region", "asia",
		"X-Meridian-User", "root", "X-Meridian-Role", "admin",
	})
	url := a.Header.Get("Location")
	if a.StatusCode != http.StatusCreated || !strings.HasPrefix(url, front) || a.Header.Get("X-Meridian-Region") != "asia" {
		t.Fatalf("POST: %s %v %s", a.Status, a.Header, a.body)
	}
	for name, values := range a.Header {
		if len(values) > 1 && name != "Vary" {
			t.Errorf("%s is there twice: %q", name, values)
		}
	}
	if w.storeUploads("asia") != 1 || w.storeUploads("europe") != 0 {
		t.Error("the upload is not where the client is")
	}
	ways := []string{url, swap(url, europe.url), swap(url, asia.url)}
	random := rand.New(rand.NewPCG(3, 3))
	off := int64(0)
	for tries := 0; off < int64(len(body)); tries++ {
		way := ways[tries%3]
		cut := off + random.Int64N(10*partSize)
		_, _ = w.try("ada", http.MethodPatch, way, &cutReader{b: body[off:], n: cut - off}, headers{"Upload-Offset", strconv.FormatInt(off, 10)})
		got := w.offset(ways[(tries+1)%3])
		if got < off || got > max(cut, int64(len(body))) {
			t.Fatalf("offset %d after %d bytes from %d", got, cut-off, off)
		}
		off = got
		if tries > 300 {
			t.Fatal("it does not come to an end")
		}
	}
	v := w.object("a b/ü", body)
	if v.Owner != "ada" || v.Regions[0] != "asia" {
		t.Errorf("version %+v", v)
	}
	w.problem(w.ask("ada", http.MethodPatch, swap(url, front)+"x", nil, nil), http.StatusNotFound)
	w.problem(w.patch(swap(url, europe.url), 1, nil), http.StatusConflict)
}

func TestWhereNewUploadsGo(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	europe := w.start("europe", "origin-europe")
	asia := w.start("asia", "origin-asia")
	front := w.front("us-west")
	for _, b := range []metadata.Bucket{
		{Name: "everywhere", Region: "asia", Owner: "root"},
		{Name: "only-asia", Region: "asia", Owner: "root", Placement: metadata.Placement{"asia"}},
		{Name: "only-mars", Region: "europe", Owner: "root", Placement: metadata.Placement{"mars"}},
	} {
		if _, err := w.catalog.CreateBucket(t.Context(), b); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := w.catalog.CreateBucket(t.Context(), metadata.Bucket{
		Name: "not-asia", Region: "europe", Owner: "root", Residency: []string{"europe", "us-west"},
	}); err != nil {
		t.Fatal(err)
	}
	create := func(endpoint, bucket, client string) answer {
		return w.ask("ada", http.MethodPost, endpoint+"/v1/tus/", nil, headers{
			"Upload-Length", "5", "Upload-Metadata", meta("bucket", bucket, "key", "a"), "X-Meridian-Client-Region", client,
		})
	}
	for _, c := range [][4]string{
		{front, "everywhere", "europe", "europe"},
		{front, "everywhere", "", "asia"}, // its home
		{front, "films", "nowhere", "europe"},
		{front, "only-asia", "europe", "asia"},
		{front, "not-asia", "asia", "europe"},
		{europe.url, "not-asia", "asia", "europe"},
		{europe.url, "only-asia", "europe", "asia"},
		{europe.url, "everywhere", "asia", "europe"}, // asked directly
	} {
		a := create(c[0], c[1], c[2])
		if got := a.Header.Values("X-Meridian-Region"); a.StatusCode != http.StatusCreated || len(got) != 1 || got[0] != c[3] {
			t.Errorf("%v: %s in %v %s", c, a.Status, got, a.body)
		}
	}
	w.problem(create(front, "only-mars", ""), http.StatusServiceUnavailable)
	w.problem(create(front, "missing", ""), http.StatusNotFound)

	// Bytes that may not lie in a region do not pass through it either.
	if says := w.problem(create(asia.url, "not-asia", ""), http.StatusUnprocessableEntity); !strings.Contains(says, "asia; upload through a region that it allows: europe, us-west") {
		t.Errorf("at a forbidden region: %s", says)
	}
	there := create(europe.url, "not-asia", "").Header.Get("Location")
	w.problem(w.patch(swap(there, asia.url), 0, []byte("hello")), http.StatusUnprocessableEntity)
	w.problem(w.ask("ada", http.MethodPost, swap(there, asia.url), strings.NewReader("hello"), headers{
		"X-HTTP-Method-Override", "PATCH", "Upload-Offset", "0", "Content-Type", "application/offset+octet-stream",
	}), http.StatusUnprocessableEntity)
	if off := w.offset(swap(there, asia.url)); off != 0 {
		t.Errorf("offset %d of what was refused", off)
	}
	if a := w.patch(swap(there, front), 0, []byte("hello")); a.StatusCode != http.StatusNoContent {
		t.Errorf("PATCH by the API: %s %s", a.Status, a.body)
	}

	// The nearest origin takes no connections, which nobody has noticed yet.
	w.mu.Lock()
	w.nodes = append([]metadata.Node{{ID: "dead", Tier: metadata.TierOrigin, Region: "mars", URL: "http://127.0.0.1:1", Live: true}}, w.nodes...)
	w.mu.Unlock()
	if a := create(front, "everywhere", "mars"); a.StatusCode != http.StatusCreated || a.Header.Get("X-Meridian-Region") != "asia" {
		t.Errorf("with a dead origin: %s %s", a.Status, a.body)
	}
}

func TestOnlyNodesSpeakForOthers(t *testing.T) {
	t.Parallel()
	n := newWorld(t).start("europe", "origin-europe")
	url := n.create(10, "key", "a")
	ask := func(user string, key, secret string) int {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodHead, url, nil)
		if err != nil {
			t.Fatal(err)
		}
		if user != "" {
			req.Header.Set(hop.RequestUser, user)
			req.Header.Set(hop.RequestRole, metadata.RoleAdmin)
		}
		sigv4.Signer{AccessKey: key, Secret: secret}.Sign(req, sigv4.UnsignedPayload, time.Now())
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		return resp.StatusCode
	}
	bob := n.keys["bob"]
	for name, c := range map[string]struct{ got, want int }{
		"a node for ada":      {ask("ada", hop.NodeAccessKey, clusterSecret), 200},
		"a node for nobody":   {ask("", hop.NodeAccessKey, clusterSecret), 403},
		"not a node":          {ask("ada", hop.NodeAccessKey, "guessed"), 401},
		"a user as another":   {ask("ada", bob.ID, bob.Secret), 404},
		"the owner, by SigV4": {ask("", n.keys["ada"].ID, n.keys["ada"].Secret), 200},
		"an admin, by SigV4":  {ask("", n.keys["root"].ID, n.keys["root"].Secret), 200},
		"a reader, by SigV4":  {ask("", n.keys["eve"].ID, n.keys["eve"].Secret), 403},
		"nobody that we know": {ask("", "KEYmallory", "x"), 401},
	} {
		if c.got != c.want {
			t.Errorf("%s: %d, want %d", name, c.got, c.want)
		}
	}
}

// stalled is a PATCH whose client has sent some bytes and says nothing more.
func (w *world) stalled(url string, offset int64, sent []byte) (more io.WriteCloser, done <-chan answer) {
	r, pipe := io.Pipe()
	ch := make(chan answer, 1)
	go func() {
		a, _ := w.try("ada", http.MethodPatch, url, r, headers{"Upload-Offset", strconv.FormatInt(offset, 10)})
		r.CloseWithError(io.ErrClosedPipe)
		ch <- a
	}()
	_, _ = pipe.Write(sent)
	return pipe, ch
}

// waitFor polls the catalogue until that much of an upload is durable.
func (w *world) waitFor(url string, offset int64) {
	w.Helper()
	_, id, _ := strings.Cut(url, relay.Path)
	for deadline := time.Now().Add(2 * time.Minute); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		r, err := w.catalog.Resumable(w.Context(), id)
		if err != nil {
			w.Fatal(err)
		}
		if r.Offset >= offset {
			return
		}
	}
	w.Fatalf("%d bytes of the upload never became durable", offset)
}

func TestADeadConnectionGivesWay(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	one, two := w.start("europe", "origin-europe-1"), w.start("europe", "origin-europe-2")
	body := content(1, 3*partSize+1234)
	for name, other := range map[string]*node{"the same node": one, "another node": two} {
		url := one.create(len(body), "key", name)
		_, done := w.stalled(url, 0, body[:partSize+100])
		w.waitFor(url, partSize)
		off := w.offset(swap(url, other.url))
		if off != partSize+100 {
			t.Errorf("%s: offset %d, want all that was sent, %d", name, off, partSize+100)
		}
		if a := <-done; a.Response != nil && a.StatusCode < 400 {
			t.Errorf("%s: who was interrupted is told %s", name, a.Status)
		}
		if a := w.patch(swap(url, other.url), off, body[off:]); a.StatusCode != http.StatusNoContent {
			t.Errorf("%s: PATCH: %s %s", name, a.Status, a.body)
		}
		w.object(name, body)
	}
}

// TestAfterACrash starts a node while what its predecessor did is still under
// way, as if that had been killed; and the predecessor turns out to be alive.
func TestAfterACrash(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	before := w.start("europe", "origin-europe")
	body := content(1, 4*partSize)
	url := before.create(len(body), "key", "a")
	more, done := w.stalled(url, 0, body[:partSize+10])
	w.waitFor(url, partSize)

	after := w.start("europe", "origin-europe")
	url = swap(url, after.url)
	if off := w.offset(url); off != partSize {
		t.Fatalf("offset after a restart: %d, want what was durable, %d", off, partSize)
	}
	if a := w.patch(url, partSize, body[partSize:2*partSize]); a.StatusCode != http.StatusNoContent {
		t.Fatalf("PATCH after a restart: %s %s", a.Status, a.body)
	}
	_, _ = more.Write(bytes.Repeat([]byte("zombie"), partSize))
	more.Close()
	if a := <-done; a.Response != nil && a.StatusCode < 400 {
		t.Errorf("a request that has lost its upload is told %s", a.Status)
	}
	if off := w.offset(url); off != 2*partSize {
		t.Errorf("offset %d, want %d", off, 2*partSize)
	}
	if a := w.patch(url, 2*partSize, body[2*partSize:]); a.StatusCode != http.StatusNoContent {
		t.Fatalf("PATCH: %s %s", a.Status, a.body)
	}
	w.object("a", body)
}

func TestAStopKeepsWhatArrived(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	n := w.start("europe", "origin-europe-1")
	body := content(1, 2*partSize)
	url := n.create(len(body), "key", "a")
	_, done := w.stalled(url, 0, body[:partSize+10])
	w.waitFor(url, partSize)
	n.stop()
	if a := <-done; a.Response == nil || a.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("PATCH at a node that stops: %+v", a.Response)
	}
	url = swap(url, w.start("europe", "origin-europe-2").url)
	if off := w.offset(url); off != partSize+10 {
		t.Errorf("offset %d, want %d", off, partSize+10)
	}
	w.patch(url, partSize+10, body[partSize+10:])
	w.object("a", body)
}

// TestManyWritersOneUpload lets clients that know nothing of each other send one
// file through two nodes.
func TestManyWritersOneUpload(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	one, two := w.start("europe", "origin-europe-1"), w.start("europe", "origin-europe-2")
	body := content(1, 12*partSize+99)
	url := one.create(len(body), "key", "a")
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			random := rand.New(rand.NewPCG(uint64(i), 9))
			way := swap(url, []string{one.url, two.url}[i%2])
			for ctx.Err() == nil {
				a, err := w.try("ada", http.MethodHead, way, nil, nil)
				if err != nil || a.StatusCode != http.StatusOK {
					continue // locked
				}
				off, _ := strconv.ParseInt(a.Header.Get("Upload-Offset"), 10, 64)
				if off == int64(len(body)) {
					return
				}
				n := min(1+random.Int64N(2*partSize), int64(len(body))-off)
				_, _ = w.try("ada", http.MethodPatch, way, bytes.NewReader(body[off:off+n]), headers{"Upload-Offset", strconv.FormatInt(off, 10)})
			}
		})
	}
	wg.Wait()
	w.object("a", body)
}

func TestAnUploadOfRules(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	n := w.start("europe", "origin-europe", func(o *tus.Options) {})
	_, err := w.catalog.UpdateBucket(t.Context(), "films", func(b *metadata.Bucket) error {
		b.UploadRules = metadata.UploadRules{MaxSize: 10_000, Types: []string{"image/*"}, QuotaObjects: 1}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	create := func(length int, kind string) answer {
		return n.ask("ada", http.MethodPost, n.url+"/v1/tus/", nil, headers{
			"Upload-Length", strconv.Itoa(length), "Upload-Metadata", meta("bucket", "films", "key", "a", "filetype", kind),
		})
	}
	n.problem(create(10_001, "image/png"), http.StatusRequestEntityTooLarge)
	n.problem(create(100, "video/mp4"), http.StatusUnsupportedMediaType)
	if n.storeUploads("europe") != 0 {
		t.Error("a refused upload was begun")
	}
	text := n.create(2000, "key", "a", "filetype", "image/png")
	n.problem(n.patch(text, 0, []byte(strings.Repeat("no photo", 250))), http.StatusUnsupportedMediaType)
	n.nothing("a")
	png := append([]byte("\x89PNG\r\n\x1a\n"), content(1, 2000)...)
	first, second := n.create(len(png), "key", "a"), n.create(len(png), "key", "b")
	if a := n.patch(first, 0, png); a.StatusCode != http.StatusNoContent {
		t.Errorf("a photo: %s %s", a.Status, a.body)
	}
	if says := n.problem(n.patch(second, 0, png), http.StatusForbidden); !strings.Contains(says, "quota") {
		t.Errorf("the second photo: %s", says)
	}
	n.nothing("b")
}
