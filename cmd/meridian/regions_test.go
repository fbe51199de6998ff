package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"
	miniocredentials "github.com/minio/minio-go/v7/pkg/credentials"

	"meridian/internal/checksum"
	"meridian/metadata"
	"meridian/metadata/postgres"
	"meridian/metadata/postgres/pgtest"
	"meridian/origin/blob/miniotest"
	"meridian/origin/crypt"
)

// cluster is one of roles that run apart, each to be stopped alone, over one
// Postgres and a MinIO server for each region.
type cluster struct {
	devCluster // for its clients; its ports are not those of meridian dev
	apiURL     string
	database   string
	buckets    map[string]*miniotest.Server // by region, each with the bucket meridian-<region>
	origins    map[string]*role
	edges      map[string]*role
}

// role is a service that runs.
type role struct {
	url  string
	stop func()
}

const (
	clusterSecret = "the secret of the cluster"
	masterSecret  = "a master key for tests"
)

// serve runs a service until it is stopped, or the test ends.
func (c *cluster) serve(svc service, err error) *role {
	c.t.Helper()
	if err != nil {
		c.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- runUnits(ctx, c.log(), svc.units) }()
	r := &role{url: svc.url, stop: sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			c.t.Errorf("%s ended with %v", svc.url, err)
		}
	})}
	c.t.Cleanup(r.stop)
	ready, stop := context.WithTimeout(ctx, time.Minute)
	defer stop()
	if err := waitReady(ready, svc.ready); err != nil {
		c.t.Fatalf("%s is not ready: %v", svc.url, svc.ready())
	}
	return r
}

func (c *cluster) listen(address string) net.Listener {
	c.t.Helper()
	l, err := listen(c.t.Context(), address)
	if err != nil {
		c.t.Fatal(err)
	}
	return l
}

func (c *cluster) catalogue(region string) *postgres.Store {
	c.t.Helper()
	key, err := masterKey(masterSecret)
	if err != nil {
		c.t.Fatal(err)
	}
	store, err := postgres.Open(c.t.Context(), postgres.Config{URL: c.database, MasterKey: key, Region: region, MaxConns: 8, Log: c.log()})
	if err != nil {
		c.t.Fatal(err)
	}
	return store
}

func (c *cluster) log() *slog.Logger {
	return slog.New(slog.NewTextHandler(testLog{c.t}, &slog.HandlerOptions{Level: slog.LevelError + 1}))
}

// startOrigin starts the origin of a region, where it was before if it ran.
func (c *cluster) startOrigin(region string) {
	c.t.Helper()
	address := "127.0.0.1:0"
	if was := c.origins[region]; was != nil {
		address = strings.TrimPrefix(was.url, "http://")
	}
	store := c.catalogue(region)
	svc, err := newOrigin(c.t.Context(), originConfig{
		sockets: sockets{listener: c.listen(address)}, region: region, data: filepath.Join(c.t.TempDir(), region), blobs: storeOptions{
			kind: storeMinio, endpoint: c.buckets[region].URL, accessKey: miniotest.AccessKey, secretKey: miniotest.SecretKey,
		}, uploadExpiry: time.Hour, clusterSecret: clusterSecret, store: store, crypt: &crypt.Keys{},
		dial: (&net.Dialer{Timeout: 3 * time.Second}).DialContext, to: c.log(),
	})
	svc.units = append([]unit{closer("catalogue", store)}, svc.units...)
	c.origins[region] = c.serve(svc, err)
}

// startCluster starts a metadata role, and in each region a MinIO server, an
// origin, a regional cache and an edge.
func startCluster(t *testing.T) *cluster {
	t.Helper()
	c := &cluster{
		devCluster: devCluster{t: t, cred: newCredentials()}, database: pgtest.URL(t),
		buckets: map[string]*miniotest.Server{}, origins: map[string]*role{}, edges: map[string]*role{},
	}
	store := c.catalogue(devRegions[0])
	if err := putRoot(t.Context(), store, c.cred); err != nil {
		t.Fatal(err)
	}
	dial := (&net.Dialer{Timeout: 3 * time.Second}).DialContext
	svc, err := newMetadata(metadataConfig{
		sockets: sockets{listener: c.listen("127.0.0.1:0")}, clusterSecret: clusterSecret, region: devRegions[0], regions: devRegions[:],
		store: store, dial: dial, to: c.log(),
	})
	svc.units = append([]unit{closer("catalogue", store)}, svc.units...)
	c.apiURL = c.serve(svc, err).url
	for _, region := range devRegions {
		c.buckets[region] = miniotest.New(t)
		c.startOrigin(region)
	}
	for _, region := range devRegions {
		for _, tier := range []string{metadata.TierRegional, metadata.TierEdge} {
			c.edges[region] = c.serve(newEdge(edgeConfig{
				sockets: sockets{listener: c.listen("127.0.0.1:0")}, region: region, tier: tier, id: tier + "-" + region, clusterSecret: clusterSecret,
				metadata: []string{c.apiURL}, memory: 32 << 20, dial: dial, log: logOptions{format: "text"}, to: c.log(),
			}))
		}
	}
	return c
}

// ask asks the API as root and decodes its answer.
func (c *cluster) ask(method, path, body string, answer any) {
	c.t.Helper()
	api := apiOptions{url: c.apiURL, accessKey: c.cred.accessKey, secretKey: c.cred.secretKey}
	var in any
	if body != "" {
		in = json.RawMessage(body)
	}
	if err := api.call(c.t.Context(), method, path, in, answer); err != nil {
		c.t.Fatalf("%s %s: %v", method, path, err)
	}
}

// backlog is what a region has yet to copy.
func (c *cluster) backlog(region string) (b struct {
	Objects   int64
	LastError string `json:"last_error"`
}) {
	c.t.Helper()
	var r struct {
		Replication *struct {
			Objects   int64
			LastError string `json:"last_error"`
		}
	}
	c.ask(http.MethodGet, "/v1/regions/"+region, "", &r)
	return *r.Replication
}

// drained waits until no region has anything to copy.
func (c *cluster) drained() {
	c.t.Helper()
	eventually(c.t, time.Minute, "the backlogs are drained", func() bool {
		for _, region := range devRegions {
			if c.backlog(region).Objects > 0 {
				return false
			}
		}
		return true
	})
}

// object is what was written, and where.
type written struct {
	key  string
	body []byte
	at   string
}

// put writes an object through the S3 endpoint of a region.
func (c *cluster) put(region, key string, body []byte) written {
	c.t.Helper()
	if err := c.tryPut(region, key, body); err != nil {
		c.t.Fatalf("put %s in %s: %v", key, region, err)
	}
	return written{key, body, region}
}

func (c *cluster) tryPut(region, key string, body []byte) error {
	_, err := c.minio(c.origins[region].url).PutObject(c.t.Context(), "shared", key, bytes.NewReader(body), int64(len(body)),
		minio.PutObjectOptions{PartSize: 5 << 20})
	return err
}

// read reads an object through the S3 endpoint of a region, and returns which
// region gave the bytes and how far its copies are.
func (c *cluster) read(region string, w written) (from, status string) {
	c.t.Helper()
	a := get(c.t, c.origins[region].url+"/shared/"+w.key)
	if a.status != http.StatusOK || !bytes.Equal(a.body, w.body) {
		c.t.Errorf("%s in %s: status %d, %d bytes, want %d equal ones", w.key, region, a.status, len(a.body), len(w.body))
	}
	return a.header.Get("X-Meridian-Region"), a.header.Get("X-Amz-Replication-Status")
}

// wantEverywhere checks that each region answers from its own store, and that
// its MinIO has these bytes, with the checksum, for whoever looks there.
func (c *cluster) wantEverywhere(all ...written) {
	c.t.Helper()
	store := c.catalogue(devRegions[0])
	defer store.Close()
	for _, w := range all {
		v, err := store.Lookup(c.t.Context(), metadata.Ref{Bucket: "shared", Key: w.key})
		if err != nil || len(v.Regions) != len(devRegions) || v.Regions[0] != w.at || v.CRC64 != checksum.Sum64(w.body) {
			c.t.Errorf("%s, written in %s, is in %v, %v", w.key, w.at, v.Regions, err)
			continue
		}
		for _, region := range devRegions {
			status := "REPLICA"
			if region == w.at {
				status = "COMPLETED"
			}
			if from, got := c.read(region, w); from != region || got != status {
				c.t.Errorf("%s in %s comes from %s, %s; want %s", w.key, region, from, got, status)
			}
			s := c.buckets[region]
			direct, err := minio.New(strings.TrimPrefix(s.URL, "http://"), &minio.Options{
				Creds: miniocredentials.NewStaticV4(miniotest.AccessKey, miniotest.SecretKey, ""),
			})
			if err != nil {
				c.t.Fatal(err)
			}
			body, err := direct.GetObject(c.t.Context(), "meridian-"+region, v.Blob, minio.GetObjectOptions{})
			if err != nil {
				c.t.Fatal(err)
			}
			if got, err := io.ReadAll(body); err != nil || checksum.Sum64(got) != v.CRC64 {
				c.t.Errorf("%s in the bucket of %s: %d bytes, %v", v.Blob, region, len(got), err)
			}
		}
	}
}

// state is what a node says of itself.
func (c *cluster) state(id string) string {
	c.t.Helper()
	var list struct{ Nodes []metadata.Node }
	c.ask(http.MethodGet, "/v1/nodes", "", &list)
	i := slices.IndexFunc(list.Nodes, func(n metadata.Node) bool { return n.ID == id && n.Live })
	if i < 0 {
		c.t.Fatalf("%s is not live", id)
	}
	return list.Nodes[i].State
}

// presigned begins an upload in one request for a client in a region, and
// returns the region that is to take it.
func (c *cluster) presigned(client string) string {
	c.t.Helper()
	var u struct{ Region string }
	c.ask(http.MethodPost, "/v1/uploads", `{"bucket":"shared","key":"new","size":5,"region":"`+client+`"}`, &u)
	return u.Region
}

// resumable begins an upload by tus for a client in a region, and returns the
// region that has taken it; none if it was refused.
func (c *cluster) resumable(client string) string {
	c.t.Helper()
	req, err := http.NewRequestWithContext(c.t.Context(), http.MethodPost, c.apiURL+"/v1/tus/", nil)
	if err != nil {
		c.t.Fatal(err)
	}
	for name, value := range map[string]string{
		"Authorization": "Bearer " + c.cred.accessKey + ":" + c.cred.secretKey, "Tus-Resumable": "1.0.0", "Upload-Length": "5",
		"Upload-Metadata": "bucket c2hhcmVk,key bmV3", "X-Meridian-Client-Region": client,
	} {
		req.Header.Set(name, value)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		c.t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusCreated {
		body, _ := io.ReadAll(resp.Body)
		c.t.Errorf("POST /v1/tus/: %s %s", resp.Status, body)
	}
	return resp.Header.Get("X-Meridian-Region")
}

// TestARegionMayDieAndComesBack: three regions on three MinIO servers. What is
// put in one is read in all and copied to all; with the MinIO of one killed, and
// then the origin of another stopped, everything is still read everywhere,
// through S3 and through edges; and when they are back nothing is lost and
// nothing is left to copy.
func TestARegionMayDieAndComesBack(t *testing.T) {
	t.Parallel()
	objects, large := 8, 11<<20
	if os.Getenv("TEST_LONG") != "" {
		objects, large = 200, 300<<20 // a copy of several parts
	}
	c := startCluster(t)
	c.ask(http.MethodPost, "/v1/buckets", `{"name":"shared","placement":"all","visibility":"public-read"}`, nil)
	var all []written
	body := func(n int) []byte {
		b := make([]byte, n)
		rnd := rand.New(rand.NewPCG(uint64(n), uint64(len(all))))
		for i := 0; i+8 <= n; i += 8 {
			binary.LittleEndian.PutUint64(b[i:], rnd.Uint64())
		}
		return b
	}
	picture := c.put("us-west", "beach.jpg", photo(t, 1, 640, 480))
	all = append(all, picture, c.put("europe", "large.bin", body(large)))
	for i := range objects {
		all = append(all, c.put(devRegions[i%3], fmt.Sprintf("first/%d", i), body(1+i*10_000)))
	}
	for _, w := range all { // whether it has been copied by now or not
		for _, region := range devRegions {
			if from, _ := c.read(region, w); !slices.Contains(devRegions[:], from) {
				t.Errorf("%s comes from %q", w.key, from)
			}
		}
	}
	c.drained()
	c.wantEverywhere(all...)
	eventually(t, time.Minute, "the record names every region that has the photo", func() bool {
		var page struct{ Media []metadata.Media }
		c.ask(http.MethodGet, "/v1/media", "", &page)
		return len(page.Media) == 1 && len(page.Media[0].BlobURLs) == 3 &&
			strings.HasPrefix(page.Media[0].BlobURLs["asia"], "s3://meridian-asia/shared/")
	})

	// The store of Asia dies. Its S3 endpoint, its caches and edges read on.
	c.buckets["asia"].Stop(t)
	if region := c.resumable("asia"); region == "asia" || region == "" {
		t.Errorf("a new resumable upload is sent to %q", region) // whether the store is known to be dead by now or not
	}
	eventually(t, time.Minute, "the API tells that the origin of Asia is impaired", func() bool { return c.state("origin-asia") == metadata.NodeImpaired })
	if region := c.presigned("asia"); region == "asia" {
		t.Error("a presigned upload is sent to a store that is known to be dead")
	}
	if a := get(t, c.origins["asia"].url+"/readyz"); a.status != http.StatusOK {
		t.Errorf("an origin that reads from elsewhere is not ready: %d %s", a.status, a.body)
	}
	var second []written
	for i := range objects {
		second = append(second, c.put(devRegions[i%2], fmt.Sprintf("second/%d", i), body(1+i*10_000)))
	}
	for _, w := range slices.Concat(all, second) {
		if from, _ := c.read("asia", w); from == "asia" {
			t.Errorf("%s comes from a store that is dead", w.key)
		}
		if a := get(t, c.edges["asia"].url+"/shared/"+w.key); !bytes.Equal(a.body, w.body) {
			t.Errorf("%s from the edge of a region without its store: %d, %d bytes", w.key, a.status, len(a.body))
		}
	}
	if err := c.tryPut("asia", "third", []byte("x")); err == nil {
		t.Error("a write was taken by a region without its store")
	}
	eventually(t, time.Minute, "the API tells what Asia lacks, and why", func() bool {
		b := c.backlog("asia")
		return b.Objects == int64(len(second)) && b.LastError != ""
	})
	if _, status := c.read("us-west", second[0]); status != "PENDING" && status != "FAILED" {
		t.Errorf("an object that Asia lacks is %s", status)
	}

	// Then the origin of Europe, too: its edge asks elsewhere.
	c.origins["europe"].stop()
	last := c.put("us-west", "last", body(100_000))
	for _, w := range append(slices.Clone(second), last) {
		for _, region := range []string{"europe", "asia"} {
			if a := get(t, c.edges[region].url+"/shared/"+w.key); !bytes.Equal(a.body, w.body) {
				t.Errorf("%s from the edge of %s: %d, %d bytes", w.key, region, a.status, len(a.body))
			}
		}
	}

	c.buckets["asia"].Start(t)
	c.startOrigin("europe")
	eventually(t, time.Minute, "the origin of Asia is sound again", func() bool { return c.state("origin-asia") == metadata.NodeServing })
	if region := c.presigned("asia"); region != "asia" {
		t.Errorf("a presigned upload is sent to %s, with the store of Asia back", region)
	}
	c.drained()
	c.wantEverywhere(append(slices.Concat(all, second), last)...)
}
