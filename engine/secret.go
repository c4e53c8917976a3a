package engine

import (
	"fmt"
	"log/slog"
)

// Masked is how every secret reads.
const Masked = "•••"

// Secret is a value that must not be seen: not in a journal, a log, a plan, an error. It prints as
// [Masked] in every form that Go knows; only [Secret.Reveal] gives the value, and only the code
// that hands it to a driver calls that.
type Secret struct {
	Name  string // what the playbook calls it; enters digests in place of the value
	value string
}

// NewSecret wraps a secret value.
func NewSecret(name, value string) Secret { return Secret{Name: name, value: value} }

// Reveal gives the value, for the one who connects or binds.
func (s Secret) Reveal() string { return s.value }

func (Secret) String() string               { return Masked }
func (Secret) GoString() string             { return Masked }
func (Secret) MarshalJSON() ([]byte, error) { return []byte(`"` + Masked + `"`), nil }
func (Secret) MarshalText() ([]byte, error) { return []byte(Masked), nil }
func (Secret) LogValue() slog.Value         { return slog.StringValue(Masked) }

// Format masks under every verb, %x and %q included.
func (Secret) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(Masked)) }

// Reveal gives the text of a string or of a secret.
func Reveal(v Value) (string, bool) {
	switch x := v.(type) {
	case string:
		return x, true
	case Secret:
		return x.Reveal(), true
	}
	return "", false
}
