package peer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"time"

	"meridian/metadata"
)

// errSlow ends an attempt whose endpoint let us wait for too long.
var errSlow = errors.New("the endpoint answered nothing for too long")

// body reads a range of a blob over as many attempts as it takes.
type body struct {
	peers   *Peers
	ctx     context.Context //nolint:containedctx // a reader's context is that of its Open
	region  string
	version metadata.Version
	off     int64 // of the next byte
	left    int64
	dry     int // attempts since the last byte

	current io.ReadCloser // nil between attempts
	idle    *time.Timer   // ends the attempt
	cause   func() error  // of its end, where it was ended
	stop    context.CancelCauseFunc
}

// open asks the endpoints in turn for what is left. fs.ErrNotExist only if all
// of them say so.
func (b *body) open() error {
	endpoints := b.peers.Endpoints(b.region)
	if len(endpoints) == 0 {
		return fmt.Errorf("read %s in %s: no endpoint is known", b.version.Blob, b.region)
	}
	var errs []error
	missing := true
	for _, endpoint := range endpoints {
		ctx, stop := context.WithCancelCause(b.ctx)
		answer, err := b.peers.ask(ctx, stop, endpoint, &b.version, b.off, b.left)
		if err == nil {
			b.current, b.stop = answer, stop
			b.cause = func() error { return context.Cause(ctx) }
			b.idle = time.AfterFunc(b.peers.IdleTimeout, func() { stop(errSlow) })
			b.idle.Stop()
			return nil
		}
		stop(err)
		missing = missing && errors.Is(err, fs.ErrNotExist)
		errs = append(errs, fmt.Errorf("%s: %w", endpoint, err))
		if b.ctx.Err() != nil {
			break
		}
	}
	err := errors.Join(errs...)
	if !missing && errors.Is(err, fs.ErrNotExist) {
		err = errors.New(err.Error()) // one of them may have it
	}
	return fmt.Errorf("read %s in %s: %w", b.version.Blob, b.region, err)
}

// Read reads on, asking again where the body breaks off.
func (b *body) Read(p []byte) (int, error) {
	if b.left == 0 {
		return 0, io.EOF
	}
	if int64(len(p)) > b.left {
		p = p[:b.left]
	}
	for {
		n, err := b.read(p)
		if n > 0 {
			b.off, b.left, b.dry = b.off+int64(n), b.left-int64(n), 0
			if err != nil && b.left > 0 {
				b.drop() // the next Read asks again
			}
			return n, nil
		}
		if err == nil {
			return 0, nil
		}
		b.drop()
		if cause := b.ctx.Err(); cause != nil {
			return 0, cause
		}
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		if b.dry++; b.dry > b.peers.Tries {
			return 0, fmt.Errorf("read %s in %s at %d: %w", b.version.Blob, b.region, b.off, err)
		}
		b.peers.Log.Info("body of another region broke off", "region", b.region, "blob", b.version.Blob, "offset", b.off, "err", err)
		select {
		case <-time.After(time.Duration(b.dry-1) * retryAfter):
		case <-b.ctx.Done():
			return 0, b.ctx.Err()
		}
	}
}

// retryAfter is the wait before the second try in a row; it grows with each.
const retryAfter = 200 * time.Millisecond

// read reads from the current attempt, or a new one, which ends if nothing comes
// for long. A reader of ours that is slow to come back is no reason to.
func (b *body) read(p []byte) (int, error) {
	if b.current == nil {
		if err := b.open(); err != nil {
			return 0, err
		}
	}
	b.idle.Reset(b.peers.IdleTimeout)
	n, err := b.current.Read(p)
	b.idle.Stop()
	if cause := b.cause(); err != nil && cause != nil {
		err = cause
	}
	return n, err
}

// drop ends the current attempt.
func (b *body) drop() {
	if b.current == nil {
		return
	}
	b.idle.Stop()
	b.stop(context.Canceled)
	_ = b.current.Close()
	b.current = nil
}

// Close ends the reading. A body that was read to its end gives its connection
// back.
func (b *body) Close() error {
	if b.current == nil {
		return nil
	}
	b.idle.Stop()
	err := b.current.Close()
	b.stop(context.Canceled)
	b.current = nil
	return err
}
