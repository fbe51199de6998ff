//go:build amd64 && gc

#include "textflag.h"

// The registers: Z0 to Z15 hold the 16 words of a block, each of all lanes, once
// it is turned; Z16 to Z31 are needed for turning. After that Z16 to Z19 are a,
// b, c and d of RFC 1321, and Z20 is scratch.

// PAIRS interleaves the words of two lanes.
#define PAIRS(x, y, lo, hi) \
	VPUNPCKLDQ y, x, lo \
	VPUNPCKHDQ y, x, hi

// FOURS interleaves the pairs of two pairs of lanes.
#define FOURS(x0, x1, y0, y1, t0, t1, t2, t3) \
	VPUNPCKLQDQ y0, x0, t0 \
	VPUNPCKHQDQ y0, x0, t1 \
	VPUNPCKLQDQ y1, x1, t2 \
	VPUNPCKHQDQ y1, x1, t3

// HALVES takes the even and the odd quarters of two registers.
#define HALVES(x, y, even, odd) \
	VSHUFI32X4 $0x88, y, x, even \
	VSHUFI32X4 $0xDD, y, x, odd

// LOAD reads the block of a lane.
#define LOAD(lane, z) \
	MOVQ (8*lane)(SI), R9 \
	VMOVDQU32 (R9)(DX*1), z

// STEP is one of the 64 operations: a = b + ((a + f(b, c, d) + m + k) <<< s), with
// f as the truth table of VPTERNLOGD.
#define STEP(f, a, b, c, d, m, k, s) \
	VMOVDQA32 b, Z20 \
	VPADDD m, a, a \
	VPTERNLOGD $f, d, c, Z20 \
	VPADDD.BCST (4*k)(R8), a, a \
	VPADDD Z20, a, a \
	VPROLD $s, a, a \
	VPADDD b, a, a

// func block(s *states, in *[width]*byte, n int)
TEXT ·block(SB), NOSPLIT, $0-24
	MOVQ s+0(FP), DI
	MOVQ in+8(FP), SI
	MOVQ n+16(FP), CX
	XORQ DX, DX
	LEAQ sines<>(SB), R8

next:
	LOAD(0, Z0)
	LOAD(1, Z1)
	LOAD(2, Z2)
	LOAD(3, Z3)
	LOAD(4, Z4)
	LOAD(5, Z5)
	LOAD(6, Z6)
	LOAD(7, Z7)
	LOAD(8, Z8)
	LOAD(9, Z9)
	LOAD(10, Z10)
	LOAD(11, Z11)
	LOAD(12, Z12)
	LOAD(13, Z13)
	LOAD(14, Z14)
	LOAD(15, Z15)

	PAIRS(Z0, Z1, Z16, Z17)
	PAIRS(Z2, Z3, Z18, Z19)
	PAIRS(Z4, Z5, Z20, Z21)
	PAIRS(Z6, Z7, Z22, Z23)
	PAIRS(Z8, Z9, Z24, Z25)
	PAIRS(Z10, Z11, Z26, Z27)
	PAIRS(Z12, Z13, Z28, Z29)
	PAIRS(Z14, Z15, Z30, Z31)

	FOURS(Z16, Z17, Z18, Z19, Z0, Z1, Z2, Z3)
	FOURS(Z20, Z21, Z22, Z23, Z4, Z5, Z6, Z7)
	FOURS(Z24, Z25, Z26, Z27, Z8, Z9, Z10, Z11)
	FOURS(Z28, Z29, Z30, Z31, Z12, Z13, Z14, Z15)

	HALVES(Z0, Z4, Z16, Z24)
	HALVES(Z8, Z12, Z20, Z28)
	HALVES(Z1, Z5, Z17, Z25)
	HALVES(Z9, Z13, Z21, Z29)
	HALVES(Z2, Z6, Z18, Z26)
	HALVES(Z10, Z14, Z22, Z30)
	HALVES(Z3, Z7, Z19, Z27)
	HALVES(Z11, Z15, Z23, Z31)

	HALVES(Z16, Z20, Z0, Z8)
	HALVES(Z24, Z28, Z4, Z12)
	HALVES(Z17, Z21, Z1, Z9)
	HALVES(Z25, Z29, Z5, Z13)
	HALVES(Z18, Z22, Z2, Z10)
	HALVES(Z26, Z30, Z6, Z14)
	HALVES(Z19, Z23, Z3, Z11)
	HALVES(Z27, Z31, Z7, Z15)

	VMOVDQU32 0(DI), Z16
	VMOVDQU32 64(DI), Z17
	VMOVDQU32 128(DI), Z18
	VMOVDQU32 192(DI), Z19

	STEP(0xCA, Z16, Z17, Z18, Z19, Z0, 0, 7)
	STEP(0xCA, Z19, Z16, Z17, Z18, Z1, 1, 12)
	STEP(0xCA, Z18, Z19, Z16, Z17, Z2, 2, 17)
	STEP(0xCA, Z17, Z18, Z19, Z16, Z3, 3, 22)
	STEP(0xCA, Z16, Z17, Z18, Z19, Z4, 4, 7)
	STEP(0xCA, Z19, Z16, Z17, Z18, Z5, 5, 12)
	STEP(0xCA, Z18, Z19, Z16, Z17, Z6, 6, 17)
	STEP(0xCA, Z17, Z18, Z19, Z16, Z7, 7, 22)
	STEP(0xCA, Z16, Z17, Z18, Z19, Z8, 8, 7)
	STEP(0xCA, Z19, Z16, Z17, Z18, Z9, 9, 12)
	STEP(0xCA, Z18, Z19, Z16, Z17, Z10, 10, 17)
	STEP(0xCA, Z17, Z18, Z19, Z16, Z11, 11, 22)
	STEP(0xCA, Z16, Z17, Z18, Z19, Z12, 12, 7)
	STEP(0xCA, Z19, Z16, Z17, Z18, Z13, 13, 12)
	STEP(0xCA, Z18, Z19, Z16, Z17, Z14, 14, 17)
	STEP(0xCA, Z17, Z18, Z19, Z16, Z15, 15, 22)

	STEP(0xE4, Z16, Z17, Z18, Z19, Z1, 16, 5)
	STEP(0xE4, Z19, Z16, Z17, Z18, Z6, 17, 9)
	STEP(0xE4, Z18, Z19, Z16, Z17, Z11, 18, 14)
	STEP(0xE4, Z17, Z18, Z19, Z16, Z0, 19, 20)
	STEP(0xE4, Z16, Z17, Z18, Z19, Z5, 20, 5)
	STEP(0xE4, Z19, Z16, Z17, Z18, Z10, 21, 9)
	STEP(0xE4, Z18, Z19, Z16, Z17, Z15, 22, 14)
	STEP(0xE4, Z17, Z18, Z19, Z16, Z4, 23, 20)
	STEP(0xE4, Z16, Z17, Z18, Z19, Z9, 24, 5)
	STEP(0xE4, Z19, Z16, Z17, Z18, Z14, 25, 9)
	STEP(0xE4, Z18, Z19, Z16, Z17, Z3, 26, 14)
	STEP(0xE4, Z17, Z18, Z19, Z16, Z8, 27, 20)
	STEP(0xE4, Z16, Z17, Z18, Z19, Z13, 28, 5)
	STEP(0xE4, Z19, Z16, Z17, Z18, Z2, 29, 9)
	STEP(0xE4, Z18, Z19, Z16, Z17, Z7, 30, 14)
	STEP(0xE4, Z17, Z18, Z19, Z16, Z12, 31, 20)

	STEP(0x96, Z16, Z17, Z18, Z19, Z5, 32, 4)
	STEP(0x96, Z19, Z16, Z17, Z18, Z8, 33, 11)
	STEP(0x96, Z18, Z19, Z16, Z17, Z11, 34, 16)
	STEP(0x96, Z17, Z18, Z19, Z16, Z14, 35, 23)
	STEP(0x96, Z16, Z17, Z18, Z19, Z1, 36, 4)
	STEP(0x96, Z19, Z16, Z17, Z18, Z4, 37, 11)
	STEP(0x96, Z18, Z19, Z16, Z17, Z7, 38, 16)
	STEP(0x96, Z17, Z18, Z19, Z16, Z10, 39, 23)
	STEP(0x96, Z16, Z17, Z18, Z19, Z13, 40, 4)
	STEP(0x96, Z19, Z16, Z17, Z18, Z0, 41, 11)
	STEP(0x96, Z18, Z19, Z16, Z17, Z3, 42, 16)
	STEP(0x96, Z17, Z18, Z19, Z16, Z6, 43, 23)
	STEP(0x96, Z16, Z17, Z18, Z19, Z9, 44, 4)
	STEP(0x96, Z19, Z16, Z17, Z18, Z12, 45, 11)
	STEP(0x96, Z18, Z19, Z16, Z17, Z15, 46, 16)
	STEP(0x96, Z17, Z18, Z19, Z16, Z2, 47, 23)

	STEP(0x39, Z16, Z17, Z18, Z19, Z0, 48, 6)
	STEP(0x39, Z19, Z16, Z17, Z18, Z7, 49, 10)
	STEP(0x39, Z18, Z19, Z16, Z17, Z14, 50, 15)
	STEP(0x39, Z17, Z18, Z19, Z16, Z5, 51, 21)
	STEP(0x39, Z16, Z17, Z18, Z19, Z12, 52, 6)
	STEP(0x39, Z19, Z16, Z17, Z18, Z3, 53, 10)
	STEP(0x39, Z18, Z19, Z16, Z17, Z10, 54, 15)
	STEP(0x39, Z17, Z18, Z19, Z16, Z1, 55, 21)
	STEP(0x39, Z16, Z17, Z18, Z19, Z8, 56, 6)
	STEP(0x39, Z19, Z16, Z17, Z18, Z15, 57, 10)
	STEP(0x39, Z18, Z19, Z16, Z17, Z6, 58, 15)
	STEP(0x39, Z17, Z18, Z19, Z16, Z13, 59, 21)
	STEP(0x39, Z16, Z17, Z18, Z19, Z4, 60, 6)
	STEP(0x39, Z19, Z16, Z17, Z18, Z11, 61, 10)
	STEP(0x39, Z18, Z19, Z16, Z17, Z2, 62, 15)
	STEP(0x39, Z17, Z18, Z19, Z16, Z9, 63, 21)

	VPADDD 0(DI), Z16, Z16
	VPADDD 64(DI), Z17, Z17
	VPADDD 128(DI), Z18, Z18
	VPADDD 192(DI), Z19, Z19
	VMOVDQU32 Z16, 0(DI)
	VMOVDQU32 Z17, 64(DI)
	VMOVDQU32 Z18, 128(DI)
	VMOVDQU32 Z19, 192(DI)

	ADDQ $64, DX
	DECQ CX
	JNZ  next
	VZEROUPPER
	RET

DATA sines<>+0(SB)/4, $0xd76aa478
DATA sines<>+4(SB)/4, $0xe8c7b756
DATA sines<>+8(SB)/4, $0x242070db
DATA sines<>+12(SB)/4, $0xc1bdceee
DATA sines<>+16(SB)/4, $0xf57c0faf
DATA sines<>+20(SB)/4, $0x4787c62a
DATA sines<>+24(SB)/4, $0xa8304613
DATA sines<>+28(SB)/4, $0xfd469501
DATA sines<>+32(SB)/4, $0x698098d8
DATA sines<>+36(SB)/4, $0x8b44f7af
DATA sines<>+40(SB)/4, $0xffff5bb1
DATA sines<>+44(SB)/4, $0x895cd7be
DATA sines<>+48(SB)/4, $0x6b901122
DATA sines<>+52(SB)/4, $0xfd987193
DATA sines<>+56(SB)/4, $0xa679438e
DATA sines<>+60(SB)/4, $0x49b40821
DATA sines<>+64(SB)/4, $0xf61e2562
DATA sines<>+68(SB)/4, $0xc040b340
DATA sines<>+72(SB)/4, $0x265e5a51
DATA sines<>+76(SB)/4, $0xe9b6c7aa
DATA sines<>+80(SB)/4, $0xd62f105d
DATA sines<>+84(SB)/4, $0x02441453
DATA sines<>+88(SB)/4, $0xd8a1e681
DATA sines<>+92(SB)/4, $0xe7d3fbc8
DATA sines<>+96(SB)/4, $0x21e1cde6
DATA sines<>+100(SB)/4, $0xc33707d6
DATA sines<>+104(SB)/4, $0xf4d50d87
DATA sines<>+108(SB)/4, $0x455a14ed
DATA sines<>+112(SB)/4, $0xa9e3e905
DATA sines<>+116(SB)/4, $0xfcefa3f8
DATA sines<>+120(SB)/4, $0x676f02d9
DATA sines<>+124(SB)/4, $0x8d2a4c8a
DATA sines<>+128(SB)/4, $0xfffa3942
DATA sines<>+132(SB)/4, $0x8771f681
DATA sines<>+136(SB)/4, $0x6d9d6122
DATA sines<>+140(SB)/4, $0xfde5380c
DATA sines<>+144(SB)/4, $0xa4beea44
DATA sines<>+148(SB)/4, $0x4bdecfa9
DATA sines<>+152(SB)/4, $0xf6bb4b60
DATA sines<>+156(SB)/4, $0xbebfbc70
DATA sines<>+160(SB)/4, $0x289b7ec6
DATA sines<>+164(SB)/4, $0xeaa127fa
DATA sines<>+168(SB)/4, $0xd4ef3085
DATA sines<>+172(SB)/4, $0x04881d05
DATA sines<>+176(SB)/4, $0xd9d4d039
DATA sines<>+180(SB)/4, $0xe6db99e5
DATA sines<>+184(SB)/4, $0x1fa27cf8
DATA sines<>+188(SB)/4, $0xc4ac5665
DATA sines<>+192(SB)/4, $0xf4292244
DATA sines<>+196(SB)/4, $0x432aff97
DATA sines<>+200(SB)/4, $0xab9423a7
DATA sines<>+204(SB)/4, $0xfc93a039
DATA sines<>+208(SB)/4, $0x655b59c3
DATA sines<>+212(SB)/4, $0x8f0ccc92
DATA sines<>+216(SB)/4, $0xffeff47d
DATA sines<>+220(SB)/4, $0x85845dd1
DATA sines<>+224(SB)/4, $0x6fa87e4f
DATA sines<>+228(SB)/4, $0xfe2ce6e0
DATA sines<>+232(SB)/4, $0xa3014314
DATA sines<>+236(SB)/4, $0x4e0811a1
DATA sines<>+240(SB)/4, $0xf7537e82
DATA sines<>+244(SB)/4, $0xbd3af235
DATA sines<>+248(SB)/4, $0x2ad7d2bb
DATA sines<>+252(SB)/4, $0xeb86d391
GLOBL sines<>(SB), RODATA|NOPTR, $256
