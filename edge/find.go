package edge

import (
	"context"
	"errors"
	"net/http"

	"meridian/edge/cache"
	"meridian/edge/fetch"
	"meridian/edge/httpcache"
	"meridian/edge/purge"
	"meridian/metadata/tally"
)

// found is the head that a request is answered from, and how it was come by.
type found struct {
	name   string
	head   *httpcache.Head
	result tally.Result
	filled *filled // nil where nobody was asked
	led    bool    // this request asked, rather than join another
	// forward is why upstream was asked, in the words of RFC 9211.
	forward httpcache.Forward
}

// find looks for the head of the object, in the cache or upstream.
func (x *exchange) find(ctx context.Context) (*found, error) {
	if x.customer != nil {
		return x.findWithKey(ctx)
	}
	if x.want != "" {
		return x.findVersion(ctx)
	}
	f := &found{name: headName(x.object, x.versionID)}
	f.head = x.n.cachedHead(ctx, f.name)
	if f.head == nil {
		return f, x.fill(ctx, f, httpcache.ForwardURIMiss)
	}
	decision := httpcache.Decide(f.head, x.n.now(), x.trusted())
	switch decision {
	case httpcache.Serve:
		f.result = tally.Hit
		return f, nil
	case httpcache.ServeStale:
		f.result = tally.Stale
		x.refreshBehind(ctx, f)
		return f, nil
	default: // upstream is asked first
	}
	old := f.head
	err := x.fill(ctx, f, httpcache.ForwardStale)
	if err != nil && decision == httpcache.RevalidateOrServe && unavailable(err) {
		x.n.log.InfoContext(ctx, "served stale for want of an upstream", "object", f.name, "err", err)
		f.head, f.result, f.filled = old, tally.Stale, nil
		return f, nil
	}
	return f, err
}

// findVersion serves a node that wants one version: its bytes never change, so
// any head of it will do, however old.
func (x *exchange) findVersion(ctx context.Context) (*found, error) {
	f := &found{name: headName(x.object, x.versionID)}
	if f.head = x.n.cachedHead(ctx, f.name); f.head != nil && f.head.VersionID == x.want {
		f.result = tally.Hit
		return f, nil
	}
	f.name = versionName(x.object, x.want)
	if f.head = x.n.cachedHead(ctx, f.name); f.head != nil {
		f.result = tally.Hit
		return f, nil
	}
	return f, x.fill(ctx, f, httpcache.ForwardURIMiss)
}

// cachedHead reads a head from the cache; nil if there is none. One that an
// earlier run left on disk is suspect: what happened to it since then went by
// unheard, and no purge finds it, since the index knows heads of this run only.
func (n *Node) cachedHead(ctx context.Context, name string) *httpcache.Head {
	b, err := n.cfg.Cache.Get(ctx, cache.Key{Class: cache.Head, Name: name})
	if err != nil {
		return nil
	}
	h, err := httpcache.ParseHead(b)
	if err != nil {
		n.log.WarnContext(ctx, "head that cannot be read", "object", name, "err", err)
		return nil
	}
	if h.Run != n.run {
		of, _ := httpcache.ParseHeadKey(name)
		if n.earlier.covers(purge.Object{Bucket: of.Bucket, Key: of.Key}, h.SurrogateKeys()) {
			n.dropHead(ctx, name)
			n.reasons.lost(name, purged, n.now())
			return nil
		}
		h.Suspect = true
	}
	return h
}

// fill asks upstream for the head, together with everybody else who wants it.
func (x *exchange) fill(ctx context.Context, f *found, why httpcache.Forward) error {
	job := x.job(f)
	terms := fetch.Terms{AsOf: x.need, Need: x.need}
	if applied := x.n.lease.seq(); applied.Compare(terms.AsOf) > 0 {
		terms.AsOf = applied
	}
	// Without a lease, what a running fill brings may be older than what was
	// acknowledged before this request came.
	terms.Fresh = x.want == "" && !x.n.lease.held()
	// Where the cache alone may answer, the fill before may have ended since
	// this request looked.
	job.again = f.head == nil && x.trusted()
	asked := miss{at: x.start, why: x.whyMissing(f)}
	began := x.n.now()
	got, led, err := x.n.heads.Do(ctx, job.key(), terms, job.run)
	if err == nil && got.held {
		f.head, f.result = got.head, tally.Hit
		return nil
	}
	asked.led = led
	x.noteMiss(ctx, f.name, asked, got, err)
	x.took += x.n.now().Sub(began)
	f.result, f.forward, f.led = tally.Miss, why, led
	x.sample.Result = tally.Miss
	if err != nil {
		return err
	}
	f.head, f.filled = got.head, got
	if got.revalidated {
		f.result = tally.Revalidated
	}
	x.deepen(got.depth)
	return nil
}

// whyMissing tells why the cache alone cannot answer from f.
func (x *exchange) whyMissing(f *found) reason {
	if f.head == nil {
		return x.n.reasons.absent(f.name)
	}
	return x.n.whyAsked(f.head)
}

// whyAsked tells why a head that is held could not be served without asking.
func (n *Node) whyAsked(h *httpcache.Head) reason {
	switch {
	case h.Suspect && h.Run == n.run:
		return purged
	case h.Suspect: // from before the node was started
		return noLease
	case h.NoCache: // however fresh
		return revalidated
	case h.TTL(n.now()) <= 0, h.AgeUnknown(n.now()):
		return expired
	}
	return noLease
}

// noteMiss remembers that the head had to be asked for. Of clients that did not
// wait for the answer nothing is known.
func (x *exchange) noteMiss(ctx context.Context, name string, m miss, got *filled, err error) {
	switch {
	case ctx.Err() != nil:
		return
	case err != nil:
		m.result = askedFailed
	case got.revalidated:
		m.result = askedRevalidated
	case !got.head.Storable:
		m.why = bypassed
	}
	x.n.reasons.missed(name, m)
}

// refreshBehind asks upstream while the request is answered with what there is.
func (x *exchange) refreshBehind(ctx context.Context, f *found) {
	job := x.job(f)
	job.index = 0
	x.n.heads.Go(ctx, job.key(), fetch.Terms{AsOf: x.n.lease.seq()}, job.run)
}

func (x *exchange) deepen(d tally.Depth) { x.sample.Depth = max(x.sample.Depth, d) }

// unavailable reports whether err means that nobody upstream could answer, for
// which a stale answer may stand in.
func unavailable(err error) bool {
	var api *apiError
	return !errors.As(err, &api) && (errors.Is(err, fetch.ErrUnavailable) || errors.Is(err, fetch.ErrBadAnswer) || fetch.IsTimeout(err))
}

// job is a fill of a head.
type job struct {
	n       *Node
	object  purge.Object
	name    string
	want    string          // a version, or ""
	version string          // versionId of the client
	old     *httpcache.Head // to be confirmed, or nil
	bare    bool            // HEAD: no body is wanted
	again   bool            // look into the cache once more
	index   int64           // of the slice that comes along
	via     bool            // a peer is asked first
	ahead   earliness       // no client waits
	rules   httpcache.Rules
}

// key is that under which the fill can be joined.
func (j *job) key() string { return fillKey(j.name, j.via) }

// owner is the name by which the peer that holds the head is found.
func (j *job) owner() cache.Key { return peerKey(j.object, "", 0) }

func (x *exchange) job(f *found) *job {
	j := &job{
		n: x.n, object: x.object, name: f.name, want: x.want, version: x.versionID, old: f.head,
		bare: x.r.Method == http.MethodHead, rules: rulesOf(x.bucket.Cache, x.n.cfg.Tier),
	}
	j.via = x.n.viaPeer(x.fromPeer, j.owner())
	if !j.bare {
		size := int64(-1)
		if f.head != nil {
			size = f.head.Size
		}
		j.index = firstSlice(x.r, size, cache.SliceSize)
	}
	return j
}
