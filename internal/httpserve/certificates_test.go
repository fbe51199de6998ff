package httpserve_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"log/slog"
	"math/big"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"meridian/internal/httpserve"
)

// writePair writes a certificate with a serial number, and its key.
func writePair(t *testing.T, certFile, keyFile string, serial int64) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := x509.Certificate{SerialNumber: big.NewInt(serial)}
	cert, err := x509.CreateCertificate(rand.Reader, &template, &template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for file, block := range map[string]*pem.Block{certFile: {Type: "CERTIFICATE", Bytes: cert}, keyFile: {Type: "PRIVATE KEY", Bytes: private}} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
		// Of another time than the one before, on file systems of coarse clocks.
		when := time.Unix(1_700_000_000+serial, 0)
		if err := os.Chtimes(file, when, when); err != nil {
			t.Fatal(err)
		}
	}
}

func TestACertificateIsReadAgainWhenItChanges(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		cert, key := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
		if _, err := httpserve.NewCertificates(slog.New(slog.DiscardHandler), cert, key); err == nil {
			t.Fatal("no files, no error")
		}
		writePair(t, cert, key, 1)
		certificates, err := httpserve.NewCertificates(slog.New(slog.DiscardHandler), cert, key)
		if err != nil {
			t.Fatal(err)
		}
		config := certificates.Config()
		serial := func() int64 {
			time.Sleep(2 * time.Second)
			pair, err := config.GetCertificate(&tls.ClientHelloInfo{})
			if err != nil {
				t.Fatal(err)
			}
			return pair.Leaf.SerialNumber.Int64()
		}
		if got := serial(); got != 1 {
			t.Errorf("certificate %d", got)
		}
		writePair(t, cert, key, 2)
		if got := serial(); got != 2 {
			t.Errorf("certificate %d after the files changed", got)
		}
		if err := os.WriteFile(cert, []byte("half of a"), 0o600); err != nil {
			t.Fatal(err)
		}
		if got := serial(); got != 2 {
			t.Errorf("certificate %d while the file cannot be read", got)
		}
		writePair(t, cert, key, 3)
		if got := serial(); got != 3 {
			t.Errorf("certificate %d after it was mended", got)
		}
	})
}

func TestReloadReadsACertificateThatLooksTheSame(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		cert, key := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
		writePair(t, cert, key, 1)
		certificates, err := httpserve.NewCertificates(slog.New(slog.DiscardHandler), cert, key)
		if err != nil {
			t.Fatal(err)
		}
		serial := func() int64 { // no time passes: nobody looks at the files
			pair, err := certificates.Config().GetCertificate(&tls.ClientHelloInfo{})
			if err != nil {
				t.Fatal(err)
			}
			return pair.Leaf.SerialNumber.Int64()
		}
		writePair(t, cert, key, 2)
		if got := serial(); got != 1 {
			t.Errorf("certificate %d before it was told", got)
		}
		certificates.Reload()
		if got := serial(); got != 2 {
			t.Errorf("certificate %d after it was told", got)
		}
		if err := os.WriteFile(key, []byte("half of a"), 0o600); err != nil {
			t.Fatal(err)
		}
		certificates.Reload()
		if got := serial(); got != 2 {
			t.Errorf("certificate %d while the key cannot be read", got)
		}
	})
}
