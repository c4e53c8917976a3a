# keeper lives as long as the command, takes what it writes, and writes down how it ends. $1 sets the
# command apart in a session of its own, where that can be done.
trap : HUP INT TERM
exec 9>lock
command -v flock >/dev/null 2>&1 && flock 9
exec 7<in
rm -f in
$1 /bin/sh -c 'eval "$(cat <&8)"' handrail-command <&7 7<&- >>out 2>>err &
child=$!
exec 7<&- 8<&-
echo "$$ $(since $$) $child $(since $child)" >pids.new
mv pids.new pids
code=
while :; do
  wait "$child"
  now=$?
  # 127: it was waited for before, and its number is another's now.
  if [ "$now" = 127 ] && [ "$code" ]; then break; fi
  code=$now
  # A signal to the keeper itself ends the wait, too.
  [ "$code" -gt 128 ] && kill -0 "$child" 2>/dev/null || break
done
echo "$code" >code.new
mv code.new code
