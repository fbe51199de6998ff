package main

import (
	"context"
	"os"
	"path/filepath"
	"strings"
)

// rclone has the server as a remote of some provider, by which it decides what to
// expect of it.
func rclone(provider string) client {
	return client{
		name: "rclone " + provider, install: []string{"rclone"}, version: "rclone version",
		env: func(r *round) []string {
			env := []string{"RCLONE_CONFIG=" + filepath.Join(r.dir, "rclone.conf")}
			for name, endpoint := range map[string]string{"S3": r.server.S3(), "EDGE": r.server.Edge()} {
				remote := "RCLONE_CONFIG_" + name + "_"
				env = append(env, remote+"TYPE=s3", remote+"PROVIDER="+provider, remote+"ENDPOINT="+endpoint,
					remote+"ACCESS_KEY_ID="+rootKey, remote+"SECRET_ACCESS_KEY="+rootSecret, remote+"UPLOAD_CUTOFF=10Mi")
			}
			return env
		},
		prepare: func(r *round) error { return os.WriteFile(filepath.Join(r.dir, "rclone.conf"), nil, 0o600) },
		driver: cli{
			makeBucket:   "rclone mkdir {remote}:{bucket}",
			putObject:    "rclone copyto {file} {remote}:{bucket}/{key}",
			getObject:    "rclone copyto {remote}:{bucket}/{key} {file}",
			readPart:     "rclone cat --offset {first} --count {count} {remote}:{bucket}/{key}",
			listAll:      "rclone lsf -R --s3-list-chunk 400 {remote}:{bucket}/{prefix}",
			statObject:   "rclone lsjson --stat --hash {remote}:{bucket}/{key}",
			copyObject:   "rclone copyto {remote}:{bucket}/{from} {remote}:{bucket}/{key}",
			signURL:      "rclone link --expire 5m {remote}:{bucket}/{key}",
			syncUp:       "rclone sync {dir} {remote}:{bucket}/{prefix}",
			syncDown:     "rclone sync {remote}:{bucket}/{prefix} {dir}",
			removeObject: "rclone deletefile {remote}:{bucket}/{key}",
			removeAll:    "rclone delete {remote}:{bucket}",
			removeBucket: "rclone rmdir {remote}:{bucket}",
		},
		unable: map[string]string{
			"odd/a//b":   "it makes one slash of two",
			"odd/x/../y": "it cleans paths",
		},
		more: []step{
			{"check", rcloneCheck},
			{"stream of unknown size, move, size", rcloneMore},
		},
	}
}

// rcloneCheck compares by hash and by bytes, and must see a difference.
func rcloneCheck(ctx context.Context, r *round) error {
	s := subject{prefix: treePrefix, dir: filepath.Join(r.dir, "tree")}
	for _, command := range []string{
		"rclone check {dir} {remote}:{bucket}/{prefix}",
		"rclone check --download {dir} {remote}:{bucket}/{prefix}",
	} {
		if _, err := r.run(ctx, command, s); err != nil {
			return err
		}
	}
	if err := r.witness.put(ctx, map[string]string{treePrefix + "one more": "x"}); err != nil {
		return err
	}
	if out, err := r.run(ctx, "rclone check {dir} {remote}:{bucket}/{prefix}", s); err == nil {
		return wrong("check found nothing of a file too many: %s", out)
	}
	return nil
}

func rcloneMore(ctx context.Context, r *round) error {
	data := noise(12<<20, 7)
	words := r.words("rclone rcat {remote}:{bucket}/{key}", subject{key: "streamed"})
	if _, err := r.command(ctx, strings.NewReader(string(data)), words...); err != nil {
		return err
	}
	if err := r.witness.holds(ctx, "streamed", data); err != nil {
		return err
	}
	if _, err := r.run(ctx, "rclone moveto {remote}:{bucket}/{from} {remote}:{bucket}/{key}", subject{from: "streamed", key: "moved"}); err != nil {
		return err
	}
	if err := r.witness.gone(ctx, "streamed"); err != nil {
		return err
	}
	if err := r.says(ctx, "rclone size --json {remote}:{bucket}/moved", subject{}, "12582912"); err != nil {
		return err
	}
	return r.witness.holds(ctx, "moved", data)
}
