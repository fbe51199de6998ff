package disk

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
)

// inMemory is the greatest range that is read at once when it is opened. Five
// system calls are saved that way, and a file less is open.
const inMemory = 32 << 10

// Open reads a range of a blob; see blob.Store. The reader implements io.WriterTo:
// a small range is in memory already, any other hands io.LimitedReaders over files
// to io.Copy. That goes by sendfile to a net/http response, or to a *net.TCPConn,
// provided that whatever wraps the response implements io.ReaderFrom.
func (s *Store) Open(ctx context.Context, key string, off, n int64) (io.ReadCloser, error) {
	if off < 0 {
		return nil, fmt.Errorf("open blob %s at %d: %w", key, off, fs.ErrInvalid)
	}
	place, err := s.place(key)
	if err != nil {
		return nil, err
	}
	fd, err := openFile(place)
	if err != nil {
		return nil, fmt.Errorf("open blob: %w", err)
	}
	if n >= 0 && n <= inMemory {
		r, err := s.readRange(fd, off, int(n))
		_ = syscall.Close(fd) // nothing was written through it
		if errors.Is(err, syscall.EISDIR) {
			return s.openParts(place, off, n)
		}
		if err != nil {
			return nil, fmt.Errorf("read blob: %w", &os.PathError{Op: "read", Path: place, Err: err})
		}
		return r, nil
	}
	f := os.NewFile(uintptr(fd), place)
	st, err := f.Stat()
	if err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("open blob: %w", err)
	}
	if st.IsDir() {
		_ = f.Close()
		return s.openParts(place, off, n)
	}
	return section(f, off, n, st.Size())
}

// openFile is os.Open without the attempt to have the runtime poll the file, which
// is four system calls.
func openFile(path string) (fd int, err error) {
	for {
		fd, err = syscall.Open(path, syscall.O_RDONLY|syscall.O_CLOEXEC, 0)
		if err == nil {
			return fd, nil
		}
		if !errors.Is(err, syscall.EINTR) {
			return 0, &os.PathError{Op: "open", Path: path, Err: err}
		}
	}
}

// memory is a range that was read into a buffer of the store.
type memory struct {
	bytes.Reader
	buf  *[]byte
	pool *sync.Pool
}

// Close gives the buffer back; nothing may be read any more.
func (m *memory) Close() error {
	if m.buf != nil {
		m.Reset(nil)
		m.pool.Put(m.buf)
		m.buf = nil
	}
	return nil
}

// readRange reads n bytes at off, or as many as there are.
func (s *Store) readRange(fd int, off int64, n int) (*memory, error) {
	buf := s.small.Get().(*[]byte)
	for got := 0; ; {
		m, err := syscall.Pread(fd, (*buf)[got:n], off+int64(got))
		if errors.Is(err, syscall.EINTR) {
			continue
		}
		if err != nil {
			s.small.Put(buf)
			return nil, err
		}
		if got += m; m == 0 || got == n {
			r := &memory{buf: buf, pool: &s.small}
			r.Reset((*buf)[:got])
			return r, nil
		}
	}
}

// section is the range of one file.
func section(f *os.File, off, n, size int64) (io.ReadCloser, error) {
	if off > 0 {
		if _, err := f.Seek(min(off, size), io.SeekStart); err != nil {
			_ = f.Close()
			return nil, err
		}
	}
	if rest := max(size-off, 0); n < 0 || n > rest {
		n = rest
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

func (s *Store) openParts(dir string, off, n int64) (io.ReadCloser, error) {
	m, err := s.manifest(dir)
	if err != nil {
		return nil, err
	}
	first, _ := slices.BinarySearch(m.ends, off+1) // the first part that ends behind off
	p := &parts{dir: dir, left: m.Parts[first:], n: n, skip: off}
	if first > 0 {
		p.skip -= m.ends[first-1]
	}
	return p, nil
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
