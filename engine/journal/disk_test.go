package journal

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"
	"sync"
)

// memDisk is a disk in memory that knows what a power failure would leave: the bytes and names that
// were synced, and any part of those that were not.
type memDisk struct {
	mu     sync.Mutex
	files  map[string]*memFile // by name; folders end in a slash
	stable map[string]*memFile // the names that are on the medium

	// fail, if set, is asked before every operation: "write runs/…/journal.jsonl". An error is
	// returned instead; a write then leaves the first short bytes.
	fail  func(op string) error
	short int
	count map[string]int
}

type memFile struct {
	data   []byte
	synced []byte
	locked bool
}

func newMemDisk() *memDisk {
	return &memDisk{files: map[string]*memFile{"./": {}}, stable: map[string]*memFile{}, count: map[string]int{}}
}

// crash gives the disk as it is found after a power failure, with only the first keep bytes of what was
// appended to each file since its last sync.
func (d *memDisk) crash(keep int) *memDisk {
	after := newMemDisk()
	for name, f := range d.stable {
		data := append([]byte(nil), f.synced...)
		if rest := len(f.data) - len(f.synced); rest > 0 && string(f.data[:len(f.synced)]) == string(f.synced) {
			data = append(data, f.data[len(f.synced):len(f.synced)+min(keep, rest)]...)
		}
		after.files[name] = &memFile{data: data, synced: data}
		after.stable[name] = after.files[name]
	}
	return after
}

func (d *memDisk) try(op, name string) error {
	d.count[op]++
	if d.fail == nil {
		return nil
	}
	return d.fail(fmt.Sprintf("%s %d %s", op, d.count[op], name))
}

func (d *memDisk) folder(name string) bool { return d.files[path.Clean(name)+"/"] != nil }

func (d *memDisk) OpenFile(name string, flag int, _ fs.FileMode) (File, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.try("open", name); err != nil {
		return nil, err
	}
	name = path.Clean(name)
	if d.folder(name) {
		return &memHandle{disk: d, name: name + "/", file: d.files[name+"/"]}, nil
	}
	f := d.files[name]
	switch {
	case f == nil && flag&os.O_CREATE == 0, !d.folder(path.Dir(name)):
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	case f != nil && flag&os.O_EXCL != 0:
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrExist}
	case f == nil:
		f = &memFile{}
		d.files[name] = f
	}
	return &memHandle{disk: d, name: name, file: f}, nil
}

func (d *memDisk) Mkdir(name string, _ fs.FileMode) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.try("mkdir", name); err != nil {
		return err
	}
	name = path.Clean(name) + "/"
	if d.files[name] != nil {
		return &fs.PathError{Op: "mkdir", Path: name, Err: fs.ErrExist}
	}
	d.files[name] = &memFile{}
	return nil
}

func (d *memDisk) Rename(from, to string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.try("rename", from); err != nil {
		return err
	}
	from, to = path.Clean(from), path.Clean(to)
	f := d.files[from]
	if f == nil {
		return &fs.PathError{Op: "rename", Path: from, Err: fs.ErrNotExist}
	}
	delete(d.files, from)
	d.files[to] = f
	return nil
}

func (d *memDisk) Remove(name string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.try("remove", name); err != nil {
		return err
	}
	name = path.Clean(name)
	if d.folder(name) {
		name += "/"
	}
	if d.files[name] == nil {
		return &fs.PathError{Op: "remove", Path: name, Err: fs.ErrNotExist}
	}
	delete(d.files, name)
	return nil
}

type memHandle struct {
	disk *memDisk
	name string
	file *memFile
	mine bool
}

func (h *memHandle) ReadAt(p []byte, off int64) (int, error) {
	h.disk.mu.Lock()
	defer h.disk.mu.Unlock()
	if off >= int64(len(h.file.data)) {
		return 0, io.EOF
	}
	n := copy(p, h.file.data[off:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func (h *memHandle) Write(p []byte) (int, error) {
	h.disk.mu.Lock()
	defer h.disk.mu.Unlock()
	if err := h.disk.try("write", h.name); err != nil {
		n := min(h.disk.short, len(p))
		h.file.data = append(h.file.data, p[:n]...)
		return n, err
	}
	h.file.data = append(h.file.data, p...)
	return len(p), nil
}

func (h *memHandle) Truncate(size int64) error {
	h.disk.mu.Lock()
	defer h.disk.mu.Unlock()
	if err := h.disk.try("truncate", h.name); err != nil {
		return err
	}
	h.file.data = h.file.data[:size]
	return nil
}

func (h *memHandle) Sync() error {
	h.disk.mu.Lock()
	defer h.disk.mu.Unlock()
	if err := h.disk.try("sync", h.name); err != nil {
		return err
	}
	h.file.synced = append([]byte(nil), h.file.data...)
	if !strings.HasSuffix(h.name, "/") {
		return nil
	}
	in := func(name string) bool { return path.Dir(strings.TrimSuffix(name, "/"))+"/" == h.name }
	for name := range h.disk.stable {
		if in(name) && h.disk.files[name] != h.disk.stable[name] {
			delete(h.disk.stable, name)
		}
	}
	for name, f := range h.disk.files {
		if in(name) || name == "./" {
			h.disk.stable[name] = f
		}
	}
	return nil
}

func (h *memHandle) Lock(exclusive bool) (bool, error) {
	h.disk.mu.Lock()
	defer h.disk.mu.Unlock()
	if h.file.locked && !h.mine {
		return false, nil
	}
	if exclusive {
		h.file.locked, h.mine = true, true
	}
	return true, nil
}

func (h *memHandle) Size() (int64, error) {
	h.disk.mu.Lock()
	defer h.disk.mu.Unlock()
	return int64(len(h.file.data)), nil
}

func (h *memHandle) Names() ([]string, error) {
	h.disk.mu.Lock()
	defer h.disk.mu.Unlock()
	var out []string
	for name := range h.disk.files {
		clean := strings.TrimSuffix(name, "/")
		if path.Dir(clean)+"/" == h.name && name != h.name {
			out = append(out, path.Base(clean))
		}
	}
	return out, nil
}

func (h *memHandle) Close() error {
	h.disk.mu.Lock()
	defer h.disk.mu.Unlock()
	if h.mine {
		h.file.locked, h.mine = false, false
	}
	return nil
}

var errDisk = errors.New("input/output error")
