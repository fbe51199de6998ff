package bucket_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	miniogo "github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"meridian/internal/checksum"
	"meridian/origin/blob"
	"meridian/origin/blob/aws"
	"meridian/origin/blob/blobtest"
	"meridian/origin/blob/bucket"
	"meridian/origin/blob/minio"
	"meridian/origin/blob/miniotest"
)

// clients are the ways to open a store.
var clients = map[string]func(context.Context, bucket.Config) (*bucket.Store, error){"minio": minio.Open, "aws": aws.Open}

func config(server *miniotest.Server) bucket.Config {
	return bucket.Config{
		Endpoint: server.URL, Region: "us-east-1", Bucket: server.Bucket(),
		AccessKey: miniotest.AccessKey, SecretKey: miniotest.SecretKey, Patience: time.Nanosecond,
	}
}

// TestConformanceOfPoorServers holds the store to the suite as it works where a
// server has neither checksums nor conditions.
func TestConformanceOfPoorServers(t *testing.T) {
	server := miniotest.Shared(t)
	for name, open := range clients {
		if name == "aws" && os.Getenv("TEST_LONG") == "" {
			continue // what is done without is decided above both
		}
		t.Run(name, func(t *testing.T) {
			blobtest.Run(t, func(t *testing.T) blob.Store {
				t.Helper()
				s, err := open(t.Context(), config(server))
				if err != nil {
					t.Fatal(err)
				}
				if checksums, conditions := s.Can(); !checksums || !conditions {
					t.Errorf("MinIO is taken for a poor server: checksums %t, conditions %t", checksums, conditions)
				}
				s.Without(true, true)
				return s
			})
		})
	}
}

func TestErrorsAtTheStartSayWhatToDo(t *testing.T) {
	t.Parallel()
	server := miniotest.Shared(t)
	closed, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	for what, c := range map[string]struct {
		change func(*bucket.Config)
		want   string
	}{
		"unknown key":  {func(c *bucket.Config) { c.AccessKey = "nobody" }, "does not know the access key nobody; check the store's access key"},
		"wrong secret": {func(c *bucket.Config) { c.SecretKey = "guess" }, "check the store's secret key"},
		"wrong clock":  {func(c *bucket.Config) { c.Transport = late{bucket.NewTransport(nil)} }, "differ too much; set them, best by NTP"},
		"nobody there": {func(c *bucket.Config) { c.Endpoint = "http://" + closed.Addr().String() }, "cannot be reached; check the store's endpoint"},
		"no TLS there": {func(c *bucket.Config) { c.Endpoint = strings.Replace(c.Endpoint, "http:", "https:", 1) }, "cannot be reached; check the store's endpoint"},
	} {
		for name, open := range clients {
			conf := config(server)
			c.change(&conf)
			_, err := open(t.Context(), conf)
			if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), conf.Bucket) {
				t.Errorf("%s, %s: %v, want %q", what, name, err, c.want)
			}
			if err != nil && (strings.Contains(err.Error(), "guess") || strings.Contains(err.Error(), miniotest.SecretKey)) {
				t.Errorf("%s, %s: the error tells the secret: %v", what, name, err)
			}
		}
	}
}

// late is a machine whose clock is an hour slow.
type late struct{ http.RoundTripper }

func (l late) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("X-Amz-Date", time.Now().UTC().Add(-time.Hour).Format("20060102T150405Z"))
	return l.RoundTripper.RoundTrip(r)
}

// each runs a test with both clients on a store behind a proxy.
func each(t *testing.T, test func(t *testing.T, s *bucket.Store, p *proxy)) {
	t.Helper()
	server := miniotest.Shared(t)
	for name, open := range clients {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newProxy(t, server.URL)
			c := config(server)
			c.Endpoint = p.URL
			s, err := open(t.Context(), c)
			if err != nil {
				t.Fatal(err)
			}
			test(t, s, p)
		})
	}
}

func content(seed byte, n int) []byte {
	b := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{seed}).Read(b) // never fails
	return b
}

func wantContent(t *testing.T, s *bucket.Store, key string, want []byte) {
	t.Helper()
	r, err := s.Open(t.Context(), key, 0, -1)
	if err != nil {
		t.Fatalf("open %s: %v", key, err)
	}
	defer r.Close()
	if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, want) {
		t.Errorf("%s reads as %d bytes, %v; want %d", key, len(got), err, len(want))
	}
}

func TestABusyServerIsAskedAgain(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *bucket.Store, p *proxy) {
		ctx := t.Context()
		great, little := content(1, 6<<20), content(2, 1000)
		p.set(busyTwice())
		if _, err := s.Put(ctx, "b/little", 1000, bytes.NewReader(little), nil); err != nil {
			t.Fatal(err)
		}
		// A stream that the server does not want was not read.
		if _, err := s.Put(ctx, "b/great", 6<<20, bytes.NewReader(great), nil); err != nil {
			t.Fatal(err)
		}
		up, err := s.Begin(ctx, "b/parts", blob.Meta{"key": "k"})
		if err != nil {
			t.Fatal(err)
		}
		var parts []blob.Part
		for n, b := range [][]byte{great, little} {
			part, err := s.PutPart(ctx, up, n+1, int64(len(b)), bytes.NewReader(b))
			if err != nil {
				t.Fatal(err)
			}
			parts = append(parts, part)
		}
		if _, err := s.Complete(ctx, up, parts); err != nil {
			t.Fatal(err)
		}
		wantContent(t, s, "b/great", great)
		wantContent(t, s, "b/parts", append(great, little...))
		n := 0
		for _, err := range s.List(ctx, "") {
			if n++; err != nil {
				t.Fatal(err)
			}
		}
		if n != 3 {
			t.Errorf("%d blobs are listed, want 3", n)
		}
		if err := s.Delete(ctx, "b/little", "b/parts"); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Stat(ctx, "b/little"); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("a deleted blob: %v", err)
		}
	})
}

func TestADownloadThatIsCutGoesOn(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *bucket.Store, p *proxy) {
		b := content(3, 5<<20)
		if _, err := s.Put(t.Context(), "b/k", int64(len(b)), bytes.NewReader(b), nil); err != nil {
			t.Fatal(err)
		}
		p.set(fault{on: http.MethodGet, cutAnswer: 1 << 20})
		wantContent(t, s, "b/k", b)
		r, err := s.Open(t.Context(), "b/k", 100, 3<<20)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, b[100:100+3<<20]) {
			t.Errorf("a range in pieces: %d bytes, %v", len(got), err)
		}
		if n := p.requests(http.MethodGet); n < 8 {
			t.Errorf("%d requests: nothing was cut", n)
		}
		p.set(fault{on: http.MethodGet, cutAnswer: 1}) // less and less is got, and then nothing
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if r, err = s.Open(ctx, "b/k", 0, -1); err == nil {
			defer r.Close()
			_, err = io.ReadAll(r)
		}
		if err == nil || ctx.Err() != nil {
			t.Errorf("a server that always cuts off: %v, %v", err, ctx.Err())
		}
	})
}

func TestAnUploadThatIsCutLeavesNothing(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *bucket.Store, p *proxy) {
		b := content(4, 6<<20)
		p.set(fault{on: http.MethodPut, cutRequest: 2 << 20})
		if _, err := s.Put(t.Context(), "b/k", int64(len(b)), bytes.NewReader(b), nil); err == nil {
			t.Error("a put that was cut succeeded")
		}
		p.set(fault{})
		if _, err := s.Stat(t.Context(), "b/k"); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("after it: %v", err)
		}
		if _, err := s.Put(t.Context(), "b/k", int64(len(b)), bytes.NewReader(b), nil); err != nil {
			t.Error(err)
		}
		wantContent(t, s, "b/k", b)
	})
}

func TestALostAnswerIsNoLostBlob(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *bucket.Store, p *proxy) {
		ctx := t.Context()
		for _, n := range []int{1000, 3 << 20} {
			b, key := content(5, n), fmt.Sprintf("b/%d", n)
			p.set(fault{on: http.MethodPut, lose: 1})
			if info, err := s.Put(ctx, key, int64(n), bytes.NewReader(b), nil); err != nil || info.CRC64 != checksum.Sum64(b) {
				t.Errorf("put of %d bytes whose answer was lost: %+v, %v", n, info, err)
			}
			wantContent(t, s, key, b)
			p.set(fault{})
			if _, err := s.Put(ctx, key, int64(n), bytes.NewReader(b), nil); !errors.Is(err, blob.ErrExists) {
				t.Errorf("put of %d bytes again: %v", n, err)
			}
		}
		up, err := s.Begin(ctx, "b/parts", nil)
		if err != nil {
			t.Fatal(err)
		}
		part, err := s.PutPart(ctx, up, 1, 5, strings.NewReader("hello"))
		if err != nil {
			t.Fatal(err)
		}
		p.set(fault{on: http.MethodPost, lose: 1})
		if info, err := s.Complete(ctx, up, []blob.Part{part}); err != nil || info.Size != 5 {
			t.Errorf("a Complete whose answer was lost: %+v, %v", info, err)
		}
		wantContent(t, s, "b/parts", []byte("hello"))
	})
}

func TestAReaderThatRefusesAtItsEndLeavesTheOldPart(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *bucket.Store, _ *proxy) {
		ctx := t.Context()
		up, err := s.Begin(ctx, "b/k", nil)
		if err != nil {
			t.Fatal(err)
		}
		b := content(6, 5<<20)
		good, err := s.PutPart(ctx, up, 1, int64(len(b)), bytes.NewReader(b))
		if err != nil {
			t.Fatal(err)
		}
		refuse := errors.New("wrong checksum")
		bad := io.MultiReader(bytes.NewReader(content(7, 5<<20)), failing{refuse})
		if _, err := s.PutPart(ctx, up, 1, int64(len(b)), bad); !errors.Is(err, refuse) {
			t.Errorf("a part whose reader refuses it: %v", err)
		}
		if _, err := s.Complete(ctx, up, []blob.Part{good}); err != nil {
			t.Fatal(err)
		}
		wantContent(t, s, "b/k", b)
	})
}

type failing struct{ error }

func (f failing) Read([]byte) (int, error) { return 0, f.error }

func TestABodyWithoutASizeGoesInParts(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *bucket.Store, _ *proxy) {
		b := content(8, 20<<20)
		info, err := s.Put(t.Context(), "b/k", -1, bytes.NewReader(b), blob.Meta{"key": "k"})
		if err != nil || info.Size != int64(len(b)) || info.CRC64 != checksum.Sum64(b) {
			t.Fatalf("%+v, %v", info, err)
		}
		wantContent(t, s, "b/k", b)
		if st, err := s.Stat(t.Context(), "b/k"); err != nil || st.CRC64 != info.CRC64 || st.Meta["key"] != "k" {
			t.Errorf("%+v, %v", st, err)
		}
		if _, err := s.Put(t.Context(), "b/k", -1, bytes.NewReader(b), nil); !errors.Is(err, blob.ErrExists) {
			t.Errorf("again: %v", err)
		}
		broken := errors.New("the line is dead")
		if _, err := s.Put(t.Context(), "b/cut", -1, io.MultiReader(bytes.NewReader(b), failing{broken}), nil); !errors.Is(err, broken) {
			t.Errorf("cut: %v", err)
		}
		for u, err := range s.Uploads(t.Context(), time.Now().Add(time.Hour)) {
			t.Errorf("left: %+v, %v", u, err)
		}
	})
}

func TestVerifyFindsOtherBytes(t *testing.T) {
	t.Parallel()
	server := miniotest.Shared(t)
	for name, open := range clients {
		c := config(server)
		s, err := open(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		b := content(9, 2<<20)
		if _, err := s.Put(t.Context(), "b/k", int64(len(b)), bytes.NewReader(b), nil); err != nil {
			t.Fatal(err)
		}
		if err := s.Verify(t.Context(), "b/k"); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		direct, err := miniogo.New(strings.TrimPrefix(server.URL, "http://"), &miniogo.Options{Creds: credentials.NewStaticV4(c.AccessKey, c.SecretKey, "")})
		if err != nil {
			t.Fatal(err)
		}
		_, err = direct.PutObject(t.Context(), c.Bucket, "b/other", strings.NewReader("other"), 5, miniogo.PutObjectOptions{
			UserMetadata: map[string]string{"meridian-crc64": fmt.Sprintf("%016x", checksum.Sum64([]byte("bytes")))},
		})
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Verify(t.Context(), "b/other"); !errors.Is(err, blob.ErrCorrupt) {
			t.Errorf("%s: Verify of other bytes = %v", name, err)
		}
	}
}

// TestAServerThatIsDown asks both clients for everything while nobody listens.
func TestAServerThatIsDown(t *testing.T) {
	t.Parallel()
	server := miniotest.New(t)
	stores := map[string]*bucket.Store{}
	uploads := map[string]string{}
	for name, open := range clients {
		var err error
		if stores[name], err = open(t.Context(), config(server)); err != nil {
			t.Fatal(err)
		}
		if uploads[name], err = stores[name].Begin(t.Context(), "b/up", nil); err != nil {
			t.Fatal(err)
		}
	}
	server.Stop(t)
	large := content(11, 2<<20)
	for name, s := range stores {
		if !s.Reachable() {
			t.Errorf("%s: unreachable before anything failed", name)
		}
		for what, do := range map[string]func() error{
			"stat":      func() error { _, err := s.Stat(t.Context(), "b/k"); return err },
			"open":      func() error { _, err := s.Open(t.Context(), "b/k", 0, -1); return err },
			"put":       func() error { _, err := s.Put(t.Context(), "b/k", 5, strings.NewReader("hello"), nil); return err },
			"put large": func() error { _, err := s.Put(t.Context(), "b/l", 2<<20, bytes.NewReader(large), nil); return err },
			"begin":     func() error { _, err := s.Begin(t.Context(), "b/k", nil); return err },
			"part": func() error {
				_, err := s.PutPart(t.Context(), uploads[name], 1, 2<<20, bytes.NewReader(large))
				return err
			},
			"delete": func() error { return s.Delete(t.Context(), "b/k") },
			"list": func() error {
				for _, err := range s.List(t.Context(), "") {
					return err
				}
				return nil
			},
		} {
			if err := do(); !errors.Is(err, blob.ErrUnavailable) {
				t.Errorf("%s, %s: %v, want %v", name, what, err, blob.ErrUnavailable)
			}
		}
		if s.Reachable() {
			t.Errorf("%s: reachable", name)
		}
		// What the caller does wrong is no fault of the server.
		broken := errors.New("the line is dead")
		if _, err := s.Put(t.Context(), "b/k", 5, failing{broken}, nil); !errors.Is(err, broken) || errors.Is(err, blob.ErrUnavailable) {
			t.Errorf("%s: a reader that fails: %v", name, err)
		}
	}
	server.Start(t)
	for name, s := range stores {
		if _, err := s.Stat(t.Context(), "b/k"); !errors.Is(err, fs.ErrNotExist) || !s.Reachable() {
			t.Errorf("%s: after a restart: %v, reachable %t", name, err, s.Reachable())
		}
	}
}

// TestAServerThatComesBack stops a server with an upload in progress.
func TestAServerThatComesBack(t *testing.T) {
	t.Parallel()
	server := miniotest.New(t)
	s, err := minio.Open(t.Context(), config(server))
	if err != nil {
		t.Fatal(err)
	}
	b := content(10, 5<<20)
	up, err := s.Begin(t.Context(), "b/k", nil)
	if err != nil {
		t.Fatal(err)
	}
	first, err := s.PutPart(t.Context(), up, 1, int64(len(b)), bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	server.Stop(t)
	if _, err := s.Stat(t.Context(), "b/k"); err == nil || errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a server that is down says: %v", err)
	}
	server.Start(t)
	second, err := s.PutPart(t.Context(), up, 2, 4, strings.NewReader("tail"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Complete(t.Context(), up, []blob.Part{first, second}); err != nil {
		t.Fatal(err)
	}
	wantContent(t, s, "b/k", append(b, "tail"...))
}
