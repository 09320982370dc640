<?php
// Reads entries that CacheKit stores: docs/reading-entries.md says how they look.
//
//     php reader.php file PATH...                       entries of the file store
//     php reader.php value PATH...                      stored values, as Redis has them
//     php reader.php key NAMESPACE OPERATION PATH...    keys of calls, whose arguments are a shared value each
//
// Each path gives one line of JSON: the value, the key, or {"error": "..."}. Bytes are {"bytes": "<hexadecimal>"}.
// PHP brings XXH3 (8.1) and BLAKE2b (sodium) along.

declare(strict_types=1);

/** A byte string; text is a plain string. */
final class Bytes
{
    public function __construct(public string $bytes)
    {
    }
}

/** An integer from 2^63 on, by its 64 bits. */
final class Unsigned
{
    public function __construct(public int $bits)
    {
    }
}

/** A map; its names may look like numbers, which keys of arrays would become. */
final class Map
{
    /** @var list<array{string, mixed}> */
    public array $pairs = [];
}

// ---- stored values ----------------------------------------------------------------------------------------------

function open_file(string $file): string
{
    if (strlen($file) < 14 || substr($file, 0, 4) !== "CK\x01\x00") {
        throw new UnexpectedValueException('no file of the file store');
    }
    $expiry = unpack('J', $file, 6)[1];
    if ($expiry !== 0 && $expiry <= time()) {
        throw new UnexpectedValueException('expired');
    }
    return substr($file, 14);
}

/** The document of a stored value: of a frame, or a plain document that all languages share. */
function open_value(string $stored): string
{
    if (substr($stored, 0, 2) !== 'CK') {
        return $stored;
    }
    $length = strlen($stored) < 7 || $stored[2] !== "\x03" ? PHP_INT_MAX : unpack('N', $stored, 3)[1];
    if ($length > strlen($stored) - 7) {
        throw new UnexpectedValueException('no frame, or one that is cut off');
    }
    $header = json_decode(substr($stored, 7, $length), true, 16, JSON_THROW_ON_ERROR);
    if (($header['s'] ?? '') !== 'default' || $header['m']['format'] !== 'msgpack' || ($header['m']['encrypted'] ?? false)) {
        throw new UnexpectedValueException('not a plain entry of the serializer default');
    }
    $payload = substr($stored, 7 + $length);
    return $header['m']['compressed'] ? open_envelope($payload) : $payload;
}

function open_envelope(string $envelope): string
{
    $fields = decode($envelope);
    if (!is_array($fields) || count($fields) !== 4 || !is_array($fields[1]) || count($fields[1]) !== 8 ||
        !is_int($fields[2]) || $fields[2] < 0 || $fields[2] > 512 << 20) {
        throw new UnexpectedValueException('no envelope');
    }
    [$block, $sum, $size] = $fields; // old writers wrote the block as an array of integers
    $content = unpack_lz4($block instanceof Bytes ? $block->bytes : pack('C*', ...$block), $size);
    if (hash('xxh3', $content, true) !== pack('C*', ...$sum)) {
        throw new UnexpectedValueException('the checksum does not match');
    }
    return $content;
}

function unpack_lz4(string $block, int $size): string
{
    $out = '';
    $at = 0;
    $check = function (bool $good): void {
        if (!$good) {
            throw new UnexpectedValueException('a damaged LZ4 block');
        }
    };
    $length = function (int $start) use ($block, &$at, $check): int {
        for ($more = 255; $start >= 15 && $more === 255; $start += $more) {
            $check($at < strlen($block));
            $more = ord($block[$at++]);
        }
        return $start;
    };
    while ($at < strlen($block)) {
        $token = ord($block[$at++]);
        $literals = $length($token >> 4);
        $check($literals <= strlen($block) - $at && $literals <= $size - strlen($out));
        $out .= substr($block, $at, $literals);
        $at += $literals;
        if ($at === strlen($block)) {
            break;
        }
        $check($at + 2 <= strlen($block));
        $distance = unpack('v', $block, $at)[1];
        $at += 2;
        $match = $length($token & 15) + 4;
        $check($distance > 0 && $distance <= strlen($out) && $match <= $size - strlen($out));
        for (; $match > 0; $match -= strlen($piece)) { // they may overlap
            $piece = substr($out, -$distance, min($distance, $match));
            $out .= $piece;
        }
    }
    $check(strlen($out) === $size);
    return $out;
}

// ---- MessagePack ------------------------------------------------------------------------------------------------

final class Reader
{
    private int $at = 0;

    public function __construct(private string $data)
    {
    }

    public function ended(): bool
    {
        return $this->at === strlen($this->data);
    }

    private function take(int $count): string
    {
        if ($count < 0 || $count > strlen($this->data) - $this->at) {
            throw new UnexpectedValueException('the document is cut off');
        }
        $this->at += $count;
        return substr($this->data, $this->at - $count, $count);
    }

    /** Of 1, 2, 4 or 8 bytes; the last by its bits. */
    private function number(int $bytes): int
    {
        return unpack([1 => 'C', 2 => 'n', 4 => 'N', 8 => 'J'][$bytes], $this->take($bytes))[1];
    }

    private function text(int $length): string
    {
        $text = $this->take($length);
        if (preg_match('//u', $text) !== 1) {
            throw new UnexpectedValueException('text that is not UTF-8');
        }
        return $text;
    }

    /** @return list<mixed> */
    private function list(int $count, int $depth): array
    {
        for ($out = []; $count > 0; $count--) {
            $out[] = $this->value($depth + 1);
        }
        return $out;
    }

    private function map(int $count, int $depth): Map
    {
        for ($out = new Map(); $count > 0; $count--) {
            $name = $this->value($depth + 1);
            if (!is_string($name)) {
                throw new UnexpectedValueException('a key that is not text');
            }
            $out->pairs[] = [$name, $this->value($depth + 1)];
        }
        return $out;
    }

    private function unsigned(int $bytes): int|Unsigned
    {
        $number = $this->number($bytes);
        return $number < 0 ? new Unsigned($number) : $number;
    }

    private function signed(int $bytes): int
    {
        $unused = 64 - 8 * $bytes;
        return $this->number($bytes) << $unused >> $unused;
    }

    public function value(int $depth): mixed
    {
        $head = $this->number(1);
        if ($depth > 512) {
            throw new UnexpectedValueException('too deep');
        }
        return match (true) {
            $head < 0x80 => $head,
            $head < 0x90 => $this->map($head & 15, $depth),
            $head < 0xa0 => $this->list($head & 15, $depth),
            $head < 0xc0 => $this->text($head & 31),
            $head >= 0xe0 => $head - 256,
            $head === 0xc0 => null,
            $head === 0xc2, $head === 0xc3 => $head === 0xc3,
            $head >= 0xc4 && $head <= 0xc6 => new Bytes($this->take($this->number(1 << $head - 0xc4))),
            $head === 0xca => unpack('G', $this->take(4))[1],
            $head === 0xcb => unpack('E', $this->take(8))[1],
            $head >= 0xcc && $head <= 0xcf => $this->unsigned(1 << $head - 0xcc),
            $head >= 0xd0 && $head <= 0xd3 => $this->signed(1 << $head - 0xd0),
            $head >= 0xd9 && $head <= 0xdb => $this->text($this->number(1 << $head - 0xd9)),
            $head === 0xdc, $head === 0xdd => $this->list($this->number(2 << $head - 0xdc), $depth),
            $head === 0xde, $head === 0xdf => $this->map($this->number(2 << $head - 0xde), $depth),
            default => throw new UnexpectedValueException('no value of the model'),
        };
    }
}

/** Exactly one document. */
function decode(string $data): mixed
{
    $reader = new Reader($data);
    $value = $reader->value(0);
    if (!$reader->ended()) {
        throw new UnexpectedValueException('bytes behind the document');
    }
    return $value;
}

// ---- keys that all languages share ------------------------------------------------------------------------------

function integer(int $value): string
{
    return match (true) {
        $value >= -32 && $value < 128 => pack('C', $value & 255),
        $value >= 0 => match (true) {
            $value < 1 << 8 => pack('CC', 0xcc, $value),
            $value < 1 << 16 => pack('Cn', 0xcd, $value),
            $value < 1 << 32 => pack('CN', 0xce, $value),
            default => pack('CJ', 0xcf, $value),
        },
        $value >= -(1 << 7) => pack('CC', 0xd0, $value & 255),
        $value >= -(1 << 15) => pack('Cn', 0xd1, $value & 65535),
        $value >= -(1 << 31) => pack('CN', 0xd2, $value & 0xffffffff),
        default => pack('CJ', 0xd3, $value),
    };
}

/** Arguments without a fraction count as integers. */
function float(float $value): string
{
    if (floor($value) !== $value || $value < -(2.0 ** 63) || $value >= 2.0 ** 64) {
        return "\xcb" . pack('E', $value);
    }
    return $value < 2.0 ** 63 ? integer((int) $value) : pack('CJ', 0xcf, (int) ($value - 2.0 ** 63) | PHP_INT_MIN);
}

/** @param array{int, int, int} $codes */
function head(int $count, int $short, int $most, array $codes): string
{
    return match (true) {
        $count <= $most => pack('C', $short | $count),
        $codes[0] !== 0 && $count < 256 => pack('CC', $codes[0], $count),
        $count < 65536 => pack('Cn', $codes[1], $count),
        default => pack('CN', $codes[2], $count),
    };
}

/** The canonical form of an argument. */
function encode(mixed $value): string
{
    return match (true) {
        $value === null => "\xc0",
        is_bool($value) => $value ? "\xc3" : "\xc2",
        is_int($value) => integer($value),
        is_float($value) => float($value),
        is_string($value) => head(strlen($value), 0xa0, 31, [0xd9, 0xda, 0xdb]) . $value,
        is_array($value) => head(count($value), 0x90, 15, [0, 0xdc, 0xdd]) . implode(array_map('encode', $value)),
        $value instanceof Unsigned => pack('CJ', 0xcf, $value->bits),
        $value instanceof Bytes => head(strlen($value->bytes), 0, -1, [0xc4, 0xc5, 0xc6]) . $value->bytes,
        $value instanceof Map => encode_map($value),
    };
}

function encode_map(Map $map): string
{
    $pairs = $map->pairs;
    usort($pairs, fn (array $a, array $b): int => strcmp($a[0], $b[0])); // bytes of UTF-8: the order of code points
    $parts = array_map(fn (array $pair): string => encode($pair[0]) . encode($pair[1]), $pairs);
    return head(count($pairs), 0x80, 15, [0, 0xde, 0xdf]) . implode($parts);
}

function key_of(string $namespace, string $operation, mixed $arguments): string
{
    return "$namespace:$operation:" . bin2hex(sodium_crypto_generichash(encode($arguments), '', 32));
}

// ---- the program ------------------------------------------------------------------------------------------------

function to_json(mixed $value): string
{
    return match (true) {
        $value instanceof Unsigned => sprintf('%u', $value->bits),
        $value instanceof Bytes => json_encode(['bytes' => bin2hex($value->bytes)]),
        $value instanceof Map => '{' . implode(',', array_map(
            fn (array $pair): string => json_encode($pair[0], JSON_THROW_ON_ERROR) . ':' . to_json($pair[1]),
            $value->pairs,
        )) . '}',
        is_array($value) => '[' . implode(',', array_map('to_json', $value)) . ']',
        default => json_encode($value, JSON_THROW_ON_ERROR),
    };
}

function answer(array $mode, string $path): mixed
{
    $data = file_get_contents($path);
    $value = decode(open_value($mode[0] === 'file' ? open_file($data) : $data));
    return $mode[0] === 'key' ? key_of($mode[1], $mode[2], $value) : $value;
}

ini_set('memory_limit', '512M');
$count = $argv[1] === 'key' ? 4 : 2;
$mode = array_slice($argv, 1, $count - 1);
foreach (array_slice($argv, $count) as $path) {
    try {
        echo to_json(answer($mode, $path)), "\n";
    } catch (UnexpectedValueException | JsonException $error) {
        echo json_encode(['error' => $error->getMessage()]), "\n";
    }
}
