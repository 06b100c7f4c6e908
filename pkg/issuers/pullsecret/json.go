package pullsecret

import (
	"bytes"
	"encoding/json"
)

// byteOrderMark is what some editors begin UTF-8 with; RFC 8259 §8.1 lets a
// reader ignore it.
const byteOrderMark = "\xef\xbb\xbf"

// decode reads a JSON object, and tells which of its members stand there more
// than once: the decoder takes the last, and says nothing.
func decode(data []byte, into any) (twice []string, err error) {
	data = bytes.TrimPrefix(data, []byte(byteOrderMark))
	if json.Unmarshal(data, into) != nil {
		return nil, errNotJSON
	}
	seen := map[string]bool{}
	d := json.NewDecoder(bytes.NewReader(data))
	begin, err := d.Token()
	if err != nil {
		return nil, errNotJSON
	}
	for begin == json.Delim('{') && d.More() { // or it is null
		member, err := d.Token()
		name, ok := member.(string)
		var value json.RawMessage
		if err != nil || !ok || d.Decode(&value) != nil {
			return nil, errNotJSON
		}
		if seen[name] {
			twice = append(twice, name)
		}
		seen[name] = true
	}
	return twice, nil
}
