package disk

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"meridian/internal/checksum"
	"meridian/origin/blob"
)

const (
	manifestName = "manifest.json"
	// metaName is the file with the metadata of an upload in progress, which
	// goes into the manifest.
	metaName = "meta.json"
)

// manifest lists the part files of a multipart blob in their order.
type manifest struct {
	Format int            `json:"format"` // 1
	Upload string         `json:"upload"` // that it came from
	Parts  []manifestPart `json:"parts"`
	Meta   blob.Meta      `json:"meta,omitempty"`

	ends []int64 // where in the blob each part ends
}

type manifestPart struct {
	File  string `json:"file"`
	Size  int64  `json:"size"`
	CRC64 uint64 `json:"crc64,string"`
}

func (m *manifest) addUp() {
	m.ends = make([]int64, len(m.Parts))
	var end int64
	for i, p := range m.Parts {
		end += p.Size
		m.ends[i] = end
	}
}

// crc64 is the checksum of the blob.
func (m *manifest) crc64() (crc uint64) {
	for _, p := range m.Parts {
		crc = checksum.CombineCRC64(crc, p.CRC64, p.Size)
	}
	return crc
}

func (m *manifest) size() int64 {
	if len(m.ends) == 0 {
		return 0
	}
	return m.ends[len(m.ends)-1]
}

// consists says whether m was made of exactly these parts.
func (m *manifest) consists(upload string, parts []blob.Part) bool {
	if m.Upload != upload || len(m.Parts) != len(parts) {
		return false
	}
	for i, p := range parts {
		if m.Parts[i].File != p.ID {
			return false
		}
	}
	return true
}

func readManifest(dir string) (*manifest, error) {
	text, err := os.ReadFile(filepath.Join(dir, manifestName))
	if err != nil {
		return nil, fmt.Errorf("manifest of blob: %w", err)
	}
	var m manifest
	if err := json.Unmarshal(text, &m); err != nil {
		return nil, fmt.Errorf("%w: manifest of %s: %w", blob.ErrCorrupt, dir, err)
	}
	if m.Format != 1 {
		return nil, fmt.Errorf("manifest of %s has format %d; this version of Meridian knows 1", dir, m.Format)
	}
	for _, p := range m.Parts {
		if !plain(p.File) || p.Size < 0 {
			return nil, fmt.Errorf("%w: manifest of %s names part %q", blob.ErrCorrupt, dir, p.File)
		}
	}
	m.addUp()
	return &m, nil
}

// readUploadMeta is nil where an upload was begun without metadata.
func readUploadMeta(dir string) (m blob.Meta, err error) {
	text, err := os.ReadFile(filepath.Join(dir, metaName))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err == nil {
		err = json.Unmarshal(text, &m)
	}
	if err != nil {
		return nil, fmt.Errorf("metadata of upload: %w", err)
	}
	return m, nil
}

// writeJSON makes a synced file of v, replacing one of that name.
func (s *Store) writeJSON(path string, v any) error {
	text, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return s.writeFile(path, text)
}

// writeFile makes a synced file, replacing one of that name.
func (s *Store) writeFile(path string, text []byte) error {
	temp := s.temp("json")
	f, err := os.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = os.Rename(temp, path)
	}
	if err != nil {
		if e := os.Remove(temp); e != nil && !errors.Is(e, fs.ErrNotExist) {
			err = errors.Join(err, e)
		}
		return err
	}
	return s.syncs.do(filepath.Dir(path))
}
