package fetch_test

import (
	"bytes"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"meridian/edge/balance"
	"meridian/edge/fetch"
	"meridian/internal/faultlink"
)

// A node that is busy with the answers to others is waited for, one that says
// nothing to anybody is not, nor is either by those who have something else; and no
// peer is waited for for long.
func TestUpstreamThatIsBusy(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		links := faultlink.New(nil)
		l := links.Listen("n0:80")
		srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if strings.HasSuffix(r.URL.Path, "/late") {
				time.Sleep(20 * time.Second)
			}
			w.Header().Set("Content-Length", strconv.Itoa(30))
			for range 30 { // in half a minute
				if _, err := w.Write([]byte("x")); err != nil {
					return
				}
				w.(http.Flusher).Flush()
				if strings.HasSuffix(r.URL.Path, "/busy") {
					time.Sleep(time.Second)
				}
			}
		})}
		var wg sync.WaitGroup
		wg.Go(func() {
			if err := srv.Serve(l); !errors.Is(err, http.ErrServerClosed) {
				t.Error(err)
			}
		})
		pool := balance.NewPool(balance.RoundRobin{}, time.Now)
		pool.Set([]balance.Node{{ID: "n0", URL: "http://n0:80"}})
		u := fetch.NewUpstream(fetch.Options{
			Balancer: pool, Secret: secret, Dial: links.Dial, Now: time.Now, Timeouts: fetch.Timeouts{Header: 5 * time.Second, Late: 7 * time.Second},
		})
		get := func(what string, r fetch.Request, answered bool, took time.Duration) {
			began := time.Now()
			r.Bucket = "media"
			resp, err := u.Fetch(t.Context(), r)
			switch {
			case answered && (err != nil || !bytes.Equal(resp.Body, bytes.Repeat([]byte("x"), 30))):
				t.Errorf("%s: %v", what, err)
			case !answered && !fetch.IsTimeout(err):
				t.Errorf("%s: %+v, %v, want a timeout", what, resp, err)
			}
			if got := time.Since(began).Round(time.Second); got != took {
				t.Errorf("%s: after %v, want %v", what, got, took)
			}
		}
		get("alone", fetch.Request{Key: "late"}, false, 5*time.Second)
		wg.Go(func() { get("what keeps it busy", fetch.Request{Key: "busy"}, true, 29*time.Second) })
		time.Sleep(1500 * time.Millisecond)
		wg.Go(func() { get("of a peer", fetch.Request{Key: "late", Peer: true}, false, 5*time.Second) })
		wg.Go(func() {
			get("to confirm what is held", fetch.Request{Key: "late", IfNoneMatch: `"a"`}, false, 5*time.Second)
		})
		wg.Go(func() {
			get("of a peer, by drops", fetch.Request{Key: "busy", Peer: true}, false, 7*time.Second)
		})
		get("beside others", fetch.Request{Key: "late"}, true, 20*time.Second)
		time.Sleep(time.Minute)
		get("long after", fetch.Request{Key: "late"}, false, 5*time.Second)
		time.Sleep(time.Minute) // until the last handler has seen that its client is gone
		u.Close()
		_ = srv.Close()
		wg.Wait()
	})
}
