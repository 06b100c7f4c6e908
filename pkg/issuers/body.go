package issuers

import (
	"context"
	"io"
)

// maxBody is more than any provider's answer.
const maxBody = 1 << 20

// boundedBody ends with an error beyond maxBody, and ends the request's time
// limit with itself.
type boundedBody struct {
	io.ReadCloser
	host   string
	left   int64
	cancel context.CancelFunc
}

// Read implements io.Reader.
func (b *boundedBody) Read(p []byte) (int, error) {
	if int64(len(p)) > b.left+1 {
		p = p[:b.left+1]
	}
	n, err := b.ReadCloser.Read(p)
	if int64(n) > b.left {
		return int(b.left), Terminate("AnswerTooLong", "host %s answers with more than 1 MiB, which no provider does: check the address in the Connector", b.host)
	}
	b.left -= int64(n)
	return n, err
}

// Close implements io.Closer.
func (b *boundedBody) Close() error {
	defer b.cancel()
	return b.ReadCloser.Close()
}
