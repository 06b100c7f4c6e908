package state

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// maxRecord bounds what is stored and read back. A Secret has at most 1 MiB, so
// a larger file in a record directory is not ours.
const maxRecord = 8 << 20

// A record is one header line, the key and the document:
//
//	regcred-record/1 <sha256 of the rest of the file> <length of the key>\n<key><document>
//
// The checksum tells a whole record from a torn or foreign file; the key is
// there because the file's name is only its hash.
const recordMagic = "regcred-record/1 "

// recordName is the file name of a key: a hash, because keys hold characters
// that a name cannot.
func recordName(key string) string {
	sum := sha256.Sum256([]byte(key))
	return hex.EncodeToString(sum[:])
}

func isRecordName(name string) bool {
	_, err := hex.DecodeString(name)
	return err == nil && len(name) == hex.EncodedLen(sha256.Size)
}

func encodeRecord(key string, document []byte) []byte {
	length := strconv.Itoa(len(key))
	hash := sha256.New()
	hash.Write([]byte(length + "\n" + key))
	hash.Write(document)

	record := make([]byte, 0, len(recordMagic)+hex.EncodedLen(sha256.Size)+len(length)+2+len(key)+len(document))
	record = append(record, recordMagic...)
	record = hex.AppendEncode(record, hash.Sum(nil))
	record = append(record, ' ')
	record = append(record, length...)
	record = append(record, '\n')
	record = append(record, key...)
	return append(record, document...)
}

var (
	errDamaged = errors.New("damaged")
	// errVersion is a record of a driver that was downgraded since, or of what
	// looks like one.
	errVersion = errors.New("written by another version of the driver")
)

// decodeRecord accepts exactly what encodeRecord writes.
func decodeRecord(record []byte) (key string, document []byte, err error) {
	header, rest, _ := bytes.Cut(record, []byte("\n"))
	if name, _, _ := strings.Cut(recordMagic, "/"); bytes.HasPrefix(header, []byte(name+"/")) && !bytes.HasPrefix(header, []byte(recordMagic)) {
		return "", nil, errVersion
	}
	if !bytes.HasPrefix(header, []byte(recordMagic)) {
		return "", nil, fmt.Errorf("%w: not a record of this driver", errDamaged)
	}
	length, err := strconv.Atoi(string(header[bytes.LastIndexByte(header, ' ')+1:]))
	if err != nil || length < 0 || length > len(rest) {
		return "", nil, fmt.Errorf("%w: cut off within the key", errDamaged)
	}
	key, document = string(rest[:length]), rest[length:]
	if !bytes.Equal(encodeRecord(key, document), record) {
		return "", nil, fmt.Errorf("%w: the checksum differs", errDamaged)
	}
	return key, document, nil
}
