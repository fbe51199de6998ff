package iam

import (
	"encoding/json"
	"strings"
)

// principals are whom a statement speaks of. Nil speaks of everybody: that of an
// identity policy, which speaks of its holder.
type principals struct {
	all   bool // "*"
	users map[string]bool
	// account says that all users are named by the account they belong to.
	account bool
	named   []string // as the policy has them, for its check
}

func (p *principals) match(user string) bool {
	switch {
	case p == nil, p.all:
		return true
	case user == "":
		return false
	}
	return p.account || p.users[user]
}

func (p *principals) everybody() bool { return p != nil && p.all }

// parsePrincipals reads "*", a name, a list of names, or an object of those by
// the kind of principal.
func parsePrincipals(raw json.RawMessage) (*principals, error) {
	p := &principals{users: map[string]bool{}}
	if names, err := stringsOf(raw); err == nil {
		return p, p.addAll("AWS", names)
	}
	kinds, err := members(raw)
	if err != nil || len(kinds) == 0 {
		return nil, errPrincipal
	}
	for _, k := range kinds {
		names, err := stringsOf(k.value)
		if err != nil {
			return nil, errPrincipal
		}
		if err := p.addAll(k.name, names); err != nil {
			return nil, err
		}
	}
	return p, nil
}

func (p *principals) addAll(kind string, names []string) error {
	if len(names) == 0 {
		return errPrincipal
	}
	for _, name := range names {
		if name == "" {
			return errPrincipal
		}
		switch kind {
		case "AWS":
			if err := p.add(name); err != nil {
				return err
			}
		case "CanonicalUser": // as ACLs name users
			p.users[name] = true
			p.named = append(p.named, name)
		case "Service", "Federated": // of AWS's own, who never ask here
		default:
			return errPrincipal
		}
	}
	return nil
}

// add notes a principal of kind AWS: everybody, an account, an ARN, or a user by
// name, which AWS has not.
func (p *principals) add(name string) error {
	if name == "*" {
		p.all = true
		return nil
	}
	rest, arn := strings.CutPrefix(name, "arn:")
	switch {
	case !arn && strings.ContainsAny(name, "*?"):
		return errPrincipal
	case !arn && isAccount(name):
		p.account = p.account || name == Account
		return nil
	case !arn:
		p.users[name] = true
		p.named = append(p.named, name)
		return nil
	}
	// partition:service::account:what
	f := strings.SplitN(rest, ":", 5)
	if len(f) != 5 || f[2] != "" || f[1] != "iam" && f[1] != "sts" || strings.ContainsAny(name, "*?") {
		return errPrincipal
	}
	account, what := f[3], f[4]
	ours := account == "" || account == Account
	switch kind, path, _ := strings.Cut(what, "/"); {
	case what == "root":
		p.account = p.account || ours && account != ""
	case kind == "user" && f[1] == "iam" && path != "":
		if ours {
			p.users[path] = true
			p.named = append(p.named, path)
		}
	case path != "" && (kind == "role" || kind == "assumed-role" || kind == "federated-user" || kind == "group"):
	default:
		return errPrincipal
	}
	return nil
}

func isAccount(s string) bool {
	return len(s) == len(Account) && strings.Trim(s, "0123456789") == ""
}
