package main

import (
	"errors"
	"testing"
	"time"
)

const said = `Running 2s test @ http://127.0.0.1:19401
  1 threads and 64 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency   550.11us  210.00us   8.11ms   92.50%
    Req/Sec   115.20k     4.10k  121.00k    65.00%
  Latency Distribution
     50%  512.00us
     75%  601.00us
     90%  702.00us
     99%    1.31ms
  200000 requests in 2.00s, 210.00MB read
Requests/sec: 100000.50
Transfer/sec:    105.00MB
`

func TestWhatWrkSaysIsRead(t *testing.T) {
	t.Parallel()
	r, err := parse(said, time.Second)
	if want := (result{100000.5, 5, 512 * time.Microsecond, 1310 * time.Microsecond}); err != nil || r != want {
		t.Errorf("%+v, %v, want %+v", r, err, want)
	}
	for _, bad := range []string{said + "  Non-2xx or 3xx responses: 7\n", "  Socket errors: connect 0, read 3, write 0, timeout 0\n" + said} {
		if _, err := parse(bad, time.Second); !errors.Is(err, errWrongAnswer) {
			t.Errorf("failures pass: %v", err)
		}
	}
	if got := median([]result{{perSecond: 3}, {perSecond: 1}, {perSecond: 2}}); got.perSecond != 2 {
		t.Errorf("median %v", got.perSecond)
	}
}
