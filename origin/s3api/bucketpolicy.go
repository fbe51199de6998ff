package s3api

import (
	"encoding/json"
	"errors"
	"net/http"

	"meridian/internal/iam"
	"meridian/metadata"
	"meridian/metadata/access"
)

// putBucketPolicy keeps a policy as it came, once it was found to be one.
func (c *call) putBucketPolicy() error {
	if _, err := c.opts.Catalog.Bucket(c.r.Context(), c.bucket); err != nil {
		return err
	}
	text, err := c.readAll(iam.MaxBucketPolicy+1, digestAllowed)
	switch {
	case codeIs(err, errMalformedXML), err == nil && len(text) > iam.MaxBucketPolicy:
		return refuse(errMalformedPolicy, "Policy exceeds the maximum allowed document size.")
	case err != nil:
		return err
	case len(text) == 0:
		return errMissingRequestBody
	}
	policy, err := iam.Parse(text)
	if err == nil {
		err = policy.CheckBucketPolicy(c.bucket, c.isUser)
	}
	if err != nil {
		return policyFailure(err)
	}
	document, err := json.Marshal(string(text))
	if err != nil {
		return err
	}
	return c.configure(http.StatusNoContent, func(b *metadata.Bucket, a *access.Bucket) error {
		if a.Block != nil && a.Block.BlockPolicy && policy.IsPublic() {
			return refuse(errAccessDenied, "User: %s is not authorized to perform: s3:PutBucketPolicy on resource: %q because public policies are blocked by the BlockPublicPolicy block public access setting.",
				c.who.User, iam.BucketARN(c.bucket))
		}
		b.Config[access.ConfigPolicy] = document
		return nil
	})
}

func policyFailure(err error) error {
	var wrong iam.Error
	if errors.As(err, &wrong) {
		return refuse(errMalformedPolicy, "%s", wrong)
	}
	return err
}

// isUser says whether there is a user of that name: one with an access key.
func (c *call) isUser(name string) (bool, error) {
	for k, err := range c.opts.Keys.Keys(c.r.Context()) {
		if err != nil {
			return false, err
		}
		if k.User == name {
			return true, nil
		}
	}
	return name == c.who.User, nil
}

func (c *call) deleteBucketPolicy() error {
	return c.configure(http.StatusNoContent, func(b *metadata.Bucket, _ *access.Bucket) error {
		delete(b.Config, access.ConfigPolicy)
		return nil
	})
}

// configure changes the bucket in one transaction, and answers.
func (c *call) configure(status int, change func(*metadata.Bucket, *access.Bucket) error) error {
	_, err := c.opts.Catalog.UpdateBucket(c.r.Context(), c.bucket, func(b *metadata.Bucket) error {
		a, err := access.Of(b)
		if err != nil {
			return err
		}
		return change(b, a)
	})
	c.grants.forget(c.bucket) // also after an error: nobody knows what became of the change
	if err != nil {
		return err
	}
	if status == http.StatusOK {
		c.w.Header().Set("Content-Length", "0")
	}
	c.w.WriteHeader(status)
	return nil
}

func (c *call) getBucketPolicy() error {
	b, err := c.opts.Catalog.Bucket(c.r.Context(), c.bucket)
	if err != nil {
		return err
	}
	document := b.Config[access.ConfigPolicy]
	if document == nil {
		return errNoSuchBucketPolicy
	}
	var text string
	if err := json.Unmarshal(document, &text); err != nil {
		return err
	}
	return c.w.sendAs("application/json", http.StatusOK, []byte(text))
}

// getBucketPolicyStatus says whether the policy is public.
func (c *call) getBucketPolicyStatus() error {
	b, err := readAccess(c.r.Context(), c.opts.Catalog, c.bucket)
	if err != nil {
		return err
	}
	if b.Policy == nil {
		return errNoSuchBucketPolicy
	}
	d := newDocument("PolicyStatus")
	d.boolean("IsPublic", b.Policy.IsPublic())
	return c.w.sendXML(d)
}
