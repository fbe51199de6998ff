package main

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"meridian/console"
	"meridian/internal/httpserve"
	"meridian/internal/wan"
	"meridian/metadata"
	"meridian/metadata/api"
	"meridian/metadata/lifecycle/expire"
	"meridian/metadata/media"
	"meridian/metadata/notify/webhook"
	"meridian/metadata/postgres"
)

func metadataCommand(s *settings, p process) func(context.Context, []string) error {
	var (
		region    = s.flags.String("region", "", "`region` where this process runs")
		address   = s.flags.String("listen", ":9000", "`address` of the API")
		publicURL = s.flags.String("public-url", "", "`URL` under which browsers reach it")
		secure    tlsOptions
		cluster   clusterOptions
		database  databaseOptions
		root      rootOptions
		log       logOptions
		rules     lifecycleOptions
		hooks     webhookOptions
		rootFile  = s.flags.String("credentials", "", "`file` in the AWS shared-credentials format with the root user's key, instead of the two options")
		proxies   []string
		regions   []string
		networks  []string
		distances []string
	)
	s.list(&regions, "regions", "`regions` of the cluster, beside those whose nodes have reported")
	s.list(&networks, "client-region", "where clients of a `network` are, as 10.1.0.0/16=europe, to send them to the nearest edge")
	s.list(&distances, "region-distance", "round-trip `time` between regions, as us-west/europe=140ms, by which fall-backs are ordered")
	s.list(&proxies, "trusted-proxy", "`networks` whose X-Forwarded-For is believed")
	cluster.declare(s)
	secure.declare(s)
	database.declare(s)
	root.declare(s)
	log.declare(s, true)
	rules.declare(s)
	hooks.declare(s)
	hooks.declareLocal(s)
	return func(ctx context.Context, args []string) error {
		if err := errors.Join(noArguments(args), cluster.check(), root.read(*rootFile), root.check(), rules.check(), hooks.check(), secure.check()); err != nil {
			return err
		}
		if *region == "" {
			return usagef("--region is missing")
		}
		trusted, err := prefixes(proxies)
		if err != nil {
			return err
		}
		clients, err := parseClientRegions(networks)
		if err != nil {
			return err
		}
		far, err := parseDistances(distances)
		if err != nil {
			return err
		}
		to, err := log.logger(p.stderr)
		if err != nil {
			return err
		}
		trust, err := cluster.trust.config()
		if err != nil {
			return err
		}
		store, err := database.open(ctx, p, *region, to)
		if err != nil {
			return err
		}
		svc, err := startMetadata(ctx, root.credentials, *address, secure, metadataConfig{
			trust: trust, region: *region, regions: regions, publicURL: *publicURL, trusted: trusted, clients: clients, distances: far, clusterSecret: cluster.secret, store: store,
			dial: (&net.Dialer{Timeout: 3 * time.Second}).DialContext, log: log, to: to, rules: rules, hooks: hooks,
		})
		if err != nil {
			return errors.Join(err, store.Close())
		}
		svc.units = append([]unit{closer("catalogue", store)}, svc.units...)
		return serve(ctx, p, svc)
	}
}

func startMetadata(ctx context.Context, root credentials, address string, secure tlsOptions, c metadataConfig) (service, error) {
	if root.accessKey != "" {
		if err := putRoot(ctx, c.store, root); err != nil {
			return service{}, err
		}
	}
	var err error
	if c.sockets, err = secure.open(ctx, address, c.to); err != nil {
		return service{}, err
	}
	svc, err := newMetadata(c)
	if err != nil {
		return service{}, errors.Join(err, c.Close())
	}
	return svc, nil
}

func prefixes(texts []string) (all []netip.Prefix, err error) {
	for _, t := range texts {
		n, err := netip.ParsePrefix(t)
		if err != nil {
			return nil, usagef("--trusted-proxy: %v", err)
		}
		all = append(all, n)
	}
	return all, nil
}

// parseClientRegions reads networks and their regions.
func parseClientRegions(texts []string) (map[netip.Prefix]string, error) {
	all := map[netip.Prefix]string{}
	for _, t := range texts {
		network, region, ok := strings.Cut(t, "=")
		if !ok || region == "" {
			return nil, usagef("--client-region: %q is not of the form 10.1.0.0/16=region", t)
		}
		n, err := netip.ParsePrefix(network)
		if err != nil {
			return nil, usagef("--client-region: %v", err)
		}
		if n = n.Masked(); all[n] != "" && all[n] != region {
			return nil, usagef("--client-region: %s is in both %s and %s", n, all[n], region)
		}
		all[n] = region
	}
	return all, nil
}

// parseDistances reads round-trip times between regions.
func parseDistances(texts []string) (metadata.Distances, error) {
	all := metadata.Distances{}
	for _, t := range texts {
		pair, far, _ := strings.Cut(t, "=")
		a, b, ok := strings.Cut(pair, "/")
		d, err := time.ParseDuration(far)
		if !ok || a == "" || b == "" || err != nil || d < 0 {
			return nil, usagef("--region-distance: %q is not of the form us-west/europe=140ms", t)
		}
		all[[2]string{a, b}] = d
	}
	return all, nil
}

// metadataConfig is what puts a metadata role together.
type metadataConfig struct {
	sockets
	trust         *tls.Config // of hops to https URLs; nil: the system's
	region        string
	regions       []string // known beforehand
	publicURL     string
	trusted       []netip.Prefix
	clients       map[netip.Prefix]string
	distances     metadata.Distances
	clusterSecret string
	store         *postgres.Store
	dial          wan.DialFunc
	log           logOptions
	to            *slog.Logger
	rules         lifecycleOptions
	hooks         webhookOptions
}

// maintainEvery is how often partitions are made and what has aged is removed.
const maintainEvery = 10 * time.Minute

// originTimeout bounds a request about an upload: the API gives up first.
const originTimeout = 30 * time.Second

// newMetadata puts together the API and the workers beside it.
func newMetadata(c metadataConfig) (service, error) {
	log := c.to.With("region", c.region, "role", "metadata")
	reg := newRegistry()
	nodes := newTopology(c.store, log)
	ready := func() error {
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		defer cancel()
		return c.store.Ping(ctx)
	}
	page, err := newConsole(nodes, log)
	if err != nil {
		return service{}, err
	}
	receivers := webhook.NewClient(c.hooks.local)
	handler, err := api.New(api.Options{
		Store: c.store, ClusterSecret: c.clusterSecret, Region: c.region, Regions: c.regions, PublicURL: c.publicURL,
		TrustedProxies: c.trusted, ClientRegions: c.clients, Distances: c.distances, Console: page,
		Tus:      newRelay(c.store, nodes, c.region, c.publicURL, "metadata-"+c.region, c.clusterSecret, c.dial, c.trust, log),
		Webhooks: receivers, Ready: ready, Log: log, Registry: reg, Version: version,
		Origins: &http.Client{Timeout: originTimeout, Transport: &http.Transport{DialContext: c.dial, TLSClientConfig: c.trust, MaxIdleConnsPerHost: 8, IdleConnTimeout: time.Minute}},
	})
	if err != nil {
		return service{}, err
	}
	bytes := media.NewHTTPOpener(media.HTTPOptions{
		Secret: c.clusterSecret, Region: c.region, Nodes: nodes.all,
		Client: &http.Client{Transport: &http.Transport{DialContext: c.dial, TLSClientConfig: c.trust, DisableCompression: true, MaxIdleConnsPerHost: 8, IdleConnTimeout: time.Minute}},
	})
	worker := media.New(media.Options{Store: c.store, Opener: bytes, Shelf: bytes, Region: c.region, Log: log})
	expiry := expire.New(expire.Options{
		Store: c.store, Holder: newBoot(), Log: log, Registry: reg, Clock: c.rules.clock(), Every: c.rules.every,
	})
	teller := webhook.New(webhook.Options{
		Store: c.store, Holder: newBoot(), Client: receivers, Log: log, Registry: reg, Patience: c.hooks.patience,
	})
	server := c.serve(httpserve.Options{
		Name: "metadata API", Handler: httpserve.Access(log, c.log.access, handler), Log: log,
	}, c.publicURL)
	return service{
		log:    log,
		url:    cmp.Or(c.publicURL, c.tlsURL(), c.url()),
		ready:  ready,
		settle: nodes.refresh,
		units: []unit{
			{"maintenance", func(ctx context.Context) error { return maintain(ctx, c.store, log) }},
			{"node list", nodes.Run},
			{"media worker", worker.Run},
			{"lifecycle rules", expiry.Run},
			{"webhooks", teller.Run},
			{"API", handler.Run},
			{server.Name(), server.Run},
			{"certificates of the API", c.reload},
		},
	}, nil
}

// newConsole is the web page, which may load from the nodes of the cluster; nil
// where it was left out of the build.
func newConsole(nodes *topology, log *slog.Logger) (api.Console, error) {
	page, err := console.New(console.Options{Sources: func(ctx context.Context) []string {
		all, err := nodes.all(ctx)
		if err != nil {
			log.WarnContext(ctx, "cannot tell browsers where the nodes are", "err", err)
		}
		var urls []string
		for _, n := range all {
			if n.Tier != metadata.TierRegional {
				urls = append(urls, n.PublicURL)
			}
		}
		return urls
	}})
	if errors.Is(err, console.ErrNotBuilt) {
		log.Info(err.Error())
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return page, nil
}

func maintain(ctx context.Context, store *postgres.Store, log *slog.Logger) error {
	tick := time.NewTicker(maintainEvery)
	defer tick.Stop()
	for {
		if err := store.Maintain(ctx); err != nil && ctx.Err() == nil {
			log.Error("maintain the catalogue", "err", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}
