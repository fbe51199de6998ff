package tus

import (
	"fmt"
	"io"
	"os"
)

// spool holds the bytes of one part while they come, in a file without a name:
// a store wants to know a part's size before its first byte, and who sends it
// may go away at any time. Memory stays the same, however large parts are.
type spool struct {
	file   *os.File
	buffer []byte
	size   int64
}

const spoolBuffer = 256 << 10

func newSpool(dir string) (*spool, error) {
	f, err := os.CreateTemp(dir, "part-*")
	if err != nil {
		return nil, fmt.Errorf("spool: %w", err)
	}
	if err := os.Remove(f.Name()); err != nil { // it goes with the process
		f.Close()
		return nil, fmt.Errorf("spool: %w", err)
	}
	return &spool{file: f, buffer: make([]byte, spoolBuffer)}, nil
}

// fill replaces what the spool holds by up to limit bytes of r. After an error
// it holds what came before it.
func (s *spool) fill(r io.Reader, limit int64) error {
	if _, err := s.file.Seek(0, io.SeekStart); err != nil {
		s.size = 0
		return fmt.Errorf("spool: %w", err)
	}
	var err error
	// The wrapper keeps the file from reading by itself, with a buffer of its own.
	s.size, err = io.CopyBuffer(struct{ io.Writer }{s.file}, io.LimitReader(r, limit), s.buffer)
	return err
}

// open reads what the spool holds.
func (s *spool) open() *io.SectionReader { return io.NewSectionReader(s.file, 0, s.size) }

// first are the first bytes, up to n.
func (s *spool) first(n int64) ([]byte, error) {
	b := make([]byte, min(n, s.size))
	if _, err := io.ReadFull(s.open(), b); err != nil {
		return nil, fmt.Errorf("spool: %w", err)
	}
	return b, nil
}

func (s *spool) close() { s.file.Close() }
