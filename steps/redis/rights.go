package redis

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/steps"
)

// errand is one command that a step sends, as far as it is known long before.
type errand struct {
	words []any
	// vague: its keys are not known, so only the right to the command counts.
	vague bool
	// without says what becomes of the step when the user may not; empty: it fails.
	without string
}

// errander is an operation that knows what it sends.
type errander interface {
	steps.Operation
	errands(c *Conn) []errand
}

// unnamed stands for a word that is not known yet.
const unnamed = "handrail:not-known-yet"

// errandOf is a command of the author's.
func errandOf(words engine.List) errand {
	e := errand{words: make([]any, len(words))}
	for i, w := range words {
		b, err := wire("", w)
		if err != nil {
			b, e.vague = []byte(unnamed), true
		}
		e.words[i] = string(b)
	}
	return e
}

// lacking is what all operations say long before a run: what their preview cannot judge, and which of the commands
// the user may not send.
func lacking(ctx context.Context, env *steps.Env, op errander) ([]engine.Lack, error) {
	var lacks []engine.Lack
	if _, unknown := engine.FirstUnknown(env.Call.Params); !unknown {
		var err error
		if lacks, err = steps.Unjudged(ctx, op, env); err != nil {
			return lacks, err
		}
	}
	c, err := connOf(ctx, env)
	if err != nil {
		return lacks, err
	}
	nodes, err := c.acting(ctx, nodesAll, "")
	if err != nil {
		return lacks, nil // which the preview, or the target's own check, has said
	}
	for _, n := range nodes {
		more, err := n.rights(ctx, c.line, op.errands(c))
		if err != nil && ctx.Err() != nil {
			return lacks, err
		}
		lacks = append(lacks, more...)
	}
	return lacks, nil
}

// rights asks the server which of the commands its user may send. They are not carried out. An error is one of the
// way there, of which the target's own check tells.
func (n *node) rights(ctx context.Context, l line, errands []errand) ([]engine.Lack, error) {
	user := l.user
	if user == "" {
		user = "default"
	}
	var lacks []engine.Lack
	for _, e := range errands {
		words := l.guard.named(e.words)
		if words == nil {
			lacks = append(lacks, engine.Lack{Lasting: true, What: fmt.Sprintf("redis %s: %v is disabled on this server (the target's rename says so)", n.address, e.words[0])})
			continue
		}
		said, err := n.ask(ctx, "ask for rights", append([]any{"ACL", "DRYRUN", user}, words...)...)
		switch l := n.lackOf(e, user, said, err); {
		case l != nil && l.Lasting:
			lacks = append(lacks, e.soften(*l))
		case l != nil: // it does not tell, whatever it is asked
			return append(lacks, *l), nil
		case tooOld(err):
			return n.rightsByList(ctx, user)
		case err != nil && !withoutRights(err):
			return lacks, err
		case err != nil:
			return lacks, nil
		}
	}
	return lacks, nil
}

// soften: the step goes on in another way without the right.
func (e errand) soften(l engine.Lack) engine.Lack {
	if e.without != "" {
		l.Lasting, l.Unsure, l.Remedy = false, true, e.without+"; "+l.Remedy
	}
	return l
}

// named is a command under the name that the server has for it; nil: it is disabled there.
func (g *guard) named(words []any) []any {
	head, _ := words[0].(string)
	to, renamed := g.rename[strings.ToUpper(head)]
	switch {
	case !renamed:
		return words
	case to == "":
		return nil
	}
	return append([]any{to}, words[1:]...)
}

// giveRight is what helps against a right that is not there.
const giveRight = "give the right with ACL SETUSER, or let the target use another user"

// lackOf reads an answer to ACL DRYRUN; nil: nothing is missing, or the answer is no answer.
func (n *node) lackOf(e errand, user string, said engine.Value, err error) *engine.Lack {
	var f *fault
	switch {
	case err == nil && (said == "OK" || e.vague && !strings.Contains(raw(said), "to run the")):
		return nil
	case err == nil:
		return &engine.Lack{Lasting: true, What: fmt.Sprintf("redis %s: %s", n.address, raw(said)), Remedy: giveRight}
	case !errors.As(err, &f):
		return nil
	case f.code == "NOPERM", errors.As(f.cause, new(refusal)):
		return n.notTold(user, "it may not ask", "allow it +acl|dryrun, which changes nothing")
	case f.plain() && strings.Contains(f.cause.Error(), "Command '"):
		return &engine.Lack{Lasting: true, What: fmt.Sprintf("redis %s: the server has no command %v", n.address, e.words[0]), Remedy: "check its name, or load the module that has it"}
	case f.plain() && !e.vague && strings.Contains(strings.ToLower(f.cause.Error()), "wrong number of arguments for '"+strings.ToLower(fmt.Sprint(e.words[0]))):
		return &engine.Lack{Lasting: true, What: fmt.Sprintf("redis %s: %v has too few words, or too many", n.address, e.words[0]), Remedy: "look its form up in the server's manual"}
	}
	return nil
}

func (n *node) notTold(user, why, remedy string) *engine.Lack {
	return &engine.Lack{Unsure: true, What: fmt.Sprintf("redis %s: whether its user %s may send what the steps send is not known: %s", n.address, user, why), Remedy: remedy}
}

// tooOld: the server knows users, and has no ACL DRYRUN.
func tooOld(err error) bool {
	var f *fault
	return errors.As(err, &f) && f.plain() && strings.Contains(strings.ToLower(f.cause.Error()), "unknown subcommand")
}

// withoutRights: the server knows no users, or the question was no question to it.
func withoutRights(err error) bool {
	var f *fault
	return errors.As(err, &f) && f.plain()
}

// plain is an answer that begins with ERR.
func (f *fault) plain() bool { return f.reach == refused && f.code == "" }

// rightsByList looks whether a user of a server before 7.0 may do everything. What it may do otherwise is a list of rules
// that is not worked out here.
func (n *node) rightsByList(ctx context.Context, user string) ([]engine.Lack, error) {
	v, err := n.ask(ctx, "ask for rights", "ACL", "GETUSER", user)
	var f *fault
	if err != nil && !errors.As(err, &f) {
		return nil, err
	}
	said := raw(flagsOf(v))
	if err == nil && strings.Contains(said, "allcommands") && strings.Contains(said, "allkeys") {
		return nil, nil
	}
	return []engine.Lack{*n.notTold(user, "the server has no ACL DRYRUN, which came with Redis 7", "look at ACL GETUSER "+user)}, nil
}

// flagsOf finds the flags in an answer to ACL GETUSER.
func flagsOf(v engine.Value) engine.Value {
	switch x := v.(type) {
	case engine.Record:
		return joined(x["flags"])
	case engine.List:
		for i := 0; i+1 < len(x); i += 2 {
			if raw(x[i]) == "flags" {
				return joined(x[i+1])
			}
		}
	}
	return ""
}

func joined(v engine.Value) engine.Value {
	list, _ := v.(engine.List)
	parts := make([]string, len(list))
	for i, e := range list {
		parts[i] = raw(e)
	}
	return strings.Join(parts, " ")
}

// errands of a single command.
func (o *do) errands(*Conn) []errand {
	if len(o.words) == 0 {
		return nil
	}
	return []errand{errandOf(o.words)}
}

func (*info) errands(*Conn) []errand { return []errand{{words: []any{"INFO"}}} }

// ofKeys are the commands by which keys are looked through.
func (s selection) ofKeys() []errand {
	out := []errand{{words: []any{"SCAN", "0", "MATCH", s.match}}}
	for _, q := range s.condition.questions(unnamed) {
		out = append(out, errand{words: q, vague: true})
	}
	return out
}

func (c *count) errands(*Conn) []errand { return c.ofKeys() }

func (s *sweep) errands(*Conn) []errand {
	act := errand{words: []any{s.action, unnamed}, vague: true}
	if s.action == "PEXPIRE" {
		act.words = append(act.words, s.expire.Milliseconds())
	}
	return append(s.ofKeys(), errand{words: []any{"EVALSHA", "0", 0}, vague: true}, errand{words: []any{"EVAL", "return 1", 0}, vague: true}, act)
}

func (p *persist) errands(*Conn) []errand {
	return []errand{{words: []any{p.command}}, {words: []any{"INFO", "persistence"}}}
}

// unmarked is what becomes of a step that can keep no marker.
const unmarked = "without it the step keeps no marker, and AFTER a crash in the middle of it a person is asked"

func (*transaction) marks() []errand {
	key := markerPrefix + "}"
	return []errand{{words: []any{"EVAL", "return 1", 1, key}, without: unmarked}, {words: []any{"HSET", key, "state", "begun"}, without: unmarked}}
}

func (t *transaction) errands(*Conn) []errand {
	out := t.marks()
	for _, words := range t.commands {
		out = append(out, errandOf(words))
	}
	return out
}

// errands: what a script calls is not read.
func (s *script) errands(*Conn) []errand {
	words := []any{"EVAL", "return 1", len(s.keys)}
	for _, k := range s.keys {
		words = append(words, k)
	}
	return []errand{{words: words, vague: s.after != nil}, {words: []any{"HSET", markerPrefix + "}", "state", "begun"}, without: unmarked}}
}

func (*check) errands(*Conn) []errand {
	return []errand{{words: []any{"CLUSTER", "NODES"}}, {words: []any{"CLUSTER", "INFO"}}}
}

func (m *membership) errands(*Conn) []errand {
	out := []errand{{words: []any{"CLUSTER", "NODES"}}}
	switch m.word {
	case "meet":
		out = append(out, errand{words: []any{"CLUSTER", "MEET", "127.0.0.1", 1}})
	case "replicate":
		out = append(out, errand{words: []any{"CLUSTER", "REPLICATE", unnamed}})
	case "forget":
		out = append(out, errand{words: []any{"CLUSTER", "FORGET", unnamed}}, errand{words: []any{"CLUSTER", "RESET", "SOFT"}})
	}
	return out
}

// Check asks for rights.
func (o *do) Check(ctx context.Context, env *steps.Env) ([]engine.Lack, error) {
	return lacking(ctx, env, o)
}

// Check asks for rights.
func (o *info) Check(ctx context.Context, env *steps.Env) ([]engine.Lack, error) {
	return lacking(ctx, env, o)
}

// Check asks for rights.
func (c *count) Check(ctx context.Context, env *steps.Env) ([]engine.Lack, error) {
	return lacking(ctx, env, c)
}

// Check asks for rights.
func (s *sweep) Check(ctx context.Context, env *steps.Env) ([]engine.Lack, error) {
	return lacking(ctx, env, s)
}

// Check asks for rights.
func (p *persist) Check(ctx context.Context, env *steps.Env) ([]engine.Lack, error) {
	return lacking(ctx, env, p)
}

// Check asks for rights.
func (t *transaction) Check(ctx context.Context, env *steps.Env) ([]engine.Lack, error) {
	return lacking(ctx, env, t)
}

// Check asks for rights.
func (s *script) Check(ctx context.Context, env *steps.Env) ([]engine.Lack, error) {
	return lacking(ctx, env, s)
}

// Check asks for rights.
func (o *check) Check(ctx context.Context, env *steps.Env) ([]engine.Lack, error) {
	return lacking(ctx, env, o)
}

// Check asks for rights.
func (m *membership) Check(ctx context.Context, env *steps.Env) ([]engine.Lack, error) {
	return lacking(ctx, env, m)
}
