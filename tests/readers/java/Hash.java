import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.Arrays;
import java.util.HexFormat;

/** XXH3-64 without a seed, and BLAKE2b with 32 bytes of digest (RFC 7693). Numbers without a sign throughout. */
final class Hash {
    private Hash() {}

    private static final ByteBuffer SECRET = little(HexFormat.of().parseHex(
        "b8fe6c3923a44bbe7c01812cf721ad1cded46de9839097db7240a4a4b7b3671fcb79e64eccc0e578825ad07dccff7221" +
        "b8084674f743248ee03590e6813a264c3c2852bb91c300cb88d0658b1b532ea371644897a20df94e3819ef46a9deacd8" +
        "a8fa763fe39c343ff9dcbbc7c70b4f1d8a51e04bcdb45931c89f7ec9d9787364eac5ac8334d3ebc3c581a0fffa1363eb" +
        "170ddd51b7f0da49d316552629d4689e2b16be587d47a1fc8ff8b8d17ad031ce45cb3a8f95160428afd7fbcabb4b407e"));

    private static final long P32A = 0x9E3779B1L;
    private static final long P32B = 0x85EBCA77L;
    private static final long P32C = 0xC2B2AE3DL;
    private static final long P64A = 0x9E3779B185EBCA87L;
    private static final long P64B = 0xC2B2AE3D27D4EB4FL;
    private static final long P64C = 0x165667B19E3779F9L;
    private static final long P64D = 0x85EBCA77C2B2AE63L;
    private static final long P64E = 0x27D4EB2F165667C5L;
    private static final long MIX = 0x9FB21C651E98DF25L;

    private static ByteBuffer little(byte[] bytes) {
        return ByteBuffer.wrap(bytes).order(ByteOrder.LITTLE_ENDIAN);
    }

    private static long r32(ByteBuffer from, int at) {
        return Integer.toUnsignedLong(from.getInt(at));
    }

    private static long key(int at) {
        return SECRET.getLong(at);
    }

    private static long fold(long a, long b) {
        long high = Math.multiplyHigh(a, b) + (a >> 63 & b) + (b >> 63 & a);
        return high ^ a * b;
    }

    private static long avalanche(long h) {
        h = (h ^ h >>> 37) * 0x165667919E3779F9L;
        return h ^ h >>> 32;
    }

    private static long avalanche64(long h) {
        h = (h ^ h >>> 33) * P64B;
        h = (h ^ h >>> 29) * P64C;
        return h ^ h >>> 32;
    }

    private static long mix16(ByteBuffer in, int at, int key) {
        return fold(in.getLong(at) ^ key(key), in.getLong(at + 8) ^ key(key + 8));
    }

    private static long xxh3Short(ByteBuffer in, int n) {
        if (n == 0) {
            return avalanche64(key(56) ^ key(64));
        }
        if (n < 4) {
            long both = (in.get(0) & 255L) << 16 | (in.get(n >> 1) & 255L) << 24 | in.get(n - 1) & 255L | (long) n << 8;
            return avalanche64(both ^ r32(SECRET, 0) ^ r32(SECRET, 4));
        }
        if (n <= 8) {
            long h = r32(in, n - 4) + (r32(in, 0) << 32) ^ key(8) ^ key(16);
            h = (h ^ Long.rotateLeft(h, 49) ^ Long.rotateLeft(h, 24)) * MIX;
            h = (h ^ (h >>> 35) + n) * MIX;
            return h ^ h >>> 28;
        }
        long low = in.getLong(0) ^ key(24) ^ key(32);
        long high = in.getLong(n - 8) ^ key(40) ^ key(48);
        return avalanche(n + Long.reverseBytes(low) + high + fold(low, high));
    }

    private static long xxh3Medium(ByteBuffer in, int n) {
        long h = n * P64A;
        if (n <= 128) {
            for (int i = (n - 1) / 32; i >= 0; i--) {
                h += mix16(in, 16 * i, 32 * i) + mix16(in, n - 16 * (i + 1), 32 * i + 16);
            }
            return avalanche(h);
        }
        for (int i = 0; i < 8; i++) {
            h += mix16(in, 16 * i, 16 * i);
        }
        h = avalanche(h);
        for (int i = 8; i < n / 16; i++) {
            h += mix16(in, 16 * i, 16 * (i - 8) + 3);
        }
        return avalanche(h + mix16(in, n - 16, 119));
    }

    private static void accumulate(long[] acc, ByteBuffer in, int at, int key) {
        for (int i = 0; i < 8; i++) {
            long value = in.getLong(at + 8 * i);
            long keyed = value ^ key(key + 8 * i);
            acc[i ^ 1] += value;
            acc[i] += (keyed & 0xffffffffL) * (keyed >>> 32);
        }
    }

    private static long xxh3Long(ByteBuffer in, int n) {
        long[] acc = {P32C, P64A, P64B, P64C, P64D, P32B, P64E, P32A};
        for (int stripe = 0; stripe < (n - 1) / 64; stripe++) {
            accumulate(acc, in, 64 * stripe, 8 * (stripe % 16));
            for (int i = 0; stripe % 16 == 15 && i < 8; i++) {
                acc[i] = (acc[i] ^ acc[i] >>> 47 ^ key(128 + 8 * i)) * P32A;
            }
        }
        accumulate(acc, in, n - 64, 121);
        long h = n * P64A;
        for (int i = 0; i < 4; i++) {
            h += fold(acc[2 * i] ^ key(11 + 16 * i), acc[2 * i + 1] ^ key(19 + 16 * i));
        }
        return avalanche(h);
    }

    static long xxh3(byte[] bytes) {
        ByteBuffer in = little(bytes);
        int n = bytes.length;
        return n <= 16 ? xxh3Short(in, n) : n <= 240 ? xxh3Medium(in, n) : xxh3Long(in, n);
    }

    // ---- BLAKE2b --------------------------------------------------------------------------------------------

    private static final long[] IV = {
        0x6a09e667f3bcc908L, 0xbb67ae8584caa73bL, 0x3c6ef372fe94f82bL, 0xa54ff53a5f1d36f1L,
        0x510e527fade682d1L, 0x9b05688c2b3e6c1fL, 0x1f83d9abfb41bd6bL, 0x5be0cd19137e2179L,
    };
    /** Which word of the message comes when; rounds 10 and 11 are 0 and 1 again. */
    private static final String[] ORDER = {
        "0123456789abcdef", "ea489fd61c02b753", "b8c052fdae367194", "7931dcbe265a40f8", "905724afe1bc683d",
        "2c6a0b834d75fe19", "c51fed4a0763928b", "db7ec13950f4862a", "6fe9b308c2d714a5", "a2847615fb9e3cd0",
    };

    private static void half(long[] v, int a, int b, int c, int d, long word, int one, int two) {
        v[a] += v[b] + word;
        v[d] = Long.rotateRight(v[d] ^ v[a], one);
        v[c] += v[d];
        v[b] = Long.rotateRight(v[b] ^ v[c], two);
    }

    private static void block(long[] h, ByteBuffer in, int at, long count, boolean last) {
        long[] v = Arrays.copyOf(h, 16);
        System.arraycopy(IV, 0, v, 8, 8);
        v[12] ^= count;
        v[14] ^= last ? -1 : 0;
        for (int round = 0; round < 12; round++) {
            String order = ORDER[round % 10];
            for (int i = 0; i < 8; i++) {
                int turn = i < 4 ? 0 : 1; // columns, then diagonals
                int a = i & 3, b = 4 + (i + turn & 3), c = 8 + (i + 2 * turn & 3), d = 12 + (i + 3 * turn & 3);
                half(v, a, b, c, d, in.getLong(at + 8 * Character.digit(order.charAt(2 * i), 16)), 32, 24);
                half(v, a, b, c, d, in.getLong(at + 8 * Character.digit(order.charAt(2 * i + 1), 16)), 16, 63);
            }
        }
        for (int i = 0; i < 8; i++) {
            h[i] ^= v[i] ^ v[i + 8];
        }
    }

    static byte[] blake2b256(byte[] bytes) {
        int blocks = Math.max(1, (bytes.length + 127) / 128);
        ByteBuffer in = little(Arrays.copyOf(bytes, 128 * blocks));
        long[] h = IV.clone();
        h[0] ^= 0x01010020;
        for (int i = 0; i < blocks; i++) {
            boolean last = i == blocks - 1;
            block(h, in, 128 * i, last ? bytes.length : 128L * (i + 1), last);
        }
        ByteBuffer out = little(new byte[32]);
        for (int i = 0; i < 4; i++) {
            out.putLong(h[i]);
        }
        return out.array();
    }
}
