package disk

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"os"
)

// A file holds the value, then the name of its key, then the footer, all numbers
// big-endian:
//
//	8 bytes  magic
//	8 bytes  seq
//	8 bytes  length of the value
//	4 bytes  length of the name
//	4 bytes  CRC-32C of all before
//
// The value comes first, so that it lies on the borders of pages.
const (
	footerSize = 32
	magic      = "MRDNVAL1"
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// errDamaged says that a file is not what was written.
var errDamaged = errors.New("damaged file")

// appendTrailer appends what follows a value in its file.
func appendTrailer(b []byte, seq uint64, name string, value []byte) []byte {
	start := len(b)
	b = append(b, name...)
	b = append(b, magic...)
	b = binary.BigEndian.AppendUint64(b, seq)
	b = binary.BigEndian.AppendUint64(b, uint64(len(value)))
	b = binary.BigEndian.AppendUint32(b, uint32(len(name)))
	sum := crc32.Update(crc32.Checksum(value, castagnoli), castagnoli, b[start:])
	return binary.BigEndian.AppendUint32(b, sum)
}

// checkTrailer returns an error unless trailer is the one of this value.
func checkTrailer(trailer []byte, seq uint64, name string, value []byte) error {
	n := len(name)
	if len(trailer) != n+footerSize || string(trailer[:n]) != name {
		return errDamaged
	}
	footer, summed := trailer[n:], trailer[:len(trailer)-4]
	sum := crc32.Update(crc32.Checksum(value, castagnoli), castagnoli, summed)
	if string(footer[:8]) != magic || binary.BigEndian.Uint64(footer[8:]) != seq ||
		binary.BigEndian.Uint64(footer[16:]) != uint64(len(value)) ||
		binary.BigEndian.Uint32(footer[24:]) != uint32(n) || binary.BigEndian.Uint32(footer[28:]) != sum {
		return errDamaged
	}
	return nil
}

// readRecord reads the value of the key called name from the file at path.
func readRecord(path string, f *stored, name string) ([]byte, error) {
	size := f.length - footerSize - int64(len(name))
	if size < 0 {
		return nil, errDamaged // of another key
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	value := make([]byte, size)
	if _, err := file.ReadAt(value, 0); err != nil {
		return nil, err
	}
	var space [256]byte
	trailer := append(space[:0], make([]byte, f.length-size)...)
	if _, err := file.ReadAt(trailer, size); err != nil {
		return nil, err
	}
	return value, checkTrailer(trailer, f.seq, name, value)
}

// writeRecord writes a new file. It is not synced: whatever a crash of the
// machine leaves of it, its checksum tells.
func writeRecord(path string, seq uint64, name string, value []byte) error {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = file.Write(value)
	if err == nil {
		_, err = file.Write(appendTrailer(nil, seq, name, value))
	}
	return errors.Join(err, file.Close())
}

// short reports whether err is that of a file which ends too early.
func short(err error) bool { return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) }
