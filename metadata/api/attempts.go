package api

import (
	"fmt"
	"net/netip"
	"sync"
	"time"
)

// A burst of wrong secrets is let pass, as people mistype and tools retry; then
// one every attemptEvery.
const (
	attemptBurst = 10
	attemptEvery = 6 * time.Second
	// maxAttempts bounds what is remembered. Access keys that do not exist are
	// not, so it takes very many addresses to get there.
	maxAttempts = 1 << 16
)

// attempts counts wrong secrets by access key and address. Another address is
// not held up: an attacker cannot lock out the owner of a key.
type attempts struct {
	now func() time.Time
	mu  sync.Mutex
	// spent is, for each pair, when all its failures will be forgiven: a token
	// bucket in one number.
	spent map[attempt]time.Time
}

type attempt struct {
	key  string
	from netip.Prefix
}

func newAttempts(now func() time.Time) *attempts {
	return &attempts{now: now, spent: map[attempt]time.Time{}}
}

// by groups the addresses that one party commonly has.
func by(key, address string) attempt {
	ip, err := netip.ParseAddr(address)
	if err != nil {
		return attempt{key: key} // a socket without addresses
	}
	bits := 32
	if ip = ip.Unmap().WithZone(""); ip.Is6() {
		bits = 64
	}
	from, _ := ip.Prefix(bits) // both lengths are right
	return attempt{key, from}
}

// allow refuses where there were too many failures lately, whether or not the
// secret is right this time.
func (a *attempts) allow(key, address string) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	wait := a.spent[by(key, address)].Sub(a.now().Add((attemptBurst - 1) * attemptEvery))
	if wait <= 0 {
		return nil
	}
	return retryLaterError{fmt.Errorf("%w from this address; try again in %s", errTooMany, wait.Round(time.Second)), wait}
}

// failed counts one.
func (a *attempts) failed(key, address string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	at, now := by(key, address), a.now()
	if _, known := a.spent[at]; !known && len(a.spent) >= maxAttempts {
		a.drop(now)
	}
	begin := a.spent[at]
	if begin.Before(now) {
		begin = now
	}
	a.spent[at] = begin.Add(attemptEvery)
}

// drop makes room: what is forgiven, else any one.
func (a *attempts) drop(now time.Time) {
	a.forgive(now)
	if len(a.spent) < maxAttempts {
		return
	}
	for at := range a.spent {
		delete(a.spent, at)
		return
	}
}

func (a *attempts) prune() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.forgive(a.now())
}

func (a *attempts) forgive(now time.Time) {
	for at, until := range a.spent {
		if !until.After(now) {
			delete(a.spent, at)
		}
	}
}
