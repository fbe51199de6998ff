// Package tus is the tus 1.0 endpoint of one region: resumable uploads from
// browsers and apps. The protocol is tusd's; what it stores becomes the parts of
// a multipart upload (package upload), and what is too short for one waits in
// the catalogue, so that every byte that an offset counts is durable.
//
// https://tus.io/protocols/resumable-upload
package tus

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"time"

	tusd "github.com/tus/tusd/v2/pkg/handler"
	expslog "golang.org/x/exp/slog"

	"meridian/internal/hop"
	"meridian/metadata"
	"meridian/upload"
	"meridian/upload/relay"
)

// Defaults of Options.
const (
	DefaultExpiry = 24 * time.Hour
	defaultPart   = 8 << 20
	defaultStall  = 60 * time.Second
)

const (
	// graceTime is how long what arrived may take to be stored after its client
	// went away.
	graceTime = time.Minute
	// lockTime is how long a request waits for one before it to give way.
	lockTime = 20 * time.Second
	// expireEvery is how often expired uploads are looked for.
	expireEvery = time.Minute
	expirePage  = 100
)

// Catalog is what the endpoint reads and changes of the catalogue.
type Catalog interface {
	metadata.Resumables
	Bucket(ctx context.Context, name string) (metadata.Bucket, error)
	Upload(ctx context.Context, bucket, key, id string) (metadata.Upload, error)
	Lookup(ctx context.Context, r metadata.Ref) (metadata.Version, error)
	LookupDropped(ctx context.Context, r metadata.Ref) (metadata.Version, error)
}

// KeyLookup finds access keys; metadata.Keys is one.
type KeyLookup interface {
	Key(ctx context.Context, id string) (metadata.AccessKey, error)
}

// Options describe an endpoint. All but those marked optional are required.
type Options struct {
	Uploads *upload.Manager
	Catalog Catalog
	Keys    KeyLookup
	// ClusterSecret is the secret of hop.NodeAccessKey.
	ClusterSecret string
	Region        string
	Regions       func() []string // scopes of signatures
	// Relay reaches other regions.
	Relay *relay.Relay
	// PublicURL is where clients reach us, if a proxy stands before us. Optional.
	PublicURL string
	// Node and Boot are ours in the list of nodes.
	Node, Boot string
	// Dir holds parts while they come, in files without names. It is made.
	Dir string
	// Expiry is how long an upload is kept after its last byte; DefaultExpiry
	// where it is zero.
	Expiry time.Duration
	// PartSize is the least size of parts that come in one piece; it grows with
	// the object. 8 MiB where it is zero.
	PartSize int64
	// Stall is how long a client may send no byte; a minute where it is zero.
	Stall time.Duration
	Log   *slog.Logger
	Now   func() time.Time // nil: time.Now
}

// Handler is the tus endpoint of a region. Its Run must run beside it.
type Handler struct {
	Options
	locks   *locker
	tusd    http.Handler
	stopped context.Context //nolint:containedctx // ends all requests when Run ends
	stop    context.CancelCauseFunc
}

var _ http.Handler = (*Handler)(nil)

// New makes an endpoint.
func New(o Options) (*Handler, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Expiry == 0 {
		o.Expiry = DefaultExpiry
	}
	if o.PartSize == 0 {
		o.PartSize = defaultPart
	}
	if o.Stall == 0 {
		o.Stall = defaultStall
	}
	if o.PartSize < o.Uploads.MinPart {
		return nil, fmt.Errorf("tus: parts of %d bytes are smaller than the store allows", o.PartSize)
	}
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("tus: %w", err)
	}
	h := &Handler{Options: o, locks: newLocker(o.Catalog, o.Node+"/"+o.Boot, o.Log)}
	h.stopped, h.stop = context.WithCancelCause(context.Background())
	composer := tusd.NewStoreComposer()
	composer.UseCore(h)
	composer.UseTerminater(h)
	composer.UseLengthDeferrer(h)
	composer.UseLocker(h.locks)
	inner, err := tusd.NewHandler(tusd.Config{
		StoreComposer: composer, BasePath: relay.Path, MaxSize: relay.MaxSize, DisableDownload: true,
		Cors: &tusd.CorsConfig{Disable: true}, RespectForwardedHeaders: true,
		GracefulRequestCompletionTimeout: graceTime, AcquireLockTimeout: lockTime, NetworkTimeout: o.Stall,
		// Its lines are ours: the access log, and errors in problems.
		Logger: expslog.New(expslog.NewTextHandler(io.Discard, &expslog.HandlerOptions{Level: expslog.Level(100)})),
	})
	if err != nil {
		return nil, fmt.Errorf("tus: %w", err)
	}
	h.tusd = inner
	return h, nil
}

// request is what our parts of the work on one request tell each other.
type request struct {
	who    relay.Caller
	header http.Header // of the answer
	// template and meta are those of an upload to be made.
	template metadata.Version
	meta     map[string]string
	digest   *digest // of the body, where the client sent one
	// holder is the name under which the request holds its upload.
	holder string
	body   *body
}

type requestKey struct{}

func requestOf(ctx context.Context) *request {
	r, _ := ctx.Value(requestKey{}).(*request)
	return r
}

// ServeHTTP answers one request.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodOptions {
		relay.Describe(w, r)
		return
	}
	relay.Headers(w.Header())
	w.Header().Set(hop.Region, h.Region)
	p := &problems{ResponseWriter: w, request: r, log: h.Log}
	if err := h.serve(p, r); err != nil {
		p.fail(answer(err))
	}
	p.finish()
}

func (h *Handler) serve(w *problems, r *http.Request) error {
	if h.stopped.Err() != nil {
		return tusd.ErrServerShutdown
	}
	id, ok := relay.UploadID(r.URL.Path)
	if !ok {
		return refuse(http.StatusNotFound, "no-such-path", "there is nothing at this path")
	}
	who, node, err := h.identify(r)
	if err != nil {
		return err
	}
	req := &request{who: who, header: w.Header()}
	if req.digest, err = parseChecksum(r.Header.Get("Upload-Checksum")); err != nil {
		return err
	}
	elsewhere := false
	switch {
	case id != "":
		var u metadata.Resumable
		if u, err = h.Catalog.Resumable(r.Context(), id); err == nil && u.Owner != who.User && !who.Admin {
			err = errNoSuchUpload
		}
		elsewhere = u.Region != h.Region
		if err == nil && elsewhere && bringsBytes(r) {
			err = h.mayPass(r.Context(), u.Bucket)
		}
	case r.Method == http.MethodPost:
		elsewhere, err = h.admit(r, req)
	}
	switch {
	case err != nil:
		return err
	case elsewhere && node:
		return upload.ErrWrongRegion
	case elsewhere:
		w.Header().Del(hop.Region) // the answer brings that of who gives it
		h.Relay.Serve(w.ResponseWriter, r, who.User, who.Admin)
		return nil
	}
	if !node {
		relay.External(r, h.PublicURL)
	}
	req.body = &body{ReadCloser: r.Body, conn: http.NewResponseController(w), header: w.Header()}
	defer context.AfterFunc(h.stopped, func() { req.body.cut(tusd.ErrServerShutdown) })()
	inner := r.Clone(context.WithValue(r.Context(), requestKey{}, req))
	inner.Body = req.body
	inner.URL.Path, inner.URL.RawPath = "/"+id, ""
	h.tusd.ServeHTTP(w, inner)
	return nil
}

// Run removes what expires until ctx ends; then running requests keep what has
// arrived and end. End it before the server that they run on drains.
func (h *Handler) Run(ctx context.Context) error {
	tick := time.NewTicker(expireEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			h.stop(tusd.ErrServerShutdown)
			return nil
		case <-tick.C:
		}
		n, err := h.Expire(ctx)
		if err != nil && ctx.Err() == nil {
			h.Log.Warn("cannot remove expired uploads", "err", err)
		}
		if n > 0 {
			h.Log.Info("removed expired uploads", "count", n)
		}
	}
}

// Expire removes the region's uploads that have expired, and returns how many.
func (h *Handler) Expire(ctx context.Context) (int, error) {
	n := 0
	var errs []error
	for {
		list, err := h.Catalog.ExpiredResumables(ctx, h.Region, expirePage)
		if err != nil {
			return n, errors.Join(append(errs, err)...)
		}
		failed := len(errs)
		for _, u := range list {
			switch err := h.expire(ctx, u); {
			case err == nil:
				n++
			case !errors.Is(err, metadata.ErrNotHeld):
				errs = append(errs, err)
			}
		}
		if len(list) < expirePage || len(errs) > failed || ctx.Err() != nil {
			return n, errors.Join(errs...)
		}
	}
}

// expire removes one upload, unless a request has it just now.
func (h *Handler) expire(ctx context.Context, u metadata.Resumable) error {
	if _, err := h.Catalog.HoldResumable(ctx, u.ID, h.locks.newLock(u.ID).holder, leaseTime); err != nil {
		return err
	}
	return h.remove(ctx, u)
}

// remove forgets an upload and frees its parts. The object that a finished one
// became stays.
func (h *Handler) remove(ctx context.Context, r metadata.Resumable) error {
	if !r.Done {
		u, err := h.Catalog.Upload(ctx, r.Bucket, r.Key, r.ID)
		if err == nil {
			err = h.Uploads.Abort(ctx, u)
		}
		if err != nil && !errors.Is(err, metadata.ErrNoSuchUpload) {
			return err
		}
	}
	return h.Catalog.DeleteResumable(ctx, r.ID)
}

func (p *problems) fail(err error) {
	var told tusd.Error
	if !errors.As(err, &told) {
		told = tusd.NewError("ERR_INTERNAL_SERVER_ERROR", err.Error(), http.StatusInternalServerError)
	}
	p.send(told.HTTPResponse.StatusCode, told.ErrorCode+": "+told.Message)
}

// finish sends a status that got no text.
func (p *problems) finish() {
	if p.status != 0 {
		p.send(p.status, "")
	}
}
