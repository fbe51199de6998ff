package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

// content is the beginning of every object.
var content = func() []byte {
	b := make([]byte, film.size)
	rng := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // noise, not a secret
	for i := range b {
		b[i] = byte(rng.Uint32())
	}
	return b
}()

// serveOrigin is the web server behind the peers: it says of objects what an edge
// says, and is asked once for each.
func serveOrigin(ctx context.Context, port int) (stop func(), err error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	if err != nil {
		return nil, fmt.Errorf("%w; -port-base chooses other ports", err)
	}
	modified := time.Now().Add(-time.Hour).UTC().Format(http.TimeFormat)
	srv := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for _, k := range kinds {
			if strings.HasPrefix(r.URL.Path, "/"+bucket+"/"+k.name+"/") {
				h := w.Header()
				h.Set("Content-Type", contentType)
				h.Set("Cache-Control", cacheControl)
				h.Set("Accept-Ranges", "bytes") // or nginx answers a range with all of the object
				h.Set("Etag", fmt.Sprintf("%q", r.URL.Path))
				h.Set("Last-Modified", modified)
				h.Set("Content-Length", strconv.Itoa(k.size))
				_, _ = w.Write(content[:k.size]) // the peer tells, if it misses anything
				return
			}
		}
		http.NotFound(w, r)
	})}
	var running sync.WaitGroup
	running.Go(func() { _ = srv.Serve(l) }) // until it is closed
	return func() {
		_ = srv.Close()
		running.Wait()
	}, nil
}

const (
	contentType  = "image/jpeg"
	cacheControl = "public, max-age=86400"
)

var errWrongAnswer = errors.New("wrong answer")
