package s3api

import (
	"crypto/md5"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"

	"meridian/internal/sse"
	"meridian/metadata"
	"meridian/origin/crypt"
)

// The headers of encryption. The two prefixes are of three headers each: the
// algorithm, a key, and its MD5.
const (
	sseHeader      = "X-Amz-Server-Side-Encryption"
	customerPrefix = sseHeader + "-Customer-"
	sourcePrefix   = "X-Amz-Copy-Source-Server-Side-Encryption-Customer-"
)

const (
	notApplicable = "The encryption parameters are not applicable to this object."
	notOriginal   = "The provided encryption parameters did not match the ones used originally."
)

// requestedEncryption is what the request says of how the object shall be
// encrypted; nil where it leaves that to the bucket.
func (c *call) requestedEncryption() (*metadata.Encryption, error) {
	customer, err := c.customerKey(customerPrefix)
	if err != nil {
		return nil, err
	}
	kind := c.header(sseHeader)
	switch {
	case customer != nil && kind != "":
		return nil, badArgument("x-amz-server-side-encryption", asUTF8(kind), "Server Side Encryption with Customer provided key is incompatible with the encryption method specified")
	case customer != nil:
		return &metadata.Encryption{Kind: metadata.CustomerKeys, Customer: customer}, nil
	}
	switch kind {
	case "":
		for _, name := range []string{sseHeader + "-Aws-Kms-Key-Id", sseHeader + "-Context"} {
			if c.header(name) != "" {
				return nil, badArgument("x-amz-server-side-encryption", "", "Server Side Encryption with AWS KMS managed key requires HTTP header x-amz-server-side-encryption : aws:kms")
			}
		}
		if c.r.Header[sseHeader] != nil {
			return nil, badArgument("x-amz-server-side-encryption", "", "The encryption method specified is not supported")
		}
		return nil, nil
	case crypt.Algorithm:
		return &metadata.Encryption{Kind: metadata.ServerKeys}, c.opts.Objects.Crypt.Able()
	case "aws:kms", "aws:kms:dsse":
		return nil, noKMS(kind)
	}
	return nil, badArgument("x-amz-server-side-encryption", asUTF8(kind), "The encryption method specified is not supported")
}

// noKMS refuses what only a key management service could do.
func noKMS(kind string) error {
	return refuse(errNotImplemented, "Server side encryption %s needs a key management service, and there is none here; AES256 uses the master key of the cluster.", kind)
}

// customerKey is the key that a customer sends along (SSE-C), under one of the
// prefixes; nil where none was sent. It is read of headers only, not of the query
// of a presigned URL: URLs are logged.
func (c *call) customerKey(prefix string) (*[32]byte, error) {
	h := c.r.Header
	algorithm, key, sum := c.header(prefix+"Algorithm"), h.Get(prefix+"Key"), h.Get(prefix+"Key-Md5")
	const requests = "Requests specifying Server Side Encryption with Customer provided keys must provide "
	name := "x-amz-server-side-encryption"
	if prefix == sourcePrefix {
		name = "x-amz-copy-source-server-side-encryption"
	}
	switch {
	case algorithm == "" && key == "" && sum == "":
		return nil, nil
	case algorithm != crypt.Algorithm:
		return nil, badArgument(name+"-customer-algorithm", asUTF8(algorithm), "%sa valid encryption algorithm.", requests)
	case key == "":
		return nil, badArgument(name+"-customer-key", "", "%san appropriate secret key.", requests)
	case sum == "":
		return nil, badArgument(name+"-customer-key-MD5", "", "%sthe client calculated MD5 of the secret key.", requests)
	}
	raw, err := base64.StdEncoding.DecodeString(key)
	if err != nil || len(raw) != sse.KeySize {
		return nil, badArgument(name+"-customer-key", "", "The secret key was invalid for the specified algorithm.")
	}
	if md5Of := md5.Sum(raw); sum != base64.StdEncoding.EncodeToString(md5Of[:]) {
		return nil, badArgument(name+"-customer-key-MD5", asUTF8(sum), "The calculated MD5 hash of the key did not match the hash that was provided.")
	}
	return (*[32]byte)(raw), nil
}

// unlock takes the key of v's owner of the request, where v needs one, and refuses
// a wrong one or one that v does not need. Nothing of v is told before.
func (c *call) unlock(v *metadata.Version, prefix string) error {
	customer, err := c.customerKey(prefix)
	if err != nil {
		return err
	}
	if customer == nil && (v.Encryption == nil || v.Encryption.Kind != metadata.CustomerKeys) {
		return nil // a master key is looked for when there is something to decrypt
	}
	return c.opts.Objects.Crypt.UnlockWith(v, customer)
}

// unlockRead is unlock for what only reads.
func (c *call) unlockRead(v *metadata.Version) error {
	if c.header(sseHeader) != "" {
		return badArgument("x-amz-server-side-encryption", asUTF8(c.header(sseHeader)), "x-amz-server-side-encryption header is not supported for this operation.")
	}
	return c.unlock(v, customerPrefix)
}

// unlockUpload takes the key of an upload's owner, which comes with every part.
func (c *call) unlockUpload(u *metadata.Upload) error {
	err := c.unlock(&u.Template, customerPrefix)
	switch {
	case errors.Is(err, crypt.ErrKeyNeeded):
		return refuse(errInvalidRequest, "The multipart upload initiate requested encryption. Subsequent part requests must include the appropriate encryption parameters.")
	case errors.Is(err, sse.ErrWrongKey):
		return &failure{code: errInvalidRequest, message: notOriginal, cause: err}
	}
	return err
}

// writeEncryption tells how an object is encrypted, and confirms the key of its
// owner's.
func (c *call) writeEncryption(e *metadata.Encryption) {
	h := c.w.Header()
	switch {
	case e == nil:
	case e.Kind == metadata.ServerKeys:
		h.Set(sseHeader, crypt.Algorithm)
	case c.r.Header.Get(customerPrefix+"Key-Md5") != "":
		h.Set(customerPrefix+"Algorithm", crypt.Algorithm)
		h.Set(customerPrefix+"Key-Md5", c.r.Header.Get(customerPrefix+"Key-Md5"))
	}
}

// asStored makes v what its blob is: another origin asks for the bytes as they
// lie here.
func asStored(v *metadata.Version) {
	v.Size, v.Parts = v.StoredSize(), nil
}

// encryptionConfiguration is the body of PutBucketEncryption.
type encryptionConfiguration struct {
	Rules []struct {
		Default *struct {
			Algorithm string `xml:"SSEAlgorithm"`
			KMSKey    string `xml:"KMSMasterKeyID"`
		} `xml:"ApplyServerSideEncryptionByDefault"`
		BucketKey bool     `xml:"BucketKeyEnabled"`
		Blocked   []string `xml:"BlockedEncryptionTypes>EncryptionType"`
	} `xml:"Rule"`
}

// rule checks what the configuration asks for.
func (e *encryptionConfiguration) rule() (*metadata.EncryptionRule, error) {
	if len(e.Rules) != 1 {
		return nil, errMalformedXML
	}
	r := e.Rules[0]
	for _, kind := range r.Blocked {
		if kind != "NONE" {
			return nil, refuse(errNotImplemented, "No kind of encryption can be blocked here.")
		}
	}
	if r.Default != nil {
		switch r.Default.Algorithm {
		case crypt.Algorithm:
		case "aws:kms", "aws:kms:dsse":
			return nil, noKMS(r.Default.Algorithm)
		default:
			return nil, errMalformedXML
		}
		if r.Default.KMSKey != "" {
			return nil, refuse(errInvalidArgument, "a KMSMasterKeyID is not applicable if the default sse algorithm is not aws:kms or aws:kms:dsse")
		}
	}
	return &metadata.EncryptionRule{Algorithm: crypt.Algorithm, BucketKey: r.BucketKey}, nil
}

func (c *call) putBucketEncryption() error {
	if err := c.opts.Objects.Crypt.Able(); err != nil {
		return err
	}
	var config encryptionConfiguration
	if err := c.readXML(smallXML, digestAllowed, "ServerSideEncryptionConfiguration", &config); err != nil {
		return err
	}
	rule, err := config.rule()
	if err != nil {
		return err
	}
	return c.setEncryption(rule, http.StatusOK)
}

func (c *call) deleteBucketEncryption() error { return c.setEncryption(nil, http.StatusNoContent) }

func (c *call) setEncryption(rule *metadata.EncryptionRule, status int) error {
	_, err := c.opts.Catalog.UpdateBucket(c.r.Context(), c.bucket, func(b *metadata.Bucket) error {
		delete(b.Config, metadata.EncryptionConfig)
		if rule == nil {
			return nil
		}
		document, err := json.Marshal(rule)
		b.Config[metadata.EncryptionConfig] = document
		return err
	})
	if err != nil {
		return err
	}
	c.buckets.forget(c.bucket)
	c.w.WriteHeader(status)
	return nil
}

func (c *call) getBucketEncryption() error {
	b, err := c.opts.Catalog.Bucket(c.r.Context(), c.bucket)
	if err != nil {
		return err
	}
	rule, err := c.opts.Objects.Crypt.Rule(&b)
	if err != nil {
		return err
	}
	if rule == nil {
		return errServerSideEncryptionNotFound
	}
	d := newDocument("ServerSideEncryptionConfiguration")
	d.start("Rule")
	d.group("ApplyServerSideEncryptionByDefault", func() { d.elem("SSEAlgorithm", rule.Algorithm) })
	d.boolean("BucketKeyEnabled", rule.BucketKey)
	d.end("Rule")
	return c.w.sendXML(d)
}
