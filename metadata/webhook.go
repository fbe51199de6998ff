package metadata

import (
	"context"
	"encoding/json"
	"errors"
	"time"
)

// Errors of webhooks.
var (
	ErrNoSuchWebhook = errors.New("no such webhook")
	ErrWebhookExists = errors.New("webhook already exists")
)

// Webhook is where an app is told of changes: by requests to its URL.
type Webhook struct {
	ID  string `json:"id"` // chosen by people; a part of its ARN
	URL string `json:"url"`
	// Secret signs the requests, as whsec_ and base64; it is kept sealed.
	Secret string `json:"secret,omitempty"` // told once, when it is made
	// Events are types of events of the feed that it is told of, of all buckets:
	// MediaDone and MediaBroken. What the notification configurations of buckets
	// ask for comes beside it.
	Events  []string  `json:"events"`
	Created time.Time `json:"created"`
	WebhookState
}

// WebhookState is how it goes with a webhook.
type WebhookState struct {
	Queued    int64      `json:"queued"`              // deliveries to be made
	Oldest    *time.Time `json:"oldest,omitempty"`    // when the oldest of them was queued
	Dead      int64      `json:"dead"`                // deliveries that were given up, and are kept for a while
	Dropped   int64      `json:"dropped"`             // that found the queue full
	Delivered *time.Time `json:"delivered,omitempty"` // the last one
	Failed    *time.Time `json:"failed,omitempty"`    // the last try that failed
	Error     string     `json:"error,omitempty"`     // why it did
}

// Delivery is one request to be made to a webhook.
type Delivery struct {
	ID      int64           `json:"id"`
	Webhook string          `json:"webhook"`
	Event   string          `json:"event"` // its name
	Bucket  string          `json:"bucket"`
	Key     string          `json:"key"` // deliveries about one object are made in order
	Body    json.RawMessage `json:"body"`
	Queued  time.Time       `json:"queued"`
	Due     time.Time       `json:"due"` // for the next try
	Tries   int             `json:"tries"`
	Tried   *time.Time      `json:"tried,omitempty"`  // last
	Status  int             `json:"status,omitempty"` // of HTTP, at the last try; 0: there was no answer
	Error   string          `json:"error,omitempty"`
	Dead    bool            `json:"dead"` // given up
}

// NotifyingBucket is a bucket that has a notification configuration.
type NotifyingBucket struct {
	Name, Owner, Versioning string
	Config                  json.RawMessage
}

// WebhookCursor is the name under which it is kept how far webhooks have been
// told of the feed.
const WebhookCursor = "webhooks"

// Webhooks keeps webhooks and the queue of their deliveries.
type Webhooks interface {
	// CreateWebhook refuses an ID that is taken with ErrWebhookExists. The first
	// one sets the cursor WebhookCursor to where it begins to be told.
	CreateWebhook(ctx context.Context, w Webhook) (Webhook, error)
	// Webhook finds one, with its secret.
	Webhook(ctx context.Context, id string) (Webhook, error)
	// Webhooks are all of them by ID, with their secrets.
	Webhooks(ctx context.Context) ([]Webhook, error)
	// UpdateWebhook changes URL, Secret or Events.
	UpdateWebhook(ctx context.Context, id string, change func(*Webhook) error) (Webhook, error)
	// DeleteWebhook forgets it and its deliveries.
	DeleteWebhook(ctx context.Context, id string) error

	// NotifyingBuckets are the buckets that have a notification configuration.
	NotifyingBuckets(ctx context.Context) ([]NotifyingBucket, error)
	// SettledFeed is a position of the feed below which nothing appears any more.
	SettledFeed(ctx context.Context) (Seq, error)
	// QueueDeliveries queues deliveries, counts those that were dropped by
	// webhook, and moves WebhookCursor, all or nothing. Deliveries to a webhook
	// that is gone are left out.
	QueueDeliveries(ctx context.Context, list []Delivery, dropped map[string]int, after Seq) error
	// NextDeliveries are up to limit deliveries that are due, in the order in
	// which they were queued. One about an object is not among them while an
	// earlier one about it waits for its next try.
	NextDeliveries(ctx context.Context, webhook string, limit int) ([]Delivery, error)
	// DeliveryDone forgets a delivery that was made.
	DeliveryDone(ctx context.Context, id int64) error
	// DeliveryFailed records a try that failed; the next is due after a while,
	// unless the delivery is given up.
	DeliveryFailed(ctx context.Context, d Delivery, after time.Duration, dead bool) error
	// NoteWebhook records that deliveries were made, or why the last try failed.
	NoteWebhook(ctx context.Context, webhook string, delivered bool, failure string) error
	// BuryDeliveries gives up the deliveries that were queued longer ago than
	// age, and tells how many.
	BuryDeliveries(ctx context.Context, webhook string, age time.Duration) (int64, error)
	// Deliveries are those that wait, or those that were given up, below an ID
	// (0: all), newest first.
	Deliveries(ctx context.Context, webhook string, dead bool, below int64, limit int) ([]Delivery, error)
	// Redeliver queues deliveries anew that were given up, all of the webhook's
	// where none are named, and tells how many.
	Redeliver(ctx context.Context, webhook string, ids []int64) (int64, error)
}
