package engine

import "fmt"

// Standing is what a dry-run says of a step. It never says that something succeeded.
type Standing int

// The standings.
const (
	StandingUnknown Standing = iota // cannot be judged
	StandingWould                   // the real run would do it
	StandingAlready                 // the effect is there already
	StandingSkip                    // the real run would leave it out
)

var standingNames = [...]string{"unknown", "would", "already", "skip"}

func (s Standing) String() string { return standingNames[s] }

// MarshalText writes the name.
func (s Standing) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads the name.
func (s *Standing) UnmarshalText(b []byte) error {
	return parseName(standingNames[:], b, (*int)(s), "standing")
}

// Certainty says how far a figure can be relied on.
type Certainty int

// The certainties.
const (
	FigureUnknown Certainty = iota
	FigureEstimate
	FigureExact
)

var certaintyNames = [...]string{"unknown", "estimate", "exact"}

func (c Certainty) String() string { return certaintyNames[c] }

// MarshalText writes the name.
func (c Certainty) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// UnmarshalText reads the name.
func (c *Certainty) UnmarshalText(b []byte) error {
	return parseName(certaintyNames[:], b, (*int)(c), "certainty")
}

// Figure is one number about what a step would do.
type Figure struct {
	Name      string    `json:"name"` // "rows", "keys", "containers"
	Value     int64     `json:"value"`
	Certainty Certainty `json:"certainty"`
	Why       string    `json:"why,omitempty"` // why it is no better than that
	// Bounds are those that an estimate states: a run that begins now finds no less and no more. nil: it states none.
	Bounds *Bounds `json:"bounds,omitempty"`
	// Now: it tells how large something is now, such as a table, and not what the step would do to it. A saved plan is
	// not held against it.
	Now bool `json:"now,omitempty"`
}

// Bounds of an estimate.
type Bounds struct {
	Least int64 `json:"least"`
	Most  int64 `json:"most"`
}

// Label is the certainty in words, with the bounds of an estimate.
func (f Figure) Label() string {
	if f.Certainty != FigureEstimate || f.Bounds == nil {
		return f.Certainty.String()
	}
	return fmt.Sprintf("%s, %d to %d", f.Certainty, f.Bounds.Least, f.Bounds.Most)
}

// Fact is one thing that the live system says now.
type Fact struct {
	Name  string `json:"name"`  // "api-1"
	Value string `json:"value"` // "running, healthy, up 3 h"
}

// Sight is one thing that a plan was made from, and what tells it from another of its name: a container and its id, a table
// and the digest of its columns. A saved plan is refused when it is another one.
type Sight struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// Impact is what an operation would do to the system as it is now, found by reading only.
type Impact struct {
	Standing Standing `json:"standing"`
	// Would is one line in plain words: "restart api-1, api-2".
	Would   string   `json:"would"`
	Class   Class    `json:"class,omitempty"` // when the target allows less than was declared
	Risk    Risk     `json:"risk"`
	Figures []Figure `json:"figures,omitempty"`
	Facts   []Fact   `json:"facts,omitempty"`
	// How says by what means, as far as others feel it: the locks that are taken, whether a table is copied.
	How      []Fact   `json:"how,omitempty"`
	Seen     []Sight  `json:"seen,omitempty"` // by name
	Warnings []string `json:"warnings,omitempty"`
	// Details are longer texts, such as the statements that would be sent.
	Details []string `json:"details,omitempty"`
	// Why it cannot be judged, when Standing is unknown.
	Why string `json:"why,omitempty"`
}

// Texts is the impact with every text of it replaced, such as by one in which secrets are masked.
func (i Impact) Texts(replace func(string) string) Impact {
	i.Would, i.Why = replace(i.Would), replace(i.Why)
	i.Figures, i.Facts = append([]Figure(nil), i.Figures...), append([]Fact(nil), i.Facts...)
	i.Warnings, i.Details = append([]string(nil), i.Warnings...), append([]string(nil), i.Details...)
	i.Seen, i.How = append([]Sight(nil), i.Seen...), append([]Fact(nil), i.How...)
	for k := range i.Seen {
		i.Seen[k] = Sight{Name: replace(i.Seen[k].Name), Value: replace(i.Seen[k].Value)}
	}
	for k := range i.Figures {
		i.Figures[k].Name, i.Figures[k].Why = replace(i.Figures[k].Name), replace(i.Figures[k].Why)
	}
	for k := range i.Facts {
		i.Facts[k].Name, i.Facts[k].Value = replace(i.Facts[k].Name), replace(i.Facts[k].Value)
	}
	for k := range i.How {
		i.How[k] = Fact{Name: replace(i.How[k].Name), Value: replace(i.How[k].Value)}
	}
	for k := range i.Warnings {
		i.Warnings[k] = replace(i.Warnings[k])
	}
	for k := range i.Details {
		i.Details[k] = replace(i.Details[k])
	}
	return i
}
