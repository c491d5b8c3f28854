package chaos

import (
	"os"
	"slices"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"
)

// page is memory that the parent and its servers share through a file: the
// offset of their clock, and how often each step came up. What a server wrote
// there outlives it.
type page struct {
	words  []int64
	labels []string
	life   []atomic.Int64 // this process only
}

const pageWords = 512

// openPage maps the file at path, making it when there is none.
func openPage(path string) (*page, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if err := f.Truncate(pageWords * 8); err != nil {
		return nil, err
	}
	b, err := syscall.Mmap(int(f.Fd()), 0, pageWords*8, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_SHARED)
	if err != nil {
		return nil, err
	}
	labels := Labels()
	return &page{words: unsafe.Slice((*int64)(unsafe.Pointer(&b[0])), pageWords), labels: labels, life: make([]atomic.Int64, len(labels))}, nil
}

// now is the clock of the world.
func (p *page) now() time.Time {
	return time.Now().Add(time.Duration(atomic.LoadInt64(&p.words[0])))
}

// jump moves the clock forward for everybody.
func (p *page) jump(d time.Duration) { atomic.AddInt64(&p.words[0], int64(d)) }

// hit counts a step and gives how often this process came to it.
func (p *page) hit(label string) int {
	at := slices.Index(p.labels, label)
	if at < 0 {
		return 0
	}
	atomic.AddInt64(&p.words[1+at], 1)
	return int(p.life[at].Add(1))
}

// hits gives how often all servers came to each step.
func (p *page) hits() map[string]int64 {
	out := map[string]int64{}
	for i, label := range p.labels {
		out[label] = atomic.LoadInt64(&p.words[1+i])
	}
	return out
}
