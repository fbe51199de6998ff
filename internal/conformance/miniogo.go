package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"meridian/internal/devserver"
)

// minioGoTime is how long all functional tests together may take.
const minioGoTime = 20 * time.Minute

// runMinioGo runs minio-go's functional tests, which are one program. Those that
// ask for what a server says it has not (501) are skipped by them.
func runMinioGo(ctx context.Context, w io.Writer, o options) (outcomes []outcome, err error) {
	m := newMeridian(o, "us-east-1,us-west-2,eu-central-1,eu-west-1")
	if err := m.Start(ctx); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, m.Stop()) }()
	ctx, cancel := context.WithTimeout(ctx, minioGoTime)
	defer cancel()
	cmd := exec.CommandContext(ctx, filepath.Join(o.tools, "minio-go-functional")) //nolint:gosec // the program of the suite
	cmd.Dir = m.Dir()
	cmd.Env = append(devserver.Env(), "SERVER_ENDPOINT="+m.S3Host(), "ACCESS_KEY="+rootKey, "SECRET_KEY="+rootSecret,
		"ENABLE_HTTPS=0", "MINT_MODE=full", "RUN_ON_FAIL=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	out, runErr := cmd.CombinedOutput()
	if o.verbose {
		fmt.Fprintln(w, string(out))
	}
	outcomes, err = parseMinioGo(bytes.NewReader(out))
	if err != nil {
		return nil, err
	}
	if runErr != nil { // it ends well even where tests fail
		outcomes = append(outcomes, outcome{"functional", "all", failed, fmt.Sprintf("%v: %s", runErr, lastLines(string(out), 3))})
	}
	return outcomes, nil
}

func lastLines(text string, n int) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "; ")
}

// parseMinioGo reads the log of the functional tests: a line of JSON for each test,
// and others in between. A test that ran several times counts once, as failed if it
// failed once.
func parseMinioGo(log io.Reader) ([]outcome, error) {
	var outcomes []outcome
	place := map[string]int{}
	lines := bufio.NewScanner(log)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		var line struct {
			Name, Status, Alert, Message, Error string
		}
		if json.Unmarshal(lines.Bytes(), &line) != nil || line.Status == "" {
			continue
		}
		_, name, _ := strings.Cut(line.Name, ": ")
		o := outcome{group: "functional", test: name, verdict: passed}
		switch line.Status {
		case "PASS":
		case "NA":
			o.verdict, o.said = skipped, line.Alert
		default:
			o.verdict, o.said = failed, strings.TrimSpace(line.Message+" "+line.Error)
		}
		if i, again := place[name]; !again {
			place[name] = len(outcomes)
			outcomes = append(outcomes, o)
		} else if o.verdict == failed {
			outcomes[i] = o
		}
	}
	if err := lines.Err(); err != nil {
		return nil, err
	}
	if len(outcomes) == 0 {
		return nil, errors.New("the functional tests said nothing of any test")
	}
	return outcomes, nil
}
