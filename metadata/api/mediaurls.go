package api

import (
	"cmp"
	"hash/fnv"
	"io"
	"slices"
	"strings"

	"meridian/metadata"
)

// addURLs says of every record where its bytes are, and where edges serve it.
func (c *call) addURLs(list []metadata.Media) error {
	if len(list) == 0 {
		return nil
	}
	nodes, err := c.store.ListNodes(c.ctx())
	if err != nil {
		return err
	}
	bases := blobBases(nodes)
	for i := range list {
		m := &list[i]
		m.BlobURLs, m.EdgeURLs = map[string]string{}, map[string]string{}
		if m.Regions == nil {
			m.Regions = []string{}
		}
		if m.Tags == nil {
			m.Tags = []string{}
		}
		for _, region := range m.Regions {
			if base, ok := bases[region]; ok && m.Blob != "" {
				m.BlobURLs[region] = base + m.Blob
			}
		}
		if m.Renditions == nil {
			m.Renditions = []metadata.Rendition{}
		}
		for _, n := range edgesFor(nodes, m.Bucket, m.Key) {
			if _, ok := m.EdgeURLs[n.Region]; !ok {
				m.EdgeURLs[n.Region] = objectURL(n.PublicURL, m.Bucket, m.Key)
			}
		}
	}
	return nil
}

// blobBases are the URLs of the blob stores by region: as a live origin says,
// else as one said before it fell silent, since the bytes stay where they are.
func blobBases(nodes []metadata.Node) map[string]string {
	bases := map[string]string{}
	for _, live := range []bool{true, false} {
		for _, n := range nodes {
			if n.Tier == metadata.TierOrigin && n.BlobBase != "" && n.Live == live && bases[n.Region] == "" {
				bases[n.Region] = strings.TrimSuffix(n.BlobBase, "/") + "/"
			}
		}
	}
	return bases
}

// edgesFor are the edges that are live and stay so, by region and, within one,
// sound ones first and in an order that is the object's own: the same object is
// sent to the same edge, so that it is cached once, and objects spread over all.
func edgesFor(nodes []metadata.Node, bucket, key string) []metadata.Node {
	var edges []metadata.Node
	for _, n := range nodes {
		if n.Tier == metadata.TierEdge && n.Live && n.State != metadata.NodeDraining && n.PublicURL != "" {
			edges = append(edges, n)
		}
	}
	stranded := strandedRegions(nodes)
	for i := range edges {
		if stranded[edges[i].Region] {
			edges[i].State = metadata.NodeImpaired
		}
	}
	slices.SortFunc(edges, func(a, b metadata.Node) int {
		return cmp.Or(cmp.Compare(a.Region, b.Region), cmp.Compare(a.State, b.State),
			cmp.Compare(weight(b.ID, bucket, key), weight(a.ID, bucket, key)), cmp.Compare(a.ID, b.ID))
	})
	return edges
}

// strandedRegions are those whose regional caches are all silent: what their
// edges do not hold has to come from another region's.
func strandedRegions(nodes []metadata.Node) map[string]bool {
	stranded := map[string]bool{}
	for _, n := range nodes {
		if n.Tier == metadata.TierRegional {
			was, known := stranded[n.Region]
			stranded[n.Region] = (was || !known) && !n.Live
		}
	}
	return stranded
}

// weight is a rendezvous hash.
func weight(node, bucket, key string) uint64 {
	h := fnv.New64a()
	for _, s := range []string{node, "\x00", bucket, "/", key} {
		_, _ = io.WriteString(h, s) // a hash takes everything
	}
	// FNV alone mixes its high bits badly.
	x := h.Sum64()
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

func objectURL(base, bucket, key string) string {
	return strings.TrimSuffix(base, "/") + "/" + bucket + "/" + escapeKey(key)
}

// escapeKey writes a key as a path, with everything escaped that some client or
// server would read otherwise, such as "+".
func escapeKey(key string) string {
	const hex = "0123456789ABCDEF"
	var b strings.Builder
	for i := range len(key) {
		ch := key[i]
		switch {
		case ch >= 'a' && ch <= 'z', ch >= 'A' && ch <= 'Z', ch >= '0' && ch <= '9', strings.IndexByte("-._~/", ch) >= 0:
			b.WriteByte(ch)
		default:
			b.Write([]byte{'%', hex[ch>>4], hex[ch&15]})
		}
	}
	return b.String()
}
