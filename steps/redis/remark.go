package redis

import (
	"strings"

	"github.com/handrail-dev/handrail/engine"
)

// remarks are what is known to go wrong with a command that is correct.
func (c command) remarks(path string, words engine.List) []engine.Remark {
	var out []engine.Remark
	say := func(rule engine.Rule, at int, message string) {
		out = append(out, engine.Remark{Rule: rule, Path: wordPath(path, at), Message: message})
	}
	switch c.name {
	case "KEYS":
		say(engine.RuleBlocks, 0, "KEYS looks at every key while no other client is answered; count or sweep walk over them in small steps")
	case "SAVE":
		say(engine.RuleBlocks, 0, "SAVE writes the whole data while no other client is answered; snapshot writes it in the background and waits for it")
	case "DEBUG":
		say(engine.RuleBlocks, 0, "DEBUG can stop or crash the server; it has no place in a procedure")
	case "FLUSHALL", "FLUSHDB":
		say(engine.RuleFlush, 0, c.name+" removes the keys of everybody; sweep removes those of a pattern")
	case "CONFIG|SET":
		for i, w := range words {
			if s, ok := w.(string); ok && strings.HasPrefix(strings.ToLower(s), "allkeys-") {
				say(engine.RuleEvicts, i, s+" lets the server remove any key when memory is short, live ones too")
			}
		}
	}
	if strings.HasPrefix(c.name, "CONFIG|") || c.name == "DEBUG" || c.wipes() {
		say(engine.RuleRenamed, 0, "a hardened server has "+strings.Replace(c.name, "|", " ", 1)+" under another name, or not at all; see `rename` in the settings of the target")
	}
	return out
}
