package redis

import (
	"context"
	"fmt"

	"github.com/handrail-dev/handrail/engine"
)

// mostWeighed is of how many keys a plan asks how much memory they take.
const mostWeighed = 50

// memoryFigure is what it is called that keys take, and that is free when they are gone.
const memoryFigure = "bytes of memory that go with them"

// weighed reckons from a few keys how much memory so many of them take. The server itself looks at a few elements of a key only.
func (n *node) weighed(ctx context.Context, sample []string, keys engine.Figure) (engine.Figure, error) {
	f := engine.Figure{Name: memoryFigure, Now: true}
	switch {
	case keys.Certainty == engine.FigureUnknown:
		f.Why = keys.Why
		return f, nil
	case keys.Value == 0:
		f.Certainty = keys.Certainty
		return f, nil
	}
	sample = sample[:min(len(sample), mostWeighed)]
	questions := make([][]any, len(sample))
	for i, k := range sample {
		questions[i] = []any{"MEMORY", "USAGE", k}
	}
	if len(questions) == 0 {
		f.Why = "none of the keys was looked at"
		return f, nil
	}
	values, _, err := n.askAll(ctx, "ask how much memory keys take", questions)
	if err != nil {
		return f, err
	}
	var sum, counted int64
	for _, v := range values {
		if b, ok := v.(int64); ok { // else it is gone meanwhile, or may not be asked about
			sum, counted = sum+b, counted+1
		}
	}
	if counted == 0 {
		f.Why = "the server does not say how much memory a key takes"
		return f, nil
	}
	f.Value, f.Certainty = sum*keys.Value/counted, engine.FigureEstimate
	f.Why = fmt.Sprintf("reckoned from MEMORY USAGE of %d of them", counted)
	return f, nil
}

// dataset is how much memory the keys of the server take, all of which a FLUSHALL frees.
func (s state) dataset(all bool, keys engine.Figure) engine.Figure {
	f := engine.Figure{Name: memoryFigure, Now: true}
	r, _ := s.sections["memory"].(engine.Record)
	bytes, ok := r["used_memory_dataset"].(int64)
	total := keysNow(s, 0, true)
	switch {
	case !ok || keys.Certainty == engine.FigureUnknown:
		f.Why = "the server does not say how much memory its keys take"
	case keys.Value == 0:
		f.Certainty = engine.FigureExact
	case all || total.Value == 0:
		f.Value, f.Certainty, f.Why = bytes, engine.FigureEstimate, "what the server counts as data (used_memory_dataset)"
	default:
		f.Value, f.Certainty = bytes/total.Value*keys.Value, engine.FigureEstimate
		f.Why = "by the share of the server's keys that are in this database"
	}
	return f
}

// memory is how full the server is, and what it does when it is full.
func (s state) memory() []engine.Fact {
	if s.blind || s.policy == "" {
		return nil
	}
	if s.max == 0 {
		return []engine.Fact{{Name: "memory", Value: "no maxmemory; nothing is evicted"}}
	}
	// In whole percent: the bytes are others each time, and a plan of the same is to say the same.
	text := fmt.Sprintf("%.0f %% of maxmemory %d bytes used", 100*float64(s.used)/float64(s.max), s.max)
	does := "keys are evicted"
	if s.policy == "noeviction" {
		does = "writes are refused"
	}
	text += "; policy " + s.policy + ": when it is full, " + does
	return []engine.Fact{{Name: "memory", Value: text}}
}

// touched counts the nodes on which a step acts.
func touched(nodes int) engine.Figure {
	return engine.Figure{Name: "nodes", Value: int64(nodes), Certainty: engine.FigureExact}
}
