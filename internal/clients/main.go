// Command clients takes clients of S3 that people use, lets each do a full round
// against a Meridian that it starts for them, and prints what passed. `make
// clients` runs it.
//
// A round makes a bucket, uploads small, large and oddly named objects, lists,
// looks, reads parts, copies, signs URLs, overwrites, syncs twice, deletes, and
// removes the bucket, as far as the client has a command for it; what the client
// alone has comes on top. Whatever it says itself, what it did is read again from
// the server by another client, and bytes are compared.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"path/filepath"
	"regexp"

	"meridian/internal/devserver"
	"meridian/internal/program"
)

// The root key of the Meridian under test.
const (
	rootKey    = "clients-root"
	rootSecret = "clients-root-secret"
)

func main() { program.Main("clients", run) }

type options struct {
	meridian string
	install  string // deploy/install.sh
	tools    string // directory of the clients that are built from Go modules
	only     *regexp.Regexp
	verbose  bool
	keep     bool
}

func run(ctx context.Context, w io.Writer, args []string) (err error) {
	var o options
	flags := flag.NewFlagSet("clients", flag.ContinueOnError)
	flags.StringVar(&o.meridian, "meridian", "bin/meridian", "the `program` to test")
	flags.StringVar(&o.install, "install", "deploy/install.sh", "the `program` that installs a client; empty: none is installed")
	flags.StringVar(&o.tools, "tools", "", "`directory` of mc and s5cmd")
	only := flags.String("only", "", "`regexp` of the clients to run; empty: all")
	flags.BoolVar(&o.verbose, "v", false, "print every command")
	flags.BoolVar(&o.keep, "keep", false, "keep Meridian's data and log, and say where")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if o.only, err = regexp.Compile(*only); err != nil {
		return err
	}
	for _, path := range []*string{&o.meridian, &o.tools} {
		if *path, err = filepath.Abs(*path); err != nil {
			return err
		}
	}
	server := &devserver.Server{
		Program: o.meridian, AccessKey: rootKey, SecretKey: rootSecret, Keep: o.keep,
		Args: []string{"--log-level", "warn"},
	}
	if err := server.Start(ctx); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, server.Stop()) }()
	var results []result
	for _, c := range clients() {
		if !o.only.MatchString(c.name) {
			continue
		}
		fmt.Fprintln(w, "==", c.name)
		results = append(results, c.run(ctx, w, o, server))
		if err := ctx.Err(); err != nil {
			return err
		}
	}
	return report(w, results)
}

func clients() []client {
	return []client{
		awsCLI(), s3cmd(), rclone("Other"), rclone("Minio"), mc(), s5cmd(), restic(), boto3(), minioGo(), awsGo(),
	}
}
