package client_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"meridian/internal/hop"
	"meridian/internal/sigv4"
	"meridian/metadata"
	"meridian/metadata/client"
)

const secret = "cluster secret"

// role is a metadata role: it verifies node signatures and hands on.
func role(t *testing.T, h http.HandlerFunc) string {
	t.Helper()
	v := &sigv4.Verifier{Keys: func(_ context.Context, s sigv4.Scope) ([]byte, error) {
		if s.AccessKey != hop.NodeAccessKey {
			return nil, sigv4.ErrUnknownAccessKey
		}
		return sigv4.DeriveKey(secret, s.Date, s.Region, s.Service), nil
	}}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		auth, err := v.Verify(r)
		if err != nil {
			http.Error(w, err.Error(), http.StatusForbidden)
			return
		}
		body, _, err := auth.Body(r)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		r.Body = io.NopCloser(body)
		h(w, r)
	}))
	t.Cleanup(srv.Close)
	return srv.URL
}

func newClient(t *testing.T, urls ...string) *client.Client {
	t.Helper()
	c, err := client.New(client.Options{URLs: urls, Secret: secret, Node: "edge-europe-1"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func TestPushAndSnapshot(t *testing.T) {
	t.Parallel()
	head := metadata.Seq{Xid: 7, ID: 9}
	url := role(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.Method + " " + r.URL.Path {
		case "POST /v1/nodes/push":
			var p metadata.Push
			if err := json.NewDecoder(r.Body).Decode(&p); err != nil || p.Number != 3 || p.Node.ID != "edge-europe-1" {
				t.Errorf("push %+v: %v", p, err)
			}
			_ = json.NewEncoder(w).Encode(metadata.PushReply{Head: head})
		case "GET /v1/nodes/snapshot":
			_ = json.NewEncoder(w).Encode(metadata.Snapshot{Seq: head, Buckets: []metadata.Bucket{{Name: "media"}}})
		case "POST /v1/purge":
			_, _ = io.WriteString(w, `{"id":"01","waiting":[],"later":true}`)
		default:
			t.Errorf("asked for %s %s", r.Method, r.URL)
		}
	})
	c := newClient(t, url+"/")
	reply, err := c.Push(t.Context(), metadata.Push{Number: 3, Node: metadata.Node{ID: "edge-europe-1"}})
	if err != nil || reply.Head != head {
		t.Errorf("push: %+v, %v", reply, err)
	}
	snap, err := c.Snapshot(t.Context())
	if err != nil || snap.Seq != head || len(snap.Buckets) != 1 {
		t.Errorf("snapshot: %+v, %v", snap, err)
	}
	answer, err := c.AskPurge(t.Context(), metadata.Purge{Bucket: "media"})
	if err != nil || string(answer) != `{"id":"01","waiting":[],"later":true}` {
		t.Errorf("purge: %s, %v", answer, err)
	}
}

func TestFailsOver(t *testing.T) {
	t.Parallel()
	var sick, well atomic.Int32
	bad := role(t, func(w http.ResponseWriter, _ *http.Request) {
		sick.Add(1)
		http.Error(w, "no database", http.StatusServiceUnavailable)
	})
	good := role(t, func(w http.ResponseWriter, _ *http.Request) {
		well.Add(1)
		_ = json.NewEncoder(w).Encode(metadata.PushReply{})
	})
	c := newClient(t, "http://127.0.0.1:1", bad, good)
	for range 5 {
		if _, err := c.Push(t.Context(), metadata.Push{}); err != nil {
			t.Fatal(err)
		}
	}
	if sick.Load() != 1 || well.Load() != 5 {
		t.Errorf("the sick one was asked %d times, the one that answers %d", sick.Load(), well.Load())
	}
}

func TestRefusalIsFinal(t *testing.T) {
	t.Parallel()
	var asked atomic.Int32
	refuse := func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		w.WriteHeader(http.StatusUnprocessableEntity)
		_, _ = io.WriteString(w, `{"title":"Invalid","detail":"no such class"}`)
	}
	c := newClient(t, role(t, refuse), role(t, refuse))
	_, err := c.Push(t.Context(), metadata.Push{})
	var status *client.StatusError
	if !errors.As(err, &status) || status.Status != 422 || !errors.Is(err, metadata.ErrInvalid) || !strings.Contains(status.Detail, "no such class") {
		t.Errorf("push: %v", err)
	}
	if asked.Load() != 1 {
		t.Errorf("asked %d roles", asked.Load())
	}
}

func write(w http.ResponseWriter, e metadata.Event) {
	data, _ := json.Marshal(e)
	fmt.Fprintf(w, "id: %s\nevent: %s\ndata: %s\n\n", e.Seq, e.Type, data)
	w.(http.Flusher).Flush()
}

func TestFollow(t *testing.T) {
	t.Parallel()
	url := role(t, func(w http.ResponseWriter, r *http.Request) {
		if got := r.URL.Query().Get("after"); got != "1-1" {
			t.Errorf("asked for events after %q", got)
		}
		fmt.Fprint(w, ": beat\n\n")
		for i := range uint64(4) { // the first was asked for "after"
			write(w, metadata.Event{Seq: metadata.Seq{Xid: 1, ID: i + 1}, Type: metadata.ObjectCreated, Key: "a\nb"})
		}
		<-r.Context().Done()
	})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var got []metadata.Seq
	err := newClient(t, url).Follow(ctx, metadata.Seq{Xid: 1, ID: 1}, func(e metadata.Event) error {
		if e.Key != "a\nb" {
			t.Errorf("key %q", e.Key)
		}
		if got = append(got, e.Seq); len(got) == 3 {
			cancel()
		}
		return nil
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("ended with %v", err)
	}
	if fmt.Sprint(got) != "[1-2 1-3 1-4]" {
		t.Errorf("got events %v", got)
	}
}

func TestFollowEndsWithTheCallersError(t *testing.T) {
	t.Parallel()
	url := role(t, func(w http.ResponseWriter, r *http.Request) {
		write(w, metadata.Event{Seq: metadata.Seq{Xid: 1, ID: 1}})
		<-r.Context().Done()
	})
	mine := errors.New("mine")
	if err := newClient(t, url).Follow(t.Context(), metadata.Seq{}, func(metadata.Event) error { return mine }); !errors.Is(err, mine) {
		t.Errorf("ended with %v", err)
	}
}

func TestFollowGone(t *testing.T) {
	t.Parallel()
	gone := func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusGone)
		_, _ = io.WriteString(w, `{"title":"Gone"}`)
	}
	err := newClient(t, role(t, gone)).Follow(t.Context(), metadata.Seq{Xid: 1}, nil)
	if !errors.Is(err, metadata.ErrFeedGone) {
		t.Errorf("ended with %v", err)
	}
}

// A connection that stays open and says nothing is dead.
func TestFollowNoticesSilence(t *testing.T) {
	t.Parallel()
	silent := func(w http.ResponseWriter, r *http.Request) {
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	}
	err := newClient(t, role(t, silent)).Follow(t.Context(), metadata.Seq{}, nil)
	if err == nil || !strings.Contains(err.Error(), "silent") {
		t.Errorf("ended with %v", err)
	}
}

func TestFollowEndsWithTheStream(t *testing.T) {
	t.Parallel()
	cut := func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, "id: 1-1\ndata: {\"seq\":\"1-1\"}\n") // no empty line: not a whole message
	}
	var n int
	err := newClient(t, role(t, cut)).Follow(t.Context(), metadata.Seq{}, func(metadata.Event) error { n++; return nil })
	if !errors.Is(err, io.ErrUnexpectedEOF) || n != 0 {
		t.Errorf("%d events, ended with %v", n, err)
	}
}

func TestNewRefusesNonsense(t *testing.T) {
	t.Parallel()
	for _, urls := range [][]string{nil, {"localhost:9000"}, {"ftp://x"}, {"http://"}, {"http://x/?a=b"}} {
		if _, err := client.New(client.Options{URLs: urls}); !errors.Is(err, metadata.ErrInvalid) {
			t.Errorf("%q: %v", urls, err)
		}
	}
}

func TestPushHasADeadline(t *testing.T) {
	t.Parallel()
	block := make(chan struct{})
	defer close(block)
	url := role(t, func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-block:
		case <-r.Context().Done():
		}
	})
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if _, err := newClient(t, url).Push(ctx, metadata.Push{}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("push to a role that never answers: %v", err)
	}
	if ctx.Err() != nil {
		t.Error("only the test's own deadline ended it")
	}
}
