package host

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"strings"
	"testing"
	"time"
)

func TestAJobStreamsItsInputAndOutput(t *testing.T) {
	const size = 64 << 20
	in, out := sha256.New(), sha256.New()
	input := io.TeeReader(io.LimitReader(zeros{}, size), in)
	e, err := Local{}.Run(t.Context(), Job{Argv: []string{"cat"}, Stdin: input, Stdout: out})
	if err != nil || e.Code != 0 || e.Cut != nil {
		t.Fatalf("%+v %v", e, err)
	}
	if !bytes.Equal(in.Sum(nil), out.Sum(nil)) {
		t.Error("what came out is not what went in")
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

func TestAJobGetsItsEnvironmentAndNothingMore(t *testing.T) {
	t.Setenv("DB_PASSWORD", "hunter22")
	var out, errs bytes.Buffer
	e, err := Local{}.Run(t.Context(), Job{Argv: []string{"sh", "-c", "env; pwd; echo to stderr >&2; exit 3"}, Dir: "/",
		Env: []string{"A=b c"}, Token: "run/x", Stdout: &out, Stderr: &errs})
	if err != nil || e.Code != 3 || errs.String() != "to stderr\n" {
		t.Errorf("%+v %v %q", e, err, &errs)
	}
	for _, want := range []string{"A=b c\n", "HANDRAIL_TOKEN=run/x\n", "PATH=", "\n/\n"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in %q", want, &out)
		}
	}
	if strings.Contains(out.String(), "hunter22") {
		t.Error("it got what it must not have")
	}
}

// breaks gives a little, and then an error.
type breaks struct{ given bool }

func (b *breaks) Read(p []byte) (int, error) {
	if b.given {
		return 0, errors.New("the disk is gone")
	}
	b.given = true
	return copy(p, "half\n"), nil
}

func TestAnInputThatBreaksIsNotTakenForItsEnd(t *testing.T) {
	var out bytes.Buffer
	e, err := Local{}.Run(t.Context(), Job{Argv: []string{"sh", "-c", "cat; echo the end"}, Stdin: &breaks{}, Stdout: &out, KillAfter: time.Second})
	if err == nil {
		err = e.Cut // else it broke before the program was started
	}
	if err == nil || !strings.Contains(err.Error(), "the disk is gone") || strings.Contains(out.String(), "the end") {
		t.Errorf("%+v %v %q", e, err, &out)
	}
}

func TestAWriterThatFailsEndsTheJob(t *testing.T) {
	r, w := io.Pipe()
	_ = r.CloseWithError(errors.New("the disk is full"))
	e, err := Local{}.Run(t.Context(), Job{Argv: []string{"yes"}, Stdout: w, KillAfter: time.Second})
	if err != nil || e.Cut == nil || !strings.Contains(e.Cut.Error(), "the disk is full") {
		t.Errorf("%+v %v", e, err)
	}
}

func TestAJobThatLeavesItsInputAloneEnds(t *testing.T) {
	if e, err := (Local{}).Run(t.Context(), Job{Argv: []string{"true"}, Stdin: zeros{}}); err != nil || e.Code != 0 {
		t.Errorf("%+v %v", e, err)
	}
	e, err := Local{}.Run(t.Context(), Job{Argv: []string{"no-such-program"}, Stdin: zeros{}})
	if err == nil || e.Code != 0 {
		t.Errorf("%+v %v", e, err)
	}
}

func TestWhatIsLeftOfAJobIsFoundByItsToken(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	token := "a job of " + t.Name()
	go func() {
		_, err := Local{}.Run(ctx, Job{Argv: []string{"sleep", "1000"}, Token: token, KillAfter: time.Minute})
		ended <- err
	}()
	for {
		alive, err := Local{}.Survivors(t.Context(), token)
		if err != nil {
			t.Fatal(err)
		}
		if len(alive) == 1 {
			break
		}
	}
	waiting, stop := context.WithCancel(t.Context())
	alive, err := AwaitGone(waiting, Local{}, token, func(who string) {
		if !strings.HasPrefix(who, "sleep (pid ") {
			t.Errorf("waits for %s", who)
		}
		stop()
	})
	if len(alive) != 1 || !errors.Is(err, context.Canceled) {
		t.Errorf("%v %v", alive, err)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if alive, err := AwaitGone(t.Context(), Local{}, token, func(string) {}); len(alive) > 0 || err != nil {
		t.Errorf("%v %v", alive, err)
	}
}

// TestWhatGathersInAPipeIsAllThere: a program that writes without end, in small pieces and with pauses, is read
// to its end, and so is what it says beside it.
func TestWhatGathersInAPipeIsAllThere(t *testing.T) {
	const script = `i=0; while [ $i -lt 40 ]; do dd if=/dev/zero bs=1000 count=40 2>/dev/null; echo $i >&2; i=$((i+1)); done; printf end`
	var out, errs bytes.Buffer
	e, err := Local{}.Run(t.Context(), Job{Argv: []string{"sh", "-c", script}, Stdout: &out, Stderr: &errs})
	if err != nil || e.Code != 0 || e.Left {
		t.Fatalf("%+v %v", e, err)
	}
	if want := 40*40*1000 + len("end"); out.Len() != want || !strings.HasSuffix(out.String(), "\x00end") {
		t.Errorf("%d of %d bytes came", out.Len(), want)
	}
	if n := strings.Count(errs.String(), "\n"); n != 40 {
		t.Errorf("%d lines were said beside it", n)
	}
	out.Reset()
	if _, err := (Local{}).Run(t.Context(), Job{Argv: []string{"sh", "-c", "head -c 5000000 /dev/zero; printf last"}, Stdout: &out}); err != nil {
		t.Fatal(err)
	}
	if out.Len() != 5000004 || !strings.HasSuffix(out.String(), "\x00last") {
		t.Errorf("%d bytes came", out.Len())
	}
}
