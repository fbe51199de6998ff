// Command meridian is all of Meridian: an object store with its own CDN. Its
// subcommands are the roles (dev, metadata, origin, edge) and the commands that
// talk to a running metadata role. It is the only package that reads flags and
// environment and that names implementations.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
)

// version is set by the linker.
var version = "devel"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// A second signal ends the program at once, whatever still drains.
	context.AfterFunc(ctx, stop)
	os.Exit(run(ctx, os.Args[1:], process{stdout: os.Stdout, stderr: os.Stderr, env: os.LookupEnv, environ: os.Environ()}))
}

// process is what a command sees of the process it runs in, so that tests can
// run several side by side.
type process struct {
	stdout, stderr io.Writer
	env            func(string) (string, bool)
	environ        []string
}

// command is a subcommand. options declares its options on s and returns what
// runs it once they are parsed.
type command struct {
	about   string
	options func(s *settings, p process) func(ctx context.Context, args []string) error
}

// roles are the commands that serve and whose options may stand in a
// configuration file; tools talk to a metadata role that runs, or prepare one.
func roles() map[string]command {
	return map[string]command{
		"dev":      {"run every role on this machine, nothing to configure", devCommand},
		"metadata": {"run the metadata API", metadataCommand},
		"origin":   {"run the S3 endpoint and blob store of one region", originCommand},
		"edge":     {"run one cache node, edge or regional", edgeCommand},
	}
}

func tools() map[string]command {
	return map[string]command{
		"purge":       {"make every cache forget URLs, prefixes, keys or buckets", purgeCommand},
		"warm":        {"have caches fetch objects before anybody asks", warmCommand},
		"explain":     {"tell where a URL is cached, and why it was last a miss", explainCommand},
		"report":      {"print the hit ratio of every tier", reportCommand},
		"key":         {"create, list and revoke access keys", keyCommand},
		"bucket":      {"create, list, change and delete buckets", bucketCommand},
		"webhook":     {"make, list, try and delete webhooks", webhookCommand},
		"region":      {"list regions and what they have yet to copy", regionCommand},
		"health":      {"exit 0 if a role is ready", healthCommand},
		"secrets":     {"make the secrets of a cluster in a directory", secretsCommand},
		"credentials": {"print the access key that these commands sign in with", credentialsCommand},
		"version":     {"print the version", versionCommand},
	}
}

// run is main with its surroundings handed in; it returns the exit code: 0, 1
// for a failure, 2 for a command line or configuration that is wrong.
func run(ctx context.Context, args []string, p process) int {
	if len(args) == 0 || args[0] == "help" || args[0] == "-h" || args[0] == "--help" {
		usage(p.stdout)
		if len(args) == 0 {
			return 2
		}
		return 0
	}
	cmd, ok := roles()[args[0]]
	if !ok {
		cmd, ok = tools()[args[0]]
	}
	if !ok {
		known := append(sortedKeys(roles()), sortedKeys(tools())...)
		fmt.Fprintf(p.stderr, "meridian: unknown command %q%s\n", args[0], nearestOf(args[0], known))
		return 2
	}
	s := newSettings(args[0], p.env, p.stdout)
	start := cmd.options(s, p)
	rest, err := s.parse(args[1:])
	if errors.Is(err, flag.ErrHelp) {
		return 0
	}
	if err == nil {
		err = checkEnvironment(p.environ)
	}
	if err != nil {
		fmt.Fprintln(p.stderr, err)
		return 2
	}
	if err := start(ctx, rest); err != nil {
		fmt.Fprintf(p.stderr, "meridian %s: %v\n", args[0], err)
		var wrong usageError
		if errors.As(err, &wrong) {
			return 2
		}
		return 1
	}
	return 0
}

// usageError is a command line that is wrong.
type usageError string

func (e usageError) Error() string { return string(e) }

func usagef(format string, args ...any) error { return usageError(fmt.Sprintf(format, args...)) }

func usage(w io.Writer) {
	fmt.Fprint(w, "Meridian is an object store with its own CDN: S3 in, fast bytes out.\n\nusage: meridian <command> [options]\n\nroles:\n")
	for _, group := range []map[string]command{roles(), tools()} {
		for _, name := range sortedKeys(group) {
			fmt.Fprintf(w, "  %-11s %s\n", name, group[name].about)
		}
		if _, isRoles := group["dev"]; isRoles {
			fmt.Fprint(w, "\nclients of a running metadata role, and tools:\n")
		}
	}
	fmt.Fprint(w, "\nmeridian <command> --help lists the options of a command. Every option can be given\nas --name, as MERIDIAN_NAME in the environment, or as a key of the --config file.\n")
}

// knownOptions lists the options of every command, by command.
func knownOptions() map[string][]string {
	known := map[string][]string{}
	for _, group := range []map[string]command{roles(), tools()} {
		for name, cmd := range group {
			p := process{stdout: io.Discard, stderr: io.Discard, env: func(string) (string, bool) { return "", false }}
			s := newSettings(name, p.env, io.Discard)
			cmd.options(s, p)
			known[name] = s.names()
		}
	}
	return known
}
