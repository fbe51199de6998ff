package h1_test

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"meridian/internal/h1"
)

// fewDescriptors makes the test binary the server of the test below.
const fewDescriptors = "H1_FEW_DESCRIPTORS"

// Where descriptors are few, connections that wait make way for those that come,
// and there are some left for net/http.
func TestConnectionsThatWaitMakeWay(t *testing.T) {
	t.Parallel()
	if os.Getenv(fewDescriptors) != "" {
		serveFew(t)
		return
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestConnectionsThatWaitMakeWay$", "-test.v")
	cmd.Env = append(os.Environ(), fewDescriptors+"=1")
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		stdin.Close() // it ends
		_ = cmd.Wait()
	}()
	var addr string
	for lines := bufio.NewScanner(stdout); lines.Scan(); {
		var is bool
		if addr, is = strings.CutPrefix(lines.Text(), "serving "); is {
			break
		}
	}
	for i := range 400 {
		c, r := dial(t, addr)
		ask(t, c, r, "/hot", "hot")
		if i%40 == 39 {
			ask(t, c, r, "/cold", "cold")
		}
	}
}

func serveFew(t *testing.T) {
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 128, Max: 128}); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	loop := h1.New(h1.Options{Handler: shop{}, HeaderTimeout: time.Minute, IdleTimeout: time.Minute, SlowClient: time.Minute})
	srv := &http.Server{Handler: shop{}, ConnState: h1.ConnState}
	go func() { _ = srv.Serve(loop.Listen(l)) }()
	fmt.Printf("serving %s\n", l.Addr())
	_, _ = os.Stdin.Read(make([]byte, 1)) // until the test is over
	_ = srv.Close()
	loop.Close()
}
