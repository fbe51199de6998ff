package disk

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/minio/crc64nvme"

	"meridian/origin/blob"
)

// Open reads a range of a blob; see blob.Store. Of a blob of one piece the
// reader is an *os.File at the right offset where the range goes to the end, and
// an io.LimitedReader over one otherwise, which net/http sends by sendfile.
func (s *Store) Open(ctx context.Context, key string, off, n int64) (io.ReadCloser, error) {
	place, err := s.place(key)
	if err != nil {
		return nil, err
	}
	f, err := os.Open(place)
	if err != nil {
		return nil, fmt.Errorf("open blob: %w", err)
	}
	st, err := f.Stat()
	if err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("open blob: %w", err)
	}
	if st.IsDir() {
		_ = f.Close()
		m, err := readManifest(place)
		if err != nil {
			return nil, err
		}
		return openParts(place, m, off, n), nil
	}
	return section(f, off, n, st.Size())
}

// section is the range of one file.
func section(f *os.File, off, n, size int64) (io.ReadCloser, error) {
	if off > 0 {
		if _, err := f.Seek(min(off, size), io.SeekStart); err != nil {
			_ = f.Close()
			return nil, err
		}
	}
	if n < 0 || off+n >= size {
		return f, nil
	}
	return &limited{io.LimitedReader{R: f, N: n}, f}, nil
}

// limited reads the first bytes of a file. WriteTo hands an io.LimitedReader on,
// the one wrapper of a file that net.TCPConn knows how to send by sendfile.
type limited struct {
	io.LimitedReader
	file *os.File
}

func (l *limited) Close() error { return l.file.Close() }

// WriteTo sends what is left.
func (l *limited) WriteTo(w io.Writer) (int64, error) { return io.Copy(w, &l.LimitedReader) }

// parts reads through the files of a multipart blob, one open at a time.
type parts struct {
	dir     string
	left    []manifestPart
	skip    int64 // of the next part
	n       int64 // still to read, -1 for all
	current io.ReadCloser
	size    int64 // of current, still to read
}

func openParts(dir string, m *manifest, off, n int64) io.ReadCloser {
	p := &parts{dir: dir, left: m.Parts, n: n}
	for len(p.left) > 0 && off >= p.left[0].Size {
		off -= p.left[0].Size
		p.left = p.left[1:]
	}
	p.skip = off
	return p
}

// next opens the next file; io.EOF after the last.
func (p *parts) next() error {
	if p.current != nil {
		if p.size > 0 {
			return fmt.Errorf("%w: a part file ended %d bytes early", io.ErrUnexpectedEOF, p.size)
		}
		_ = p.current.Close()
		p.current = nil
	}
	if p.n == 0 || len(p.left) == 0 {
		return io.EOF
	}
	part := p.left[0]
	f, err := os.Open(filepath.Join(p.dir, part.File))
	if err != nil {
		return fmt.Errorf("open part: %w", err)
	}
	p.size = part.Size - p.skip
	if p.n >= 0 {
		p.size = min(p.size, p.n)
		p.n -= p.size
	}
	if p.current, err = section(f, p.skip, p.size, part.Size); err != nil {
		return fmt.Errorf("open part: %w", err)
	}
	p.left, p.skip = p.left[1:], 0
	return nil
}

func (p *parts) Read(b []byte) (int, error) {
	for {
		if p.current == nil {
			if err := p.next(); err != nil {
				return 0, err
			}
		}
		n, err := p.current.Read(b)
		p.size -= int64(n)
		if n > 0 || err != nil && !errors.Is(err, io.EOF) {
			return n, err
		}
		if err != nil {
			if err := p.next(); err != nil {
				return 0, err
			}
		}
	}
}

// WriteTo sends file after file, so that each can go by sendfile.
func (p *parts) WriteTo(w io.Writer) (total int64, err error) {
	for {
		if p.current == nil || p.size == 0 {
			if err := p.next(); err != nil {
				if errors.Is(err, io.EOF) {
					err = nil
				}
				return total, err
			}
		}
		n, err := io.Copy(w, p.current)
		total += n
		if p.size -= n; err != nil {
			return total, err
		}
		if p.size > 0 {
			return total, fmt.Errorf("%w: a part file ended %d bytes early", io.ErrUnexpectedEOF, p.size)
		}
	}
}

func (p *parts) Close() error {
	if p.current == nil {
		return nil
	}
	return p.current.Close()
}

// ErrCorrupt says that a blob's bytes are not those that were written.
var ErrCorrupt = errors.New("blob is corrupt")

// Verify reads a blob and compares it with the checksum kept beside it; a blob
// without one passes.
func (s *Store) Verify(ctx context.Context, key string) error {
	info, err := s.Stat(ctx, key)
	if err != nil || info.CRC64 == 0 {
		return err
	}
	r, err := s.Open(ctx, key, 0, -1)
	if err != nil {
		return err
	}
	defer r.Close()
	hash := crc64nvme.New()
	n, err := io.Copy(hash, r)
	if err != nil {
		return fmt.Errorf("verify blob %s: %w", key, err)
	}
	if n != info.Size || hash.Sum64() != info.CRC64 {
		return fmt.Errorf("%w: %s", ErrCorrupt, key)
	}
	return nil
}

var _ blob.Verifier = (*Store)(nil)
