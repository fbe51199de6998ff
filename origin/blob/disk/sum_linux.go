package disk

import (
	"encoding/binary"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// sumAttribute holds a file's CRC-64/NVME, so that a scrubber can verify a blob
// without the catalogue.
const sumAttribute = "user.meridian.crc64"

// writeSum does without on a file system that has no extended attributes.
func writeSum(d *draft, crc uint64) error {
	err := unix.Fsetxattr(d.fd, sumAttribute, binary.BigEndian.AppendUint64(nil, crc), 0)
	if err != nil && !errors.Is(err, unix.ENOTSUP) && !errors.Is(err, unix.ENOSPC) && !errors.Is(err, unix.EDQUOT) {
		return fmt.Errorf("keep checksum: %w", err)
	}
	return nil
}

// readSum is zero where no checksum was kept.
func readSum(path string) (uint64, error) {
	var b [8]byte
	n, err := unix.Getxattr(path, sumAttribute, b[:])
	if errors.Is(err, unix.ENODATA) || errors.Is(err, unix.ENOTSUP) {
		return 0, nil
	}
	if err != nil || n != len(b) {
		return 0, fmt.Errorf("read checksum of %s: %w", path, errors.Join(err, errors.New("malformed")))
	}
	return binary.BigEndian.Uint64(b[:]), nil
}
