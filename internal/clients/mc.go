package main

import (
	"bytes"
	"context"
	"path/filepath"
	"strings"
)

// mc is MinIO's client, without its admin commands, which are not S3.
func mc() client {
	return client{
		name: "mc", install: []string{"mc"},
		env: func(r *round) []string {
			env := []string{"MC_CONFIG_DIR=" + filepath.Join(r.dir, "mc"), "MC_QUIET=1", "MC_NO_COLOR=1", "MC_DISABLE_PAGER=1"}
			for name, endpoint := range map[string]string{"s3": r.server.S3(), "edge": r.server.Edge()} {
				env = append(env, "MC_HOST_"+name+"="+strings.Replace(endpoint, "://", "://"+rootKey+":"+rootSecret+"@", 1))
			}
			return env
		},
		driver: cli{
			makeBucket:   "mc mb {remote}/{bucket}",
			putObject:    "mc cp {file} {remote}/{bucket}/{key}",
			getObject:    "mc cp {remote}/{bucket}/{key} {file}",
			listAll:      "mc ls --recursive {remote}/{bucket}/{prefix}",
			statObject:   "mc stat {remote}/{bucket}/{key}",
			copyObject:   "mc cp {remote}/{bucket}/{from} {remote}/{bucket}/{key}",
			signURL:      "mc share download --expire 5m {remote}/{bucket}/{key}",
			syncUp:       "mc mirror --overwrite {dir} {remote}/{bucket}/{prefix}",
			syncDown:     "mc mirror --overwrite {remote}/{bucket}/{prefix} {dir}",
			removeObject: "mc rm {remote}/{bucket}/{key}",
			removeAll:    "mc rm --recursive --force {remote}/{bucket}",
			removeBucket: "mc rb {remote}/{bucket}",
		},
		unable: map[string]string{
			"odd/a//b":   "it makes one slash of two",
			"odd/x/../y": "it cleans paths",
		},
		more: []step{
			{"pipe, cat, cat from an offset, head", mcStreams},
			{"find, du, diff, tree", mcFind},
			{"tags, metadata", mcTags},
			{"anonymous download", mcAnonymous},
			{"share upload", mcShareUpload},
			{"lifecycle rules", mcLifecycle},
			{"encryption of the bucket", mcEncrypt},
		},
		versions: mcVersions,
	}
}

// each runs commands in their order. Those with a text must print it.
func (r *round) each(ctx context.Context, s subject, commands ...[2]string) error {
	for _, c := range commands {
		if err := r.says(ctx, c[0], s, c[1]); err != nil {
			return err
		}
	}
	return nil
}

func mcStreams(ctx context.Context, r *round) error {
	data := noise(20<<20, 8)
	s := subject{key: "piped", first: 19 << 20}
	if _, err := r.command(ctx, bytes.NewReader(data), r.words("mc pipe {remote}/{bucket}/{key}", s)...); err != nil {
		return err
	}
	if err := r.witness.holds(ctx, s.key, data); err != nil {
		return err
	}
	for command, want := range map[string][]byte{
		"mc cat {remote}/{bucket}/{key}":                  data,
		"mc cat --offset {first} {remote}/{bucket}/{key}": data[s.first:],
	} {
		out, err := r.run(ctx, command, s)
		if err != nil {
			return err
		}
		if err := same(command, []byte(out), want); err != nil {
			return err
		}
	}
	return r.says(ctx, "mc head -n 1 {remote}/{bucket}/{key}", subject{key: "tree/d1/file 0001.txt"}, "d1/file 0001.txt")
}

func mcFind(ctx context.Context, r *round) error {
	return r.each(ctx, subject{prefix: treePrefix, dir: filepath.Join(r.dir, "tree")}, [][2]string{
		{"mc find {remote}/{bucket} --name *0041.txt", "tree/d6/file 0041.txt"},
		{"mc find {remote}/{bucket} --larger 20MiB", "big.bin"},
		{"mc du {remote}/{bucket}", "round-of-mc"},
		{"mc diff {dir} {remote}/{bucket}/{prefix}", ""},
		{"mc tree {remote}/{bucket}", "d6"},
		{"mc ls {remote}", "round-of-mc"},
		{"mc ls --summarize --recursive {remote}/{bucket}/tree", "Total Objects: 1100"},
	}...)
}

func mcTags(ctx context.Context, r *round) error {
	file, err := r.file([]byte("tagged"))
	if err != nil {
		return err
	}
	return r.each(ctx, subject{key: "tagged", file: file}, [][2]string{
		{"mc cp --attr Cache-Control=max-age=90;colour=blue --tags a=1&b=2 {file} {remote}/{bucket}/{key}", ""},
		{"mc stat --json {remote}/{bucket}/{key}", "blue"},
		{"mc tag list {remote}/{bucket}/{key}", "a"},
		{"mc tag set {remote}/{bucket}/{key} c=3", ""},
		{"mc tag list --json {remote}/{bucket}/{key}", `"c":"3"`},
		{"mc tag remove {remote}/{bucket}/{key}", ""},
		{"mc tag set {remote}/{bucket} team=own", ""},
		{"mc tag list --json {remote}/{bucket}", `"team":"own"`},
		{"mc tag remove {remote}/{bucket}", ""},
		{"mc mv {remote}/{bucket}/{key} {remote}/{bucket}/moved", ""},
		{"mc cat {remote}/{bucket}/moved", "tagged"},
	}...)
}

// mcAnonymous opens a prefix to everybody, at S3 and at an edge, and closes it.
func mcAnonymous(ctx context.Context, r *round) error {
	if err := r.witness.put(ctx, map[string]string{"open/a": "for all"}); err != nil {
		return err
	}
	if err := r.each(ctx, subject{}, [][2]string{
		{"mc anonymous set download {remote}/{bucket}/open", ""},
		{"mc anonymous list {remote}/{bucket}", "readonly"},
		{"mc anonymous get {remote}/{bucket}/open", "download"},
	}...); err != nil {
		return err
	}
	for _, endpoint := range []string{r.server.S3(), r.server.Edge()} {
		got, err := fetch(ctx, endpoint+"/"+r.bucket+"/open/a")
		if err != nil {
			return err
		}
		if err := same("open/a", got, []byte("for all")); err != nil {
			return err
		}
		if _, err := fetch(ctx, endpoint+"/"+r.bucket+"/big.bin"); err == nil {
			return wrong("what is not under open/ is open at %s, too", endpoint)
		}
	}
	if err := r.says(ctx, "mc anonymous set none {remote}/{bucket}/open", subject{}); err != nil {
		return err
	}
	if _, err := fetch(ctx, r.server.S3()+"/"+r.bucket+"/open/a"); err == nil {
		return wrong("open/ is still open")
	}
	return nil
}

// mcShareUpload does what the curl command does that it prints.
func mcShareUpload(ctx context.Context, r *round) error {
	out, err := r.run(ctx, "mc share upload --expire 5m {remote}/{bucket}/shared", subject{})
	if err != nil {
		return err
	}
	_, command, ok := strings.Cut(out, "Share: ")
	if !ok {
		return wrong("no command was printed: %s", out)
	}
	file, err := r.file([]byte("from a form"))
	if err != nil {
		return err
	}
	words := strings.Fields(strings.Replace(command, "<FILE>", file, 1))
	if _, err := r.command(ctx, nil, append(words, "-sS", "--fail-with-body")...); err != nil {
		return err
	}
	return r.witness.holds(ctx, "shared", []byte("from a form"))
}

func mcLifecycle(ctx context.Context, r *round) error {
	return r.each(ctx, subject{}, [][2]string{
		{"mc ilm rule add --prefix old/ --expire-days 90 {remote}/{bucket}", ""},
		{"mc ilm rule add --noncurrent-expire-days 7 --noncurrent-expire-newer 2 {remote}/{bucket}", ""},
		{"mc ilm rule ls --json {remote}/{bucket}", "old/"},
		{"mc ilm rule export {remote}/{bucket}", "90"},
		{"mc ilm rule rm --all --force {remote}/{bucket}", ""},
	}...)
}

func mcEncrypt(ctx context.Context, r *round) error {
	return r.each(ctx, subject{}, [][2]string{
		{"mc encrypt set sse-s3 {remote}/{bucket}", ""},
		{"mc encrypt info {remote}/{bucket}", "sse-s3"},
		{"mc cp {remote}/{bucket}/big.bin {remote}/{bucket}/encrypted", ""},
		{"mc stat {remote}/{bucket}/encrypted", "SSE-S3"},
		{"mc encrypt clear {remote}/{bucket}", ""},
	}...)
}

func mcVersions(ctx context.Context, r *round) error {
	if err := r.each(ctx, subject{}, [][2]string{
		{"mc version enable {remote}/{bucket}", ""},
		{"mc version info {remote}/{bucket}", "enabled"},
	}...); err != nil {
		return err
	}
	for _, text := range []string{"first", "second"} {
		if err := r.witness.put(ctx, map[string]string{"kept": text}); err != nil {
			return err
		}
	}
	return r.each(ctx, subject{}, [][2]string{
		{"mc ls --versions {remote}/{bucket}/kept", "v2"},
		{"mc undo --force {remote}/{bucket}/kept", ""},
		{"mc cat {remote}/{bucket}/kept", "first"},
		{"mc rm {remote}/{bucket}/kept", ""},
		{"mc undo --force {remote}/{bucket}/kept", ""},
		{"mc cat {remote}/{bucket}/kept", "first"},
		{"mc version suspend {remote}/{bucket}", ""},
	}...)
}
