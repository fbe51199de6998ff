package disk

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"os"
	"slices"
	"strings"

	"meridian/origin/blob"
)

// List yields the blobs after a key in byte order. The shards of a bucket cut
// across that order, so their names are merged; memory holds the names of one
// bucket at most.
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
			if b.Name()+"0" <= after { // '0' follows '/': all of the bucket is behind us
				continue
			}
			names, err := s.names(ctx, b.Name())
			if err != nil {
				yield(blob.Info{}, err)
				return
			}
			for _, name := range names {
				key := b.Name() + "/" + name
				if key <= after {
					continue
				}
				info, err := s.listed(key)
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

// names are those of a bucket's blobs, sorted.
func (s *Store) names(ctx context.Context, bucket string) ([]string, error) {
	shards, err := os.ReadDir(s.path("blobs", bucket))
	if err != nil {
		return nil, fmt.Errorf("list blobs: %w", err)
	}
	var names []string
	for _, shard := range shards {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		entries, err := os.ReadDir(s.path("blobs", bucket, shard.Name()))
		if err != nil {
			return nil, fmt.Errorf("list blobs: %w", err)
		}
		for _, e := range entries {
			names = append(names, e.Name())
		}
	}
	slices.Sort(names)
	return names, nil
}

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
		if err != nil {
			return blob.Info{}, err
		}
		info.Size = m.size()
	}
	return info, nil
}
