# signal sends a signal to all of the command, but not to its keeper.
main() {
  cd "$folder" || exit 40
  [ -e pids ] || exit 42
  read -r keeper keeper_since child child_since <pids
  if [ -e apart ] && same "$child" "$child_since"; then
    kill -s "$signal" -- "-$child"
  fi
  rest=$( (kin .; carriers) | sort -u)
  if [ ! -e apart ] && same "$child" "$child_since"; then rest="$child $rest"; fi
  # Whoever is of the group has it already; a second time does no harm but to a counting handler, so only
  # SIGKILL goes to all of them.
  if [ "$signal" = KILL ] || [ ! -e apart ]; then
    for pid in $rest; do kill -s "$signal" "$pid" 2>/dev/null; done
  fi
  exit 0
}
