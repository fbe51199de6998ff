package disk

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/sys/unix"

	"meridian/origin/blob"
)

// sumAttribute holds a file's CRC-64/NVME, so that a scrubber can verify a blob
// without the catalogue.
const sumAttribute = "user.meridian.crc64"

// metaAttribute holds a file's blob.Meta: lines of a name, a blank and a value.
const metaAttribute = "user.meridian.meta"

func writeSum(d *draft, crc uint64) error {
	return writeAttribute(d, sumAttribute, binary.BigEndian.AppendUint64(nil, crc))
}

func writeMeta(d *draft, m blob.Meta) error {
	if len(m) == 0 {
		return nil
	}
	var text []byte
	for name, value := range m {
		text = append(text, name+" "+value+"\n"...)
	}
	return writeAttribute(d, metaAttribute, text)
}

// writeAttribute does without on a file system that has no extended attributes,
// or no room for them.
func writeAttribute(d *draft, name string, value []byte) error {
	err := unix.Fsetxattr(d.fd, name, value, 0)
	if err != nil && !errors.Is(err, unix.ENOTSUP) && !errors.Is(err, unix.ENOSPC) && !errors.Is(err, unix.EDQUOT) {
		return fmt.Errorf("keep %s: %w", name, err)
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

// readMeta is nil where no metadata was kept.
func readMeta(path string) (blob.Meta, error) {
	text := make([]byte, blob.MaxMeta)
	n, err := unix.Getxattr(path, metaAttribute, text)
	if errors.Is(err, unix.ENODATA) || errors.Is(err, unix.ENOTSUP) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read metadata of %s: %w", path, err)
	}
	m := blob.Meta{}
	for line := range strings.Lines(string(text[:n])) {
		name, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		m[name] = value
	}
	return m, nil
}
