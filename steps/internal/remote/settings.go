package remote

import (
	"fmt"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"strings"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/steps"
)

// Settings say where a machine is, and how it is reached.
type Settings struct {
	Address    string        `param:"address" need:"yes" doc:"The machine, as host or host:port; port 22 if none is given."`
	User       string        `param:"user" doc:"The user there; without it, the one who runs Handrail."`
	Key        steps.Path    `param:"key" doc:"The file with the private key. Without it the keys of the ssh agent (SSH_AUTH_SOCK) are offered."`
	Passphrase engine.Secret `param:"passphrase" doc:"What the private key is encrypted with."`
	KnownHosts steps.Path    `param:"known_hosts" default:"~/.ssh/known_hosts" doc:"The file with the host keys that are known. The key is always checked."`
	HostKey    string        `param:"host_key" doc:"The machine's host key, as \"ssh-ed25519 AAAA…\", in place of known_hosts."`
	Folder     string        `param:"folder" default:".handrail" doc:"The folder there in which commands leave their traces while they run; from the user's home on. It must outlive a reboot."`
	Jump       *Jump         `param:"jump" doc:"The machine through which this one is reached."`
}

// Jump is a machine on the way.
type Jump struct {
	Address    string        `param:"address" need:"yes" doc:"The machine, as host or host:port; port 22 if none is given."`
	User       string        `param:"user" doc:"The user there; without it, that of the target."`
	Key        steps.Path    `param:"key" doc:"The file with the private key; without it, that of the target."`
	Passphrase engine.Secret `param:"passphrase" doc:"What the private key is encrypted with."`
	HostKey    string        `param:"host_key" doc:"The machine's host key, in place of the target's known_hosts."`
}

// Target is the type of target that kinds declare for these settings.
func Target() engine.TargetType {
	return engine.TargetType{
		Name: "ssh", Doc: "A machine that is reached over ssh.", Settings: steps.Params[Settings](),
		Example: "{address: db1.example, user: ops, key: ~/.ssh/id_ed25519}",
	}
}

// login is one machine of the way, with all that is said about it.
type login struct {
	address    string // host:port
	user       string
	key        string // empty: the agent
	passphrase engine.Secret
	knownHosts string
	hostKey    string
}

// way is from the first machine to the last.
func (s Settings) way() ([]login, error) {
	name := s.User
	if name == "" {
		u, err := user.Current()
		if err != nil {
			return nil, fmt.Errorf("find out who you are, to log in as; or give user: %w", err)
		}
		name = u.Username
	}
	known := string(s.KnownHosts)
	if known == "" {
		known = "~/.ssh/known_hosts"
	}
	last := login{address: withPort(s.Address), user: name, passphrase: s.Passphrase, hostKey: s.HostKey}
	var err error
	if last.knownHosts, err = expand(known); err != nil {
		return nil, err
	}
	if last.key, err = expand(string(s.Key)); err != nil {
		return nil, err
	}
	if s.Jump == nil {
		return []login{last}, nil
	}
	first := last
	first.address, first.hostKey = withPort(s.Jump.Address), s.Jump.HostKey
	if s.Jump.User != "" {
		first.user = s.Jump.User
	}
	if s.Jump.Key != "" {
		if first.key, err = expand(string(s.Jump.Key)); err != nil {
			return nil, err
		}
		first.passphrase = s.Jump.Passphrase
	}
	return []login{first, last}, nil
}

func withPort(address string) string {
	if _, _, err := net.SplitHostPort(address); err == nil {
		return address
	}
	return net.JoinHostPort(strings.Trim(address, "[]"), "22")
}

// expand puts the home in the place of a leading ~.
func expand(path string) (string, error) {
	rest, ok := strings.CutPrefix(path, "~/")
	if !ok {
		return path, nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", fmt.Errorf("%s: %w", path, err)
	}
	return filepath.Join(home, rest), nil
}
