package httpcache

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"time"
)

// headFormat is the first byte of an encoded head. Another one is not read: what
// it heads is a miss.
const headFormat = 2

// ErrHead says that bytes are no head, or one of another format.
var ErrHead = errors.New("malformed head")

const (
	flagInline = 1 << iota
	flagMustRevalidate
	flagNoCache
	flagSuspect
	flagStorable
	flagAhead

	knownFlags = flagAhead<<1 - 1
)

// AppendBinary appends the head as caches keep it: numbers, then texts, then the
// body, which can be used where it lies.
func (h *Head) AppendBinary(b []byte) ([]byte, error) {
	if h.Inline && int64(len(h.Body)) != h.Size || !h.Inline && len(h.Body) > 0 {
		return b, fmt.Errorf("%w: %d bytes of a body of %d", ErrHead, len(h.Body), h.Size)
	}
	flags := flag(h.Inline, flagInline) | flag(h.MustRevalidate, flagMustRevalidate) | flag(h.NoCache, flagNoCache) |
		flag(h.Suspect, flagSuspect) | flag(h.Storable, flagStorable) | flag(h.Ahead, flagAhead)
	texts := 0
	for _, f := range h.Fields {
		texts += len(f.Name) + len(f.Value) + 4
	}
	if free := cap(b) - len(b); free < texts+128+len(h.Body) {
		b = append(make([]byte, 0, len(b)+texts+128+len(h.Body)), b...)
	}
	b = append(b, headFormat, flags)
	for _, n := range [...]int64{
		int64(h.Status), h.Size, h.Received.UnixNano(), int64(h.Age),
		int64(h.Lifetime), int64(h.StaleWhileRevalidate), int64(h.StaleIfError), h.Run,
	} {
		b = binary.AppendVarint(b, n)
	}
	b = binary.AppendUvarint(b, uint64(len(h.Vary)))
	b = binary.AppendUvarint(b, uint64(len(h.Fields)))
	b = appendText(b, h.Code)
	b = appendText(b, h.VersionID)
	for _, name := range h.Vary {
		b = appendText(b, name)
	}
	for _, f := range h.Fields {
		b = appendText(appendText(b, f.Name), f.Value)
	}
	return append(b, h.Body...), nil
}

func flag(set bool, bit byte) byte {
	if set {
		return bit
	}
	return 0
}

func appendText(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

// ParseHead reads what AppendBinary wrote. The body shares b's memory; all texts
// share one copy.
func ParseHead(b []byte) (*Head, error) {
	if len(b) < 2 || b[0] != headFormat || b[1]&^knownFlags != 0 {
		return nil, ErrHead
	}
	flags := b[1]
	d := headDecoder{b: b[2:]}
	h := &Head{Inline: flags&flagInline != 0, Suspect: flags&flagSuspect != 0, Ahead: flags&flagAhead != 0}
	h.MustRevalidate, h.NoCache, h.Storable = flags&flagMustRevalidate != 0, flags&flagNoCache != 0, flags&flagStorable != 0
	status := d.number()
	h.Size = d.number()
	h.Received = time.Unix(0, d.number())
	h.Age, h.Lifetime = time.Duration(d.number()), time.Duration(d.number())
	h.StaleWhileRevalidate, h.StaleIfError = time.Duration(d.number()), time.Duration(d.number())
	h.Run = d.number()
	varies, fields := d.count(), d.count()
	if d.failed || h.Size < 0 || status < 100 || status > 999 || h.Age < 0 || fields > len(d.b)/2 {
		return nil, ErrHead
	}
	h.Status = int(status)
	rest := d.b
	if h.Inline {
		if h.Size > int64(len(rest)) {
			return nil, ErrHead
		}
		end := len(rest) - int(h.Size)
		h.Body, rest = rest[end:len(rest):len(rest)], rest[:end]
	}
	d.b, d.texts = rest, string(rest)
	h.Code, h.VersionID = d.text(), d.text()
	if varies > 0 {
		h.Vary = make([]string, varies)
		for i := range h.Vary {
			h.Vary[i] = d.text()
		}
	}
	h.Fields = make(Fields, fields)
	for i := range h.Fields {
		h.Fields[i] = Field{d.text(), d.text()}
	}
	if d.failed || len(d.b) > 0 {
		return nil, ErrHead
	}
	return h, nil
}

type headDecoder struct {
	b      []byte
	texts  string // ends where b ends
	failed bool
}

func (d *headDecoder) number() int64 {
	v, n := binary.Varint(d.b)
	if n <= 0 {
		d.fail()
		return 0
	}
	d.b = d.b[n:]
	return v
}

// count reads a number of things that take at least a byte each.
func (d *headDecoder) count() int {
	v, n := binary.Uvarint(d.b)
	if n <= 0 || v > math.MaxInt32 || int(v) > len(d.b)-n {
		d.fail()
		return 0
	}
	d.b = d.b[n:]
	return int(v)
}

func (d *headDecoder) text() string {
	n := d.count()
	start := len(d.texts) - len(d.b)
	d.b = d.b[n:]
	return d.texts[start : start+n]
}

func (d *headDecoder) fail() { d.b, d.failed = nil, true }
