package bucket

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"meridian/internal/checksum"
	"meridian/origin/blob"
)

const (
	defaultPatience = 30 * time.Second
	startPause      = 500 * time.Millisecond
)

// start sees to it that the bucket is there, and probes the server.
func (s *Store) start(ctx context.Context, c Config) error {
	err := s.reach(ctx, c)
	if code(err) == "NoSuchBucket" {
		s.log.Info("creating the bucket of the store", "bucket", c.Bucket)
		err = s.attempt(ctx, s.client.MakeBucket)
		if k := code(err); k == "BucketAlreadyOwnedByYou" || k == "OperationAborted" {
			err = nil // by another origin, at the same time
		} else if err != nil {
			return fmt.Errorf("it is missing and cannot be created; create it, or let this access key do so: %w", explain(err, c))
		}
	}
	if err == nil {
		err = s.probe(ctx)
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		return explain(err, c)
	}
	if !s.can.checksums || !s.can.conditions {
		s.log.Warn("the S3 server of the store lacks something; it is done without", "checksums", s.can.checksums, "if-none-match", s.can.conditions)
	}
	return nil
}

// reach lists the bucket, since an error in answer to HEAD says no more than its
// status. It waits for a server that is not there yet.
func (s *Store) reach(ctx context.Context, c Config) error {
	patient := time.Now().Add(c.Patience)
	for told := false; ; told = true {
		err := s.attempt(ctx, func(ctx context.Context) error {
			for _, err := range s.client.Objects(ctx, "") {
				return err
			}
			return nil
		})
		if err == nil || !retryable(err) || ctx.Err() != nil || time.Now().After(patient) {
			return err
		}
		if !told {
			s.log.Warn("waiting for the S3 server of the store", "endpoint", c.Endpoint, "err", err)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(startPause):
		}
	}
}

// explain says what can be done about an error at the start.
func explain(err error, c Config) error {
	where := c.Endpoint
	if where == "" {
		where = "Amazon S3"
	}
	var e *Error
	switch k := code(err); {
	case k == "InvalidAccessKeyId" || k == "InvalidAccessKey":
		return fmt.Errorf("%s does not know the access key %s; check the store's access key: %w", where, c.AccessKey, err)
	case k == "SignatureDoesNotMatch":
		return fmt.Errorf("%s refuses the signature; check the store's secret key: %w", where, err)
	case k == "RequestTimeTooSkewed":
		return fmt.Errorf("the clocks of this machine (%s) and of %s differ too much; set them, best by NTP: %w", time.Now().UTC().Format(time.RFC3339), where, err)
	case k == "PermanentRedirect" || k == "AuthorizationHeaderMalformed" || k == "InvalidRegion" || k == "IllegalLocationConstraintException":
		return fmt.Errorf("the bucket is not in region %q; check the store's region: %w", c.Region, err)
	case k == "BucketAlreadyExists":
		return fmt.Errorf("the bucket belongs to somebody else; choose another name: %w", err)
	case k == "AccessDenied" || k == "AllAccessDisabled":
		return fmt.Errorf("access key %s lacks a right; it needs to list the bucket and its uploads, and to get, put and delete objects: %w", c.AccessKey, err)
	case errors.Is(err, blob.ErrNoSpace):
		return fmt.Errorf("%s is full: %w", where, err)
	case errors.As(err, &e):
		return fmt.Errorf("%s refused a trial request (status %d): %w", where, e.Status, err)
	}
	return fmt.Errorf("%s cannot be reached; check the store's endpoint, and that the server runs: %w", where, err)
}

// probe writes, reads and removes an object to learn what the server can, and
// whether the access key may. A server that takes the frames of a stream for the
// content is found out by reading it again. What a crash leaves of it is an
// orphan for the sweeper.
func (s *Store) probe(ctx context.Context) error {
	key := "meridian-probe/" + strings.ToLower(rand.Text())
	text := []byte("a trial of what this server can")
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), quick)
		defer cancel()
		if err := s.client.Delete(ctx, []string{key}); err != nil {
			s.log.Warn("left an object for the sweeper", "key", key, "err", err)
		}
	}()
	put := func(checked bool) error {
		return s.retry(ctx, func(ctx context.Context) error {
			b := Body{Size: int64(len(text)), Checked: checked, Sum: func() string { return EncodeSum(checksum.Sum64(text)) }}
			if b.Bytes = text; checked {
				b.Bytes, b.Stream = nil, io.MultiReader(bytes.NewReader(text))
			}
			_, err := s.client.Put(ctx, key, b, Headers{})
			return err
		})
	}
	err := put(true)
	if err == nil {
		s.can.checksums, err = s.keptWell(ctx, key, text)
	} else if e := (*Error)(nil); errors.As(err, &e) && (e.Status == http.StatusNotImplemented || e.Status == http.StatusBadRequest) {
		err = nil
	}
	if err == nil && !s.can.checksums {
		err = put(false)
	}
	if err != nil {
		return err
	}
	err = s.retry(ctx, func(ctx context.Context) error {
		_, err := s.client.Put(ctx, key, Body{Size: int64(len(text)), Bytes: text}, Headers{IfAbsent: true})
		return err
	})
	switch e := (*Error)(nil); {
	case errors.As(err, &e) && e.Status == http.StatusPreconditionFailed:
		s.can.conditions = true
	case errors.As(err, &e) && e.Status != http.StatusNotImplemented && e.Status != http.StatusBadRequest:
		return err
	case err != nil && e == nil:
		return err
	}
	return nil
}

// keptWell says whether a checked stream has become the object that it should.
func (s *Store) keptWell(ctx context.Context, key string, text []byte) (well bool, err error) {
	err = s.retry(ctx, func(ctx context.Context) error {
		o, err := s.client.Head(ctx, key)
		if err != nil || o.Sum != EncodeSum(checksum.Sum64(text)) {
			return err
		}
		r, err := s.client.Get(ctx, key, "")
		if err != nil {
			return err
		}
		defer r.Close()
		got, err := io.ReadAll(io.LimitReader(r, 2*int64(len(text))))
		well = bytes.Equal(got, text)
		return err
	})
	return well, err
}
