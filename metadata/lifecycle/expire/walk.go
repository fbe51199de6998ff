package expire

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"meridian/metadata"
	"meridian/metadata/lifecycle"
)

// walker is one walk through a bucket.
type walker struct {
	*Job
	rules *lifecycle.Config
	// document is the configuration that rules were read of, and once it has
	// changed what it is now; nil: it was taken away.
	document json.RawMessage
	now      time.Time
	// resumed is where a walk before this one broke off.
	resumed string

	at keyState

	mu  sync.Mutex // of run, while a page is dealt with
	run metadata.LifecycleRun
}

// keyState is what is known of the key whose versions are being read, newest
// first. It does not grow with their number.
type keyState struct {
	latest metadata.Version // current, or the delete marker that hides the key
	count  int              // of versions read
	before time.Time        // when the one read last was written
}

// task is what is to be done with one key, in this order.
type task struct {
	latest string // the ID to which all of it is bound
	steps  []step
}

type step struct {
	action  lifecycle.Action
	rule    string
	version metadata.Version
}

// errRulesChanged says that the rules are no longer those that the walk began with.
var errRulesChanged = errors.New("lifecycle rules were changed")

// all walks through all that the rules are about.
func (w *walker) all(ctx context.Context) error {
	for _, prefix := range w.rules.Prefixes() {
		if err := w.versions(ctx, prefix); err != nil {
			return err
		}
	}
	if !w.rules.AbortsUploads() {
		return nil
	}
	for _, prefix := range w.rules.Prefixes() {
		if err := w.uploads(ctx, prefix); err != nil {
			return err
		}
	}
	return nil
}

// still says, before anything is removed of a page, whether the rules are those
// that the walk began with: who takes a rule away must not have to wait for the
// end of a long walk until it stops.
func (w *walker) still(ctx context.Context) error {
	b, err := w.Store.Bucket(ctx, w.run.Bucket)
	if err != nil {
		return err
	}
	if document := b.Config[lifecycle.ConfigName]; !bytes.Equal(document, w.document) {
		w.document = document
		return errRulesChanged
	}
	return nil
}

// versions walks through the keys with a prefix. A page costs what it shows.
func (w *walker) versions(ctx context.Context, prefix string) error {
	q := metadata.ListQuery{Bucket: w.run.Bucket, Prefix: prefix, After: w.resumed, Versions: true, Limit: w.Page}
	w.at = keyState{}
	for {
		page, err := w.Store.List(ctx, q)
		if err != nil {
			return err
		}
		tasks, done := w.decide(page.Versions, !page.Truncated)
		w.run.Scanned += int64(len(page.Versions))
		w.metrics.scanned.Add(float64(len(page.Versions)))
		if len(tasks) > 0 {
			if err := w.still(ctx); err != nil {
				return err
			}
		}
		if err := w.do(ctx, tasks); err != nil {
			return err
		}
		if done != "" {
			w.run.After = done
		}
		if !page.Truncated {
			return nil
		}
		if w.run, err = w.Store.SaveLifecycle(ctx, w.run, false); err != nil {
			return err
		}
		q.After, q.AfterVersion = page.Next, page.NextVersion
	}
}

// decide says what is to be done with the versions of a page, key by key, and
// which key is the last that was read to its end.
func (w *walker) decide(versions []metadata.Version, end bool) (tasks []task, done string) {
	var now task
	finish := func() {
		if w.at.count == 0 {
			return
		}
		now.latest = w.at.latest.ID
		latest := lifecycle.Item{Version: &w.at.latest, Latest: true, Alone: w.at.count == 1}
		if action, rule := w.rules.Decide(latest, w.now, w.Clock); action != lifecycle.Keep {
			now.steps = append(now.steps, step{action, rule.ID, w.at.latest})
		}
		if len(now.steps) > 0 {
			tasks = append(tasks, now)
		}
		done, now, w.at = w.at.latest.Key, task{}, keyState{}
	}
	for i := range versions {
		v := versions[i]
		if w.at.count > 0 && w.at.latest.Key != v.Key {
			finish()
		}
		if w.at.count == 0 {
			w.at.latest = v
		} else {
			it := lifecycle.Item{Version: &v, Superseded: w.at.before, Newer: w.at.count - 1, Current: &w.at.latest}
			if action, rule := w.rules.Decide(it, w.now, w.Clock); action != lifecycle.Keep {
				now.steps = append(now.steps, step{action, rule.ID, v})
			}
		}
		now.latest = w.at.latest.ID
		w.at.count++
		w.at.before = v.Modified
	}
	if end {
		finish()
	} else if len(now.steps) > 0 { // the key goes on in the next page
		tasks = append(tasks, now)
	}
	return tasks, done
}

// do does tasks, several keys at once. What cannot be done is counted; it is an
// error where nothing can.
func (w *walker) do(ctx context.Context, tasks []task) error {
	var group errgroup.Group
	group.SetLimit(parallel)
	steps, failed := 0, 0
	var last error
	for _, t := range tasks {
		steps += len(t.steps)
		group.Go(func() error {
			// The oldest first: what is bound to the latest version comes before
			// that goes.
			slices.SortStableFunc(t.steps, func(a, b step) int { return latestLast(a) - latestLast(b) })
			for _, s := range t.steps {
				if ctx.Err() != nil {
					return nil //nolint:nilerr // told below
				}
				if err := w.step(ctx, t.latest, s); err != nil {
					w.mu.Lock()
					failed++
					last = err
					w.mu.Unlock()
				}
			}
			return nil
		})
	}
	_ = group.Wait() // the functions return nil: errors belong to their step
	if err := ctx.Err(); err != nil {
		return err
	}
	if failed > 0 && failed == steps {
		return last
	}
	return nil
}

func latestLast(s step) int {
	if s.action == lifecycle.RemoveNoncurrent {
		return 0
	}
	return 1
}

// step does one thing and counts it.
func (w *walker) step(ctx context.Context, latest string, s step) error {
	ref := metadata.Ref{Bucket: w.run.Bucket, Key: s.version.Key, VersionID: s.version.ID}
	if s.action == lifecycle.Expire {
		ref.VersionID = "" // what a client does that deletes the key
	}
	v, err := w.Store.Delete(ctx, ref, metadata.Cond{IfVersion: latest, By: metadata.Cause{Operation: metadata.ByLifecycle, User: metadata.SystemOwner}})
	var n metadata.LifecycleCounts
	switch {
	case err == nil && s.action == lifecycle.Expire && v.DeleteMarker:
		n.MarkersMade = 1
	case err == nil && (s.action == lifecycle.Expire || s.action == lifecycle.RemoveLast):
		n.Expired, n.Bytes = 1, v.Size
	case err == nil && v.DeleteMarker:
		n.MarkersRemoved = 1
	case err == nil:
		n.Noncurrent, n.Bytes = 1, v.Size
	case isAny(err, metadata.ErrPrecondition, metadata.ErrNoSuchKey, metadata.ErrNoSuchVersion, metadata.ErrNoSuchBucket):
		n.Overtaken = 1
	case errors.Is(err, metadata.ErrLocked):
		n.Locked = 1
	default:
		w.fail(ctx, err)
		return err
	}
	w.count(s.rule, n)
	return nil
}

// uploads ends the uploads with a prefix that were abandoned. Their parts are
// freed by the sweeper of the region that holds them.
func (w *walker) uploads(ctx context.Context, prefix string) error {
	for q := (metadata.UploadQuery{Bucket: w.run.Bucket, Prefix: prefix, Limit: maxPage}); ; {
		page, err := w.Store.ListUploads(ctx, q)
		if err != nil {
			return err
		}
		if err := w.still(ctx); err != nil {
			return err
		}
		for i := range page.Uploads {
			rule := w.rules.Abandoned(&page.Uploads[i], w.now, w.Clock)
			if rule == nil {
				continue
			}
			switch _, err := w.Store.AbortUpload(ctx, page.Uploads[i].ID); {
			case err == nil:
				w.count(rule.ID, metadata.LifecycleCounts{Uploads: 1})
			case errors.Is(err, metadata.ErrNoSuchUpload): // it was completed a moment ago
				w.count(rule.ID, metadata.LifecycleCounts{Overtaken: 1})
			case ctx.Err() != nil:
				return ctx.Err()
			default:
				w.fail(ctx, err)
			}
		}
		if !page.Truncated {
			return nil
		}
		q.KeyMarker, q.UploadMarker = page.NextKey, page.NextUpload
	}
}

func (w *walker) count(rule string, n metadata.LifecycleCounts) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.run.Add(n)
	if w.run.Rules[rule] == nil {
		w.run.Rules[rule] = &metadata.LifecycleCounts{}
	}
	w.run.Rules[rule].Add(n)
	w.metrics.add(n)
}

func (w *walker) fail(ctx context.Context, err error) {
	if ctx.Err() != nil {
		return // it was not the version's fault
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.run.Errors++
	w.run.Error = err.Error()
	w.metrics.errors.Inc()
}

// isAny reports whether err is one of those given.
func isAny(err error, of ...error) bool {
	return slices.ContainsFunc(of, func(e error) bool { return errors.Is(err, e) })
}
