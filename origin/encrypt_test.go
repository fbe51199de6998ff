package origin_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"meridian/internal/checksum"
	"meridian/internal/sse"
	"meridian/metadata"
	"meridian/metadata/postgres"
	"meridian/metadata/postgres/pgtest"
	"meridian/origin"
	"meridian/origin/blob"
	"meridian/origin/blob/bucket"
	"meridian/origin/blob/disk"
	"meridian/origin/blob/minio"
	"meridian/origin/blob/miniotest"
	"meridian/origin/crypt"
	"meridian/origin/record"
	"meridian/upload"
)

// marker is what must lie nowhere in clear.
const marker = "Nobody but us may read this. "

func secret(n int) string { return strings.Repeat(marker, n/len(marker)+1)[:n] }

func ring(t testing.TB, keys ...byte) *sse.Ring {
	t.Helper()
	var list [][32]byte
	for _, k := range keys {
		list = append(list, [32]byte{k})
	}
	r, err := sse.NewRing(list...)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// vault is a region that encrypts.
type vault struct {
	t       *testing.T
	store   blob.Store
	catalog *postgres.Store
	objects *origin.Objects
	uploads *upload.Manager
}

func newVault(t *testing.T, store blob.Store, keys *crypt.Keys) *vault {
	t.Helper()
	v := &vault{t: t, store: store, catalog: pgtest.New(t)}
	if _, err := v.catalog.CreateBucket(t.Context(), metadata.Bucket{Name: "photos", Region: pgtest.Region, Owner: "root"}); err != nil {
		t.Fatal(err)
	}
	v.use(keys)
	return v
}

// use makes the region one with other keys.
func (v *vault) use(keys *crypt.Keys) {
	log := slog.New(slog.DiscardHandler)
	v.objects = origin.New(origin.Options{Region: pgtest.Region, Store: v.store, Catalog: v.catalog, Log: log, Crypt: keys})
	v.uploads = upload.New(upload.Options{Region: pgtest.Region, Store: v.store, Catalog: v.catalog, Log: log, Crypt: keys})
}

func (v *vault) rule(algorithm string) {
	v.t.Helper()
	_, err := v.catalog.UpdateBucket(v.t.Context(), "photos", func(b *metadata.Bucket) error {
		b.Config = map[string]json.RawMessage{metadata.EncryptionConfig: json.RawMessage(`{"algorithm":"` + algorithm + `"}`)}
		return nil
	})
	if err != nil {
		v.t.Fatal(err)
	}
}

func (v *vault) put(key, body string, e *metadata.Encryption) metadata.Version {
	v.t.Helper()
	in := input(key, body)
	in.Template.Encryption = e
	in.Algorithms = []checksum.Algorithm{checksum.CRC64NVME}
	done, err := v.objects.Put(v.t.Context(), in)
	if err != nil {
		v.t.Fatal(err)
	}
	return done
}

// found is a version as the catalogue has it.
func (v *vault) found(done metadata.Version) metadata.Version {
	v.t.Helper()
	found, err := v.objects.Stat(v.t.Context(), metadata.Ref{Bucket: done.Bucket, Key: done.Key, VersionID: done.ID})
	if err != nil {
		v.t.Fatal(err)
	}
	return found
}

// reads compares a version, whole and in ranges, with what it should be.
func (v *vault) reads(done metadata.Version, want string) {
	v.t.Helper()
	size := int64(len(want))
	for _, r := range [][2]int64{{0, -1}, {0, 1}, {size - 1, 1}, {size / 2, 70_000}, {65535, 2}, {65536, 65536}, {size, 5}, {size + 5, -1}} {
		got, local, err := readAll(v.t, v.objects, done, r[0], r[1])
		from := min(r[0], size)
		to := size
		if r[1] >= 0 {
			to = min(from+r[1], size)
		}
		if err != nil || !local || got != want[from:to] {
			v.t.Errorf("%s, %d+%d: %d bytes, local %t, %v", done.Key, r[0], r[1], len(got), local, err)
		}
	}
}

func customer(b byte) *metadata.Encryption {
	return &metadata.Encryption{Kind: metadata.CustomerKeys, Customer: &[32]byte{b}}
}

// with gives the key of a customer to a version.
func with(v metadata.Version, key byte) metadata.Version {
	e := *v.Encryption
	e.Customer = &[32]byte{key}
	v.Encryption = &e
	return v
}

func TestEncryptedObjects(t *testing.T) {
	t.Parallel()
	t.Run("disk", func(t *testing.T) {
		t.Parallel()
		dir := t.TempDir()
		store, err := disk.Open(disk.Config{Dir: dir, HeadRoom: -1})
		if err != nil {
			t.Fatal(err)
		}
		defer store.Close()
		encryptedObjects(t, store)
		err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			b, err := os.ReadFile(path)
			if bytes.Contains(b, []byte(marker)) {
				t.Errorf("%s holds plain text", path)
			}
			return err
		})
		if err != nil {
			t.Error(err)
		}
	})
	t.Run("minio", func(t *testing.T) {
		t.Parallel()
		server := miniotest.Shared(t)
		store, err := minio.Open(t.Context(), bucket.Config{
			Endpoint: server.URL, Region: "us-east-1", Bucket: server.Bucket(), AccessKey: miniotest.AccessKey, SecretKey: miniotest.SecretKey,
		})
		if err != nil {
			t.Fatal(err)
		}
		encryptedObjects(t, store)
	})
}

func encryptedObjects(t *testing.T, store blob.Store) {
	t.Helper()
	v := newVault(t, store, &crypt.Keys{Ring: ring(t, 1)})
	v.rule(crypt.Algorithm)
	body := secret(200_000)
	byServer := v.put("by the server", body, nil)
	if byServer.ETag != md5Hex(body) || byServer.Size != int64(len(body)) || byServer.Checksums["crc64nvme"] != checksum.EncodeCRC64(checksum.Sum64([]byte(body))) {
		t.Errorf("put %+v", byServer)
	}
	byCustomer := v.put("by the customer", body, customer(9))
	if byCustomer.ETag == md5Hex(body) || len(byCustomer.ETag) != 32 || byCustomer.Size != int64(len(body)) {
		t.Errorf("put %+v", byCustomer)
	}
	many := v.multipart("film", nil, 6<<20, 5<<20+3, 1)
	for _, done := range []metadata.Version{byServer, byCustomer, many} {
		v.stored(done)
	}
	v.reads(v.found(byServer), body)
	v.reads(with(v.found(byCustomer), 9), body)
	v.reads(v.found(many), secret(11<<20+4))

	if _, _, err := readAll(t, v.objects, v.found(byCustomer), 0, -1); !errors.Is(err, crypt.ErrKeyNeeded) {
		t.Errorf("without the key: %v", err)
	}
	if _, _, err := readAll(t, v.objects, with(v.found(byCustomer), 8), 0, -1); !errors.Is(err, sse.ErrWrongKey) {
		t.Errorf("with another key: %v", err)
	}

	// A copy is encrypted as its own words and its bucket have it, not as its
	// source is.
	for key, src := range map[string]metadata.Version{"copy of server's": v.found(byServer), "copy of customer's": with(v.found(byCustomer), 9)} {
		copied, err := v.objects.Copy(t.Context(), src, input(key, ""))
		if err != nil || copied.ETag != md5Hex(body) || copied.Encryption == nil || copied.Encryption.Kind != metadata.ServerKeys {
			t.Errorf("%s: %+v, %v", key, copied, err)
			continue
		}
		v.stored(copied)
		v.reads(v.found(copied), body)
	}
	empty := v.found(v.put("empty", "", nil))
	if got, _, err := readAll(t, v.objects, empty, 0, -1); got != "" || err != nil || empty.Size != 0 {
		t.Errorf("empty: %q, %v", got, err)
	}
}

// multipart makes an object of parts of these sizes, the text of secret.
func (v *vault) multipart(key string, e *metadata.Encryption, sizes ...int) metadata.Version {
	v.t.Helper()
	ctx := v.t.Context()
	total := 0
	for _, n := range sizes {
		total += n
	}
	rest := secret(total)
	begun, err := v.uploads.Begin(ctx, metadata.Version{Bucket: "photos", Key: key, Owner: "root", Encryption: e}, "", "")
	if err != nil {
		v.t.Fatal(err)
	}
	u, err := v.catalog.Upload(ctx, "photos", key, begun.ID) // as other requests have it
	if err != nil {
		v.t.Fatal(err)
	}
	var parts []upload.CompletePart
	for i, n := range sizes {
		put := func(size int64) (metadata.Part, error) {
			return v.uploads.PutPart(ctx, u, i+1, size, strings.NewReader(rest[:n]), nil, nil)
		}
		if _, err := put(int64(n)); err != nil { // and again, with another salt
			v.t.Fatal(err)
		}
		if _, err := put(int64(n + 1)); !errors.Is(err, blob.ErrSize) {
			v.t.Errorf("a part that is too short: %v", err)
		}
		p, err := put(int64(n))
		if err != nil || p.Size != int64(n) {
			v.t.Fatalf("%+v, %v", p, err)
		}
		parts = append(parts, upload.CompletePart{Number: p.Number, ETag: p.ETag})
		rest = rest[n:]
	}
	done, err := v.uploads.Complete(ctx, u, parts, upload.CompleteOptions{Size: int64(total)})
	if err != nil {
		v.t.Fatal(err)
	}
	if want := checksum.EncodeCRC64(checksum.Sum64([]byte(secret(total)))); done.Checksums["crc64nvme"] != want {
		v.t.Errorf("%s: checksums %v, want %s", key, done.Checksums, want)
	}
	return done
}

// stored looks at the blob of a version.
func (v *vault) stored(done metadata.Version) {
	v.t.Helper()
	body, err := v.store.Open(v.t.Context(), done.Blob, 0, -1)
	if err != nil {
		v.t.Fatal(err)
	}
	defer body.Close()
	b, err := io.ReadAll(body)
	if err != nil || int64(len(b)) != done.StoredSize() || checksum.Sum64(b) != done.CRC64 {
		v.t.Errorf("%s: %d bytes of %d, checksum %x of %x, %v", done.Key, len(b), done.StoredSize(), checksum.Sum64(b), done.CRC64, err)
	}
	if bytes.Contains(b, []byte(marker)) {
		v.t.Errorf("the blob of %s is in clear", done.Key)
	}
	info, err := v.store.Stat(v.t.Context(), done.Blob)
	if told, _, e := record.Parse(info.Meta); err != nil || e != nil || told.Encryption == nil || told.Encryption.Kind != done.Encryption.Kind {
		v.t.Errorf("the blob of %s does not say that it is encrypted: %v, %v, %v", done.Key, info.Meta, err, e)
	}
}

func diskVault(t *testing.T, keys *crypt.Keys) *vault {
	t.Helper()
	store, err := disk.Open(disk.Config{Dir: t.TempDir(), HeadRoom: -1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	return newVault(t, store, keys)
}

// TestPartsOfOddSizes: the place of a byte follows from the parts' sizes.
func TestPartsOfOddSizes(t *testing.T) {
	t.Parallel()
	v := diskVault(t, &crypt.Keys{Ring: ring(t, 1), All: true})
	v.uploads.MinPart = 1
	sizes := []int{65536, 1, 65535, 65537, 3, 200_000}
	done := v.found(v.multipart("odd", nil, sizes...))
	want := secret(int(done.Size))
	at := int64(0)
	for _, n := range sizes {
		for _, from := range []int64{at - 1, at, at + 1, at + int64(n) - 1} {
			for _, length := range []int64{1, 2, int64(n), 70_000} {
				if from < 0 {
					continue
				}
				got, _, err := readAll(t, v.objects, done, from, length)
				if err != nil || got != want[from:min(from+length, done.Size)] {
					t.Fatalf("%d+%d: %d bytes, %v", from, length, len(got), err)
				}
			}
		}
		at += int64(n)
	}
}

func TestOriginsWithoutTheKey(t *testing.T) {
	t.Parallel()
	v := diskVault(t, &crypt.Keys{Ring: ring(t, 1)})
	v.rule(crypt.Algorithm)
	done := v.found(v.put("key", secret(100), nil))
	for name, c := range map[string]struct {
		keys       *crypt.Keys
		read, lock error
	}{
		"none":    {nil, crypt.ErrNoRing, crypt.ErrNoRing},
		"another": {&crypt.Keys{Ring: ring(t, 2)}, sse.ErrNoMasterKey, nil},
		"newer":   {&crypt.Keys{Ring: ring(t, 2, 1)}, nil, nil},
	} {
		v.use(c.keys)
		if _, _, err := readAll(t, v.objects, done, 0, -1); !errors.Is(err, c.read) {
			t.Errorf("%s: read: %v, want %v", name, err, c.read)
		}
		in := input("new "+name, "")
		if c.lock != nil { // the body is not even looked at
			in.Body = untouched{t}
		}
		if _, err := v.objects.Put(t.Context(), in); !errors.Is(err, c.lock) {
			t.Errorf("%s: put: %v, want %v", name, err, c.lock)
		}
		if _, err := v.uploads.Begin(t.Context(), in.Template, "", ""); !errors.Is(err, c.lock) {
			t.Errorf("%s: begin: %v, want %v", name, err, c.lock)
		}
		// Customers' keys need no master key.
		mine := with(v.found(v.put("mine", "hers", customer(3))), 3)
		if got, _, err := readAll(t, v.objects, mine, 0, -1); got != "hers" || err != nil {
			t.Errorf("%s: a customer's: %q, %v", name, got, err)
		}
	}
}

// TestABlobThatWasTouched: what a store gives back is believed only as far as it
// proves itself.
func TestABlobThatWasTouched(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	store, err := disk.Open(disk.Config{Dir: dir, HeadRoom: -1})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	v := newVault(t, store, &crypt.Keys{Ring: ring(t, 1), All: true})
	body := secret(200_000)
	for name, touch := range map[string]func(b []byte) []byte{
		"flipped": func(b []byte) []byte { b[70_000] ^= 1; return b },
		"cut":     func(b []byte) []byte { return b[:len(b)-1] },
		"grown":   func(b []byte) []byte { return append(b[:131072], b...) },
	} {
		done := v.found(v.put(name, body, nil))
		path := filepath.Join(dir, "blobs", "photos", done.ID[6:8], done.ID)
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, touch(b), 0o600); err != nil {
			t.Fatal(err)
		}
		got, _, err := readAll(t, v.objects, done, 0, -1)
		if err == nil || !strings.HasPrefix(body, got) {
			t.Errorf("%s: read %d bytes, %v", name, len(got), err)
		}
		if _, err := v.objects.Copy(t.Context(), done, input("copy of "+name, "")); err == nil {
			t.Errorf("%s: it was copied", name)
		}
	}
}

func BenchmarkObjects(b *testing.B) {
	const size = 64 << 20
	store, err := disk.Open(disk.Config{Dir: b.TempDir(), HeadRoom: -1})
	if err != nil {
		b.Fatal(err)
	}
	defer store.Close()
	catalog := pgtest.New(b)
	if _, err := catalog.CreateBucket(b.Context(), metadata.Bucket{Name: "photos", Region: pgtest.Region, Owner: "root"}); err != nil {
		b.Fatal(err)
	}
	body := secret(size)
	for _, all := range []bool{false, true} {
		objects := origin.New(origin.Options{
			Region: pgtest.Region, Store: store, Catalog: catalog, Log: slog.New(slog.DiscardHandler), Crypt: &crypt.Keys{Ring: ring(b, 1), All: all},
		})
		b.Run(fmt.Sprintf("put/encrypted=%t", all), func(b *testing.B) {
			b.SetBytes(size)
			for b.Loop() {
				in := input("key", body)
				in.Algorithms = []checksum.Algorithm{checksum.CRC64NVME}
				if _, err := objects.Put(context.Background(), in); err != nil {
					b.Fatal(err)
				}
			}
		})
		v, err := objects.Stat(b.Context(), metadata.Ref{Bucket: "photos", Key: "key"})
		if err != nil {
			b.Fatal(err)
		}
		b.Run(fmt.Sprintf("get/encrypted=%t", all), func(b *testing.B) {
			b.SetBytes(size)
			for b.Loop() {
				r, _, err := objects.Open(context.Background(), v, 0, -1)
				if err != nil {
					b.Fatal(err)
				}
				if n, err := io.Copy(io.Discard, r); n != size || err != nil {
					b.Fatal(n, err)
				}
				_ = r.Close()
			}
		})
	}
}

// TestRotation replaces the master key under objects, versions and an upload in
// progress.
func TestRotation(t *testing.T) {
	t.Parallel()
	v := diskVault(t, &crypt.Keys{Ring: ring(t, 1), All: true})
	v.uploads.MinPart = 1
	first := v.put("key", "first", nil)
	many := v.multipart("many", nil, 100_000, 5)
	mine := v.put("mine", "hers", customer(3))
	begun, err := v.uploads.Begin(t.Context(), metadata.Version{Bucket: "photos", Key: "running", Owner: "root"}, "", "")
	if err != nil {
		t.Fatal(err)
	}
	blobs := map[string]uint64{}
	for _, key := range v.blobs() {
		info, err := v.store.Stat(t.Context(), key)
		if err != nil {
			t.Fatal(err)
		}
		blobs[key] = info.CRC64
	}

	both := ring(t, 2, 1)
	v.use(&crypt.Keys{Ring: both, All: true})
	rewrapper := crypt.Rewrapper{Ring: both, Catalog: v.catalog, Log: slog.New(slog.DiscardHandler)}
	if n, err := rewrapper.Round(t.Context()); n != 3 || err != nil {
		t.Errorf("wrapped %d, %v; want two versions and an upload", n, err)
	}
	if n, err := rewrapper.Round(t.Context()); n != 0 || err != nil {
		t.Errorf("wrapped %d more, %v", n, err)
	}
	for key, sum := range blobs {
		if info, err := v.store.Stat(t.Context(), key); err != nil || info.CRC64 != sum {
			t.Errorf("blob %s has changed: %v", key, err)
		}
	}

	v.use(&crypt.Keys{Ring: ring(t, 2), All: true})
	v.reads(v.found(first), "first")
	v.reads(v.found(many), secret(100_005))
	v.reads(with(v.found(mine), 3), "hers")
	u, err := v.catalog.Upload(t.Context(), "photos", "running", begun.ID)
	if err != nil {
		t.Fatal(err)
	}
	p, err := v.uploads.PutPart(t.Context(), u, 1, 4, strings.NewReader("last"), nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	done, err := v.uploads.Complete(t.Context(), u, []upload.CompletePart{{Number: 1, ETag: p.ETag}}, upload.CompleteOptions{Size: -1})
	if err != nil {
		t.Fatal(err)
	}
	v.reads(v.found(done), "last")
}

func (v *vault) blobs() (keys []string) {
	v.t.Helper()
	for info, err := range v.store.List(v.t.Context(), "") {
		if err != nil {
			v.t.Fatal(err)
		}
		keys = append(keys, info.Key)
	}
	return keys
}
