package purge

import (
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
	surrogates map[string]map[*name]struct{}
	count      int
	oldest     name // sentinel of the ring of names, oldest first
}

// dir holds the objects directly below a directory: a purge of it touches
// those alone, and one of a prefix looks at directories, not at keys.
type dir struct{ objects map[*object]struct{} }

type object struct {
	Object
	names []*name
}

// name is a head: an object has one for each form of its URL.
type name struct {
	object     *object
	name       string
	surrogates []string
	prev, next *name
}

// NewIndex returns an index of up to limit heads.
func NewIndex(limit int) *Index {
	x := &Index{
		limit: limit, objects: map[Object]*object{}, buckets: map[string]map[string]*dir{},
		surrogates: map[string]map[*name]struct{}{},
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
		obj.names = append(obj.names, e)
		x.count++
	} else {
		e.unlink()
		x.forgetSurrogates(e)
	}
	e.link(&x.oldest)
	e.surrogates = surrogates
	for _, s := range surrogates {
		set := x.surrogates[s]
		if set == nil {
			set = map[*name]struct{}{}
			x.surrogates[s] = set
		}
		set[e] = struct{}{}
	}
	for x.count > x.limit {
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
		for n := range x.surrogates[s] {
			seen[n] = struct{}{}
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
	x.forgetSurrogates(n)
	obj := n.object
	for i, o := range obj.names {
		if o == n {
			obj.names = append(obj.names[:i], obj.names[i+1:]...)
			break
		}
	}
	if len(obj.names) > 0 {
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

func (x *Index) forgetSurrogates(n *name) {
	for _, s := range n.surrogates {
		delete(x.surrogates[s], n)
		if len(x.surrogates[s]) == 0 {
			delete(x.surrogates, s)
		}
	}
	n.surrogates = nil
}

func (o *object) find(n string) *name {
	for _, e := range o.names {
		if e.name == n {
			return e
		}
	}
	return nil
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
