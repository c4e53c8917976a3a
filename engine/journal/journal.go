package journal

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"sync"
	"time"

	"github.com/handrail-dev/handrail/engine"
)

// Journal is the journal of one run, open for appending. It is safe for use by several goroutines.
type Journal struct {
	id   string
	path string // for messages
	disk Disk
	file File

	mu       sync.Mutex
	at       chain
	size     int64
	buf      []byte // reused from line to line
	unsynced bool
	dead     error
	repaired *engine.Repaired
	keys     Keys
	signed   int // lines that the head covers
}

// Run is the id of the run.
func (j *Journal) Run() string { return j.id }

// Lines is how many lines the journal has; 0: the run has not begun.
func (j *Journal) Lines() int {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.at.n
}

// Repaired is what had to be cut off when the journal was opened; nil: nothing. The caller appends it.
func (j *Journal) Repaired() *engine.Repaired { return j.repaired }

// Append writes events as one line, in one write. With sync, everything appended so far is on the
// medium when it returns. After an error the journal is dead: it takes nothing more, and every later
// call returns the same error.
func (j *Journal) Append(events []engine.Stamped, sync bool) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.dead != nil {
		return j.dead
	}
	if len(events) > 0 {
		if err := j.write(events); err != nil {
			return err
		}
	}
	if !sync || !j.unsynced {
		return nil
	}
	if err := j.file.Sync(); err != nil {
		return j.die("sync the journal", err)
	}
	j.unsynced, j.at.synced = false, j.at.n
	if err := j.sign(); err != nil {
		return j.die("sign the head of the journal", err)
	}
	return nil
}

func (j *Journal) write(events []engine.Stamped) error {
	b := j.at.begin(j.buf[:0])
	for i, e := range events {
		if i > 0 {
			b = append(b, ',')
		}
		var err error
		if b, err = engine.AppendEvent(b, e); err != nil {
			return j.die("write the journal", err)
		}
	}
	b, next := j.at.end(b)
	n, err := j.file.Write(b)
	if err == nil && n < len(b) {
		err = fmt.Errorf("only %d of %d bytes were written", n, len(b))
	}
	if err != nil {
		return j.die("write the journal", err)
	}
	j.at, j.buf, j.unsynced = next, b, true
	j.size += int64(n)
	if cap(j.buf) > 1<<20 { // one huge line must not hold memory for the rest of the run
		j.buf = nil
	}
	return nil
}

func (j *Journal) die(doing string, err error) error {
	j.dead = &Fault{Doing: doing, Path: j.path, Err: err,
		Remedy: "the run stops here; when the disk is well again, type: handrail resume " + j.id}
	return j.dead
}

// Close gives the journal up. What was appended without sync is brought to the medium first.
func (j *Journal) Close() error {
	err := j.Append(nil, true)
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.dead == nil {
		j.dead = errors.New("the journal is closed")
	}
	_ = j.disk.Remove(inRun(j.id, ownerFile)) // a hint only
	return errors.Join(err, j.file.Close())
}

// Replay calls f for each event that was there when the journal was opened, and since.
func (j *Journal) Replay(f func(engine.Stamped) error) error {
	r := Reader{path: j.path, file: j.file}
	return r.Replay(f)
}

// recover checks what is there, against its signed head too if it has one, and cuts a torn end off.
func (j *Journal) recover() error {
	head, err := j.signedHead()
	if err != nil {
		return err
	}
	r := Reader{path: j.path, file: j.file, watch: head.Lines}
	if err := r.check(); err != nil {
		return err
	}
	if err := r.against(head); err != nil {
		return err
	}
	if j.size = r.offset; r.at.n > 0 {
		j.at = r.at
	}
	if r.torn == 0 {
		return nil
	}
	kept, err := j.keepTorn(r.offset, r.torn)
	if err != nil {
		return &Fault{Doing: "repair the torn end of the journal", Path: j.path, Line: r.at.n + 1, Err: err,
			Remedy: "nothing was changed"}
	}
	j.repaired = &engine.Repaired{Bytes: int(r.torn), Kept: kept}
	return nil
}

// keepTorn copies the bytes behind the last whole line to a file of their own, and cuts them off only
// AFTER the copy is on the medium.
func (j *Journal) keepTorn(offset, size int64) (string, error) {
	torn := make([]byte, size)
	n, err := j.file.ReadAt(torn, offset)
	if n < len(torn) {
		return "", err
	}
	name := ""
	for i := 1; ; i++ {
		name = fmt.Sprintf("%s.%d.broken", journalFile, i)
		err := writeFile(j.disk, inRun(j.id, name), torn)
		if err == nil {
			break
		}
		if !errors.Is(err, fs.ErrExist) {
			return "", err
		}
	}
	if err := syncFolder(j.disk, inRun(j.id, "")); err != nil {
		return "", err
	}
	if err := j.file.Truncate(offset); err != nil {
		return "", err
	}
	return name, j.file.Sync()
}

// announce leaves word of who has the journal. It is a hint for messages, so a failure is of no matter.
func (j *Journal) announce(by engine.Person) {
	b, err := json.Marshal(by)
	if err != nil {
		return
	}
	temp := inRun(j.id, path.Base(ownerFile)+".new")
	_ = j.disk.Remove(temp)
	f, err := j.disk.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, fileMode)
	if err != nil {
		return
	}
	_, err = f.Write(b)
	if err = errors.Join(err, f.Close()); err == nil {
		_ = j.disk.Rename(temp, inRun(j.id, ownerFile))
	}
}

// lockPatience is how long taking a journal waits for a lock to go: somebody may only be looking whether
// there is an owner, which takes microseconds.
const lockPatience = 100 * time.Millisecond

func lockFirmly(f File) (bool, error) {
	deadline := time.After(lockPatience)
	for {
		had, err := f.Lock(true)
		if had || err != nil {
			return had, err
		}
		select {
		case <-deadline:
			return false, nil
		case <-time.After(lockPatience / 20):
		}
	}
}
