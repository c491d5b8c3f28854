package adcs

import (
	"crypto/rand"
	"encoding/binary"
	"slices"
	"sync"
	"time"

	"chancery/internal/doubles/dcerpc"
)

// publicRefs is how many references a client gets with what it activates.
const publicRefs = 5

// object is a DCOM object that a client activated.
type object struct {
	oid   uint64
	class dcerpc.UUID
	owner string // who activated it
	heard time.Time
	view  *view
}

// pointer is an interface of an object, named by an unguessable IPID.
type pointer struct {
	object *object
	iid    dcerpc.UUID
	refs   int
}

// objectTable is what the CA's process exports.
type objectTable struct {
	mu         sync.Mutex
	now        func() time.Time
	life       time.Duration
	oxid       uint64
	remUnknown dcerpc.UUID
	pointers   map[dcerpc.UUID]*pointer
	gone       map[dcerpc.UUID]bool
	sets       map[uint64][]uint64 // ping sets
}

func (o *objectTable) init(now func() time.Time, life time.Duration) {
	o.now, o.life = now, life
	o.oxid, o.remUnknown = random64(), randomUUID()
	o.pointers, o.gone, o.sets = map[dcerpc.UUID]*pointer{}, map[dcerpc.UUID]bool{}, map[uint64][]uint64{}
}

func random64() uint64 {
	var b [8]byte
	rand.Read(b[:])
	return binary.LittleEndian.Uint64(b[:]) | 1
}

func randomUUID() (u dcerpc.UUID) {
	rand.Read(u[:])
	return u
}

// make makes an object; export gives it an interface.
func (o *objectTable) make(class dcerpc.UUID, owner string) *object {
	return &object{oid: random64(), class: class, owner: owner, heard: o.now()}
}

// export gives an interface of an object, with so many references.
func (o *objectTable) export(of *object, iid dcerpc.UUID, refs int) dcerpc.UUID {
	o.mu.Lock()
	defer o.mu.Unlock()
	for ipid, p := range o.pointers {
		if p.object == of && p.iid == iid {
			p.refs += refs
			return ipid
		}
	}
	ipid := randomUUID()
	o.pointers[ipid] = &pointer{object: of, iid: iid, refs: refs}
	return ipid
}

// find gives the object of an interface that a call is for. The second result
// is the status of a fault.
func (o *objectTable) find(ipid *dcerpc.UUID, iid dcerpc.UUID) (*object, uint32) {
	if ipid == nil {
		return nil, invalidIPID
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.expire()
	p := o.pointers[*ipid]
	switch {
	case p == nil && o.gone[*ipid]:
		return nil, invalidObject
	case p == nil || p.iid != iid:
		return nil, invalidIPID
	}
	return p.object, 0
}

// expire forgets the objects whose clients have not been heard of.
func (o *objectTable) expire() {
	for ipid, p := range o.pointers {
		if o.now().Sub(p.object.heard) >= o.life {
			o.drop(ipid)
		}
	}
}

func (o *objectTable) drop(ipid dcerpc.UUID) {
	delete(o.pointers, ipid)
	o.gone[ipid] = true
}

func (o *objectTable) expireAll() {
	o.mu.Lock()
	defer o.mu.Unlock()
	for ipid := range o.pointers {
		o.drop(ipid)
	}
}

// count counts objects that have an interface.
func (o *objectTable) count() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.expire()
	seen := map[*object]bool{}
	for _, p := range o.pointers {
		seen[p.object] = true
	}
	return len(seen)
}

// addRef and release count references; nobody gives back more than there are.
func (o *objectTable) addRef(ipid dcerpc.UUID, n int) uint32 {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.expire()
	p := o.pointers[ipid]
	if p == nil {
		return invalidObject
	}
	if p.refs += n; p.refs <= 0 {
		o.drop(ipid)
	}
	return 0
}

// byIPID gives the object behind an interface.
func (o *objectTable) byIPID(ipid dcerpc.UUID) *object {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.expire()
	if p := o.pointers[ipid]; p != nil {
		return p.object
	}
	return nil
}

// ping says that the client of a set is alive.
func (o *objectTable) ping(set uint64) uint32 {
	o.mu.Lock()
	defer o.mu.Unlock()
	oids, ok := o.sets[set]
	if !ok {
		return 0x57 // OR_INVALID_SET's kin: the client has to begin anew
	}
	for _, p := range o.pointers {
		if slices.Contains(oids, p.object.oid) {
			p.object.heard = o.now()
		}
	}
	return 0
}

// change changes a set, or makes one, and pings it.
func (o *objectTable) change(set uint64, add, del []uint64) (uint64, uint32) {
	o.mu.Lock()
	if set == 0 {
		set = random64()
		o.sets[set] = nil
	}
	if _, ok := o.sets[set]; ok && len(o.sets[set])+len(add) < 1024 {
		o.sets[set] = slices.DeleteFunc(append(o.sets[set], add...), func(oid uint64) bool { return slices.Contains(del, oid) })
	}
	o.mu.Unlock()
	return set, o.ping(set)
}
