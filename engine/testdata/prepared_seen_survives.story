# What was seen before a restart is still known AFTER the crash; a new attempt looks anew once an attempt has ended with an effect of its own.
idem a prepares retry=3
----
start
  run_started
  -> prepare a (sync before)
seen a 10:00
  prepared a
  intended a attempt 1 token r1/a class idempotent
  -> execute a seen=10:00 (sync before)
note a half
  noted a
crash
resume
  run_resumed
  intended a attempt 2 token r1/a class idempotent
  -> execute a again seen=10:00 note=half (sync before)
fail a unknown
  retry of a in 1s: it broke
  -> pause a 1s (sync before)
due a
  retry_due a
  -> prepare a
seen a 11:00
  prepared a
  intended a attempt 3 token r1/a class idempotent
  -> execute a seen=11:00 (sync before)
done a
  a is ok
  run ends ok
  finished ok
