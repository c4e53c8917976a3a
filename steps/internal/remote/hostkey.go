package remote

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"strings"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"
)

// hostKeys are the keys that a machine may show.
type hostKeys struct {
	address string
	file    string              // known_hosts; empty: pinned
	known   ssh.HostKeyCallback // nil: nothing is known
	pinned  ssh.PublicKey
}

func (l login) hostKeys() (hostKeys, error) {
	if l.hostKey != "" {
		key, _, _, _, err := ssh.ParseAuthorizedKey([]byte(l.hostKey))
		if err != nil {
			return hostKeys{}, fmt.Errorf("host_key of %s is not a public key such as \"ssh-ed25519 AAAA…\": %w", l.address, err)
		}
		return hostKeys{address: l.address, pinned: key}, nil
	}
	known, err := knownhosts.New(l.knownHosts)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return hostKeys{}, fmt.Errorf("read the host keys in %s: %w", l.knownHosts, err)
	}
	if err != nil {
		known = nil
	}
	return hostKeys{address: l.address, file: l.knownHosts, known: known}, nil
}

// hostKeyError says why a machine is not believed to be the one that is meant.
type hostKeyError struct{ message string }

func (e *hostKeyError) Error() string { return e.message }

func refuse(format string, args ...any) error {
	return &hostKeyError{fmt.Sprintf(format, args...)}
}

// check says whether the key that a machine shows is known.
func (h hostKeys) check(hostname string, remote net.Addr, key ssh.PublicKey) error {
	shown := key.Type() + " " + ssh.FingerprintSHA256(key)
	if h.pinned != nil {
		if string(h.pinned.Marshal()) == string(key.Marshal()) {
			return nil
		}
		return refuse("%s shows the host key %s, and host_key in the target's settings says %s %s: it is another machine, or somebody is in between; nothing was sent",
			h.address, shown, h.pinned.Type(), ssh.FingerprintSHA256(h.pinned))
	}
	host := knownhosts.Normalize(h.address)
	unknown := func() error {
		return refuse("the host key of %s is not known: it shows %s. Ask whoever runs the machine whether that is right, then add it: `ssh-keyscan %s >> %s`, or give it as host_key in the target's settings; nothing was sent",
			h.address, shown, scanArgs(h.address), h.file)
	}
	if h.known == nil {
		return unknown()
	}
	err := h.known(hostname, remote, key)
	var wrong *knownhosts.KeyError
	var revoked *knownhosts.RevokedError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &revoked):
		return refuse("the host key of %s, %s, is revoked (%s:%d); nothing was sent", h.address, shown, revoked.Revoked.Filename, revoked.Revoked.Line)
	case !errors.As(err, &wrong):
		return err
	case len(wrong.Want) == 0:
		return unknown()
	}
	w := wrong.Want[0]
	return refuse("the host key of %s HAS CHANGED: it shows %s, and %s:%d says %s %s. It is another machine, or somebody is in between; nothing was sent. If the change is meant, take the old key out: `ssh-keygen -f %s -R %q`",
		h.address, shown, w.Filename, w.Line, w.Key.Type(), ssh.FingerprintSHA256(w.Key), h.file, host)
}

func scanArgs(address string) string {
	host, port, err := net.SplitHostPort(address)
	if err != nil || port == "22" {
		return strings.TrimSuffix(address, ":22")
	}
	return "-p " + port + " " + host
}

// algorithms are those of the keys that are known. A machine has several keys, and shows one of a type
// that it is asked for; another than the known one would be taken for a change.
func (h hostKeys) algorithms() []string {
	if h.pinned != nil {
		return algorithmsOf(h.pinned.Type())
	}
	if h.known == nil {
		return nil
	}
	var want *knownhosts.KeyError
	if err := h.known(h.address, &net.TCPAddr{IP: net.IPv4zero}, noKey{}); !errors.As(err, &want) {
		return nil
	}
	var all []string
	for _, k := range want.Want {
		all = append(all, algorithmsOf(k.Key.Type())...)
	}
	return all
}

func algorithmsOf(keyType string) []string {
	if keyType == ssh.KeyAlgoRSA {
		return []string{ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256}
	}
	return []string{keyType}
}

// noKey is no machine's key: it is asked about only to be told which are known.
type noKey struct{}

func (noKey) Type() string                        { return "none" }
func (noKey) Marshal() []byte                     { return []byte("none") }
func (noKey) Verify([]byte, *ssh.Signature) error { return errors.New("not a key") }
