package notify_test

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
)

// postOffice is an SMTP server that keeps what it is handed.
type postOffice struct {
	addr string
	tls  *tls.Config // offers STARTTLS
	// reply, when it has the word of a command (or "text", for the end of the text), is said in place of
	// the usual; an empty one hangs up.
	reply map[string]string

	mu     sync.Mutex
	mails  []string
	said   []string
	served sync.WaitGroup
}

func newPostOffice(t testing.TB, config *tls.Config, reply map[string]string) *postOffice {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &postOffice{addr: l.Addr().String(), tls: config, reply: reply}
	p.served.Add(1)
	go func() {
		defer p.served.Done()
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			p.served.Add(1)
			go func() {
				defer p.served.Done()
				p.serve(c)
			}()
		}
	}()
	t.Cleanup(func() {
		_ = l.Close()
		p.served.Wait()
	})
	return p
}

func (p *postOffice) serve(c net.Conn) {
	defer func() { _ = c.Close() }()
	in := bufio.NewReader(c)
	secure := false
	say := func(line string) { _, _ = fmt.Fprintf(c, "%s\r\n", line) }
	say("220 post office")
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return
		}
		line = strings.TrimRight(line, "\r\n")
		word, _, _ := strings.Cut(strings.ToUpper(line), " ")
		p.mu.Lock()
		p.said = append(p.said, fmt.Sprintf("%s tls=%v", word, secure))
		p.mu.Unlock()
		usual, has := p.reply[word]
		switch {
		case has && usual == "":
			return
		case has:
			say(usual)
		case word == "EHLO" && p.tls != nil && !secure:
			say("250-post office\r\n250 STARTTLS")
		case word == "EHLO":
			say("250-post office\r\n250 AUTH PLAIN")
		case word == "STARTTLS":
			say("220 go on")
			c = tls.Server(c, p.tls)
			in, secure = bufio.NewReader(c), true
		case word == "AUTH":
			say("235 welcome")
		case word == "DATA":
			say("354 go on")
			if !p.take(in, say) {
				return
			}
		case word == "QUIT":
			say("221 bye")
			return
		default:
			say("250 ok")
		}
	}
}

// take reads a text to its end.
func (p *postOffice) take(in *bufio.Reader, say func(string)) bool {
	var text strings.Builder
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return false
		}
		if line == ".\r\n" {
			break
		}
		text.WriteString(line)
	}
	p.mu.Lock()
	p.mails = append(p.mails, text.String())
	p.mu.Unlock()
	answer, has := p.reply["text"]
	if has && answer == "" {
		return false
	}
	if !has {
		answer = "250 taken"
	}
	say(answer)
	return true
}

func (p *postOffice) state() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return strings.Join(p.mails, "\n---\n")
}

func (p *postOffice) count() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.mails)
}

func (p *postOffice) heard() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return strings.Join(p.said, ", ")
}

func (p *postOffice) reset(testing.TB) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.mails, p.said = nil, nil
}
