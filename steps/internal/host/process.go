package host

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// TokenVariable is the environment variable that carries a step's token to its command.
const TokenVariable = "HANDRAIL_TOKEN"

// Process identifies a process for ever. A pid alone is used again, and so are a pid and its start
// time by another boot.
type Process struct {
	PID   int
	Start uint64 // field 22 of /proc/<pid>/stat: clock ticks since the boot
	// Latest is the end of the span of ticks in which it was started, where only that is known: no pid is
	// used again so soon.
	Latest uint64
	Boot   string // /proc/sys/kernel/random/boot_id
}

// startedAt: a start time is that of the process.
func (p Process) startedAt(ticks uint64) bool { return ticks >= p.Start && ticks <= p.Latest }

// tick is the unit of start times: the kernel tells them in hundredths of a second on every machine.
const tick = 10 * time.Millisecond

// bootTicks is the clock by which the kernel tells when a process was started.
func bootTicks() (uint64, error) {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &now); err != nil {
		return 0, fmt.Errorf("read the clock of this boot: %w", err)
	}
	return uint64(now.Nano()) / uint64(tick), nil
}

func (p Process) String() string { return "pid " + strconv.Itoa(p.PID) }

// bootID is read once; it cannot change while this process lives.
var bootID = sync.OnceValues(func() (string, error) {
	b, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return "", fmt.Errorf("read the id of this boot: %w", err)
	}
	return strings.TrimSpace(string(b)), nil
})

// stat is what /proc/<pid>/stat says.
type stat struct {
	pid, group, session int
	state               byte
	start               uint64
	name                string
}

// dead: it is a zombie, or nearly one.
func (s stat) dead() bool { return s.state == 'Z' || s.state == 'X' || s.state == 'x' }

func readStat(pid int) (stat, error) {
	b, err := readSmall("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return stat{}, err
	}
	// The name stands in brackets and may hold anything, brackets and spaces too.
	open, shut := bytes.IndexByte(b, '('), bytes.LastIndexByte(b, ')')
	if open < 0 || shut < open {
		return stat{}, fmt.Errorf("/proc/%d/stat is not understood", pid)
	}
	fields := strings.Fields(string(b[shut+1:])) // from field 3 on
	if len(fields) < 20 {
		return stat{}, fmt.Errorf("/proc/%d/stat is not understood", pid)
	}
	s := stat{pid: pid, name: string(b[open+1 : shut]), state: fields[0][0]}
	var errs [3]error
	s.group, errs[0] = strconv.Atoi(fields[2])
	s.session, errs[1] = strconv.Atoi(fields[3])
	s.start, errs[2] = strconv.ParseUint(fields[19], 10, 64)
	return s, errors.Join(errs[:]...)
}

// readSmall reads a file of /proc that comes in one piece.
func readSmall(name string) ([]byte, error) {
	fd, err := unix.Open(name, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: name, Err: err}
	}
	defer unix.Close(fd)
	b := make([]byte, 1024)
	n, err := unix.Read(fd, b)
	if err != nil {
		return nil, &fs.PathError{Op: "read", Path: name, Err: err}
	}
	return b[:n], nil
}

// identify says which process a pid is now.
func identify(pid int) (Process, error) {
	boot, err := bootID()
	if err != nil {
		return Process{}, err
	}
	s, err := readStat(pid)
	if err != nil {
		return Process{}, fmt.Errorf("look at pid %d: %w", pid, err)
	}
	return Process{PID: pid, Start: s.start, Latest: s.start, Boot: boot}, nil
}

// Alive is a process that belongs to an attempt.
type Alive struct {
	PID  int
	Name string
}

func (a Alive) String() string { return fmt.Sprintf("%s (pid %d)", a.Name, a.PID) }

// survivors looks for every process of an attempt: the one that was started, its group and session,
// and whatever carries the token in its environment. known is nil where the identity was not written.
func survivors(token string, known *Process) ([]Alive, error) {
	boot, err := bootID()
	if err != nil {
		return nil, err
	}
	if known != nil && known.Boot != boot {
		known = nil // a pid of another boot means nothing now
	}
	dirs, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return nil, err
	}
	var all []stat
	reused := false
	for _, dir := range dirs {
		pid, err := strconv.Atoi(filepath.Base(dir))
		if err != nil || pid == os.Getpid() {
			continue
		}
		s, err := readStat(pid)
		if err != nil {
			if gone(err) {
				continue
			}
			return nil, err
		}
		reused = reused || known != nil && pid == known.PID && !known.startedAt(s.start)
		all = append(all, s)
	}
	var out []Alive
	for _, s := range all {
		if !s.dead() && (belongs(s, known, reused) || carries(s.pid, token)) {
			out = append(out, Alive{PID: s.pid, Name: s.name})
		}
	}
	return out, nil
}

// belongs: the process is the known one, or of its group or session. A group's number is free again
// only when the group is empty, so it means nothing once its leader's pid is used by another process.
func belongs(s stat, known *Process, reused bool) bool {
	if known == nil {
		return false
	}
	if s.pid == known.PID {
		return known.startedAt(s.start)
	}
	return !reused && s.start >= known.Start && (s.group == known.PID || s.session == known.PID)
}

// carries: the process was started with the token in its environment. That of another user's process
// cannot be read, and is taken for not carried.
func carries(pid int, token string) bool {
	if token == "" {
		return false
	}
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/environ")
	if err != nil {
		return false
	}
	want := []byte(TokenVariable + "=" + token)
	for _, v := range bytes.Split(b, []byte{0}) {
		if bytes.Equal(v, want) {
			return true
		}
	}
	return false
}

// gone: the process ended while it was looked at.
func gone(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ESRCH)
}
