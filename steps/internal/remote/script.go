package remote

import (
	_ "embed"
	"fmt"
	"strings"
)

var (
	//go:embed lib.sh
	libText string
	//go:embed prepare.sh
	prepareText string
	//go:embed start.sh
	startText string
	//go:embed keeper.sh
	keeperText string
	//go:embed follow.sh
	followText string
	//go:embed signal.sh
	signalText string
	//go:embed end.sh
	endText string
	//go:embed tidy.sh
	tidyText string
	//go:embed survivors.sh
	survivorsText string
)

// The codes with which the scripts end.
const (
	codeNoFolder      = 10
	codeHeld          = 11
	codeNoDir         = 13
	codeNoProgram     = 14
	codeGone          = 20 // by start: the folder is not there
	codeClaimed       = 21
	codeRebootedStart = 22
	codeNoKeeper      = 23

	codeAlive    = 0
	codeNoTraces = 40
	codeEnded    = 41
	codeDead     = 42
	codeFresh    = 43
	codeRebooted = 44
)

// given are the values that a script is given, as name and value.
type given [][2]string

// script is the text of a script with what it is given. Nothing of it happens BEFORE its last line.
func script(text string, values given) string {
	var b strings.Builder
	b.WriteString(libText)
	b.WriteString(text)
	for _, v := range values {
		fmt.Fprintf(&b, "%s=%s\n", v[0], quote(v[1]))
	}
	b.WriteString("main\n")
	return b.String()
}

// body is the script that becomes a command: variables, folder, program.
func body(argv []string, dir string, env []string) (string, error) {
	set, err := exports(env)
	if err != nil {
		return "", err
	}
	cd := "cd 2>/dev/null || cd /\n" // from the home on, wherever the script stands
	if dir != "" {
		cd += "cd " + quote(dir) + " || exit 126\n"
	}
	return "main() {\n" + set + cd + "exec " + words(argv) + "\n}\nmain\n", nil
}

// quote is a text as one word of a POSIX shell, whatever is in it but NUL.
func quote(text string) string { return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'" }

func words(texts []string) string {
	all := make([]string, len(texts))
	for i, t := range texts {
		all[i] = quote(t)
	}
	return strings.Join(all, " ")
}

// exports are the lines that set variables. Only a name that the shell knows as one can be set.
func exports(env []string) (string, error) {
	var b strings.Builder
	for _, v := range env {
		name, value, _ := strings.Cut(v, "=")
		if !shellName(name) {
			return "", fmt.Errorf("a variable named %q cannot be handed over to another machine: a name has letters, digits and _", name)
		}
		fmt.Fprintf(&b, "export %s=%s\n", name, quote(value))
	}
	return b.String(), nil
}

func shellName(name string) bool {
	for i, r := range name {
		letter := r == '_' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z'
		if !letter && (i == 0 || r < '0' || r > '9') {
			return false
		}
	}
	return name != ""
}
