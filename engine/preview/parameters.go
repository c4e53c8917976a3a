package preview

import "github.com/handrail-dev/handrail/engine"

// parametersOf is the digest of the parameters, if they are known and may be told of.
func parametersOf(c engine.Call) string {
	if c.Sensitive || unknownIn(c.Params) != "" {
		return ""
	}
	digest, err := engine.DigestValue(c.Params)
	if err != nil { // a probe is among them, which is looked at by itself
		return ""
	}
	return digest
}

func describe(c engine.Call) string {
	s := c.Kind + "." + c.Operation
	if c.Target != "" {
		s += " on " + c.Target
	}
	return s
}

// unknownIn names the step that parameters wait for; empty: they are known.
func unknownIn(v engine.Value) string {
	unknown, _ := engine.FirstUnknown(v)
	return unknown.After
}

// knownAfter says AFTER what something is known.
func knownAfter(after string) string { return engine.Unknown{After: after}.Error() }

// stepOf is the step AFTER which something is known; empty: it is none.
func stepOf(after string) string {
	if after == engine.TrustedRun {
		return ""
	}
	return after
}

func eachQuestion(v engine.Value, f func(engine.Question)) {
	switch x := v.(type) {
	case engine.Question:
		f(x)
	case engine.List:
		for _, e := range x {
			eachQuestion(e, f)
		}
	case engine.Record:
		for _, k := range engine.Keys(x) {
			eachQuestion(x[k], f)
		}
	}
}
