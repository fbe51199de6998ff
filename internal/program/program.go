// Package program is what the programs of this repository's own workshop, which
// measure and try Meridian, have in common.
package program

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"
)

// Main calls run with the arguments of the command line and ends the process with
// status 1 and name before the text if it fails. An interrupt ends its context.
func Main(name string, run func(ctx context.Context, w io.Writer, args []string) error) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Stdout, os.Args[1:])
	stop()
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, name+":", err)
		os.Exit(1) //nolint:forbidigo // nothing is left to close
	}
}

// Await returns when try succeeds, which is tried again for half a minute.
func Await(ctx context.Context, try func() error) error {
	var err error
	for range 300 {
		if err = try(); err == nil {
			return nil
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return err
}

// Chosen reports whether name is in a comma-separated list; in an empty one
// everything is.
func Chosen(list, name string) bool {
	return list == "" || slices.Contains(strings.Split(list, ","), name)
}
