package client

import (
	"bufio"
	"bytes"
	"errors"
	"io"
)

// maxMessage bounds a message of the stream, and so each of its lines: a purge
// may name thousands of URLs.
const maxMessage = 4 << 20

var errMessageTooLong = errors.New("message of the feed is too long")

// message is one server-sent event.
// https://html.spec.whatwg.org/multipage/server-sent-events.html
type message struct {
	id, event string
	data      []byte
}

// stream parses server-sent events whose lines end in LF or CRLF, which is what
// our own side writes.
type stream struct{ lines *bufio.Scanner }

func newStream(r io.Reader) *stream {
	s := bufio.NewScanner(r)
	s.Buffer(make([]byte, 0, 16<<10), maxMessage)
	return &stream{lines: s}
}

// next returns the next message that has data. alive is called for every line,
// comments included. The end of the stream is io.ErrUnexpectedEOF: it has none.
func (s *stream) next(alive func()) (message, error) {
	var m message
	started := false // an empty data field is a message as well
	for s.lines.Scan() {
		alive()
		line := s.lines.Bytes()
		if len(line) == 0 {
			if started {
				return m, nil
			}
			m = message{}
			continue
		}
		field, value, _ := bytes.Cut(line, []byte(":"))
		value = bytes.TrimPrefix(value, []byte(" "))
		switch string(field) {
		case "id":
			m.id = string(value)
		case "event":
			m.event = string(value)
		case "data":
			if len(m.data)+len(value) >= maxMessage {
				return message{}, errMessageTooLong
			}
			if started {
				m.data = append(m.data, '\n')
			}
			m.data = append(m.data, value...)
			started = true
		}
	}
	switch err := s.lines.Err(); {
	case errors.Is(err, bufio.ErrTooLong):
		return message{}, errMessageTooLong
	case err != nil:
		return message{}, err
	}
	return message{}, io.ErrUnexpectedEOF
}
