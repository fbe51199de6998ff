package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

const (
	bigSize = 30 << 20 // uploaded in parts by every client
	// manyFiles is more than one page of a listing or of a DeleteObjects holds.
	manyFiles = 1100
)

// oddNames are keys that are easily got wrong on the way through URLs, paths,
// canonical requests and XML.
func oddNames() []string {
	return []string{
		"odd/with two  spaces.txt", "odd/ünïcödé 写真 📷.jpg", "odd/a//b", "odd/..hidden/b..", "odd/x/../y",
		"odd/plus+and&amp;=,;:@$", "odd/100% %20 %2F", `odd/quo"te's`, "odd/~tilde!(1)'", "odd/<angle> {brace} [square]",
		"odd/what? #why", `odd/back\slash`,
	}
}

func small() []byte { return noise(12_345, 1) }
func big() []byte   { return noise(bigSize, 2) }

// commonSteps are those of the common round that the client can do, its own, and
// the end of the round.
func commonSteps(c *client) []step {
	common := []struct {
		needs action
		step
	}{
		{makeBucket, step{"make a bucket", stepMakeBucket}},
		{putObject, step{"put and get", func(ctx context.Context, r *round) error { return r.putAndGet(ctx, "small.bin", small()) }}},
		{putObject, step{"put and get 30 MiB in parts", stepMultipart}},
		{putObject, step{"odd names", stepOddNames}},
		{statObject, step{"stat", stepStat}},
		{readPart, step{"read a part", stepReadPart}},
		{copyObject, step{"copy on the server", stepCopy}},
		{signURL, step{"signed URLs at S3 and an edge", stepSignURL}},
		{putObject, step{"overwrite", func(ctx context.Context, r *round) error { return r.putAndGet(ctx, "small.bin", noise(23_456, 3)) }}},
		{syncUp, step{"sync up, twice", stepSyncUp}},
		{listAll, step{"list 1,100 keys", stepList}},
		{syncDown, step{"sync down, twice", stepSyncDown}},
	}
	end := []struct {
		needs action
		step
	}{
		{removeObject, step{"delete", stepRemove}},
		{removeAll, step{"delete many", stepRemoveAll}},
		{removeBucket, step{"remove the bucket", stepRemoveBucket}},
	}
	var steps []step
	for _, s := range common {
		if c.driver.can(s.needs) {
			steps = append(steps, s.step)
		}
	}
	steps = append(steps, c.more...)
	for _, s := range end {
		if s.needs == removeBucket && c.versions != nil {
			steps = append(steps, step{"versions", func(ctx context.Context, r *round) error {
				return errors.Join(c.versions(ctx, r), r.witness.forget(ctx))
			}})
		}
		if c.driver.can(s.needs) {
			steps = append(steps, s.step)
		}
	}
	return steps
}

func (r *round) do(ctx context.Context, a action, s subject) ([]byte, error) {
	return r.client.driver.do(ctx, r, a, s)
}

func stepMakeBucket(ctx context.Context, r *round) error {
	if _, err := r.do(ctx, makeBucket, subject{}); err != nil {
		return err
	}
	there, err := r.witness.s3.BucketExists(ctx, r.bucket)
	if err == nil && !there {
		err = wrong("the server has no bucket %s", r.bucket)
	}
	return err
}

// putAndGet uploads and downloads, and looks at the server in between.
func (r *round) putAndGet(ctx context.Context, key string, data []byte) error {
	file, err := r.file(data)
	if err != nil {
		return err
	}
	if _, err := r.do(ctx, putObject, subject{key: key, file: file}); err != nil {
		return err
	}
	if err := r.witness.holds(ctx, key, data); err != nil {
		return err
	}
	return r.get(ctx, key, data)
}

func (r *round) get(ctx context.Context, key string, want []byte) error {
	file := r.target()
	if _, err := r.do(ctx, getObject, subject{key: key, file: file}); err != nil {
		return err
	}
	return sameFile(file, want)
}

func stepMultipart(ctx context.Context, r *round) error {
	if err := r.putAndGet(ctx, "big.bin", big()); err != nil {
		return err
	}
	state, err := r.witness.state(ctx, "big.bin")
	if err == nil && !strings.Contains(strings.Fields(state["big.bin"] + " ")[0], "-") {
		err = wrong("not uploaded in parts: %v", state)
	}
	return err
}

func stepOddNames(ctx context.Context, r *round) error {
	for i, name := range oddNames() {
		if r.client.unable[name] != "" {
			continue
		}
		if err := r.putAndGet(ctx, name, noise(100+i, uint64(10+i))); err != nil { //nolint:gosec // not negative
			return fmt.Errorf("%q: %w", name, err)
		}
	}
	return nil
}

func stepStat(ctx context.Context, r *round) error {
	out, err := r.do(ctx, statObject, subject{key: "small.bin"})
	if err != nil {
		return err
	}
	if !bytes.Contains(out, []byte("12345")) && !bytes.Contains(out, []byte("12 KiB")) {
		return wrong("no size of 12345 in: %s", out)
	}
	return nil
}

func stepReadPart(ctx context.Context, r *round) error {
	s := subject{key: "big.bin", file: r.target(), first: 7<<20 + 1, last: 9 << 20}
	out, err := r.do(ctx, readPart, s)
	if err != nil {
		return err
	}
	want := big()[s.first : s.last+1]
	if _, err := os.Stat(s.file); err == nil {
		return sameFile(s.file, want)
	}
	return same("the part", out, want)
}

func stepCopy(ctx context.Context, r *round) error {
	for from, want := range map[string][]byte{"small.bin": small(), "big.bin": big()} {
		to := "copies of/" + from
		if _, err := r.do(ctx, copyObject, subject{from: from, key: to}); err != nil {
			return err
		}
		if err := r.witness.holds(ctx, to, want); err != nil {
			return err
		}
	}
	return nil
}

// stepSignURL signs an odd name, too, where the client can say it.
func stepSignURL(ctx context.Context, r *round) error {
	objects := map[string][]byte{"small.bin": small(), "odd/with two  spaces.txt": noise(100, 10), "odd/ünïcödé 写真 📷.jpg": noise(101, 11)}
	for key, want := range objects {
		for _, edge := range []bool{false, true} {
			out, err := r.do(ctx, signURL, subject{key: key, edge: edge})
			if err != nil {
				return err
			}
			got, err := fetch(ctx, lastWord(string(out)))
			if err != nil {
				return err
			}
			if err := same(key, got, want); err != nil {
				return err
			}
		}
	}
	return nil
}

// tree writes many small files in some directories, and gives them by name.
func (r *round) tree() (string, map[string]string, error) {
	dir, files := filepath.Join(r.dir, "tree"), map[string]string{}
	for i := range manyFiles {
		name := fmt.Sprintf("d%d/file %04d.txt", i%7, i)
		files[name] = strings.Repeat(name, 1+i%5)
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o700); err != nil {
			return "", nil, err
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(files[name]), 0o600); err != nil {
			return "", nil, err
		}
	}
	return dir, files, nil
}

const treePrefix = "tree/"

// stepSyncUp syncs a tree, once more without a change, and once more with one.
func stepSyncUp(ctx context.Context, r *round) error {
	dir, files, err := r.tree()
	if err != nil {
		return err
	}
	sync := func() (map[string]string, error) {
		if _, err := r.do(ctx, syncUp, subject{dir: dir, prefix: treePrefix}); err != nil {
			return nil, err
		}
		return r.witness.state(ctx, treePrefix)
	}
	first, err := sync()
	if err != nil {
		return err
	}
	if len(first) != len(files) {
		return wrong("%d of %d files are on the server", len(first), len(files))
	}
	again, err := sync()
	if err != nil {
		return err
	}
	if moved := changed(first, again); len(moved) > 0 {
		return wrong("the second sync moved %d files: %.300q", len(moved), moved)
	}
	const edited = "d0/file 0000.txt"
	if err := os.WriteFile(filepath.Join(dir, edited), []byte("another length"), 0o600); err != nil {
		return err
	}
	third, err := sync()
	if err != nil {
		return err
	}
	if moved := changed(again, third); !slices.Equal(moved, []string{treePrefix + edited}) {
		return wrong("one file was edited, and the sync moved %.300q", moved)
	}
	return r.witness.holds(ctx, treePrefix+edited, []byte("another length"))
}

func stepList(ctx context.Context, r *round) error {
	if !r.client.driver.can(syncUp) {
		_, files, err := r.tree()
		if err != nil {
			return err
		}
		keys := map[string]string{}
		for name, text := range files {
			keys[treePrefix+name] = text
		}
		if err := r.witness.put(ctx, keys); err != nil {
			return err
		}
	}
	out, err := r.do(ctx, listAll, subject{prefix: treePrefix})
	if err != nil {
		return err
	}
	for i := range manyFiles {
		if name := fmt.Sprintf("d%d/file %04d.txt", i%7, i); !bytes.Contains(out, []byte(name)) {
			return wrong("%d lines, without %q", bytes.Count(out, []byte("\n")), name)
		}
	}
	return nil
}

func stepSyncDown(ctx context.Context, r *round) error {
	down := filepath.Join(r.dir, "down")
	if err := os.MkdirAll(down, 0o700); err != nil {
		return err
	}
	var before map[string]time.Time
	for range 2 {
		if _, err := r.do(ctx, syncDown, subject{prefix: treePrefix, dir: down}); err != nil {
			return err
		}
		if err := sameTree(filepath.Join(r.dir, "tree"), down); err != nil {
			return err
		}
		after, err := inodes(down)
		if err != nil {
			return err
		}
		if before != nil && !maps.Equal(before, after) {
			return wrong("the second sync wrote files again")
		}
		before = after
	}
	return nil
}

// inodes tells when each file below dir was last written.
func inodes(dir string) (map[string]time.Time, error) {
	written := map[string]time.Time{}
	return written, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err == nil {
			written[path] = info.ModTime()
		}
		return err
	})
}

// sameTree fails unless the files below got are those below want.
func sameTree(want, got string) error {
	wanted, err := inodes(want)
	if err != nil {
		return err
	}
	have, err := inodes(got)
	if err != nil {
		return err
	}
	if len(have) != len(wanted) {
		return wrong("%d files, want %d", len(have), len(wanted))
	}
	for path := range wanted {
		data, err := os.ReadFile(path) //nolint:gosec // our own
		if err != nil {
			return err
		}
		if err := sameFile(filepath.Join(got, strings.TrimPrefix(path, want)), data); err != nil {
			return err
		}
	}
	return nil
}

func stepRemove(ctx context.Context, r *round) error {
	if _, err := r.do(ctx, removeObject, subject{key: "small.bin"}); err != nil {
		return err
	}
	return r.witness.gone(ctx, "small.bin")
}

func stepRemoveAll(ctx context.Context, r *round) error {
	if _, err := r.do(ctx, removeAll, subject{}); err != nil {
		return err
	}
	left, err := r.witness.state(ctx, "")
	if err == nil && len(left) > 0 {
		err = wrong("%d objects are left: %.300q", len(left), slices.Collect(maps.Keys(left)))
	}
	return err
}

func stepRemoveBucket(ctx context.Context, r *round) error {
	if _, err := r.do(ctx, removeBucket, subject{}); err != nil {
		return err
	}
	there, err := r.witness.s3.BucketExists(ctx, r.bucket)
	if err == nil && there {
		err = wrong("the bucket is still there")
	}
	return err
}
