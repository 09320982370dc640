// Reads entries that CacheKit stores: docs/reading-entries.md says how they look.
//
//	reader file PATH...                       entries of the file store
//	reader value PATH...                      stored values, as Redis has them
//	reader key NAMESPACE OPERATION PATH...    keys of calls, whose arguments are a shared value each
//
// Each path gives one line of JSON: the value, the key, or {"error": "..."}. Bytes are {"bytes": "<hexadecimal>"}.
package main

import (
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"sort"
	"time"
)

// ---- stored values ------------------------------------------------------------------------------------------

func openFile(file []byte) ([]byte, error) {
	if len(file) < 14 || string(file[:4]) != "CK\x01\x00" {
		return nil, errors.New("no file of the file store")
	}
	expiry := binary.BigEndian.Uint64(file[6:14])
	if expiry != 0 && expiry <= uint64(time.Now().Unix()) {
		return nil, errors.New("expired")
	}
	return file[14:], nil
}

// openValue gives the document of a stored value: a frame, or a plain document that all languages share.
func openValue(stored []byte) ([]byte, error) {
	if len(stored) < 2 || string(stored[:2]) != "CK" {
		return stored, nil
	}
	if len(stored) < 7 || stored[2] != 3 {
		return nil, errors.New("no frame")
	}
	length := uint64(binary.BigEndian.Uint32(stored[3:7]))
	if length > uint64(len(stored)-7) {
		return nil, errors.New("the frame's header is cut off")
	}
	var header struct {
		S string
		M struct {
			Format     string
			Compressed bool
			Encrypted  bool
		}
	}
	if err := json.Unmarshal(stored[7:7+length], &header); err != nil {
		return nil, err
	}
	if header.S != "default" || header.M.Format != "msgpack" || header.M.Encrypted {
		return nil, errors.New("not a plain entry of the serializer default")
	}
	payload := stored[7+length:]
	if !header.M.Compressed {
		return payload, nil
	}
	return openEnvelope(payload)
}

func openEnvelope(envelope []byte) ([]byte, error) {
	value, err := decode(envelope)
	if err != nil {
		return nil, err
	}
	fields, ok := value.([]any)
	if !ok || len(fields) != 4 {
		return nil, errors.New("no envelope")
	}
	sum, ok := fields[1].([]any)
	size, sized := fields[2].(int64)
	if !ok || !sized || len(sum) != 8 || size < 0 || size > 512<<20 {
		return nil, errors.New("no envelope")
	}
	content, err := unpackLZ4(bytesOf(fields[0]), int(size))
	if err != nil {
		return nil, err
	}
	var checksum uint64
	for _, part := range sum {
		number, _ := part.(int64)
		checksum = checksum<<8 | uint64(number&0xff)
	}
	if xxh3(content) != checksum {
		return nil, errors.New("the checksum does not match")
	}
	return content, nil
}

// bytesOf: old writers wrote bytes as an array of integers.
func bytesOf(value any) []byte {
	if list, ok := value.([]any); ok {
		out := make([]byte, len(list))
		for i, part := range list {
			number, _ := part.(int64)
			out[i] = byte(number)
		}
		return out
	}
	out, _ := value.([]byte)
	return out
}

func unpackLZ4(block []byte, size int) ([]byte, error) {
	damaged := errors.New("a damaged LZ4 block")
	out := make([]byte, 0, size)
	at := 0
	length := func(start int) (int, bool) {
		if start < 15 {
			return start, true
		}
		for at < len(block) {
			more := int(block[at])
			at++
			start += more
			if more < 255 {
				return start, true
			}
		}
		return 0, false
	}
	for at < len(block) {
		token := int(block[at])
		at++
		literals, ok := length(token >> 4)
		if !ok || literals > len(block)-at || literals > size-len(out) {
			return nil, damaged
		}
		out = append(out, block[at:at+literals]...)
		at += literals
		if at == len(block) {
			break
		}
		if at+2 > len(block) {
			return nil, damaged
		}
		distance := int(binary.LittleEndian.Uint16(block[at:]))
		at += 2
		match, ok := length(token & 15)
		match += 4
		if !ok || distance == 0 || distance > len(out) || match > size-len(out) {
			return nil, damaged
		}
		for i := 0; i < match; i++ { // they may overlap
			out = append(out, out[len(out)-distance])
		}
	}
	if len(out) != size {
		return nil, damaged
	}
	return out, nil
}

// ---- MessagePack ----------------------------------------------------------------------------------------------

type reader struct {
	data []byte
	at   int
}

// decode reads exactly one document: nil, bool, int64 (uint64 beyond), float64, string, []byte, []any, map[string]any.
func decode(data []byte) (any, error) {
	r := reader{data: data}
	value, err := r.value(0)
	if err == nil && r.at != len(data) {
		err = errors.New("bytes behind the document")
	}
	return value, err
}

func (r *reader) take(count uint64) ([]byte, error) {
	if count > uint64(len(r.data)-r.at) {
		return nil, errors.New("the document is cut off")
	}
	r.at += int(count)
	return r.data[r.at-int(count) : r.at], nil
}

func (r *reader) number(bytes uint64) (uint64, error) {
	part, err := r.take(bytes)
	var number uint64
	for _, b := range part {
		number = number<<8 | uint64(b)
	}
	return number, err
}

func (r *reader) text(length uint64) (any, error) {
	part, err := r.take(length)
	return string(part), err
}

func (r *reader) list(count uint64, depth int) (any, error) {
	out := []any{}
	for ; count > 0; count-- {
		value, err := r.value(depth + 1)
		if err != nil {
			return nil, err
		}
		out = append(out, value)
	}
	return out, nil
}

func (r *reader) dictionary(count uint64, depth int) (any, error) {
	out := map[string]any{}
	for ; count > 0; count-- {
		key, err := r.value(depth + 1)
		name, ok := key.(string)
		if err == nil && !ok {
			err = errors.New("a key that is not text")
		}
		if err != nil {
			return nil, err
		}
		if out[name], err = r.value(depth + 1); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func (r *reader) value(depth int) (any, error) {
	head, err := r.number(1)
	if err != nil || depth > 512 {
		return nil, errors.New("the document is cut off, or too deep")
	}
	switch {
	case head < 0x80:
		return int64(head), nil
	case head < 0x90:
		return r.dictionary(head&15, depth)
	case head < 0xa0:
		return r.list(head&15, depth)
	case head < 0xc0:
		return r.text(head & 31)
	case head >= 0xe0:
		return int64(int8(head)), nil
	}
	switch head {
	case 0xc0:
		return nil, nil
	case 0xc2, 0xc3:
		return head == 0xc3, nil
	case 0xca:
		bits, err := r.number(4)
		return float64(math.Float32frombits(uint32(bits))), err
	case 0xcb:
		bits, err := r.number(8)
		return math.Float64frombits(bits), err
	case 0xcc, 0xcd, 0xce, 0xcf:
		number, err := r.number(1 << (head - 0xcc))
		if number > math.MaxInt64 {
			return number, err
		}
		return int64(number), err
	case 0xd0, 0xd1, 0xd2, 0xd3:
		bytes := uint64(1) << (head - 0xd0)
		number, err := r.number(bytes)
		return int64(number<<(64-8*bytes)) >> (64 - 8*bytes), err
	case 0xc1, 0xc7, 0xc8, 0xc9, 0xd4, 0xd5, 0xd6, 0xd7, 0xd8:
		return nil, errors.New("no value of the model")
	}
	// A length of 1, 2 or 4 bytes, and what it counts.
	sizes := map[uint64]uint64{0xc4: 1, 0xc5: 2, 0xc6: 4, 0xd9: 1, 0xda: 2, 0xdb: 4, 0xdc: 2, 0xdd: 4, 0xde: 2, 0xdf: 4}
	count, err := r.number(sizes[head])
	if err != nil {
		return nil, err
	}
	switch {
	case head <= 0xc6:
		return r.take(count)
	case head <= 0xdb:
		return r.text(count)
	case head <= 0xdd:
		return r.list(count, depth)
	}
	return r.dictionary(count, depth)
}

// ---- keys that all languages share -----------------------------------------------------------------------------

func head(out []byte, count int, short, shortMost int, codes [3]byte) []byte {
	switch {
	case count <= shortMost:
		return append(out, byte(short|count))
	case count <= 0xff && codes[0] != 0:
		return append(out, codes[0], byte(count))
	case count <= 0xffff:
		return binary.BigEndian.AppendUint16(append(out, codes[1]), uint16(count))
	}
	return binary.BigEndian.AppendUint32(append(out, codes[2]), uint32(count))
}

func encodeInteger(out []byte, value int64) []byte {
	switch {
	case value >= 0:
		return encodeUnsigned(out, uint64(value))
	case value >= -32:
		return append(out, byte(value))
	case value >= math.MinInt8:
		return append(out, 0xd0, byte(value))
	case value >= math.MinInt16:
		return binary.BigEndian.AppendUint16(append(out, 0xd1), uint16(value))
	case value >= math.MinInt32:
		return binary.BigEndian.AppendUint32(append(out, 0xd2), uint32(value))
	}
	return binary.BigEndian.AppendUint64(append(out, 0xd3), uint64(value))
}

func encodeUnsigned(out []byte, value uint64) []byte {
	switch {
	case value < 0x80:
		return append(out, byte(value))
	case value <= math.MaxUint8:
		return append(out, 0xcc, byte(value))
	case value <= math.MaxUint16:
		return binary.BigEndian.AppendUint16(append(out, 0xcd), uint16(value))
	case value <= math.MaxUint32:
		return binary.BigEndian.AppendUint32(append(out, 0xce), uint32(value))
	}
	return binary.BigEndian.AppendUint64(append(out, 0xcf), value)
}

// Arguments without a fraction count as integers.
func encodeFloat(out []byte, value float64) []byte {
	switch {
	case value == math.Trunc(value) && value >= 0 && value < 18446744073709551616.0:
		return encodeUnsigned(out, uint64(value))
	case value == math.Trunc(value) && value < 0 && value >= -9223372036854775808.0:
		return encodeInteger(out, int64(value))
	}
	return binary.BigEndian.AppendUint64(append(out, 0xcb), math.Float64bits(value))
}

// encode appends the canonical form of an argument.
func encode(out []byte, value any) []byte {
	switch v := value.(type) {
	case nil:
		return append(out, 0xc0)
	case bool:
		if v {
			return append(out, 0xc3)
		}
		return append(out, 0xc2)
	case int64:
		return encodeInteger(out, v)
	case uint64:
		return encodeUnsigned(out, v)
	case float64:
		return encodeFloat(out, v)
	case string:
		return append(head(out, len(v), 0xa0, 31, [3]byte{0xd9, 0xda, 0xdb}), v...)
	case []byte:
		return append(head(out, len(v), 0, -1, [3]byte{0xc4, 0xc5, 0xc6}), v...)
	case []any:
		out = head(out, len(v), 0x90, 15, [3]byte{0, 0xdc, 0xdd})
		for _, item := range v {
			out = encode(out, item)
		}
		return out
	case map[string]any:
		names := make([]string, 0, len(v))
		for name := range v {
			names = append(names, name)
		}
		sort.Strings(names) // by their UTF-8 bytes, which is the order of code points
		out = head(out, len(v), 0x80, 15, [3]byte{0, 0xde, 0xdf})
		for _, name := range names {
			out = encode(encode(out, name), v[name])
		}
		return out
	}
	panic("no value of the model")
}

func keyOf(namespace, operation string, arguments any) string {
	digest := blake2b256(encode(nil, arguments))
	return namespace + ":" + operation + ":" + hex.EncodeToString(digest[:])
}

// ---- the program -------------------------------------------------------------------------------------------------

func forJSON(value any) any {
	switch v := value.(type) {
	case []byte:
		return map[string]string{"bytes": hex.EncodeToString(v)}
	case []any:
		for i := range v {
			v[i] = forJSON(v[i])
		}
	case map[string]any:
		for name := range v {
			v[name] = forJSON(v[name])
		}
	}
	return value
}

func answer(mode []string, path string) (any, error) {
	data, err := os.ReadFile(path)
	if err == nil && mode[0] == "file" {
		data, err = openFile(data)
	}
	if err == nil {
		data, err = openValue(data)
	}
	if err != nil {
		return nil, err
	}
	value, err := decode(data)
	if err == nil && mode[0] == "key" {
		return keyOf(mode[1], mode[2], value), nil
	}
	return forJSON(value), err
}

func main() {
	mode, paths := os.Args[1:2], os.Args[2:]
	if mode[0] == "key" {
		mode, paths = os.Args[1:4], os.Args[4:]
	}
	for _, path := range paths {
		value, err := answer(mode, path)
		if err != nil {
			value = map[string]string{"error": err.Error()}
		}
		line, _ := json.Marshal(value)
		fmt.Println(string(line))
	}
}
