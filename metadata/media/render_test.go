package media_test

import (
	"bytes"
	"context"
	"crypto/md5"
	"encoding/base64"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"meridian/internal/sigv4"
	"meridian/internal/sse"
	"meridian/metadata"
	"meridian/metadata/media"
	"meridian/metadata/media/faststart"
	"meridian/metadata/postgres"
	"meridian/metadata/postgres/pgtest"
	objects "meridian/origin"
	"meridian/origin/blob/disk"
	"meridian/origin/crypt"
	"meridian/origin/s3api"
	"meridian/upload"
)

// region is a catalogue and an origin, over a real socket.
type region struct {
	t     *testing.T
	store *postgres.Store
	url   string

	mu sync.Mutex
	// refuse, if not nil, says which requests the origin fails.
	refuse func(*http.Request) bool
}

func newRegion(t *testing.T) *region {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	r := &region{t: t, store: pgtest.New(t)}
	blobs, err := disk.Open(disk.Config{Dir: t.TempDir(), Log: log})
	if err != nil {
		t.Fatal(err)
	}
	if err := r.store.PutKey(t.Context(), metadata.AccessKey{ID: "ANN", Secret: "ann's secret", User: "ann", Role: metadata.RoleAdmin}); err != nil {
		t.Fatal(err)
	}
	ring, err := sse.NewRing([32]byte{1})
	if err != nil {
		t.Fatal(err)
	}
	keys := &crypt.Keys{Ring: ring}
	s3 := s3api.New(s3api.Options{
		Objects: objects.New(objects.Options{Region: pgtest.Region, Store: blobs, Catalog: r.store, Log: log, Crypt: keys}),
		Uploads: upload.New(upload.Options{Region: pgtest.Region, Store: blobs, Catalog: r.store, Log: log, MinPart: 1, Crypt: keys}),
		Catalog: r.store, Keys: r.store, ClusterSecret: secret, Region: pgtest.Region,
		Regions: func() []string { return []string{pgtest.Region} }, Log: log, Registry: prometheus.NewRegistry(),
	})
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		r.mu.Lock()
		refused := r.refuse != nil && r.refuse(req)
		r.mu.Unlock()
		if refused {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		s3.ServeHTTP(w, req)
	}))
	t.Cleanup(srv.Close)
	r.url = srv.URL
	r.do(http.MethodPut, "/films", nil, http.StatusOK)
	return r
}

// failing makes the origin fail the requests that f selects.
func (r *region) failing(f func(*http.Request) bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.refuse = f
}

// do sends a request as a user.
func (r *region) do(method, path string, body []byte, want int, headers ...string) []byte {
	r.t.Helper()
	return r.as(sigv4.Signer{AccessKey: "ANN", Secret: "ann's secret"}, method, path, body, want, headers...)
}

// as sends a request signed by s, with headers given as pairs.
func (r *region) as(s sigv4.Signer, method, path string, body []byte, want int, headers ...string) []byte {
	r.t.Helper()
	req, err := http.NewRequestWithContext(r.t.Context(), method, r.url+path, bytes.NewReader(body))
	if err != nil {
		r.t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	s.Sign(req, sigv4.UnsignedPayload, time.Now())
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	defer resp.Body.Close()
	got, err := io.ReadAll(resp.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	if resp.StatusCode != want {
		r.t.Fatalf("%s %s = %d, want %d: %s", method, path, resp.StatusCode, want, got)
	}
	return got
}

// start runs a worker that puts parts of partSize until the function it returns
// is called, or the test ends.
func (r *region) start(partSize int64) (stop func()) {
	r.t.Helper()
	h := media.NewHTTPOpener(media.HTTPOptions{
		Secret: secret, Region: pgtest.Region, PartSize: partSize,
		Nodes: func(context.Context) ([]metadata.Node, error) {
			return []metadata.Node{{Tier: metadata.TierOrigin, Region: pgtest.Region, URL: r.url, Live: true}}, nil
		},
	})
	w := media.New(media.Options{Store: r.store, Opener: h, Shelf: h, Region: pgtest.Region, Log: slog.New(slog.DiscardHandler)})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			r.t.Errorf("worker: %v", err)
		}
	})
	r.t.Cleanup(stop)
	return stop
}

// rendition waits for the one rendition of a key to be in a state.
func (r *region) rendition(key, state string) (metadata.Media, metadata.Rendition) {
	r.t.Helper()
	var m metadata.Media
	r.until("a rendition of "+key+" that is "+state, func() bool {
		page, err := r.store.ListMedia(r.t.Context(), metadata.MediaQuery{Bucket: "films", Limit: 200})
		if err != nil {
			r.t.Fatal(err)
		}
		for _, m = range page.Media {
			if m.Key == key {
				return len(m.Renditions) == 1 && m.Renditions[0].State == state
			}
		}
		return false
	})
	return m, m.Renditions[0]
}

func (r *region) until(what string, ok func() bool) {
	r.t.Helper()
	for deadline := time.Now().Add(2 * time.Minute); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			r.t.Fatalf("waited for %s", what)
		}
	}
}

// there reports whether a rendition is in the catalogue.
func (r *region) there(key string) bool {
	r.t.Helper()
	_, err := r.store.Lookup(r.t.Context(), metadata.Ref{Bucket: metadata.RenditionBucket, Key: key})
	if err != nil && !errors.Is(err, metadata.ErrNoSuchKey) {
		r.t.Fatal(err)
	}
	return err == nil
}

// film is a video of ffmpeg, whose index comes last.
func film(t *testing.T, size string) []byte {
	t.Helper()
	ffmpeg, err := exec.LookPath("ffmpeg")
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("ffmpeg is not installed")
		}
		t.Skip("ffmpeg is not installed")
	}
	path := filepath.Join(t.TempDir(), "film.mp4")
	out, err := exec.CommandContext(t.Context(), ffmpeg, "-v", "error", "-nostdin", "-f", "lavfi", "-i", "testsrc2=rate=10:duration=2:size="+size,
		"-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", path).CombinedOutput()
	if err != nil {
		t.Fatalf("ffmpeg: %v\n%s", err, out)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// moved is what a rendition of b must be.
func moved(t *testing.T, b []byte) []byte {
	t.Helper()
	p, err := faststart.Make(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	var out []byte
	for _, s := range p.Segments {
		if s.Data != nil {
			out = append(out, s.Data...)
		} else {
			out = append(out, b[s.Offset:s.Offset+s.Length]...)
		}
	}
	return out
}

var asNode = sigv4.Signer{AccessKey: "meridian-node", Secret: secret}

// A rendition is made of every video that needs one, in one piece or in parts,
// stays private, and goes with its source.
func TestRenditionFollowsTheVideo(t *testing.T) {
	t.Parallel()
	r := newRegion(t)
	stop := r.start(0)
	b := film(t, "128x96")
	r.do(http.MethodPut, "/films/a%20b/one.mp4", b, http.StatusOK)
	m, one := r.rendition("a b/one.mp4", metadata.RenditionReady)
	want := moved(t, b)
	path := "/" + metadata.RenditionBucket + "/" + one.Key
	if one.Key != "films/"+m.VersionID+"/faststart.mp4" || one.Size != int64(len(want)) || one.ContentType != "video/mp4" || one.ETag == "" {
		t.Errorf("rendition %+v", one)
	}
	if got := r.as(asNode, http.MethodGet, path, nil, http.StatusOK); !bytes.Equal(got, want) {
		t.Errorf("the rendition has %d bytes, not the %d wanted", len(got), len(want))
	}
	if got := r.do(http.MethodGet, "/films/a%20b/one.mp4", nil, http.StatusOK); !bytes.Equal(got, b) {
		t.Error("the original was changed")
	}
	// It is the system's own.
	for _, method := range []string{http.MethodGet, http.MethodPut, http.MethodDelete} {
		r.do(method, path, nil, http.StatusForbidden)
	}
	r.do(http.MethodGet, "/"+metadata.RenditionBucket, nil, http.StatusForbidden)
	if list := r.do(http.MethodGet, "/", nil, http.StatusOK); strings.Contains(string(list), metadata.RenditionBucket) {
		t.Errorf("users see the bucket: %s", list)
	}

	// In parts, by a worker that starts anew.
	stop()
	stop = r.start(10_000)
	b2 := film(t, "256x192")
	r.do(http.MethodPut, "/films/two.mp4", b2, http.StatusOK)
	_, two := r.rendition("two.mp4", metadata.RenditionReady)
	if got := r.as(asNode, http.MethodGet, "/"+metadata.RenditionBucket+"/"+two.Key, nil, http.StatusOK); !bytes.Equal(got, moved(t, b2)) || !strings.Contains(two.ETag, "-") {
		t.Errorf("in parts: %d bytes with the ETag %s", len(got), two.ETag)
	}

	// Overwritten by another video, by one that needs nothing, and deleted.
	r.do(http.MethodPut, "/films/two.mp4", b, http.StatusOK)
	r.until("the rendition of what was overwritten to go", func() bool { return !r.there(two.Key) })
	_, three := r.rendition("two.mp4", metadata.RenditionReady)
	r.do(http.MethodPut, "/films/two.mp4", want, http.StatusOK)
	r.until("the rendition of what was overwritten to go", func() bool { return !r.there(three.Key) })
	if !r.there(one.Key) {
		t.Error("a rendition went without its source")
	}
	stop() // nobody sees the delete
	r.do(http.MethodDelete, "/films/a%20b/one.mp4", nil, http.StatusNoContent)
	r.start(0)
	r.until("the rendition of what was deleted to go", func() bool { return !r.there(one.Key) })
	page, err := r.store.ListMedia(t.Context(), metadata.MediaQuery{Limit: 10})
	if err != nil || len(page.Media) != 1 || len(page.Media[0].Renditions) != 0 {
		t.Errorf("records %+v, %v", page.Media, err)
	}
}

// What is made of an encrypted video is encrypted, in one piece and in parts; of
// what only a customer's key opens nothing is made, nor said.
func TestRenditionsOfEncryptedVideos(t *testing.T) {
	t.Parallel()
	r := newRegion(t)
	stop := r.start(0)
	b := film(t, "128x96")
	r.do(http.MethodPut, "/films/secret.mp4", b, http.StatusOK, "X-Amz-Server-Side-Encryption", "AES256")
	key := bytes.Repeat([]byte{5}, 32)
	sum := md5.Sum(key)
	const prefix = "X-Amz-Server-Side-Encryption-Customer-"
	r.do(http.MethodPut, "/films/mine.mp4", b, http.StatusOK, prefix+"Algorithm", "AES256",
		prefix+"Key", base64.StdEncoding.EncodeToString(key), prefix+"Key-Md5", base64.StdEncoding.EncodeToString(sum[:]))
	encrypted := func(key string) {
		t.Helper()
		v, err := r.store.Lookup(t.Context(), metadata.Ref{Bucket: metadata.RenditionBucket, Key: key})
		if err != nil || v.Encryption == nil || v.Encryption.Kind != metadata.ServerKeys {
			t.Errorf("%s: %+v, %v", key, v.Encryption, err)
		}
		if got := r.as(asNode, http.MethodGet, "/"+metadata.RenditionBucket+"/"+key, nil, http.StatusOK); !bytes.Equal(got, moved(t, b)) {
			t.Errorf("%s has %d bytes", key, len(got))
		}
	}
	_, one := r.rendition("secret.mp4", metadata.RenditionReady)
	encrypted(one.Key)
	stop()
	r.start(10_000)
	r.do(http.MethodPut, "/films/parts.mp4", b, http.StatusOK, "X-Amz-Server-Side-Encryption", "AES256")
	_, two := r.rendition("parts.mp4", metadata.RenditionReady)
	encrypted(two.Key)
	page, err := r.store.ListMedia(t.Context(), metadata.MediaQuery{Limit: 10})
	if err != nil || len(page.Media) != 2 {
		t.Errorf("records %+v, %v", page.Media, err)
	}
}

// An origin that fails is asked again, also by another worker, and the record
// tells what is wrong meanwhile.
func TestRenditionIsTriedAgain(t *testing.T) {
	t.Parallel()
	r := newRegion(t)
	write := func(req *http.Request) bool {
		return req.Method != http.MethodGet && strings.HasPrefix(req.URL.Path, "/"+metadata.RenditionBucket+"/")
	}
	r.failing(write)
	stop := r.start(10_000)
	b := film(t, "128x96")
	r.do(http.MethodPut, "/films/film.mp4", b, http.StatusOK)
	m, _ := r.rendition("film.mp4", metadata.RenditionPending)
	r.until("the reason", func() bool {
		m, _ = r.rendition("film.mp4", metadata.RenditionPending)
		return strings.Contains(m.Renditions[0].Error, "503")
	})
	if m.State != metadata.MediaReady || m.Width != 128 {
		t.Errorf("the video waits for its rendition: %+v", m)
	}
	stop()
	// Each part fails once, and the first try to complete.
	failed := map[string]bool{}
	r.failing(func(req *http.Request) bool {
		id := req.Method + req.URL.Query().Get("partNumber")
		if !write(req) || failed[id] || req.Method == http.MethodPut && len(failed) > 1 {
			return false
		}
		failed[id] = true
		return true
	})
	r.start(10_000)
	_, made := r.rendition("film.mp4", metadata.RenditionReady)
	if got := r.as(asNode, http.MethodGet, "/"+metadata.RenditionBucket+"/"+made.Key, nil, http.StatusOK); !bytes.Equal(got, moved(t, b)) || made.Error != "" {
		t.Errorf("%d bytes, rendition %+v", len(got), made)
	}
}

// What cannot be made is told once and for all, and the video is there.
func TestRenditionThatCannotBeMade(t *testing.T) {
	t.Parallel()
	r := newRegion(t)
	r.start(0)
	b := film(t, "128x96")
	i := bytes.LastIndex(b, []byte("stco"))
	b[i+8] = 0x7f // the number of chunks
	r.do(http.MethodPut, "/films/odd.mp4", b, http.StatusOK)
	m, failed := r.rendition("odd.mp4", metadata.RenditionFailed)
	if m.State != metadata.MediaReady || !strings.Contains(failed.Error, "stco") {
		t.Errorf("record %+v", m)
	}
}
