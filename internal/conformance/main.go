// Command conformance runs public test suites of S3 servers against a Meridian
// that it starts for them, and prints what passed and failed, by group. `make
// conformance` runs it.
//
//   - versitygw: the suite of github.com/versity/versitygw, a gateway that checks
//     its answers down to their texts. Each test runs in a process of its own, so
//     that one that panics, hangs or leaves a bucket behind costs no other.
//   - minio-go: the functional tests of github.com/minio/minio-go.
//
// What is expected to fail stands in exceptions.txt, each with its reason. The
// program fails where anything else does, and where an exception passes: the list
// stays as short as the truth.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"meridian/internal/program"
)

func main() {
	if filepath.Base(os.Args[0]) == adminName {
		program.Main(adminName, admin)
	} else {
		program.Main("conformance", run)
	}
}

type options struct {
	meridian string
	tools    string // directory of the suites' programs
	suites   string
	only     *regexp.Regexp
	timeout  time.Duration
	verbose  bool
	keep     bool
}

func run(ctx context.Context, w io.Writer, args []string) error {
	var o options
	flags := flag.NewFlagSet("conformance", flag.ContinueOnError)
	flags.StringVar(&o.meridian, "meridian", "bin/meridian", "the `program` to test")
	flags.StringVar(&o.tools, "tools", "", "`directory` of versitygw and minio-go-functional")
	flags.StringVar(&o.suites, "suites", "versitygw,minio-go", "which suites to run")
	only := flags.String("only", "", "`regexp` of the tests to run; empty: all")
	flags.DurationVar(&o.timeout, "timeout", 2*time.Minute, "how long one test may take")
	flags.BoolVar(&o.verbose, "v", false, "print what the tests say")
	flags.BoolVar(&o.keep, "keep", false, "keep Meridian's data and log, and say where")
	if err := flags.Parse(args); err != nil {
		return err
	}
	var err error
	if o.only, err = regexp.Compile(*only); err != nil {
		return err
	}
	for _, path := range []*string{&o.meridian, &o.tools} {
		if *path, err = filepath.Abs(*path); err != nil {
			return err
		}
	}
	expected, err := parseExceptions(exceptionList)
	if err != nil {
		return err
	}
	var failed []error
	for suite := range strings.SplitSeq(o.suites, ",") {
		runSuite, ok := map[string]func(context.Context, io.Writer, options) ([]outcome, error){
			"versitygw": runVersitygw, "minio-go": runMinioGo,
		}[suite]
		if !ok {
			return fmt.Errorf("there is no suite %q: versitygw, minio-go", suite)
		}
		outcomes, err := runSuite(ctx, w, o)
		if err != nil {
			return fmt.Errorf("%s: %w", suite, err)
		}
		if err := report(w, suite, outcomes, expected[suite], *only == ""); err != nil {
			failed = append(failed, fmt.Errorf("%s: %w", suite, err))
		}
	}
	return errors.Join(failed...)
}
