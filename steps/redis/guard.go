package redis

import (
	"context"
	"fmt"
	"net"
	"strings"
	"sync"

	goredis "github.com/redis/go-redis/v9"

	"github.com/handrail-dev/handrail/engine"
)

// guard stands between the operations and the wire. It refuses, on a read-only connection, whatever is not
// known to read, and gives commands the names that the server was configured with. It judges by the name
// that Redis knows, so a renamed command is no way around it.
type guard struct {
	readOnly bool
	rename   map[string]string // by the name in capitals

	mu    sync.Mutex
	asked map[string]bool // what the server said of commands that the table lacks
}

// refusal is what the guard answers in place of the server.
type refusal struct{ why string }

func (r refusal) Error() string { return r.why }

// DialHook lets every connection through.
func (g *guard) DialHook(next goredis.DialHook) goredis.DialHook {
	return func(ctx context.Context, network, addr string) (net.Conn, error) { return next(ctx, network, addr) }
}

// ProcessHook judges a single command.
func (g *guard) ProcessHook(next goredis.ProcessHook) goredis.ProcessHook {
	return func(ctx context.Context, cmd goredis.Cmder) error {
		if err := g.admit(ctx, cmd, next); err != nil {
			cmd.SetErr(err)
			return err
		}
		return next(ctx, cmd)
	}
}

// ProcessPipelineHook judges each command of a pipeline; one that is refused keeps all of them back.
func (g *guard) ProcessPipelineHook(next goredis.ProcessPipelineHook) goredis.ProcessPipelineHook {
	ask := func(ctx context.Context, cmd goredis.Cmder) error { return next(ctx, []goredis.Cmder{cmd}) }
	return func(ctx context.Context, cmds []goredis.Cmder) error {
		for _, cmd := range cmds {
			if err := g.admit(ctx, cmd, ask); err != nil {
				for _, c := range cmds {
					c.SetErr(err)
				}
				return err
			}
		}
		return next(ctx, cmds)
	}
}

// admit judges a command, and gives it the name that the server has for it.
func (g *guard) admit(ctx context.Context, cmd goredis.Cmder, ask goredis.ProcessHook) error {
	args := cmd.Args()
	if len(args) == 0 {
		return refusal{"an empty command is not sent"}
	}
	head, ok := args[0].(string)
	if !ok {
		return refusal{fmt.Sprintf("a command whose name is %T is not sent", args[0])}
	}
	if g.readOnly {
		if err := g.admitReading(ctx, strings.ToUpper(head), args, ask); err != nil {
			return err
		}
	}
	if to, renamed := g.rename[strings.ToUpper(head)]; renamed {
		if to == "" {
			return refusal{fmt.Sprintf("%s is disabled on this server (the target's rename says so)", strings.ToUpper(head))}
		}
		args[0] = to
	}
	return nil
}

func (g *guard) admitReading(ctx context.Context, head string, args []any, ask goredis.ProcessHook) error {
	if handshake(head, args) {
		return nil
	}
	words := make(engine.List, len(args))
	for i, a := range args {
		switch x := a.(type) {
		case []byte:
			words[i] = string(x)
		default:
			words[i] = fmt.Sprint(x)
		}
	}
	words[0] = head
	c, bad := commandOf("", words)
	switch {
	case c.name == "KEYS":
		return refusal{"KEYS is not sent in a dry-run, because it stops the server for as long as it takes; use `count` or SCAN, which do not"}
	case bad == nil && c.listed && c.class == read:
		return nil
	case bad == nil && !c.listed && g.saysReadOnly(ctx, c.name, ask):
		return nil
	}
	name := head
	if c.name != "" {
		name = c.spoken()
	}
	return refusal{fmt.Sprintf("%s was not sent: this connection is for reading only, and %s is not known to read", name, name)}
}

// handshake: what the client itself sends to set a connection up, and changes nothing but that connection.
func handshake(head string, args []any) bool {
	switch head {
	case "HELLO", "AUTH", "SELECT", "READONLY", "ASKING":
		return true
	case "CLIENT":
		return len(args) > 1 && strings.EqualFold(fmt.Sprint(args[1]), "SETNAME")
	}
	return false
}

// saysReadOnly asks the server for the flags of a command that the table lacks. No answer is no leave.
func (g *guard) saysReadOnly(ctx context.Context, name string, ask goredis.ProcessHook) bool {
	g.mu.Lock()
	known, ok := g.asked[name]
	g.mu.Unlock()
	if ok {
		return known
	}
	cmd := goredis.NewSliceCmd(ctx, "COMMAND", "INFO", strings.ToLower(name))
	if to, renamed := g.rename["COMMAND"]; renamed {
		cmd.Args()[0] = to
	}
	if err := ask(ctx, cmd); err != nil {
		return false
	}
	said := flagsSayReadOnly(cmd.Val(), name)
	g.mu.Lock()
	g.asked[name] = said
	g.mu.Unlock()
	return said
}

// flagsSayReadOnly reads an answer of COMMAND INFO. A server that ignores the name and lists something
// else has not answered.
func flagsSayReadOnly(reply []any, name string) bool {
	if len(reply) != 1 {
		return false
	}
	entry, ok := reply[0].([]any)
	if !ok || len(entry) < 3 || !strings.EqualFold(fmt.Sprint(entry[0]), name) {
		return false
	}
	flags, _ := entry[2].([]any)
	readOnly := false
	for _, f := range flags {
		switch strings.TrimPrefix(strings.ToLower(fmt.Sprint(f)), "+") {
		case "readonly":
			readOnly = true
		case "write", "admin", "blocking", "pubsub":
			return false
		}
	}
	return readOnly
}
