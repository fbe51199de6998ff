package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awscredentials "github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/feature/s3/manager"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/minio/minio-go/v7"
	miniocredentials "github.com/minio/minio-go/v7/pkg/credentials"
	"github.com/quic-go/quic-go/http3"

	"meridian/metadata/postgres/pgtest"
)

// authority is a certificate authority of one's own.
type authority struct {
	t    *testing.T
	file string // its certificate
	pool *x509.CertPool
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{t: t, file: filepath.Join(t.TempDir(), "ca.pem"), pool: x509.NewCertPool()}
	template := x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	var der []byte
	der, a.key = a.sign(&template, &template)
	var err error
	if a.cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	a.pool.AddCert(a.cert)
	writePEM(t, a.file, "CERTIFICATE", der)
	return a
}

func (a *authority) sign(template, parent *x509.Certificate) ([]byte, *ecdsa.PrivateKey) {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	by := a.key
	if by == nil {
		by = key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), by)
	if err != nil {
		a.t.Fatal(err)
	}
	return der, key
}

// issue writes a certificate for this machine, and its key.
func (a *authority) issue(certFile, keyFile string, serial int64) {
	a.t.Helper()
	der, key := a.sign(&x509.Certificate{
		SerialNumber: big.NewInt(serial), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, DNSNames: []string{"s3.test", "*.s3.test"},
	}, a.cert)
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		a.t.Fatal(err)
	}
	writePEM(a.t, certFile, "CERTIFICATE", der)
	writePEM(a.t, keyFile, "PRIVATE KEY", private)
}

// writePEM writes files of one size, whatever is in them.
func writePEM(t *testing.T, file, kind string, der []byte) {
	t.Helper()
	text := pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
	text = append(text, bytes.Repeat([]byte("\n"), 2048-len(text))...)
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
}

// startRole runs a role by its command line and returns the URL that it tells.
func startRole(t *testing.T, args ...string) string {
	t.Helper()
	out := newLineBuffer()
	ctx, cancel := context.WithCancel(context.Background())
	code := make(chan int, 1)
	go func() { code <- run(ctx, args, process{stdout: out, stderr: testLog{t}, env: noEnv}) }()
	t.Cleanup(func() {
		cancel()
		if n := <-code; n != 0 {
			t.Errorf("meridian %s ended with %d", args[0], n)
		}
	})
	select {
	case <-out.line("ready"):
	case n := <-code:
		code <- n
		t.Fatalf("meridian %s ended with %d before it was ready", args[0], n)
	case <-time.After(time.Minute):
		t.Fatalf("meridian %s is not ready after a minute", args[0])
	}
	return strings.SplitN(out.String(), "\n", 2)[0]
}

// A cluster whose hops are all HTTPS, by an authority of its own, with S3 tools,
// browsers and commands in front of it.
func TestEverythingOverTLS(t *testing.T) {
	t.Parallel()
	requirePostgres(t)
	a := newAuthority(t)
	cert, key := filepath.Join(t.TempDir(), "cert.pem"), filepath.Join(t.TempDir(), "key.pem")
	a.issue(cert, key, 2)
	cred := newCredentials()
	common := []string{
		"--region", "europe", "--listen", "127.0.0.1:0", "--log-level", "warn", "--access-log=false",
		"--cluster-secret", clusterSecret, "--tls-cert", cert, "--tls-key", key, "--ca-file", a.file,
	}
	start := func(role string, args ...string) string {
		t.Helper()
		return startRole(t, append(append([]string{role}, common...), args...)...)
	}
	database := pgtest.URL(t)
	catalogue := []string{"--database-url", database, "--master-key", masterSecret}
	api := start("metadata", append(catalogue, "--tls-listen", "127.0.0.1:0", "--root-access-key", cred.accessKey, "--root-secret-key", cred.secretKey)...)
	origin := start("origin", append(catalogue, "--data", t.TempDir(), "--domain", "s3.test")...)
	regional := start("edge", "--tier", "regional", "--metadata", api, "--cache-memory", "32MiB")
	edge := start("edge", "--metadata", api, "--cache-memory", "32MiB", "--tls-listen", "127.0.0.1:0", "--http3")
	for what, url := range map[string]string{"API": api, "origin": origin, "regional cache": regional, "edge": edge} {
		if !strings.HasPrefix(url, "https://127.0.0.1:") {
			t.Fatalf("the URL of the %s is %s", what, url)
		}
	}

	// The commands.
	var out, errs strings.Builder
	p := process{stdout: &out, stderr: &errs, env: noEnv}
	if code := run(t.Context(), []string{"health", "--url", origin, "--ca-file", a.file}, p); code != 0 || out.String() != "ready\n" {
		t.Errorf("health: %d %s%s", code, out.String(), errs.String())
	}
	if code := run(t.Context(), []string{"health", "--url", origin}, p); code != 1 || !strings.Contains(errs.String(), "certificate") {
		t.Errorf("health by the system's authorities: %d %s", code, errs.String())
	}
	if code := run(t.Context(), []string{
		"bucket", "create", "photos", "--api", api, "--ca-file", a.file, "--root-access-key", cred.accessKey, "--root-secret-key", cred.secretKey,
	}, p); code != 0 {
		t.Fatalf("bucket create: %s", errs.String())
	}

	// S3 tools: aws-sdk-go-v2 by HTTP/2 with buckets as host names, minio-go.
	dial := func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, strings.TrimPrefix(origin, "https://"))
	}
	trusting := &tls.Config{RootCAs: a.pool}
	named := &http.Transport{TLSClientConfig: trusting.Clone(), ForceAttemptHTTP2: true, DialContext: dial}
	t.Cleanup(named.CloseIdleConnections)
	client := s3.New(s3.Options{
		BaseEndpoint: aws.String("https://s3.test"), Region: "europe", HTTPClient: &http.Client{Transport: named},
		Credentials: awscredentials.NewStaticCredentialsProvider(cred.accessKey, cred.secretKey, ""),
	})
	large := make([]byte, 12<<20)
	_, _ = rand.Read(large)
	//nolint:staticcheck // deprecated, but what programs in the field use
	up := manager.NewUploader(client, func(u *manager.Uploader) { u.PartSize = 5 << 20 })
	//nolint:staticcheck // as above
	if _, err := up.Upload(t.Context(), &s3.PutObjectInput{Bucket: aws.String("photos"), Key: aws.String("a b/large.bin"), Body: bytes.NewReader(large)}); err != nil {
		t.Fatalf("aws-sdk-go-v2 over TLS: %v", err)
	}
	got, err := client.GetObject(t.Context(), &s3.GetObjectInput{Bucket: aws.String("photos"), Key: aws.String("a b/large.bin"), Range: aws.String("bytes=5242870-5242890")})
	if err != nil {
		t.Fatal(err)
	}
	if b, err := io.ReadAll(got.Body); err != nil || !bytes.Equal(b, large[5242870:5242891]) {
		t.Errorf("range: %d bytes, %v", len(b), err)
	}
	got.Body.Close()
	plain := &http.Transport{TLSClientConfig: trusting.Clone()}
	t.Cleanup(plain.CloseIdleConnections)
	tool, err := minio.New(strings.TrimPrefix(origin, "https://"), &minio.Options{
		Creds: miniocredentials.NewStaticV4(cred.accessKey, cred.secretKey, ""), Region: "europe", Secure: true, Transport: plain,
	})
	if err != nil {
		t.Fatal(err)
	}
	small := []byte("a secret that is none over TLS")
	if _, err := tool.PutObject(t.Context(), "photos", "note.txt", bytes.NewReader(small), int64(len(small)), minio.PutObjectOptions{ContentType: "text/plain"}); err != nil {
		t.Fatalf("minio-go over TLS: %v", err)
	}
	_, err = client.DeleteObjects(t.Context(), &s3.DeleteObjectsInput{Bucket: aws.String("photos"), Delete: &types.Delete{Objects: []types.ObjectIdentifier{{Key: aws.String("none")}}}})
	if err != nil {
		t.Errorf("DeleteObjects: %v", err)
	}

	// A browser that speaks HTTP/3.
	quick := &http3.Transport{TLSClientConfig: trusting.Clone()}
	t.Cleanup(func() { quick.Close() })
	presigned := s3.NewPresignClient(s3.New(s3.Options{
		BaseEndpoint: aws.String(edge), Region: "europe", UsePathStyle: true,
		Credentials: awscredentials.NewStaticCredentialsProvider(cred.accessKey, cred.secretKey, ""),
	}))
	link, err := presigned.PresignGetObject(t.Context(), &s3.GetObjectInput{Bucket: aws.String("photos"), Key: aws.String("a b/large.bin")})
	if err != nil {
		t.Fatal(err)
	}
	for url, want := range map[string]struct {
		status int
		body   []byte
	}{link.URL: {200, large}, edge + "/photos/note.txt": {403, nil}} {
		resp, err := (&http.Client{Transport: quick}).Get(url)
		if err != nil {
			t.Fatalf("by HTTP/3: %v", err)
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || resp.StatusCode != want.status || want.body != nil && !bytes.Equal(body, want.body) || resp.Proto != "HTTP/3.0" {
			t.Errorf("by HTTP/3: %s %d, %d bytes, %v: %.200s", resp.Proto, resp.StatusCode, len(body), err, body[:min(len(body), 200)])
		}
		if status := resp.Header.Get("Cache-Status"); want.status == 200 && !strings.Contains(status, "meridian-regional-europe") {
			t.Errorf("the edge did not ask the regional cache: %s", status)
		}
	}
}

func TestTLSOptionsThatDoNotGoTogetherAreRefused(t *testing.T) {
	t.Parallel()
	base := "edge --region europe --metadata http://127.0.0.1:1 --cluster-secret 0123456789abcdef"
	for args, want := range map[string]string{
		base + " --http3":                "--http3 needs a certificate",
		base + " --http3-connections 10": "--http3-connections is for HTTP/3",
		base + " --http3 --http3-connections 0 --tls-cert a --tls-key b": "--http3-connections is 1 at least",
		base + " --tls-listen 127.0.0.1:0":                               "--tls-listen needs a certificate",
		base + " --tls-cert a.pem":                                       "--tls-cert and --tls-key belong together",
		base + " --tls-cert /none --tls-key /none":                       "certificate: stat /none",
		base + " --ca-file /none":                                        "--ca-file: open /none",
		base + " --ca-file tls_test.go":                                  "holds no certificate in PEM",
		base + " --tier regional --http3 --tls-cert a --tls-key b":       "--http3 is for edges",
		"health --ca-file /none":                                         "--ca-file: open /none",
	} {
		var errs strings.Builder
		if code := run(t.Context(), strings.Fields(args), process{stdout: io.Discard, stderr: &errs, env: noEnv}); code == 0 || !strings.Contains(errs.String(), want) {
			t.Errorf("%s: %d %q, want %q", args, code, errs.String(), want)
		}
	}
}

func TestSIGHUPReadsTheCertificateAgain(t *testing.T) {
	t.Parallel()
	// Until the role has its own, this keeps the signal from ending the tests.
	kept := make(chan os.Signal, 1)
	signal.Notify(kept, syscall.SIGHUP)
	a := newAuthority(t)
	cert, key := filepath.Join(t.TempDir(), "cert.pem"), filepath.Join(t.TempDir(), "key.pem")
	issue := func(serial int64) {
		a.issue(cert, key, serial)
		// Nothing but what is in them tells these files from those before.
		for _, file := range []string{cert, key} {
			if err := os.Chtimes(file, time.Unix(1_700_000_000, 0), time.Unix(1_700_000_000, 0)); err != nil {
				t.Fatal(err)
			}
		}
	}
	issue(2)
	o := tlsOptions{cert: cert, key: key}
	on, err := o.open(t.Context(), "127.0.0.1:0", slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer on.Close()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- on.reload(ctx) }()
	issue(3)
	eventually(t, time.Minute, "the certificate is read again", func() bool {
		if err := syscall.Kill(os.Getpid(), syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
		pair, err := on.certificates.Config().GetCertificate(&tls.ClientHelloInfo{})
		return err == nil && pair.Leaf.SerialNumber.Int64() == 3
	})
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
