import java.io.IOException;
import java.io.PrintStream;
import java.math.BigInteger;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.regex.Pattern;

/**
 * Reads entries that CacheKit stores: docs/reading-entries.md says how they look.
 *
 * <pre>
 *   java Reader file PATH...                       entries of the file store
 *   java Reader value PATH...                      stored values, as Redis has them
 *   java Reader key NAMESPACE OPERATION PATH...    keys of calls, whose arguments are a shared value each
 * </pre>
 *
 * Each path gives one line of JSON: the value, the key, or {"error": "..."}. Bytes are {"bytes": "hexadecimal"}.
 */
public final class Reader {
    static final class Damaged extends Exception {
        Damaged(String why) {
            super(why);
        }
    }

    // ---- stored values --------------------------------------------------------------------------------------

    static ByteBuffer openFile(ByteBuffer file) throws Damaged {
        if (file.remaining() < 14 || file.getInt(0) != 0x434b0100) {
            throw new Damaged("no file of the file store");
        }
        long expiry = file.getLong(6);
        if (expiry != 0 && Long.compareUnsigned(expiry, System.currentTimeMillis() / 1000) <= 0) {
            throw new Damaged("expired");
        }
        return file.slice(14, file.limit() - 14);
    }

    private static final Pattern PLAIN = Pattern.compile("\"s\"\\s*:\\s*\"default\"");
    private static final Pattern MSGPACK = Pattern.compile("\"format\"\\s*:\\s*\"msgpack\"");
    private static final Pattern COMPRESSED = Pattern.compile("\"compressed\"\\s*:\\s*true");
    private static final Pattern ENCRYPTED = Pattern.compile("\"encrypted\"\\s*:\\s*true");

    /** The document of a stored value: of a frame, or a plain document that all languages share. */
    static ByteBuffer openValue(ByteBuffer stored) throws Damaged {
        if (stored.limit() < 2 || stored.getShort(0) != 0x434b) {
            return stored;
        }
        long length = stored.limit() < 7 || stored.get(2) != 3 ? Long.MAX_VALUE : Integer.toUnsignedLong(stored.getInt(3));
        if (length > stored.limit() - 7) {
            throw new Damaged("no frame, or one that is cut off");
        }
        // A program would ask a library for JSON; Java brings none along, and these members are all that counts.
        String header = StandardCharsets.UTF_8.decode(stored.slice(7, (int) length)).toString();
        if (!PLAIN.matcher(header).find() || !MSGPACK.matcher(header).find() || ENCRYPTED.matcher(header).find()) {
            throw new Damaged("not a plain entry of the serializer default");
        }
        int at = 7 + (int) length;
        ByteBuffer payload = stored.slice(at, stored.limit() - at);
        return COMPRESSED.matcher(header).find() ? openEnvelope(payload) : payload;
    }

    static ByteBuffer openEnvelope(ByteBuffer envelope) throws Damaged {
        if (!(decode(envelope) instanceof List<?> fields) || fields.size() != 4 ||
            !(fields.get(1) instanceof List<?> sum) || sum.size() != 8 ||
            !(fields.get(2) instanceof Long size) || size < 0 || size > 512 << 20) {
            throw new Damaged("no envelope");
        }
        byte[] content = unpackLz4(bytesOf(fields.get(0)), (int) (long) size);
        if (Hash.xxh3(content) != ByteBuffer.wrap(bytesOf(sum)).getLong()) {
            throw new Damaged("the checksum does not match");
        }
        return ByteBuffer.wrap(content);
    }

    /** Old writers wrote bytes as an array of integers. */
    static byte[] bytesOf(Object value) throws Damaged {
        if (value instanceof byte[] bytes) {
            return bytes;
        }
        if (!(value instanceof List<?> list)) {
            throw new Damaged("no bytes");
        }
        byte[] out = new byte[list.size()];
        for (int i = 0; i < out.length; i++) {
            out[i] = list.get(i) instanceof Long number ? number.byteValue() : 0;
        }
        return out;
    }

    private static int at;

    private static int lz4Length(byte[] block, int start) throws Damaged {
        for (int more = 255; start >= 15 && more == 255; start += more) {
            if (at == block.length) {
                throw new Damaged("a damaged LZ4 block");
            }
            more = block[at++] & 255;
        }
        return start;
    }

    static byte[] unpackLz4(byte[] block, int size) throws Damaged {
        byte[] out = new byte[size];
        int end = 0;
        at = 0;
        while (at < block.length) {
            int token = block[at++] & 255;
            int literals = lz4Length(block, token >> 4);
            if (literals > block.length - at || literals > size - end) {
                throw new Damaged("a damaged LZ4 block");
            }
            System.arraycopy(block, at, out, end, literals);
            at += literals;
            end += literals;
            if (at == block.length) {
                break;
            }
            int distance = at + 2 > block.length ? 0 : block[at] & 255 | (block[at + 1] & 255) << 8;
            at += 2;
            int match = lz4Length(block, token & 15) + 4;
            if (distance == 0 || distance > end || match > size - end) {
                throw new Damaged("a damaged LZ4 block");
            }
            for (int i = 0; i < match; i++, end++) { // they may overlap
                out[end] = out[end - distance];
            }
        }
        if (end != size) {
            throw new Damaged("a damaged LZ4 block");
        }
        return out;
    }

    // ---- MessagePack ----------------------------------------------------------------------------------------

    /** Exactly one document: null, Boolean, Long (BigInteger beyond), Double, String, byte[], List, Map. */
    static Object decode(ByteBuffer data) throws Damaged {
        ByteBuffer document = data.duplicate().order(ByteOrder.BIG_ENDIAN).rewind();
        Object value = value(document, 0);
        if (document.hasRemaining()) {
            throw new Damaged("bytes behind the document");
        }
        return value;
    }

    private static byte[] take(ByteBuffer data, long count) throws Damaged {
        if (count > data.remaining()) {
            throw new Damaged("the document is cut off");
        }
        byte[] out = new byte[(int) count];
        data.get(out);
        return out;
    }

    /** Of 1, 2, 4 or 8 bytes; the last by its bits. */
    private static long number(ByteBuffer data, int bytes) throws Damaged {
        long all = 0;
        for (byte part : take(data, bytes)) {
            all = all << 8 | part & 255;
        }
        return all;
    }

    private static Object unsigned(long bits) {
        return bits >= 0 ? (Object) bits : BigInteger.valueOf(bits).and(BigInteger.ONE.shiftLeft(64).subtract(BigInteger.ONE));
    }

    private static String text(ByteBuffer data, long length) throws Damaged {
        try {
            return StandardCharsets.UTF_8.newDecoder().decode(ByteBuffer.wrap(take(data, length))).toString();
        } catch (CharacterCodingException wrong) {
            throw new Damaged("text that is not UTF-8");
        }
    }

    private static List<Object> list(ByteBuffer data, long count, int depth) throws Damaged {
        List<Object> out = new ArrayList<>();
        for (; count > 0; count--) {
            out.add(value(data, depth + 1));
        }
        return out;
    }

    /** In the order of code points, which for UTF-8 is that of its bytes; String.compareTo has another. */
    private static Map<String, Object> map(ByteBuffer data, long count, int depth) throws Damaged {
        Map<String, Object> out = new TreeMap<>((a, b) -> Arrays.compareUnsigned(utf8(a), utf8(b)));
        for (; count > 0; count--) {
            if (!(value(data, depth + 1) instanceof String name)) {
                throw new Damaged("a key that is not text");
            }
            out.put(name, value(data, depth + 1));
        }
        return out;
    }

    private static Object value(ByteBuffer data, int depth) throws Damaged {
        int head = (int) number(data, 1);
        if (depth > 512) {
            throw new Damaged("too deep");
        }
        if (head < 0x80 || head >= 0xe0) {
            return (long) (byte) head;
        }
        if (head < 0xc0) {
            return head < 0x90 ? map(data, head & 15, depth) : head < 0xa0 ? list(data, head & 15, depth) : text(data, head & 31);
        }
        return switch (head) {
            case 0xc0 -> null;
            case 0xc2 -> false;
            case 0xc3 -> true;
            case 0xc4, 0xc5, 0xc6 -> take(data, number(data, 1 << head - 0xc4));
            case 0xca -> (double) Float.intBitsToFloat((int) number(data, 4));
            case 0xcb -> Double.longBitsToDouble(number(data, 8));
            case 0xcc, 0xcd, 0xce, 0xcf -> unsigned(number(data, 1 << head - 0xcc));
            case 0xd0 -> (long) (byte) number(data, 1);
            case 0xd1 -> (long) (short) number(data, 2);
            case 0xd2 -> (long) (int) number(data, 4);
            case 0xd3 -> number(data, 8);
            case 0xd9, 0xda, 0xdb -> text(data, number(data, 1 << head - 0xd9));
            case 0xdc, 0xdd -> list(data, number(data, 2 << head - 0xdc), depth);
            case 0xde, 0xdf -> map(data, number(data, 2 << head - 0xde), depth);
            default -> throw new Damaged("no value of the model");
        };
    }

    // ---- keys that all languages share ----------------------------------------------------------------------

    static byte[] utf8(String text) {
        return text.getBytes(StandardCharsets.UTF_8);
    }

    /** Bytes that grow. */
    static final class Out {
        ByteBuffer buffer = ByteBuffer.allocate(64);

        ByteBuffer room(int more) {
            if (buffer.remaining() < more) {
                buffer = ByteBuffer.allocate(2 * (buffer.position() + more)).put(buffer.flip());
            }
            return buffer;
        }

        void head(int count, int small, int most, int[] codes) {
            room(5);
            if (count <= most) {
                buffer.put((byte) (small | count));
            } else if (codes[0] != 0 && count < 256) {
                buffer.put((byte) codes[0]).put((byte) count);
            } else if (count < 65536) {
                buffer.put((byte) codes[1]).putShort((short) count);
            } else {
                buffer.put((byte) codes[2]).putInt(count);
            }
        }

        void integer(long value) {
            room(9);
            if (value >= -32 && value < 128) {
                buffer.put((byte) value);
            } else if (value >= 0 ? value < 1L << 8 : value >= -(1L << 7)) {
                buffer.put((byte) (value >= 0 ? 0xcc : 0xd0)).put((byte) value);
            } else if (value >= 0 ? value < 1L << 16 : value >= -(1L << 15)) {
                buffer.put((byte) (value >= 0 ? 0xcd : 0xd1)).putShort((short) value);
            } else if (value >= 0 ? value < 1L << 32 : value >= -(1L << 31)) {
                buffer.put((byte) (value >= 0 ? 0xce : 0xd2)).putInt((int) value);
            } else {
                buffer.put((byte) (value >= 0 ? 0xcf : 0xd3)).putLong(value);
            }
        }

        void unsigned(BigInteger value) {
            room(9).put((byte) 0xcf).putLong(value.longValue());
        }

        /** Arguments without a fraction count as integers. */
        void floating(double value) {
            if (value != Math.rint(value) || value < -0x1p63 || value >= 0x1p64) {
                room(9).put((byte) 0xcb).putDouble(value);
            } else if (value < 0x1p63) {
                integer((long) value);
            } else {
                room(9).put((byte) 0xcf).putLong((long) (value - 0x1p63) | Long.MIN_VALUE);
            }
        }

        void bytes(byte[] bytes) {
            room(bytes.length).put(bytes);
        }

        /** The canonical form of an argument. */
        void put(Object value) {
            if (value == null) {
                room(1).put((byte) 0xc0);
            } else if (value instanceof Boolean truth) {
                room(1).put((byte) (truth ? 0xc3 : 0xc2));
            } else if (value instanceof Long number) {
                integer(number);
            } else if (value instanceof BigInteger number) {
                unsigned(number);
            } else if (value instanceof Double number) {
                floating(number);
            } else if (value instanceof String text) {
                head(utf8(text).length, 0xa0, 31, new int[] {0xd9, 0xda, 0xdb});
                bytes(utf8(text));
            } else if (value instanceof byte[] bytes) {
                head(bytes.length, 0, -1, new int[] {0xc4, 0xc5, 0xc6});
                bytes(bytes);
            } else if (value instanceof List<?> list) {
                head(list.size(), 0x90, 15, new int[] {0, 0xdc, 0xdd});
                list.forEach(this::put);
            } else if (value instanceof Map<?, ?> map) { // sorted already
                head(map.size(), 0x80, 15, new int[] {0, 0xde, 0xdf});
                map.forEach((name, one) -> {
                    put(name);
                    put(one);
                });
            }
        }
    }

    static String keyOf(String namespace, String operation, Object arguments) {
        Out out = new Out();
        out.put(arguments);
        byte[] packed = Arrays.copyOf(out.buffer.array(), out.buffer.position());
        return namespace + ":" + operation + ":" + HexFormat.of().formatHex(Hash.blake2b256(packed));
    }

    // ---- the program ----------------------------------------------------------------------------------------

    static void quote(StringBuilder out, String text) {
        out.append('"');
        for (char c : text.toCharArray()) {
            if (c < ' ' || c == '"' || c == '\\') {
                out.append(String.format("\\u%04x", (int) c));
            } else {
                out.append(c);
            }
        }
        out.append('"');
    }

    static void toJson(StringBuilder out, Object value) {
        if (value instanceof String text) {
            quote(out, text);
        } else if (value instanceof byte[] bytes) {
            out.append("{\"bytes\":\"").append(HexFormat.of().formatHex(bytes)).append("\"}");
        } else if (value instanceof List<?> list) {
            String before = "[";
            for (Object one : list) {
                out.append(before);
                toJson(out, one);
                before = ",";
            }
            out.append(list.isEmpty() ? "[]" : "]");
        } else if (value instanceof Map<?, ?> map) {
            String before = "{";
            for (Map.Entry<?, ?> pair : map.entrySet()) {
                out.append(before);
                quote(out, (String) pair.getKey());
                out.append(':');
                toJson(out, pair.getValue());
                before = ",";
            }
            out.append(map.isEmpty() ? "{}" : "}");
        } else {
            out.append(value);
        }
    }

    static Object answer(List<String> mode, String path) throws Damaged, IOException {
        ByteBuffer data = ByteBuffer.wrap(Files.readAllBytes(Path.of(path)));
        Object value = decode(openValue(mode.get(0).equals("file") ? openFile(data) : data));
        return mode.get(0).equals("key") ? keyOf(mode.get(1), mode.get(2), value) : value;
    }

    public static void main(String[] words) throws IOException {
        int count = words[0].equals("key") ? 3 : 1;
        List<String> mode = List.of(words).subList(0, count);
        PrintStream out = new PrintStream(System.out, false, StandardCharsets.UTF_8);
        for (String path : List.of(words).subList(count, words.length)) {
            StringBuilder line = new StringBuilder();
            try {
                toJson(line, answer(mode, path));
            } catch (Damaged damaged) {
                line.setLength(0);
                line.append("{\"error\":");
                quote(line, damaged.getMessage());
                line.append('}');
            }
            out.println(line);
        }
        out.flush();
    }
}
