# A nested playbook that ended well is undone as one, where the step that runs it says how; one that failed is undone
# step by step.
play n
  tx a
    undo
      idem ua
  outputs x=steps.a.v
  undo
    idem un with=steps.n.x
play m
  tx b
    undo
      idem ub
  tx c on_error=undo
----
start
  run_started
  begun n
  intended n/a attempt 1 token r1/n/a class transactional
  -> execute n/a (sync before)
done n/a v=7
  n/a is ok {v: 7}
  n is ok {x: 7}
  begun m
  intended m/b attempt 1 token r1/m/b class transactional
  -> execute m/b (sync before)
done m/b
  m/b is ok
  intended m/c attempt 1 token r1/m/c class transactional
  -> execute m/c (sync before)
fail m/c
  m/c is failed, effect none: it broke
  phase undo, then undone: m/b n
  intended m/ub attempt 1 token r1/m/ub class idempotent
  -> execute m/ub (sync before)
done m/ub
  m/ub is ok
  intended un attempt 1 token r1/un class idempotent
  -> execute un with=7 (sync before)
done un
  un is ok
  run ends undone
  finished undone
