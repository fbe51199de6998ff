package metadata

import (
	"context"
	"time"
)

// Purge asks every cache node to forget, or with Soft to revalidate before the
// next use, what it selects. It travels as the Data of an event.
type Purge struct {
	ID            string   `json:"id"`
	URLs          []string `json:"urls,omitempty"` // absolute, or /bucket/key
	Prefixes      []string `json:"prefixes,omitempty"`
	SurrogateKeys []string `json:"surrogate_keys,omitempty"`
	Bucket        string   `json:"bucket,omitempty"`
	Everything    bool     `json:"everything,omitempty"`
	Soft          bool     `json:"soft,omitempty"`
}

// PurgeAck says that a node has applied a purge.
type PurgeAck struct {
	ID      string    `json:"id"`
	Node    string    `json:"node,omitempty"` // set by the catalogue
	Applied time.Time `json:"applied"`
	Entries int       `json:"entries"` // heads it dropped or marked
}

// PurgeStatus is what is known of a purge.
type PurgeStatus struct {
	Purge
	Asked time.Time  `json:"asked"`
	Acks  []PurgeAck `json:"acks"`
	// Waiting are the live cache nodes that have not acknowledged it yet.
	Waiting []string `json:"waiting"`
}

// Purges keeps purges and who has applied them.
type Purges interface {
	// AskPurge records p under a new ID and writes its event.
	AskPurge(ctx context.Context, p Purge) (PurgeStatus, Seq, error)
	PurgeStatus(ctx context.Context, id string) (PurgeStatus, error)
}
