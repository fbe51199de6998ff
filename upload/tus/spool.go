package tus

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"fmt"
	"io"
	"os"
)

// spool holds the bytes of one part while they come, in a file without a name:
// a store wants to know a part's size before its first byte, and who sends it
// may go away at any time. Memory stays the same, however large parts are. The
// file is encrypted under a key that nobody else has: what becomes of its blocks
// on the disk tells nothing.
type spool struct {
	file   *os.File
	buffer []byte
	size   int64
	block  cipher.Block // of a key of this filling
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
	key := make([]byte, 32)
	_, _ = rand.Read(key) // never fails: crypto/rand ends the program instead
	var err error
	if s.block, err = aes.NewCipher(key); err != nil {
		return fmt.Errorf("spool: %w", err)
	}
	// The wrapper keeps the file from reading by itself, with a buffer of its own.
	to := struct{ io.Writer }{cipher.StreamWriter{S: s.stream(), W: s.file}}
	s.size, err = io.CopyBuffer(to, io.LimitReader(r, limit), s.buffer)
	return err
}

func (s *spool) stream() cipher.Stream { return cipher.NewCTR(s.block, make([]byte, aes.BlockSize)) }

// open reads what the spool holds.
func (s *spool) open() io.Reader {
	return cipher.StreamReader{S: s.stream(), R: io.NewSectionReader(s.file, 0, s.size)}
}

// first are the first bytes, up to n.
func (s *spool) first(n int64) ([]byte, error) {
	b := make([]byte, min(n, s.size))
	if _, err := io.ReadFull(s.open(), b); err != nil {
		return nil, fmt.Errorf("spool: %w", err)
	}
	return b, nil
}

func (s *spool) close() { s.file.Close() }
