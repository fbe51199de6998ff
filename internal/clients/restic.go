package main

import (
	"context"
	"os"
	"path/filepath"
)

// restic keeps backups in a bucket that it makes itself.
func restic() client {
	return client{
		name: "restic", install: []string{"restic"}, version: "restic version",
		env: func(r *round) []string {
			return []string{
				"RESTIC_PASSWORD=clients", "RESTIC_REPOSITORY=s3:" + r.server.S3() + "/" + r.bucket + "/backups",
				"RESTIC_CACHE_DIR=" + filepath.Join(r.dir, "cache"),
			}
		},
		own: []step{
			{"init", func(ctx context.Context, r *round) error { return r.says(ctx, "restic init", subject{}) }},
			{"backup", resticBackup},
			{"check all data", func(ctx context.Context, r *round) error {
				return r.says(ctx, "restic check --read-data", subject{}, "no errors")
			}},
			{"restore", resticRestore},
			{"back up again, nothing changed", func(ctx context.Context, r *round) error {
				return r.says(ctx, "restic backup tree", subject{}, "0 new,     0 changed")
			}},
			{"forget and prune", resticPrune},
			{"restore after prune", resticRestore},
			{"remove the bucket", func(ctx context.Context, r *round) error {
				return r.witness.drop(ctx)
			}},
		},
	}
}

// onlyFirst is a file of 5 MiB that the last backup has no more.
const onlyFirst = "only in the first backup"

func resticBackup(ctx context.Context, r *round) error {
	dir, _, err := r.tree()
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "big.bin"), big(), 0o600); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, onlyFirst), noise(5<<20, 9), 0o600); err != nil {
		return err
	}
	_, err = r.run(ctx, "restic backup tree", subject{})
	return err
}

func resticPrune(ctx context.Context, r *round) error {
	if err := os.Remove(filepath.Join(r.dir, "tree", onlyFirst)); err != nil {
		return err
	}
	before, err := r.witness.size(ctx)
	if err != nil {
		return err
	}
	for _, command := range []string{"restic backup tree", "restic forget --keep-last 1 --prune", "restic check --read-data"} {
		if _, err := r.run(ctx, command, subject{}); err != nil {
			return err
		}
	}
	after, err := r.witness.size(ctx)
	if err == nil && after > before-4<<20 {
		err = wrong("prune left %d of %d bytes, though 5 MiB were of the first backup alone", after, before)
	}
	return err
}

func resticRestore(ctx context.Context, r *round) error {
	to := r.target()
	if _, err := r.run(ctx, "restic restore latest --target {dir}", subject{dir: to}); err != nil {
		return err
	}
	// It restores the whole path that was backed up, or only its last part.
	restored := filepath.Join(to, r.dir, "tree")
	if _, err := os.Stat(restored); err != nil {
		restored = filepath.Join(to, "tree")
	}
	return sameTree(filepath.Join(r.dir, "tree"), restored)
}
