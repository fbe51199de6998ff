package fetch

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"

	"meridian/edge/balance"
	"meridian/internal/hop"
)

// Post tells a node something beside the requests for objects, as JSON, and reads
// its answer into out, of limit bytes at most. Whatever comes of it says nothing of
// the node's health.
func (u *Upstream) Post(ctx context.Context, node balance.Node, path string, in, out any, limit int64) error {
	body, err := json.Marshal(in)
	if err != nil {
		return fmt.Errorf("post to %s: %w", node.ID, err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, strings.TrimRight(node.URL, "/")+path, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("post to %s: %w", node.ID, err)
	}
	req.Header.Set("User-Agent", "meridian")
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set(hop.RequestNode, u.node)
	sum := sha256.Sum256(body)
	u.signer.Sign(req, hex.EncodeToString(sum[:]), u.now())
	resp, err := u.client.Do(req)
	if err != nil {
		return fmt.Errorf("post to %s: %w", node.ID, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		_, _ = io.CopyN(io.Discard, resp.Body, 8<<10) // frees the connection
		return &StatusError{Node: node.ID, Status: resp.StatusCode}
	}
	if err := json.NewDecoder(io.LimitReader(resp.Body, limit)).Decode(out); err != nil {
		return fmt.Errorf("post to %s: answer: %w", node.ID, err)
	}
	return nil
}
