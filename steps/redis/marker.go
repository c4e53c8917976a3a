package redis

import (
	"context"
	"crypto/rand"
	_ "embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/steps"
)

//go:embed protocol.lua
var protocolLua string

//go:embed fence.lua
var fenceLua string

// plainTag is the hash tag of a marker whose data has none.
const plainTag = "handrail"

// markerPrefix begins the key of every marker.
const markerPrefix = "handrail:{"

// markerKey is where the marker of a token stands: in the slot of the data, so that one script may touch
// both.
func markerKey(tag, token string) string { return markerPrefix + tag + "}:" + token }

// tagOf is the hash tag of the first key that has one.
func tagOf(keys []string) string {
	for _, k := range keys {
		if tag, ok := hashTag(k); ok {
			return tag
		}
	}
	return plainTag
}

// mark is what a marker, or the script that keeps it, says.
type mark struct {
	verdict string // done, begun, stale, fenced, absent, failed
	result  string
	err     string
	applied int64
	epoch   int64
}

func markOf(v engine.Value) (mark, error) {
	list, ok := v.(engine.List)
	if !ok || len(list) != 5 {
		return mark{}, fmt.Errorf("the marker's script answered %s, not five values", engine.TypeName(v))
	}
	m := mark{verdict: raw(list[0]), result: raw(list[1]), err: raw(list[2])}
	m.applied, _ = list[3].(int64)
	m.epoch, _ = list[4].(int64)
	return m, nil
}

// raw is a text or bytes as they came.
func raw(v engine.Value) string {
	if b, ok := v.(engine.Bytes); ok {
		return string(b)
	}
	s, _ := v.(string)
	return s
}

// protocol is one transaction or script with its marker.
type protocol struct {
	marker, pointer string
	epoch, attempt  int
	limit           int // the largest result that the marker keeps
	remember        time.Duration
	slot            int // of the keys and the marker, in a cluster
	keys            []string
	mode            string
	body            []any  // ARGV from the eighth on
	fences          string // of locks that the run must still have; see [Conn.fences]
}

// newProtocol names the marker of the step. In a cluster its tag is that of the slot, so that it is found by
// what was seen BEFORE the step, and there is no pointer to it, which would be in another slot.
func newProtocol(env *steps.Env, c *Conn, slot int, keys []string) protocol {
	p := protocol{
		marker: markerKey(tagOf(keys), env.Call.Token), pointer: markerKey(plainTag, env.Call.Token),
		epoch: env.Call.Epoch, attempt: env.Call.Attempt, limit: maxKept, remember: c.remember, keys: keys, slot: slot, fences: c.fences(),
	}
	if slot != noSlot {
		p.marker = markerKey(slotTag(slot), env.Call.Token)
		p.pointer = p.marker
	}
	if env.Call.Sensitive {
		p.limit = -1
	}
	return p
}

func (p protocol) seconds() string { return strconv.FormatInt(int64(p.remember/time.Second), 10) }

// run sends the script under the name of a sender. distrust: an absent marker proves nothing.
func (p protocol) run(ctx context.Context, c *pinned, sender string, distrust bool) (mark, error) {
	args := []any{"EVAL", protocolLua, 2 + len(p.keys), p.marker, p.pointer}
	for _, k := range p.keys {
		args = append(args, k)
	}
	flag := "0"
	if distrust {
		flag = "1"
	}
	args = append(args, p.epoch, p.attempt, sender, p.seconds(), p.limit, flag+p.fences, p.mode)
	v, err := c.call(ctx, "", append(args, p.body...)...)
	if err != nil {
		return mark{}, err
	}
	return markOf(v)
}

// fence asks the marker, and shuts out older epochs and the senders. It says who has answered.
func (p protocol) fence(ctx context.Context, c *Conn, senders []string, patience time.Duration) (m mark, by *node, err error) {
	list := ""
	if len(senders) > 0 {
		list = "|" + strings.Join(senders, "|") + "|"
	}
	err = c.follow(ctx, p.slot, patience, func(at try) error {
		v, err := at.callAt(ctx, "ask the marker", "EVAL", fenceLua, 2, p.marker, p.pointer, p.epoch, list, p.seconds())
		if err != nil {
			return err
		}
		m, err = markOf(v)
		by = at.node
		return err
	})
	return m, by, err
}

// asking is how often a marker is asked for while the server is busy or away.
const asking = 100 * time.Millisecond

// settle asks the marker until it answers. A server that is busy may be running the very script that is
// asked about, so it is waited for as long as ctx lasts; one that cannot be reached, as long as patience.
func (p protocol) settle(ctx context.Context, c *Conn, senders []string, patience time.Duration) (mark, *node, error) {
	for {
		m, n, err := p.settleUntilBusy(ctx, c, senders, patience)
		var f *fault
		if err == nil || !errors.As(err, &f) || f.code != "BUSY" || pause(ctx, asking) != nil {
			return m, n, err
		}
	}
}

func (p protocol) settleUntilBusy(ctx context.Context, c *Conn, senders []string, patience time.Duration) (mark, *node, error) {
	within, stop := context.WithTimeout(ctx, patience)
	defer stop()
	for {
		m, n, err := p.fence(within, c, senders, patience)
		var f *fault
		if err == nil || !errors.As(err, &f) || f.code == "BUSY" || f.reach == refused && !f.transient() || pause(within, asking) != nil {
			return m, n, err
		}
	}
}

// newSender names one sending of a script, so that a fence can tell it from the next.
func newSender() string {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}

// Remembers says of which calls the marker is on the target.
func (*Kind) Remembers(ctx context.Context, conn io.Closer, calls []engine.Call) (map[string]bool, error) {
	c, ok := conn.(*Conn)
	if !ok {
		return nil, fmt.Errorf("not a redis connection: %T", conn)
	}
	out := make(map[string]bool, len(calls))
	if c.form == clustered {
		return out, c.remembers(ctx, calls, out)
	}
	tokens := make([]string, len(calls))
	for i, call := range calls {
		tokens[i] = call.Token
	}
	return out, c.follow(ctx, noSlot, c.patience(), func(at try) error {
		const batch = 500
		for start := 0; start < len(tokens); start += batch {
			some := tokens[start:min(start+batch, len(tokens))]
			last, err := at.remembers(ctx, some, out)
			if err != nil {
				return err
			}
			if last != "" {
				c.did(at.node, last)
			}
		}
		return nil
	})
}

// remembers looks each marker up in the slot that was seen BEFORE its step.
func (c *Conn) remembers(ctx context.Context, calls []engine.Call, out map[string]bool) error {
	for _, call := range calls {
		seen, ok := sightOf(call.Seen)
		if !ok || seen.slot == noSlot {
			out[call.Token] = false // the step was carried out when the target was no cluster
			continue
		}
		marker := markerKey(slotTag(seen.slot), call.Token)
		err := c.follow(ctx, seen.slot, c.patience(), func(at try) error {
			state, err := at.askAt(ctx, "look for markers", "HGET", marker, "state")
			if err != nil {
				return err
			}
			if out[call.Token] = state == "done" || state == "begun"; out[call.Token] {
				c.did(at.node, marker)
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// remembers looks each token up: its key by the plain tag is the marker itself, or a text that names it. last is
// the last marker that is there.
func (n *node) remembers(ctx context.Context, tokens []string, out map[string]bool) (last string, err error) {
	const doing = "look for markers"
	types := make([][]any, len(tokens))
	for i, t := range tokens {
		types[i] = []any{"TYPE", markerKey(plainTag, t)}
	}
	kinds, errs, err := n.askAll(ctx, doing, types)
	if err := errors.Join(append(errs, err)...); err != nil {
		return "", err
	}
	at := make([]string, len(tokens))
	for i, t := range tokens {
		out[t] = false
		switch kinds[i] {
		case "hash":
			at[i] = markerKey(plainTag, t)
		case "string":
			v, err := n.ask(ctx, doing, "GET", markerKey(plainTag, t))
			if err != nil {
				return "", err
			}
			at[i] = raw(v)
		}
	}
	for i, t := range tokens {
		if at[i] == "" {
			continue
		}
		state, err := n.ask(ctx, doing, "HGET", at[i], "state")
		if err != nil {
			return "", err
		}
		if out[t] = state == "done" || state == "begun"; out[t] {
			last = at[i]
		}
	}
	return last, nil
}
