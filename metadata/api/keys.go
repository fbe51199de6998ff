package api

import (
	"cmp"
	"crypto/rand"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"meridian/metadata"
)

// rootUser owns the credentials that Meridian is started with; a start revokes
// all others of theirs.
const rootUser = "root"

type keyList struct {
	Keys []metadata.AccessKey `json:"keys"`
}

// newKey is the body of POST /v1/keys.
type newKey struct {
	Role    string     `json:"role"`
	User    string     `json:"user"`    // the key's own ID if empty
	Expires *time.Time `json:"expires"` // never, if nil
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
	switch in.Role {
	case metadata.RoleAdmin, metadata.RoleReadWrite, metadata.RoleReadOnly:
	default:
		wrong = append(wrong, FieldError{"role", fmt.Sprintf("%.40q is none of admin, readwrite, readonly", in.Role)})
	}
	if in.User == rootUser {
		wrong = append(wrong, FieldError{"user", "root has the root credentials and no others"})
	}
	if len(in.User) > 256 || !isText(in.User) {
		wrong = append(wrong, FieldError{"user", "has more than 256 bytes or is not text"})
	}
	if in.Expires != nil && !in.Expires.After(now) {
		wrong = append(wrong, FieldError{"expires", "is in the past"})
	}
	if len(wrong) > 0 {
		return wrong
	}
	// As long as those of AWS, which some tools insist on.
	id := "MK" + rand.Text()[:18]
	k := metadata.AccessKey{
		ID: id, Secret: (rand.Text() + rand.Text())[:40], User: cmp.Or(in.User, id), Role: in.Role, Created: now, Expires: in.Expires,
	}
	if err := c.store.PutKey(c.ctx(), k); err != nil {
		return err
	}
	return c.created("/v1/keys/"+url.PathEscape(k.ID), k)
}

func (c *call) deleteKey() error {
	if err := c.store.DeleteKey(c.ctx(), c.param("id")); err != nil {
		return err
	}
	return c.noContent()
}
