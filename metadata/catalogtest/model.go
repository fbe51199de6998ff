package catalogtest

import (
	"maps"
	"slices"
	"strings"

	"meridian/metadata"
)

// model is the catalogue of one bucket in its plainest form: what the S3
// documentation says of versions, with no thought of cost.
type model struct {
	versioning string
	keys       map[string][]metadata.Version // oldest first
	dropped    []string                      // blobs, in order
}

func newModel(versioning string) *model {
	return &model{versioning: versioning, keys: map[string][]metadata.Version{}}
}

// add puts a version or marker on top of its key.
func (m *model) add(v metadata.Version) {
	v.Null = m.versioning != metadata.VersioningEnabled
	if v.Null {
		m.remove(v.Key, "null")
	}
	m.keys[v.Key] = append(m.keys[v.Key], v)
}

// remove takes a version away for good and reports whether it was there.
func (m *model) remove(key, id string) bool {
	list := m.keys[key]
	i := slices.IndexFunc(list, func(v metadata.Version) bool { return v.ID == id || v.Null && id == "null" })
	if i < 0 {
		return false
	}
	if !list[i].DeleteMarker {
		m.dropped = append(m.dropped, list[i].Blob)
	}
	m.keys[key] = slices.Delete(list, i, i+1)
	if len(m.keys[key]) == 0 {
		delete(m.keys, key)
	}
	return true
}

// current is the newest version of a key, if that is no marker.
func (m *model) current(key string) (metadata.Version, bool) {
	list := m.keys[key]
	if len(list) == 0 || list[len(list)-1].DeleteMarker {
		return metadata.Version{}, false
	}
	return list[len(list)-1], true
}

// item is a version, or a common prefix, as a listing shows it.
type item struct {
	Common, Key, ID      string
	Null, Marker, Latest bool
}

func itemOf(v metadata.Version) item {
	return item{Key: v.Key, ID: v.ID, Null: v.Null, Marker: v.DeleteMarker, Latest: v.Latest}
}

// place is what follows an item in a listing.
func (i item) place() (after, version string) {
	if i.Common != "" {
		return i.Common, ""
	}
	return i.Key, i.ID
}

// list is a whole listing, newest version first inside a key.
func (m *model) list(q metadata.ListQuery) []item {
	var items []item
	for _, key := range slices.Sorted(maps.Keys(m.keys)) {
		rest, ok := strings.CutPrefix(key, q.Prefix)
		if !ok {
			continue
		}
		var shown []item
		for n, v := range slices.Backward(m.keys[key]) {
			latest := n == len(m.keys[key])-1
			if q.Versions || latest && !v.DeleteMarker {
				v.Latest = latest
				shown = append(shown, itemOf(v))
			}
		}
		if q.Delimiter != "" && len(shown) > 0 {
			if head, _, folds := strings.Cut(rest, q.Delimiter); folds {
				shown = []item{{Common: q.Prefix + head + q.Delimiter}}
				if len(items) > 0 && items[len(items)-1] == shown[0] {
					continue
				}
			}
		}
		items = append(items, shown...)
	}
	return items
}

// itemsOf puts the two lists of a page together again.
func itemsOf(page metadata.ListPage) []item {
	var items []item
	for _, v := range page.Versions {
		items = append(items, itemOf(v))
	}
	for _, p := range page.Prefixes {
		items = append(items, item{Common: p})
	}
	slices.SortStableFunc(items, func(a, b item) int { return strings.Compare(a.Common+a.Key, b.Common+b.Key) })
	return items
}
