package upload

import (
	"context"
	"crypto/md5"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"meridian/internal/checksum"
	"meridian/metadata"
	"meridian/metadata/admit"
	"meridian/metadata/media/probe"
	"meridian/origin/blob"
	"meridian/origin/crypt"
)

// Values of metadata.Version.ChecksumType.
const (
	fullObject = "FULL_OBJECT"
	composite  = "COMPOSITE"
)

// completeTimeout is how long store and catalogue may take to make an object of
// parts that are all there, whatever became of the client. A store on S3 needs
// longer than a disk.
const completeTimeout = 2 * time.Minute

// CompletePart is a part as the client names it.
type CompletePart struct {
	Number    int
	ETag      string            // without quotes
	Checksums map[string]string // by algorithm; may be empty
}

// CompleteOptions are what the client says of the whole object.
type CompleteOptions struct {
	Cond metadata.Cond
	// Checksums is the announced checksum of the object by algorithm; empty
	// where none was.
	Checksums map[string]string
	Size      int64 // announced; -1 where it was not
}

// Complete makes the object of exactly the named parts. Nothing is changed
// before all of them, and the precondition, were checked. Where another Complete
// of the same parts was faster its answer is given.
func (m *Manager) Complete(ctx context.Context, u metadata.Upload, named []CompletePart, o CompleteOptions) (metadata.Version, error) {
	if err := m.here(u); err != nil {
		return metadata.Version{}, err
	}
	v, err := m.complete(ctx, u, named, o)
	switch {
	case errors.Is(err, metadata.ErrNoSuchUpload), errors.Is(err, metadata.ErrInvalidPart), errors.Is(err, metadata.ErrPrecondition):
		// These are also what is met by who comes second.
		bucket, key := u.Template.Bucket, u.Template.Key
		if same, e := m.Completed(ctx, bucket, key, u.ID, named); e == nil {
			return same, nil
		}
		if _, e := m.Catalog.Upload(ctx, bucket, key, u.ID); errors.Is(e, metadata.ErrNoSuchUpload) {
			return metadata.Version{}, e
		}
	}
	return v, err
}

func (m *Manager) complete(ctx context.Context, u metadata.Upload, named []CompletePart, o CompleteOptions) (metadata.Version, error) {
	parts, err := m.choose(ctx, u, named)
	if err != nil {
		return metadata.Version{}, err
	}
	v, err := assemble(u, parts)
	if err != nil {
		return metadata.Version{}, err
	}
	if err := announced(v, o); err != nil {
		return metadata.Version{}, err
	}
	// The store's part of an upload can be completed once; so a condition that
	// does not hold is found before it.
	if err := m.check(ctx, u, o.Cond); err != nil {
		return metadata.Version{}, err
	}
	b, err := m.Catalog.Bucket(ctx, v.Bucket)
	if err != nil {
		return metadata.Version{}, err
	}
	if err := admit.Early(ctx, m.Catalog, &b, &v, v.Size); err != nil {
		return metadata.Version{}, err
	}

	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), completeTimeout)
	defer cancel()
	stored := make([]blob.Part, len(parts))
	for i, p := range parts {
		stored[i] = storePart(&u, p)
	}
	info, err := m.Store.Complete(ctx, u.StoreUpload, stored)
	if err != nil {
		return metadata.Version{}, m.known(err)
	}
	if info.Size != v.StoredSize() || info.CRC64 != 0 && info.CRC64 != v.CRC64 {
		return metadata.Version{}, fmt.Errorf("complete upload %s: the store made %d bytes with checksum %x, not %d with %x", u.ID, info.Size, info.CRC64, v.StoredSize(), v.CRC64)
	}
	v.Modified = m.Now().UTC().Truncate(time.Millisecond)
	if err = m.admitWhole(ctx, &b, &v); err == nil {
		// If it was aborted meanwhile, Abort has freed the blob or will.
		var done metadata.Version
		if done, err = m.Catalog.CompleteUpload(ctx, u.ID, v, o.Cond); err == nil {
			return done, nil
		}
	}
	if errors.Is(err, metadata.ErrTypeRefused) || errors.Is(err, metadata.ErrQuota) {
		// The store has joined the parts, so nobody can make anything else of
		// them.
		if abortErr := m.Abort(ctx, u); abortErr != nil {
			m.Log.Warn("an upload that was refused is left to expire", "upload", u.ID, "err", abortErr)
		}
	}
	return metadata.Version{}, err
}

// admitWhole looks at the first bytes of what the parts have become: the client
// may have made it of other parts than the one that was looked at when it came.
// Where nothing else tells what v is, they do.
func (m *Manager) admitWhole(ctx context.Context, b *metadata.Bucket, v *metadata.Version) error {
	untold := metadata.MediaType(v.ContentType, v.Key) == ""
	if len(b.UploadRules.Types) == 0 && !untold {
		return nil
	}
	n := min(v.Size, probe.SniffLen)
	if n == 0 {
		return admit.Head(b, v.ContentType, nil)
	}
	body, err := m.openHead(ctx, v, n)
	if errors.Is(err, crypt.ErrKeyNeeded) && len(b.UploadRules.Types) == 0 {
		return nil // what is only for who has the key is nothing to us
	}
	if err != nil {
		return fmt.Errorf("look at upload %s: %w", v.ID, err)
	}
	defer body.Close()
	head, err := io.ReadAll(io.LimitReader(body, n))
	if err != nil {
		return fmt.Errorf("look at upload %s: %w", v.ID, err)
	}
	if untold {
		v.Sniffed = admit.MediaOf(head)
	}
	return admit.Head(b, v.ContentType, head)
}

// openHead reads the first n bytes of a version whose blob is in the own store.
func (m *Manager) openHead(ctx context.Context, v *metadata.Version, n int64) (io.ReadCloser, error) {
	stored := func(off, n int64) (io.ReadCloser, error) { return m.Store.Open(ctx, v.Blob, off, n) }
	if v.Encryption == nil {
		return stored(0, n)
	}
	if err := m.Crypt.Unlock(v); err != nil {
		return nil, err
	}
	return crypt.Open(v, 0, n, stored)
}

// Completed finds the object that an upload has become, if it was made of these
// parts: the answer to a Complete that comes again. ErrNoSuchUpload otherwise.
func (m *Manager) Completed(ctx context.Context, bucket, key, uploadID string, named []CompletePart) (metadata.Version, error) {
	v, err := m.Catalog.Lookup(ctx, metadata.Ref{Bucket: bucket, Key: key, VersionID: uploadID})
	switch {
	case errors.Is(err, metadata.ErrNoSuchVersion), errors.Is(err, metadata.ErrNoSuchKey), errors.Is(err, metadata.ErrDeleteMarker):
		return metadata.Version{}, fmt.Errorf("%w: %s", metadata.ErrNoSuchUpload, uploadID)
	case err != nil:
		return metadata.Version{}, err
	}
	etags := make([]string, len(named))
	for i, p := range named {
		etags[i] = p.ETag
	}
	if etag, err := multipartETag(etags); err != nil || etag != v.ETag {
		return metadata.Version{}, fmt.Errorf("%w: %s", metadata.ErrNoSuchUpload, uploadID)
	}
	return v, nil
}

// choose finds the recorded parts that the client names.
func (m *Manager) choose(ctx context.Context, u metadata.Upload, named []CompletePart) ([]metadata.Part, error) {
	if len(named) == 0 {
		return nil, metadata.Invalidf("an upload is completed with at least one part")
	}
	for i, n := range named[1:] {
		if n.Number <= named[i].Number {
			return nil, fmt.Errorf("%w: %d comes after %d", ErrPartOrder, n.Number, named[i].Number)
		}
	}
	recorded := map[int]metadata.Part{}
	for p, err := range m.Catalog.Parts(ctx, u.ID, 0) {
		if err != nil {
			return nil, err
		}
		recorded[p.Number] = p
	}
	parts := make([]metadata.Part, len(named))
	for i, n := range named {
		p, ok := recorded[n.Number]
		if !ok || !strings.EqualFold(p.ETag, n.ETag) {
			return nil, fmt.Errorf("%w: part %d with ETag %s", metadata.ErrInvalidPart, n.Number, n.ETag)
		}
		for alg, sum := range n.Checksums {
			if p.Checksums[alg] != sum {
				return nil, fmt.Errorf("%w: part %d with %s %s", metadata.ErrInvalidPart, n.Number, alg, sum)
			}
		}
		if p.Size < m.MinPart && i < len(named)-1 {
			return nil, fmt.Errorf("%w: part %d has %d bytes of at least %d", ErrPartTooSmall, n.Number, p.Size, m.MinPart)
		}
		parts[i] = p
	}
	return parts, nil
}

// assemble is the version that the parts make.
func assemble(u metadata.Upload, parts []metadata.Part) (metadata.Version, error) {
	v := u.Template
	etags := make([]string, len(parts))
	v.Parts = make([]metadata.ObjectPart, len(parts))
	if v.Encryption != nil {
		e := *v.Encryption
		v.Encryption = &e
	}
	for i, p := range parts {
		etags[i] = p.ETag
		v.Parts[i] = metadata.ObjectPart{Number: p.Number, Size: p.Size, Checksums: p.Checksums, Salt: p.Salt}
		stored := crypt.StoredSize(v.Encryption, p.Size)
		if v.Encryption != nil {
			v.Encryption.Stored += stored
		}
		v.CRC64 = checksum.CombineCRC64(v.CRC64, p.CRC64, stored)
		if v.Size += p.Size; v.Size > MaxObjectSize {
			return metadata.Version{}, fmt.Errorf("%w: more than %d bytes", ErrTooLarge, int64(MaxObjectSize))
		}
	}
	var err error
	if v.ETag, err = multipartETag(etags); err != nil {
		return metadata.Version{}, err
	}
	alg := checksum.Algorithm(u.ChecksumAlgorithm)
	kind := u.ChecksumType
	if alg == "" {
		// As S3 does where the client chose nothing.
		alg, kind = checksum.CRC64NVME, fullObject
		if v.Encryption == nil { // the blob is the object
			v.Checksums, v.ChecksumType = map[string]string{string(alg): checksum.EncodeCRC64(v.CRC64)}, kind
			return v, nil
		}
	}
	sum, err := wholeSum(alg, kind, parts)
	if err != nil {
		return metadata.Version{}, err
	}
	v.Checksums, v.ChecksumType = map[string]string{string(alg): sum}, kind
	return v, nil
}

// wholeSum is the checksum of the object out of those of the parts.
func wholeSum(alg checksum.Algorithm, kind string, parts []metadata.Part) (string, error) {
	var sums []string
	var sized []checksum.PartSum
	for _, p := range parts {
		sum, ok := p.Checksums[string(alg)]
		if !ok {
			return "", fmt.Errorf("%w: part %d has no %s", metadata.ErrInvalidPart, p.Number, alg)
		}
		sums = append(sums, sum)
		sized = append(sized, checksum.PartSum{Sum: sum, Size: p.Size})
	}
	if kind == composite {
		return checksum.Composite(alg, sums)
	}
	return checksum.CombineCRC(alg, sized)
}

// announced compares the object with what the client said of it.
func announced(v metadata.Version, o CompleteOptions) error {
	if o.Size >= 0 && o.Size != v.Size {
		return fmt.Errorf("%w: %d bytes, announced %d", ErrWrongSize, v.Size, o.Size)
	}
	for alg, want := range o.Checksums {
		have, ok := v.Checksums[alg]
		if !ok && alg == string(checksum.CRC64NVME) && v.Encryption == nil {
			have, ok = checksum.EncodeCRC64(v.CRC64), true
		}
		if !ok {
			return metadata.Invalidf("the upload has no %s checksum to compare", alg)
		}
		// A composite one is announced with or without the number of parts.
		if bare, _, _ := strings.Cut(have, "-"); want != have && want != bare {
			return fmt.Errorf("%w: %s is %s, announced %s", ErrChecksum, alg, have, want)
		}
	}
	return nil
}

// check evaluates a precondition against the current version, as the catalogue
// will again.
func (m *Manager) check(ctx context.Context, u metadata.Upload, c metadata.Cond) error {
	if len(c.IfMatch) == 0 && len(c.IfNoneMatch) == 0 {
		return nil
	}
	v, err := m.Catalog.Lookup(ctx, metadata.Ref{Bucket: u.Template.Bucket, Key: u.Template.Key})
	if errors.Is(err, metadata.ErrNoSuchKey) {
		if len(c.IfMatch) > 0 {
			return err
		}
		return nil
	}
	if err != nil {
		return err
	}
	matches := func(list []string) bool { return slices.Contains(list, "*") || slices.Contains(list, v.ETag) }
	if len(c.IfMatch) > 0 && !matches(c.IfMatch) || matches(c.IfNoneMatch) {
		return fmt.Errorf("complete upload of %s/%s: %w", u.Template.Bucket, u.Template.Key, metadata.ErrPrecondition)
	}
	return nil
}

// multipartETag is S3's: the MD5 of the parts' MD5s, and how many they are.
func multipartETag(etags []string) (string, error) {
	h := md5.New()
	for i, e := range etags {
		sum, err := hex.DecodeString(e)
		if err != nil || len(sum) != md5.Size {
			return "", fmt.Errorf("%w: ETag %q of part %d", metadata.ErrInvalidPart, e, i+1)
		}
		_, _ = h.Write(sum) // a hash never fails
	}
	return fmt.Sprintf("%s-%d", hex.EncodeToString(h.Sum(nil)), len(etags)), nil
}
