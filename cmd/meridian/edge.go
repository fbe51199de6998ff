package main

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"slices"
	"time"

	"meridian/edge"
	"meridian/edge/balance"
	"meridian/edge/cache/disk"
	"meridian/edge/limit"
	"meridian/internal/httpserve"
	"meridian/internal/wan"
	"meridian/metadata"
	"meridian/metadata/client"
)

func edgeCommand(s *settings, p process) func(context.Context, []string) error {
	var (
		region    = s.flags.String("region", "", "`region` of this node")
		tier      = s.flags.String("tier", metadata.TierEdge, "edge (clients ask it) or regional (edges ask it)")
		address   = s.flags.String("listen", ":9021", "`address` to serve on")
		url       = s.flags.String("url", "", "`URL` under which other nodes reach it (default: the address)")
		publicURL = s.flags.String("public-url", "", "`URL` under which clients reach it (default: --url, else the address of HTTPS, if there is one)")
		id        = s.flags.String("node-id", "", "`name` of this node, unique and kept over restarts (default: tier, region, host and port)")
		hot       = s.flags.String("hot-path", "on", "`on` or off: answer plain hits ahead of net/http")
		memory    = size(256 << 20)
		policy    = s.flags.String("balance", "", "`way` to choose among upstreams: consistent-hash (default of edges), round-robin (of regional caches) or least-connections")
		coop      = s.flags.Bool("cooperative", false, "ask the other edges of the region before its regional caches")
		ahead     prefetchOptions
		onDisk    = diskOptions{size: 16 << 30, headroom: disk.DefaultHeadroom}
		perNode   = s.flags.Int("upstream-limit", limit.DefaultMax, "`requests` at once to each upstream, and to each origin of a pull zone; 0 is no limit")
		queue     = s.flags.Int("upstream-queue", limit.DefaultQueue, "`requests` that may wait, for a second at most, where an upstream has all it may have")
		secure    tlsOptions
		api       []string
		upstreams []string
		cluster   clusterOptions
		log       logOptions
	)
	s.flags.TextVar(&memory, "cache-memory", memory, "`size` of the memory cache")
	onDisk.declare(s)
	ahead.declare(s)
	s.list(&api, "metadata", "`URLs` of the metadata role")
	s.list(&upstreams, "upstream", "`URLs` to ask on a miss instead of the nodes that the metadata role names")
	cluster.declare(s)
	secure.declare(s)
	secure.declareHTTP3(s)
	log.declare(s, true)
	return func(ctx context.Context, args []string) error {
		if err := errors.Join(noArguments(args), cluster.check(), onDisk.check(), ahead.check(), secure.check(), checkMemory("--cache-memory", memory)); err != nil {
			return err
		}
		switch {
		case *region == "":
			return usagef("--region is missing")
		case !slices.Contains([]string{metadata.TierEdge, metadata.TierRegional}, *tier):
			return usagef("--tier is edge or regional, not %q", *tier)
		case len(api) == 0:
			return usagef("--metadata is missing: the URL of the metadata role")
		case *hot != "on" && *hot != "off":
			return usagef("--hot-path is on or off, not %q", *hot)
		case *perNode < 0 || *queue < 0:
			return usagef("--upstream-limit and --upstream-queue are not negative")
		case *coop && *tier != metadata.TierEdge:
			return usagef("--cooperative is for edges: regional caches ask origins only")
		case secure.http3 && *tier != metadata.TierEdge:
			return usagef("--http3 is for edges: nodes ask regional caches by HTTP/1.1")
		}
		var chosen balance.Policy // nil: that of the tier
		if *policy != "" {
			var err error
			if chosen, err = balance.ParsePolicy(*policy); err != nil {
				return usagef("--balance: %v", err)
			}
		}
		to, err := log.logger(p.stderr)
		if err != nil {
			return err
		}
		trust, err := cluster.trust.config()
		if err != nil {
			return err
		}
		on, err := secure.open(ctx, *address, to)
		if err != nil {
			return err
		}
		setMemoryLimit(int64(memory) + onDisk.memory())
		svc, err := newEdge(edgeConfig{
			sockets: on, trust: trust, region: *region, tier: *tier, id: *id, url: *url, publicURL: *publicURL,
			clusterSecret: cluster.secret, metadata: api, upstreams: upstreams, memory: memory, disk: onDisk,
			balance: chosen, cooperative: *coop, prefetch: ahead.config(), limits: limitsOf(*perNode, *queue),
			dial: (&net.Dialer{Timeout: 3 * time.Second, KeepAlive: 15 * time.Second}).DialContext, log: log, to: to,
			cold: *hot == "off", stderr: p.stderr,
		})
		if err != nil {
			return errors.Join(err, on.Close())
		}
		return serve(ctx, p, svc)
	}
}

// limitsOf reads the two options of limits, of which 0 means none.
func limitsOf(limited, queue int) limit.Config {
	c := limit.Config{Max: limited, Queue: queue}
	if limited == 0 {
		c.Max = -1
	}
	if queue == 0 {
		c.Queue = -1
	}
	return c
}

// edgeConfig is what puts a cache node together.
type edgeConfig struct {
	sockets
	trust          *tls.Config // of hops to https URLs; nil: the system's
	region, tier   string
	id             string // default: from tier, region, host and port
	url, publicURL string // default: the sockets'
	clusterSecret  string
	metadata       []string
	upstreams      []string
	memory         size
	balance        balance.Policy // nil: that of the tier
	cooperative    bool
	limits         limit.Config
	prefetch       edge.Prefetch
	disk           diskOptions
	dial           wan.DialFunc
	log            logOptions
	to             *slog.Logger
	cold           bool      // without the hot path
	stderr         io.Writer // to which access lines go
}

// newEdge puts together a cache node of either tier.
func newEdge(c edgeConfig) (service, error) {
	c.publicURL = cmp.Or(c.publicURL, c.url, c.tlsURL(), c.sockets.url())
	c.url = cmp.Or(c.url, c.sockets.url())
	if c.id == "" {
		host, err := os.Hostname()
		if err != nil {
			return service{}, err
		}
		_, port, err := net.SplitHostPort(c.listener.Addr().String())
		if err != nil {
			return service{}, err
		}
		c.id = c.tier + "-" + c.region + "-" + host + "-" + port
	}
	log := c.to.With("region", c.region, "tier", c.tier, "node", c.id)
	reg := newRegistry()
	control, err := client.New(client.Options{URLs: c.metadata, Secret: c.clusterSecret, Node: c.id, Dial: c.dial, TLS: c.trust})
	if err != nil {
		return service{}, err
	}
	store, media, err := newCache(c, log)
	if err != nil {
		return service{}, err
	}
	node, err := edge.New(edge.Config{
		ID: c.id, Boot: newBoot(), Tier: c.tier, Region: c.region, URL: c.url, PublicURL: c.publicURL, Version: version,
		Control: control, Follower: control, Purges: control, Cache: store, Media: media, Upstreams: c.upstreams, Dial: c.dial, TLS: c.trust,
		Balance: c.balance, Cooperative: c.cooperative, Prefetch: c.prefetch, Limits: c.limits,
		ClusterSecret: c.clusterSecret, Log: log, Registry: reg,
	})
	if err != nil {
		return service{}, errors.Join(err, store.Close())
	}
	lines := newAccessLines(c.stderr)
	access, err := c.log.logger(lines)
	if err != nil {
		return service{}, errors.Join(err, store.Close())
	}
	access = access.With("region", c.region, "tier", c.tier, "node", c.id)
	serving := httpserve.Options{
		Name:    c.id,
		Handler: httpserve.Access(access, c.log.access, httpserve.Ops(reg, node.Ready, node)),
		Log:     log, Registry: reg,
	}
	if !c.cold && c.tier == metadata.TierEdge {
		serving.Hot = node.Hot()
		serving.HotLines = c.log.lines(lines, slog.String("region", c.region), slog.String("tier", c.tier), slog.String("node", c.id))
	}
	server := c.serve(serving, c.publicURL)
	return service{
		log:   log,
		url:   c.publicURL,
		ready: node.Ready,
		units: []unit{
			closer("lines of "+c.id, lines),
			closer("cache of "+c.id, store),
			{"node " + c.id, node.Run},
			{server.Name(), server.Run},
			{"certificates of " + c.id, c.reload},
			// Stopped first: whoever asks for an edge is sent elsewhere, and then
			// the server drains.
			{"leave of " + c.id, func(ctx context.Context) error {
				<-ctx.Done()
				node.Leave(context.WithoutCancel(ctx))
				return nil
			}},
		},
	}, nil
}
