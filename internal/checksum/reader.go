package checksum

import (
	"errors"
	"io"
)

// Reader computes checksums of what is read through it and has them checked at
// its end. What the check refuses takes the place of io.EOF, so that whoever
// stores the body fails as on one that was cut short, and keeps nothing.
type Reader struct {
	body  io.Reader
	set   *Set
	check func(sums map[string]string) error
	ended bool
	err   error // of the check
	sums  map[string]string
}

// NewReader reads body through the algorithms; check may be nil.
func NewReader(body io.Reader, check func(sums map[string]string) error, algorithms ...Algorithm) *Reader {
	return &Reader{body: body, check: check, set: NewSet(algorithms...)}
}

// Read reads on.
func (r *Reader) Read(p []byte) (int, error) {
	if r.ended {
		return 0, r.end()
	}
	n, err := r.body.Read(p)
	_, _ = r.set.Write(p[:n]) // never fails
	if errors.Is(err, io.EOF) {
		err = r.end()
	}
	return n, err
}

// end checks once.
func (r *Reader) end() error {
	if !r.ended {
		r.ended = true
		if r.sums = r.set.Sums(); r.check != nil {
			r.err = r.check(r.sums)
		}
	}
	if r.err != nil {
		return r.err
	}
	return io.EOF
}

// Finish returns the sums of all that was read and what the check said of them,
// for who took the announced number of bytes and never asked for the end.
func (r *Reader) Finish() (map[string]string, error) {
	_ = r.end()
	return r.sums, r.err
}
