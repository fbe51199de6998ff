package api

import (
	"cmp"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"meridian/internal/hop"
	"meridian/metadata"
	"meridian/metadata/access"
)

type keyList struct {
	Keys []metadata.AccessKey `json:"keys"`
}

// newKey is the body of POST /v1/keys. A key of another server can be brought
// along by its ID and secret, which go together; they are made up otherwise.
type newKey struct {
	ID      string     `json:"id"`
	Secret  string     `json:"secret"`
	Role    string     `json:"role"`
	User    string     `json:"user"`    // the key's own ID if empty
	Expires *time.Time `json:"expires"` // never, if nil
	// Policy is a document, or the name of a canned one.
	Policy json.RawMessage `json:"policy"`
}

// keyPatch is the body of PATCH /v1/keys/{id}.
type keyPatch struct {
	Policy  patch[json.RawMessage] `json:"policy"`
	Expires patch[*time.Time]      `json:"expires"` // null: never
}

func (c *call) listKeys() error {
	list := keyList{Keys: []metadata.AccessKey{}}
	for k, err := range c.store.Keys(c.ctx()) {
		if err != nil {
			return err
		}
		k.Secret = ""
		list.Keys = append(list.Keys, k)
	}
	return c.json(http.StatusOK, list)
}

func (c *call) getKey() error {
	k, err := c.liveKey(c.ctx(), c.param("id"))
	if err != nil {
		return err
	}
	k.Secret = ""
	return c.json(http.StatusOK, k)
}

// createKey makes a key and tells its secret, this once.
func (c *call) createKey() error {
	var in newKey
	if err := c.decode(&in); err != nil {
		return err
	}
	now := c.now().UTC().Truncate(time.Microsecond)
	var wrong fieldErrors
	policy, err := identityPolicy(in.Policy)
	if err != nil {
		wrong = append(wrong, FieldError{"policy", err.Error()})
	}
	if in.Role == "" && policy != nil {
		in.Role = metadata.RoleUser // it counts where the policy is taken off
	}
	switch in.Role {
	case metadata.RoleAdmin, metadata.RoleReadWrite, metadata.RoleReadOnly, metadata.RoleUser:
	default:
		wrong = append(wrong, FieldError{"role", fmt.Sprintf("%.40q is none of admin, readwrite, readonly, user", in.Role)})
	}
	if in.User == metadata.RootUser {
		wrong = append(wrong, FieldError{"user", "root has the root credentials and no others"})
	}
	if len(in.User) > 256 || !isText(in.User) {
		wrong = append(wrong, FieldError{"user", "has more than 256 bytes or is not text"})
	}
	if in.Expires != nil && !in.Expires.After(now) {
		wrong = append(wrong, FieldError{"expires", "is in the past"})
	}
	wrong = append(wrong, in.checkPair()...)
	if len(wrong) > 0 {
		return wrong
	}
	if in.ID == "" {
		// As long as those of AWS, which some tools insist on.
		in.ID, in.Secret = "MK"+rand.Text()[:18], (rand.Text() + rand.Text())[:40]
	} else if _, err := c.store.Key(c.ctx(), in.ID); err == nil {
		return fieldErrors{{"id", fmt.Sprintf("%q is taken; revoke that key first", in.ID)}}
	} else if !errors.Is(err, metadata.ErrNoSuchAccess) {
		return err
	}
	k := metadata.AccessKey{
		ID: in.ID, Secret: in.Secret, User: cmp.Or(in.User, in.ID), Role: in.Role, Created: now, Expires: in.Expires, Policy: policy,
	}
	if err := c.store.PutKey(c.ctx(), k); err != nil {
		return err
	}
	return c.created("/v1/keys/"+url.PathEscape(k.ID), k)
}

// patchKey changes what a key may do, and until when. It counts within a second.
func (c *call) patchKey() error {
	var in keyPatch
	if err := c.decode(&in, names(jsonFieldsOf[metadata.AccessKey]())...); err != nil {
		return err
	}
	policy, err := identityPolicy(in.Policy.Value)
	if err != nil {
		return fieldErrors{{"policy", err.Error()}}
	}
	end := in.Expires.Value
	if end != nil && !end.After(c.now()) {
		return fieldErrors{{"expires", "is in the past; revoke the key to end it now"}}
	}
	k, err := c.store.UpdateKey(c.ctx(), c.param("id"), func(k *metadata.AccessKey) error {
		if in.Policy.Set && policy != nil && k.User == metadata.RootUser {
			return fieldErrors{{"policy", "root is limited by nothing; make a key of another user"}}
		}
		if end != nil && k.User == metadata.RootUser {
			return fieldErrors{{"expires", "root's key does not end"}}
		}
		if in.Policy.Set {
			k.Policy = policy
		}
		in.Expires.apply(&k.Expires)
		return nil
	})
	if err != nil {
		return err
	}
	k.Secret = ""
	return c.json(http.StatusOK, k)
}

// identityPolicy checks the policy that a key shall have; nil is none.
func identityPolicy(text json.RawMessage) (json.RawMessage, error) {
	if len(text) == 0 || string(text) == "null" {
		return nil, nil //nolint:nilnil // as documented
	}
	return access.IdentityPolicy(text, metadata.MaxKeyPolicy)
}

// checkPair refuses an ID and secret that S3 tools could not use.
func (k *newKey) checkPair() (wrong fieldErrors) {
	switch {
	case k.ID == "" && k.Secret == "":
		return nil
	case k.ID == "" || k.Secret == "":
		return fieldErrors{{"secret", "goes together with id: give both or neither"}}
	}
	if len(k.ID) < 3 || len(k.ID) > 128 || strings.ContainsFunc(k.ID, func(r rune) bool {
		return r <= ' ' || r > '~' || strings.ContainsRune("/:,=", r)
	}) || k.ID == hop.NodeAccessKey {
		wrong = append(wrong, FieldError{"id", "needs 3 to 128 printable ASCII characters without / : , = and blanks"})
	}
	if len(k.Secret) < 8 || len(k.Secret) > 256 || !isText(k.Secret) {
		wrong = append(wrong, FieldError{"secret", "needs 8 to 256 bytes of text"})
	}
	return wrong
}

func (c *call) deleteKey() error {
	if err := c.store.DeleteKey(c.ctx(), c.param("id")); err != nil {
		return err
	}
	return c.noContent()
}
