package httpserve

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"strconv"
	"sync/atomic"
	"time"
	"unicode/utf8"
	"unsafe"

	"meridian/internal/h1"
)

// Lines are access lines of requests that the loop in front of net/http has
// answered: what Access and slog would say of them, byte for byte, written out by
// hand, for at a hundred thousand lines a second slog takes a seventh of the time.
type Lines struct {
	to     io.Writer
	json   bool
	attrs  []slog.Attr
	prefix []byte // what follows the time in every line
	second atomic.Pointer[second]
}

// second is a moment, written out.
type second struct {
	unix       int64
	text, zone []byte
}

// NewLines returns Lines that go to w in the format of slog's JSON handler or of
// its text handler, each with the given attributes. They come one or many in a
// Write.
func NewLines(w io.Writer, json bool, attrs ...slog.Attr) *Lines {
	l := &Lines{to: w, json: json, attrs: attrs}
	line := l.bySlog(nil, slog.NewRecord(time.Time{}, slog.LevelInfo, "request", 0))
	line = bytes.TrimSuffix(line, []byte("\n"))
	if json {
		line = bytes.TrimSuffix(bytes.TrimPrefix(line, []byte("{")), []byte("}"))
	}
	l.prefix = line
	return l
}

// bySlog appends a line as slog writes it.
func (l *Lines) bySlog(to []byte, r slog.Record) []byte {
	b := bytes.NewBuffer(to)
	var h slog.Handler = slog.NewTextHandler(b, nil)
	if l.json {
		h = slog.NewJSONHandler(b, nil)
	}
	_ = h.WithAttrs(l.attrs).Handle(context.Background(), r) // a buffer takes everything
	return b.Bytes()
}

// line appends the line of an answer.
func (l *Lines) line(b []byte, r *h1.Request, a *h1.Answer) []byte {
	method := "GET"
	if r.Head {
		method = "HEAD"
	}
	took := a.End.Sub(r.Start)
	if !isASCII(a.Cache) { // the rest is, or would not have been understood
		line := slog.NewRecord(a.End, slog.LevelInfo, "request", 0)
		line.AddAttrs(
			slog.String("request_id", text(r.ID)), slog.String("method", method), slog.String("proto", "HTTP/1.1"), slog.String("host", text(r.Host)),
			slog.String("path", text(r.Target)), slog.Int("status", a.Status), slog.Int64("bytes", a.Sent), slog.Duration("took", took),
			slog.String("remote", r.Remote), slog.String("cache", text(a.Cache)), slog.String("agent", text(r.Agent)))
		return l.bySlog(b, line)
	}
	if l.json {
		return l.jsonLine(b, r, a, method, took)
	}
	b = l.appendTime(append(b, "time="...), a.End)
	b = append(append(b, ' '), l.prefix...)
	b = appendText(append(b, " request_id="...), text(r.ID))
	b = append(append(b, " method="...), method...)
	b = appendText(append(b, " proto=HTTP/1.1 host="...), text(r.Host))
	b = appendText(append(b, " path="...), text(r.Target))
	b = strconv.AppendInt(append(b, " status="...), int64(a.Status), 10)
	b = strconv.AppendInt(append(b, " bytes="...), a.Sent, 10)
	b = appendDuration(append(b, " took="...), took)
	b = appendText(append(b, " remote="...), r.Remote)
	b = appendText(append(b, " cache="...), text(a.Cache))
	b = appendText(append(b, " agent="...), text(r.Agent))
	return append(b, '\n')
}

func (l *Lines) jsonLine(b []byte, r *h1.Request, a *h1.Answer, method string, took time.Duration) []byte {
	b = l.appendTime(append(b, `{"time":"`...), a.End)
	b = append(append(b, `",`...), l.prefix...)
	b = appendJSON(append(b, `,"request_id":`...), text(r.ID))
	b = appendJSON(append(b, `,"method":`...), method)
	b = appendJSON(append(b, `,"proto":"HTTP/1.1","host":`...), text(r.Host))
	b = appendJSON(append(b, `,"path":`...), text(r.Target))
	b = strconv.AppendInt(append(b, `,"status":`...), int64(a.Status), 10)
	b = strconv.AppendInt(append(b, `,"bytes":`...), a.Sent, 10)
	b = strconv.AppendInt(append(b, `,"took":`...), int64(took), 10)
	b = appendJSON(append(b, `,"remote":`...), r.Remote)
	b = appendJSON(append(b, `,"cache":`...), text(a.Cache))
	b = appendJSON(append(b, `,"agent":`...), text(r.Agent))
	return append(b, "}\n"...)
}

// appendTime writes t with milliseconds, or in JSON with as many digits as it has.
func (l *Lines) appendTime(b []byte, t time.Time) []byte {
	s := l.second.Load()
	if s == nil || s.unix != t.Unix() {
		whole := t.AppendFormat(nil, time.RFC3339)
		const n = len("2006-01-02T15:04:05")
		s = &second{t.Unix(), whole[:n], whole[n:]}
		l.second.Store(s)
	}
	b = append(b, s.text...)
	digits, fraction := 3, t.Nanosecond()/1_000_000
	if l.json {
		digits, fraction = 9, t.Nanosecond()
	}
	return append(appendFraction(b, fraction, digits, l.json), s.zone...)
}

// appendFraction writes a point and a number with leading zeros; short leaves out
// zeros at its end, and the point with nothing behind it.
func appendFraction(b []byte, n, digits int, short bool) []byte {
	var d [9]byte
	for i := digits - 1; i >= 0; i-- {
		d[i], n = byte('0'+n%10), n/10
	}
	for short && digits > 0 && d[digits-1] == '0' {
		digits--
	}
	if digits == 0 {
		return b
	}
	return append(append(b, '.'), d[:digits]...)
}

// appendDuration writes d as its String.
func appendDuration(b []byte, d time.Duration) []byte {
	n := int(d)
	switch {
	case d <= 0, d >= time.Second:
		return append(b, d.String()...)
	case d < time.Microsecond:
		return append(strconv.AppendInt(b, int64(n), 10), "ns"...)
	case d < time.Millisecond:
		return append(appendFraction(strconv.AppendInt(b, int64(n/1e3), 10), n%1e3, 3, true), "µs"...)
	}
	return append(appendFraction(strconv.AppendInt(b, int64(n/1e6), 10), n%1e6, 6, true), "ms"...)
}

// appendText writes a value of ASCII as slog's text handler does.
func appendText(b []byte, s string) []byte {
	var found uint8
	for i := range len(s) {
		found |= odd[s[i]]
	}
	switch {
	case found&quoted == 0 && s != "":
		return append(b, s...)
	case found&escaped != 0:
		return strconv.AppendQuote(b, s)
	}
	return append(append(append(b, '"'), s...), '"')
}

const (
	quoted  = 1 << iota // is put between quotes
	escaped             // is written otherwise there
)

// odd are the bytes of ASCII that a value does not have as they are.
var odd = func() (t [256]uint8) {
	for c := range ' ' {
		t[c] = quoted | escaped
	}
	t[' '], t['='], t['"'], t['\\'], t[0x7f] = quoted, quoted, quoted|escaped, escaped, escaped
	return t
}()

// appendJSON writes a value of ASCII, with no control characters but tabs, as
// slog's JSON handler does.
func appendJSON(b []byte, s string) []byte {
	b = append(b, '"')
	for i := range len(s) {
		switch c := s[i]; {
		case c == '"' || c == '\\':
			b = append(b, '\\', c)
		case c == '\t':
			b = append(b, `\t`...)
		default:
			b = append(b, c)
		}
	}
	return append(b, '"')
}

func isASCII(b []byte) bool {
	for _, c := range b {
		if c >= utf8.RuneSelf || c < ' ' {
			return false
		}
	}
	return true
}

// text is b as a string without a copy, for as long as b stays as it is.
func text(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }
