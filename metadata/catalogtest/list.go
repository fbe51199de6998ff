package catalogtest

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"meridian/metadata"
)

// List checks the listings of metadata.Objects.
func List(t *testing.T, open func(t *testing.T) metadata.Store) {
	for name, test := range map[string]func(*testing.T, metadata.Store){
		"ObjectsAgainstModel":  func(t *testing.T, s metadata.Store) { testListAgainstModel(t, s, false) },
		"VersionsAgainstModel": func(t *testing.T, s metadata.Store) { testListAgainstModel(t, s, true) },
		"ManyUnderAPrefix":     testManyUnderAPrefix,
		"Limits":               testListLimits,
		"DeletingWhatIsListed": testDeletingWhatIsListed,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, open(t))
		})
	}
}

// testListAgainstModel compares listings of random keys, with all sorts of
// prefixes and delimiters, in pages of all sizes from every place, with plain
// lists of what they must show.
func testListAgainstModel(t *testing.T, s metadata.Store, versions bool) {
	letters := []string{"a", "b", "/", "/", "-", "é", "\u007f", "\ud7ff", "\ue000", "\U0010FFFF", "\u0001", "%"}
	delimiters := []string{"", "/", "//", "a", "ab", "-/b", "é", "\U0010FFFF", "a\U0010FFFF", "\ud7ff", "zz"}
	for seed := range uint64(4) {
		random := rand.New(rand.NewPCG(seed, 2))
		versioning := ""
		if versions {
			versioning = metadata.VersioningEnabled
		}
		b := newBucket(t, s, versioning)
		m := newModel(versioning)
		var keys []string
		for range 50 {
			var word strings.Builder
			for range 1 + random.IntN(5) {
				word.WriteString(letters[random.IntN(len(letters))])
			}
			key := word.String()
			if len(keys) > 0 && random.IntN(3) == 0 {
				key = keys[random.IntN(len(keys))]
			}
			keys = append(keys, key)
			fillKey(t, s, m, b.Name, key, versions, random)
		}
		for _, delimiter := range delimiters {
			for _, prefix := range []string{"", "a", keys[random.IntN(len(keys))], keys[0][:1+random.IntN(len(keys[0]))], "\U0010FFFF"} {
				prefix = strings.ToValidUTF8(prefix, "")
				q := metadata.ListQuery{Bucket: b.Name, Prefix: prefix, Delimiter: delimiter, Versions: versions}
				checkListing(t, s, m, q, fmt.Sprintf("seed %d, prefix %q, delimiter %q", seed, prefix, delimiter))
				if t.Failed() {
					return
				}
			}
		}
	}
}

// fillKey gives a key one version, or several with markers among them.
func fillKey(t *testing.T, s metadata.Store, m *model, bucket, key string, versions bool, random *rand.Rand) {
	t.Helper()
	n := 1
	if versions {
		n += random.IntN(3)
	}
	for range n {
		if versions && random.IntN(3) == 0 {
			marker, err := s.Delete(t.Context(), metadata.Ref{Bucket: bucket, Key: key}, metadata.Cond{})
			if err != nil {
				t.Fatalf("Delete %q: %v", key, err)
			}
			m.add(marker)
			continue
		}
		v := newVersion(bucket, key)
		if _, err := s.Commit(t.Context(), v, metadata.Cond{}); err != nil {
			t.Fatalf("Commit %q: %v", key, err)
		}
		m.add(v)
	}
}

// checkListing reads a listing in pages of several sizes, and from behind every
// entry of it.
func checkListing(t *testing.T, s metadata.Store, m *model, q metadata.ListQuery, what string) {
	t.Helper()
	want := m.list(q)
	for _, size := range []int{1, 2, 3, 7, 1000} {
		q.Limit, q.After, q.AfterVersion = size, "", ""
		var got []item
		for {
			page, err := s.List(t.Context(), q)
			if err != nil {
				t.Fatalf("%s, pages of %d: %v", what, size, err)
			}
			items := itemsOf(page)
			if len(items) > size || page.Truncated && len(items) < size {
				t.Fatalf("%s: a page of %d entries where %d were asked for", what, len(items), size)
			}
			got = append(got, items...)
			if !page.Truncated {
				break
			}
			if len(got) > len(want) {
				break
			}
			q.After, q.AfterVersion = page.Next, page.NextVersion
		}
		wantEqual(t, fmt.Sprintf("%s, pages of %d", what, size), got, want)
	}
	for n, place := range want {
		q.Limit = 3
		q.After, q.AfterVersion = place.place()
		page, err := s.List(t.Context(), q)
		if err != nil {
			t.Fatalf("%s, after %+v: %v", what, place, err)
		}
		rest := want[n+1:]
		wantEqual(t, fmt.Sprintf("%s, after %+v", what, place), itemsOf(page), rest[:min(3, len(rest))])
		if page.Truncated != (len(rest) > 3) {
			t.Errorf("%s, after %+v: truncated %v", what, place, page.Truncated)
		}
	}
}

// testManyUnderAPrefix has more keys under common prefixes than any page reads
// over, so that the listing has to jump.
func testManyUnderAPrefix(t *testing.T, s metadata.Store) {
	for _, versions := range []bool{false, true} {
		versioning := ""
		if versions {
			versioning = metadata.VersioningEnabled
		}
		b := newBucket(t, s, versioning)
		m := newModel(versioning)
		var all []metadata.Version
		for i := range 700 {
			v := newVersion(b.Name, fmt.Sprintf("photos/%02d/%03d.jpg", i%3, i))
			m.add(v)
			all = append(all, v)
		}
		for _, key := range []string{"a", "photos", "photos/00", "photos/01/", "photos/2", "z", "z"} {
			v := newVersion(b.Name, key)
			m.add(v)
			all = append(all, v)
		}
		together(t, 8, func(worker int) error {
			for i := worker; i < len(all)-1; i += 8 {
				if _, err := s.Commit(t.Context(), all[i], metadata.Cond{}); err != nil {
					return err
				}
			}
			return nil
		})
		if _, err := s.Commit(t.Context(), all[len(all)-1], metadata.Cond{}); err != nil {
			t.Fatalf("Commit: %v", err)
		}
		for _, prefix := range []string{"", "photos", "photos/", "photos/0", "q"} {
			q := metadata.ListQuery{Bucket: b.Name, Prefix: prefix, Delimiter: "/", Versions: versions}
			checkListing(t, s, m, q, fmt.Sprintf("versions %v, prefix %q", versions, prefix))
		}
	}
}

func testListLimits(t *testing.T, s metadata.Store) {
	b := newBucket(t, s, "")
	put(t, s, b.Name, "key")
	page, err := s.List(t.Context(), metadata.ListQuery{Bucket: b.Name})
	if err != nil || len(page.Versions) > 0 || page.Truncated || page.Next != "" {
		t.Errorf("a page of nothing = %+v, %v", page, err)
	}
	if page, err = s.List(t.Context(), metadata.ListQuery{Bucket: b.Name, Limit: 1}); err != nil || page.Truncated || len(page.Versions) != 1 {
		t.Errorf("a page that is full = %+v, %v", page, err)
	}
	for _, q := range []metadata.ListQuery{{Limit: -1}, {Limit: 1001}, {Limit: 1, Prefix: "\x00"}, {Limit: 1, After: "\xff"}, {Limit: 1, Delimiter: "\xff"}} {
		q.Bucket = b.Name
		_, err := s.List(t.Context(), q)
		wantError(t, fmt.Sprintf("query %+v", q), err, metadata.ErrInvalid)
	}
	for after, want := range map[string]int{"": 1, "kex": 1, "key": 0, "kez": 0, "a/": 1, "z/": 0} {
		page, err := s.List(t.Context(), metadata.ListQuery{Bucket: b.Name, After: after, Delimiter: "/", Prefix: "k", Limit: 5})
		if err != nil || len(page.Versions) != want {
			t.Errorf("after %q there are %d, %v; want %d", after, len(page.Versions), err, want)
		}
	}
}

// testDeletingWhatIsListed empties a bucket as tools do: page by page, each
// deleted before the next is asked for.
func testDeletingWhatIsListed(t *testing.T, s metadata.Store) {
	b := newBucket(t, s, metadata.VersioningEnabled)
	m := newModel(metadata.VersioningEnabled)
	random := rand.New(rand.NewPCG(5, 5))
	for i := range 12 {
		for range 4 {
			fillKey(t, s, m, b.Name, fmt.Sprint("key-", i%5), true, random)
		}
	}
	want := m.list(metadata.ListQuery{Versions: true})
	var got []item
	q := metadata.ListQuery{Bucket: b.Name, Versions: true, Limit: 3}
	for {
		page, err := s.List(t.Context(), q)
		if err != nil {
			t.Fatalf("List: %v", err)
		}
		for _, v := range page.Versions {
			if _, err := s.Delete(t.Context(), metadata.Ref{Bucket: b.Name, Key: v.Key, VersionID: v.VersionID()}, metadata.Cond{}); err != nil {
				t.Fatalf("Delete: %v", err)
			}
			v.Latest = false
			got = append(got, itemOf(v))
		}
		if !page.Truncated {
			break
		}
		q.After, q.AfterVersion = page.Next, page.NextVersion
	}
	for i := range want {
		want[i].Latest = false // the order of deletion decides that
	}
	wantEqual(t, "what was listed and deleted", got, want)
	if left := allVersions(t, s, b.Name); len(left) > 0 {
		t.Errorf("%d versions remain", len(left))
	}
	if !slices.IsSortedFunc(got, func(a, b item) int { return strings.Compare(a.Key, b.Key) }) {
		t.Error("pages are out of order")
	}
}
