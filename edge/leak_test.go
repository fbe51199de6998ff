package edge_test

import (
	"context"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"meridian/metadata"
)

// Not parallel: it looks at the goroutines of the whole process.
func TestNothingOutlivesANode(t *testing.T) {
	w := newWorld(t, metadata.PublicRead)
	edge, regional := w.pair()
	w.origin.put("media/film", random(4*mib, 1))
	edge.get("/media/film")
	// Clients that leave in mid-fill, a fill that hangs, a node that stops.
	hang := make(chan struct{})
	w.origin.put("media/slow", random(100, 2))
	w.origin.set(func() { w.origin.hold = func(*http.Request, *object) { <-hang } })
	ctx, leave := context.WithCancel(t.Context())
	left := make(chan struct{})
	go func() {
		defer close(left)
		_, _ = edge.do(ctx, http.MethodGet, "/media/slow", nil)
	}()
	w.control.eventually(t, "the origin is asked", func() bool { return strings.Contains(w.origin.log(), "slow") })
	leave()
	<-left
	edge.stop()
	regional.stop()
	close(hang)
	client.CloseIdleConnections()
	w.origin.srv.CloseClientConnections()

	var stacks string
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		buf := make([]byte, 1<<20)
		stacks = ""
		for stack := range strings.SplitSeq(string(buf[:runtime.Stack(buf, true)]), "\n\n") {
			if strings.Contains(stack, "meridian/edge.(") || strings.Contains(stack, "meridian/edge/fetch") || strings.Contains(stack, "meridian/edge/cache") {
				stacks += stack + "\n\n"
			}
		}
		if stacks == "" {
			return
		}
	}
	t.Errorf("still running:\n%s", stacks)
}
