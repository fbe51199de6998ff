package postgres

import (
	"context"
	"crypto/rand"
	"log/slog"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

const (
	doorbellChannel = "meridian_feed"
	// doorbellGap is the least time between two notifications of a process. A
	// NOTIFY in the writing transaction would serialise all commits; one beside
	// it, at most this often, costs next to nothing.
	doorbellGap = 5 * time.Millisecond
	// doorbellPatience bounds a NOTIFY: followers find the event without it.
	doorbellPatience = time.Second
)

// doorbell wakes the followers of the feed: those of this process directly,
// those of others by one NOTIFY outside of the writing transactions. It only
// ever says that there may be something; what it says is never needed, since
// followers look by themselves when it keeps silent.
type doorbell struct {
	pool *pgxpool.Pool
	log  *slog.Logger
	self string        // tells own notifications from those of others
	rung chan struct{} // holds one: rings while one is handled become one

	wanted chan struct{} // closed at the first follower, which starts the listening
	want   func()

	stop context.CancelFunc
	done sync.WaitGroup

	mu   sync.Mutex
	next chan struct{} // closed at the next wake
}

// newDoorbell starts the doorbell; ctx gives it values, close ends it.
func newDoorbell(ctx context.Context, pool *pgxpool.Pool, log *slog.Logger) *doorbell {
	d := &doorbell{
		pool:   pool,
		log:    log,
		self:   rand.Text(),
		rung:   make(chan struct{}, 1),
		wanted: make(chan struct{}),
		next:   make(chan struct{}),
	}
	d.want = sync.OnceFunc(func() { close(d.wanted) })
	ctx, d.stop = context.WithCancel(context.WithoutCancel(ctx))
	d.done.Go(func() { d.ringer(ctx) })
	d.done.Go(func() { d.listener(ctx) })
	return d
}

// close stops the goroutines and waits for them.
func (d *doorbell) close() {
	d.stop()
	d.done.Wait()
}

// ring says that events were committed. It never blocks.
func (d *doorbell) ring() {
	select {
	case d.rung <- struct{}{}:
	default:
	}
}

// woken is closed when there may be more in the feed than there was at the
// call. The first call starts to listen for other processes.
func (d *doorbell) woken() <-chan struct{} {
	d.want()
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.next
}

func (d *doorbell) wake() {
	d.mu.Lock()
	defer d.mu.Unlock()
	close(d.next)
	d.next = make(chan struct{})
}

// ringer hands rings on, at most one per doorbellGap.
func (d *doorbell) ringer(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-d.rung:
		}
		d.wake()
		d.notify(ctx)
		select {
		case <-ctx.Done():
			return
		case <-time.After(doorbellGap):
		}
	}
}

func (d *doorbell) notify(ctx context.Context) {
	limited, cancel := context.WithTimeout(ctx, doorbellPatience)
	defer cancel()
	_, err := d.pool.Exec(limited, "SELECT pg_notify($1, $2)", doorbellChannel, d.self)
	if err != nil && ctx.Err() == nil {
		d.log.Warn("feed doorbell not rung; followers elsewhere find out by polling", "error", err)
	}
}

// listener keeps the one listening connection of the process.
func (d *doorbell) listener(ctx context.Context) {
	select {
	case <-ctx.Done():
		return
	case <-d.wanted:
	}
	const least, most = 50 * time.Millisecond, 5 * time.Second
	pause := least
	for ctx.Err() == nil {
		began := time.Now()
		err := d.session(ctx)
		if ctx.Err() != nil {
			return
		}
		if time.Since(began) > most {
			pause = least
		}
		d.log.Warn("feed doorbell lost; polling until it is back", "error", err, "retry", pause)
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
		pause = min(2*pause, most)
	}
}

// session listens on one connection until it breaks.
func (d *doorbell) session(ctx context.Context) error {
	conn, err := pgx.ConnectConfig(ctx, d.pool.Config().ConnConfig)
	if err != nil {
		return err
	}
	defer func() {
		// ctx may have ended; the goodbye must not hang either.
		bye, cancel := context.WithTimeout(context.WithoutCancel(ctx), doorbellPatience)
		defer cancel()
		_ = conn.Close(bye)
	}()
	if _, err := conn.Exec(ctx, "LISTEN "+doorbellChannel); err != nil {
		return err
	}
	d.wake() // for what was rung while nobody listened
	for {
		n, err := conn.WaitForNotification(ctx)
		if err != nil {
			return err
		}
		if n.Payload != d.self {
			d.wake()
		}
	}
}
