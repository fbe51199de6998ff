package tus

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"sync"
	"time"

	tusd "github.com/tus/tusd/v2/pkg/handler"

	"meridian/metadata"
)

const (
	// leaseTime is how long a process that died holds an upload.
	leaseTime = 10 * time.Second
	// leaseEvery is how often a lease is prolonged, and how soon its holder
	// learns that a request at another node wants it.
	leaseEvery = time.Second
	// lockPause is how often, at most, a request asks for a held upload.
	lockPause = 200 * time.Millisecond
)

// locker lets one request at a time have an upload: in this process by a map, in
// all by a lease in the catalogue. Who wants an upload makes its holder stop
// reading, so that a request whose connection is dead gives way at once. The
// lease does not keep the upload whole, the conditions under which the catalogue
// takes an Advance do; it keeps work from being done in vain.
type locker struct {
	catalog metadata.Resumables
	process string // <node>/<boot>
	log     *slog.Logger

	mu   sync.Mutex
	held map[string]*lock // by upload
}

var _ tusd.Locker = (*locker)(nil)

func newLocker(catalog metadata.Resumables, process string, log *slog.Logger) *locker {
	return &locker{catalog: catalog, process: process, log: log, held: map[string]*lock{}}
}

// NewLock implements tusd.Locker.
func (l *locker) NewLock(id string) (tusd.Lock, error) { return l.newLock(id), nil }

func (l *locker) newLock(id string) *lock {
	return &lock{locker: l, id: id, holder: l.process + "/" + rand.Text(), gone: make(chan struct{})}
}

// lock is one request's hold of an upload.
type lock struct {
	*locker
	id, holder string
	interrupt  func()        // asks the request to give way
	gone       chan struct{} // closed when it has
	stop       context.CancelFunc
	kept       sync.WaitGroup
}

// Lock waits for the upload until ctx ends.
func (k *lock) Lock(ctx context.Context, _ func()) error {
	req := requestOf(ctx)
	k.interrupt = func() { req.body.cut(tusd.ErrUploadInterrupted) }
	if err := k.lockHere(ctx); err != nil {
		return err
	}
	for {
		_, err := k.catalog.HoldResumable(ctx, k.id, k.holder, leaseTime)
		if err == nil {
			break
		}
		if !errors.Is(err, metadata.ErrNotHeld) {
			k.leave()
			return answer(err)
		}
		select {
		case <-ctx.Done():
			k.leave()
			return tusd.ErrFileLocked
		case <-time.After(lockPause):
		}
	}
	req.holder = k.holder
	keep, stop := context.WithCancel(context.WithoutCancel(ctx))
	k.stop = stop
	k.kept.Go(func() { k.keep(keep) })
	return nil
}

// lockHere waits for the other requests in this process.
func (k *lock) lockHere(ctx context.Context) error {
	for {
		k.mu.Lock()
		other := k.held[k.id]
		if other == nil {
			k.held[k.id] = k
			k.mu.Unlock()
			return nil
		}
		k.mu.Unlock()
		other.interrupt()
		select {
		case <-ctx.Done():
			return tusd.ErrFileLocked
		case <-other.gone:
		}
	}
}

// keep prolongs the lease until ctx ends, and interrupts the request when
// another one wants the upload or has it.
func (k *lock) keep(ctx context.Context) {
	tick := time.NewTicker(leaseEvery)
	defer tick.Stop()
	until := time.Now().Add(leaseTime)
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		wanted, err := k.catalog.HoldResumable(ctx, k.id, k.holder, leaseTime)
		switch {
		case err == nil:
			until = time.Now().Add(leaseTime)
		case errors.Is(err, metadata.ErrNotHeld), errors.Is(err, metadata.ErrNoSuchUpload), time.Now().After(until):
			wanted = true
		}
		if wanted {
			k.interrupt()
		}
	}
}

// leave lets the next request of this process try.
func (k *lock) leave() {
	k.mu.Lock()
	delete(k.held, k.id)
	k.mu.Unlock()
	close(k.gone)
}

// releaseTimeout bounds the release of a lease, which would also end by itself.
const releaseTimeout = 5 * time.Second

// Unlock gives the upload back.
func (k *lock) Unlock() error {
	k.stop()
	k.kept.Wait()
	ctx, cancel := context.WithTimeout(context.Background(), releaseTimeout)
	defer cancel()
	err := k.catalog.ReleaseResumable(ctx, k.id, k.holder)
	k.leave()
	if err != nil {
		k.log.Warn("the lease of an upload was not released and will end by itself", "upload", k.id, "err", err)
	}
	return nil
}
