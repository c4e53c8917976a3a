package redis

import (
	"context"
	"fmt"
	"time"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/steps"
)

// noteSender records BEFORE the command which connection sends it, so that the server can be asked after a
// crash whether the command could still arrive.
func noteSender(ctx context.Context, env *steps.Env, conn *pinned) error {
	note := engine.Record{"client": int64(0), "server": "", "at": conn.n.address}
	if v, err := conn.plain(ctx, "ask for the connection's id", "CLIENT", "ID"); err == nil {
		note["client"] = v
	}
	if v, err := conn.plain(ctx, "ask for the server's id", "INFO", "server"); err == nil {
		note["server"] = stateOf(parseInfo(raw(v), 0)).runID
	}
	if err := ctx.Err(); err != nil {
		return faultOf(conn.n.address, "", err, false)
	}
	return env.Note(note)
}

// Settle finds out whether a command that was cut off could still arrive. Whether it was carried out only
// the step's done_if or a person knows.
func (o *do) Settle(ctx context.Context, env *steps.Env) engine.Settlement {
	if o.class(env) != engine.ClassUnrepeatable {
		return engine.Settlement{Evidence: []string{o.command.spoken() + " moves the server to a stated condition and may be sent again"}}
	}
	return settleSender(ctx, env, o.command.spoken())
}

// settleSender asks the servers about the connections that noteSender recorded. A node of several of which
// there is no record was sent nothing.
func settleSender(ctx context.Context, env *steps.Env, doing string) engine.Settlement {
	note, ok := env.Call.Note.(engine.Record)
	if !ok {
		return engine.Settlement{Verdict: engine.VerdictNotDone, Dead: true,
			Evidence: []string{doing + " was not sent: the attempt ended before it had a connection"}}
	}
	list, many := note[engine.NodesField].(engine.List)
	if !many {
		return settleSenderAt(ctx, env, doing, note)
	}
	all := engine.Settlement{Dead: true}
	for _, v := range list {
		r, _ := v.(engine.Record)
		one, _ := r["note"].(engine.Record)
		s := settleSenderAt(ctx, env, doing, one)
		all.Dead = all.Dead && s.Dead
		for _, e := range s.Evidence {
			all.Evidence = append(all.Evidence, engine.Text(r[engine.NodeField])+": "+e)
		}
	}
	return all
}

func settleSenderAt(ctx context.Context, env *steps.Env, doing string, note engine.Record) engine.Settlement {
	c, err := connOf(ctx, env)
	if err != nil {
		return engine.Settlement{Evidence: []string{err.Error()}}
	}
	address, _ := note["at"].(string)
	if address == "" {
		address = c.seeds[0]
	}
	n, err := c.node(address)
	if err != nil {
		return engine.Settlement{Evidence: []string{err.Error()}}
	}
	now, err := n.glance(ctx)
	if err != nil {
		return engine.Settlement{Evidence: []string{err.Error()}}
	}
	server, _ := note["server"].(string)
	client, _ := note["client"].(int64)
	switch {
	case server != "" && now.runID != "" && server != now.runID:
		return engine.Settlement{Dead: true, Evidence: []string{fmt.Sprintf(
			"%s may have been sent; the server was restarted since, so it cannot arrive any more", doing)}}
	case client == 0 || server == "":
		return engine.Settlement{Evidence: []string{doing + " may have been sent; the server did not tell the id of its connection"}}
	}
	if err := n.endClient(ctx, client); err != nil {
		return engine.Settlement{Evidence: []string{fmt.Sprintf("%s may have been sent; its connection cannot be asked about: %v", doing, err)}}
	}
	return engine.Settlement{Dead: true, Evidence: []string{fmt.Sprintf(
		"%s may have been sent; its connection %d is closed, so it cannot arrive any more", doing, client)}}
}

// endClient closes a connection of another process and waits until it is gone.
func (n *node) endClient(ctx context.Context, id int64) error {
	for {
		v, err := n.ask(ctx, "look for a connection", "CLIENT", "LIST", "ID", id)
		if err != nil {
			return err
		}
		if raw(v) == "" {
			return nil
		}
		if _, err := n.call(ctx, "close a connection", "CLIENT", "KILL", "ID", id); err != nil {
			return err
		}
		if err := pause(ctx, 20*time.Millisecond); err != nil {
			return err
		}
	}
}
