//go:build !linux

package disk

// Checksums of single files are kept on Linux only; the catalogue has them too.
func writeSum(*draft, uint64) error { return nil }

func readSum(string) (uint64, error) { return 0, nil }
