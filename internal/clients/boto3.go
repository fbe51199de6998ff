package main

import (
	"context"
	_ "embed" // the script
	"os"
	"path/filepath"
)

// boto3Script does an action of which the first argument is the name.
//
//go:embed boto3.py
var boto3Script []byte

// boto3 is the AWS SDK for Python, by a script.
func boto3() client {
	act := func(words string) string { return "python3 {home}/boto3_round.py {endpoint} {bucket} " + words }
	more := func(name string) step {
		return step{name, func(ctx context.Context, r *round) error {
			_, err := r.run(ctx, act(name), subject{})
			return err
		}}
	}
	return client{
		name: "boto3", install: []string{"boto3"}, version: "python3 {home}/boto3_round.py {endpoint} - version",
		prepare: func(r *round) error {
			return os.WriteFile(filepath.Join(r.dir, "boto3_round.py"), boto3Script, 0o600)
		},
		driver: cli{
			makeBucket:   act("make"),
			putObject:    act("put {key} {file}"),
			getObject:    act("get {key} {file}"),
			readPart:     act("read {key} {first} {last} {file}"),
			listAll:      act("list {prefix}"),
			statObject:   act("stat {key}"),
			copyObject:   act("copy {from} {key}"),
			signURL:      act("sign {key}"),
			removeObject: act("remove {key}"),
			removeAll:    act("remove_all"),
			removeBucket: act("remove_bucket"),
		},
		unable:   map[string]string{"odd/x/../y": "its HTTP library takes the .. out of the path"},
		more:     []step{more("metadata_and_tags"), more("signed_put_and_post"), more("bucket_settings")},
		versions: more("versions").do,
	}
}
