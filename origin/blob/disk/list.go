package disk

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"slices"
	"strings"

	"meridian/origin/blob"
)

// namesInMemory is how many names a listing sorts at once, about 15 MB of them.
const namesInMemory = 200_000

// List yields the blobs after a key in byte order. The shards of a bucket cut
// across that order, so its names are sorted: in memory, or, where they are
// many, in runs on disk that are merged.
func (s *Store) List(ctx context.Context, after string) iter.Seq2[blob.Info, error] {
	return func(yield func(blob.Info, error) bool) {
		buckets, err := os.ReadDir(s.path("blobs"))
		if err != nil {
			yield(blob.Info{}, fmt.Errorf("list blobs: %w", err))
			return
		}
		// By the key's order: "a/" comes after "a-b/", since '-' < '/'.
		slices.SortFunc(buckets, func(a, b fs.DirEntry) int {
			return strings.Compare(a.Name()+"/", b.Name()+"/")
		})
		for _, b := range buckets {
			prefix := b.Name() + "/"
			if b.Name()+"0" <= after { // '0' follows '/': all of the bucket is behind us
				continue
			}
			floor, _ := strings.CutPrefix(after, prefix)
			if floor == after {
				floor = ""
			}
			for name, err := range s.names(ctx, b.Name(), floor, namesInMemory) {
				if err != nil {
					yield(blob.Info{}, fmt.Errorf("list blobs: %w", err))
					return
				}
				info, err := s.listed(prefix + name)
				if errors.Is(err, fs.ErrNotExist) {
					continue // deleted since
				}
				if !yield(info, err) || err != nil {
					return
				}
			}
		}
	}
}

// names yields the names of a bucket's blobs after floor, in order; at most
// limit of them are in memory.
func (s *Store) names(ctx context.Context, bucket, floor string, limit int) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		var held []string
		var runs merge
		defer func() { runs.close() }()
		for name, err := range s.unsorted(ctx, bucket) {
			if err == nil && (name <= floor || !plain(name)) {
				continue // listed before, or not ours
			}
			if held = append(held, name); err == nil && len(held) == limit {
				slices.Sort(held)
				err = runs.add(s.temp("list"), held)
				held = held[:0]
			}
			if err != nil {
				yield("", err)
				return
			}
		}
		slices.Sort(held)
		for name, err := range runs.with(held) {
			if !yield(name, err) || err != nil {
				return
			}
		}
	}
}

// unsorted yields the names of a bucket's blobs as the shards give them.
func (s *Store) unsorted(ctx context.Context, bucket string) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		shards, err := os.ReadDir(s.path("blobs", bucket))
		if err != nil {
			yield("", err)
			return
		}
		for _, shard := range shards {
			if err := ctx.Err(); err != nil {
				yield("", err)
				return
			}
			if !readNames(s.path("blobs", bucket, shard.Name()), yield) {
				return
			}
		}
	}
}

// readNames yields the names in a directory; false if yield has had enough.
func readNames(dir string, yield func(string, error) bool) bool {
	const batch = 4096
	d, err := os.Open(dir)
	if err != nil {
		return yield("", err)
	}
	defer d.Close()
	for {
		names, err := d.Readdirnames(batch)
		for _, name := range names {
			if !yield(name, nil) {
				return false
			}
		}
		if errors.Is(err, io.EOF) {
			return true
		}
		if err != nil {
			return yield("", err)
		}
	}
}

// listed tells of a blob what a listing tells.
func (s *Store) listed(key string) (blob.Info, error) {
	place, err := s.place(key)
	if err != nil {
		return blob.Info{}, err
	}
	st, err := os.Stat(place)
	if err != nil {
		return blob.Info{}, err
	}
	info := blob.Info{Key: key, Size: st.Size(), Modified: st.ModTime()}
	if st.IsDir() {
		m, err := readManifest(place)
		if errors.Is(err, blob.ErrCorrupt) {
			s.log.Error("blob has no readable manifest", "blob", key, "err", err)
			return info, nil // the others are to be listed still
		}
		if err != nil {
			return blob.Info{}, err
		}
		info.Size = m.size()
	}
	return info, nil
}
