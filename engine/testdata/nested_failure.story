# A step of a nested playbook fails: what the playbook cleans up is done, and a resume tries the failed step
# again. A cancel undoes what it did. The always of the playbook around it comes last.
tx a
  undo
    idem ua
play n
  tx b
    undo
      idem ub
  tx c
  always
    idem tidy with=steps.c.state
  outputs x=steps.c.v
always
  idem last with=steps.n.state
----
start
  run_started
  intended a attempt 1 token r1/a class transactional
  -> execute a (sync before)
done a
  a is ok
  begun n
  intended n/b attempt 1 token r1/n/b class transactional
  -> execute n/b (sync before)
done n/b
  n/b is ok
  intended n/c attempt 1 token r1/n/c class transactional
  -> execute n/c (sync before)
fail n/c
  n/c is failed, effect none: it broke
  intended n/tidy attempt 1 token r1/n/tidy class idempotent
  -> execute n/tidy with=failed (sync before)
done n/tidy
  n/tidy is ok
  phase always, then failed
  intended last attempt 1 token r1/last class idempotent
  -> execute last with=failed (sync before)
done last
  last is ok
  run ends failed
  finished failed
crash
resume
  run_resumed
  -> check memory r1/a r1/n/b (sync before)
forgot
  memory_checked
  intended n/c attempt 2 token r1/n/c class transactional
  -> execute n/c (sync before)
fail n/c
  n/c is failed, effect none: it broke
  intended n/tidy attempt 1 token r1/n/tidy#1 class idempotent
  -> execute n/tidy with=failed (sync before)
done n/tidy
  n/tidy is ok
  phase always, then failed
  intended last attempt 1 token r1/last#1 class idempotent
  -> execute last with=failed (sync before)
done last
  last is ok
  run ends failed
  finished failed
crash
cancel undo
  cancel_asked
  phase undo, then undone: n/b a
  intended n/ub attempt 1 token r1/n/ub class idempotent
  -> execute n/ub (sync before)
state
  a ok
  n failed, effect none
  . n/b ok
  . n/c failed, effect none: it broke
  . n/tidy ok
  . ua pending
  . n/ub intended
  last ok
done n/ub
  n/ub is ok
  intended ua attempt 1 token r1/ua class idempotent
  -> execute ua (sync before)
done ua
  ua is ok
  phase always, then undone
  intended last attempt 1 token r1/last#2 class idempotent
  -> execute last with=failed (sync before)
done last
  last is ok
  run ends undone
  finished undone
