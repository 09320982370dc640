package main

import (
	"encoding/binary"
	"encoding/hex"
	"math/bits"
)

// ---- XXH3-64, without a seed -----------------------------------------------------------------------------------

const (
	p32a = 0x9E3779B1
	p32b = 0x85EBCA77
	p32c = 0xC2B2AE3D
	p64a = 0x9E3779B185EBCA87
	p64b = 0xC2B2AE3D27D4EB4F
	p64c = 0x165667B19E3779F9
	p64d = 0x85EBCA77C2B2AE63
	p64e = 0x27D4EB2F165667C5
	mixA = 0x165667919E3779F9
	mixB = 0x9FB21C651E98DF25
)

var secret, _ = hex.DecodeString("" +
	"b8fe6c3923a44bbe7c01812cf721ad1cded46de9839097db7240a4a4b7b3671fcb79e64eccc0e578825ad07dccff7221" +
	"b8084674f743248ee03590e6813a264c3c2852bb91c300cb88d0658b1b532ea371644897a20df94e3819ef46a9deacd8" +
	"a8fa763fe39c343ff9dcbbc7c70b4f1d8a51e04bcdb45931c89f7ec9d9787364eac5ac8334d3ebc3c581a0fffa1363eb" +
	"170ddd51b7f0da49d316552629d4689e2b16be587d47a1fc8ff8b8d17ad031ce45cb3a8f95160428afd7fbcabb4b407e")

func r64(b []byte, at int) uint64 { return binary.LittleEndian.Uint64(b[at:]) }
func r32(b []byte, at int) uint64 { return uint64(binary.LittleEndian.Uint32(b[at:])) }

func fold(a, b uint64) uint64 {
	high, low := bits.Mul64(a, b)
	return high ^ low
}

func avalanche(h uint64) uint64 {
	h = (h ^ h>>37) * mixA
	return h ^ h>>32
}

func avalanche64(h uint64) uint64 {
	h = (h ^ h>>33) * p64b
	h = (h ^ h>>29) * p64c
	return h ^ h>>32
}

func mix16(in []byte, at, key int) uint64 {
	return fold(r64(in, at)^r64(secret, key), r64(in, at+8)^r64(secret, key+8))
}

func xxh3Short(in []byte) uint64 {
	n := len(in)
	switch {
	case n == 0:
		return avalanche64(r64(secret, 56) ^ r64(secret, 64))
	case n < 4:
		both := uint64(in[0])<<16 | uint64(in[n>>1])<<24 | uint64(in[n-1]) | uint64(n)<<8
		return avalanche64(both ^ r32(secret, 0) ^ r32(secret, 4))
	case n <= 8:
		h := (r32(in, n-4) + r32(in, 0)<<32) ^ r64(secret, 8) ^ r64(secret, 16)
		h = (h ^ bits.RotateLeft64(h, 49) ^ bits.RotateLeft64(h, 24)) * mixB
		h = (h ^ (h>>35 + uint64(n))) * mixB
		return h ^ h>>28
	}
	low := r64(in, 0) ^ r64(secret, 24) ^ r64(secret, 32)
	high := r64(in, n-8) ^ r64(secret, 40) ^ r64(secret, 48)
	return avalanche(uint64(n) + bits.ReverseBytes64(low) + high + fold(low, high))
}

func xxh3Medium(in []byte) uint64 {
	n := len(in)
	h := uint64(n) * p64a
	if n <= 128 {
		for i := (n - 1) / 32; i >= 0; i-- {
			h += mix16(in, 16*i, 32*i) + mix16(in, n-16*(i+1), 32*i+16)
		}
		return avalanche(h)
	}
	for i := 0; i < 8; i++ {
		h += mix16(in, 16*i, 16*i)
	}
	h = avalanche(h)
	for i := 8; i < n/16; i++ {
		h += mix16(in, 16*i, 16*(i-8)+3)
	}
	return avalanche(h + mix16(in, n-16, 119))
}

func accumulate(acc *[8]uint64, in []byte, at, key int) {
	for i := 0; i < 8; i++ {
		value := r64(in, at+8*i)
		keyed := value ^ r64(secret, key+8*i)
		acc[i^1] += value
		acc[i] += (keyed & 0xffffffff) * (keyed >> 32)
	}
}

func xxh3Long(in []byte) uint64 {
	n := len(in)
	acc := [8]uint64{p32c, p64a, p64b, p64c, p64d, p32b, p64e, p32a}
	for stripe := 0; stripe < (n-1)/64; stripe++ {
		accumulate(&acc, in, 64*stripe, 8*(stripe%16))
		if stripe%16 == 15 {
			for i := range acc {
				acc[i] = (acc[i] ^ acc[i]>>47 ^ r64(secret, 128+8*i)) * p32a
			}
		}
	}
	accumulate(&acc, in, n-64, 121)
	h := uint64(n) * p64a
	for i := 0; i < 4; i++ {
		h += fold(acc[2*i]^r64(secret, 11+16*i), acc[2*i+1]^r64(secret, 19+16*i))
	}
	return avalanche(h)
}

func xxh3(in []byte) uint64 {
	switch {
	case len(in) <= 16:
		return xxh3Short(in)
	case len(in) <= 240:
		return xxh3Medium(in)
	}
	return xxh3Long(in)
}

// ---- BLAKE2b with 32 bytes of digest (RFC 7693) -------------------------------------------------------------------

var blakeIV = [8]uint64{
	0x6a09e667f3bcc908, 0xbb67ae8584caa73b, 0x3c6ef372fe94f82b, 0xa54ff53a5f1d36f1,
	0x510e527fade682d1, 0x9b05688c2b3e6c1f, 0x1f83d9abfb41bd6b, 0x5be0cd19137e2179,
}

// Which word of the message comes when; rounds 10 and 11 are 0 and 1 again.
var blakeOrder = [10]string{
	"0123456789abcdef", "ea489fd61c02b753", "b8c052fdae367194", "7931dcbe265a40f8", "905724afe1bc683d",
	"2c6a0b834d75fe19", "c51fed4a0763928b", "db7ec13950f4862a", "6fe9b308c2d714a5", "a2847615fb9e3cd0",
}

func digit(c byte) int {
	if c <= '9' {
		return int(c - '0')
	}
	return int(c-'a') + 10
}

func blakeBlock(h *[8]uint64, block []byte, count uint64, last bool) {
	var v [16]uint64
	copy(v[:8], h[:])
	copy(v[8:], blakeIV[:])
	v[12] ^= count
	if last {
		v[14] = ^v[14]
	}
	for round := 0; round < 12; round++ {
		order := blakeOrder[round%10]
		for i := 0; i < 8; i++ {
			a, b, c, d := i&3, 4+(i&3), 8+(i&3), 12+(i&3)
			if i >= 4 { // the diagonals
				b, c, d = 4+((i+1)&3), 8+((i+2)&3), 12+((i+3)&3)
			}
			v[a] += v[b] + r64(block, 8*digit(order[2*i]))
			v[d] = bits.RotateLeft64(v[d]^v[a], -32)
			v[c] += v[d]
			v[b] = bits.RotateLeft64(v[b]^v[c], -24)
			v[a] += v[b] + r64(block, 8*digit(order[2*i+1]))
			v[d] = bits.RotateLeft64(v[d]^v[a], -16)
			v[c] += v[d]
			v[b] = bits.RotateLeft64(v[b]^v[c], -63)
		}
	}
	for i := range h {
		h[i] ^= v[i] ^ v[i+8]
	}
}

func blake2b256(in []byte) [32]byte {
	h := blakeIV
	h[0] ^= 0x01010020
	at := 0
	for ; len(in)-at > 128; at += 128 {
		blakeBlock(&h, in[at:], uint64(at+128), false)
	}
	var block [128]byte
	copy(block[:], in[at:])
	blakeBlock(&h, block[:], uint64(len(in)), true)
	var out [32]byte
	for i := 0; i < 4; i++ {
		binary.LittleEndian.PutUint64(out[8*i:], h[i])
	}
	return out
}
