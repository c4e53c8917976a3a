# What the scripts of an attempt share. They run in any POSIX shell. $base is the folder of all traces,
# $key stands for the token, and each attempt has a folder of its own below that.
#
#   boot     the boot in which the attempt was made; there before the rest
#   starter  who is about to start the command: pid and start time
#   started  whoever makes this folder may start the command, or sees to it that nobody does
#   claimed  it was made to see to that
#   lock     held by the keeper, the command and what that has started
#   pids     keeper and command: pid and start time
#   in       what the command reads, until it is started
#   out err  what it has written
#   code     its exit code; there once it has ended

boot() { cat /proc/sys/kernel/random/boot_id 2>/dev/null || echo unknown; }

# since says when a process was started, so that a pid that was used again is told apart.
since() {
  if [ -r "/proc/$1/stat" ]; then
    { read -r stat <"/proc/$1/stat"; } 2>/dev/null || return 1
    stat=${stat##*) }
    set -- $stat
    case $1 in Z | X | x) return 1 ;; esac
    echo "${20}"
  elif [ ! -d /proc/self ]; then
    ps -o lstart= -p "$1" 2>/dev/null | tr ' ' _
  fi
}

# same: the process that was written down as "pid start" is alive.
same() {
  [ -n "$1" ] && [ -n "$2" ] && [ "$(since "$1")" = "$2" ]
}

locked() {
  [ -e "$1/lock" ] && command -v flock >/dev/null 2>&1 && ! flock -n "$1/lock" true
}

# carriers are the processes that carry the token in their environment.
carriers() {
  for file in $(grep -lF "HANDRAIL_TOKEN=$token" /proc/[0-9]*/environ 2>/dev/null); do
    tr '\000' '\n' <"$file" 2>/dev/null | grep -qxF "HANDRAIL_TOKEN=$token" || continue
    file=${file#/proc/}
    echo "${file%/environ}"
  done
}

# kin are the processes of the command's own group and session.
kin() {
  [ -e "$1/pids" ] || return 0
  read -r keeper keeper_since child child_since <"$1/pids"
  [ -e "$1/apart" ] && [ -d /proc/self ] || return 0
  for file in /proc/[0-9]*/stat; do
    { read -r stat <"$file"; } 2>/dev/null || continue
    pid=${stat%% *}
    stat=${stat##*) }
    set -- $stat
    case $1 in Z | X | x) continue ;; esac
    if [ "$3" = "$child" ] || [ "$4" = "$child" ]; then
      # A group's number is free again only when the group is empty.
      [ "$pid" = "$child" ] && [ "${20}" != "$child_since" ] && return 0
      echo "$pid"
    fi
  done
}

# alive: something of an attempt is alive, of whatever it was that wrote its traces.
alive() {
  [ "$(boot)" = "$(cat "$1/boot" 2>/dev/null)" ] || return 1
  locked "$1" && return 0
  if [ -e "$1/starter" ]; then
    read -r pid start <"$1/starter"
    same "$pid" "$start" && return 0
  fi
  if [ -e "$1/pids" ]; then
    read -r keeper keeper_since child child_since <"$1/pids"
    same "$keeper" "$keeper_since" && return 0
    same "$child" "$child_since" && return 0
  fi
  [ -n "$(kin "$1")" ] || [ -n "$(carriers)" ]
}

names() {
  for pid in $( (kin "$1"; carriers) | sort -u); do
    read -r name <"/proc/$pid/comm" 2>/dev/null || continue
    echo "$name (pid $pid)"
  done
}

# state sets state to fresh, alive, ended or dead.
state() {
  state=dead
  if [ ! -e "$1/started" ]; then
    state=fresh
  elif [ -e "$1/code" ]; then
    state=ended
  elif alive "$1"; then
    state=alive
  elif [ -e "$1/code" ]; then # written between the two looks
    state=ended
  fi
}

nap() { sleep "$1" 2>/dev/null || sleep 1; }
