package httpserve

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"strings"
	"testing"
	"time"

	"meridian/internal/h1"
)

// bySlogAlone is the line of a request as Access has slog write it.
func bySlogAlone(json bool, attrs []slog.Attr, method string, r *h1.Request, a *h1.Answer) string {
	var b bytes.Buffer
	var h slog.Handler = slog.NewTextHandler(&b, nil)
	if json {
		h = slog.NewJSONHandler(&b, nil)
	}
	line := slog.NewRecord(a.End, slog.LevelInfo, "request", 0)
	line.AddAttrs(
		slog.String("request_id", string(r.ID)), slog.String("method", method), slog.String("proto", "HTTP/1.1"), slog.String("host", string(r.Host)),
		slog.String("path", string(r.Target)), slog.Int("status", a.Status), slog.Int64("bytes", a.Sent),
		slog.Duration("took", a.End.Sub(r.Start)), slog.String("remote", r.Remote), slog.String("cache", string(a.Cache)),
		slog.String("agent", string(r.Agent)))
	_ = h.WithAttrs(attrs).Handle(context.Background(), line)
	return b.String()
}

// Lines are those of slog, whatever is in them.
func FuzzLines(f *testing.F) {
	for i, s := range []string{"curl/8", "", "a b", `"`, `\`, "=", "a\tb", `<&>\" x`, "\x7f", `\=`, "caf\u00e9 \xff"} {
		f.Add("/bucket/"+s, s, "meridian-edge; hit; ttl=5"+s, int64(i)*123456789, int64(3*i*i*i*i*i*i*i*i)+int64(i), int64(i), i%2 == 0)
	}
	attrs := []slog.Attr{slog.String("region", "us-west"), slog.String("node", `a "node"`)}
	zone := time.FixedZone("", 5400)
	lines := map[bool]*Lines{true: NewLines(io.Discard, true, attrs...), false: NewLines(io.Discard, false, attrs...)}
	f.Fuzz(func(t *testing.T, target, agent, cache string, nanos, took, sent int64, head bool) {
		// The parser lets nothing else in.
		only := func(s, also string) string {
			return strings.Map(func(r rune) rune {
				if r > ' ' && r <= '~' || strings.ContainsRune(also, r) {
					return r
				}
				return -1
			}, s)
		}
		end := time.Unix(1700000000, 0).Add(time.Duration(nanos % (1 << 50)))
		if sent%3 == 0 {
			end = end.In(zone)
		}
		r := &h1.Request{
			Head: head, Target: []byte(only(target, "")), Host: []byte("edge:80"), Agent: []byte(only(agent, " \t")),
			Remote: "[::1]:80", ID: []byte("ABC"), Start: end.Add(-time.Duration(took)),
		}
		a := &h1.Answer{Status: 206, Cache: []byte(cache), Sent: sent, End: end}
		method := "GET"
		if head {
			method = "HEAD"
		}
		for json, l := range lines {
			if sent%3 == 0 {
				l = NewLines(io.Discard, json, attrs...) // a zone of its own
			}
			if got, want := string(l.line(nil, r, a)), bySlogAlone(json, attrs, method, r, a); got != want {
				t.Errorf("line\n%s, by slog\n%s", got, want)
			}
		}
	})
}

func BenchmarkLine(b *testing.B) {
	l := NewLines(io.Discard, false, slog.String("region", "us-west"))
	now := time.Now()
	r := &h1.Request{Target: []byte("/bucket/key/of/photo.jpg"), Host: []byte("edge.example.com"), Agent: []byte("Mozilla/5.0 (X11)"), Remote: "127.0.0.1:4711", ID: []byte("ABCDEFGHIJKLMNOP"), Start: now}
	a := &h1.Answer{Status: 200, Cache: []byte("meridian-edge-us-west; hit; ttl=86399"), Sent: 1024, End: now.Add(9876)}
	var line []byte
	b.ReportAllocs()
	for b.Loop() {
		line = l.line(line[:0], r, a)
	}
}
