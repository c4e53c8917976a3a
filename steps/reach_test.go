package steps_test

import (
	"context"
	"errors"
	"io"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/engine/preview"
	"github.com/handrail-dev/handrail/steps"
)

// told is a kind that writes down what reaches it. It never gets as far as an operation.
type told struct {
	steps.Kind
	heard []string
	fails error
}

func (k *told) Define() engine.Kind {
	return engine.Kind{Name: "told", Targets: []engine.TargetType{{Name: "line"}}, Operations: []engine.Operation{{Name: "do"}}}
}

func (k *told) Decode(operation string, _ engine.Record) (steps.Operation, error) {
	k.heard = append(k.heard, "decode "+operation)
	return nil, errors.New("it was not to be asked")
}

func (k *told) Connect(_ context.Context, t steps.Target, access steps.Access) (io.Closer, error) {
	k.heard = append(k.heard, "connect "+t.Name)
	if access != steps.ReadOnly {
		return nil, errors.New("it was not to write")
	}
	return k, nil
}

func (k *told) Examine(context.Context, func() time.Time) ([]engine.Lack, error) {
	k.heard = append(k.heard, "examine")
	return nil, k.fails
}

func (k *told) Close() error { k.heard = append(k.heard, "close"); return nil }

// A reacher opens targets, and there is no way to hand it anything of a playbook: a new kind of step, or a new thing
// that an executor can do, is not in it before somebody puts it there and meets this test.
func TestAReacherCanNothingButReach(t *testing.T) {
	var methods []string
	r := reflect.TypeFor[*steps.Reacher]()
	for i := range r.NumMethod() {
		methods = append(methods, r.Method(i).Name)
	}
	if !slices.Equal(methods, []string{"Close", "Reach"}) || r.Elem().NumField() != 2 {
		t.Errorf("it can %v", methods)
	}
	call := reflect.TypeFor[engine.Call]()
	for i := range r.NumMethod() {
		for in := range r.Method(i).Type.Ins() {
			if in == call {
				t.Errorf("%s takes a call", methods[i])
			}
		}
	}
	looker := reflect.TypeFor[preview.Looker]()
	if r.Implements(looker) {
		t.Error("a walk can ask it")
	}
	for in := range reflect.TypeOf(preview.Outline).Ins() {
		if in.Kind() == reflect.Interface && in != reflect.TypeFor[context.Context]() || in == looker {
			t.Errorf("an outline is handed a %s, which could ask somebody", in)
		}
	}
}

func TestAReacherConnectsForReadingAndExamines(t *testing.T) {
	k := &told{}
	r := steps.NewReacher([]steps.Kind{k}, []steps.Target{{Name: "a", Type: "line"}})
	if err := r.Reach(t.Context(), "a"); err != nil {
		t.Error(err)
	}
	if err := r.Reach(t.Context(), "b"); err == nil {
		t.Error("a target that nobody knows was reached")
	}
	k.fails = errors.New("gone")
	if err := r.Reach(t.Context(), "a"); err == nil {
		t.Error("a target that does not answer was reached")
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
	if got := strings.Join(k.heard, ", "); got != "connect a, examine, examine, close" {
		t.Errorf("the kind heard: %s", got)
	}
}
