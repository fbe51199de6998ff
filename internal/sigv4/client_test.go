package sigv4

import (
	"bytes"
	"crypto/md5"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awscreds "github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
)

// store is the least S3 that SDKs need: what is put with a good signature can be
// got with one.
type store struct {
	mu       sync.Mutex
	objects  map[string][]byte
	hashes   map[string]string // payload hash that each object came with
	trailers map[string]http.Header
}

func (s *store) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	v := &Verifier{Keys: keysOf(docKey, docSecret), Regions: []string{"europe"}}
	if err := s.serve(v, w, r); err != nil {
		var e *Error
		if !errors.As(err, &e) {
			e = &Error{Code: "InternalError", Message: err.Error()}
		}
		w.Header().Set("Content-Type", "application/xml")
		w.WriteHeader(http.StatusForbidden)
		fmt.Fprintf(w, "<Error><Code>%s</Code><Message>%s\n%s</Message></Error>", e.Code, e.Message,
			strings.ReplaceAll(e.CanonicalRequest, "&", "&amp;"))
	}
}

func (s *store) serve(v *Verifier, w http.ResponseWriter, r *http.Request) error {
	auth, err := v.Verify(r)
	if err != nil {
		return err
	}
	if r.Method != http.MethodPut {
		s.mu.Lock()
		object, ok := s.objects[r.URL.Path]
		s.mu.Unlock()
		if !ok {
			w.WriteHeader(http.StatusNotFound)
			return nil
		}
		http.ServeContent(w, r, "", time.Unix(1e9, 0), bytes.NewReader(object))
		return nil
	}
	body, length, err := auth.Body(r)
	if err != nil {
		return err
	}
	object, err := io.ReadAll(body)
	if err != nil {
		return err
	}
	if length >= 0 && length != int64(len(object)) {
		return fmt.Errorf("announced %d bytes, got %d", length, len(object))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.objects[r.URL.Path], s.hashes[r.URL.Path], s.trailers[r.URL.Path] = object, auth.PayloadHash, auth.Trailer()
	sum := md5.Sum(object) //nolint:gosec // an ETag
	w.Header().Set("ETag", `"`+hex.EncodeToString(sum[:])+`"`)
	return nil
}

func serveStore(t *testing.T, secure bool) (*store, *httptest.Server) {
	t.Helper()
	s := &store{objects: map[string][]byte{}, hashes: map[string]string{}, trailers: map[string]http.Header{}}
	srv := httptest.NewUnstartedServer(s)
	if secure {
		srv.StartTLS()
	} else {
		srv.Start()
	}
	t.Cleanup(srv.Close)
	return s, srv
}

// oddKeys are object keys that proxies and routers like to change.
func oddKeys() []string {
	return []string{
		"plain.jpg", "a b/c  d", "a+b", "ünï/日本語.mp4", "a//b", "/leading", "trailing/", "./a/../b", "..", "%41%2F", "100%",
		"a=b&c;d?e#f", `!*'()$@,:"<>[]{}|^~` + "`", "\\back",
	}
}

// fetch gets a URL as a browser does.
func fetch(t *testing.T, srv *httptest.Server, method, target string, body io.Reader) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, target, body)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := srv.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}

func TestMinioGo(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name             string
		secure, trailing bool
		want             string // how bodies are signed
	}{
		{"http", false, false, StreamingPayload},
		{"http, trailers", false, true, StreamingPayloadTrailer},
		{"https, trailers", true, true, StreamingUnsignedTrailer},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s, srv := serveStore(t, c.secure)
			client, err := minio.New(srv.Listener.Addr().String(), &minio.Options{
				Creds: credentials.NewStaticV4(docKey, docSecret, ""), Secure: c.secure, Region: "europe",
				Transport: srv.Client().Transport, TrailingHeaders: c.trailing, BucketLookup: minio.BucketLookupPath,
				MaxRetries: 1,
			})
			if err != nil {
				t.Fatal(err)
			}
			big := make([]byte, 1<<20+17)
			_, _ = rand.Read(big)
			// A reader that cannot seek is streamed.
			opts := minio.PutObjectOptions{DisableMultipart: true, UserMetadata: map[string]string{"note": "two  spaces"}}
			if c.trailing {
				opts.Checksum = minio.ChecksumCRC32C
			}
			_, err = client.PutObject(t.Context(), "bucket", "big", io.MultiReader(bytes.NewReader(big)), int64(len(big)), opts)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(s.objects["/bucket/big"], big) {
				t.Error("other bytes arrived")
			}
			if got := s.hashes["/bucket/big"]; got != c.want {
				t.Errorf("payload %s, want %s", got, c.want)
			}
			if c.trailing && s.trailers["/bucket/big"].Get("X-Amz-Checksum-Crc32c") == "" {
				t.Errorf("no checksum in the trailer %v", s.trailers["/bucket/big"])
			}
			for _, key := range oddKeys() {
				if _, err := client.PutObject(t.Context(), "bucket", key, strings.NewReader(key), int64(len(key)), minio.PutObjectOptions{}); err != nil {
					t.Errorf("%q: %v", key, err)
					continue
				}
				object, err := client.GetObject(t.Context(), "bucket", key, minio.GetObjectOptions{})
				if err != nil {
					t.Fatal(err)
				}
				if got, err := io.ReadAll(object); err != nil || string(got) != key {
					t.Errorf("%q: got %q, %v", key, got, err)
				}
				u, err := client.PresignedGetObject(t.Context(), "bucket", key, time.Hour, url.Values{"response-content-type": {"a/b c+d"}})
				if err != nil {
					t.Fatal(err)
				}
				if status, got := fetch(t, srv, http.MethodGet, u.String(), nil); status != http.StatusOK || got != key {
					t.Errorf("presigned %q: %d %s", key, status, got)
				}
			}
		})
	}
}

func TestAWSSDK(t *testing.T) {
	t.Parallel()
	for _, secure := range []bool{false, true} {
		t.Run(fmt.Sprintf("secure %v", secure), func(t *testing.T) {
			t.Parallel()
			s, srv := serveStore(t, secure)
			client := s3.New(s3.Options{
				BaseEndpoint: aws.String(srv.URL), Region: "us-east-1", UsePathStyle: true, HTTPClient: srv.Client(),
				Credentials: awscreds.NewStaticCredentialsProvider(docKey, docSecret, "a session token"), RetryMaxAttempts: 1,
				RequestChecksumCalculation: aws.RequestChecksumCalculationWhenSupported,
			})
			presign := s3.NewPresignClient(client)
			big := make([]byte, 1<<20+17)
			_, _ = rand.Read(big)
			var body io.Reader = bytes.NewReader(big)
			if secure { // over TLS the SDK streams, with a trailer
				body = io.MultiReader(body)
			}
			if _, err := client.PutObject(t.Context(), &s3.PutObjectInput{
				Bucket: aws.String("bucket"), Key: aws.String("big"), Body: body, ContentLength: aws.Int64(int64(len(big))),
			}); err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(s.objects["/bucket/big"], big) {
				t.Error("other bytes arrived")
			}
			if secure && (s.hashes["/bucket/big"] != StreamingUnsignedTrailer || s.trailers["/bucket/big"].Get("X-Amz-Checksum-Crc32") == "") {
				t.Errorf("payload %s, trailer %v", s.hashes["/bucket/big"], s.trailers["/bucket/big"])
			}
			for _, key := range oddKeys() {
				if _, err := client.PutObject(t.Context(), &s3.PutObjectInput{
					Bucket: aws.String("bucket"), Key: &key, Body: strings.NewReader(key), Metadata: map[string]string{"a": "b  c"},
				}); err != nil {
					t.Errorf("%q: %v", key, err)
					continue
				}
				out, err := client.GetObject(t.Context(), &s3.GetObjectInput{Bucket: aws.String("bucket"), Key: &key, Range: aws.String("bytes=0-")})
				if err != nil {
					t.Errorf("%q: %v", key, err)
					continue
				}
				got, err := io.ReadAll(out.Body)
				_ = out.Body.Close()
				if err != nil || string(got) != key {
					t.Errorf("%q: got %q, %v", key, got, err)
				}
				get, err := presign.PresignGetObject(t.Context(), &s3.GetObjectInput{Bucket: aws.String("bucket"), Key: &key})
				if err != nil {
					t.Fatal(err)
				}
				if status, got := fetch(t, srv, http.MethodGet, get.URL, nil); status != http.StatusOK || got != key {
					t.Errorf("presigned %q: %d %s", key, status, got)
				}
			}
			put, err := presign.PresignPutObject(t.Context(), &s3.PutObjectInput{Bucket: aws.String("bucket"), Key: aws.String("from a browser")})
			if err != nil {
				t.Fatal(err)
			}
			if status, got := fetch(t, srv, http.MethodPut, put.URL, strings.NewReader("hello")); status != http.StatusOK {
				t.Errorf("presigned put: %d %s", status, got)
			}
			if got := string(s.objects["/bucket/from a browser"]); got != "hello" {
				t.Errorf("presigned put stored %q", got)
			}
		})
	}
}

// TestSignerOverSocket: our signer through a real client and server.
func TestSignerOverSocket(t *testing.T) {
	t.Parallel()
	_, srv := serveStore(t, false)
	for _, key := range oddKeys() {
		u, err := url.Parse(srv.URL)
		if err != nil {
			t.Fatal(err)
		}
		u.Path, u.RawQuery = "/bucket/"+key, "x-id=a+b%20c&acl"
		put, err := http.NewRequestWithContext(t.Context(), http.MethodPut, "", strings.NewReader(key))
		if err != nil {
			t.Fatal(err)
		}
		put.URL = u
		signer().Sign(put, UnsignedPayload, time.Now())
		resp, err := srv.Client().Do(put)
		if err != nil {
			t.Fatal(err)
		}
		b, _ := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			t.Errorf("put %q: %s", key, b)
		}
		get := &http.Request{Method: http.MethodGet, URL: &url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}, Header: http.Header{}}
		signer().Presign(get, time.Minute, time.Now())
		if status, got := fetch(t, srv, http.MethodGet, get.URL.String(), nil); status != http.StatusOK || got != key {
			t.Errorf("presigned %q: %d %s", key, status, got)
		}
	}
}

// TestUploadCutShort: a client that goes away in the middle leaves an error, in
// each form of body.
func TestUploadCutShort(t *testing.T) {
	t.Parallel()
	for _, hash := range []string{UnsignedPayload, StreamingUnsignedTrailer} {
		result := make(chan error, 1)
		srv := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			auth, err := (&Verifier{Keys: keysOf(docKey, docSecret), Regions: []string{"europe"}}).Verify(r)
			if err == nil {
				var body io.Reader
				if body, _, err = auth.Body(r); err == nil {
					_, err = io.Copy(io.Discard, body)
				}
			}
			result <- err
		}))
		t.Cleanup(srv.Close)
		body, w := io.Pipe()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPut, srv.URL+"/b/k", body)
		if err != nil {
			t.Fatal(err)
		}
		req.ContentLength = 1 << 20
		req.Header.Set("X-Amz-Decoded-Content-Length", "1000")
		signer().Sign(req, hash, time.Now())
		go func() {
			_, _ = io.WriteString(w, "3e8\r\n"+strings.Repeat("a", 1000)+"\r\n")
			_ = w.CloseWithError(errors.New("power cut"))
		}()
		if resp, err := srv.Client().Do(req); err == nil {
			_ = resp.Body.Close()
		}
		if err := <-result; !errors.Is(err, ErrIncompleteBody) {
			t.Errorf("%s: %v", hash, err)
		}
	}
}
