package aws

import (
	"bytes"
	"io"
	"strconv"
	"strings"
	"testing"
	"testing/iotest"

	"meridian/origin/blob/bucket"
)

// TestChunkedIsAsLongAsItSays reads the frames back as a server does.
func TestChunkedIsAsLongAsItSays(t *testing.T) {
	t.Parallel()
	for _, n := range []int64{1, 100, chunkSize - 1, chunkSize, chunkSize + 1, 3 * chunkSize, 3*chunkSize + 17} {
		body := bytes.Repeat([]byte{'x'}, int(n))
		for name, stream := range map[string]io.Reader{
			"plain": bytes.NewReader(body), "EOF with the last byte": iotest.DataErrReader(bytes.NewReader(body)),
		} {
			c := newChunked(bucket.Body{Size: n, Stream: stream, Checked: true, Sum: func() string { return bucket.EncodeSum(7) }})
			want := c.size()
			framed, err := io.ReadAll(c)
			if err != nil || int64(len(framed)) != want {
				t.Fatalf("%d bytes, %s: framed %d, %v; said %d", n, name, len(framed), err, want)
			}
			var got []byte
			rest := string(framed)
			for {
				head, after, _ := strings.Cut(rest, "\r\n")
				size, err := strconv.ParseInt(head, 16, 64)
				if err != nil {
					t.Fatalf("%d bytes, %s: %v", n, name, err)
				}
				if rest = after; size == 0 {
					break
				}
				got = append(got, rest[:size]...)
				if rest = rest[size:]; !strings.HasPrefix(rest, "\r\n") {
					t.Fatalf("%d bytes, %s: chunk of %d has no end", n, name, size)
				}
				rest = rest[2:]
			}
			if !bytes.Equal(got, body) || rest != "x-amz-checksum-crc64nvme:"+bucket.EncodeSum(7)+"\r\n\r\n" {
				t.Errorf("%d bytes, %s: %d came back, trailer %q", n, name, len(got), rest)
			}
		}
	}
}
