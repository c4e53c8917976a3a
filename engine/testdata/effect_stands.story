# An unrepeatable step whose expect was false after the fact is not run again unasked.
once a expect=good
tx b
----
start
  run_started
  intended a attempt 1 token r1/a class unrepeatable
  -> execute a (sync before)
done a good=false
  a is failed, effect stands: expect good does not hold {good: false}
  run ends failed
  finished failed
resume
  run_resumed
  waiting: step a is in doubt
state
  a in doubt: expect good does not hold
  b pending
resolve a done
  resolved a
  intended b attempt 1 token r1/b class transactional
  -> execute b (sync before)
done b
  b is ok
  run ends ok
  finished ok
