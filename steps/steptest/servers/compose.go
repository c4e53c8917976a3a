package servers

import (
	"os/exec"
	"testing"
)

// Compose makes sure that there is a Compose command.
func Compose(t testing.TB) {
	t.Helper()
	if exec.Command("docker", "compose", "version").Run() == nil {
		return
	}
	if _, err := exec.LookPath("docker-compose"); err != nil {
		t.Fatalf("there is no Compose command on this machine; run: make servers")
	}
}
