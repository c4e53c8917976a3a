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
	keys            []string
	mode            string
	body            []any // ARGV from the eighth on
}

func newProtocol(env *steps.Env, remember time.Duration, keys []string) protocol {
	p := protocol{
		marker: markerKey(tagOf(keys), env.Call.Token), pointer: markerKey(plainTag, env.Call.Token),
		epoch: env.Call.Epoch, attempt: env.Call.Attempt, limit: maxKept, remember: remember, keys: keys,
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
	args = append(args, p.epoch, p.attempt, sender, p.seconds(), p.limit, flag, p.mode)
	v, err := c.call(ctx, "", append(args, p.body...)...)
	if err != nil {
		return mark{}, err
	}
	return markOf(v)
}

// fence asks the marker, and shuts out older epochs and the senders.
func (p protocol) fence(ctx context.Context, n *node, senders []string) (mark, error) {
	list := ""
	if len(senders) > 0 {
		list = "|" + strings.Join(senders, "|") + "|"
	}
	v, err := n.call(ctx, "ask the marker", "EVAL", fenceLua, 2, p.marker, p.pointer, p.epoch, list, p.seconds())
	if err != nil {
		return mark{}, err
	}
	return markOf(v)
}

// asking is how often a marker is asked for while the server is busy or away.
const asking = 100 * time.Millisecond

// settle asks the marker until it answers. A server that is busy may be running the very script that is
// asked about, so it is waited for as long as ctx lasts; one that cannot be reached, as long as patience.
func (p protocol) settle(ctx context.Context, n *node, senders []string, patience time.Duration) (mark, error) {
	for {
		m, err := p.settleUntilBusy(ctx, n, senders, patience)
		var f *fault
		if err == nil || !errors.As(err, &f) || f.code != "BUSY" || pause(ctx, asking) != nil {
			return m, err
		}
	}
}

func (p protocol) settleUntilBusy(ctx context.Context, n *node, senders []string, patience time.Duration) (mark, error) {
	within, stop := context.WithTimeout(ctx, patience)
	defer stop()
	for {
		m, err := p.fence(within, n, senders)
		var f *fault
		if err == nil || !errors.As(err, &f) || f.code == "BUSY" || f.reach == refused && !f.transient() || pause(within, asking) != nil {
			return m, err
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
	n := c.nodes[0]
	out := make(map[string]bool, len(calls))
	tokens := make([]string, len(calls))
	for i, call := range calls {
		tokens[i] = call.Token
	}
	const batch = 500
	for start := 0; start < len(tokens); start += batch {
		some := tokens[start:min(start+batch, len(tokens))]
		if err := n.remembers(ctx, some, out); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// remembers looks each token up: its key by the plain tag is the marker itself, or a text that names it.
func (n *node) remembers(ctx context.Context, tokens []string, out map[string]bool) error {
	const doing = "look for markers"
	types := make([][]any, len(tokens))
	for i, t := range tokens {
		types[i] = []any{"TYPE", markerKey(plainTag, t)}
	}
	kinds, errs, err := n.askAll(ctx, doing, types)
	if err := errors.Join(append(errs, err)...); err != nil {
		return err
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
				return err
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
			return err
		}
		out[t] = state == "done" || state == "begun"
	}
	return nil
}
