package api

import (
	"context"
	"testing"

	"meridian/metadata"
	"meridian/metadata/catalogtest"
	"meridian/metadata/client"
)

// remote is a catalogue of which a node's part is reached by client and API.
type remote struct {
	metadata.Store
	client *client.Client
}

func (r remote) Push(ctx context.Context, p metadata.Push) (metadata.PushReply, error) {
	return r.client.Push(ctx, p)
}

func (r remote) Snapshot(ctx context.Context) (metadata.Snapshot, error) {
	return r.client.Snapshot(ctx)
}

func (r remote) Follow(ctx context.Context, after metadata.Seq, fn func(metadata.Event) error) error {
	return r.client.Follow(ctx, after, fn)
}

// A node that asks over HTTP finds what a process beside the database finds.
func TestConformanceOverHTTP(t *testing.T) {
	t.Parallel()
	open := func(t *testing.T) metadata.Store {
		w := newEmptyWorld(t)
		return remote{w.store, w.client()}
	}
	t.Run("Nodes", func(t *testing.T) { t.Parallel(); catalogtest.Nodes(t, open) })
	t.Run("Feed", func(t *testing.T) { t.Parallel(); catalogtest.Feed(t, open) })
}
