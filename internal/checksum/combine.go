package checksum

import "hash/crc32"

// polynomial is a CRC's generator in reversed bit order.
type polynomial struct {
	reversed uint64
	bits     int
	// carry holds what carries a CRC over 2^i zero bytes: x^(8 * 2^i).
	carry [63]uint64
}

var polynomials = map[Algorithm]*polynomial{
	CRC32:     newPolynomial(crc32.IEEE, 32),
	CRC32C:    newPolynomial(crc32.Castagnoli, 32),
	CRC64NVME: newPolynomial(0x9a6c9329ac4bc9b5, 64),
}

func newPolynomial(reversed uint64, bits int) *polynomial {
	p := &polynomial{reversed: reversed, bits: bits}
	power := p.one() >> 8 // x^8: reversed order has the power 0 in the highest bit
	for i := range p.carry {
		p.carry[i] = power
		power = p.multiply(power, power)
	}
	return p
}

// combine appends size bytes whose CRC is b to bytes whose CRC is a. These CRCs
// begin and end with an inversion, which cancels out: the CRC of the whole is a,
// carried over size zero bytes, plus b. To carry a CRC over a zero byte is a
// multiplication by x^8 modulo the polynomial; the bits of size say which
// powers of it make up size bytes.
func (p *polynomial) combine(a, b uint64, size int64) uint64 {
	for i := 0; size > 0; i, size = i+1, size>>1 {
		if size&1 == 1 {
			a = p.multiply(a, p.carry[i])
		}
	}
	return a ^ b
}

// one is the polynomial 1.
func (p *polynomial) one() uint64 { return 1 << (p.bits - 1) }

// multiply multiplies two polynomials modulo p.
func (p *polynomial) multiply(a, b uint64) uint64 {
	var product uint64
	for bit := p.one(); bit != 0; bit >>= 1 {
		if a&bit != 0 {
			product ^= b
		}
		if b&1 == 1 {
			b = b>>1 ^ p.reversed
		} else {
			b >>= 1
		}
	}
	return product
}
