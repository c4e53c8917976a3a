package host

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// Traces are the files that attempts leave in the folder of a run:
//
//	boots         the boots in which attempts were made; durable BEFORE the first attempt of each
//	<token>.lock  is held while the attempt lives; says which process it is
//	ended         one line for each attempt whose end was seen: token, attempt, code
//
// Nothing but `boots` is synced. A kill of the engine loses no byte of the rest; a loss of power may, and
// so nothing is concluded from what is absent once a run has seen more than one boot.
type Traces struct{ dir string }

// TracesIn gives the traces in a folder for looking at. For attempts, see [Yard.Traces].
func TracesIn(dir string) (Traces, error) {
	if dir == "" {
		return Traces{}, errors.New("there is no folder with the locks of commands")
	}
	return Traces{dir}, nil
}

// Yard hands out the Traces of folders. It is safe for use by several goroutines.
type Yard struct {
	mu    sync.Mutex
	ready map[string]bool
}

// Traces gives the traces in a folder, and makes it ready for attempts. Only the first call for a folder
// costs something.
func (y *Yard) Traces(dir string) (Traces, error) {
	if dir == "" {
		return Traces{}, errors.New("there is no folder for the lock of a command")
	}
	t := Traces{dir}
	y.mu.Lock()
	defer y.mu.Unlock()
	if y.ready[dir] {
		return t, nil
	}
	if err := t.prepare(); err != nil {
		return Traces{}, fmt.Errorf("prepare %s for the lock of a command: %w", dir, err)
	}
	if y.ready == nil {
		y.ready = map[string]bool{}
	}
	y.ready[dir] = true
	return t, nil
}

func (t Traces) prepare() error {
	boot, err := bootID()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(t.dir, 0o700); err != nil {
		return err
	}
	boots, err := t.boots()
	if err != nil {
		return err
	}
	if slices.Contains(boots, boot) {
		return nil
	}
	f, err := os.OpenFile(t.bootsFile(), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(f, boot)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return errors.Join(syncDir(t.dir), syncDir(filepath.Dir(t.dir)))
}

func (t Traces) bootsFile() string { return filepath.Join(t.dir, "boots") }

// boots are the boots in which attempts of the run were made.
func (t Traces) boots() ([]string, error) {
	b, err := os.ReadFile(t.bootsFile())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return strings.Fields(string(b)), err
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

func digest(token string) string {
	sum := sha256.Sum256([]byte(token))
	return hex.EncodeToString(sum[:])
}

func (t Traces) lockFile(token string) string { return filepath.Join(t.dir, digest(token)+".lock") }

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

	pipes [2]uint64
}

// Look reads the traces of an attempt.
func (t Traces) Look(token string, attempt int) (Past, error) {
	boot, err := bootID()
	if err != nil {
		return Past{}, err
	}
	h, err := t.holderOf(token)
	if err != nil {
		return Past{}, err
	}
	past := Past{Process: h.known(), pipes: h.pipes}
	past.Code, past.Ended, err = t.endOf(token, attempt)
	if err != nil || past.Ended {
		return past, err
	}
	boots, err := t.boots()
	if err != nil {
		return Past{}, err
	}
	if h.attempt >= attempt {
		past.Rebooted = past.Process != nil && past.Process.Boot != boot || !slices.Contains(boots, boot)
		return past, nil
	}
	switch {
	case len(boots) == 0, len(boots) == 1 && boots[0] == boot:
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

func (t Traces) endedFile() string { return filepath.Join(t.dir, "ended") }

// held: some process holds the lock of a token.
func (t Traces) held(token string) (bool, error) {
	fd, err := unix.Open(t.lockFile(token), unix.O_RDWR|unix.O_CLOEXEC, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("open lock: %w", err)
	}
	defer unix.Close(fd)
	err = flock(fd)
	if errors.Is(err, ErrHeld) {
		return true, nil
	}
	return false, err
}
