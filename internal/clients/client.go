package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"time"

	"meridian/internal/devserver"
)

// client is one that does a round.
type client struct {
	name string
	// install are the arguments of deploy/install.sh that install it; none where
	// it is a library of ours.
	install []string
	// version is the command that tells its version, or the module that has it.
	version string
	// env is added to the clean environment of its commands.
	env func(r *round) []string
	// prepare writes the files that it needs.
	prepare func(r *round) error
	driver  driver
	// unable are the odd names that it cannot say, with the reason.
	unable map[string]string
	// more are the steps that it alone has, done before its bucket is emptied.
	more []step
	// versions is what it does with versions, if anything: in the emptied bucket, of
	// which a delete leaves markers from then on.
	versions func(ctx context.Context, r *round) error
	// own replaces the common round.
	own []step
}

// step is a part of a round. It fails with what was wrong.
type step struct {
	name string
	do   func(ctx context.Context, r *round) error
}

// result is how a round ended.
type result struct {
	client, version string
	steps, passed   int
	took            time.Duration
	failures        []failure
	unable          map[string]string
}

type failure struct {
	step string
	err  error
}

func (c *client) run(ctx context.Context, w io.Writer, o options, server *devserver.Server) result {
	began := time.Now()
	res := result{client: c.name, unable: c.unable}
	steps := c.own
	if steps == nil {
		steps = commonSteps(c)
	}
	res.steps = len(steps)
	r, err := newRound(c, o, server, w)
	if err == nil {
		err = c.ready(ctx, o, r)
	}
	if err != nil {
		res.failures = append(res.failures, failure{"install", err})
		return res
	}
	res.version = r.versionOf(ctx)
	for _, s := range steps {
		if err := s.do(ctx, r); err != nil {
			res.failures = append(res.failures, failure{s.name, err})
			fmt.Fprintf(w, "   FAILED %s\n", s.name)
			continue
		}
		res.passed++
		fmt.Fprintf(w, "   %s\n", s.name)
	}
	res.took = time.Since(began)
	return res
}

// ready installs the client and prepares it.
func (c *client) ready(ctx context.Context, o options, r *round) error {
	if o.install != "" && len(c.install) > 0 {
		cmd := exec.CommandContext(ctx, o.install, append([]string{"client"}, c.install...)...) //nolint:gosec // our own script
		cmd.Env = os.Environ()
		out, err := cmd.CombinedOutput()
		if err != nil {
			return fmt.Errorf("%w: %s", err, strings.TrimSpace(string(out)))
		}
		_, _ = r.log.Write(out) // what it installed
	}
	if c.prepare == nil {
		return nil
	}
	return c.prepare(r)
}

var errNot = errors.New("not as it should be")

// wrong is an error that says what is not as it should be.
func wrong(format string, args ...any) error {
	return fmt.Errorf("%w: %s", errNot, fmt.Sprintf(format, args...))
}
