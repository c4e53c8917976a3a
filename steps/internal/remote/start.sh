# start starts the command of an attempt that was prepared, once and for all. What it is given: folder,
# command (a script that sets the variables and becomes the command) and keeper (the script below).
main() {
  umask 077
  cd "$folder" || exit 20
  [ "$(boot)" = "$(cat boot)" ] || exit 22
  echo "$$ $(since $$)" >starter
  mkdir started 2>/dev/null || exit 21
  apart=
  if command -v setsid >/dev/null 2>&1; then
    apart=setsid
    : >apart
  fi
  # The command's script goes through a pipe and not through an argument: others can see those.
  $apart /bin/sh -c "$keeper" handrail-keeper "$apart" >/dev/null 2>&1 8<<END &
$command
END
  keeper_pid=$!
  i=0
  until [ -e pids ] || [ -e code ]; do
    kill -0 "$keeper_pid" 2>/dev/null || [ -e pids ] || exit 23
    i=$((i + 1))
    if [ "$i" -lt 50 ]; then nap 0.02; else nap 0.2; fi
  done
}
