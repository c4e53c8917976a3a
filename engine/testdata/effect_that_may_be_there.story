# An attempt may have left an effect. That the next one is never made, because done_if cannot be asked, takes nothing back of that.
idem a done_if
----
start
  run_started
  -> done_if a (sync before)
no a
  done_if_asked a
  intended a attempt 1 token r1/a class idempotent
  -> execute a (sync before)
fail a unknown
  a is failed, effect unknown: it broke
  run ends failed
  finished failed
state
  a failed, effect unknown: it broke
resume
  run_resumed
  -> done_if a (sync before)
cannot a
  done_if_asked a
  run ends failed
  finished failed
state
  a failed, effect unknown: done_if could not be asked: 
resume
  run_resumed
  -> done_if a (sync before)
yes a
  done_if_asked a
  run ends ok
  finished ok
