package disk

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
)

// ErrLayout says that a directory was laid out by a version of Meridian that this
// one does not know.
var ErrLayout = errors.New("blob directory has an unknown layout")

// layout says in which of 1024 directories the blobs of a bucket lie. A store keeps
// the one that it was begun with.
type layout string

const (
	// byChance goes by the last two characters of a version ID, which are random.
	// It is that of stores from before there was a file that names the layout.
	byChance layout = "1"
	// byTime goes by the seventh and eighth characters of a version ID: each
	// directory is that of a second, every 17 minutes. Puts at the same time share
	// a directory, and so the sync of it.
	byTime layout = "2"
)

// shard is the directory of a blob.
func (l layout) shard(name string) string {
	const ulid = 26
	id, _, _ := strings.Cut(name, ".")
	switch {
	case len(id) < 2:
		return "__"
	case l == byTime && len(id) == ulid:
		return id[6:8]
	}
	return id[len(id)-2:]
}

// findLayout reads the layout of a store, or writes down that of a new one, and of
// one that has lost the file, as where only its blobs were restored.
func (s *Store) findLayout() error {
	const name = "layout"
	text, err := os.ReadFile(s.path(name))
	if err == nil {
		s.layout = layout(bytes.TrimSpace(text))
		if s.layout != byChance && s.layout != byTime {
			return fmt.Errorf("%w: %s is %q, and this version of Meridian knows %s and %s", ErrLayout, s.path(name), s.layout, byChance, byTime)
		}
		return nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("layout of blob directory: %w", err)
	}
	buckets, err := os.ReadDir(s.path("blobs"))
	if err != nil {
		return fmt.Errorf("layout of blob directory: %w", err)
	}
	if s.layout, err = s.layoutOf(buckets); err != nil {
		return fmt.Errorf("layout of blob directory: %w", err)
	}
	if s.layout == byChance {
		return nil
	}
	if err := s.writeFile(s.path(name), []byte(byTime+"\n")); err != nil {
		return fmt.Errorf("layout of blob directory: %w", err)
	}
	return nil
}

// layoutOf tells the layout of these buckets by the first blob that lies where only
// one of the two has it.
func (s *Store) layoutOf(buckets []fs.DirEntry) (layout, error) {
	for _, b := range buckets {
		if !b.IsDir() {
			continue // not ours
		}
		shards, err := os.ReadDir(s.path("blobs", b.Name()))
		if err != nil {
			return "", err
		}
		for _, shard := range shards {
			if !shard.IsDir() {
				continue
			}
			found := layout("")
			ok := readNames(s.path("blobs", b.Name(), shard.Name()), func(name string, e error) bool {
				chance, time := byChance.shard(name) == shard.Name(), byTime.shard(name) == shard.Name()
				switch err = e; {
				case chance && !time:
					found = byChance
				case time && !chance:
					found = byTime
				}
				return err == nil && found == ""
			})
			if !ok {
				return found, err
			}
		}
	}
	if len(buckets) > 0 {
		return byChance, nil
	}
	return byTime, nil
}
