package main

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
)

// s3cmd uploads in parts of 15 MiB, and keeps the times of files in metadata.
func s3cmd() client {
	return client{
		name: "s3cmd", install: []string{"s3cmd"}, version: "s3cmd --version",
		prepare: func(r *round) error {
			for name, endpoint := range map[string]string{"s3": r.server.S3(), "edge": r.server.Edge()} {
				u, err := url.Parse(endpoint)
				if err != nil {
					return err
				}
				config := fmt.Sprintf("[default]\naccess_key = %s\nsecret_key = %s\nhost_base = %s\nhost_bucket = %s\nuse_https = False\n",
					rootKey, rootSecret, u.Host, u.Host)
				if err := os.WriteFile(filepath.Join(r.dir, name+".s3cfg"), []byte(config), 0o600); err != nil {
					return err
				}
			}
			return nil
		},
		driver: cli{
			makeBucket:   "s3cmd -c {home}/{remote}.s3cfg mb s3://{bucket}",
			putObject:    "s3cmd -c {home}/{remote}.s3cfg --no-progress put {file} s3://{bucket}/{key}",
			getObject:    "s3cmd -c {home}/{remote}.s3cfg --no-progress get s3://{bucket}/{key} {file}",
			listAll:      "s3cmd -c {home}/{remote}.s3cfg ls --recursive s3://{bucket}/{prefix}",
			statObject:   "s3cmd -c {home}/{remote}.s3cfg info s3://{bucket}/{key}",
			copyObject:   "s3cmd -c {home}/{remote}.s3cfg cp s3://{bucket}/{from} s3://{bucket}/{key}",
			syncUp:       "s3cmd -c {home}/{remote}.s3cfg --no-progress sync {dir}/ s3://{bucket}/{prefix}",
			syncDown:     "s3cmd -c {home}/{remote}.s3cfg --no-progress sync s3://{bucket}/{prefix} {dir}/",
			removeObject: "s3cmd -c {home}/{remote}.s3cfg del s3://{bucket}/{key}",
			removeAll:    "s3cmd -c {home}/{remote}.s3cfg del --recursive --force s3://{bucket}",
			removeBucket: "s3cmd -c {home}/{remote}.s3cfg rb s3://{bucket}",
		},
		more: []step{
			{"signed URL (Signature Version 2)", s3cmdSign},
			{"go on with a download", s3cmdContinue},
			{"metadata, ACL and policy", s3cmdMore},
		},
	}
}

const s3cmdRun = "s3cmd -c {home}/{remote}.s3cfg --no-progress "

// s3cmdSign signs by Version 2, whatever it is told: S3 endpoints alone take that.
func s3cmdSign(ctx context.Context, r *round) error {
	out, err := r.run(ctx, s3cmdRun+"signurl s3://{bucket}/{key} +300", subject{key: "big.bin"})
	if err != nil {
		return err
	}
	got, err := fetch(ctx, lastWord(out))
	if err != nil {
		return err
	}
	return same("big.bin", got, big())
}

func s3cmdContinue(ctx context.Context, r *round) error {
	begun, err := r.file(big()[:10<<20])
	if err != nil {
		return err
	}
	if _, err := r.run(ctx, s3cmdRun+"get --continue s3://{bucket}/{key} {file}", subject{key: "big.bin", file: begun}); err != nil {
		return err
	}
	return sameFile(begun, big())
}

func s3cmdMore(ctx context.Context, r *round) error {
	policy, err := r.file([]byte(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*","Action":"s3:GetObject","Resource":"arn:aws:s3:::` + r.bucket + `/open/*"}]}`))
	if err != nil {
		return err
	}
	s := subject{key: "big.bin", file: policy}
	for command, want := range map[string]string{
		"modify --add-header=Cache-Control:max-age=77 s3://{bucket}/{key}": "",
		"setacl --acl-public s3://{bucket}/{key}":                          "",
		"setpolicy {file} s3://{bucket}":                                   "",
		"du s3://{bucket}":                                                 "objects",
	} {
		if err := r.says(ctx, s3cmdRun+command, s, want); err != nil {
			return err
		}
	}
	if err := r.says(ctx, s3cmdRun+"info s3://{bucket}", s, "s3:GetObject"); err != nil {
		return err
	}
	if _, err := r.run(ctx, s3cmdRun+"delpolicy s3://{bucket}", s); err != nil {
		return err
	}
	return r.witness.holds(ctx, s.key, big())
}
