package postgres

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"meridian/internal/session"
	"meridian/internal/sigv4"
	"meridian/metadata"
)

// Day keys cover presigned URLs, which live for up to 7 days, and a day ahead,
// so that midnight finds every node prepared, whatever its clock says.
const (
	dayKeysBack  = 7
	dayKeysAhead = 1
	// anyRegion is the scope region that tools use when nobody told them another.
	anyRegion = "us-east-1"
)

// Snapshot implements metadata.Nodes: one state of the database, and the last
// event below which that state lacks nothing. Events above it may be in it too;
// whoever follows from there applies them again, which changes nothing.
func (s *Store) Snapshot(ctx context.Context) (metadata.Snapshot, error) {
	var snap metadata.Snapshot
	var keys []metadata.AccessKey
	var regions []string
	options := pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}
	err := pgx.BeginTxFunc(ctx, s.pool, options, func(tx pgx.Tx) (err error) {
		// An event at or above the oldest running transaction has others below
		// it, maybe, that are not yet to be seen: the snapshot ends before it.
		if snap.Seq, err = settled(ctx, tx); err != nil {
			return fmt.Errorf("feed position: %w", err)
		}
		if snap.Buckets, err = allBuckets(ctx, tx); err != nil {
			return fmt.Errorf("buckets: %w", err)
		}
		rows, err := tx.Query(ctx, `SELECT `+nodeColumns+` FROM node ORDER BY id`, metadata.NodeTimeout)
		if err != nil {
			return fmt.Errorf("nodes: %w", err)
		}
		nodes, err := pgx.CollectRows(rows, scanNode)
		if err != nil {
			return fmt.Errorf("nodes: %w", err)
		}
		for _, n := range nodes {
			regions = append(regions, n.Region)
			if n.Live {
				snap.Nodes = append(snap.Nodes, n)
			}
		}
		if keys, err = s.liveKeys(ctx, tx); err != nil {
			return fmt.Errorf("access keys: %w", err)
		}
		return nil
	})
	if err != nil {
		return metadata.Snapshot{}, fmt.Errorf("snapshot: %w", err)
	}
	for _, b := range snap.Buckets {
		regions = append(regions, b.Region)
	}
	now := time.Now()
	snap.Keys = dayKeys(keys, append(regions, anyRegion), now)
	snap.Sessions = sessionKeys(keys, now)
	for _, k := range keys {
		if len(k.Policy) > 0 {
			if snap.Policies == nil {
				snap.Policies = map[string]json.RawMessage{}
			}
			snap.Policies[k.ID] = k.Policy
		}
	}
	return snap, nil
}

// settled is the last event below which none can appear any more.
func settled(ctx context.Context, db querier) (metadata.Seq, error) {
	return scanSeq(db.QueryRow(ctx, `
		SELECT xid, id FROM (
			(SELECT xid, id FROM outbox WHERE xid < pg_snapshot_xmin(pg_current_snapshot())
			  ORDER BY xid DESC, id DESC LIMIT 1)
			UNION ALL SELECT xid, id FROM feed_floor) s
		ORDER BY xid DESC, id DESC LIMIT 1`))
}

// dayKeys derives from every secret what a node needs to verify signatures of
// any of the regions around now.
func dayKeys(keys []metadata.AccessKey, regions []string, now time.Time) []metadata.DayKey {
	slices.Sort(regions)
	regions = slices.Compact(regions)
	today := now.UTC()
	derived := make([]metadata.DayKey, 0, len(keys)*len(regions)*(dayKeysBack+1+dayKeysAhead))
	for _, k := range keys {
		if len(k.Policy) > 0 {
			k.Role = "" // a node that knows nothing of policies lets it in nowhere
		}
		for d := -dayKeysBack; d <= dayKeysAhead; d++ {
			date := today.AddDate(0, 0, d).Format("20060102")
			for _, region := range regions {
				derived = append(derived, metadata.DayKey{
					AccessKey: k.ID,
					Role:      k.Role,
					User:      k.User,
					Date:      date,
					Region:    region,
					Key:       sigv4.DeriveKey(k.Secret, date, region, "s3"),
					Expires:   k.Expires,
				})
			}
		}
	}
	return derived
}

// sessionKeys derives from every secret what a node needs to verify temporary
// credentials, which live no longer than session.Longest.
func sessionKeys(keys []metadata.AccessKey, now time.Time) []metadata.SessionKey {
	const back = int(session.Longest/(24*time.Hour)) + 1
	derived := make([]metadata.SessionKey, 0, len(keys)*(back+1+dayKeysAhead))
	for _, k := range keys {
		for d := -back; d <= dayKeysAhead; d++ {
			date := session.Day(now.UTC().AddDate(0, 0, d))
			derived = append(derived, metadata.SessionKey{AccessKey: k.ID, Date: date, Key: session.KeyOf(k.Secret, date)})
		}
	}
	return derived
}
