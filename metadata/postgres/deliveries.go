package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"meridian/metadata"
)

// QueueDeliveries implements metadata.Webhooks.
func (s *Store) QueueDeliveries(ctx context.Context, list []metadata.Delivery, dropped map[string]int, after metadata.Seq) error {
	err := retry(ctx, false, func() error {
		return pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
			batch := &pgx.Batch{}
			for _, d := range list {
				batch.Queue(`
					INSERT INTO webhook_delivery (webhook, lane, event, bucket, key, body)
					SELECT w.id, hashtextextended($3 || '/' || $4, 0), $2, $3, $4, $5 FROM webhook w WHERE w.id = $1 FOR KEY SHARE`,
					d.Webhook, d.Event, d.Bucket, d.Key, string(d.Body))
			}
			for id, n := range dropped {
				batch.Queue(`UPDATE webhook SET dropped = dropped + $2 WHERE id = $1`, id, n)
			}
			batch.Queue(saveCursorSQL, metadata.WebhookCursor, after.Xid, eventID(after))
			return tx.SendBatch(ctx, batch).Close()
		})
	})
	if err != nil {
		return fmt.Errorf("queue deliveries of webhooks: %w", err)
	}
	return nil
}

// deliveryColumns are as scanDelivery reads them, of delivery d.
const deliveryColumns = `d.id, d.webhook, d.event, d.bucket, d.key, d.body, d.queued, d.due, d.tries, d.tried, d.status, d.error, d.dead`

func scanDelivery(row pgx.CollectableRow) (metadata.Delivery, error) {
	var d metadata.Delivery
	var body []byte
	err := row.Scan(&d.ID, &d.Webhook, &d.Event, &d.Bucket, &d.Key, &body, &d.Queued, &d.Due, &d.Tries, &d.Tried, &d.Status, &d.Error, &d.Dead)
	d.Body, d.Queued, d.Due = body, d.Queued.UTC(), d.Due.UTC()
	return d, err
}

func (s *Store) deliveries(ctx context.Context, what, sql string, args ...any) ([]metadata.Delivery, error) {
	rows, err := s.pool.Query(ctx, sql, args...)
	var list []metadata.Delivery
	if err == nil {
		list, err = pgx.CollectRows(rows, scanDelivery)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	return list, nil
}

// NextDeliveries implements metadata.Webhooks.
func (s *Store) NextDeliveries(ctx context.Context, webhook string, limit int) ([]metadata.Delivery, error) {
	return s.deliveries(ctx, "next deliveries of webhook "+webhook, `
		SELECT `+deliveryColumns+` FROM webhook_delivery d
		 WHERE d.webhook = $1 AND NOT d.dead AND d.due <= clock_timestamp() AND NOT EXISTS (
		       SELECT FROM webhook_delivery e
		        WHERE e.webhook = d.webhook AND e.lane = d.lane AND NOT e.dead AND e.id < d.id AND e.due > clock_timestamp())
		 ORDER BY d.id LIMIT $2`, webhook, limit)
}

// DeliveryDone implements metadata.Webhooks.
func (s *Store) DeliveryDone(ctx context.Context, id int64) error {
	if _, err := s.pool.Exec(ctx, `DELETE FROM webhook_delivery WHERE id = $1`, id); err != nil {
		return fmt.Errorf("forget delivery %d: %w", id, err)
	}
	return nil
}

// DeliveryFailed implements metadata.Webhooks.
func (s *Store) DeliveryFailed(ctx context.Context, d metadata.Delivery, after time.Duration, dead bool) error {
	_, err := s.pool.Exec(ctx, `
		UPDATE webhook_delivery SET tries = tries + 1, tried = clock_timestamp(), status = $2, error = $3,
		       due = clock_timestamp() + $4::interval, dead = $5 WHERE id = $1`,
		d.ID, d.Status, asText(d.Error, maxReason), after, dead)
	if err != nil {
		return fmt.Errorf("record that delivery %d failed: %w", d.ID, err)
	}
	return nil
}

// NoteWebhook implements metadata.Webhooks.
func (s *Store) NoteWebhook(ctx context.Context, webhook string, delivered bool, failure string) error {
	_, err := s.pool.Exec(ctx, `
		UPDATE webhook SET delivered = CASE WHEN $2 THEN clock_timestamp() ELSE delivered END,
		       failed = CASE WHEN $3 <> '' THEN clock_timestamp() ELSE failed END,
		       error = CASE WHEN $3 <> '' THEN $3 WHEN $2 THEN '' ELSE error END WHERE id = $1`,
		webhook, delivered, asText(failure, maxReason))
	if err != nil {
		return fmt.Errorf("note how it goes with webhook %s: %w", webhook, err)
	}
	return nil
}

// BuryDeliveries implements metadata.Webhooks.
func (s *Store) BuryDeliveries(ctx context.Context, webhook string, age time.Duration) (int64, error) {
	tag, err := s.pool.Exec(ctx, `
		UPDATE webhook_delivery SET dead = true
		 WHERE webhook = $1 AND NOT dead AND queued < clock_timestamp() - $2::interval`, webhook, age)
	if err != nil {
		return 0, fmt.Errorf("give up deliveries of webhook %s: %w", webhook, err)
	}
	return tag.RowsAffected(), nil
}

// Deliveries implements metadata.Webhooks.
func (s *Store) Deliveries(ctx context.Context, webhook string, dead bool, below int64, limit int) ([]metadata.Delivery, error) {
	if _, err := s.Webhook(ctx, webhook); err != nil {
		return nil, err
	}
	return s.deliveries(ctx, "deliveries of webhook "+webhook, `
		SELECT `+deliveryColumns+` FROM webhook_delivery d
		 WHERE d.webhook = $1 AND d.dead = $2 AND ($3 = 0 OR d.id < $3) ORDER BY d.id DESC LIMIT $4`, webhook, dead, below, limit)
}

// Redeliver implements metadata.Webhooks.
func (s *Store) Redeliver(ctx context.Context, webhook string, ids []int64) (int64, error) {
	if _, err := s.Webhook(ctx, webhook); err != nil {
		return 0, err
	}
	tag, err := s.pool.Exec(ctx, `
		UPDATE webhook_delivery SET dead = false, tries = 0, queued = clock_timestamp(), due = clock_timestamp()
		 WHERE webhook = $1 AND dead AND ($2::bigint[] IS NULL OR id = ANY ($2))`, webhook, ids)
	if err != nil {
		return 0, fmt.Errorf("redeliver to webhook %s: %w", webhook, err)
	}
	return tag.RowsAffected(), nil
}

// maxDead is how many deliveries that were given up are kept of a webhook.
const maxDead = 10_000

// dropDead removes deliveries that were given up, but the newest.
func (s *Store) dropDead(ctx context.Context) error {
	_, err := s.pool.Exec(ctx, `
		DELETE FROM webhook_delivery x USING webhook w
		 WHERE x.webhook = w.id AND x.dead AND (x.queued < now() - $1::interval OR x.id <= (
		       SELECT d.id FROM webhook_delivery d WHERE d.webhook = w.id AND d.dead ORDER BY d.id DESC OFFSET $2 LIMIT 1))`,
		s.retention.Runs, maxDead)
	if err != nil {
		return fmt.Errorf("drop deliveries that were given up: %w", err)
	}
	return nil
}
