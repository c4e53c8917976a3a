# An attempt that may be repeated, and of which it is not known how it ended, is gone on from, as after a crash: by the
# retry, by the next resume, and behind an attempt that did nothing. What ended by itself is begun anew.
parallel all
  idem a prepares retry=2
  idem b retry=9
always
  tell n
----
start
  run_started
  -> prepare a (sync before)
  intended b attempt 1 token r1/b class idempotent
  -> execute b (sync before)
seen a 10:00
  prepared a
  intended a attempt 1 token r1/a class idempotent
  -> execute a seen=10:00 (sync before)
note a folder
  noted a
note b folder
  noted b
lost a
  retry of a in 500ms: connection lost
  -> pause a 500ms (sync before)
fail b unknown
  retry of b in 500ms: it broke
  -> pause b 500ms (sync before)
due a
  retry_due a
  intended a attempt 2 token r1/a class idempotent
  -> execute a again seen=10:00 note=folder (sync before)
due b
  retry_due b
  intended b attempt 2 token r1/b class idempotent
  -> execute b (sync before)
crash
resume
  run_resumed
  intended a attempt 3 token r1/a class idempotent
  intended b attempt 3 token r1/b class idempotent
  -> execute a again seen=10:00 note=folder (sync before)
  -> execute b again (sync before)
note b other
  noted b
lost b
  retry of b in 2s: connection lost
  -> pause b 2s (sync before)
lost a
  a is failed, effect unknown: connection lost
due b
  retry_due b
  phase always, then failed
  intended n attempt 1 token r1/n class advisory
  -> execute n (sync before)
done n
  n is ok
  run ends failed
  finished failed
state
  all failed, effect none
  . a failed, effect unknown: connection lost
  . b failed, effect unknown: connection lost
  n ok
resume
  run_resumed
  intended a attempt 4 token r1/a class idempotent
  intended b attempt 4 token r1/b class idempotent
  -> execute a again seen=10:00 note=folder (sync before)
  -> execute b again note=other (sync before)
crash
resume
  run_resumed
  intended a attempt 5 token r1/a class idempotent
  intended b attempt 5 token r1/b class idempotent
  -> execute a again seen=10:00 note=folder (sync before)
  -> execute b again note=other (sync before)
fail b
  retry of b in 5s: it broke
  -> pause b 5s (sync before)
due b
  retry_due b
  intended b attempt 6 token r1/b class idempotent
  -> execute b again note=other (sync before)
done b
  b is ok
fail a unknown
  a is failed, effect unknown: it broke
  phase always, then failed
  intended n attempt 1 token r1/n#1 class advisory
  -> execute n (sync before)
done n
  n is ok
  run ends failed
  finished failed
resume
  run_resumed
  -> prepare a (sync before)
seen a 12:00
  prepared a
  intended a attempt 6 token r1/a class idempotent
  -> execute a seen=12:00 (sync before)
done a
  a is ok
  phase always, then ok
  intended n attempt 1 token r1/n#2 class advisory
  -> execute n (sync before)
done n
  n is ok
  run ends ok
  finished ok
