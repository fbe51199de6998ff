package disk

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io/fs"
	"os"
	"path/filepath"
)

// The file of hits has a magic, then for each value that was asked for 8 bytes
// of its ID and a byte of how often, then a CRC-32C of all that. Losing it costs
// some wrong evictions.
const (
	hitsName  = "meridian-cache.hits"
	hitsMagic = "MRDNHIT1"
	hitSize   = 9
)

// saveHits writes how often values were asked for. It runs once at a time.
func (t *Tier) saveHits() {
	now := t.hits()
	if now == t.savedHits {
		return // what is held may have changed, but not what is known of it
	}
	t.savedHits = now
	b := []byte(hitsMagic)
	for i := range t.shards {
		s := &t.shards[i]
		s.mu.RLock()
		for _, e := range s.entries {
			if heat := t.classes[e.class].policy.Heat(&e.Entry); heat > 0 {
				b = append(binary.BigEndian.AppendUint64(b, e.Hash), heat)
			}
		}
		s.mu.RUnlock()
	}
	b = binary.BigEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
	path := filepath.Join(t.cfg.Dir, hitsName)
	draft := path + ".new"
	err := os.WriteFile(draft, b, 0o600)
	if err == nil {
		err = os.Rename(draft, path)
	}
	if err != nil {
		t.complain("hits cannot be saved", path, err)
	}
}

// loadHits returns what saveHits wrote last, by entry.Hash.
func (t *Tier) loadHits() map[uint64]uint8 {
	path := filepath.Join(t.cfg.Dir, hitsName)
	b, err := os.ReadFile(path)
	if err == nil {
		var hits map[uint64]uint8
		if hits, err = parseHits(b); err == nil {
			return hits
		}
	}
	if !errors.Is(err, fs.ErrNotExist) {
		t.complain("hits cannot be read", path, err)
	}
	return nil
}

func parseHits(b []byte) (map[uint64]uint8, error) {
	body := len(b) - 4
	if body < len(hitsMagic) || string(b[:len(hitsMagic)]) != hitsMagic || (body-len(hitsMagic))%hitSize != 0 ||
		binary.BigEndian.Uint32(b[body:]) != crc32.Checksum(b[:body], castagnoli) {
		return nil, errDamaged
	}
	b = b[len(hitsMagic):body]
	hits := make(map[uint64]uint8, len(b)/hitSize)
	for ; len(b) > 0; b = b[hitSize:] {
		hits[binary.BigEndian.Uint64(b)] = b[8]
	}
	return hits, nil
}
