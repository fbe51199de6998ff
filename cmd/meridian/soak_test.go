package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"
)

// TestMemoryOfAnEdgeIsBounded churns a cache node of 128 MiB with objects of all
// sizes, whole and by ranges, a new query of heads that do not exist, and clients
// that take their answers slowly: what the process holds stays under 1.25 times
// its cache and 100 MiB, whatever is asked of it.
func TestMemoryOfAnEdgeIsBounded(t *testing.T) {
	if os.Getenv("TEST_LONG") == "" {
		t.Skip("takes minutes: TEST_LONG=1")
	}
	const (
		cacheMiB = 128
		limit    = cacheMiB*5/4 + 100 // MiB
		churn    = 2 * time.Minute
	)
	binary := buildMeridian(t)
	c := startDev(t)
	c.cli("bucket", "create", "churn", "--visibility", "public-read")
	sizes := fillBucket(t, c, "churn")

	address := fmt.Sprintf("127.0.0.1:%d", freeBase(t))
	pid := startEdge(t, binary, c, address, cacheMiB)
	ctx, cancel := context.WithTimeout(t.Context(), churn)
	defer cancel()
	var most atomic.Int64
	var running sync.WaitGroup
	running.Go(func() {
		for ctx.Err() == nil {
			most.Store(max(most.Load(), residentMiB(t, pid)))
			time.Sleep(50 * time.Millisecond)
		}
	})
	var answers, bytesRead atomic.Int64
	for seed := range uint64(12) {
		running.Go(func() {
			rng := rand.New(rand.NewPCG(seed, 9))
			for ctx.Err() == nil {
				key := rng.IntN(len(sizes))
				var headers []string
				switch rng.IntN(4) {
				case 0:
					at := rng.Int64N(sizes[key])
					headers = []string{"Range", fmt.Sprintf("bytes=%d-%d", at, at+rng.Int64N(3<<20))}
				case 1:
					key += len(sizes) * (1 + rng.IntN(100_000)) // is not there
				}
				a, err := tryGet(ctx, fmt.Sprintf("http://%s/churn/%d", address, key), headers...)
				if err == nil && a.status < 500 {
					answers.Add(1)
					bytesRead.Add(int64(len(a.body)))
				} else if err == nil {
					t.Errorf("object %d: %d", key, a.status)
					return
				}
			}
		})
	}
	for seed := range uint64(200) { // the largest objects, a few KiB at a time
		running.Go(func() { readSlowly(ctx, t, fmt.Sprintf("http://%s/churn/%d", address, len(sizes)-1-int(seed)%40)) })
	}
	running.Wait()
	t.Logf("%d answers, %d MiB; at most %d MiB resident, allowed %d", answers.Load(), bytesRead.Load()>>20, most.Load(), limit)
	if most.Load() > limit {
		t.Errorf("%d MiB resident, with a cache of %d MiB; %d are allowed", most.Load(), cacheMiB, limit)
	}
	if answers.Load() < 1000 {
		t.Errorf("only %d answers: no churn", answers.Load())
	}
}

// fillBucket puts objects of 1 KiB to 24 MiB, several times what the cache holds,
// and returns their sizes, the largest last. Their keys are their numbers.
func fillBucket(t *testing.T, c *devCluster, bucket string) (sizes []int64) {
	t.Helper()
	for size := int64(1 << 10); size <= 24<<20; size = size*5/4 + 1 {
		for range max(2, min(200, (8<<20)/size)) {
			sizes = append(sizes, size)
		}
	}
	client := c.minio(c.s3(0))
	body := make([]byte, sizes[len(sizes)-1])
	rng := rand.New(rand.NewPCG(1, 1))
	for i := range body {
		body[i] = byte(rng.Uint32())
	}
	for i, size := range sizes {
		if _, err := client.PutObject(t.Context(), bucket, strconv.Itoa(i), bytes.NewReader(body[:size]), size, minio.PutObjectOptions{DisableMultipart: true}); err != nil {
			t.Fatal(err)
		}
	}
	return sizes
}

// startEdge runs an edge as a process of its own and returns its ID.
func startEdge(t *testing.T, binary string, c *devCluster, address string, cacheMiB int) int {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), binary, "edge", "--region", "us-west", "--listen", address, "--metadata", c.api(),
		"--cluster-secret-file", filepath.Join(c.dir, "cluster-secret"), "--cache-memory", fmt.Sprintf("%dMiB", cacheMiB), "--log-level", "warn", "--access-log=false")
	cmd.Stderr = testLog{t}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	eventually(t, time.Minute, "the edge is ready", func() bool {
		a, err := tryGet(t.Context(), "http://"+address+"/readyz")
		return err == nil && a.status == http.StatusOK
	})
	return cmd.Process.Pid
}

func readSlowly(ctx context.Context, t *testing.T, url string) {
	t.Helper()
	for ctx.Err() == nil {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			t.Error(err)
			return
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			continue // cut for its slowness, or the end
		}
		for ctx.Err() == nil {
			if _, err := io.CopyN(io.Discard, resp.Body, 16<<10); err != nil {
				break
			}
			time.Sleep(100 * time.Millisecond)
		}
		resp.Body.Close()
	}
}

// residentMiB is what the process holds in memory.
func residentMiB(t *testing.T, pid int) int64 {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Error(err)
		return 0
	}
	_, rest, _ := strings.Cut(string(text), "VmRSS:")
	kib, err := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
	if err != nil {
		t.Error(err)
	}
	return kib >> 10
}
