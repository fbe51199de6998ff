package postgres

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"

	"meridian/metadata"
)

var _ metadata.Nodes = (*Store)(nil)

// Push implements metadata.Nodes. Registration, counters, views and purge
// acknowledgements are one transaction, and the number of the push is part of
// it: a push is applied once or not at all.
func (s *Store) Push(ctx context.Context, p metadata.Push) (metadata.PushReply, error) {
	if err := checkPush(p); err != nil {
		return metadata.PushReply{}, fmt.Errorf("push of node %q: %w", p.Node.ID, err)
	}
	counters, err := s.foldCounters(p.Counters, time.Now())
	if err != nil {
		return metadata.PushReply{}, fmt.Errorf("push of node %q: %w", p.Node.ID, err)
	}
	if err := s.addCounterDays(ctx, counters); err != nil {
		return metadata.PushReply{}, fmt.Errorf("push of node %q: %w", p.Node.ID, err)
	}
	changes := false
	push := func() (err error) {
		changes, err = s.push(ctx, p, counters)
		return err
	}
	err = retry(ctx, true, push)
	if isNoPartition(err) {
		// Another process, keeping less of the past, has dropped the day since.
		s.days.forget()
		if err = s.addCounterDays(ctx, counters); err == nil {
			err = retry(ctx, true, push)
		}
	}
	if err != nil {
		return metadata.PushReply{}, fmt.Errorf("push of node %q: %w", p.Node.ID, err)
	}
	if changes {
		s.ring()
	}
	head, err := s.Head(ctx)
	if err != nil {
		return metadata.PushReply{}, fmt.Errorf("push of node %q: %w", p.Node.ID, err)
	}
	cluster, err := s.cluster(ctx)
	if err != nil {
		return metadata.PushReply{}, fmt.Errorf("push of node %q: %w", p.Node.ID, err)
	}
	return metadata.PushReply{Head: head, Cluster: cluster}, nil
}

// cluster is a fingerprint of the live nodes and where they are.
func (s *Store) cluster(ctx context.Context) (string, error) {
	var sum string
	err := s.pool.QueryRow(ctx, `
		SELECT coalesce(md5(string_agg(concat_ws(' ', id, boot, tier, region, url, public_url), E'\n' ORDER BY id)), '')
		  FROM node WHERE last_seen > now() - $1::interval`, metadata.NodeTimeout).Scan(&sum)
	if err != nil {
		return "", fmt.Errorf("live nodes: %w", err)
	}
	return sum, nil
}

// push writes a push, and reports whether it made an event.
func (s *Store) push(ctx context.Context, p metadata.Push, counters []metadata.Counter) (told bool, err error) {
	err = pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		told = false
		if err := registerNode(ctx, tx, p.Node); err != nil {
			return err
		}
		// The row of the node is locked now, so that pushes of one node queue.
		tag, err := tx.Exec(ctx, `
			INSERT INTO node_boot AS b (node, boot, pushed, seen) VALUES ($1, $2, $3::text::numeric, now())
			ON CONFLICT (node, boot) DO UPDATE SET pushed = excluded.pushed, seen = now()
			 WHERE b.pushed < excluded.pushed`,
			p.Node.ID, p.Node.Boot, strconv.FormatUint(p.Number, 10))
		if err != nil {
			return fmt.Errorf("count push: %w", err)
		}
		if tag.RowsAffected() == 0 {
			return nil // it came before
		}
		if err := addCounters(ctx, tx, p.Node, counters); err != nil {
			return err
		}
		if err := addViews(ctx, tx, p.Views); err != nil {
			return err
		}
		if err := noteWarms(ctx, tx, p.Node, p.Warms); err != nil {
			return err
		}
		if len(p.Changed) > 0 {
			if err := s.emitChanged(ctx, tx, p); err != nil {
				return err
			}
			told = true
		}
		return acknowledge(ctx, tx, p.Node.ID, p.Purges)
	})
	return told, err
}

func (s *Store) emitChanged(ctx context.Context, tx pgx.Tx, p metadata.Push) error {
	data, err := json.Marshal(metadata.ZoneData{Node: p.Node.ID, Targets: p.Changed})
	if err != nil {
		return err
	}
	_, err = s.emit(ctx, tx, metadata.Event{Type: metadata.ZoneChanged, Region: p.Node.Region, Data: data})
	return err
}

// registerNode writes what the node says of itself, unless another process that
// started later, and is alive, has its ID. One that fell silent counts for
// nothing: after a crash the clock of the host may have been set back.
func registerNode(ctx context.Context, tx pgx.Tx, n metadata.Node) error {
	tag, err := tx.Exec(ctx, `
		INSERT INTO node AS n (id, boot, tier, region, url, public_url, blob_base, version, started,
		                       applied_xid, applied_id, state, last_seen)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $13, now())
		ON CONFLICT (id) DO UPDATE SET
		       boot = excluded.boot, tier = excluded.tier, region = excluded.region, url = excluded.url,
		       public_url = excluded.public_url, blob_base = excluded.blob_base, version = excluded.version,
		       started = excluded.started, applied_xid = excluded.applied_xid,
		       applied_id = excluded.applied_id, state = excluded.state, last_seen = now()
		 WHERE n.boot = excluded.boot
		    OR (excluded.started, excluded.boot) > (n.started, n.boot)
		    OR n.last_seen < now() - $12::interval`,
		n.ID, n.Boot, n.Tier, n.Region, n.URL, n.PublicURL, n.BlobBase, n.Version, n.Started,
		n.Applied.Xid, eventID(n.Applied), metadata.NodeTimeout, n.State)
	if err != nil {
		return fmt.Errorf("register node: %w", err)
	}
	if tag.RowsAffected() == 0 {
		return fmt.Errorf("process %s: %w", n.Boot, metadata.ErrNodeReplaced)
	}
	return nil
}

// Limits of a push, far above what a node counts in seconds.
const (
	maxPushCounters = 50_000
	maxPushViews    = 100_000
	maxPushAcks     = 10_000
	maxPushWarms    = 1000
)

func checkPush(p metadata.Push) error {
	n := p.Node
	for _, s := range []string{n.ID, n.Boot, n.Tier, n.Region, n.URL, n.PublicURL, n.BlobBase, n.Version} {
		if len(s) > 2048 || !isText(s) {
			return metadata.Invalidf("node says of itself %q, which is too long or not text", s)
		}
	}
	switch {
	case n.ID == "" || n.Boot == "" || n.Region == "":
		return metadata.Invalidf("node lacks its id, boot or region")
	case n.Started.IsZero():
		return metadata.Invalidf("node does not say when it started")
	case p.Number == 0:
		return metadata.Invalidf("pushes are numbered from 1")
	case len(p.Counters) > maxPushCounters, len(p.Views) > maxPushViews, len(p.Purges) > maxPushAcks, len(p.Warms) > maxPushWarms,
		len(p.Changed) > metadata.MaxZoneTargets:
		return metadata.Invalidf("push has too many counters, views, purges, warm-ups or changes")
	}
	switch n.Tier {
	case metadata.TierEdge, metadata.TierRegional, metadata.TierOrigin:
	default:
		return metadata.Invalidf("tier %q is unknown", n.Tier)
	}
	switch n.State {
	case metadata.NodeServing, metadata.NodeDraining, metadata.NodeImpaired:
	default:
		return metadata.Invalidf("node state %q is unknown", n.State)
	}
	changed := 0
	for _, z := range p.Changed {
		if err := z.Check(); err != nil {
			return err
		}
		changed += len(z.Target)
	}
	if changed > metadata.MaxZoneBytes {
		return metadata.Invalidf("changed targets have %d bytes, more than %d", changed, metadata.MaxZoneBytes)
	}
	for _, v := range p.Views {
		if v.Count < 0 {
			return metadata.Invalidf("%d views of %s/%s", v.Count, v.Bucket, v.Key)
		}
	}
	return nil
}

// addViews counts views of the records there are; a rendition is a view of what
// it was made of. It locks them in order of
// their IDs, as all nodes do it, so that no two pushes wait for each other.
func addViews(ctx context.Context, tx pgx.Tx, views []metadata.View) error {
	type object struct{ bucket, key, version string }
	counts := map[object]int64{}
	for _, v := range views {
		if v.Count <= 0 || !isText(v.Bucket) || !isText(v.Key) {
			continue
		}
		o := object{bucket: v.Bucket, key: v.Key}
		if v.Bucket == metadata.RenditionBucket {
			o = object{}
			o.bucket, o.version = metadata.RenditionSource(v.Key)
		}
		counts[o] += v.Count
	}
	if len(counts) == 0 {
		return nil
	}
	var buckets, keys, versions []string
	var ns []int64
	for o, n := range counts {
		buckets, keys, versions, ns = append(buckets, o.bucket), append(keys, o.key), append(versions, o.version), append(ns, n)
	}
	_, err := tx.Exec(ctx, `
		WITH viewed AS (
		     SELECT m.id, v.n
		       FROM unnest($1::text[], $2::text[], $4::bigint[]) AS v (bucket, key, n)
		       JOIN bucket b ON b.name = v.bucket
		       JOIN media m ON m.bucket_id = b.id AND m.key = v.key
		     UNION ALL
		     SELECT m.id, v.n
		       FROM unnest($1::text[], $3::text[], $4::bigint[]) AS v (bucket, version, n)
		       JOIN bucket b ON b.name = v.bucket
		       JOIN media m ON m.bucket_id = b.id AND m.version_id = v.version AND m.renditions <> '[]'
		      WHERE v.version <> ''),
		seen AS (SELECT id, sum(n) AS n FROM viewed GROUP BY id),
		locked AS (SELECT m.id FROM media m JOIN seen USING (id) ORDER BY m.id FOR NO KEY UPDATE OF m)
		UPDATE media SET views = views + seen.n FROM seen JOIN locked USING (id) WHERE media.id = seen.id`, buckets, keys, versions, ns)
	if err != nil {
		return fmt.Errorf("count views: %w", err)
	}
	return nil
}

// acknowledge records that the node has applied purges. Those that are no
// longer kept are passed over, and of two acknowledgements the first counts.
func acknowledge(ctx context.Context, tx pgx.Tx, node string, acks []metadata.PurgeAck) error {
	if len(acks) == 0 {
		return nil
	}
	first := map[string]metadata.PurgeAck{}
	for _, a := range acks {
		if _, ok := first[a.ID]; !ok && isText(a.ID) {
			first[a.ID] = a
		}
	}
	ids := slices.Sorted(maps.Keys(first))
	applied, entries := make([]*time.Time, len(ids)), make([]int64, len(ids))
	for i, id := range ids {
		applied[i], entries[i] = timeOrNull(first[id].Applied), int64(first[id].Entries)
	}
	_, err := tx.Exec(ctx, `
		INSERT INTO purge_ack (purge, node, applied, entries)
		SELECT a.id, $1, coalesce(a.applied, now()), a.entries
		  FROM unnest($2::text[], $3::timestamptz[], $4::bigint[]) AS a (id, applied, entries)
		  JOIN purge p ON p.id = a.id
		    ON CONFLICT (purge, node) DO NOTHING`, node, ids, applied, entries)
	if err != nil {
		return fmt.Errorf("acknowledge purges: %w", err)
	}
	return nil
}

// nodeColumns are as scanNode reads them; $1 is metadata.NodeTimeout.
const nodeColumns = `id, boot, tier, region, url, public_url, blob_base, version, started,
	applied_xid, applied_id, state, last_seen, last_seen >= now() - $1::interval AS live`

func scanNode(row pgx.CollectableRow) (metadata.Node, error) {
	var n metadata.Node
	err := row.Scan(&n.ID, &n.Boot, &n.Tier, &n.Region, &n.URL, &n.PublicURL, &n.BlobBase, &n.Version, &n.Started,
		&n.Applied.Xid, &n.Applied.ID, &n.State, &n.LastSeen, &n.Live)
	return n, err
}
