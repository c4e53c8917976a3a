package notify

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"mime"
	"net"
	"net/mail"
	"net/smtp"
	"net/textproto"
	"strings"
	"time"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/steps"
	"github.com/handrail-dev/handrail/steps/internal/web"
)

// errNoTLS: the server offers no TLS, and nothing is said to it without.
var errNoTLS = errors.New("it offers no TLS; `starttls: false` does without, but sends no password then")

type mailing struct {
	letter
	kind *Kind
	raw  engine.Record
}

func (k *Kind) mail(r engine.Record) (steps.Operation, error) {
	var p mailParams
	if err := steps.Bind(r, &p); err != nil {
		return nil, err
	}
	return &mailing{letter: p.Mail, kind: k, raw: r}, nil
}

// Preview says what would be sent. It sends nothing.
func (m *mailing) Preview(_ context.Context, env *steps.Env) (engine.Impact, error) {
	impact := engine.Impact{Standing: engine.StandingWould, Risk: engine.RiskChanges,
		Would:   fmt.Sprintf("mail %s: %s", strings.Join(m.To, ", "), m.Subject),
		Facts:   []engine.Fact{{Name: "through", Value: m.SMTP}},
		Details: []string{m.Text}}
	if _, err := m.TLS.Config(env.Dir); err != nil {
		impact.Warnings = append(impact.Warnings, "it could not be sent: "+err.Error())
	}
	return impact, nil
}

// Execute hands the mail to the server, once.
func (m *mailing) Execute(ctx context.Context, env *steps.Env) engine.Outcome {
	if err := ctx.Err(); err != nil {
		return engine.Failure(fmt.Errorf("cancelled before it was sent: %w", err))
	}
	if env.Access != steps.Full {
		return engine.Failure(errors.New("a dry-run sends no mail"))
	}
	config, err := m.TLS.Config(env.Dir)
	if err != nil {
		return engine.Failure(err)
	}
	message, err := m.message(env)
	if err != nil {
		return engine.Failure(err)
	}
	ctx, cancel := m.kind.within(ctx, env)
	defer cancel()
	handed, err := m.deliver(ctx, config, message)
	if err == nil {
		return engine.Outcome{Result: engine.Record{"accepted": int64(len(m.To))}}
	}
	if ctx.Err() != nil {
		err = ctx.Err()
	}
	o := engine.Outcome{Err: fmt.Sprintf("mail through %s: %s", m.SMTP, web.Secrets(m.raw).Text(web.Explain(err)))}
	if handed {
		o.Err += "; it may have been taken all the same"
		o.Effect = engine.EffectUnknown
	}
	return o
}

// deliver speaks to the server. handed says that the text was on its way when it failed.
func (m *mailing) deliver(ctx context.Context, config *tls.Config, message []byte) (handed bool, err error) {
	host, _, err := net.SplitHostPort(m.SMTP)
	if err != nil {
		return false, err
	}
	if config.ServerName == "" {
		config.ServerName = host
	}
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "tcp", m.SMTP)
	if err != nil {
		return false, err
	}
	// net/smtp knows no context: whoever waits on the connection is woken by its end.
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	defer conn.Close()
	if implicitTLS(m.SMTP) {
		conn = tls.Client(conn, config)
	}
	c, err := smtp.NewClient(conn, config.ServerName)
	if err != nil {
		return false, err
	}
	if err := m.introduce(c, config); err != nil {
		return false, err
	}
	if err := m.envelope(c); err != nil {
		return false, err
	}
	w, err := c.Data()
	if err != nil {
		return false, err
	}
	if _, err := w.Write(message); err != nil {
		return true, err
	}
	if err := w.Close(); err != nil {
		// A server that answers here has refused the text; one that does not may have taken it.
		var said *textproto.Error
		return !errors.As(err, &said), err
	}
	// It is taken. How the conversation ends changes nothing of that.
	_ = c.Quit()
	return true, nil
}

// introduce is everything BEFORE the mail itself: TLS, then who we are.
func (m *mailing) introduce(c *smtp.Client, config *tls.Config) error {
	if !implicitTLS(m.SMTP) && (m.StartTLS == nil || *m.StartTLS) {
		if ok, _ := c.Extension("STARTTLS"); !ok {
			return errNoTLS
		}
		if err := c.StartTLS(config); err != nil {
			return err
		}
	}
	if m.User == "" {
		return nil
	}
	// PlainAuth compares the name with that of the client, and refuses to go without TLS.
	return c.Auth(smtp.PlainAuth("", m.User, m.Password.Reveal(), config.ServerName))
}

func (m *mailing) envelope(c *smtp.Client) error {
	from, err := mail.ParseAddress(m.From)
	if err != nil {
		return err
	}
	if err := c.Mail(from.Address); err != nil {
		return err
	}
	for _, to := range m.To {
		a, err := mail.ParseAddress(to)
		if err != nil {
			return err
		}
		if err := c.Rcpt(a.Address); err != nil {
			return fmt.Errorf("for %s: %w", a.Address, err)
		}
	}
	return nil
}

// message is the text as it goes over the wire. Its id is made from the token, so that a server that
// gets it twice can tell.
func (m *mailing) message(env *steps.Env) ([]byte, error) {
	from, err := mail.ParseAddress(m.From)
	if err != nil {
		return nil, err
	}
	to := make([]string, len(m.To))
	for i, text := range m.To {
		a, err := mail.ParseAddress(text)
		if err != nil {
			return nil, err
		}
		to[i] = a.String()
	}
	sum := sha256.Sum256([]byte(env.Call.Token))
	_, domain, _ := strings.Cut(from.Address, "@")
	var b bytes.Buffer
	for _, h := range [][2]string{
		{"From", from.String()}, {"To", strings.Join(to, ",\r\n ")}, {"Subject", mime.QEncoding.Encode("utf-8", m.Subject)},
		{"Date", env.Now().Format(time.RFC1123Z)}, {"Message-ID", "<" + hex.EncodeToString(sum[:16]) + "@" + domain + ">"},
		{"Auto-Submitted", "auto-generated"}, {"MIME-Version", "1.0"}, {"Content-Type", "text/plain; charset=utf-8"},
		{"Content-Transfer-Encoding", "base64"},
	} {
		fmt.Fprintf(&b, "%s: %s\r\n", h[0], h[1])
	}
	b.WriteString("\r\n")
	const line = 76
	for text := base64.StdEncoding.EncodeToString([]byte(m.Text)); text != ""; {
		n := min(line, len(text))
		b.WriteString(text[:n] + "\r\n")
		text = text[n:]
	}
	return b.Bytes(), nil
}
