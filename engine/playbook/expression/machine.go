package expression

import (
	"fmt"
	"time"

	"github.com/handrail-dev/handrail/engine"
)

// The bounds of one evaluation. Two results of the largest size that is kept (1,000 rows) can be
// compared row by row.
const (
	maxWork   = 4_000_000 // entries looked at
	maxMemory = 64 << 20  // bytes of text and lists made
)

// machine is one evaluation.
type machine struct {
	scope  engine.Scope
	slots  []engine.Value // of let, and of the predicates that are under way
	zone   *time.Location
	work   int
	memory int
}

// code is a compiled part of an expression.
type code func(*machine) (engine.Value, error)

func (m *machine) spend(work int) error {
	if m.work += work; m.work > maxWork {
		return fmt.Errorf("the expression looks at more than %d entries; do this where the data is", maxWork)
	}
	return nil
}

// alloc accounts for a value before it is made.
func (m *machine) alloc(bytes int) error {
	if bytes < 0 || bytes > maxMemory {
		bytes = maxMemory + 1
	}
	if m.memory += bytes; m.memory > maxMemory {
		return fmt.Errorf("the expression makes more than %d MiB of data", maxMemory>>20)
	}
	return nil
}

// allocList accounts for a list of n entries.
func (m *machine) allocList(n int) error {
	if n > maxMemory/16 {
		n = maxMemory
	}
	return m.alloc(16 * n)
}

func constant(v engine.Value) code {
	return func(*machine) (engine.Value, error) { return v, nil }
}
