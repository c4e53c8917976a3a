# What left no effect is tried again, after a pause that doubles; what may have had one is not.
tx a retry=3
once b
----
start
  run_started
  intended a attempt 1 token r1/a class transactional
  -> execute a (sync before)
fail a
  retry of a in 500ms: it broke
  -> pause a 500ms (sync before)
due a
  retry_due a
  intended a attempt 2 token r1/a class transactional
  -> execute a (sync before)
fail a
  retry of a in 1s: it broke
  -> pause a 1s (sync before)
due a
  retry_due a
  intended a attempt 3 token r1/a class transactional
  -> execute a (sync before)
done a
  a is ok
  intended b attempt 1 token r1/b class unrepeatable
  -> execute b (sync before)
fail b unknown
  b is failed, effect unknown: it broke
  run ends failed
  finished failed
state
  a ok
  b failed, effect unknown: it broke
