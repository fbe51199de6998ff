package main

import (
	"crypto/tls"
	"log/slog"

	"meridian/internal/httpserve"
)

// tlsOptions make a role speak TLS.
type tlsOptions struct{ cert, key string }

func (o *tlsOptions) declare(s *settings) {
	s.flags.StringVar(&o.cert, "tls-cert", "", "PEM `file` with the certificate, and those it leads to: serve HTTPS; read again when it changes")
	s.flags.StringVar(&o.key, "tls-key", "", "PEM `file` with the key of --tls-cert")
}

// config is nil for plain HTTP.
func (o *tlsOptions) config(log *slog.Logger) (*tls.Config, error) {
	switch {
	case o.cert == "" && o.key == "":
		return nil, nil //nolint:nilnil // nil is plain HTTP
	case o.cert == "" || o.key == "":
		return nil, usagef("--tls-cert and --tls-key belong together")
	}
	return httpserve.Certificates(log, o.cert, o.key)
}
