package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"

	"meridian/internal/httpserve"
)

// tlsOptions make a role speak TLS.
type tlsOptions struct {
	cert, key, listen string
	http3             bool
	http3Declared     bool
	http3Connections  int
}

func (o *tlsOptions) declare(s *settings) {
	s.flags.StringVar(&o.cert, "tls-cert", "", "PEM `file` with the certificate, and those it leads to: serve HTTPS; read again when it changes, and at SIGHUP")
	s.flags.StringVar(&o.key, "tls-key", "", "PEM `file` with the key of --tls-cert")
	s.flags.StringVar(&o.listen, "tls-listen", "", "`address` to serve HTTPS on beside plain HTTP on --listen (default: HTTPS on --listen)")
}

func (o *tlsOptions) declareHTTP3(s *settings) {
	o.http3Declared = true
	s.flags.BoolVar(&o.http3, "http3", false, "serve HTTP/3 too, on the UDP port of the number of that of HTTPS; clients learn of it by Alt-Svc")
	s.flags.IntVar(&o.http3Connections, "http3-connections", httpserve.DefaultHTTP3Connections, "`connections` of HTTP/3 at once, of about 60 KiB each; who is refused goes on by TCP")
}

func (o *tlsOptions) check() error {
	switch {
	case (o.cert == "") != (o.key == ""):
		return usagef("--tls-cert and --tls-key belong together")
	case o.http3 && o.cert == "":
		return usagef("--http3 needs a certificate: give --tls-cert and --tls-key")
	case o.http3Declared && !o.http3 && o.http3Connections != httpserve.DefaultHTTP3Connections:
		return usagef("--http3-connections is for HTTP/3: give --http3, too")
	case o.http3 && o.http3Connections < 1:
		return usagef("--http3-connections is 1 at least")
	case o.listen != "" && o.cert == "":
		return usagef("--tls-listen needs a certificate: give --tls-cert and --tls-key")
	}
	return nil
}

// sockets are where a role is served: on listener, by plain HTTP or by TLS, or by
// plain HTTP there and by TLS on another.
type sockets struct {
	listener     net.Listener
	secure       net.Listener            // for TLS; nil: none of its own
	http3        net.PacketConn          // nil: none
	connections  int                     // of HTTP/3 at once
	certificates *httpserve.Certificates // nil: no TLS
}

// open reads the certificates and binds the sockets; address is that of --listen.
func (o *tlsOptions) open(ctx context.Context, address string, log *slog.Logger) (s sockets, err error) {
	if o.cert != "" {
		if s.certificates, err = httpserve.NewCertificates(log, o.cert, o.key); err != nil {
			return sockets{}, err
		}
	}
	if s.listener, err = listen(ctx, address); err != nil {
		return sockets{}, err
	}
	if o.listen != "" {
		if s.secure, err = listen(ctx, o.listen); err != nil {
			return sockets{}, errors.Join(fmt.Errorf("--tls-listen: %w", err), s.Close())
		}
	}
	if o.http3 {
		var c net.ListenConfig
		if s.http3, err = c.ListenPacket(ctx, "udp", s.tlsAddress().String()); err != nil {
			return sockets{}, errors.Join(fmt.Errorf("--http3: %w", err), s.Close())
		}
		s.connections = o.http3Connections
	}
	return s, nil
}

// Close closes what was bound for a role that does not come to be.
func (s sockets) Close() error {
	err := s.listener.Close()
	if s.secure != nil {
		err = errors.Join(err, s.secure.Close())
	}
	if s.http3 != nil {
		err = errors.Join(err, s.http3.Close())
	}
	return err
}

// tlsAddress is where TLS is spoken; nil: nowhere.
func (s sockets) tlsAddress() net.Addr {
	switch {
	case s.certificates == nil:
		return nil
	case s.secure != nil:
		return s.secure.Addr()
	}
	return s.listener.Addr()
}

// url is the URL of the listener, for nodes on the same machine.
func (s sockets) url() string {
	if s.certificates != nil && s.secure == nil {
		return s.tlsURL()
	}
	return reachable(s.listener.Addr())
}

// tlsURL is the URL of where TLS is spoken, or empty.
func (s sockets) tlsURL() string {
	address := s.tlsAddress()
	if address == nil {
		return ""
	}
	return "https" + strings.TrimPrefix(reachable(address), "http")
}

// serve makes o a server of the sockets. Clients reach it at publicURL, whose port
// is the one to name for HTTP/3 where there is something between them that
// changes ports.
func (s sockets) serve(o httpserve.Options, publicURL string) *httpserve.Server {
	if s.certificates != nil {
		o.TLS, o.TLSListener = s.certificates.Config(), s.secure
		o.HTTP3, o.HTTP3Connections = s.http3, s.connections
	}
	if u, err := url.Parse(publicURL); err == nil && u.Scheme == "https" {
		o.HTTP3Port = 443
		if port, err := strconv.ParseUint(u.Port(), 10, 16); err == nil {
			o.HTTP3Port = int(port)
		}
	}
	return httpserve.New(s.listener, o)
}

// reload reads the certificates again at every SIGHUP.
func (s sockets) reload(ctx context.Context) error {
	if s.certificates == nil {
		<-ctx.Done() // SIGHUP does what it always does
		return nil
	}
	asked := make(chan os.Signal, 1)
	signal.Notify(asked, syscall.SIGHUP) // to the end: amid a drain it must not kill
	for {
		select {
		case <-asked:
			s.certificates.Reload()
		case <-ctx.Done():
			return nil
		}
	}
}

// trustOptions say whose certificates are believed.
type trustOptions struct{ file string }

func (o *trustOptions) declare(s *settings) {
	s.flags.StringVar(&o.file, "ca-file", "", "PEM `file` of certificate authorities to believe, beside those of the system, where a URL of Meridian is https")
}

// config is for connections to Meridian's own processes; nil: the system's
// authorities.
func (o *trustOptions) config() (*tls.Config, error) {
	if o.file == "" {
		return nil, nil //nolint:nilnil // nil is the system's
	}
	text, err := os.ReadFile(o.file)
	if err != nil {
		return nil, fmt.Errorf("--ca-file: %w", err)
	}
	roots, err := x509.SystemCertPool()
	if err != nil {
		roots = x509.NewCertPool() // a system without any
	}
	if !roots.AppendCertsFromPEM(text) {
		return nil, usagef("--ca-file %s holds no certificate in PEM", o.file)
	}
	return &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}, nil
}

// client is for commands.
func (o *trustOptions) client() (*http.Client, error) {
	trust, err := o.config()
	if err != nil || trust == nil {
		return http.DefaultClient, err
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.TLSClientConfig = trust
	return &http.Client{Transport: transport}, nil
}
