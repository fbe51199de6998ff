package purge

import (
	"maps"
	"strings"
	"sync"
)

// Index is the set of heads that a node may hold: never less than it does hold,
// as long as whoever removes or loses a head by Add's account deletes it. Its
// methods may run at once.
type Index struct {
	limit int

	mu         sync.Mutex
	objects    map[Object]*object
	buckets    map[string]map[string]*dir // by bucket, then the key up to its last slash
	surrogates map[string]*surrogate
	count      int
	bytes      int  // what all of it takes of memory, about
	oldest     name // sentinel of the ring of names, oldest first
}

// What is held takes these bytes of memory, about, beside names and keys. An index
// takes perHead for each head of its limit, at most: names that hold cookies, and
// heads with thousands of surrogate keys, are fewer.
const (
	nameBytes      = 256
	surrogateBytes = 200
	memberBytes    = 24
	perHead        = 512
)

// surrogate is a surrogate key and the heads that have it.
type surrogate struct {
	key   string
	names map[*name]struct{}
}

// dir holds the objects directly below a directory: a purge of it touches
// those alone, and one of a prefix looks at directories, not at keys.
type dir struct{ objects map[*object]struct{} }

type object struct {
	Object
	names  []*name
	byName map[string]*name // nil where they are few
}

// fewNames are as many as are quickly looked through.
const fewNames = 8

// name is a head: an object has one for each form of its URL.
type name struct {
	object     *object
	name       string
	at         int // among those of the object
	surrogates []*surrogate
	prev, next *name
}

// NewIndex returns an index of up to limit heads, fewer where they take more memory
// than most.
func NewIndex(limit int) *Index {
	x := &Index{
		limit: limit, objects: map[Object]*object{}, buckets: map[string]map[string]*dir{},
		surrogates: map[string]*surrogate{},
	}
	x.oldest.prev, x.oldest.next = &x.oldest, &x.oldest
	return x
}

// Add says that the head n of object o with these surrogate keys is held now.
// It returns the heads that the index has to let go to stay within its limit:
// the caller deletes them, since no purge would find them any more.
func (x *Index) Add(o Object, n string, surrogates []string) (evicted []string) {
	x.mu.Lock()
	defer x.mu.Unlock()
	obj := x.object(o)
	e := obj.find(n)
	if e == nil {
		e = &name{object: obj, name: n}
		obj.add(e)
		x.count++
		x.bytes += e.bytes()
	} else {
		e.unlink()
		x.forgetSurrogates(e)
	}
	e.link(&x.oldest)
	x.setSurrogates(e, surrogates)
	for x.count > x.limit || x.bytes > x.limit*perHead {
		old := x.oldest.next
		evicted = append(evicted, old.name)
		x.remove(old)
	}
	return evicted
}

// Take removes the heads that t selects and returns their names.
func (x *Index) Take(t Target) []string { return x.choose(t, x.remove) }

// Select returns the names of the heads that t selects.
func (x *Index) Select(t Target) []string { return x.choose(t, func(*name) {}) }

// Len is the number of heads.
func (x *Index) Len() int {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.count
}

func (x *Index) choose(t Target, each func(*name)) []string {
	x.mu.Lock()
	defer x.mu.Unlock()
	seen := map[*name]struct{}{}
	add := func(obj *object) {
		for _, n := range obj.names {
			seen[n] = struct{}{}
		}
	}
	for _, o := range t.Objects {
		if obj := x.objects[o]; obj != nil {
			add(obj)
		}
	}
	for _, p := range t.Prefixes {
		x.under(p, add)
	}
	for _, s := range t.SurrogateKeys {
		if of := x.surrogates[s]; of != nil {
			maps.Copy(seen, of.names)
		}
	}
	if t.Bucket != "" {
		x.under(Object{Bucket: t.Bucket}, add)
	}
	if t.Everything {
		for _, obj := range x.objects {
			add(obj)
		}
	}
	names := make([]string, 0, len(seen))
	for n := range seen {
		names = append(names, n.name)
		each(n)
	}
	return names
}

// under calls add for every object whose key begins with p.Key.
func (x *Index) under(p Object, add func(*object)) {
	for path, d := range x.buckets[p.Bucket] {
		if !strings.HasPrefix(path, p.Key) && !strings.HasPrefix(p.Key, path) {
			continue
		}
		for obj := range d.objects {
			if strings.HasPrefix(obj.Key, p.Key) {
				add(obj)
			}
		}
	}
}

func dirOf(key string) string { return key[:strings.LastIndexByte(key, '/')+1] }

func (x *Index) object(o Object) *object {
	obj := x.objects[o]
	if obj != nil {
		return obj
	}
	obj = &object{Object: o}
	x.objects[o] = obj
	dirs := x.buckets[o.Bucket]
	if dirs == nil {
		dirs = map[string]*dir{}
		x.buckets[o.Bucket] = dirs
	}
	path := dirOf(o.Key)
	if dirs[path] == nil {
		dirs[path] = &dir{objects: map[*object]struct{}{}}
	}
	dirs[path].objects[obj] = struct{}{}
	return obj
}

func (x *Index) remove(n *name) {
	n.unlink()
	x.count--
	x.bytes -= n.bytes()
	x.forgetSurrogates(n)
	obj := n.object
	if obj.drop(n); len(obj.names) > 0 {
		return
	}
	delete(x.objects, obj.Object)
	dirs, path := x.buckets[obj.Bucket], dirOf(obj.Key)
	delete(dirs[path].objects, obj)
	if len(dirs[path].objects) == 0 {
		delete(dirs, path)
	}
	if len(dirs) == 0 {
		delete(x.buckets, obj.Bucket)
	}
}

func (x *Index) setSurrogates(n *name, keys []string) {
	n.surrogates = make([]*surrogate, 0, len(keys))
	for _, k := range keys {
		s := x.surrogates[k]
		if s == nil {
			s = &surrogate{key: strings.Clone(k), names: map[*name]struct{}{}} // k may be a part of a long line
			x.surrogates[s.key] = s
			x.bytes += surrogateBytes + len(k)
		}
		if _, twice := s.names[n]; !twice {
			s.names[n] = struct{}{}
			n.surrogates = append(n.surrogates, s)
			x.bytes += memberBytes
		}
	}
}

func (x *Index) forgetSurrogates(n *name) {
	for _, s := range n.surrogates {
		delete(s.names, n)
		x.bytes -= memberBytes
		if len(s.names) == 0 {
			delete(x.surrogates, s.key)
			x.bytes -= surrogateBytes + len(s.key)
		}
	}
	n.surrogates = nil
}

// bytes are those of the name and of its object, whose key is part of it.
func (n *name) bytes() int { return nameBytes + 2*len(n.name) }

func (o *object) find(n string) *name {
	if o.byName != nil {
		return o.byName[n]
	}
	for _, e := range o.names {
		if e.name == n {
			return e
		}
	}
	return nil
}

// add adds a name that is not there. A page may be held under any number of them: a
// pull zone has one for each query.
func (o *object) add(n *name) {
	n.at = len(o.names)
	o.names = append(o.names, n)
	switch {
	case o.byName != nil:
		o.byName[n.name] = n
	case len(o.names) > fewNames:
		o.byName = make(map[string]*name, 2*fewNames)
		for _, e := range o.names {
			o.byName[e.name] = e
		}
	}
}

func (o *object) drop(n *name) {
	last := o.names[len(o.names)-1]
	last.at, o.names[n.at] = n.at, last
	o.names[len(o.names)-1] = nil
	o.names = o.names[:len(o.names)-1]
	delete(o.byName, n.name)
}

// link puts n at the young end of the ring.
func (n *name) link(ring *name) {
	n.prev, n.next = ring.prev, ring
	ring.prev.next = n
	ring.prev = n
}

func (n *name) unlink() {
	n.prev.next, n.next.prev = n.next, n.prev
	n.prev, n.next = nil, nil
}
