package edge

import (
	"cmp"
	"context"
	"net/http"
	"slices"
	"strings"

	"meridian/edge/httpcache"
	"meridian/edge/pull"
	"meridian/edge/purge"
	"meridian/internal/hop"
	"meridian/internal/sigv4"
	"meridian/metadata"
)

// maxVariants is how many answers for one URL are told, at most.
const maxVariants = 50

// whyMissing tells why the cache alone cannot answer from held.
func (v *visit) whyMissing(h held) reason {
	switch {
	case h.head == nil && h.varies:
		if gone := v.n.reasons.absent(h.name); gone != cold {
			return gone
		}
		return varied
	case h.head == nil:
		return v.n.reasons.absent(h.name)
	}
	why := v.n.whyAsked(h.head)
	if why == noLease && v.trusted() {
		return demanded
	}
	return why
}

// noteMiss remembers that the origin, or who stands before it, had to be asked:
// for the URL, and for the variant of it. f is nil where no answer was to be
// kept. Of clients that did not wait for the answer nothing is known.
func (v *visit) noteMiss(ctx context.Context, h held, f *flight, m miss, err error) {
	if m.at = v.exchange.start; m.why == noReason {
		m.why = v.whyMissing(h)
	}
	name := h.name
	switch {
	case ctx.Err() != nil:
		return
	case err != nil:
		m.result = askedFailed
	case f == nil:
	case f.held:
		return
	default:
		if len(f.head.Vary) > 0 {
			name = variantName(v.primary, httpcache.Variant(f.head.Vary, v.r.Header))
		}
		if f.revalidated {
			m.result = askedRevalidated
		} else if !f.head.Storable {
			m.why = bypassed
		}
	}
	v.n.reasons.missed(v.primary, m)
	if name != v.primary {
		v.n.reasons.missed(name, m)
	}
}

// explainTarget tells what the node holds of a target, path and query as in a
// request, of a pull zone.
func (n *Node) explainTarget(ctx context.Context, bucket, target string) (metadata.Holding, error) {
	var z *zone
	if view := n.view.Load(); view != nil {
		z = view.zones[bucket]
	}
	if z == nil {
		return metadata.Holding{}, errInvalid("This node knows of no such pull zone.")
	}
	path, query, _ := strings.Cut(target, "?")
	t, err := z.Target(path, query, nil)
	if err != nil || !strings.HasPrefix(path, "/") {
		return metadata.Holding{}, errInvalid("The target is a path of the pull zone, and a query if any.")
	}
	return n.explainZone(ctx, z, t), nil
}

func (n *Node) explainZone(ctx context.Context, z *zone, t pull.Target) metadata.Holding {
	e := metadata.Holding{Node: n.cfg.ID, Tier: n.cfg.Tier, Region: n.cfg.Region, Lease: n.lease.held()}
	o := purge.Object{Bucket: z.bucket.Name, Key: t.Key}
	known := n.index.Select(purge.Target{Objects: []purge.Object{o}})
	for _, primary := range z.primaries(t) {
		if m := n.reasons.last(primary.name, false); m != nil && (e.Miss == nil || m.At.After(e.Miss.At)) {
			e.Miss = m
		}
		told := map[string]bool{} // by version: an answer may have a second name, for its language
		tell := func(name string) {
			h := n.peek(ctx, name)
			if h == nil || h.Code == varyMark || told[h.VersionID] {
				return
			}
			told[h.VersionID] = true
			v := metadata.HeldVariant{Scheme: primary.scheme, Host: primary.host, Head: n.tellHead(h, e.Lease), Miss: n.reasons.last(name, false)}
			v.Fields = fieldsOf(strings.TrimPrefix(name, primary.name))
			if !h.Inline && h.Size > 0 {
				v.Slices, v.SliceMiss = n.heldSlices(o, h), n.reasons.last(sliceName(o, h.VersionID, allSlices), true)
			}
			e.Variants = append(e.Variants, v)
		}
		tell(primary.name)
		for _, name := range slices.Sorted(slices.Values(known)) { // "=" before "~"
			if strings.HasPrefix(name, variantName(primary.name, "")) {
				tell(name)
			}
		}
	}
	slices.SortStableFunc(e.Variants, func(a, b metadata.HeldVariant) int { return cmp.Compare(a.Head.Age, b.Head.Age) })
	e.Variants = e.Variants[:min(len(e.Variants), maxVariants)]
	if len(e.Variants) > 0 {
		newest := e.Variants[0]
		e.Head, e.Slices, e.SliceMiss = &newest.Head, newest.Slices, newest.SliceMiss
	}
	return e
}

// fieldsOf are the fields in the end of a variant's name, one a line. Values that
// are somebody's secret are left out.
func fieldsOf(variant string) (fields []string) {
	for line := range strings.SplitSeq(strings.Trim(variant, "\n"), "\n") {
		for _, secret := range [...]string{"Authorization=", "Cookie="} {
			if strings.HasPrefix(line, secret) {
				line = secret + "…"
			}
		}
		if line != "" {
			fields = append(fields, line)
		}
	}
	return fields
}

// admitDebugger looks at the credentials of who asks a public zone for the debug
// header: if they are ours they are not for the origin.
func (v *visit) admitDebugger() {
	if v.r.Header.Get(hop.Debug) != "1" || !sigv4.Present(v.r) {
		return
	}
	if c, err := v.n.identify(v.r); err == nil {
		v.caller, v.ours = c, true
	}
}

// debugZone is debug for a pull zone.
func (v *visit) debugZone(to http.Header) {
	if v.mayDebug() {
		to.Set(hop.Debug, debugLine(v.n.explainZone(v.r.Context(), v.zone, v.target)))
	}
}
