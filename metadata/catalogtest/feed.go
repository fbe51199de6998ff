package catalogtest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"meridian/metadata"
)

// patience bounds what should happen at once; nothing is inferred from how long
// it took.
const patience = 3 * time.Minute

// Feed checks metadata.Feed, Follower and Cursors. open gives a store of its
// own to every test, without events of others.
func Feed(t *testing.T, open func(t *testing.T) metadata.Store) {
	t.Run("EventsComeInOrder", func(t *testing.T) {
		t.Parallel()
		testEventsInOrder(t, open(t))
	})
	t.Run("FollowersMissNothing", func(t *testing.T) {
		t.Parallel()
		testFollowersMissNothing(t, open(t))
	})
	t.Run("FollowEnds", func(t *testing.T) {
		t.Parallel()
		testFollowEnds(t, open(t))
	})
	t.Run("WaitHonoursContext", func(t *testing.T) {
		t.Parallel()
		testWait(t, open(t))
	})
	t.Run("PositionOfAnotherFeed", func(t *testing.T) {
		t.Parallel()
		_, err := open(t).Poll(t.Context(), metadata.Seq{Xid: 1 << 62, ID: 1}, 10)
		wantError(t, "a position that was never given", err, metadata.ErrFeedGone)
	})
	t.Run("Cursors", func(t *testing.T) {
		t.Parallel()
		testCursors(t, open(t))
	})
}

// write makes one event that names what.
func write(t *testing.T, s metadata.Store, what string) metadata.Seq {
	t.Helper()
	_, seq, err := s.AskPurge(t.Context(), metadata.Purge{SurrogateKeys: []string{what}})
	if err != nil {
		t.Fatalf("write event %q: %v", what, err)
	}
	return seq
}

// events returns what lies between after and the head of the feed.
func events(t *testing.T, s metadata.Store, after metadata.Seq) []metadata.Event {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	head, err := s.Head(ctx)
	if err != nil {
		t.Fatalf("Head: %v", err)
	}
	var all []metadata.Event
	for after.Compare(head) < 0 {
		page, err := s.Poll(ctx, after, 3)
		if err != nil {
			t.Fatalf("Poll after %s: %v", after, err)
		}
		if len(page) > 3 {
			t.Fatalf("Poll returned %d events, more than the limit of 3", len(page))
		}
		for _, e := range page {
			if e.Seq.Compare(after) <= 0 {
				t.Fatalf("event %s was delivered after %s", e.Seq, after)
			}
			after = e.Seq
		}
		all = append(all, page...)
		if len(page) == 0 {
			if err := s.Wait(ctx); err != nil {
				t.Fatalf("Wait: %v", err)
			}
		}
	}
	return all
}

func testEventsInOrder(t *testing.T, s metadata.Store) {
	start, err := s.Head(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var want []metadata.Seq
	for i := range 10 {
		seq := write(t, s, fmt.Sprint("event-", i))
		want = append(want, seq)
		if head, err := s.Head(t.Context()); err != nil || head.Compare(seq) < 0 {
			t.Fatalf("Head = %s, %v right after event %s was written", head, err, seq)
		}
	}
	var got []metadata.Seq
	for _, e := range events(t, s, start) {
		got = append(got, e.Seq)
		if e.Type != metadata.PurgeAsked || e.Time.IsZero() || len(e.Data) == 0 {
			t.Errorf("event is not whole: %+v", e)
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("delivered %v, want %v", got, want)
	}
	if rest := events(t, s, want[6]); len(rest) != 3 || rest[0].Seq != want[7] {
		t.Errorf("from the middle %d events were delivered, want the last 3", len(rest))
	}
	_, err = s.Poll(t.Context(), start, 0)
	wantError(t, "Poll with limit 0", err, metadata.ErrInvalid)
}

func testFollowersMissNothing(t *testing.T, s metadata.Store) {
	const writers, each, followers = 8, 40, 3
	start, err := s.Head(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()

	var mu sync.Mutex
	written := map[metadata.Seq]bool{}
	var writing, following sync.WaitGroup
	got := make([][]metadata.Seq, followers)
	for i := range followers {
		following.Go(func() {
			last, enough := start, errors.New("enough")
			err := s.Follow(ctx, start, func(e metadata.Event) error {
				if e.Seq.Compare(last) <= 0 {
					return fmt.Errorf("event %s came after %s", e.Seq, last)
				}
				last = e.Seq
				if got[i] = append(got[i], e.Seq); len(got[i]) == writers*each {
					return enough
				}
				return nil
			})
			if !errors.Is(err, enough) {
				t.Errorf("follower %d ended after %d events: %v", i, len(got[i]), err)
			}
		})
	}
	for w := range writers {
		writing.Go(func() {
			for i := range each {
				_, seq, err := s.AskPurge(ctx, metadata.Purge{SurrogateKeys: []string{fmt.Sprintf("%d-%d", w, i)}})
				if err != nil {
					t.Errorf("write: %v", err)
					return
				}
				mu.Lock()
				written[seq] = true
				mu.Unlock()
			}
		})
	}
	writing.Wait()
	following.Wait()
	for i, seqs := range got {
		for _, seq := range seqs {
			if !written[seq] {
				t.Errorf("follower %d was told of %s, which nobody wrote", i, seq)
			}
		}
	}
	if len(written) != writers*each {
		t.Errorf("%d different events were written, want %d", len(written), writers*each)
	}
}

func testFollowEnds(t *testing.T, s metadata.Store) {
	start, err := s.Head(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	write(t, s, "event")
	refused := errors.New("refused")
	err = s.Follow(t.Context(), start, func(metadata.Event) error { return refused })
	wantError(t, "Follow whose fn fails", err, refused)

	ctx, cancel := context.WithCancel(t.Context())
	err = s.Follow(ctx, start, func(metadata.Event) error { cancel(); return nil })
	wantError(t, "Follow whose context ends", err, context.Canceled)
}

func testWait(t *testing.T, s metadata.Store) {
	// Nothing rings, and still it returns.
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := s.Wait(ctx); err != nil {
		t.Errorf("Wait on a quiet feed: %v", err)
	}
	ended, end := context.WithCancel(t.Context())
	end()
	for range 20 { // also when it could just as well say that something rang
		write(t, s, "ring")
		wantError(t, "Wait with an ended context", s.Wait(ended), context.Canceled)
	}
}

func testCursors(t *testing.T, s metadata.Store) {
	ctx := t.Context()
	if got, err := s.Cursor(ctx, "media"); err != nil || !got.IsZero() {
		t.Errorf("Cursor never saved = %v, %v; want zero", got, err)
	}
	// Transaction IDs use all of 64 bits.
	for _, want := range []metadata.Seq{{Xid: 7, ID: 9}, {Xid: 1<<64 - 1, ID: 1<<63 - 1}, {Xid: 1 << 40, ID: 3}, {}} {
		if err := s.SaveCursor(ctx, "media", want); err != nil {
			t.Fatal(err)
		}
		if got, err := s.Cursor(ctx, "media"); err != nil || got != want {
			t.Errorf("Cursor = %v, %v; want %v", got, err, want)
		}
	}
	if err := s.SaveCursor(ctx, "replicate", metadata.Seq{Xid: 1, ID: 1}); err != nil {
		t.Fatal(err)
	}
	if got, err := s.Cursor(ctx, "media"); err != nil || !got.IsZero() {
		t.Errorf("one follower's cursor moved another's to %v, %v", got, err)
	}
}

func wantError(t *testing.T, what string, got, want error) {
	t.Helper()
	if !errors.Is(got, want) {
		t.Errorf("%s: error %v, want %v", what, got, want)
	}
}
