package fetch_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"meridian/edge/balance"
	"meridian/edge/fetch"
	"meridian/internal/faultlink"
	"meridian/internal/hop"
)

// fleet is four nodes in memory, behind links that can fail, and an Upstream
// that asks them.
type fleet struct {
	*fetch.Upstream
	links *faultlink.Net
	asked [4]atomic.Int64
	stuck [4]atomic.Bool // answers no slice of a version
	stop  func()
}

func addr(i int) string { return fmt.Sprintf("n%d:80", i) }

func newFleet(t *testing.T) *fleet {
	t.Helper()
	f := &fleet{links: faultlink.New(nil)}
	pool := balance.NewPool(balance.ConsistentHash{}, time.Now)
	var nodes []balance.Node
	var servers []*http.Server
	var wg sync.WaitGroup
	body := content(make([]byte, 1000))
	for i := range f.asked {
		l := f.links.Listen(addr(i))
		srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			f.asked[i].Add(1)
			if f.stuck[i].Load() && r.Header.Get(hop.RequestVersion) != "" {
				<-r.Context().Done()
				return
			}
			body(w, r)
		})}
		wg.Go(func() {
			if err := srv.Serve(l); !errors.Is(err, http.ErrServerClosed) {
				t.Errorf("server %d: %v", i, err)
			}
		})
		servers = append(servers, srv)
		nodes = append(nodes, balance.Node{ID: fmt.Sprint("n", i), URL: "http://" + addr(i)})
		f.links.Set(addr(i), faultlink.Fault{Latency: 5 * time.Millisecond})
	}
	pool.Set(nodes)
	f.Upstream = fetch.NewUpstream(fetch.Options{Balancer: pool, Secret: secret, Dial: f.links.Dial, Now: time.Now})
	f.stop = func() {
		f.Close()
		for _, srv := range servers {
			_ = srv.Close()
		}
		wg.Wait()
	}
	return f
}

// run fetches n slices, one after the other, and returns how long they took, in
// order.
func (f *fleet) run(t *testing.T, n int) []time.Duration {
	t.Helper()
	took := make([]time.Duration, n)
	for i := range took {
		began := time.Now()
		resp, err := f.Fetch(t.Context(), fetch.Request{Bucket: "media", Key: fmt.Sprint(i), Length: 1000})
		if err != nil || len(resp.Body) != 1000 {
			t.Fatalf("fetch %d: %+v, %v", i, resp, err)
		}
		took[i] = time.Since(began)
	}
	slices.Sort(took)
	return took
}

func (f *fleet) sum() (n int64) {
	for i := range f.asked {
		n += f.asked[i].Load()
	}
	return n
}

// One slow node among four does not make fetches slow, and costs few more than
// there would be without it; also if it was slow all along.
func TestHedgesAroundASlowNode(t *testing.T) {
	t.Parallel()
	for _, ever := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			f := newFleet(t)
			defer f.stop()
			slow := faultlink.Fault{Latency: 2 * time.Second}
			if ever {
				f.links.Set(addr(2), slow)
			}
			f.run(t, 300)
			f.links.Set(addr(2), slow)
			before, counts := f.sum(), f.Counts()
			took := f.run(t, 1000)
			after := f.Counts()
			if p99 := took[989]; p99 > 50*time.Millisecond {
				t.Errorf("slow before too %v: p99 %s, p50 %s", ever, p99, took[500])
			}
			if worst := took[999]; worst >= time.Second {
				t.Errorf("slow before too %v: the slowest took %s", ever, worst)
			}
			if more := f.sum() - before - 1000; more > 50 {
				t.Errorf("slow before too %v: %d requests more than fetches", ever, more)
			}
			if won := after.HedgesWon - counts.HedgesWon; won == 0 || won > 50 {
				t.Errorf("slow before too %v: %d hedges won", ever, won)
			}
		})
	}
}

// Where all nodes become slow alike, hedging stays within its budget.
func TestHedgesStayWithinTheBudget(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t)
		defer f.stop()
		f.run(t, 300)
		for i := range f.asked {
			f.links.Set(addr(i), faultlink.Fault{Latency: 100 * time.Millisecond})
		}
		before := f.sum()
		f.run(t, 1000)
		// A fifth, the reserve, and what a budget gains in the 100 s that it takes.
		if more := f.sum() - before - 1000; more > 200+50+150 {
			t.Errorf("%d requests more than fetches", more)
		}
	})
}

// Where everybody fails, nobody is asked three times as often for it.
func TestRetryBudget(t *testing.T) {
	t.Parallel()
	var asked atomic.Int64
	var urls []string
	for range 3 {
		urls = append(urls, serve(t, func(w http.ResponseWriter, _ *http.Request) {
			asked.Add(1)
			w.WriteHeader(http.StatusServiceUnavailable)
		}))
	}
	now := time.Now()
	pool := balance.NewPool(balance.RoundRobin{}, time.Now)
	var nodes []balance.Node
	for i, u := range urls {
		nodes = append(nodes, balance.Node{ID: fmt.Sprint("n", i), URL: u})
	}
	pool.Set(nodes)
	f := fetch.NewUpstream(fetch.Options{Balancer: pool, Secret: secret, Now: func() time.Time { return now }})
	defer f.Close()
	const fetches = 500
	for range fetches {
		if _, err := f.Fetch(t.Context(), fetch.Request{Bucket: "media", Key: "a", Length: 100}); !errors.Is(err, fetch.ErrUnavailable) {
			t.Fatal(err)
		}
	}
	c := f.Counts()
	if n := asked.Load(); n > fetches+fetches/5+50 || n != fetches+c.Retries || c.Refused == 0 {
		t.Errorf("%d requests for %d fetches, %+v", n, fetches, c)
	}
}

// A node that is gone costs no budget: however many find out at once, each asks
// the next.
func TestNodesThatAreGoneCostNoBudget(t *testing.T) {
	t.Parallel()
	gone := httptest.NewServer(nil)
	gone.Close()
	f := upstream(t, fetch.Options{}, gone.URL, serve(t, content([]byte("hello"))))
	var wg sync.WaitGroup
	for i := range 200 {
		wg.Go(func() {
			if _, err := f.Fetch(t.Context(), fetch.Request{Bucket: "media", Key: fmt.Sprint(i), Length: 100}); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
}

// The next tier learns how long it is worth working.
func TestTimeoutIsPassedOn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		links := faultlink.New(nil)
		var got atomic.Value
		l := links.Listen("n:80")
		srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			got.Store(r.Header.Get(hop.RequestTimeout) + " " + r.Header.Get(hop.RequestPeer))
			content([]byte("hello"))(w, r)
		})}
		var wg sync.WaitGroup
		wg.Go(func() { _ = srv.Serve(l) })
		node := balance.Node{ID: "n", URL: "http://n:80"}
		pool := balance.NewPool(balance.RoundRobin{}, time.Now)
		pool.Set([]balance.Node{node})
		f := fetch.NewUpstream(fetch.Options{Balancer: pool, Secret: secret, Dial: links.Dial, Now: time.Now})
		ask := func(d time.Duration, peer bool) string {
			ctx := t.Context()
			if d > 0 {
				var cancel context.CancelFunc
				ctx, cancel = context.WithTimeout(ctx, d)
				defer cancel()
			}
			if _, err := f.FetchFrom(ctx, node, fetch.Request{Bucket: "b", Key: "k", Length: 100, Peer: peer}); err != nil {
				t.Fatal(err)
			}
			return got.Load().(string)
		}
		if got := ask(0, false); got != " " {
			t.Errorf("no deadline: %q", got)
		}
		if got := ask(3*time.Second, true); got != "3000 1" {
			t.Errorf("3 s: %q", got)
		}
		f.Close()
		_ = srv.Close()
		wg.Wait()
	})
}

func TestProbe(t *testing.T) {
	t.Parallel()
	for status, well := range map[int]bool{200: true, 404: true, 503: false} {
		srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != "/readyz" {
				t.Errorf("asked for %s", r.URL.Path)
			}
			w.WriteHeader(status)
		}))
		f := upstream(t, fetch.Options{}, srv.URL)
		if err := f.Probe(t.Context(), balance.Node{ID: "n", URL: srv.URL + "/"}); (err == nil) != well {
			t.Errorf("status %d: %v", status, err)
		}
		f.Close()
		srv.Close()
		if err := f.Probe(t.Context(), balance.Node{ID: "n", URL: srv.URL}); err == nil {
			t.Error("a node that is gone is well")
		}
	}
}

// A node that takes requests and answers none holds a request up for Timeouts.Late,
// whatever is asked for, and after a few of them is not asked any more.
func TestASilentNodeHoldsNobodyUpForLong(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t)
		defer f.stop()
		f.links.Set(addr(2), faultlink.Fault{Dead: true})
		late := 0
		for i := range 100 {
			began := time.Now()
			resp, err := f.Fetch(t.Context(), fetch.Request{Bucket: "media", Key: fmt.Sprint(i), Head: true})
			if err != nil || resp.Size != 1000 {
				t.Fatalf("fetch %d: %+v, %v", i, resp, err)
			}
			switch took := time.Since(began); {
			case took > 4*time.Second:
				t.Errorf("fetch %d took %s", i, took)
			case took > time.Second:
				late++
			}
		}
		if late == 0 || late > 5 || f.asked[2].Load() == 0 {
			t.Errorf("%d of 100 were late, the silent node was asked %d times", late, f.asked[2].Load())
		}
	})
}

// A node that answers with heads and with no slices is not asked for long, and is
// asked again once it has recovered.
func TestHeadsDoNotMakeUpForSlices(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t)
		defer f.stop()
		f.run(t, 300)
		f.stuck[2].Store(true)
		watch := func(n int) {
			for i := range n {
				for _, r := range []fetch.Request{{Head: true}, {Want: "v", Length: 1000}} {
					r.Bucket, r.Key = "media", fmt.Sprint(i)
					if resp, err := f.Fetch(t.Context(), r); err != nil || resp.Size != 1000 {
						t.Fatalf("fetch %d: %+v, %v", i, resp, err)
					}
				}
			}
		}
		before := f.Counts()
		watch(400)
		if n := f.Counts().Hedges - before.Hedges; n < 3 || n > 20 {
			t.Errorf("%d of 400 slices were asked for twice", n)
		}
		f.stuck[2].Store(false)
		time.Sleep(time.Minute)
		asked := f.asked[2].Load()
		watch(100)
		if n := f.asked[2].Load() - asked; n < 10 {
			t.Errorf("the node that has recovered was asked %d times in 200", n)
		}
	})
}
