package redis

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/handrail-dev/handrail/engine"
)

// mostFacts bounds how many keys of a command are looked at for a plan.
const mostFacts = 10

// previewFacts adds what the live server says of the command's subject.
func (o *do) previewFacts(ctx context.Context, n *node, now state, im engine.Impact) (engine.Impact, error) {
	switch {
	case o.command.name == "CONFIG|SET" && len(o.words) >= 4:
		return o.configNow(ctx, n, im)
	case o.command.wipes() && o.command.name != "SWAPDB":
		all := o.command.name == "FLUSHALL"
		keys := keysNow(now, n.db, all)
		im.Figures = append(im.Figures, keys, now.dataset(all, keys))
		return im, nil
	}
	im.Facts = append(im.Facts, now.memory()...)
	keys := o.command.keysOf(o.words)
	facts, existing, err := n.keyFacts(ctx, keys)
	if err != nil {
		return im, err
	}
	im.Facts = append(im.Facts, concealedFacts(facts, o.secrets)...)
	if o.command.name == "DEL" || o.command.name == "UNLINK" {
		f := engine.Figure{Name: "keys", Value: existing, Certainty: engine.FigureExact}
		if o.after != nil {
			f = engine.Figure{Name: "keys", Why: o.after.Error()}
		} else if len(keys) > mostFacts {
			v, err := n.ask(ctx, "count the keys", append([]any{"EXISTS"}, anys(keys)...)...)
			if err != nil {
				return im, err
			}
			f.Value, _ = v.(int64)
		}
		weight, err := n.weighed(ctx, keys, f)
		if err != nil {
			return im, err
		}
		im.Figures = append(im.Figures, f, weight)
	}
	return im, nil
}

func anys(list []string) []any {
	out := make([]any, len(list))
	for i, s := range list {
		out[i] = s
	}
	return out
}

// concealedFacts masks the secrets among the keys.
func concealedFacts(facts []engine.Fact, secrets []string) []engine.Fact {
	for i, f := range facts {
		facts[i].Name, _ = masked(f.Name, secrets).(string)
		facts[i].Value, _ = masked(f.Value, secrets).(string)
	}
	return facts
}

// keyFacts says what the first of the keys are now, and how many of them exist.
func (n *node) keyFacts(ctx context.Context, keys []string) ([]engine.Fact, int64, error) {
	if len(keys) > mostFacts {
		keys = keys[:mostFacts]
	}
	if len(keys) == 0 {
		return nil, 0, nil
	}
	commands := make([][]any, 0, 2*len(keys))
	for _, k := range keys {
		commands = append(commands, []any{"TYPE", k}, []any{"PTTL", k})
	}
	values, errs, err := n.askAll(ctx, "look at the keys", commands)
	if err != nil {
		return nil, 0, err
	}
	var existing int64
	facts := make([]engine.Fact, len(keys))
	for i, k := range keys {
		if errs[2*i] != nil {
			facts[i] = engine.Fact{Name: showText(k), Value: "cannot be looked at: " + errs[2*i].Error()}
			continue
		}
		ttl, _ := values[2*i+1].(int64)
		facts[i] = engine.Fact{Name: showText(k), Value: keyNow(raw(values[2*i]), ttl)}
		if values[2*i] != "none" {
			existing++
		}
	}
	return facts, existing, nil
}

func keyNow(kind string, ttl int64) string {
	switch {
	case kind == "none":
		return "does not exist"
	case ttl < 0:
		return kind + ", does not expire"
	}
	return fmt.Sprintf("%s, expires in %s", kind, (time.Duration(ttl) * time.Millisecond).Round(time.Second))
}

// configNow compares the settings with what they are now. A secret is not asked for.
func (o *do) configNow(ctx context.Context, n *node, im engine.Impact) (engine.Impact, error) {
	for i := 2; i+1 < len(o.words); i += 2 {
		name := strings.ToLower(engine.Text(o.words[i]))
		to := show(o.words[i+1 : i+2])
		if strings.Contains(name, "pass") || strings.Contains(name, "auth") {
			im.Facts = append(im.Facts, engine.Fact{Name: name, Value: "would be set"})
			continue
		}
		v, err := n.ask(ctx, "ask for the setting "+name, "CONFIG", "GET", name)
		if err != nil {
			return im, err
		}
		r, _ := pairUp(v).(engine.Record)
		is, found := r[name]
		if !found {
			im.Warnings = append(im.Warnings, "the server has no setting "+name)
			continue
		}
		im.Facts = append(im.Facts, engine.Fact{Name: name, Value: fmt.Sprintf("%s now, would be %s", showText(engine.Text(is)), to)})
	}
	return im, nil
}

// keysNow counts the keys that a FLUSH would remove.
func keysNow(now state, db int64, all bool) engine.Figure {
	spaces, _ := now.sections["keyspace"].(engine.Record)
	var total int64
	for name, v := range spaces {
		r, _ := v.(engine.Record)
		if n, ok := r["keys"].(int64); ok && (all || name == fmt.Sprintf("db%d", db)) {
			total += n
		}
	}
	if spaces == nil {
		return engine.Figure{Name: "keys", Why: "the server does not say how many it has"}
	}
	return engine.Figure{Name: "keys", Value: total, Certainty: engine.FigureExact}
}
