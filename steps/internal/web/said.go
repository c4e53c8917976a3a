package web

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/internal/mask"
)

// Explain says in words why there was no answer. It may name the host, never a URL.
func Explain(err error) string {
	var (
		dns       *net.DNSError
		authority x509.UnknownAuthorityError
		name      x509.HostnameError
		invalid   x509.CertificateInvalidError
		record    tls.RecordHeaderError
		op        *net.OpError
		timeout   net.Error
	)
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return "no answer in time"
	case errors.Is(err, context.Canceled):
		return "it was cancelled"
	case errors.As(err, &dns) && dns.IsNotFound:
		return fmt.Sprintf("the name %s is not known", dns.Name)
	case errors.As(err, &dns):
		return fmt.Sprintf("the name %s could not be asked for: %s", dns.Name, dns.Err)
	case errors.As(err, &authority):
		return "its certificate is signed by an authority that is not trusted; tls.ca names a file with those that are"
	case errors.As(err, &name):
		return "its certificate is for another host: " + name.Error()
	case errors.As(err, &invalid):
		return "its certificate does not hold: " + invalid.Error()
	case errors.As(err, &record):
		return "it does not speak TLS; is it http in place of https?"
	case errors.As(err, &op) && op.Op == "remote error": // an alert of TLS
		return "it refuses the TLS connection: " + op.Err.Error()
	case errors.Is(err, syscall.ECONNREFUSED) && errors.As(err, &op) && op.Addr != nil:
		return fmt.Sprintf("connection refused by %s", op.Addr)
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE),
		strings.Contains(err.Error(), "server closed idle connection"):
		return "the connection was closed before the answer had come"
	case errors.As(err, &timeout) && timeout.Timeout():
		return "the connection could not be made in time"
	}
	return Readable([]byte(err.Error()))
}

// Passing says whether the same request may well succeed a moment later.
func Passing(err error) bool {
	var dns *net.DNSError
	var op *net.OpError
	return errors.As(err, &dns) || errors.As(err, &op) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
}

// shortestPart is the length from which on a part of a secret is masked by itself.
const shortestPart = 8

// Secrets are all that stand in parameters, and, of one such as "Bearer x", the x.
func Secrets(v engine.Value) *mask.Set {
	var s mask.Set
	addSecrets(&s, v)
	return &s
}

func addSecrets(s *mask.Set, v engine.Value) {
	switch x := v.(type) {
	case engine.Secret:
		s.Add(x.Name, x.Reveal())
		for _, word := range strings.Fields(x.Reveal()) {
			if len(word) >= shortestPart {
				s.Add(x.Name, word)
			}
		}
	case engine.List:
		for _, e := range x {
			addSecrets(s, e)
		}
	case engine.Record:
		for _, e := range x {
			addSecrets(s, e)
		}
	}
}

// FirstLine is the beginning of an answer, for a message.
func FirstLine(body []byte) string {
	line, _, _ := strings.Cut(strings.TrimSpace(Readable(body)), "\n")
	line = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, line)
	if r := []rune(line); len(r) > 200 {
		line = string(r[:200]) + "…"
	}
	return line
}
