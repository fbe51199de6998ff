package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime/debug"
	"strings"
	"syscall"
	"time"

	"meridian/internal/devserver"
)

// versitygwModule is the suite; deploy/install.sh builds its program at the
// same version.
const versitygwModule = "github.com/versity/versitygw"

// runVersitygw runs versitygw's suite, one process after the other.
func runVersitygw(ctx context.Context, w io.Writer, o options) (outcomes []outcome, err error) {
	program := filepath.Join(o.tools, "versitygw")
	tests, err := versitygwTests(ctx, program)
	if err != nil {
		return nil, err
	}
	m := newMeridian(o, "us-east-1")
	if err := m.Start(ctx); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, m.Stop()) }()
	// The suite runs "./versitygw admin" to make users; what stands there for it
	// is this program.
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	work := filepath.Join(m.Dir(), "work")
	if err := os.Mkdir(work, 0o700); err != nil {
		return nil, err
	}
	if err := os.Symlink(self, filepath.Join(work, adminName)); err != nil {
		return nil, err
	}
	for _, t := range tests {
		if !o.only.MatchString(t.name) {
			continue
		}
		result, output, err := runVersitygwTest(ctx, program, work, t, m, o.timeout)
		if err := errors.Join(ctx.Err(), err); err != nil {
			return nil, err
		}
		if result.verdict == failed || o.verbose {
			fmt.Fprintf(w, "%s %s: %s\n", result.verdict, t.name, result.said)
		}
		if o.verbose {
			fmt.Fprintln(w, output)
		}
		outcomes = append(outcomes, result)
		if err := m.clean(ctx); err != nil {
			return nil, err
		}
	}
	return outcomes, nil
}

// versitygwTests finds the tests in the source of the version that program was
// built from.
func versitygwTests(ctx context.Context, program string) ([]test, error) {
	build, err := readBuild(ctx, program)
	if err != nil {
		return nil, err
	}
	download := exec.CommandContext(ctx, "go", "mod", "download", "-json", versitygwModule+"@"+build.Main.Version)
	download.Dir = os.TempDir() // outside of any module
	out, err := download.Output()
	if err != nil {
		return nil, fmt.Errorf("download the source of the suite: %w", err)
	}
	var module struct{ Dir string }
	if err := json.Unmarshal(out, &module); err != nil {
		return nil, err
	}
	file := filepath.Join(module.Dir, "tests", "integration", "group-tests.go")
	source, err := os.ReadFile(file) //nolint:gosec // of the module that go names
	if err != nil {
		return nil, err
	}
	return parseSuite(file, source)
}

func readBuild(ctx context.Context, program string) (*debug.BuildInfo, error) {
	out, err := exec.CommandContext(ctx, "go", "version", "-m", program).Output() //nolint:gosec // the program of the suite
	if err != nil {
		return nil, fmt.Errorf("%s is missing or was not built by Go; make conformance builds it: %w", program, err)
	}
	_, info, _ := strings.Cut(string(out), "\n")
	var lines []string
	for line := range strings.SplitSeq(info, "\n") {
		lines = append(lines, strings.TrimPrefix(line, "\t"))
	}
	return debug.ParseBuildInfo(strings.Join(lines, "\n"))
}

func runVersitygwTest(ctx context.Context, program, work string, t test, m meridian, timeout time.Duration) (outcome, string, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	args := []string{"test", "-a", rootKey, "-s", rootSecret, "-e", m.S3(), t.name}
	if t.versioned {
		args = append(args, "--versioning-enabled")
	}
	cmd := exec.CommandContext(ctx, program, args...) //nolint:gosec // the program of the suite
	cmd.Dir = work
	cmd.Env = append(devserver.Env(), adminAPI+"="+m.API())
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = time.Second
	out, err := cmd.CombinedOutput()
	if cmd.Process == nil {
		return outcome{}, "", err
	}
	o := judge(string(out), err)
	o.group, o.test = t.group, t.name
	if ctx.Err() != nil {
		o.said = "not ended after " + timeout.String()
	}
	return o, string(out), nil
}

var colour = regexp.MustCompile("\x1b\\[[0-9;]*m")

// judge reads what a test's process said, and how it ended: a line
// "PASS name", "SKIP name: why" or "FAIL name: why", or a panic.
func judge(output string, ended error) outcome {
	o := outcome{verdict: failed}
	output = colour.ReplaceAllString(output, "")
	saw := verdict("")
	for line := range strings.SplitSeq(output, "\n") {
		word, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		switch word {
		case "FAIL":
			saw = failed
			_, o.said, _ = strings.Cut(rest, ": ")
		case "PASS":
			if saw == "" {
				saw = passed
			}
		case "SKIP":
			saw = skipped
			_, o.said, _ = strings.Cut(rest, ": ")
		case "panic:":
			saw = failed
			o.said = line
		}
	}
	if strings.Contains(output, "No help topic for") {
		return outcome{verdict: skipped, said: "the suite's program cannot run it alone"}
	}
	if saw == "" || saw == passed && ended != nil {
		lines := strings.Split(strings.TrimSpace(output), "\n")
		o.said = lines[len(lines)-1]
		if ended != nil {
			o.said += " (" + ended.Error() + ")"
		}
		return o
	}
	o.verdict = saw
	return o
}
