# A group cleans up behind itself, whether it failed or not, and again AFTER a resume.
block g
  tx a
  always
    idem z
tx b
----
start
  run_started
  intended a attempt 1 token r1/a class transactional
  -> execute a (sync before)
fail a
  a is failed, effect none: it broke
  intended z attempt 1 token r1/z class idempotent
  -> execute z (sync before)
done z
  z is ok
  run ends failed
  finished failed
resume
  run_resumed
  intended a attempt 2 token r1/a class transactional
  -> execute a (sync before)
done a
  a is ok
  intended z attempt 1 token r1/z#1 class idempotent
  -> execute z (sync before)
done z
  z is ok
  intended b attempt 1 token r1/b class transactional
  -> execute b (sync before)
done b
  b is ok
  run ends ok
  finished ok
