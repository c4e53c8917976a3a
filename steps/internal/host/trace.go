package host

import (
	"bufio"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Traces are the files that attempts leave in the folder of a run:
//
//	boots   the boots in which attempts were made; durable BEFORE the first attempt of each
//	*.lock  is held while an attempt lives, and says which attempt and which process it is
//	ended   one line for each attempt whose end was seen: token, attempt, code
//
// A lock file is used again by its engine, but only AFTER the end of the attempt before stands in
// `ended`; an engine never uses the lock files of another one. So an attempt of which there is neither a
// lock nor an end was never started.
//
// Nothing but `boots` is synced. A kill of the engine loses no byte of the rest; a loss of power may, and
// so nothing is concluded from what is absent once a run has seen more than one boot.
type Traces struct{ dir string }

// TracesIn gives the traces in a folder for looking at. For attempts, see [Yard].
func TracesIn(dir string) (Traces, error) {
	if dir == "" {
		return Traces{}, errors.New("there is no folder with the locks of commands")
	}
	return Traces{dir}, nil
}

func (t Traces) bootsFile() string { return filepath.Join(t.dir, "boots") }
func (t Traces) endedFile() string { return filepath.Join(t.dir, "ended") }

// boots are the boots in which attempts of the run were made.
func (t Traces) boots() ([]string, error) {
	b, err := os.ReadFile(t.bootsFile())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return strings.Fields(string(b)), err
}

// digest stands for a token in the traces.
func digest(token string) string {
	sum := sha256.Sum256([]byte(token))
	return hex.EncodeToString(sum[:])
}

// holder is what is written into a lock about who holds it.
type holder struct {
	token   string // its digest
	attempt int
	pipes   [2]uint64 // the inodes of the command's stdout and stderr
	process Process   // zero: it was about to be started
}

const (
	holderFormat = "token %s attempt %d pipes %d %d pid %d start %d to %d boot %s"
	// exactFormat is what older versions wrote.
	exactFormat = "token %s attempt %d pipes %d %d pid %d start %d boot %s"
)

// holderBytes is the length of what is written: always the same, so that one text replaces another
// without a change of the file's length, which would cost more than all the rest.
const holderBytes = 256

// text is written twice for each command, so it is put together by hand.
func (h holder) text() []byte {
	b := make([]byte, 0, holderBytes)
	word := func(name, is string) { b = append(append(b, name...), is...) }
	number := func(name string, is uint64) { b = strconv.AppendUint(append(b, name...), is, 10) }
	word("token ", h.token)
	number(" attempt ", uint64(h.attempt))
	number(" pipes ", h.pipes[0])
	number(" ", h.pipes[1])
	number(" pid ", uint64(h.process.PID))
	number(" start ", h.process.Start)
	number(" to ", h.process.Latest)
	word(" boot ", cmp.Or(h.process.Boot, "-"))
	for len(b) < holderBytes-1 {
		b = append(b, ' ')
	}
	return append(b, '\n')
}

// parseHolder reads what text wrote. An empty text is the zero holder.
func parseHolder(text string) (holder, error) {
	var h holder
	if text == "" {
		return h, nil
	}
	p := &h.process
	text = strings.TrimSpace(text)
	_, err := fmt.Sscanf(text, holderFormat, &h.token, &h.attempt, &h.pipes[0], &h.pipes[1], &p.PID, &p.Start, &p.Latest, &p.Boot)
	if err != nil {
		_, err = fmt.Sscanf(text, exactFormat, &h.token, &h.attempt, &h.pipes[0], &h.pipes[1], &p.PID, &p.Start, &p.Boot)
		p.Latest = p.Start
	}
	if err != nil {
		return holder{}, fmt.Errorf("the lock of a command holds %q: %w", text, err)
	}
	return h, nil
}

// known is the process, if it was written.
func (h holder) known() *Process {
	if h.process.PID == 0 {
		return nil
	}
	return &h.process
}

// lockOf finds the lock of the last attempt of a token. That there is none is the zero holder.
func (t Traces) lockOf(token string) (last holder, path string, err error) {
	locks, err := filepath.Glob(filepath.Join(t.dir, "*.lock"))
	if err != nil {
		return holder{}, "", err
	}
	want := digest(token)
	for _, lock := range locks {
		text, err := os.ReadFile(lock)
		if err != nil {
			return holder{}, "", err
		}
		h, err := parseHolder(string(text))
		if err != nil {
			return holder{}, "", err
		}
		if h.token == want && h.attempt >= last.attempt {
			last, path = h, lock
		}
	}
	return last, path, nil
}

// held: some process holds a lock file. No file is held by nobody.
func held(path string) (bool, error) {
	if path == "" {
		return false, nil
	}
	fd, err := unix.Open(path, unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return false, fmt.Errorf("open lock %s: %w", path, err)
	}
	defer unix.Close(fd)
	err = flock(fd)
	if errors.Is(err, ErrHeld) {
		return true, nil
	}
	return false, err
}

// heldOn says whether somebody holds a lock, and goes on holding it. Another command that this engine is just starting has a copy of each of its
// descriptors until it is that command, and means nothing by it.
func heldOn(path string) (bool, error) {
	for range 200 {
		if still, err := held(path); !still || err != nil {
			return false, err
		}
		<-time.After(5 * time.Millisecond)
	}
	return true, nil
}

// Past is what the traces say of an attempt.
type Past struct {
	// Ended: its end was seen, with Code.
	Ended bool
	Code  int
	// NeverStarted: it is certain that nothing was started for this attempt.
	NeverStarted bool
	// Process is what was started last for the token; nil if that was not written.
	Process *Process
	// Rebooted: the machine was started anew since, so that nothing of it can be alive.
	Rebooted bool

	lock  string
	pipes [2]uint64
}

// Look reads the traces of an attempt.
func (t Traces) Look(token string, attempt int) (Past, error) {
	boot, err := bootID()
	if err != nil {
		return Past{}, err
	}
	h, lock, err := t.lockOf(token)
	if err != nil {
		return Past{}, err
	}
	past := Past{Process: h.known(), pipes: h.pipes, lock: lock}
	past.Code, past.Ended, err = t.endOf(token, attempt)
	if err != nil || past.Ended {
		return past, err
	}
	boots, err := t.boots()
	if err != nil {
		return Past{}, err
	}
	switch {
	case h.attempt >= attempt && past.Process != nil:
		past.Rebooted = past.Process.Boot != boot
	case h.attempt < attempt && (len(boots) == 0 || len(boots) == 1 && boots[0] == boot):
		past.NeverStarted = true
	default:
		// What says that it was started may have gone with a loss of power.
		past.Rebooted = !slices.Contains(boots, boot)
	}
	return past, nil
}

// endOf finds the recorded end of an attempt.
func (t Traces) endOf(token string, attempt int) (code int, ok bool, err error) {
	f, err := os.Open(t.endedFile())
	if errors.Is(err, fs.ErrNotExist) {
		return 0, false, nil
	}
	if err != nil {
		return 0, false, err
	}
	defer f.Close()
	prefix := fmt.Sprintf("%s %d ", digest(token), attempt)
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		rest, found := strings.CutPrefix(lines.Text(), prefix)
		if !found {
			continue
		}
		if _, err := fmt.Sscanf(rest, "%d", &code); err != nil {
			return 0, false, fmt.Errorf("read the end of a command: %w", err)
		}
		return code, true, nil
	}
	return 0, false, lines.Err()
}
