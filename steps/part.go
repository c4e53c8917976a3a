package steps

import "github.com/handrail-dev/handrail/engine"

// Part is the Env of one of several nodes that an operation acts on side by side: what was seen and noted
// there, and an attendant who puts the parts together again. It shares the connection.
func (e *Env) Part(seen, note engine.Value, attendant engine.Attendant) *Env {
	part := *e
	part.Call.Seen, part.Call.Note = seen, note
	part.attendant = attendant
	return &part
}
