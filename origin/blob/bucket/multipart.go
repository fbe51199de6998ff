package bucket

import (
	"context"
	"crypto/md5"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"strings"
	"time"

	"meridian/internal/checksum"
	"meridian/origin/blob"
)

// The ID of an upload holds the key of the blob that it will be, which the
// server wants with every request, and so that a Complete which comes again
// finds the blob.

func uploadID(key, native string) string {
	return base64.RawURLEncoding.EncodeToString([]byte(key)) + "." + native
}

func parseUploadID(id string) (key, native string, err error) {
	first, native, ok := strings.Cut(id, ".")
	raw, errKey := base64.RawURLEncoding.DecodeString(first)
	if !ok || native == "" || errKey != nil || blob.CheckKey(string(raw)) != nil {
		return "", "", fmt.Errorf("%w: %q", blob.ErrNoUpload, id)
	}
	return string(raw), native, nil
}

// Begin starts a multipart upload of the server's.
func (s *Store) Begin(ctx context.Context, key string, m blob.Meta) (string, error) {
	if err := errors.Join(blob.CheckKey(key), m.Check()); err != nil {
		return "", err
	}
	native, err := s.begin(ctx, key, m)
	if err != nil {
		return "", fmt.Errorf("begin upload of %s: %w", key, known(err))
	}
	return uploadID(key, native), nil
}

func (s *Store) begin(ctx context.Context, key string, m blob.Meta) (native string, err error) {
	h := s.headers(m)
	h.IfAbsent = false // it counts when the upload is completed
	err = s.retry(ctx, func(ctx context.Context) error {
		native, err = s.client.Begin(ctx, key, h)
		return err
	})
	return native, err
}

// PutPart stores a part. Its ID is the server's ETag. A part that is uploaded
// again takes the place of the one before when, and only when, all of it has
// arrived.
func (s *Store) PutPart(ctx context.Context, upload string, n int, size int64, r io.Reader) (blob.Part, error) {
	key, native, err := parseUploadID(upload)
	if err != nil {
		return blob.Part{}, err
	}
	var b []byte
	if size <= small {
		var whole bool
		if b, whole, err = buffer(ctx, size, firstBuffer, r); err == nil && !whole {
			err = fmt.Errorf("%w: a part without an announced size has more than %d bytes", blob.ErrSize, partSize)
		}
		size = int64(len(b))
	}
	var p blob.Part
	if err == nil {
		p, err = s.part(ctx, key, native, n, size, r, b)
	}
	if err != nil {
		return blob.Part{}, fmt.Errorf("put part %d: %w", n, known(err))
	}
	return p, nil
}

// part puts a part from memory where b is set, else out of r.
func (s *Store) part(ctx context.Context, key, native string, n int, size int64, r io.Reader, b []byte) (blob.Part, error) {
	p := blob.Part{Number: n, Size: size}
	if b != nil {
		p.CRC64 = checksum.Sum64(b)
		err := s.retryWithin(ctx, slow, func(ctx context.Context, _ int) (err error) {
			p.ID, err = s.client.PutPart(ctx, key, native, n, s.inMemory(b))
			return err
		})
		return p, err
	}
	_, more := r.(open)
	st, err := s.send(ctx, r, size, more, func(ctx context.Context, b Body) (etag string, err error) {
		p.ID, err = s.client.PutPart(ctx, key, native, n, b)
		return p.ID, err
	})
	p.CRC64 = st.crc.Sum64()
	return p, err
}

// Complete makes the blob; the server copies nothing.
func (s *Store) Complete(ctx context.Context, upload string, parts []blob.Part) (blob.Info, error) {
	key, native, err := parseUploadID(upload)
	if err != nil {
		return blob.Info{}, err
	}
	info := blob.Info{Key: key}
	if len(parts) == 0 {
		return info, fmt.Errorf("complete upload of %s: %w: none is named", key, blob.ErrNoPart)
	}
	if info.Size, info.CRC64, err = s.complete(ctx, key, native, parts, true); err != nil {
		return blob.Info{}, fmt.Errorf("complete upload of %s: %w", key, known(err))
	}
	info.Modified = time.Now()
	return info, nil
}

// complete is repeated where an answer is lost: if the blob is there and made of
// these parts, one of the requests has done it. again says that there may have
// been others before this call.
func (s *Store) complete(ctx context.Context, key, native string, parts []blob.Part, again bool) (size int64, crc uint64, err error) {
	for _, p := range parts {
		crc = checksum.CombineCRC64(crc, p.CRC64, p.Size)
		size += p.Size
	}
	h := Headers{IfAbsent: s.can.conditions, Checked: s.can.checksums}
	if size > 0 { // MinIO finds that the sum of no bytes differs from itself
		h.Sum = EncodeSum(crc)
	}
	if err := s.absent(ctx, key); err != nil && !errors.Is(err, blob.ErrExists) {
		return 0, 0, err
	} else if err != nil && again {
		return size, crc, s.made(ctx, key, size, parts, err)
	} else if err != nil {
		return 0, 0, err
	}
	err = s.retryWithin(ctx, slow, func(ctx context.Context, try int) error {
		err := s.client.Complete(ctx, key, native, parts, h)
		e := known(err)
		if (again || try > 0) && (errors.Is(e, blob.ErrNoUpload) || errors.Is(e, blob.ErrExists) || errors.Is(e, blob.ErrNoPart)) {
			return s.made(ctx, key, size, parts, err)
		}
		return err
	})
	return size, crc, err
}

// made is nil if the object under key is the one of these parts; else it is err.
func (s *Store) made(ctx context.Context, key string, size int64, parts []blob.Part, err error) error {
	o, e := s.head(ctx, key)
	if e == nil && o.Size == size && o.ETag == multipartETag(parts) {
		return nil
	}
	return err
}

// multipartETag is S3's: the MD5 of the parts' MD5s, and how many they are.
func multipartETag(parts []blob.Part) string {
	h := md5.New()
	for _, p := range parts {
		sum, err := hex.DecodeString(p.ID)
		if err != nil {
			return ""
		}
		_, _ = h.Write(sum) // a hash never fails
	}
	return fmt.Sprintf("%s-%d", hex.EncodeToString(h.Sum(nil)), len(parts))
}

// Abort frees an upload with its parts.
func (s *Store) Abort(ctx context.Context, upload string) error {
	key, native, err := parseUploadID(upload)
	if err != nil {
		return nil //nolint:nilerr // an upload that is not known is none
	}
	err = s.retry(ctx, func(ctx context.Context) error { return s.client.Abort(ctx, key, native) })
	if err = known(err); err != nil && !errors.Is(err, blob.ErrNoUpload) && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("abort upload of %s: %w", key, err)
	}
	return nil
}

// abandon frees an upload that has failed, whatever became of its caller.
func (s *Store) abandon(ctx context.Context, key, native string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), quick)
	defer cancel()
	if err := s.Abort(ctx, uploadID(key, native)); err != nil {
		s.log.Warn("left an upload for the sweeper", "blob", key, "err", err)
	}
}

// DropPart has nothing to free: a server keeps one part of each number, and what
// no Complete names goes with the upload.
func (s *Store) DropPart(context.Context, string, blob.Part) error { return nil }

// Uploads yields the uploads in progress, as far as the server tells of them:
// MinIO forgets those from before its last start, and aborts them by itself.
func (s *Store) Uploads(ctx context.Context, before time.Time) iter.Seq2[blob.Upload, error] {
	return func(yield func(blob.Upload, error) bool) {
		for u, err := range s.client.Uploads(ctx) {
			if err != nil {
				yield(blob.Upload{}, fmt.Errorf("list uploads: %w", s.failed(ctx, err)))
				return
			}
			if blob.CheckKey(u.Key) != nil || !u.Begun.Before(before) {
				continue // not ours, or young
			}
			if !yield(blob.Upload{ID: uploadID(u.Key, u.ID), Key: u.Key, Begun: u.Begun}, nil) {
				return
			}
		}
	}
}
