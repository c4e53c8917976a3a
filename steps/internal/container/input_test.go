package container_test

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"syscall"
	"testing"

	"github.com/docker/docker/api/types"
	apicontainer "github.com/docker/docker/api/types/container"

	"github.com/handrail-dev/handrail/steps/internal/container"
	"github.com/handrail-dev/handrail/steps/internal/host"
	"github.com/handrail-dev/handrail/steps/steptest/servers"
)

// TestAResetThatTheWriterMeetsIsNotSeenByTheReader: this is how the kernel is, and why an input remembers.
func TestAResetThatTheWriterMeetsIsNotSeenByTheReader(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	conn, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	other, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(other.(*net.TCPConn).SetLinger(0), other.Close()); err != nil {
		t.Fatal(err)
	}
	in := container.InputOf(types.NewHijackedResponse(conn, ""))
	for err = nil; err == nil; {
		_, err = io.WriteString(in, "one") // the reset is on its way
	}
	if !errors.Is(err, syscall.ECONNRESET) || !in.WasReset() {
		t.Errorf("the writer was told %v, and remembers a reset: %v", err, in.WasReset())
	}
	if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("the reader was told %v", err)
	}
}

// resetting is an engine whose connections to commands are reset.
type resetting struct{ container.Engine }

func (e resetting) ContainerExecAttach(ctx context.Context, exec string, o apicontainer.ExecAttachOptions) (types.HijackedResponse, error) {
	stream, err := e.Engine.ContainerExecAttach(ctx, exec, o)
	if err != nil {
		return stream, err
	}
	return servers.ResetUnderWrite(stream), nil
}

func TestAJobWhoseInputMetAResetIsLost(t *testing.T) {
	r, _ := newRunner(t)
	r.Engine = resetting{r.Engine}
	e, err := r.Run(t.Context(), host.Job{Argv: []string{"cat"}, Stdin: strings.NewReader("one\ntwo\n")})
	var lost *host.LostError
	if !errors.As(err, &lost) {
		t.Errorf("its input never came to it, and it is told %+v %v", e, err)
	}
}
