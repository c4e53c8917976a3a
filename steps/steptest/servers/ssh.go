package servers

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/handrail-dev/handrail/engine"
)

// SSHServer is an OpenSSH server of a test's own. Whoever has its key logs in as the user of the test.
type SSHServer struct {
	t       testing.TB
	process process
	dir     string
	address string
}

// SSH starts an OpenSSH server that the test may kill. config are further lines of sshd_config.
func SSH(t testing.TB, config ...string) *SSHServer {
	t.Helper()
	s := &SSHServer{t: t, dir: folder(t, "hrs")}
	s.process = process{name: "sshd", output: filepath.Join(s.dir, "log")}
	s.process.answers = s.answers
	daemon := setting(t, "HANDRAIL_TEST_SSHD")
	if daemon == "" {
		t.Fatal("it is not known where sshd is; run: make servers")
	}
	for _, name := range []string{"host", "key"} {
		s.NewKey(name)
	}
	s.copyFile("key.pub", "authorized_keys")
	t.Cleanup(s.Kill)
	startOnFreePort(t, &s.process, func(port int) {
		s.address = "127.0.0.1:" + strconv.Itoa(port)
		lines := append([]string{
			"Port " + strconv.Itoa(port), "ListenAddress 127.0.0.1", "HostKey " + s.path("host"), "PidFile none",
			"AuthorizedKeysFile " + s.path("authorized_keys"), "StrictModes no", "UsePAM no", "PermitRootLogin yes",
			"PasswordAuthentication no", "MaxStartups 100", "LogLevel VERBOSE"}, config...)
		s.write("config", strings.Join(lines, "\n")+"\n")
		s.process.argv = []string{daemon, "-D", "-e", "-f", s.path("config")}
	})
	s.Trust()
	return s
}

func (s *SSHServer) path(name string) string { return filepath.Join(s.dir, name) }

func (s *SSHServer) write(name, text string) {
	s.t.Helper()
	if err := os.WriteFile(s.path(name), []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
}

func (s *SSHServer) copyFile(from, to string) {
	s.t.Helper()
	b, err := os.ReadFile(s.path(from))
	if err != nil {
		s.t.Fatal(err)
	}
	s.write(to, string(b))
}

// NewKey makes a key pair: "host" is that of the server, which has to be restarted then, "key" the one that
// it lets in, and any other is nobody's. passphrase, if it is given, encrypts it.
func (s *SSHServer) NewKey(name string, passphrase ...string) string {
	s.t.Helper()
	_ = os.Remove(s.path(name)) // ssh-keygen would ask
	out, err := exec.Command("ssh-keygen", "-q", "-t", "ed25519", "-C", name, "-N", strings.Join(passphrase, ""), "-f", s.path(name)).CombinedOutput()
	if err != nil {
		s.t.Fatalf("ssh-keygen is missing or fails; run: make servers (%v: %s)", err, out)
	}
	return s.path(name)
}

// Trust writes the server's host key into the known_hosts of Settings.
func (s *SSHServer) Trust() {
	s.t.Helper()
	key, err := os.ReadFile(s.path("host.pub"))
	if err != nil {
		s.t.Fatal(err)
	}
	host, port, err := net.SplitHostPort(s.address)
	if err != nil {
		s.t.Fatal(err)
	}
	s.write("known_hosts", fmt.Sprintf("[%s]:%s %s", host, port, key))
}

// LetIn adds a public key to those that the server lets in.
func (s *SSHServer) LetIn(key string) {
	s.t.Helper()
	b, err := os.ReadFile(key + ".pub")
	if err != nil {
		s.t.Fatal(err)
	}
	s.write("authorized_keys", string(b))
}

// Settings are those of an `ssh` target on this server. Commands leave their traces in a folder of the test.
func (s *SSHServer) Settings() engine.Record {
	s.t.Helper()
	u, err := user.Current()
	if err != nil {
		s.t.Fatal(err)
	}
	return engine.Record{"address": s.address, "user": u.Username, "key": s.path("key"), "known_hosts": s.path("known_hosts"), "folder": s.Traces()}
}

// Traces is the folder in which commands leave their traces.
func (s *SSHServer) Traces() string { return s.path("traces") }

func (s *SSHServer) answers(ctx context.Context) error {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", s.address)
	if err != nil {
		return err
	}
	defer conn.Close()
	if n, err := conn.Read(make([]byte, 4)); n == 0 {
		return err
	}
	return nil
}

// CutConnections kills whoever serves the connections. The server takes new ones; what was started over
// them is not touched.
func (s *SSHServer) CutConnections() {
	s.t.Helper()
	if s.process.child == nil {
		return
	}
	for _, pid := range childrenNamed("sshd", s.process.child.Pid) {
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
			s.t.Error(err)
		}
	}
}

// childrenNamed are the processes below one, as far as they have its name.
func childrenNamed(name string, parent int) []int {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil
	}
	var all []int
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		b, err := os.ReadFile(filepath.Join("/proc", e.Name(), "stat"))
		if err != nil {
			continue
		}
		stat := string(b)
		var state string
		var above int
		if _, err := fmt.Sscan(stat[strings.LastIndexByte(stat, ')')+1:], &state, &above); err != nil || above != parent {
			continue
		}
		if strings.Contains(stat, "("+name) {
			all = append(append(all, childrenNamed(name, pid)...), pid)
		}
	}
	return all
}

// Kill kills the server and whoever serves its connections. What was started over them is not touched.
func (s *SSHServer) Kill() {
	s.CutConnections()
	s.process.kill()
}

// Restart brings it up again on its port.
func (s *SSHServer) Restart() {
	s.t.Helper()
	s.Kill()
	if err := s.process.start(); err != nil {
		s.t.Fatal(fmt.Errorf("restart sshd: %w", err))
	}
}
