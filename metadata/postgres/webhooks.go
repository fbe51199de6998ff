package postgres

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"meridian/metadata"
)

var _ metadata.Webhooks = (*Store)(nil)

// webhookSealed is the context under which the secret of a webhook is sealed.
func webhookSealed(id string) string { return "webhook " + id }

// webhookColumns are as scanWebhook reads them, of webhook w.
const webhookColumns = `w.id, w.url, w.secret, w.events, w.created, w.dropped, w.delivered, w.failed, w.error,
	(SELECT count(*) FROM webhook_delivery d WHERE d.webhook = w.id AND NOT d.dead),
	(SELECT d.queued FROM webhook_delivery d WHERE d.webhook = w.id AND NOT d.dead ORDER BY d.id LIMIT 1),
	(SELECT count(*) FROM webhook_delivery d WHERE d.webhook = w.id AND d.dead)`

func (s *Store) scanWebhook(row pgx.CollectableRow) (metadata.Webhook, error) {
	var w metadata.Webhook
	var sealed []byte
	err := row.Scan(&w.ID, &w.URL, &sealed, &w.Events, &w.Created, &w.Dropped, &w.Delivered, &w.Failed, &w.Error, &w.Queued, &w.Oldest, &w.Dead)
	if err != nil {
		return w, err
	}
	secret, err := s.seal.Open(sealed, webhookSealed(w.ID))
	if err != nil {
		return w, fmt.Errorf("secret of webhook %s: %w", w.ID, err)
	}
	w.Secret, w.Created = string(secret), w.Created.UTC()
	return w, nil
}

func (s *Store) oneWebhook(ctx context.Context, db querier, sql string, args ...any) (metadata.Webhook, error) {
	rows, err := db.Query(ctx, sql, args...)
	if err != nil {
		return metadata.Webhook{}, err
	}
	w, err := pgx.CollectExactlyOneRow(rows, s.scanWebhook)
	if errors.Is(err, pgx.ErrNoRows) {
		err = metadata.ErrNoSuchWebhook
	}
	return w, err
}

func checkWebhook(w *metadata.Webhook) error {
	for _, text := range append([]string{w.ID, w.URL}, w.Events...) {
		if text == "" || !isText(text) {
			return metadata.Invalidf("webhook holds %q, which is empty or not text", text)
		}
	}
	return nil
}

// CreateWebhook implements metadata.Webhooks.
func (s *Store) CreateWebhook(ctx context.Context, w metadata.Webhook) (metadata.Webhook, error) {
	err := checkWebhook(&w)
	if err == nil {
		err = pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error { return s.createWebhook(ctx, tx, &w) })
	}
	var pg *pgconn.PgError
	if errors.As(err, &pg) && pg.Code == codeUnique {
		err = metadata.ErrWebhookExists
	}
	if err != nil {
		return metadata.Webhook{}, fmt.Errorf("create webhook %q: %w", w.ID, err)
	}
	return s.Webhook(ctx, w.ID)
}

func (s *Store) createWebhook(ctx context.Context, tx pgx.Tx, w *metadata.Webhook) error {
	var others bool
	if err := tx.QueryRow(ctx, `SELECT EXISTS (SELECT FROM webhook)`).Scan(&others); err != nil {
		return err
	}
	if !others {
		at, err := settled(ctx, tx)
		if err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, saveCursorSQL, metadata.WebhookCursor, at.Xid, eventID(at)); err != nil {
			return err
		}
	}
	_, err := tx.Exec(ctx, `INSERT INTO webhook (id, url, secret, events) VALUES ($1, $2, $3, $4)`,
		w.ID, w.URL, s.seal.Seal([]byte(w.Secret), webhookSealed(w.ID)), textList(w.Events))
	return err
}

// Webhook implements metadata.Webhooks.
func (s *Store) Webhook(ctx context.Context, id string) (metadata.Webhook, error) {
	var w metadata.Webhook
	err := metadata.ErrNoSuchWebhook
	if isText(id) {
		w, err = s.oneWebhook(ctx, s.pool, `SELECT `+webhookColumns+` FROM webhook w WHERE w.id = $1`, id)
	}
	if err != nil {
		return metadata.Webhook{}, fmt.Errorf("webhook %q: %w", id, err)
	}
	return w, nil
}

// Webhooks implements metadata.Webhooks.
func (s *Store) Webhooks(ctx context.Context) ([]metadata.Webhook, error) {
	rows, err := s.pool.Query(ctx, `SELECT `+webhookColumns+` FROM webhook w ORDER BY w.id`)
	var list []metadata.Webhook
	if err == nil {
		list, err = pgx.CollectRows(rows, s.scanWebhook)
	}
	if err != nil {
		return nil, fmt.Errorf("webhooks: %w", err)
	}
	return list, nil
}

// UpdateWebhook implements metadata.Webhooks.
func (s *Store) UpdateWebhook(ctx context.Context, id string, change func(*metadata.Webhook) error) (metadata.Webhook, error) {
	if !isText(id) {
		return metadata.Webhook{}, fmt.Errorf("update webhook %q: %w", id, metadata.ErrNoSuchWebhook)
	}
	err := pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		w, err := s.oneWebhook(ctx, tx, `SELECT `+webhookColumns+` FROM webhook w WHERE w.id = $1 FOR UPDATE OF w`, id)
		if err != nil {
			return err
		}
		if err := change(&w); err != nil {
			return err
		}
		w.ID = id
		if err := checkWebhook(&w); err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `UPDATE webhook SET url = $2, secret = $3, events = $4 WHERE id = $1`,
			id, w.URL, s.seal.Seal([]byte(w.Secret), webhookSealed(id)), textList(w.Events))
		return err
	})
	if err != nil {
		return metadata.Webhook{}, fmt.Errorf("update webhook %q: %w", id, err)
	}
	return s.Webhook(ctx, id)
}

// DeleteWebhook implements metadata.Webhooks.
func (s *Store) DeleteWebhook(ctx context.Context, id string) error {
	err := metadata.ErrNoSuchWebhook
	if isText(id) {
		var tag pgconn.CommandTag
		if tag, err = s.pool.Exec(ctx, `DELETE FROM webhook WHERE id = $1`, id); err == nil && tag.RowsAffected() == 0 {
			err = metadata.ErrNoSuchWebhook
		}
	}
	if err != nil {
		return fmt.Errorf("delete webhook %q: %w", id, err)
	}
	return nil
}

// NotifyingBuckets implements metadata.Webhooks.
func (s *Store) NotifyingBuckets(ctx context.Context) ([]metadata.NotifyingBucket, error) {
	rows, err := s.pool.Query(ctx, `
		SELECT name, owner, versioning, config -> 'notification' FROM bucket
		 WHERE config -> 'notification' IS NOT NULL ORDER BY name`)
	var list []metadata.NotifyingBucket
	if err == nil {
		list, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (metadata.NotifyingBucket, error) {
			var b metadata.NotifyingBucket
			var config []byte
			err := row.Scan(&b.Name, &b.Owner, &b.Versioning, &config)
			b.Config = config
			return b, err
		})
	}
	if err != nil {
		return nil, fmt.Errorf("buckets with notifications: %w", err)
	}
	return list, nil
}

// SettledFeed implements metadata.Webhooks.
func (s *Store) SettledFeed(ctx context.Context) (metadata.Seq, error) {
	seq, err := settled(ctx, s.pool)
	if err != nil {
		return metadata.Seq{}, fmt.Errorf("settled position of the feed: %w", err)
	}
	return seq, nil
}
