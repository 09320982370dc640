// Reads entries that CacheKit stores: docs/reading-entries.md says how they look.
//
//     node reader.js file PATH...                       entries of the file store
//     node reader.js value PATH...                      stored values, as Redis has them
//     node reader.js key NAMESPACE OPERATION PATH...    keys of calls, whose arguments are a shared value each
//
// Each path gives one line of JSON: the value, the key, or {"error": "..."}. Bytes are {"bytes": "<hexadecimal>"}.
'use strict';

const fs = require('fs');

const MASK = (1n << 64n) - 1n;

// ---- stored values --------------------------------------------------------------------------------------------

function openFile(file) {
    if (file.length < 14 || file.toString('latin1', 0, 4) !== 'CK\x01\x00') {
        throw new Error('no file of the file store');
    }
    const expiry = file.readBigUInt64BE(6);
    if (expiry !== 0n && expiry <= BigInt(Math.floor(Date.now() / 1000))) {
        throw new Error('expired');
    }
    return file.subarray(14);
}

/** The document of a stored value: of a frame, or a plain document that all languages share. */
function openValue(stored) {
    if (stored.toString('latin1', 0, 2) !== 'CK') {
        return stored;
    }
    const length = stored.length < 7 || stored[2] !== 3 ? Infinity : stored.readUInt32BE(3);
    if (length > stored.length - 7) {
        throw new Error('no frame, or one that is cut off');
    }
    const header = JSON.parse(stored.toString('utf8', 7, 7 + length));
    if (header.s !== 'default' || header.m.format !== 'msgpack' || header.m.encrypted) {
        throw new Error('not a plain entry of the serializer default');
    }
    const payload = stored.subarray(7 + length);
    return header.m.compressed ? openEnvelope(payload) : payload;
}

function openEnvelope(envelope) {
    const fields = decode(envelope);
    if (!Array.isArray(fields) || fields.length !== 4 || !Array.isArray(fields[1]) || fields[1].length !== 8 ||
        typeof fields[2] !== 'bigint' || fields[2] < 0n || fields[2] > 512n << 20n) {
        throw new Error('no envelope');
    }
    const [block, sum, size] = fields; // old writers wrote the block as an array of integers
    const content = unpackLZ4(Buffer.isBuffer(block) ? block : Buffer.from(block.map(Number)), Number(size));
    if (xxh3(content) !== sum.reduce((all, byte) => all << 8n | byte, 0n)) {
        throw new Error('the checksum does not match');
    }
    return content;
}

function unpackLZ4(block, size) {
    const out = Buffer.alloc(size);
    let at = 0;
    let end = 0;
    const check = (good) => {
        if (!good) {
            throw new Error('a damaged LZ4 block');
        }
    };
    const length = (start) => {
        for (let more = 255; start >= 15 && more === 255; start += more) {
            check(at < block.length);
            more = block[at++];
        }
        return start;
    };
    while (at < block.length) {
        const token = block[at++];
        const literals = length(token >> 4);
        check(literals <= block.length - at && literals <= size - end);
        block.copy(out, end, at, at + literals);
        at += literals;
        end += literals;
        if (at === block.length) {
            break;
        }
        check(at + 2 <= block.length);
        const distance = block.readUInt16LE(at);
        at += 2;
        const match = length(token & 15) + 4;
        check(distance > 0 && distance <= end && match <= size - end);
        for (let i = 0; i < match; i++, end++) { // they may overlap
            out[end] = out[end - distance];
        }
    }
    check(end === size);
    return out;
}

// ---- MessagePack ------------------------------------------------------------------------------------------------

/** Exactly one document. Integers are BigInt, bytes Buffer, maps Map. */
function decode(data) {
    let at = 0;
    const take = (count) => {
        if (count > data.length - at) {
            throw new Error('the document is cut off');
        }
        at += count;
        return data.subarray(at - count, at);
    };
    const number = (bytes) => {
        let all = 0n;
        for (const byte of take(bytes)) {
            all = all << 8n | BigInt(byte);
        }
        return all;
    };
    const text = (length) => new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(take(length));
    const list = (count, depth) => {
        const out = [];
        while (out.length < count) {
            out.push(value(depth + 1));
        }
        return out;
    };
    const dictionary = (count, depth) => {
        const out = new Map();
        for (; count > 0; count--) {
            const name = value(depth + 1);
            if (typeof name !== 'string') {
                throw new Error('a key that is not text');
            }
            out.set(name, value(depth + 1));
        }
        return out;
    };
    const value = (depth) => {
        const head = take(1)[0];
        if (depth > 512) {
            throw new Error('too deep');
        }
        if (head < 0x80) return BigInt(head);
        if (head < 0x90) return dictionary(head & 15, depth);
        if (head < 0xa0) return list(head & 15, depth);
        if (head < 0xc0) return text(head & 31);
        if (head >= 0xe0) return BigInt(head - 256);
        switch (head) {
        case 0xc0: return null;
        case 0xc2: return false;
        case 0xc3: return true;
        case 0xc4: case 0xc5: case 0xc6: return take(Number(number(1 << head - 0xc4)));
        case 0xca: return take(4).readFloatBE();
        case 0xcb: return take(8).readDoubleBE();
        case 0xcc: case 0xcd: case 0xce: case 0xcf: return number(1 << head - 0xcc);
        case 0xd0: case 0xd1: case 0xd2: case 0xd3: return BigInt.asIntN(8 << head - 0xd0, number(1 << head - 0xd0));
        case 0xd9: case 0xda: case 0xdb: return text(Number(number(1 << head - 0xd9)));
        case 0xdc: case 0xdd: return list(Number(number(2 << head - 0xdc)), depth);
        case 0xde: case 0xdf: return dictionary(Number(number(2 << head - 0xde)), depth);
        default: throw new Error('no value of the model');
        }
    };
    const document = value(0);
    if (at !== data.length) {
        throw new Error('bytes behind the document');
    }
    return document;
}

// ---- keys that all languages share ------------------------------------------------------------------------------

function bigEndian(code, bytes, value) {
    const out = Buffer.alloc(1 + bytes);
    out[0] = code;
    for (let i = bytes; i > 0; i--, value >>= 8n) {
        out[i] = Number(value & 255n);
    }
    return out;
}

function integer(value) {
    if (value >= -32n && value < 128n) return Buffer.from([Number(value & 255n)]);
    for (let power = 0; power < 4; power++) {
        const bits = 8n << BigInt(power);
        if (value >= 0n && value < 1n << bits) return bigEndian(0xcc + power, 1 << power, value);
        if (value < 0n && value >= -(1n << bits - 1n)) return bigEndian(0xd0 + power, 1 << power, value);
    }
    throw new Error('an integer outside of the model');
}

function float(value) {
    if (Number.isInteger(value) && value >= -(2 ** 63) && value < 2 ** 64) {
        return integer(BigInt(value)); // arguments without a fraction count as integers
    }
    const out = Buffer.alloc(9, 0xcb);
    out.writeDoubleBE(value, 1);
    return out;
}

function head(count, short, most, codes) {
    if (count <= most) return Buffer.from([short | count]);
    const power = codes[0] && count < 256 ? 0 : count < 65536 ? 1 : 2;
    return bigEndian(codes[power], 1 << power, BigInt(count));
}

/** The canonical form of an argument. */
function encode(value) {
    if (value === null) return Buffer.from([0xc0]);
    if (typeof value === 'boolean') return Buffer.from([value ? 0xc3 : 0xc2]);
    if (typeof value === 'bigint') return integer(value);
    if (typeof value === 'number') return float(value);
    if (typeof value === 'string') {
        const text = Buffer.from(value, 'utf8');
        return Buffer.concat([head(text.length, 0xa0, 31, [0xd9, 0xda, 0xdb]), text]);
    }
    if (Buffer.isBuffer(value)) return Buffer.concat([head(value.length, 0, -1, [0xc4, 0xc5, 0xc6]), value]);
    if (Array.isArray(value)) return Buffer.concat([head(value.length, 0x90, 15, [0, 0xdc, 0xdd]), ...value.map(encode)]);
    // By code points, which is the order of UTF-8 bytes, not that of UTF-16 units.
    const names = [...value.keys()].sort((a, b) => Buffer.compare(Buffer.from(a, 'utf8'), Buffer.from(b, 'utf8')));
    const pairs = names.flatMap((name) => [encode(name), encode(value.get(name))]);
    return Buffer.concat([head(names.length, 0x80, 15, [0, 0xde, 0xdf]), ...pairs]);
}

function keyOf(namespace, operation, args) {
    return `${namespace}:${operation}:${blake2b256(encode(args)).toString('hex')}`;
}

// ---- XXH3-64, without a seed ------------------------------------------------------------------------------------

const SECRET = Buffer.from(
    'b8fe6c3923a44bbe7c01812cf721ad1cded46de9839097db7240a4a4b7b3671fcb79e64eccc0e578825ad07dccff7221' +
    'b8084674f743248ee03590e6813a264c3c2852bb91c300cb88d0658b1b532ea371644897a20df94e3819ef46a9deacd8' +
    'a8fa763fe39c343ff9dcbbc7c70b4f1d8a51e04bcdb45931c89f7ec9d9787364eac5ac8334d3ebc3c581a0fffa1363eb' +
    '170ddd51b7f0da49d316552629d4689e2b16be587d47a1fc8ff8b8d17ad031ce45cb3a8f95160428afd7fbcabb4b407e',
    'hex');
const P32 = [0x9E3779B1n, 0x85EBCA77n, 0xC2B2AE3Dn];
const P64 = [0x9E3779B185EBCA87n, 0xC2B2AE3D27D4EB4Fn, 0x165667B19E3779F9n, 0x85EBCA77C2B2AE63n, 0x27D4EB2F165667C5n];

const r64 = (bytes, at) => bytes.readBigUInt64LE(at);
const r32 = (bytes, at) => BigInt(bytes.readUInt32LE(at));
const rotate = (h, by) => (h << BigInt(by) | h >> BigInt(64 - by)) & MASK;
const fold = (a, b) => (a * b & MASK) ^ (a * b >> 64n);
const swap = (h) => {
    const bytes = Buffer.alloc(8);
    bytes.writeBigUInt64LE(h);
    return bytes.readBigUInt64BE();
};

function avalanche(h, first = 37n, one = 0x165667919E3779F9n) {
    h = (h ^ h >> first) * one & MASK;
    return h ^ h >> 32n;
}

function avalanche64(h) {
    h = (h ^ h >> 33n) * P64[1] & MASK;
    return avalanche(h, 29n, P64[2]);
}

const mix16 = (data, at, key) => fold(r64(data, at) ^ r64(SECRET, key), r64(data, at + 8) ^ r64(SECRET, key + 8));

function xxh3Short(data) {
    const n = data.length;
    if (n === 0) return avalanche64(r64(SECRET, 56) ^ r64(SECRET, 64));
    if (n < 4) {
        const both = BigInt(data[0]) << 16n | BigInt(data[n >> 1]) << 24n | BigInt(data[n - 1]) | BigInt(n) << 8n;
        return avalanche64(both ^ r32(SECRET, 0) ^ r32(SECRET, 4));
    }
    if (n <= 8) {
        let h = (r32(data, n - 4) + (r32(data, 0) << 32n)) ^ r64(SECRET, 8) ^ r64(SECRET, 16);
        h = (h ^ rotate(h, 49) ^ rotate(h, 24)) * 0x9FB21C651E98DF25n & MASK;
        h = (h ^ (h >> 35n) + BigInt(n)) * 0x9FB21C651E98DF25n & MASK;
        return h ^ h >> 28n;
    }
    const low = r64(data, 0) ^ r64(SECRET, 24) ^ r64(SECRET, 32);
    const high = r64(data, n - 8) ^ r64(SECRET, 40) ^ r64(SECRET, 48);
    return avalanche(BigInt(n) + swap(low) + high + fold(low, high) & MASK);
}

function xxh3Medium(data) {
    const n = data.length;
    let h = BigInt(n) * P64[0];
    if (n <= 128) {
        for (let i = n - 1 >> 5; i >= 0; i--) {
            h += mix16(data, 16 * i, 32 * i) + mix16(data, n - 16 * (i + 1), 32 * i + 16);
        }
        return avalanche(h & MASK);
    }
    for (let i = 0; i < 8; i++) {
        h += mix16(data, 16 * i, 16 * i);
    }
    h = avalanche(h & MASK);
    for (let i = 8; i < n >> 4; i++) {
        h += mix16(data, 16 * i, 16 * (i - 8) + 3);
    }
    return avalanche(h + mix16(data, n - 16, 119) & MASK);
}

function xxh3Long(data) {
    const n = data.length;
    const acc = [P32[2], P64[0], P64[1], P64[2], P64[3], P32[1], P64[4], P32[0]];
    const accumulate = (at, key) => {
        for (let i = 0; i < 8; i++) {
            const value = r64(data, at + 8 * i);
            const keyed = value ^ r64(SECRET, key + 8 * i);
            acc[i ^ 1] = acc[i ^ 1] + value & MASK;
            acc[i] = acc[i] + (keyed & 0xffffffffn) * (keyed >> 32n) & MASK;
        }
    };
    for (let stripe = 0; stripe < n - 1 >> 6; stripe++) {
        accumulate(64 * stripe, 8 * (stripe & 15));
        for (let i = 0; (stripe & 15) === 15 && i < 8; i++) {
            acc[i] = (acc[i] ^ acc[i] >> 47n ^ r64(SECRET, 128 + 8 * i)) * P32[0] & MASK;
        }
    }
    accumulate(n - 64, 121);
    let h = BigInt(n) * P64[0];
    for (let i = 0; i < 4; i++) {
        h += fold(acc[2 * i] ^ r64(SECRET, 11 + 16 * i), acc[2 * i + 1] ^ r64(SECRET, 19 + 16 * i));
    }
    return avalanche(h & MASK);
}

function xxh3(data) {
    return data.length <= 16 ? xxh3Short(data) : data.length <= 240 ? xxh3Medium(data) : xxh3Long(data);
}

// ---- BLAKE2b with 32 bytes of digest (RFC 7693) -------------------------------------------------------------------

const BLAKE_IV = [
    0x6a09e667f3bcc908n, 0xbb67ae8584caa73bn, 0x3c6ef372fe94f82bn, 0xa54ff53a5f1d36f1n,
    0x510e527fade682d1n, 0x9b05688c2b3e6c1fn, 0x1f83d9abfb41bd6bn, 0x5be0cd19137e2179n,
];
// Which word of the message comes when; rounds 10 and 11 are 0 and 1 again.
const BLAKE_ORDER = [
    '0123456789abcdef', 'ea489fd61c02b753', 'b8c052fdae367194', '7931dcbe265a40f8', '905724afe1bc683d',
    '2c6a0b834d75fe19', 'c51fed4a0763928b', 'db7ec13950f4862a', '6fe9b308c2d714a5', 'a2847615fb9e3cd0',
];

function blakeBlock(h, block, count, last) {
    const v = [...h, ...BLAKE_IV];
    v[12] ^= BigInt(count);
    v[14] ^= last ? MASK : 0n;
    for (let round = 0; round < 12; round++) {
        const word = (i) => r64(block, 8 * parseInt(BLAKE_ORDER[round % 10][i], 16));
        for (let i = 0; i < 8; i++) {
            const turn = i < 4 ? 0 : 1; // columns, then diagonals
            const [a, b, c, d] = [i & 3, 4 + (i + turn & 3), 8 + (i + 2 * turn & 3), 12 + (i + 3 * turn & 3)];
            v[a] = v[a] + v[b] + word(2 * i) & MASK;
            v[d] = rotate(v[d] ^ v[a], 32);
            v[c] = v[c] + v[d] & MASK;
            v[b] = rotate(v[b] ^ v[c], 40);
            v[a] = v[a] + v[b] + word(2 * i + 1) & MASK;
            v[d] = rotate(v[d] ^ v[a], 48);
            v[c] = v[c] + v[d] & MASK;
            v[b] = rotate(v[b] ^ v[c], 1);
        }
    }
    return h.map((one, i) => one ^ v[i] ^ v[i + 8]);
}

function blake2b256(data) {
    let h = [BLAKE_IV[0] ^ 0x01010020n, ...BLAKE_IV.slice(1)];
    let at = 0;
    for (; data.length - at > 128; at += 128) {
        h = blakeBlock(h, data.subarray(at, at + 128), at + 128, false);
    }
    const block = Buffer.alloc(128);
    data.copy(block, 0, at);
    h = blakeBlock(h, block, data.length, true);
    const out = Buffer.alloc(32);
    h.slice(0, 4).forEach((word, i) => out.writeBigUInt64LE(word, 8 * i));
    return out;
}

// ---- the program --------------------------------------------------------------------------------------------------

/** JSON with all digits of integers. */
function toJSON(value) {
    if (typeof value === 'bigint') return value.toString();
    if (Buffer.isBuffer(value)) return JSON.stringify({ bytes: value.toString('hex') });
    if (Array.isArray(value)) return `[${value.map(toJSON).join(',')}]`;
    if (value instanceof Map) {
        return `{${[...value].map(([name, one]) => `${JSON.stringify(name)}:${toJSON(one)}`).join(',')}}`;
    }
    return JSON.stringify(value);
}

function answer(mode, path) {
    const data = fs.readFileSync(path);
    const value = decode(openValue(mode[0] === 'file' ? openFile(data) : data));
    return mode[0] === 'key' ? keyOf(mode[1], mode[2], value) : value;
}

const count = process.argv[2] === 'key' ? 5 : 3;
const mode = process.argv.slice(2, count);
const lines = process.argv.slice(count).map((path) => {
    try {
        return toJSON(answer(mode, path));
    } catch (error) {
        return JSON.stringify({ error: error.message });
    }
});
fs.writeSync(1, lines.map((line) => line + '\n').join(''));
