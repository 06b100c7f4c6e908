package protocol

import "strings"

const hexadecimal = "0123456789abcdef"

// quote writes a JSON string.
func quote(s string) string {
	b := []byte{'"'}
	for _, r := range s { // what is not UTF-8 becomes U+FFFD, as in encoding/json
		switch {
		case r == '"' || r == '\\':
			b = append(b, '\\', byte(r))
		case r < ' ':
			b = append(b, '\\', 'u', '0', '0', hexadecimal[r>>4], hexadecimal[r&15])
		default:
			b = append(b, string(r)...)
		}
	}
	return string(append(b, '"'))
}

// printable makes a text that somebody else wrote fit for one line.
func printable(s string) string {
	const most = 200
	var b []byte
	for _, r := range s {
		if len(b) >= most {
			return string(b) + "…"
		}
		if !isControl(r) {
			b = append(b, string(r)...)
		}
	}
	return string(b)
}

func hasControl(s string) bool { return strings.ContainsFunc(s, isControl) }

func isControl(r rune) bool { return r < ' ' || r == 0x7f }

// lower is strings.ToLower for the letters that hosts are made of.
func lower(s string) string {
	b := []byte(s)
	for i, c := range b {
		if 'A' <= c && c <= 'Z' {
			b[i] = c + 'a' - 'A'
		}
	}
	return string(b)
}
