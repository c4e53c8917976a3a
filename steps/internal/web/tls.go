package web

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
	"path/filepath"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/steps"
)

// TLS says whom to trust, and who we are. The zero TLS trusts the authorities of this machine. A
// certificate that does not hold is never accepted.
type TLS struct {
	CA         steps.Path `param:"ca" doc:"A file with the authorities to trust, in PEM form, in place of those of this machine."`
	Cert       steps.Path `param:"cert" doc:"A file with our certificate in PEM form, for servers that ask for one."`
	Key        steps.Path `param:"key" doc:"A file with the key of our certificate."`
	ServerName string     `param:"server_name" doc:"The name that the server's certificate must have, when it is not that of the URL."`
}

// Judge finds what is wrong with settings of TLS, at the path.
func (TLS) Judge(path string, v engine.Value) []engine.Problem {
	r, _ := v.(engine.Record)
	_, cert := r["cert"]
	if _, key := r["key"]; cert != key {
		return []engine.Problem{{Path: path, Message: "cert and key go together"}}
	}
	return nil
}

// Config reads the files. Relative paths are taken against dir.
func (s *TLS) Config(dir string) (*tls.Config, error) {
	c := &tls.Config{MinVersion: tls.VersionTLS12}
	if s == nil {
		return c, nil
	}
	c.ServerName = s.ServerName
	if s.CA != "" {
		pem, err := os.ReadFile(within(dir, s.CA))
		if err != nil {
			return nil, fmt.Errorf("tls.ca: %w", err)
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(pem) {
			return nil, engine.Problem{Path: "tls.ca", Message: fmt.Sprintf("%s holds no certificate in PEM form", s.CA)}
		}
	}
	if s.Cert != "" {
		pair, err := tls.LoadX509KeyPair(within(dir, s.Cert), within(dir, s.Key))
		if err != nil {
			return nil, fmt.Errorf("tls.cert and tls.key: %w", err)
		}
		c.Certificates = []tls.Certificate{pair}
	}
	return c, nil
}

func within(dir string, p steps.Path) string {
	if filepath.IsAbs(string(p)) {
		return string(p)
	}
	return filepath.Join(dir, string(p))
}
