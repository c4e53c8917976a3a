# A yes is for what was asked; a no ends the run; resume asks anew.
tx a
ask sure expires=30m
tx b
----
start
  run_started
  intended a attempt 1 token r1/a class transactional
  -> execute a (sync before)
done a
  a is ok
  approval_asked sure
  -> ask a person sure (sync before)
reject sure
  approval_refused sure
  run ends failed
  finished failed
resume
  run_resumed
  -> check memory r1/a (sync before)
forgot
  memory_checked
  approval_asked sure
  -> ask a person sure (sync before)
approve nothing
  refused: this cannot follow what has happened in the run: step nothing of run r1 does not wait for an approval
approve sure
  approval_given sure
  intended b attempt 1 token r1/b class transactional
  -> execute b (sync before)
done b
  b is ok
  run ends ok
  finished ok
