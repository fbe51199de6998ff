package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"meridian/internal/hop"
	"meridian/internal/sigv4"
	"meridian/metadata"
)

const (
	// explainTimeout is how long nodes have to answer.
	explainTimeout = 2 * time.Second
	// maxHolding bounds what is read of a node's answer.
	maxHolding = 1 << 20
	// maxExplained is how many nodes are asked at a time.
	maxExplained = 64
)

// explain asks all live cache nodes what they hold of a URL.
func (c *call) explain() error {
	nodes, err := c.store.ListNodes(c.ctx())
	if err != nil {
		return err
	}
	raw := c.query("url")
	hosts, err := c.zoneHosts()
	if err != nil {
		return err
	}
	if path, ok := underBucket(raw, hosts); ok {
		raw = path
	}
	u, err := explainedURL(raw, nodes)
	if err != nil {
		return err
	}
	name, path, _ := strings.Cut(strings.TrimPrefix(u.EscapedPath(), "/"), "/")
	bucket, _ := url.PathUnescape(name) // url.Parse has seen that the escapes hold
	if metadata.CheckBucketName(bucket) != nil {
		return badField("url", "%.100q is no bucket: the path of an object's URL is /bucket/key", bucket)
	}
	if err := c.mayRead(bucket); err != nil {
		return err
	}
	b, err := c.store.Bucket(c.ctx(), bucket)
	if err != nil && !errors.Is(err, metadata.ErrNoSuchBucket) {
		return err
	}
	key, _ := url.PathUnescape(path)
	if !b.Pull.IsZero() {
		q := url.Values{"bucket": {bucket}, "target": {"/" + path + "?" + u.RawQuery}}
		e := metadata.Explanation{Bucket: bucket, Key: key, Query: u.RawQuery, Pull: b.Pull.Origins[0]}
		e.Nodes, e.Silent = c.holdings(nodes, q)
		return c.json(http.StatusOK, e)
	}
	ref := metadata.Ref{Bucket: bucket, Key: key, VersionID: u.Query().Get("versionId")}
	if wrong := checkRef(ref); len(wrong) > 0 {
		return badField("url", "%s %s", wrong[0].Field, wrong[0].Detail)
	}
	if ref.VersionID != "" && !metadata.IsVersionID(ref.VersionID) {
		return badField("url", "versionId %.40q is not the ID of a version", ref.VersionID)
	}
	if err != nil {
		return err
	}
	e := metadata.Explanation{Bucket: ref.Bucket, Key: ref.Key, VersionID: ref.VersionID}
	switch v, err := c.store.Lookup(c.ctx(), ref); {
	case err == nil:
		e.Version, e.Size = v.ID, v.Size
	case !gone(err):
		return err
	}
	q := url.Values{"bucket": {ref.Bucket}, "key": {ref.Key}}
	if ref.VersionID != "" {
		q.Set("versionId", ref.VersionID)
	}
	e.Nodes, e.Silent = c.holdings(nodes, q)
	return c.json(http.StatusOK, e)
}

// gone reports whether err says that there is no such object, of which a cache
// may hold something all the same.
func gone(err error) bool {
	return errors.Is(err, metadata.ErrNoSuchKey) || errors.Is(err, metadata.ErrNoSuchVersion) || errors.Is(err, metadata.ErrDeleteMarker)
}

// explainedURL reads an absolute URL of one of the nodes, /bucket/key or
// bucket/key.
func explainedURL(raw string, nodes []metadata.Node) (*url.URL, error) {
	if raw == "" {
		return nil, badField("url", "is missing: give the URL of an object, or /bucket/key")
	}
	text := raw
	if !strings.Contains(text, "://") {
		// "//x" must be a path, not a host.
		text = "http://edge/" + strings.TrimPrefix(text, "/")
	}
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil, badField("url", "%.100q is neither an http URL nor /bucket/key", raw)
	}
	if strings.Contains(raw, "://") && !slices.ContainsFunc(nodes, func(n metadata.Node) bool { return serves(n, u.Host) }) {
		return nil, badField("url", "%.100q is the host of none of our nodes or pull zones; of an object behind another name, give /bucket/key", u.Host)
	}
	return u, nil
}

// serves reports whether a node is reached under host, which has its port.
func serves(n metadata.Node, host string) bool {
	for _, raw := range []string{n.PublicURL, n.URL} {
		if u, err := url.Parse(raw); err == nil && u.Host != "" && strings.EqualFold(u.Host, host) {
			return true
		}
	}
	return false
}

// holdings asks the live cache nodes by the query q, all at the same time. Both
// lists are in the order of nodes.
func (c *call) holdings(nodes []metadata.Node, q url.Values) (list []metadata.Holding, silent []metadata.SilentNode) {
	nodes = slices.DeleteFunc(slices.Clone(nodes), func(n metadata.Node) bool {
		return n.Tier == metadata.TierOrigin || !n.Live || n.URL == ""
	})
	ctx, cancel := context.WithTimeout(c.ctx(), explainTimeout)
	defer cancel()
	answers, errs := make([]metadata.Holding, len(nodes)), make([]error, len(nodes))
	var wg sync.WaitGroup
	slots := make(chan struct{}, maxExplained)
	for i, n := range nodes {
		wg.Go(func() {
			select {
			case slots <- struct{}{}:
				answers[i], errs[i] = c.askHolding(ctx, n, q)
				<-slots
			case <-ctx.Done():
				errs[i] = ctx.Err()
			}
		})
	}
	wg.Wait()
	list, silent = []metadata.Holding{}, []metadata.SilentNode{}
	for i, n := range nodes {
		if errs[i] == nil {
			list = append(list, answers[i])
			continue
		}
		why := errs[i].Error()
		if errors.Is(errs[i], context.DeadlineExceeded) {
			why = "did not answer within " + explainTimeout.String()
		}
		silent = append(silent, metadata.SilentNode{Node: n.ID, Tier: n.Tier, Region: n.Region, Error: why})
	}
	return list, silent
}

func (c *call) askHolding(ctx context.Context, n metadata.Node, q url.Values) (h metadata.Holding, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimRight(n.URL, "/")+hop.ExplainPath+"?"+q.Encode(), nil)
	if err != nil {
		return h, err
	}
	sigv4.Signer{AccessKey: hop.NodeAccessKey, Secret: c.opts.ClusterSecret}.Sign(req, sigv4.EmptyPayload, c.now())
	resp, err := c.opts.Origins.Do(req)
	if err != nil {
		return h, fmt.Errorf("cannot be reached: %w", err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxHolding))
	switch {
	case err != nil:
		return h, fmt.Errorf("broke off its answer: %w", err)
	case resp.StatusCode != http.StatusOK:
		return h, fmt.Errorf("answered %s", resp.Status)
	}
	if err := json.Unmarshal(body, &h); err != nil {
		return h, fmt.Errorf("answered nonsense: %w", err)
	}
	// What a node says of itself is what the catalogue knows it as.
	h.Node, h.Tier, h.Region = n.ID, n.Tier, n.Region
	return h, nil
}
