package main

import (
	"bytes"
	"context"
)

// s5cmd takes * and ? in keys for wildcards unless it is told that they are not.
func s5cmd() client {
	return client{
		name: "s5cmd", install: []string{"s5cmd"},
		driver: cli{
			makeBucket:   "s5cmd --endpoint-url {endpoint} mb s3://{bucket}",
			putObject:    "s5cmd --endpoint-url {endpoint} cp --raw --part-size 6 {file} s3://{bucket}/{key}",
			getObject:    "s5cmd --endpoint-url {endpoint} cp --raw s3://{bucket}/{key} {file}",
			listAll:      "s5cmd --endpoint-url {endpoint} ls s3://{bucket}/{prefix}*",
			statObject:   "s5cmd --endpoint-url {endpoint} head s3://{bucket}/{key}",
			copyObject:   "s5cmd --endpoint-url {endpoint} cp s3://{bucket}/{from} s3://{bucket}/{key}",
			signURL:      "s5cmd --endpoint-url {endpoint} presign --expire 5m s3://{bucket}/{key}",
			syncUp:       "s5cmd --endpoint-url {endpoint} sync {dir}/ s3://{bucket}/{prefix}",
			syncDown:     "s5cmd --endpoint-url {endpoint} sync s3://{bucket}/{prefix}* {dir}/",
			removeObject: "s5cmd --endpoint-url {endpoint} rm s3://{bucket}/{key}",
			removeAll:    "s5cmd --endpoint-url {endpoint} rm s3://{bucket}/*",
			removeBucket: "s5cmd --endpoint-url {endpoint} rb s3://{bucket}",
		},
		more: []step{
			{"pipe and cat", s5cmdPipe},
			{"du, mv, many at once", s5cmdMore},
		},
	}
}

const s5cmdRun = "s5cmd --endpoint-url {endpoint} "

func s5cmdPipe(ctx context.Context, r *round) error {
	data := noise(12<<20, 8)
	s := subject{key: "piped"}
	if _, err := r.command(ctx, bytes.NewReader(data), r.words(s5cmdRun+"pipe s3://{bucket}/{key}", s)...); err != nil {
		return err
	}
	if err := r.witness.holds(ctx, s.key, data); err != nil {
		return err
	}
	out, err := r.run(ctx, s5cmdRun+"cat s3://{bucket}/{key}", s)
	if err != nil {
		return err
	}
	return same("cat", []byte(out), data)
}

func s5cmdMore(ctx context.Context, r *round) error {
	if err := r.says(ctx, s5cmdRun+"du s3://{bucket}/piped", subject{}, "12582912 bytes in 1 objects"); err != nil {
		return err
	}
	if _, err := r.run(ctx, s5cmdRun+"mv s3://{bucket}/piped s3://{bucket}/moved", subject{}); err != nil {
		return err
	}
	if err := r.witness.gone(ctx, "piped"); err != nil {
		return err
	}
	// Commands from a file run side by side.
	var many bytes.Buffer
	for range 20 {
		many.WriteString("cp s3://" + r.bucket + "/moved s3://" + r.bucket + "/again\n")
	}
	if _, err := r.command(ctx, &many, r.words(s5cmdRun+"run", subject{})...); err != nil {
		return err
	}
	return r.witness.holds(ctx, "again", noise(12<<20, 8))
}
