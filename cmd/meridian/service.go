package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"runtime/debug"
	"strings"
	"time"

	"github.com/oklog/ulid/v2"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"meridian/metadata"
	"meridian/metadata/postgres"
)

// service is a role that was put together: units to run, in the order in which
// they start, and whether it can do its work.
type service struct {
	units []unit
	ready func() error
	// settle makes it look at once who else is there, so that it does not go on
	// with where nodes were before a restart. It may be nil.
	settle func(ctx context.Context) error
	url    string // under which others reach it
	log    *slog.Logger
}

// serve runs one role as a process of its own.
func serve(ctx context.Context, p process, svc service) error {
	announce := unit{"ready", func(ctx context.Context) error {
		if err := waitReady(ctx, svc.ready); err != nil {
			return err
		}
		fmt.Fprintf(p.stdout, "%s\nready\n", svc.url)
		<-ctx.Done()
		return nil
	}}
	return runUnits(ctx, svc.log, append(svc.units, announce))
}

// after is u, started when all of what it stands on is ready.
func after(ready []func() error, u unit) unit {
	return unit{u.name, func(ctx context.Context) error {
		for _, r := range ready {
			if err := waitReady(ctx, r); err != nil {
				return err
			}
		}
		return u.run(ctx)
	}}
}

// setMemoryLimit makes the garbage collector work harder as the process comes
// near to what the caches and everything else may take together. Cached slices
// are large and cheap to mark; at the default pacing their garbage could double
// the heap.
func setMemoryLimit(caches int64) {
	const rest = 64 << 20 // the program itself is not part of it
	debug.SetMemoryLimit(caches + caches/8 + rest)
}

// waitReady polls ready until it returns nil or ctx ends.
func waitReady(ctx context.Context, ready func() error) error {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for ready() != nil {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
	return nil
}

// clusterOptions are what every process of a cluster shares.
type clusterOptions struct {
	secret string
	trust  trustOptions
}

func (o *clusterOptions) declare(s *settings) {
	s.secret(&o.secret, "cluster-secret", "`secret` by which the cluster's processes know each other")
	o.trust.declare(s)
}

func (o *clusterOptions) check() error {
	if len(o.secret) < 16 {
		return usagef("--cluster-secret must have at least 16 characters (or give --cluster-secret-file)")
	}
	return nil
}

// databaseOptions say where the catalogue is.
type databaseOptions struct {
	url       string
	masterKey string
	maxConns  int
}

func (o *databaseOptions) declare(s *settings) {
	s.secret(&o.url, "database-url", "`URL` of Postgres (also DATABASE_URL)")
	s.secret(&o.masterKey, "master-key", "`key` that encrypts access keys at rest: 64 hex digits or a passphrase")
	s.flags.IntVar(&o.maxConns, "database-conns", 16, "most connections to Postgres")
}

func (o *databaseOptions) open(ctx context.Context, p process, region string, log *slog.Logger) (*postgres.Store, error) {
	url := o.url
	if url == "" {
		url, _ = p.env("DATABASE_URL")
	}
	if url == "" {
		return nil, usagef("no database: give --database-url, MERIDIAN_DATABASE_URL or DATABASE_URL")
	}
	if o.masterKey == "" {
		return nil, usagef("no master key: give --master-key-file (the same for every origin and metadata role)")
	}
	key, err := masterKey(o.masterKey)
	if err != nil {
		return nil, err
	}
	return postgres.Open(ctx, postgres.Config{
		URL: url, MasterKey: key, Region: region, MaxConns: o.maxConns, Log: log,
	})
}

// rootOptions are the credentials that may do everything.
type rootOptions struct {
	credentials
}

func (o *rootOptions) declare(s *settings) {
	s.flags.StringVar(&o.accessKey, "root-access-key", "", "access `key` of the root user")
	s.secret(&o.secretKey, "root-secret-key", "its `secret`")
}

// read takes the credentials from a file, if one is named and they are not
// given otherwise.
func (o *rootOptions) read(file string) (err error) {
	if file != "" && o.credentials == (credentials{}) {
		o.credentials, err = readCredentials(file)
	}
	return err
}

func (o *rootOptions) check() error {
	if (o.accessKey == "") != (o.secretKey == "") {
		return usagef("--root-access-key and --root-secret-key go together")
	}
	if o.accessKey != "" && (len(o.accessKey) < 3 || len(o.secretKey) < 8 || strings.ContainsAny(o.accessKey, "/: ")) {
		return usagef("--root-access-key needs 3 characters or more without '/', ':' or blank, --root-secret-key 8 or more")
	}
	return nil
}

// putRoot makes c the root key and revokes the one there was before.
func putRoot(ctx context.Context, keys metadata.Keys, c credentials) error {
	err := keys.PutKey(ctx, metadata.AccessKey{ID: c.accessKey, Secret: c.secretKey, User: metadata.RootUser, Role: metadata.RoleAdmin})
	if err != nil {
		return fmt.Errorf("store the root access key: %w", err)
	}
	var old []string
	for k, err := range keys.Keys(ctx) {
		if err != nil {
			return fmt.Errorf("look for former root access keys: %w", err)
		}
		if k.User == metadata.RootUser && k.ID != c.accessKey {
			old = append(old, k.ID)
		}
	}
	for _, id := range old {
		if err := keys.DeleteKey(ctx, id); err != nil && !errors.Is(err, metadata.ErrNoSuchAccess) {
			return fmt.Errorf("revoke the former root access key: %w", err)
		}
	}
	return nil
}

// newRegistry is a registry with what every Go process tells of itself.
func newRegistry() *prometheus.Registry {
	reg := prometheus.NewRegistry()
	reg.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return reg
}

// newBoot names one start of a node.
func newBoot() string { return ulid.Make().String() }

// listen binds an address.
func listen(ctx context.Context, addr string) (net.Listener, error) {
	var c net.ListenConfig
	return c.Listen(ctx, "tcp", addr)
}

// reachable turns a bound address into a URL that others can use: a wildcard
// address is replaced by the loopback address.
func reachable(addr net.Addr) string {
	host, port, err := net.SplitHostPort(addr.String())
	if err != nil {
		return "http://" + addr.String()
	}
	if ip := net.ParseIP(host); ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return "http://" + net.JoinHostPort(host, port)
}

// closer is a unit that only closes c at the end.
func closer(name string, c io.Closer) unit {
	return unit{name, func(ctx context.Context) error {
		<-ctx.Done()
		return c.Close()
	}}
}
