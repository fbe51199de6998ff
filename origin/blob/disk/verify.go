package disk

import (
	"context"
	"fmt"
	"io"

	"github.com/minio/crc64nvme"

	"meridian/origin/blob"
)

var _ blob.Verifier = (*Store)(nil)

// Verify reads a blob and compares it with the checksum kept beside it:
// blob.ErrCorrupt if they differ. A blob without one (on a file system that has
// no extended attributes) passes; the catalogue still knows its checksum.
func (s *Store) Verify(ctx context.Context, key string) error {
	info, err := s.Stat(ctx, key)
	if err != nil || info.CRC64 == 0 {
		return err
	}
	r, err := s.Open(ctx, key, 0, -1)
	if err != nil {
		return err
	}
	defer r.Close()
	buf := s.buffers.Get().(*[]byte)
	defer s.buffers.Put(buf)
	hash := crc64nvme.New()
	var n int64
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		m, err := readFull(r, *buf)
		_, _ = hash.Write((*buf)[:m])     // a hash never fails
		if n += int64(m); err == io.EOF { //nolint:errorlint // a part cut short is another error that wraps it
			break
		}
		if err != nil {
			return fmt.Errorf("verify blob %s: %w", key, err)
		}
	}
	if n != info.Size || hash.Sum64() != info.CRC64 {
		return fmt.Errorf("%w: %s has %d bytes with checksum %016x, not %d with %016x",
			blob.ErrCorrupt, key, n, hash.Sum64(), info.Size, info.CRC64)
	}
	return nil
}
