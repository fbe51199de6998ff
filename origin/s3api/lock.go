package s3api

import (
	"cmp"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"time"

	"meridian/metadata"
)

// Texts of S3 that several requests answer with.
const (
	noBucketLock  = "Bucket is missing Object Lock Configuration"
	noLockToTake  = "Bucket is missing ObjectLockConfiguration" // of a request that would write a locked object
	lockSuspended = "An Object Lock configuration is present on this bucket, so the versioning state cannot be changed."
	lockUnversion = "Versioning must be 'Enabled' on the bucket to apply a Object Lock configuration"
	retainFuture  = "The retain until date must be in the future!"
	retainBoth    = "x-amz-object-lock-retain-until-date and x-amz-object-lock-mode must both be supplied."
	retainPeriod  = "Default retention period must be a positive integer value."
	lockUnsummed  = "Content-MD5 OR x-amz-checksum- HTTP header is required for Put Object requests with Object Lock parameters"
)

// The headers by which an object is locked as it is written.
const (
	lockModeHeader  = "X-Amz-Object-Lock-Mode"
	lockUntilHeader = "X-Amz-Object-Lock-Retain-Until-Date"
	lockHoldHeader  = "X-Amz-Object-Lock-Legal-Hold"
)

// lock is the lock that the request's headers ask for.
func (c *call) lock() (metadata.Lock, error) {
	mode, until, hold := c.header(lockModeHeader), c.header(lockUntilHeader), c.header(lockHoldHeader)
	l := metadata.Lock{Mode: mode, Hold: hold}
	switch {
	case mode == "" && until != "":
		return l, badArgument("x-amz-object-lock-mode", "", retainBoth)
	case mode != "" && until == "":
		return l, badArgument("x-amz-object-lock-retain-until-date", "", retainBoth)
	case until != "":
		t, err := parseLockTime(until)
		if err != nil {
			return l, badArgument("x-amz-object-lock-retain-until-date", asUTF8(until), "The retain until date must be provided in ISO 8601 format")
		}
		if !t.After(c.opts.Now()) {
			return l, badArgument("x-amz-object-lock-retain-until-date", until, retainFuture)
		}
		l.Until = t
	}
	if mode != "" && mode != metadata.Governance && mode != metadata.Compliance {
		return l, badArgument("x-amz-object-lock-mode", asUTF8(mode), "Unknown wormMode directive.")
	}
	if hold != "" && hold != metadata.HoldOn && hold != metadata.HoldOff {
		return l, badArgument("x-amz-object-lock-legal-hold", asUTF8(hold), "Legal Hold must be either of 'ON' or 'OFF'")
	}
	return l, nil
}

// parseLockTime reads a time in ISO 8601, to the second or finer.
func parseLockTime(s string) (time.Time, error) {
	t, err := time.Parse(time.RFC3339, s) // takes fractions, too
	return t.UTC(), err
}

// mayLock refuses a lock that b does not take.
func (c *call) mayLock(b *metadata.Bucket, l metadata.Lock) error {
	if l == (metadata.Lock{}) {
		return nil
	}
	of, err := b.ObjectLock()
	if err == nil && of == nil {
		return refuse(errInvalidRequest, noLockToTake)
	}
	return err
}

// mustSum refuses a PUT of an object that will be locked unless it says what its
// bytes are: nobody could take away what was garbled on its way.
func (c *call) mustSum(b *metadata.Bucket, l metadata.Lock, d *digest) error {
	if d.compares() {
		return nil
	}
	of, err := b.ObjectLock()
	if err == nil && (l != (metadata.Lock{}) || of != nil && of.Mode != "") {
		return refuse(errInvalidRequest, lockUnsummed)
	}
	return err
}

// mayBypassGovernance says whether the caller asks to go through the governance
// retention of an object, and may. Where the bucket has no object lock the header
// means nothing.
func (c *call) mayBypassGovernance(key string) (bool, error) {
	if !strings.EqualFold(c.header("X-Amz-Bypass-Governance-Retention"), "true") {
		return false, nil
	}
	b, err := c.accessTo(c.bucket)
	if err == nil {
		err = c.permit(b, c.request("s3:BypassGovernanceRetention", key, c.query.Get("versionId")))
	}
	if codeIs(err, errAccessDenied) {
		return false, nil
	}
	return err == nil, err
}

// lockBucket is the bucket of a request about the lock of an object, and whether
// its objects can have one.
func (c *call) lockBucket() (locks bool, err error) {
	b, err := c.opts.Catalog.Bucket(c.r.Context(), c.bucket)
	if err != nil {
		return false, err
	}
	of, err := b.ObjectLock()
	return of != nil, err
}

// admitLock says, once it is known what the body asks for, whether the caller may ask
// and the bucket has locks, and then what was wrong with the body.
func (c *call) admitLock(readErr error) (locks bool, err error) {
	if err := c.permitOperation(); err != nil {
		return false, err
	}
	locks, err = c.lockBucket()
	return locks, cmp.Or(err, readErr)
}

// readLockXML reads a document about a lock; an empty one is malformed.
func (c *call) readLockXML(root string, v any) error {
	err := c.readXML(smallXML, digestRequired, root, v)
	if codeIs(err, errMissingRequestBody) {
		return because(errMalformedXML, err)
	}
	return err
}

// changeLock changes the lock of the version that the request names.
func (c *call) changeLock(change func(metadata.Lock) (metadata.Lock, error)) error {
	c.forgetEmptyVersion()
	id, err := c.versionID()
	if err != nil {
		return err
	}
	ref := metadata.Ref{Bucket: c.bucket, Key: c.key, VersionID: id}
	v, err := c.opts.Catalog.UpdateVersion(c.r.Context(), ref, c.cause(""), func(v *metadata.Version) (err error) {
		v.Lock, err = change(v.Lock)
		return err
	})
	if err != nil {
		c.tellMarker(&v, err)
		return err
	}
	c.writeWritten(&v)
	c.w.Header().Set("Content-Length", "0")
	c.w.WriteHeader(http.StatusOK)
	return nil
}

func (c *call) putObjectRetention() error {
	var req struct {
		Mode  string `xml:"Mode"`
		Until string `xml:"RetainUntilDate"`
	}
	readErr := c.readLockXML("Retention", &req)
	c.asked.mode, c.asked.until = req.Mode, req.Until
	locks, err := c.admitLock(readErr)
	if err != nil {
		return err
	}
	to := metadata.Lock{Mode: req.Mode}
	if req.Until != "" {
		if to.Until, err = parseLockTime(req.Until); err != nil {
			return because(errMalformedXML, err)
		}
	}
	if err := to.Check(); err != nil {
		return because(errMalformedXML, err)
	}
	now := c.opts.Now()
	if to.Mode != "" && !to.Until.After(now) {
		return badArgument("RetainUntilDate", req.Until, retainFuture)
	}
	if !locks {
		return refuse(errInvalidRequest, noBucketLock)
	}
	bypass, err := c.mayBypassGovernance(c.key)
	if err != nil {
		return err
	}
	return c.changeLock(func(l metadata.Lock) (metadata.Lock, error) { return l.Retain(to, now, bypass) })
}

func (c *call) putObjectLegalHold() error {
	var req struct {
		Status string `xml:"Status"`
	}
	readErr := c.readLockXML("LegalHold", &req)
	c.asked.hold = req.Status
	locks, err := c.admitLock(readErr)
	if err != nil {
		return err
	}
	if req.Status != metadata.HoldOn && req.Status != metadata.HoldOff {
		return errMalformedXML
	}
	if !locks {
		return refuse(errInvalidRequest, noBucketLock)
	}
	return c.changeLock(func(l metadata.Lock) (metadata.Lock, error) {
		l.Hold = req.Status
		return l, nil
	})
}

// forgetEmptyVersion takes an empty version ID for none: tools have one in
// requests about locks, where it is an error elsewhere.
func (c *call) forgetEmptyVersion() {
	if c.query.Get("versionId") == "" {
		c.query.Del("versionId")
	}
}

// findLock is the lock of the version that the request names.
func (c *call) findLock() (metadata.Lock, error) {
	c.forgetEmptyVersion()
	v, err := c.find()
	if err != nil {
		return metadata.Lock{}, err
	}
	locks, err := c.lockBucket()
	if err == nil && !locks {
		err = refuse(errInvalidRequest, noBucketLock)
	}
	return v.Lock, err
}

func (c *call) getObjectRetention() error {
	l, err := c.findLock()
	if err != nil {
		return err
	}
	if l.Mode == "" {
		return errNoSuchObjectLock
	}
	d := newDocument("Retention")
	d.elem("Mode", l.Mode)
	d.time("RetainUntilDate", l.Until)
	return c.w.sendXML(d)
}

func (c *call) getObjectLegalHold() error {
	l, err := c.findLock()
	if err != nil {
		return err
	}
	if l.Hold == "" {
		return errNoSuchObjectLock
	}
	d := newDocument("LegalHold")
	d.elem("Status", l.Hold)
	return c.w.sendXML(d)
}

// writeLock tells of a version's lock those who may ask for it, as S3 does. A cache
// learns nothing: it would tell all.
func (c *call) writeLock(l metadata.Lock) {
	if c.who.anonymous() || c.who.node {
		return
	}
	h := c.w.Header()
	if l.Mode != "" && c.may("s3:GetObjectRetention") {
		h.Set(lockModeHeader, l.Mode)
		h.Set(lockUntilHeader, l.Until.UTC().Format(timeLayout))
	}
	if l.Hold != "" && c.may("s3:GetObjectLegalHold") {
		h.Set(lockHoldHeader, l.Hold)
	}
}

// lockConfiguration is the body of PutObjectLockConfiguration.
type lockConfiguration struct {
	Enabled string `xml:"ObjectLockEnabled"`
	Rule    *struct {
		Default *struct {
			Mode  string `xml:"Mode"`
			Days  *int   `xml:"Days"`
			Years *int   `xml:"Years"`
		} `xml:"DefaultRetention"`
	} `xml:"Rule"`
}

// lock is what the configuration says.
func (req *lockConfiguration) lock() (metadata.ObjectLock, error) {
	var l metadata.ObjectLock
	if req.Enabled != "Enabled" {
		return l, errMalformedXML
	}
	if req.Rule == nil {
		return l, nil
	}
	r := req.Rule.Default
	if r == nil || r.Mode != metadata.Governance && r.Mode != metadata.Compliance || (r.Days == nil) == (r.Years == nil) {
		return l, errMalformedXML
	}
	l.Mode = r.Mode
	for _, p := range []struct {
		name  string
		value *int
		most  int
		to    *int
	}{{"Days", r.Days, metadata.MaxLockDays, &l.Days}, {"Years", r.Years, metadata.MaxLockYears, &l.Years}} {
		switch {
		case p.value == nil:
			continue
		case *p.value <= 0:
			return l, badArgument(p.name, strconv.Itoa(*p.value), retainPeriod)
		case *p.value > p.most:
			return l, badArgument(p.name, strconv.Itoa(*p.value), "Default retention period too large.")
		}
		*p.to = *p.value
	}
	return l, nil
}

func (c *call) putObjectLockConfiguration() error {
	if _, err := c.lockBucket(); err != nil {
		return err
	}
	var req lockConfiguration
	if err := c.readXML(smallXML, digestRequired, "ObjectLockConfiguration", &req); err != nil {
		return err
	}
	l, err := req.lock()
	if err != nil {
		return err
	}
	document, err := json.Marshal(l)
	if err != nil {
		return err
	}
	_, err = c.opts.Catalog.UpdateBucket(c.r.Context(), c.bucket, func(b *metadata.Bucket) error {
		if b.Versioning != metadata.VersioningEnabled {
			return refuse(errInvalidBucketState, lockUnversion)
		}
		b.Config[metadata.ObjectLockConfig] = document
		return nil
	})
	if err != nil {
		return err
	}
	c.buckets.forget(c.bucket)
	c.w.Header().Set("Content-Length", "0")
	c.w.WriteHeader(http.StatusOK)
	return nil
}

func (c *call) getObjectLockConfiguration() error {
	b, err := c.opts.Catalog.Bucket(c.r.Context(), c.bucket)
	if err != nil {
		return err
	}
	l, err := b.ObjectLock()
	if err != nil {
		return err
	}
	if l == nil {
		return errObjectLockNotFound
	}
	d := newDocument("ObjectLockConfiguration")
	d.elem("ObjectLockEnabled", "Enabled")
	if l.Mode != "" {
		d.group("Rule", func() {
			d.group("DefaultRetention", func() {
				d.elem("Mode", l.Mode)
				if l.Days > 0 {
					d.number("Days", int64(l.Days))
				} else {
					d.number("Years", int64(l.Years))
				}
			})
		})
	}
	return c.w.sendXML(d)
}
