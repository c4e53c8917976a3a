package redis

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/steps"
)

// Locks of runs that hold between hosts. A lock is a hash without an expiry, with the run that has it and a fence that
// grows whenever it changes hands. That a process has the run in hand is shown by a key that expires, which the process
// renews: it ends nothing but the claim to be alive. On a server that is no cluster the scripts of steps look at the fence
// themselves, so that a process which sleeps and wakes up when its lock is another's changes nothing.

//go:embed locks.lua
var locksLua string

const (
	// lockTag brings all of a target's locks into one slot.
	lockTag  = "{handrail-lock}"
	lockSet  = "handrail:" + lockTag
	lockLife = 30 * time.Second
	lockBeat = lockLife / 6
)

func lockKey(name string) string { return lockSet + ":" + name }
func lifeKey(run string) string  { return lockSet + "/" + run }

// lockbook is what one run has.
type lockbook struct {
	c     *Conn
	owner steps.LockOwner
	me    string
	slot  int

	mu   sync.Mutex
	held map[string]int64 // lock to fence
	stop func()           // ends the renewing, and waits for its end; nil: it has not begun
}

// Locks opens the locks of the target.
func (*Kind) Locks(conn io.Closer, owner steps.LockOwner) (steps.Locks, error) {
	c, ok := conn.(*Conn)
	if !ok {
		return nil, fmt.Errorf("not a redis connection: %T", conn)
	}
	b := &lockbook{c: c, owner: owner, me: newSender(), slot: noSlot, held: map[string]int64{}}
	if c.form == clustered {
		b.slot = slotOf(lockTag)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.kept = append(c.kept, b)
	return b, nil
}

func (c *Conn) lockbooks() []*lockbook {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.kept)
}

// call runs the script about locks. It may be sent again: what it is to bring about is stated whole.
func (b *lockbook) call(ctx context.Context, doing, what, run string, names []string, args ...any) (word string, at int, held steps.HeldLock, rest engine.List, err error) {
	words := []any{"EVAL", locksLua, 2 + len(names), lockSet, lifeKey(run)}
	for _, n := range names {
		words = append(words, lockKey(n))
	}
	words = append(words, what, run, b.me, int64(lockLife/time.Millisecond))
	words = append(words, args...)
	var v engine.Value
	err = b.c.follow(ctx, b.slot, b.c.patience(), func(t try) (err error) {
		v, err = t.callAt(ctx, doing, append([]any(nil), words...)...)
		return err
	})
	if err != nil {
		return "", 0, held, nil, err
	}
	list, ok := v.(engine.List)
	if !ok || len(list) < 2 {
		return "", 0, held, nil, fmt.Errorf("the script about locks answered %s", engine.TypeName(v))
	}
	i, _ := list[1].(int64)
	if word = raw(list[0]); word == "ok" {
		return word, 0, held, list[2:], nil
	}
	if len(list) < 5 || i < 1 || int(i) > len(names) {
		return "", 0, held, nil, fmt.Errorf("the script about locks answered %s", word)
	}
	held, err = lockOf(names[i-1], raw(list[2]), raw(list[3]), raw(list[4]))
	return word, int(i - 1), held, nil, err
}

// lockOf is a lock as its hash says.
func lockOf(name, run, fence, owner string) (steps.HeldLock, error) {
	h := steps.HeldLock{Lock: name}
	if owner != "" {
		if err := json.Unmarshal([]byte(owner), &h.LockOwner); err != nil {
			return h, fmt.Errorf("the lock %s under %s cannot be read: %w", name, lockKey(name), err)
		}
	}
	h.Run = run
	h.Fence, _ = strconv.ParseInt(fence, 10, 64)
	return h, nil
}

// Look reads who has the locks.
func (b *lockbook) Look(ctx context.Context, names []string) ([]steps.HeldLock, error) {
	var out []steps.HeldLock
	for _, name := range names {
		h, err := b.look(ctx, name)
		if err != nil {
			return nil, err
		}
		if h.Run != "" {
			out = append(out, h)
		}
	}
	return out, nil
}

func (b *lockbook) look(ctx context.Context, name string) (h steps.HeldLock, err error) {
	v, err := b.c.read(ctx, b.slot, "read the lock "+name, "HMGET", lockKey(name), "run", "fence", "owner")
	if err != nil {
		return h, err
	}
	list, ok := v.(engine.List)
	if !ok || len(list) != 3 {
		return h, fmt.Errorf("the lock %s under %s cannot be read", name, lockKey(name))
	}
	if h, err = lockOf(name, raw(list[0]), raw(list[1]), raw(list[2])); err != nil || h.Run == "" {
		return h, err
	}
	h.Alive, err = b.alive(ctx, h.Run)
	return h, err
}

// alive is what shows that a process drives a run.
func (b *lockbook) alive(ctx context.Context, run string) (string, error) {
	v, err := b.c.read(ctx, b.slot, "look for a sign of life", "PTTL", lifeKey(run))
	left, _ := v.(int64)
	if err != nil || left <= 0 {
		return "", err
	}
	return fmt.Sprintf("it gave a sign of life %s ago", (lockLife - time.Duration(left)*time.Millisecond).Round(time.Second)), nil
}

// Take takes all of the locks by one script.
func (b *lockbook) Take(ctx context.Context, names []string, over func(steps.HeldLock) bool) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	names = slices.Compact(slices.Sorted(slices.Values(names)))
	if err := b.lasting(ctx); err != nil {
		return err
	}
	text, err := json.Marshal(b.owner)
	if err != nil {
		return err
	}
	dead, err := b.otherIsDead(ctx, names)
	if err != nil {
		return err
	}
	gone := make([]any, len(names)) // holders that are over
	for i := range gone {
		gone[i] = ""
	}
	for range len(names) + 1 {
		word, at, held, fences, err := b.call(ctx, "take locks", "take", b.owner.Run, names, append([]any{string(text), dead}, gone...)...)
		switch {
		case err != nil:
			return err
		case word == "alive":
			held, err := b.look(ctx, names[0])
			if held.Run != b.owner.Run {
				held = steps.HeldLock{Lock: names[0], LockOwner: b.owner}
			}
			held.Alive, _ = b.alive(ctx, b.owner.Run)
			return errors.Join(err, &steps.LockTakenError{HeldLock: held})
		case word == "taken" && over != nil && gone[at] == "" && over(held):
			gone[at] = fmt.Sprintf("%s %d", held.Run, held.Fence)
			continue
		case word == "taken":
			held.Alive, err = b.alive(ctx, held.Run)
			return errors.Join(err, &steps.LockTakenError{HeldLock: held})
		}
		for i, name := range names {
			b.held[name], _ = fences[i].(int64)
		}
		b.renew()
		return nil
	}
	return errors.New("the locks change hands too fast")
}

// otherIsDead is "1" if a process of this run that gave a sign of life was one of this host and state folder: it is
// dead, since the journal is in the hands of this one.
func (b *lockbook) otherIsDead(ctx context.Context, names []string) (string, error) {
	for _, name := range names {
		h, err := b.look(ctx, name)
		if err != nil {
			return "", err
		}
		if h.Run == b.owner.Run && h.Host == b.owner.Host && h.State == b.owner.State {
			return "1", nil
		}
	}
	return "0", nil
}

// evicts is how the server throws away any key to make room; empty: it does not.
func (b *lockbook) evicts(ctx context.Context) (string, error) {
	policy, err := b.told(ctx, "ask how the server makes room", "memory", "maxmemory_policy")
	if !strings.HasPrefix(policy, "allkeys-") {
		policy = ""
	}
	return policy, err
}

// told is a field of INFO, of the server that has the locks.
func (b *lockbook) told(ctx context.Context, doing, section, field string) (string, error) {
	v, err := b.c.read(ctx, b.slot, doing, "INFO", section)
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(raw(v)) {
		if value, ok := strings.CutPrefix(strings.TrimSpace(line), field+":"); ok {
			return value, nil
		}
	}
	return "", nil
}

// lasting makes sure that the server does not throw locks away to make room.
func (b *lockbook) lasting(ctx context.Context) error {
	policy, err := b.evicts(ctx)
	if err == nil && policy != "" {
		err = fmt.Errorf("the server %s, and with it a lock; %s", evicting(policy), keepElsewhere)
	}
	return err
}

func evicting(policy string) string {
	return "throws away any key to make room (maxmemory-policy " + policy + ")"
}

const keepElsewhere = "keep locks in a server with noeviction or volatile-*"

// renew shows from now on that this process lives, until it gives its locks up.
func (b *lockbook) renew() {
	if b.stop != nil {
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	b.stop = func() { cancel(); <-ended }
	go func() {
		defer close(ended)
		for pause(ctx, lockBeat) == nil {
			_ = b.confirm(ctx, b.has()) // what came of it is asked again BEFORE the next effect
		}
	}()
}

func (b *lockbook) has() map[string]int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return maps.Clone(b.held)
}

// Held asks the hashes, and shows that this process lives.
func (b *lockbook) Held(ctx context.Context) error {
	held := b.has()
	within, cancel := context.WithTimeout(ctx, lastPatience)
	defer cancel()
	for {
		err := b.confirm(within, held)
		if err == nil || errors.As(err, new(*steps.LockLostError)) {
			return err
		}
		if pause(within, asking) != nil {
			return fmt.Errorf("whether the locks of this run are still its own cannot be told: %w", err)
		}
	}
}

func (b *lockbook) confirm(ctx context.Context, held map[string]int64) error {
	if len(held) == 0 {
		return nil
	}
	names, fences := fencesOf(held)
	word, _, now, _, err := b.call(ctx, "ask for the locks", "held", b.owner.Run, names, fences...)
	if err == nil && word == "lost" {
		return &steps.LockLostError{Lock: now.Lock, Now: &now}
	}
	return err
}

func fencesOf(held map[string]int64) (names []string, fences []any) {
	names = slices.Sorted(maps.Keys(held))
	for _, n := range names {
		fences = append(fences, held[n])
	}
	return names, fences
}

// Release frees what was taken.
func (b *lockbook) Release(ctx context.Context) error {
	b.close()
	names, fences := fencesOf(b.has())
	if len(names) == 0 {
		return nil
	}
	_, _, _, _, err := b.call(ctx, "free locks", "free", b.owner.Run, names, fences...)
	if err == nil {
		b.mu.Lock()
		clear(b.held)
		b.mu.Unlock()
	}
	return err
}

// close ends the renewing, and takes the sign of life away. If that fails it expires.
func (b *lockbook) close() {
	b.mu.Lock()
	stop := b.stop
	b.stop = nil
	b.mu.Unlock()
	if stop == nil {
		return
	}
	stop()
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_, _, _, _, _ = b.call(ctx, "leave", "leave", b.owner.Run, nil)
}

// Unlock frees the locks of a run that has given no sign of life.
func (b *lockbook) Unlock(ctx context.Context, run string, may func(steps.HeldLock) error) ([]steps.HeldLock, error) {
	v, err := b.c.read(ctx, b.slot, "list the locks", "SMEMBERS", lockSet)
	if err != nil {
		return nil, err
	}
	members, _ := v.(engine.List)
	held, found := map[string]int64{}, []steps.HeldLock(nil)
	for _, m := range members {
		h, err := b.look(ctx, strings.TrimPrefix(raw(m), lockSet+":"))
		if err != nil {
			return nil, err
		}
		if h.Run != run {
			continue
		}
		if h.Alive != "" {
			return nil, &steps.LockTakenError{HeldLock: h}
		}
		if err := may(h); err != nil {
			return nil, err
		}
		held[h.Lock], found = h.Fence, append(found, h)
	}
	if len(found) == 0 {
		return nil, nil
	}
	names, fences := fencesOf(held)
	word, _, _, _, err := b.call(ctx, "free locks", "unlock", run, names, fences...)
	if err == nil && word == "alive" {
		found[0].Alive, _ = b.alive(ctx, run)
		return nil, &steps.LockTakenError{HeldLock: found[0]}
	}
	return found, err
}

// fences is what the script of a step has to look at: " key run fence process" of each lock that a run has on this server.
// In a cluster the locks are in another slot than the data, and nothing can look at both.
func (c *Conn) fences() string {
	if c.form == clustered {
		return ""
	}
	var s strings.Builder
	for _, b := range c.lockbooks() {
		names, fences := fencesOf(b.has())
		for i, n := range names {
			fmt.Fprintf(&s, " %s %s %d %s", lockKey(n), b.owner.Run, fences[i], b.me)
		}
	}
	return s.String()
}
