package main

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"meridian/internal/httpserve"
	"meridian/internal/wan"
	"meridian/metadata"
	"meridian/metadata/postgres"
	"meridian/metadata/tally"
	"meridian/origin"
	"meridian/origin/blob"
	"meridian/origin/crypt"
	"meridian/origin/peer"
	"meridian/origin/replicate"
	"meridian/origin/s3api"
	"meridian/origin/sweep"
	"meridian/upload"
	"meridian/upload/relay"
	"meridian/upload/tus"
)

func originCommand(s *settings, p process) func(context.Context, []string) error {
	var (
		region    = s.flags.String("region", "", "`region` of this origin")
		address   = s.flags.String("listen", ":9001", "`address` of the S3 endpoint")
		url       = s.flags.String("url", "", "`URL` under which other nodes reach it (default: the address)")
		publicURL = s.flags.String("public-url", "", "`URL` under which S3 tools reach it (default: --url, else the address of HTTPS, if there is one)")
		data      = s.flags.String("data", localDataDir, "`directory` of the blobs of --store disk")
		expiry    = s.flags.Duration("upload-expiry", tus.DefaultExpiry, "how long a resumable upload is kept after its last byte")
		abandoned = s.flags.Duration("abandoned-uploads", defaultAbandoned, "`age` at which a multipart upload that nobody completed is aborted")
		secure    tlsOptions
		blobs     storeOptions
		cluster   clusterOptions
		database  databaseOptions
		log       logOptions
		rules     lifecycleOptions
		encrypt   encryptionOptions
		copies    = s.flags.Int("copies", 32, "how many copies from other regions are made at once")
		domains   []string
		regions   []string
	)
	s.list(&regions, "regions", "`regions` of the cluster, beside those whose nodes have reported")
	s.list(&domains, "domain", "`domains` under which buckets are host names")
	blobs.declare(s)
	encrypt.declare(s)
	cluster.declare(s)
	secure.declare(s)
	database.declare(s)
	log.declare(s, true)
	rules.declareDay(s)
	return func(ctx context.Context, args []string) error {
		if err := errors.Join(noArguments(args), blobs.check(), cluster.check(), rules.check(), secure.check()); err != nil {
			return err
		}
		if *region == "" {
			return usagef("--region is missing")
		}
		if *expiry < time.Minute {
			return usagef("--upload-expiry is less than a minute")
		}
		if *abandoned < time.Hour {
			return usagef("--abandoned-uploads is less than an hour")
		}
		if *copies < 1 || *copies > 1000 {
			return usagef("--copies must be between 1 and 1000")
		}
		domains, err := cleanDomains(domains)
		if err != nil {
			return err
		}
		keys, err := encrypt.open()
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
		on, err := secure.open(ctx, *address, to)
		if err != nil {
			return errors.Join(err, store.Close())
		}
		svc, err := newOrigin(ctx, originConfig{
			sockets: on, trust: trust, region: *region, regions: regions, url: *url, publicURL: *publicURL, data: filepath.Join(*data, "origin", *region), blobs: blobs, uploadExpiry: *expiry, abandoned: *abandoned,
			domains: domains, clusterSecret: cluster.secret, store: store, copies: *copies, crypt: keys,
			dial: (&net.Dialer{Timeout: 3 * time.Second}).DialContext, log: log, to: to, rules: rules,
		})
		if err != nil {
			return errors.Join(err, on.Close(), store.Close())
		}
		svc.units = append([]unit{closer("catalogue", store)}, svc.units...)
		return serve(ctx, p, svc)
	}
}

// originConfig is what puts an origin together.
type originConfig struct {
	sockets
	trust          *tls.Config // of hops to https URLs; nil: the system's
	region         string
	regions        []string // of the cluster, known beforehand
	url, publicURL string   // default: the sockets'
	data           string   // of a store on disk
	blobs          storeOptions
	uploadExpiry   time.Duration // of tus
	abandoned      time.Duration // age of an upload; defaultAbandoned where it is zero
	domains        []string
	clusterSecret  string
	crypt          *crypt.Keys
	copies         int // made at once; replicate's default where it is zero
	store          *postgres.Store
	dial           wan.DialFunc
	log            logOptions
	to             *slog.Logger
	rules          lifecycleOptions
}

// defaultAbandoned is when a multipart upload that nobody completes is taken for
// abandoned.
const defaultAbandoned = 7 * 24 * time.Hour

// catalogueSilence is how long after the catalogue's last answer an origin, which
// can do nothing without it, counts as ready. It asks every second.
const catalogueSilence = 5 * time.Second

// newOrigin puts together the S3 endpoint of a region over its blob store.
func newOrigin(ctx context.Context, c originConfig) (service, error) {
	explicitURL := c.publicURL
	c.publicURL = cmp.Or(c.publicURL, c.url, c.tlsURL(), c.sockets.url())
	c.url = cmp.Or(c.url, c.sockets.url())
	id := metadata.TierOrigin + "-" + c.region
	log := c.to.With("region", c.region, "tier", metadata.TierOrigin, "node", id)
	reg := newRegistry()

	blobs, err := c.blobs.open(ctx, c.region, c.data, log)
	if err != nil {
		return service{}, err
	}
	nodes := newTopology(c.store, log)
	regions := append([]string{c.region}, c.regions...)
	peers := peer.New(peer.Options{
		Endpoints: nodes.origins, Secret: c.clusterSecret, Node: id, Log: log,
		Transport: &http.Transport{DialContext: c.dial, TLSClientConfig: c.trust, DisableCompression: true, MaxIdleConnsPerHost: 64, IdleConnTimeout: time.Minute},
	})
	distances := peer.NewDistances(peers, func() []string {
		return slices.DeleteFunc(nodes.regions(nil), func(r string) bool { return r == c.region })
	})
	objects := origin.New(origin.Options{
		Region: c.region, Store: blobs, Catalog: c.store, Log: log, Peers: peers, Nearest: distances.Nearest,
		Crypt: c.crypt,
	})
	uploads := upload.New(upload.Options{Region: c.region, Store: blobs, Catalog: c.store, Log: log, Crypt: c.crypt})
	rewrapper := &crypt.Rewrapper{Ring: c.crypt.Ring, Catalog: c.store, Log: log}
	count := newOriginCount(reg, c.region)
	api := s3api.New(s3api.Options{
		Objects: objects, Uploads: uploads, Catalog: c.store, Keys: c.store, ClusterSecret: c.clusterSecret,
		Region: c.region, Regions: func() []string { return nodes.regions(regions) }, Domains: c.domains,
		LifecycleClock: c.rules.clock(), Log: log, Registry: reg, Observe: count.observe,
	})
	boot := newBoot()
	resumable, err := tus.New(tus.Options{
		Uploads: uploads, Catalog: c.store, Keys: c.store, ClusterSecret: c.clusterSecret,
		Region: c.region, Regions: func() []string { return nodes.regions(regions) },
		Relay:     newRelay(c.store, nodes, c.region, explicitURL, id, c.clusterSecret, c.dial, c.trust, log),
		PublicURL: explicitURL, Node: id, Boot: boot, Dir: filepath.Join(c.data, "tus"), Expiry: c.uploadExpiry, Log: log,
	})
	if err != nil {
		return service{}, errors.Join(err, blobs.Close())
	}
	node := metadata.Node{
		ID: id, Boot: boot, Tier: metadata.TierOrigin, Region: c.region, URL: c.url, PublicURL: c.publicURL,
		BlobBase: "s3://" + c.blobs.bucketOf(c.region) + "/", Version: version, Started: time.Now().UTC(),
	}
	var heard atomic.Pointer[time.Time] // of the catalogue
	watched, watch := blobs.(blob.Watched)
	pusher := &tally.Pusher{
		Nodes: c.store, Tally: count.tally, Node: func() metadata.Node {
			node := node
			if watch && !watched.Reachable() {
				node.State = metadata.NodeImpaired
			}
			return node
		}, Now: time.Now, Log: log,
		Accepted: func(_ metadata.PushReply, sent time.Time) { heard.Store(&sent) },
	}
	ready := func() error {
		at := heard.Load()
		switch {
		case at == nil:
			return errors.New("not registered with the catalogue yet")
		case time.Since(*at) > catalogueSilence:
			return fmt.Errorf("the catalogue has not answered since %s", at.UTC().Format(time.RFC3339))
		}
		return nil
	}
	server := c.serve(httpserve.Options{
		Name:    "origin of " + c.region,
		Handler: httpserve.Access(log, c.log.access, httpserve.Ops(reg, ready, withTus(resumable, api, c.domains))),
		Log:     log,
	}, c.publicURL)
	sweeper := sweep.New(sweep.Options{
		Region: c.region, Store: blobs, Catalog: c.store, Log: log,
		Expire: func(ctx context.Context) (int, error) {
			return uploads.Expire(ctx, cmp.Or(c.abandoned, defaultAbandoned))
		},
	})
	replicator := replicate.New(replicate.Options{
		Region: c.region, Store: blobs, Catalog: c.store, Source: objects, Holder: node.Boot, Log: log, Registry: reg, Parallel: c.copies,
	})
	watcher := unit{"watch over the store of " + c.region, func(ctx context.Context) error {
		if !watch {
			<-ctx.Done()
			return nil
		}
		return watched.Watch(ctx)
	}}
	return service{
		log:   log,
		url:   c.url,
		ready: ready,
		settle: func(ctx context.Context) error {
			err := nodes.refresh(ctx)
			distances.Measure(ctx)
			return err
		},
		units: []unit{
			closer("blobs of "+c.region, blobs),
			watcher,
			{"node list of " + c.region, nodes.Run},
			{"distances from " + c.region, distances.Run},
			{"copies to " + c.region, replicator.Run},
			{"sweeper of " + c.region, sweeper.Run},
			{"data keys of " + c.region, rewrapper.Run},
			{"counters of " + id, func(ctx context.Context) error {
				err := pusher.Run(ctx)
				pusher.Last(ctx)
				return err
			}},
			{server.Name(), server.Run},
			{"certificates of " + id, c.reload},
			{"tus of " + c.region, resumable.Run}, // ends first: see there
		},
	}, nil
}

// withTus leaves tus's paths to it, and all else to the S3 endpoint. No bucket
// is called v1, but where a bucket is the host name the path is a key.
func withTus(resumable, s3 http.Handler, domains []string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, ok := relay.UploadID(r.URL.Path); ok && !s3api.IsVirtualHost(r.Host, domains) {
			resumable.ServeHTTP(w, r)
			return
		}
		s3.ServeHTTP(w, r)
	})
}

// newRelay reaches the tus endpoints of all regions.
func newRelay(store *postgres.Store, nodes *topology, region, publicURL, node, secret string, dial wan.DialFunc, trust *tls.Config, log *slog.Logger) *relay.Relay {
	return relay.New(relay.Options{
		Catalog: store, Nodes: nodes.all, Region: region, PublicURL: publicURL, Secret: secret, Node: node, Log: log,
		Transport: &http.Transport{
			DialContext: dial, TLSClientConfig: trust, DisableCompression: true, MaxIdleConnsPerHost: 32, IdleConnTimeout: time.Minute,
			ExpectContinueTimeout: relay.ContinueTimeout,
		},
	})
}

// originCount counts what cache nodes read at an origin, for its tier of the hit
// report and for /metrics.
type originCount struct {
	tally    *tally.Tally
	requests *prometheus.CounterVec
	bytes    *prometheus.CounterVec
}

func newOriginCount(reg prometheus.Registerer, region string) *originCount {
	labels := []string{"bucket", "class", "result"}
	constant := prometheus.Labels{"region": region, "tier": metadata.TierOrigin}
	c := &originCount{
		tally: tally.New(),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "meridian_cache_requests_total", Help: "Requests of objects through the tiers, by how they were answered.", ConstLabels: constant,
		}, labels),
		bytes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "meridian_cache_bytes_total", Help: "Bytes of bodies sent, by how they were answered.", ConstLabels: constant,
		}, labels),
	}
	reg.MustRegister(c.requests, c.bytes)
	return c
}

// observe counts a read: a hit where this region has the bytes, a miss where
// another one had to be asked.
func (c *originCount) observe(r s3api.ReadSample) {
	s := tally.Sample{Bucket: r.Bucket, Class: r.Class, Result: tally.Miss, Bytes: r.Bytes, FirstByte: r.FirstByte}
	if r.Local {
		s.Result, s.HitBytes = tally.Hit, r.Bytes
	}
	c.tally.Add(time.Now(), &s)
	c.requests.WithLabelValues(r.Bucket, r.Class, s.Result.String()).Inc()
	c.bytes.WithLabelValues(r.Bucket, r.Class, s.Result.String()).Add(float64(r.Bytes))
}
