package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"golang.org/x/sync/errgroup"

	"meridian/internal/filelock"
	"meridian/internal/wan"
	"meridian/metadata"
	"meridian/metadata/postgres"
	"meridian/metadata/postgres/pgserver"
)

// Where meridian dev keeps its data; root's must be reachable by the user that
// Postgres runs as, which a home directory is not.
const (
	localDataDir  = "meridian-data"
	systemDataDir = "/var/lib/meridian"
)

// devRegions are the regions of meridian dev, by other names where --regions gives
// some; region i has its S3 endpoint at base+1+i, its regional cache at base+11+i
// and its edge at base+21+i.
var devRegions = [...]string{"us-west", "europe", "asia"}

// maxDevRegions is how many regions the ports have room for.
const maxDevRegions = 9

// rtt are the round-trip times between regions under --wan. The metadata role
// and Postgres are in the first one.
func (o *devOptions) rtt() metadata.Distances {
	far := map[[2]int]time.Duration{{0, 1}: 140 * time.Millisecond, {0, 2}: 110 * time.Millisecond, {1, 2}: 220 * time.Millisecond}
	d := metadata.Distances{}
	for i, a := range o.regions {
		for j, b := range o.regions[:i] {
			d[[2]string{b, a}] = cmp.Or(far[[2]int{j, i}], 150*time.Millisecond)
		}
	}
	return d
}

// devDomains are names under which buckets are host names. Browsers and many
// resolvers take everything below localhost for this machine.
var devDomains = []string{"localhost", "s3.localhost"}

type devOptions struct {
	data           string
	host           string
	portBase       int
	regions        []string // one to nine
	wan            bool
	edgeMemory     size
	regionalMemory size
	prefetch       prefetchOptions
	stores         []storeOptions // by region, in the order of devRegions
	root           rootOptions
	encryption     encryptionOptions
	log            logOptions
	rules          lifecycleOptions
	hooks          webhookOptions
}

func devCommand(s *settings, p process) func(context.Context, []string) error {
	o := devOptions{regions: devRegions[:], edgeMemory: 128 << 20, regionalMemory: 256 << 20}
	data := localDataDir
	if os.Geteuid() == 0 {
		data = systemDataDir
	}
	s.flags.StringVar(&o.data, "data", data, "`directory` of everything that lasts")
	s.flags.StringVar(&o.host, "host", "127.0.0.1", "`address` to listen on")
	s.flags.IntVar(&o.portBase, "port-base", 9000, "first of 24 ports, with three regions: API here, S3 at +1..3, regional caches at +11..13, edges at +21..23")
	s.list(&o.regions, "regions", "names of the `regions`, one to nine (default: "+strings.Join(devRegions[:], ",")+")")
	s.flags.BoolVar(&o.wan, "wan", false, "add real round-trip delays between the regions")
	s.flags.TextVar(&o.edgeMemory, "edge-memory", o.edgeMemory, "memory cache `size` of each edge")
	s.flags.TextVar(&o.regionalMemory, "regional-memory", o.regionalMemory, "memory cache `size` of each regional cache")
	o.prefetch.declare(s)
	var stores storeOptions
	stores.declare(s)
	o.root.declare(s)
	o.encryption.declare(s)
	o.log.declare(s, false)
	o.rules.declare(s)
	o.hooks.local = true
	o.hooks.declare(s)
	return func(ctx context.Context, args []string) error {
		if err := errors.Join(noArguments(args), o.root.check(), o.rules.check(), o.hooks.check(), o.prefetch.check(),
			checkMemory("--edge-memory", o.edgeMemory), checkMemory("--regional-memory", o.regionalMemory)); err != nil {
			return err
		}
		if o.portBase < 1 || o.portBase > 65535-23 {
			return usagef("--port-base must be between 1 and %d", 65535-23)
		}
		if err := checkDevRegions(o.regions); err != nil {
			return err
		}
		var err error
		if o.encryption.keys != "" {
			if _, err := o.encryption.open(); err != nil {
				return err
			}
		}
		if o.stores, err = stores.perRegion(len(o.regions)); err != nil {
			return err
		}
		log, err := o.log.logger(p.stderr)
		if err != nil {
			return err
		}
		return runDev(ctx, p, o, log)
	}
}

// checkDevRegions refuses what cannot name the regions of meridian dev. The names
// are parts of directories, URLs and bucket names of stores.
func checkDevRegions(names []string) error {
	if len(names) < 1 || len(names) > maxDevRegions {
		return usagef("--regions must name one to %d regions, as in %s", maxDevRegions, strings.Join(devRegions[:], ","))
	}
	for i, name := range names {
		if slices.Contains(names[:i], name) {
			return usagef("--regions names %s twice", name)
		}
		if len(name) > 32 || strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" || name[0] == '-' {
			return usagef("--regions: %q has other characters than a-z, 0-9 and -, or more than 32, or begins with -", name)
		}
	}
	return nil
}

// runDev starts every role in this process, over the code that runs them apart.
func runDev(ctx context.Context, p process, o devOptions, log *slog.Logger) error {
	dir, err := openDevDir(o.data, o.root.credentials)
	if err != nil {
		return err
	}
	defer func() { _ = filelock.Release(dir.lock) }()

	listeners, err := o.listen(ctx)
	if err != nil {
		return err
	}
	started := false
	defer func() {
		if !started {
			for _, l := range listeners {
				_ = l.Close()
			}
		}
	}()

	pg, err := pgserver.Start(ctx, pgserver.Config{Dir: filepath.Join(dir.path, "postgres"), Log: log})
	if err != nil {
		return err
	}
	units := []unit{{"postgres", pg.Run}}
	key, err := masterKey(dir.masterKey)
	if err != nil {
		return err
	}
	db := postgres.Config{URL: pg.URL(), MasterKey: key, Region: o.regions[0], MaxConns: devConns(), Log: log}
	store, err := postgres.Open(ctx, db)
	if err != nil {
		return errors.Join(err, pg.Stop(context.WithoutCancel(ctx)))
	}
	units = append(units, closer("catalogue", store))
	started = true
	roles, err := o.roles(ctx, p, dir, listeners, store, log)
	if err != nil {
		stopped, cancel := context.WithCancel(ctx)
		cancel()
		return errors.Join(err, runUnits(stopped, log, units))
	}
	return runUnits(ctx, log, append(units, roles...))
}

// devConns is how many connections all roles share. Postgres runs on the same cores:
// beyond a few for each of them nothing gets faster, and each connection is a process
// of 5 MB.
func devConns() int { return min(max(8, 4*runtime.GOMAXPROCS(0)), 24) }

// listen binds every port first, so that one in use is told before anything
// starts.
func (o *devOptions) listen(ctx context.Context) (map[int]net.Listener, error) {
	listeners := map[int]net.Listener{}
	for _, offset := range o.ports() {
		addr := net.JoinHostPort(o.host, strconv.Itoa(o.portBase+offset))
		l, err := listen(ctx, addr)
		if err != nil {
			for _, open := range listeners {
				_ = open.Close()
			}
			return nil, fmt.Errorf("%w; --port-base chooses other ports", err)
		}
		listeners[offset] = l
	}
	return listeners, nil
}

func (o *devOptions) ports() []int {
	ports := []int{0}
	for i := range o.regions {
		ports = append(ports, 1+i, 11+i, 21+i)
	}
	return ports
}

// roles puts the roles together, and a unit behind them that says when all are
// ready.
func (o *devOptions) roles(ctx context.Context, p process, dir *devDirectory, listeners map[int]net.Listener, store *postgres.Store, log *slog.Logger) ([]unit, error) {
	if err := putRoot(ctx, store, dir.root); err != nil {
		return nil, err
	}
	var units []unit
	// Each tier starts when the one behind it is ready, so that everybody finds
	// its upstream in the first snapshot.
	var behind, stage []func() error
	var settle []func(ctx context.Context) error
	add := func(svc service, err error) error {
		if err != nil {
			return err
		}
		for _, u := range svc.units {
			units = append(units, after(behind, u))
		}
		stage = append(stage, svc.ready)
		if svc.settle != nil {
			settle = append(settle, svc.settle)
		}
		return nil
	}
	if o.encryption.keys == "" {
		o.encryption.keys = dir.encryptionKey
	}
	keys, err := o.encryption.open()
	if err != nil {
		return nil, err
	}
	next := func() { behind, stage = append(behind, stage...), nil }

	err = add(newMetadata(metadataConfig{
		sockets: sockets{listener: listeners[0]}, clusterSecret: dir.clusterSecret, region: o.regions[0], regions: o.regions,
		distances: o.rtt(), store: store, dial: o.dialer(o.regions[0]), log: o.log, to: log, rules: o.rules, hooks: o.hooks,
	}))
	for i, region := range o.regions {
		if err != nil {
			break // what keeps one store from opening keeps them all
		}
		err = add(newOrigin(ctx, originConfig{
			sockets: sockets{listener: listeners[1+i]}, region: region, regions: o.regions, data: filepath.Join(dir.path, "origin", region),
			blobs: o.stores[i], domains: devDomains, clusterSecret: dir.clusterSecret, store: store, dial: o.dialer(region), log: o.log, to: log, rules: o.rules,
			crypt: keys,
		}))
	}
	for _, tier := range []struct {
		name   string
		port   int
		memory size
	}{{metadata.TierRegional, 11, o.regionalMemory}, {metadata.TierEdge, 21, o.edgeMemory}} {
		next()
		for i, region := range o.regions {
			err = errors.Join(err, add(newEdge(edgeConfig{
				sockets: sockets{listener: listeners[tier.port+i]}, region: region, tier: tier.name, id: tier.name + "-" + region,
				clusterSecret: dir.clusterSecret, metadata: []string{reachable(listeners[0].Addr())}, memory: tier.memory, prefetch: o.prefetch.config(),
				dial: o.dialer(region), log: o.log, to: log, stderr: p.stderr,
			})))
		}
	}
	if err != nil {
		return nil, err
	}
	next()
	units = append(units, after(behind, unit{"ready", func(ctx context.Context) error {
		var looks errgroup.Group
		for _, look := range settle {
			looks.Go(func() error { return look(ctx) })
		}
		if err := looks.Wait(); err != nil {
			return err
		}
		o.table(p.stdout, dir)
		fmt.Fprintln(p.stdout, "ready")
		<-ctx.Done()
		return nil
	}}))
	setMemoryLimit(int64(len(o.regions)) * int64(o.edgeMemory+o.regionalMemory))
	return units, nil
}

// dialer delays connections from region to the ports of others under --wan.
func (o *devOptions) dialer(region string) wan.DialFunc {
	d := &net.Dialer{Timeout: 3 * time.Second, KeepAlive: 15 * time.Second}
	if !o.wan {
		return d.DialContext
	}
	rtt := o.rtt()
	return wan.Dialer(d.DialContext, func(addr string) time.Duration {
		_, port, err := net.SplitHostPort(addr)
		if err != nil {
			return 0
		}
		n, err := strconv.Atoi(port)
		if err != nil {
			return 0
		}
		there := o.regions[0]
		if offset := n - o.portBase; offset > 0 && offset%10 >= 1 && offset%10 <= len(o.regions) {
			there = o.regions[offset%10-1]
		}
		return max(rtt[[2]string{region, there}], rtt[[2]string{there, region}])
	})
}

func (o *devOptions) table(out io.Writer, dir *devDirectory) {
	w := tabwriter.NewWriter(out, 0, 0, 3, ' ', 0)
	url := func(offset int) string {
		return "http://" + net.JoinHostPort(o.host, strconv.Itoa(o.portBase+offset))
	}
	fmt.Fprintf(w, "console, API\t%s\n\n", url(0))
	fmt.Fprintln(w, "region\tS3 endpoint\tregional cache\tedge")
	for i, region := range o.regions {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", region, url(1+i), url(11+i), url(21+i))
	}
	fmt.Fprintf(w, "\naccess key\t%s\n", dir.root.accessKey)
	fmt.Fprintf(w, "secret key\t%s\n", dir.root.secretKey)
	fmt.Fprintf(w, "both in\t%s\n", filepath.Join(dir.path, "credentials"))
	_ = w.Flush() // to standard output, as fmt.Fprint
}

// devDirectory is the data directory of meridian dev, held by this process.
type devDirectory struct {
	path          string
	lock          *os.File
	root          credentials
	clusterSecret string
	masterKey     string
	encryptionKey string // of objects
}

// openDevDir makes the directory and its secrets where they are missing, and
// locks it. given replaces the kept root credentials where it is set.
func openDevDir(path string, given credentials) (*devDirectory, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	// Postgres may run as another user and must get through; what is secret
	// has its own mode.
	if err := os.MkdirAll(path, 0o711); err != nil {
		return nil, fmt.Errorf("data directory: %w", err)
	}
	lock, err := os.OpenFile(filepath.Join(path, "lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("data directory: %w", err)
	}
	if err := filelock.Try(lock); err != nil {
		_ = lock.Close()
		if !errors.Is(err, filelock.ErrHeld) {
			return nil, fmt.Errorf("data directory: lock %s: %w", lock.Name(), err)
		}
		return nil, fmt.Errorf("another meridian dev is running on %s; stop it first, or give another --data (and --port-base)", path)
	}
	d := &devDirectory{path: path, lock: lock}
	d.clusterSecret, err = keepSecret(filepath.Join(path, "cluster-secret"), randomHex)
	if err == nil {
		d.masterKey, err = keepSecret(filepath.Join(path, "master-key"), randomHex)
	}
	if err == nil {
		d.encryptionKey, err = keepSecret(filepath.Join(path, "encryption-key"), randomHex)
	}
	if err == nil {
		d.root, err = keepCredentials(filepath.Join(path, "credentials"), given)
	}
	if err != nil {
		_ = filelock.Release(lock)
		return nil, fmt.Errorf("secrets in %s: %w", path, err)
	}
	return d, nil
}

// keepCredentials returns given, or those in path, or new ones, and sees to it
// that path holds them.
func keepCredentials(path string, given credentials) (credentials, error) {
	kept, err := readCredentials(path)
	switch {
	case err == nil && (given == credentials{} || given == kept):
		return kept, nil
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return credentials{}, err
	case given == credentials{}:
		given = newCredentials()
	}
	return given, writeSynced(path, given.format())
}
