package client

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
)

func TestStream(t *testing.T) {
	t.Parallel()
	s := newStream(strings.NewReader(": beat\n\nid: 1-1\r\nevent: x\r\ndata:{\ndata: }\n\nretry: 5\nid: 9\n\ndata\n\ndata: cut"))
	alive := 0
	count := func() { alive++ }
	m, err := s.next(count)
	if err != nil || m.id != "1-1" || m.event != "x" || string(m.data) != "{\n}" {
		t.Errorf("%+v, %v", m, err)
	}
	if alive != 7 {
		t.Errorf("%d signs of life, want 7", alive)
	}
	if m, err = s.next(count); err != nil || len(m.data) != 0 || m.id != "" {
		t.Errorf("%+v, %v", m, err)
	}
	if _, err = s.next(count); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("cut message: %v", err)
	}
}

// Neither one endless line nor endless lines of one message are held.
func TestStreamIsBounded(t *testing.T) {
	t.Parallel()
	for name, unit := range map[string]string{"line": strings.Repeat("x", 64<<10), "message": "data: " + strings.Repeat("x", 1000) + "\n"} {
		r := &endless{unit: []byte(unit)}
		if name == "line" {
			r.left = []byte("data: ")
		}
		if _, err := newStream(r).next(func() {}); !errors.Is(err, errMessageTooLong) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

type endless struct{ left, unit []byte }

func (e *endless) Read(p []byte) (int, error) {
	if len(e.left) == 0 {
		e.left = e.unit
	}
	n := copy(p, e.left)
	e.left = e.left[n:]
	return n, nil
}

func FuzzStream(f *testing.F) {
	f.Add([]byte("id: 1-1\nevent: object.created\ndata: {}\n\n"))
	f.Add([]byte(":\n\n:\r\ndata\ndata:\n\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		s := newStream(bytes.NewReader(b))
		for total := 0; ; {
			m, err := s.next(func() {})
			if err != nil {
				return
			}
			if total += len(m.data); total > len(b) {
				t.Fatalf("%d bytes of data from %d", total, len(b))
			}
		}
	})
}
