# An effect made of parts keeps its place on the target: what stands of it is no reason to ask a person, neither
# for another attempt nor for a resume.
tx a retry=2 resumes
tx b
----
start
  run_started
  intended a attempt 1 token r1/a class transactional
  -> execute a (sync before)
fail a stands
  retry of a in 500ms: it broke
  -> pause a 500ms (sync before)
due a
  retry_due a
  intended a attempt 2 token r1/a class transactional
  -> execute a (sync before)
fail a stands
  a is failed, effect stands: it broke
  run ends failed
  finished failed
resume
  run_resumed
  intended a attempt 3 token r1/a class transactional
  -> execute a (sync before)
done a
  a is ok
  intended b attempt 1 token r1/b class transactional
  -> execute b (sync before)
done b
  b is ok
  run ends ok
  finished ok
