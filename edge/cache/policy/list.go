package policy

// queueID says where an entry is.
type queueID uint8

const (
	nowhere queueID = iota // not added yet
	inSmall
	inMain
	gone
)

// list is a queue of entries, linked through themselves: they come in at the
// head and are judged at the tail.
type list struct {
	head, tail *Entry
	bytes      int64
}

func (l *list) push(e *Entry, id queueID) {
	e.queue, e.prev, e.next = id, nil, l.head
	if l.head != nil {
		l.head.prev = e
	} else {
		l.tail = e
	}
	l.head = e
	l.bytes += e.Size
}

func (l *list) remove(e *Entry) {
	if e.prev != nil {
		e.prev.next = e.next
	} else {
		l.head = e.next
	}
	if e.next != nil {
		e.next.prev = e.prev
	} else {
		l.tail = e.prev
	}
	e.prev, e.next = nil, nil
	l.bytes -= e.Size
}
