package disk

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
)

// Open reads a range of a blob; see blob.Store. The reader is an *os.File at the
// right offset, or implements io.WriterTo by handing io.LimitedReaders over such
// files to io.Copy. Either way io.Copy to a net/http response, or to a
// *net.TCPConn, goes by sendfile, provided that whatever wraps the response
// implements io.ReaderFrom.
func (s *Store) Open(ctx context.Context, key string, off, n int64) (io.ReadCloser, error) {
	if off < 0 {
		return nil, fmt.Errorf("open blob %s at %d: %w", key, off, fs.ErrInvalid)
	}
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
		m, err := s.manifest(place)
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
	if n < 0 || n >= size-off {
		return f, nil
	}
	return limit(f, n), nil
}

func limit(f *os.File, n int64) *limited { return &limited{io.LimitedReader{R: f, N: n}, f} }

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
	skip    int64    // of the next part
	n       int64    // still to be opened, -1 for all
	current *limited // nil before the first
}

func openParts(dir string, m *manifest, off, n int64) io.ReadCloser {
	first, _ := slices.BinarySearch(m.ends, off+1) // the first part that ends behind off
	p := &parts{dir: dir, left: m.Parts[first:], n: n, skip: off}
	if first > 0 {
		p.skip -= m.ends[first-1]
	}
	return p
}

// next opens the next file; io.EOF after the last.
func (p *parts) next() error {
	if p.current != nil {
		if p.current.N > 0 {
			return fmt.Errorf("%w: a part file ended %d bytes early", io.ErrUnexpectedEOF, p.current.N)
		}
		_ = p.current.Close()
		p.current = nil
	}
	if p.n == 0 || len(p.left) == 0 {
		return io.EOF
	}
	part := p.left[0]
	size := part.Size - p.skip
	if p.n >= 0 {
		size = min(size, p.n)
		p.n -= size
	}
	f, err := os.Open(filepath.Join(p.dir, part.File))
	if err != nil {
		return fmt.Errorf("open part: %w", err)
	}
	if p.skip > 0 {
		if _, err := f.Seek(p.skip, io.SeekStart); err != nil {
			_ = f.Close()
			return fmt.Errorf("open part: %w", err)
		}
	}
	p.current, p.left, p.skip = limit(f, size), p.left[1:], 0
	return nil
}

func (p *parts) Read(b []byte) (int, error) {
	for {
		if p.current != nil {
			n, err := p.current.Read(b)
			if n > 0 || len(b) == 0 || err != nil && !errors.Is(err, io.EOF) {
				return n, err
			}
		}
		if err := p.next(); err != nil {
			return 0, err
		}
	}
}

// WriteTo sends file after file, so that each can go by sendfile.
func (p *parts) WriteTo(w io.Writer) (total int64, err error) {
	for {
		if p.current != nil {
			n, err := p.current.WriteTo(w)
			if total += n; err != nil {
				return total, err
			}
		}
		if err := p.next(); errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
			return total, nil
		} else if err != nil {
			return total, err
		}
	}
}

func (p *parts) Close() error {
	if p.current == nil {
		return nil
	}
	return p.current.Close()
}
