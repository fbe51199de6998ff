package httpserve

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"
)

// certificateLook is how often, at most, handshakes look for a new certificate.
const certificateLook = time.Second

// Certificates are the certificate and key of two PEM files. They are read again
// when they have changed, as whoever renews certificates leaves them; a pair that
// cannot be read leaves the one before in use, and a line in the log.
type Certificates struct {
	log               *slog.Logger
	certFile, keyFile string

	mu      sync.Mutex
	pair    *tls.Certificate
	stamp   stamp
	refused *stamp // of a pair that could not be read; nil: none
	looked  time.Time
}

// NewCertificates reads the two files.
func NewCertificates(log *slog.Logger, certFile, keyFile string) (*Certificates, error) {
	c := &Certificates{log: log, certFile: certFile, keyFile: keyFile}
	if err := c.load(time.Now()); err != nil {
		return nil, err
	}
	return c, nil
}

// Config is a TLS configuration with whatever certificate there is at the moment.
func (c *Certificates) Config() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		NextProtos: []string{"h2", "http/1.1"},
		// Records are as large as they may be from the beginning on: small
		// ones at first would make the first byte of a large answer faster by
		// less than they cost.
		DynamicRecordSizingDisabled: true,
		GetCertificate:              func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return c.current(time.Now()), nil },
	}
}

// Reload reads the files now, changed or not.
func (c *Certificates) Reload() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stamp, c.refused = stamp{}, nil
	c.reload(time.Now())
}

// stamp tells one state of the files from another.
type stamp struct {
	cert, key         time.Time
	certSize, keySize int64
}

func (c *Certificates) current(now time.Time) *tls.Certificate {
	c.mu.Lock()
	defer c.mu.Unlock()
	if now.Sub(c.looked) >= certificateLook {
		c.reload(now)
	}
	return c.pair
}

// reload is load where there is a pair to go on with.
func (c *Certificates) reload(now time.Time) {
	if err := c.load(now); err != nil {
		c.log.Warn("certificate is not renewed", "err", err)
	}
}

// load reads the files, if they have changed.
func (c *Certificates) load(now time.Time) error {
	c.looked = now
	s, err := c.look()
	if err != nil {
		if c.refuses(s) {
			return nil // said once
		}
		c.refused = &s
		return err
	}
	if s == c.stamp || c.refuses(s) {
		return nil
	}
	pair, err := tls.LoadX509KeyPair(c.certFile, c.keyFile)
	if err != nil {
		c.refused = &s
		return fmt.Errorf("certificate %s with key %s: %w", c.certFile, c.keyFile, err)
	}
	if c.pair != nil {
		c.log.Info("certificate renewed", "file", c.certFile, "until", pair.Leaf.NotAfter)
	}
	c.pair, c.stamp, c.refused = &pair, s, nil
	return nil
}

func (c *Certificates) refuses(s stamp) bool { return c.refused != nil && *c.refused == s }

func (c *Certificates) look() (stamp, error) {
	cert, err := os.Stat(c.certFile)
	if err != nil {
		return stamp{}, fmt.Errorf("certificate: %w", err)
	}
	key, err := os.Stat(c.keyFile)
	if err != nil {
		return stamp{}, fmt.Errorf("key of the certificate: %w", err)
	}
	return stamp{cert.ModTime(), key.ModTime(), cert.Size(), key.Size()}, nil
}
