package tally

import (
	"context"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"meridian/metadata"
)

// Whatever is counted, in cells or one by one, is collected once.
func TestEverythingIsCollectedOnce(t *testing.T) {
	t.Parallel()
	const workers, each = 20, 2000
	ta := New()
	now := time.Unix(1_000_000_000, 0)
	cells := []*Cell{ta.Cell("a", "photo"), ta.Cell("a", "photo"), ta.Cell("b", "video")}
	var views Views
	ta.Viewed(&views, "a", "key")
	var counting, taking sync.WaitGroup
	for w := range workers {
		counting.Go(func() {
			for i := range each {
				s := Sample{Bucket: "a", Key: "key", Class: "photo", Result: Result(i % int(results)), Depth: Depth(i % 3), Bytes: 3, HitBytes: 2, FirstByte: time.Duration(i) * time.Microsecond, View: true}
				at := now.Add(time.Duration(i%3) * time.Minute)
				if i%4 == 3 {
					ta.Add(at, &s)
					continue
				}
				cells[i%4].Add(w, at, &s)
				views.Add()
			}
		})
	}
	stop := make(chan struct{})
	sums := map[string]*metadata.Counter{}
	var viewed int64
	minutes := map[time.Duration]int64{}
	collect := func() {
		counters, views, _ := ta.take()
		for _, c := range counters {
			sum := sums[c.Bucket+c.Class]
			if sum == nil {
				sum = &metadata.Counter{}
				sums[c.Bucket+c.Class] = sum
			}
			sum.Requests += c.Requests
			sum.Hits += c.Hits
			sum.Bytes += c.Bytes
			sum.HitBytes += c.HitBytes
			sum.Latency.Merge(c.Latency)
			minutes[c.Minute.Sub(now.Truncate(time.Minute))] += c.Requests
			if all := c.Hits + c.Misses + c.Stale + c.Revalidated + c.Pass; all != c.Requests {
				t.Errorf("%d requests, of which %d have a result", c.Requests, all)
			}
		}
		for _, v := range views {
			viewed += v.Count
		}
	}
	taking.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				collect()
			}
		}
	})
	counting.Wait()
	close(stop)
	taking.Wait()
	collect()
	a, b := sums["aphoto"], sums["bvideo"]
	if a.Requests != workers*each*3/4 || b.Requests != workers*each/4 || viewed != workers*each {
		t.Errorf("%d and %d requests, %d views", a.Requests, b.Requests, viewed)
	}
	if a.Bytes != 3*a.Requests || b.HitBytes != 2*b.Requests || a.Hits+b.Hits != workers*each/5 {
		t.Errorf("sums %+v, %+v", a, b)
	}
	var latencies int64
	for _, n := range a.Latency {
		latencies += n
	}
	if latencies != a.Requests {
		t.Errorf("%d latencies of %d requests", latencies, a.Requests)
	}
	for i := range 3 { // each third in its minute
		n := minutes[time.Duration(i)*time.Minute]
		if n < workers*(each/3) || n > workers*(each/3+1) {
			t.Errorf("minute %d has %d requests", i, n)
		}
	}
}

// Views of many objects go in several pushes, and none is lost at the last.
func TestViewsOfManyObjectsAreSpread(t *testing.T) {
	t.Parallel()
	ta := New()
	const objects = 5*pushedViews/2 + 1
	for i := range objects {
		for range 2 {
			ta.Add(time.Now(), &Sample{Bucket: "b", Key: strconv.Itoa(i), Class: "photo", View: true})
		}
	}
	nodes := &accepting{}
	p := Pusher{Nodes: nodes, Tally: ta, Node: func() metadata.Node { return metadata.Node{} }, Now: time.Now, Log: slog.New(slog.DiscardHandler)}
	if err := p.Push(t.Context()); err != nil {
		t.Fatal(err)
	}
	ta.Add(time.Now(), &Sample{Bucket: "b", Key: "0", Class: "photo", View: true})
	p.Last(t.Context())
	seen := map[string]int64{}
	for _, push := range nodes.pushes {
		if len(push.Views) > pushedViews {
			t.Errorf("%d objects in a push", len(push.Views))
		}
		for _, v := range push.Views {
			seen[v.Key] += v.Count
		}
	}
	var sum int64
	for _, n := range seen {
		sum += n
	}
	if len(seen) != objects || sum != 2*objects+1 || seen["0"] != 3 {
		t.Errorf("%d objects, %d views, %d of the first", len(seen), sum, seen["0"])
	}
}

// What is changed in pull zones goes in several pushes, too, the oldest first, of which
// none makes an event that is too long to be followed.
func TestChangesOfZonesAreSpread(t *testing.T) {
	t.Parallel()
	ta := New()
	long := strings.Repeat("x", metadata.MaxZoneTargetBytes-10)
	var want []metadata.ZoneTarget
	for i := range 3 * metadata.MaxZoneTargets / 2 {
		want = append(want, metadata.ZoneTarget{Bucket: "site", Target: "/" + strconv.Itoa(i)})
	}
	for i := range 3 * metadata.MaxZoneBytes / len(long) {
		want = append(want, metadata.ZoneTarget{Bucket: "site", Target: "/" + long + strconv.Itoa(i)})
	}
	for _, z := range want {
		ta.Changed(z)
		ta.Changed(want[0])
	}
	for _, none := range []string{"/" + long + long, "/\x00", "/\xff"} {
		ta.Changed(metadata.ZoneTarget{Bucket: "site", Target: none})
	}
	nodes := &accepting{}
	p := Pusher{Nodes: nodes, Tally: ta, Node: func() metadata.Node { return metadata.Node{} }, Now: time.Now, Log: slog.New(slog.DiscardHandler)}
	if err := p.Push(t.Context()); err != nil {
		t.Fatal(err)
	}
	ta.Changed(want[0]) // again
	p.Last(t.Context())
	var told []metadata.ZoneTarget
	for i, push := range nodes.pushes {
		bytes := 0
		for _, z := range push.Changed {
			bytes += len(z.Target)
		}
		if len(push.Changed) > metadata.MaxZoneTargets || bytes > metadata.MaxZoneBytes {
			t.Errorf("push %d tells of %d targets with %d bytes", i, len(push.Changed), bytes)
		}
		told = append(told, push.Changed...)
	}
	if want = append(want, want[0]); !slices.Equal(told, want) {
		t.Errorf("%d targets were told of, want %d", len(told), len(want))
	}
}

// However much is changed while nobody can be told, no more is remembered than has
// its bounds.
func TestChangesOfZonesAreBounded(t *testing.T) {
	t.Parallel()
	short, long := New(), New()
	for i := range 2 * maxChanged {
		short.Changed(metadata.ZoneTarget{Bucket: "site", Target: "/" + strconv.Itoa(i)})
		long.Changed(metadata.ZoneTarget{Bucket: "site", Target: "/" + strings.Repeat("x", 8000) + strconv.Itoa(i)})
	}
	if n := len(short.changed.list); n != maxChanged {
		t.Errorf("%d short targets are kept", n)
	}
	if n := len(long.changed.list); n*8000 > maxChangedBytes || n*8010 < maxChangedBytes-8010 {
		t.Errorf("%d long targets are kept", n)
	}
}

// accepting takes every push.
type accepting struct {
	metadata.Nodes

	pushes []metadata.Push
}

func (a *accepting) Push(_ context.Context, p metadata.Push) (metadata.PushReply, error) {
	a.pushes = append(a.pushes, p)
	return metadata.PushReply{}, nil
}
