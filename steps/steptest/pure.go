package steptest

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/handrail-dev/handrail/engine"
)

// checkPure: parameters are judged, and decoded, without a look at what they name. A playbook may be a stranger's, and is loaded before
// anybody has read it: what is said of it must not tell what is on this machine.
func (b *bench) checkPure(t *testing.T) {
	named := filepath.Join(t.TempDir(), "named")
	for _, params := range b.naming(named) {
		said := func() string {
			text := ""
			if b.op.Judge != nil {
				text = fmt.Sprintf("%+v ", b.op.Judge(b.proposal(params)))
			}
			_, err := b.suite.Kind.Decode(b.op.Name, params)
			return text + fmt.Sprint(err)
		}
		nothing := said()
		if err := os.WriteFile(named, []byte("{}\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		file := said()
		if err := os.Remove(named); err != nil {
			t.Fatal(err)
		}
		if err := os.Mkdir(named, 0o700); err != nil {
			t.Fatal(err)
		}
		folder := said()
		if err := os.Remove(named); err != nil {
			t.Fatal(err)
		}
		if file != nothing || folder != nothing {
			t.Errorf("%s: parameters are judged by what is on the machine:\n%s\n%s\n%s", engine.Text(params), nothing, file, folder)
		}
	}
}

// naming is the parameters of the case with this path in one place after the other, and in those that the case leaves out.
func (b *bench) naming(path string) (out []engine.Record) {
	for _, v := range withText(b.c.Params, path) {
		out = append(out, v.(engine.Record))
	}
	for _, f := range b.op.Params.Fields {
		if _, given := b.c.Params[f.Name]; given {
			continue
		}
		switch f.Shape.Type {
		case engine.TypePath, engine.TypeText, engine.TypeAny:
			params := maps.Clone(b.c.Params)
			params[f.Name] = path
			out = append(out, params)
		case engine.TypeBool, engine.TypeInteger, engine.TypeNumber, engine.TypeBytes, engine.TypeTime, engine.TypeDuration, engine.TypeSize,
			engine.TypeList, engine.TypeRecord, engine.TypeEnum, engine.TypeSecret, engine.TypeProbe, engine.TypeCondition, engine.TypeLate:
		}
	}
	return out
}

// withText are copies of a value in each of which another text is this one.
func withText(v engine.Value, text string) (out []engine.Value) {
	switch v := v.(type) {
	case string:
		return []engine.Value{text}
	case engine.List:
		for i, e := range v {
			for _, other := range withText(e, text) {
				list := slices.Clone(v)
				list[i] = other
				out = append(out, list)
			}
		}
	case engine.Record:
		for k, e := range v {
			for _, other := range withText(e, text) {
				record := maps.Clone(v)
				record[k] = other
				out = append(out, record)
			}
		}
	}
	return out
}
