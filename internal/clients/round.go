package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"strings"
	"syscall"
	"time"

	"meridian/internal/devserver"
)

// commandTime is how long one command may take.
const commandTime = 3 * time.Minute

// round is what a client works with: a bucket and a directory of its own.
type round struct {
	client  *client
	server  *devserver.Server
	witness witness
	bucket  string
	dir     string // also its home
	path    string // where programs are looked for
	tools   string
	verbose bool
	log     io.Writer
	files   int
}

func newRound(c *client, o options, server *devserver.Server, w io.Writer) (*round, error) {
	name := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
			return r
		}
		return '-'
	}, strings.ToLower(c.name))
	r := &round{
		client: c, server: server, bucket: "round-of-" + strings.Trim(name, "-"), dir: filepath.Join(server.Dir(), name),
		verbose: o.verbose, tools: o.tools, log: w,
	}
	// The system's own programs first: what a package manager installed.
	r.path = strings.Join([]string{o.tools, "/usr/bin", "/bin", os.Getenv("PATH")}, string(os.PathListSeparator))
	var err error
	if r.witness, err = newWitness(server, r.bucket); err != nil {
		return nil, err
	}
	return r, os.MkdirAll(r.dir, 0o700)
}

// env is clean: what this machine sets for SDKs (regions, profiles, certificates)
// reaches no client.
func (r *round) env() []string {
	env := []string{
		"PATH=" + r.path, "HOME=" + r.dir, "TMPDIR=" + r.dir, "LANG=C.UTF-8",
		"AWS_ACCESS_KEY_ID=" + rootKey, "AWS_SECRET_ACCESS_KEY=" + rootSecret, "AWS_DEFAULT_REGION=us-east-1", "AWS_REGION=us-east-1",
		"AWS_EC2_METADATA_DISABLED=true", "AWS_PAGER=",
	}
	if r.client.env != nil {
		env = append(env, r.client.env(r)...)
	}
	return env
}

// command runs a program, with input if that is not nil, and gives what it printed.
// Its error tells the command and all that it said.
func (r *round) command(ctx context.Context, input io.Reader, words ...string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, commandTime)
	defer cancel()
	program, err := lookPath(words[0], r.path)
	if err != nil {
		return nil, err
	}
	if r.verbose {
		fmt.Fprintln(r.log, "   $", quoted(words))
	}
	cmd := exec.CommandContext(ctx, program, words[1:]...) //nolint:gosec // the client under test
	cmd.Dir, cmd.Env, cmd.Stdin = r.dir, r.env(), input
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = time.Second
	var out, said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &said
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("$ %s\n%s%s%w", quoted(words), out.String(), said.String(), err)
	}
	return out.Bytes(), nil
}

// lookPath finds a program in the directories of a path.
func lookPath(program, path string) (string, error) {
	for _, dir := range filepath.SplitList(path) {
		file := filepath.Join(dir, program)
		if info, err := os.Stat(file); err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
			return file, nil
		}
	}
	return "", fmt.Errorf("%s is not installed", program)
}

// quoted writes a command as a shell would take it.
func quoted(words []string) string {
	var b strings.Builder
	for i, w := range words {
		if i > 0 {
			b.WriteByte(' ')
		}
		if w == "" || strings.ContainsAny(w, " \t\n'\"\\$&;|<>()*?#~`!{}[]") {
			w = "'" + strings.ReplaceAll(w, "'", `'\''`) + "'"
		}
		b.WriteString(w)
	}
	return b.String()
}

// versionOf is what the client says of its version, or that of the module that it
// is or was built from.
func (r *round) versionOf(ctx context.Context) string {
	for _, name := range r.client.install {
		if of, err := os.ReadFile(filepath.Join(r.tools, name+".of")); err == nil {
			_, version, _ := strings.Cut(strings.TrimSpace(string(of)), "@")
			return version
		}
	}
	if strings.Contains(r.client.version, " ") {
		out, err := r.run(ctx, r.client.version, subject{})
		if err != nil {
			return "?"
		}
		return firstVersion(out)
	}
	if build, ok := debug.ReadBuildInfo(); ok {
		for _, m := range build.Deps {
			if m.Path == r.client.version {
				return m.Version
			}
		}
	}
	return "?"
}

// firstVersion finds the first word with a digit and a dot in it, of what
// programs say when asked for their version.
func firstVersion(text string) string {
	for _, word := range strings.FieldsFunc(text, func(c rune) bool { return strings.ContainsRune(" \t\n/,()", c) }) {
		if strings.ContainsAny(word, "0123456789") && strings.ContainsAny(word, ".-") {
			return word
		}
	}
	return "?"
}

// file writes data to a new file and gives its name.
func (r *round) file(data []byte) (string, error) {
	r.files++
	name := filepath.Join(r.dir, fmt.Sprintf("file-%d.bin", r.files))
	return name, os.WriteFile(name, data, 0o600)
}

// target names a file that is not there yet.
func (r *round) target() string {
	r.files++
	return filepath.Join(r.dir, fmt.Sprintf("got-%d.bin", r.files))
}

// noise is n bytes that do not compress, the same for the same seed.
func noise(n int, seed uint64) []byte {
	data := make([]byte, n)
	source := rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8)})
	_, _ = source.Read(data) // never fails
	return data
}

// same compares what a client got.
func same(what string, got, want []byte) error {
	if bytes.Equal(got, want) {
		return nil
	}
	at := 0
	for at < min(len(got), len(want)) && got[at] == want[at] {
		at++
	}
	return wrong("%s has %d bytes, want %d; they differ from byte %d", what, len(got), len(want), at)
}

func sameFile(file string, want []byte) error {
	got, err := os.ReadFile(file) //nolint:gosec // written by the client under test
	if err != nil {
		return err
	}
	return same(filepath.Base(file), got, want)
}

// lastWord is the last word of what a command printed: a URL, mostly.
func lastWord(out string) string {
	words := strings.Fields(out)
	if len(words) == 0 {
		return ""
	}
	return words[len(words)-1]
}
